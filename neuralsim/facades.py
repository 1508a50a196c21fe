"""Facade textures, shared by the simulator image and by the surface planes of the generator.

A facade consists of two strips of texture, drawn here: a storey, which repeats upwards, and the ground floor. Along the
wall every second copy of a strip is mirrored, so that there is no seam. Far away, mip levels are used (Williams,
SIGGRAPH 1983). The instance of a house determines which strips it has and where they begin.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT = 128, 64  # texels of a strip
TEXEL = 0.05  # m along the wall, before the horizontal stretch of each house; vertically a strip fills its storey
LEVELS = 5  # mip levels, each half the size of the previous one
_DARK = 110  # 0..255: anything darker is a pane or a door
_BARS = 5  # texels, odd: panes up to this distance apart belong to one window


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
    rng = np.random.default_rng(seed)
    out = np.stack([np.stack([draw(rng) for _ in range(count)]) for draw in (_storey, _ground_floor)])
    return np.asarray(((out.clip(-1.0, 1.0) + 1.0) * 127.5).round(), np.uint8)


def label_rooms(strips: np.ndarray) -> np.ndarray:
    """Return u8 in the shape of ``strips``: the number of the room behind each window or door, 0 for wall.

    A room is lit as a whole at night.
    """
    kernel = np.ones((_BARS, _BARS), np.uint8)
    out = np.zeros_like(strips)
    for index in np.ndindex(strips.shape[:2]):
        dark = (strips[index] < _DARK).astype(np.uint8)
        number = cv2.connectedComponents(cv2.morphologyEx(dark, cv2.MORPH_CLOSE, kernel), connectivity=4)[1]
        out[index] = number * dark
    return out


def _wall(rng: np.random.Generator) -> np.ndarray:
    """Return f64 (HEIGHT, WIDTH): bricks in courses, or plaster with stains and damp."""
    stains, grain = (cv2.GaussianBlur(rng.normal(0.0, size, (HEIGHT, WIDTH)), (0, 0), size) for size in (3.0, 1.0))
    front = 0.2 + rng.uniform(0.05, 0.12) * stains + rng.uniform(0.05, 0.14) * grain
    if rng.random() < 0.4:
        front += 0.05 * rng.standard_normal((HEIGHT // 2, WIDTH // 4)).repeat(2, 0).repeat(4, 1)
        front[::2] -= 0.05  # joints
    return np.asarray(np.maximum(front, -0.1))  # lighter than panes


def _window(
    front: np.ndarray, rng: np.random.Generator, panes: np.ndarray, top: int, bottom: int, left: int, right: int
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
    if rng.random() < 0.25:
        front[top + 1 : top + int(rng.integers(3, max(4, bottom - top - 3))), left + 1 : right - 1] += 0.6  # a blind
    front[bottom : bottom + 1, left - 2 : right + 2] = 0.55
    front[bottom + 1 : bottom + 2, left - 1 : right + 1] = -0.25


def _storey(rng: np.random.Generator) -> np.ndarray:
    """Draw identical windows, often in pairs, or a band of them."""
    front = _wall(rng)
    bays, panes = int(rng.integers(2, 5)), rng.integers((1, 1), (4, 3))
    wide = int(WIDTH / bays * rng.uniform(0.34, 0.6))
    top = int(rng.integers(8, 18))
    bottom = min(HEIGHT - 8, top + int(rng.integers(28, 40)))
    for bay in range(bays):
        left = int((bay + 0.5) * WIDTH / bays - wide / 2)
        _window(front, rng, panes, top, bottom, left, left + wide)
    if rng.random() < 0.5:  # a string course between the storeys
        front[-3:-1] = 0.5
        front[-1] = -0.2
    return front


def _shop_window(rng: np.random.Generator, wide: int) -> np.ndarray:
    """Return f64 (37, wide): a blind, or a dim room with goods on a ledge or on shelves, behind reflections."""
    kind = rng.choice(4, p=(0.15, 0.3, 0.25, 0.3))
    inside = np.tile(np.linspace(-0.5, -0.8, 37)[:, None], (1, wide)) + rng.uniform(-0.1, 0.1)
    if kind == 0:
        inside[: int(rng.integers(18, 37))] = rng.uniform(-0.2, 0.15)
    elif kind == 1:  # low goods, some tall
        x = int(rng.integers(0, 6))
        while x < wide - 3:
            end = min(x + int(rng.integers(5, 18)), wide)
            inside[35 - int(rng.integers(3, 13)) :, x:end] = rng.uniform(-0.6, 0.3)
            x = end + int(rng.integers(0, 9))
    elif kind == 2:  # shelves
        for board in range(int(rng.integers(6, 10)), 36, int(rng.integers(8, 12))):
            ends = np.cumsum(rng.integers(2, 8, wide))
            for left, right in pairwise(ends.tolist()):
                if left < wide:
                    inside[board - int(rng.integers(1, 6)) : board, left:right] = rng.uniform(-0.7, 0.25)
            inside[board] = -0.2
    else:  # a room, its back wall and lamps
        inside[12:30, wide // 6 : wide - wide // 5] += rng.uniform(0.05, 0.2)
        inside[4, 3 :: int(rng.integers(11, 18))] = 0.3
    inside[:22] += np.linspace(rng.uniform(0.0, 0.35), 0.0, 22)[:, None]  # the sky, and what is across the street
    start, broad = int(rng.integers(0, wide)), int(rng.integers(4, 14))
    inside[:, start : start + broad] += rng.uniform(-0.25, 0.25)
    return np.asarray(cv2.GaussianBlur(inside, (0, 0), 0.45))


def _ground_floor(rng: np.random.Generator) -> np.ndarray:
    """Draw a shop below its signboard, or a door and windows."""
    front = _wall(rng)
    if rng.random() < 0.5:
        front[2:13] = rng.choice([-0.6, -0.3, 0.1, 0.5])  # the signboard; letters would be illegible
        front[2], front[12] = front[2] + 0.25, front[12] - 0.25
        front[13] = -0.5
        count = int(rng.integers(2, 5))
        for pane in range(count):
            left, right = 3 + (WIDTH - 6) * pane // count, (WIDTH - 6) * (pane + 1) // count
            front[15:54, left:right] = 0.35
            front[16:53, left + 1 : right - 1] = _shop_window(rng, right - left - 2)
        if rng.random() < 0.4:  # an awning with its shadow
            front[11:19] = rng.choice([-0.3, 0.0, 0.45]) + np.linspace(0.2, -0.1, 8)[:, None]
            front[19:25] -= np.linspace(0.5, 0.1, 6)[:, None]
        front[54:] = rng.uniform(-0.3, 0.2)
        return front
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
            _window(front, rng, panes, 20, 48, left, left + wide)
    front[-5:] -= 0.25  # the plinth
    return front
