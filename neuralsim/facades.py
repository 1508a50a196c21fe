"""Facade textures of the simulator image, and of the generator's surface planes: a graph keeps those that were drawn
when it was exported.

A facade consists of two strips of texture, drawn here: a storey, which repeats upwards, and the ground floor. Along the
wall every second copy of a strip is mirrored, so that there is no seam. Far away, mip levels are used (Williams,
SIGGRAPH 1983). The instance of a house determines which strips it has and where they begin.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT = 128, 64  # texels of a strip
TEXEL = 0.05  # m along the wall, before the horizontal stretch of each house; vertically a strip fills its storey
LEVELS = 5  # mip levels, each half the size of the previous one
_DARK = 110  # 0..255: anything darker is a pane or a door
_BARS = 5  # texels, odd: panes up to this distance apart belong to one window
_LEAST_PANE = 3  # texels, height of a pane: what is dark and less high is the shadow of a sill or cornice
_GOODS = np.ones((25, 25), np.uint8)  # texels within which goods belong to the room around them


def house_parameters(seed: int = 2) -> np.ndarray:
    """Return f32 (256, 5), indexed by `house_row`: heights of a storey and of the ground floor (m), stretch along the
    wall, start of the strip (0..2 strips), and a number (0..1) that selects the strips."""
    rng = np.random.default_rng(seed)
    columns = (
        rng.uniform(2.6, 3.2, 256),
        rng.uniform(3.2, 3.8, 256),
        rng.uniform(0.85, 1.25, 256),
        rng.uniform(0.0, 2.0, 256),
        rng.permutation(256) / 256.0,
    )
    return np.stack(columns, 1).astype(np.float32)


def instance_code(instance: Any) -> Any:
    """Return a hash, 0..255, of an instance value, or of each value in an i64 array or tensor."""
    return (instance * 97 + 31) % 256


def house_row(instance: np.ndarray) -> np.ndarray:
    """Return the row of `house_parameters` of each house, by its instance."""
    return np.asarray(instance_code(np.asarray(instance, np.int64)))


def draw_strips(count: int = 48, seed: int = 0) -> np.ndarray:
    """Return u8 (2, count, HEIGHT, WIDTH): storeys with framed windows, and ground floors of shops and houses."""
    return _draw(count, seed)[0].copy()


def draw_glass(count: int = 48, seed: int = 0) -> np.ndarray:
    """Return u8 in the shape of ``draw_strips``: 255 where there is glass with what is seen behind it, else 0."""
    return _draw(count, seed)[1].copy()


@lru_cache(maxsize=1)
def _draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return strips and their glass."""
    rng = np.random.default_rng(seed)
    drawn = [[draw(rng) for _ in range(count)] for draw in (_storey, _ground_floor)]
    out, glass = (np.stack([np.stack([pair[k] for pair in floor]) for floor in drawn]) for k in (0, 1))
    for ground in out[1, ::3]:  # rusticated: horizontal joints every 0.35 m
        ground[5::6] -= 0.35 * (ground[5::6] > 0.0)
    return ((out.clip(-1.0, 1.0) + 1.0) * 127.5).round().astype(np.uint8), glass


def label_rooms(strips: np.ndarray, glass: np.ndarray) -> np.ndarray:
    """Return u8 in the shape of ``strips``: the number of the room behind each window or door, 0 for wall.

    A room is lit as a whole at night. ``glass``: as from ``draw_glass``; what stands behind it, such as goods, is part
    of the room.
    """
    kernel, upright = np.ones((_BARS, _BARS), np.uint8), np.ones((_LEAST_PANE, 1), np.uint8)
    out = np.zeros_like(strips)
    for index in np.ndindex(strips.shape[:2]):
        dark = (strips[index] < _DARK).astype(np.uint8)
        number = cv2.connectedComponents(cv2.morphologyEx(dark, cv2.MORPH_CLOSE, kernel), connectivity=4)[1]
        room = (number * cv2.morphologyEx(dark, cv2.MORPH_OPEN, upright)).astype(np.uint8)
        out[index] = np.where((glass[index] > 0) & (room == 0), cv2.dilate(room, _GOODS), room)
    return out


def _wall(rng: np.random.Generator) -> np.ndarray:
    """Return f64 (HEIGHT, WIDTH): plaster with a faint grain."""
    grain = cv2.GaussianBlur(rng.normal(0.0, 1.0, (HEIGHT, WIDTH // 4)).repeat(4, 1), (0, 0), 1.0)
    return np.asarray(0.2 + rng.uniform(0.01, 0.03) * grain)


def _window(
    front: np.ndarray,
    glass: np.ndarray,
    rng: np.random.Generator,
    panes: np.ndarray,
    top: int,
    bottom: int,
    left: int,
    right: int,
) -> None:
    """Draw ``panes`` (across, down) in a frame, with a lintel above, a sill below and the shadow of the sill."""
    front[max(top - 2, 0) : top, left - 1 : right + 1] = rng.uniform(0.2, 0.5)
    front[top:bottom, left:right] = rng.uniform(0.3, 0.7)
    across, down = panes
    for i in range(across):
        for j in range(down):
            y, x = top + 1 + (bottom - top - 1) * j // down, left + 1 + (right - left - 1) * i // across
            high, wide = (bottom - top - 1) // down - 1, (right - left - 1) // across - 1
            # a pane shows the room, a curtain and, the higher it is, more of the sky
            front[y : y + high, x : x + wide] = rng.uniform(-1.0, -0.5) + rng.uniform(0.0, 0.4) * (j == 0)
            glass[y : y + high, x : x + wide] = 255
    if rng.random() < 0.25:
        front[top + 1 : top + int(rng.integers(3, max(4, bottom - top - 3))), left + 1 : right - 1] += 0.6  # a blind
    front[bottom : bottom + 1, left - 2 : right + 2] = 0.55
    front[bottom + 1 : bottom + 2, left - 1 : right + 1] = -0.25


def _storey(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw identical windows, often in pairs, or a band of them; return the front and its glass."""
    front = _wall(rng)
    glass = np.zeros(front.shape, np.uint8)
    bays, panes = int(rng.integers(2, 5)), rng.integers((1, 1), (4, 3))
    wide = int(WIDTH / bays * rng.uniform(0.34, 0.6))
    top = int(rng.integers(8, 18))
    bottom = min(HEIGHT - 8, top + int(rng.integers(28, 40)))
    for bay in range(bays):
        left = int((bay + 0.5) * WIDTH / bays - wide / 2)
        _window(front, glass, rng, panes, top, bottom, left, left + wide)
    if rng.random() < 0.5:  # a string course between the storeys
        front[-3:-1] = 0.5
        front[-1] = -0.2
    return front, glass


def _shop_window(rng: np.random.Generator, wide: int) -> np.ndarray:
    """Return f64 (37, wide): reflections of the street over a dim room, with shelves, clothes or a poster, or a blind.

    By day most of it is darker than the wall; posters, lamps and some of the goods are as bright.
    """
    inside = np.tile(np.linspace(-0.35, -0.7, 37)[:, None], (1, wide))
    if rng.random() < 0.15:
        inside[: int(rng.integers(14, 34))] = 0.15  # a blind
        return inside
    kind = rng.random()
    if kind < 0.4:  # shelves with small goods
        for shelf in range(int(rng.integers(8, 14)), 35, int(rng.integers(7, 10))):
            goods = rng.uniform(-0.2, 0.9, -(-wide // 3)).repeat(3)[:wide]
            heights = rng.integers(2, 6, -(-wide // 3)).repeat(3)[:wide]
            inside[shelf - 5 : shelf] += np.where(np.arange(5, 0, -1)[:, None] <= heights, goods, 0.0)
            inside[shelf] += 0.15
    elif kind < 0.75:  # clothes on stands: with heads, they would be people
        for middle in rng.uniform(0.15, 0.85, int(rng.integers(1, 3))) * wide:
            across, down = (np.arange(wide) - middle) / rng.uniform(3.0, 4.5), np.arange(37)[:, None]
            tone = rng.uniform(0.2, 0.7)
            inside += tone * ((np.abs(across) < 0.7 + 0.05 * np.abs(down - 17.0)) & (down > 10) & (down < 26))
            inside += 0.4 * tone * ((np.abs(across) < 0.12) & (down >= 26))
    else:  # a poster
        left, broad = rng.uniform(0.05, 0.4) * wide, rng.uniform(0.3, 0.55) * wide
        inside[int(rng.integers(5, 10)) : int(rng.integers(24, 34)), int(left) : int(left + broad)] += rng.uniform(
            0.5, 1.2
        )
    street = cv2.GaussianBlur(rng.normal(0.0, 1.0, (37, wide)), (0, 0), 4.0, sigmaY=7.0)
    inside += 0.16 * street / max(float(street.std()), 1e-6)
    inside[2:4, int(rng.integers(2, 9)) :: int(rng.integers(11, 17))] += 1.0  # lamps under the ceiling
    inside[35:] = -0.3  # the ledge
    return cv2.GaussianBlur(np.clip(inside, -0.9, 0.6), (0, 0), 0.7)


def _ground_floor(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a shop below its signboard, or a door and windows; return the front and its glass."""
    front = _wall(rng)
    glass = np.zeros(front.shape, np.uint8)
    if rng.random() < 0.5:
        front[2:13] = rng.choice([-0.6, -0.3, 0.1, 0.5])  # the signboard; letters would be illegible
        front[2], front[12] = front[2] + 0.25, front[12] - 0.25
        front[13] = -0.5
        count = int(rng.integers(2, 5))
        for pane in range(count):
            left, right = 3 + (WIDTH - 6) * pane // count, (WIDTH - 6) * (pane + 1) // count
            front[15:54, left:right] = 0.35
            front[16:53, left + 1 : right - 1] = _shop_window(rng, right - left - 2)
            glass[16:53, left + 1 : right - 1] = 255
        if rng.random() < 0.4:  # an awning with its shadow
            front[11:19] = rng.choice([-0.3, 0.0, 0.45]) + np.linspace(0.2, -0.1, 8)[:, None]
            front[19:25] -= np.linspace(0.5, 0.1, 6)[:, None]
            glass[11:19] = 0
        front[54:] = rng.uniform(-0.3, 0.2)
        return front, glass
    bays, panes = int(rng.integers(2, 5)), rng.integers((1, 1), (4, 3))
    door = int(rng.integers(bays))
    wide = int(WIDTH / bays * rng.uniform(0.4, 0.55))
    for bay in range(bays):
        left = int((bay + 0.5) * WIDTH / bays - wide / 2)
        if bay == door:
            left, right = left + wide // 2 - 10, left + wide // 2 + 10
            front[18:, left - 2 : right + 2] = 0.5
            front[20:, left:right] = rng.uniform(-0.9, -0.2)
            front[20:26, left:right] = -0.8
        else:
            _window(front, glass, rng, panes, 20, 48, left, left + wide)
    front[-5:] -= 0.25  # the plinth
    return front, glass
