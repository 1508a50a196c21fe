"""Facade textures of the simulator image, and of the generator's surface planes: a graph keeps those that were drawn
when it was exported.

A facade consists of two strips of texture, drawn here: a storey, which repeats upwards, and the ground floor. Along the
wall every second copy of a strip is mirrored, so that there is no seam. Far away, mip levels are used (Williams,
SIGGRAPH 1983). The instance of a house determines which strips it has and where they begin.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

WIDTH, HEIGHT = 128, 64  # texels of a strip
TEXEL = 0.05  # m along the wall, before the horizontal stretch of each house; vertically a strip fills its storey
LEVELS = 5  # mip levels, each half the size of the previous one
LETTERED = 2.5, 10.5  # texels, rows of a painted signboard that no awning covers: top, bottom
_DARK = 110  # 0..255: anything darker is a pane, or a hole
_BARS = 5  # texels, odd: panes up to this distance apart belong to one window
_LEAST_PANE = 3  # texels: what is dark and less high is the shadow of a sill or cornice
_ROUGHNESS = 0.02, 0.1  # of -1..1, standard deviation of a wall's tone: least, most
_WITH_CURTAINS, _WITH_BLINDS, _WITH_RAILINGS = 0.5, 0.5, 0.3  # shares of windows, and of storeys
_RAILING = 11  # texels, height of a railing
_LEAST_LIT = _DARK / 127.5 - 1.0 + 0.01  # tone of what is neither a pane nor a hole
_DOOR = 20  # texels, width of a door
_WITH_TRANSOM, _WHITE_DOORS, _GLAZED_DOORS = 0.6, 0.4, 0.5  # shares of doors
_LEAST_PITCH = 6  # texels from one pane to the next: narrower ones would look barred


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


class DrawnFronts(NamedTuple):
    """Drawn strips, u8 (2, count, HEIGHT, WIDTH) but for the signboards, read-only: storeys with framed windows, and
    ground floors of shops and houses."""

    tone: np.ndarray  # 0 .. 255, of the colour of the wall
    glass: np.ndarray  # 255 where there is glass with what is seen behind it, else 0
    trim: np.ndarray  # 255 where there is painted wood, metal or stone, such as frames and railings; less in its shade
    signboards: np.ndarray  # bool (count,): of ground floors that have one, in the rows of ``LETTERED``


@lru_cache(maxsize=1)
def draw_fronts(count: int = 48, seed: int = 0) -> DrawnFronts:
    """Return ``count`` drawings of a storey and of a ground floor."""
    rng, doors = np.random.default_rng(seed), np.random.default_rng((seed, 1))
    drawn = [[_storey(rng) for _ in range(count)], [_ground_floor(rng, doors, k % 3 == 0) for k in range(count)]]
    tone, glass, trim = (np.stack([np.stack([each[k] for each in floor]) for floor in drawn]) for k in range(3))
    signboards = np.array([front.has_signboard for front in drawn[1]])
    fronts = DrawnFronts(((tone.clip(-1.0, 1.0) + 1.0) * 127.5).round().astype(np.uint8), glass, trim, signboards)
    for plane in fronts:
        plane.flags.writeable = False
    return fronts


def label_rooms(strips: np.ndarray, glass: np.ndarray) -> np.ndarray:
    """Return u8 in the shape of ``strips``: the number of the room behind each window, 0 for wall.

    A room is lit as a whole at night. ``strips``, ``glass``: tone and glass of ``DrawnFronts``; what stands behind
    glass, such as goods, is part of the room.
    """
    kernel, upright = np.ones((_BARS, _BARS), np.uint8), np.ones((_LEAST_PANE, 1), np.uint8)
    out = np.zeros_like(strips)
    for index in np.ndindex(strips.shape[:2]):
        dark = (strips[index] < _DARK).astype(np.uint8)
        seen = cv2.morphologyEx(dark, cv2.MORPH_OPEN, upright) | (glass[index] > 0)
        number = cv2.connectedComponents(cv2.morphologyEx(seen, cv2.MORPH_CLOSE, kernel), connectivity=4)[1]
        out[index] = number * seen
    return out


class _Front(NamedTuple):
    """One strip in the making: planes (HEIGHT, WIDTH)."""

    tone: np.ndarray  # f64, -1 .. 1
    glass: np.ndarray  # u8
    trim: np.ndarray  # u8
    has_signboard: bool = False

    def add_trim(self, rows: slice, columns: slice, tone: float) -> None:
        """Add something painted."""
        self.tone[rows, columns], self.glass[rows, columns], self.trim[rows, columns] = tone, 0, 255

    def add_glass(self, rows: slice, columns: slice, tone: float | np.ndarray) -> None:
        """Add a pane, with the tone of what is seen behind it."""
        self.tone[rows, columns], self.glass[rows, columns], self.trim[rows, columns] = tone, 255, 0


def _wall(rng: np.random.Generator) -> _Front:
    grain = cv2.GaussianBlur(rng.normal(0.0, 1.0, (HEIGHT, WIDTH)), (0, 0), 0.7)
    tone = 0.2 + rng.uniform(*_ROUGHNESS) * (grain / grain.std()).clip(-2.5, 2.5)  # never as dark as a pane
    return _Front(tone, np.zeros(tone.shape, np.uint8), np.zeros(tone.shape, np.uint8))


def _add_window(
    front: _Front,
    rng: np.random.Generator,
    panes: np.ndarray,
    top: int,
    bottom: int,
    left: int,
    right: int,
    railing: bool = False,
) -> None:
    """Add ``panes`` (across, down) in a frame, with a lintel above, a sill below and the shadow of the sill; some
    windows have curtains or a blind, and those with a ``railing`` reach down to a floor."""
    tone, glass = front.tone, front.glass
    tone[max(top - 2, 0) : top, left - 1 : right + 1] = rng.uniform(0.2, 0.5)
    left, right = left - 1, right + 1
    front.add_trim(slice(top, bottom), slice(left, right), rng.uniform(0.5, 0.8))
    across, down = min(panes[0], max((right - left) // _LEAST_PITCH, 1)), panes[1]
    for i in range(across):
        for j in range(down):
            y, x = top + 2 + (bottom - top - 2) * j // down, left + 2 + (right - left - 2) * i // across
            high, wide = (bottom - top - 2) // down - 2, (right - left - 2) // across - 2
            # a pane shows the room and, the higher it is, more of the sky
            seen = rng.uniform(-1.0, -0.5) + rng.uniform(0.0, 0.4) * (j == 0)
            front.add_glass(slice(y, y + high), slice(x, x + wide), seen)
    if rng.random() < _WITH_CURTAINS:
        broad, lighter = max(1, (right - left) // 5), rng.uniform(0.3, 0.9)
        for x in (left + 2, right - 2 - broad):
            tone[top:bottom, x : x + broad] += lighter * (glass[top:bottom, x : x + broad] > 0)
    if rng.random() < _WITH_BLINDS:
        end = top + int(rng.integers(3, max(4, bottom - top - 3)))
        tone[top:end, left:right] += 0.6 * (glass[top:end, left:right] > 0)
    front.add_trim(slice(bottom, bottom + 2), slice(left - 1, right + 1), 0.7)
    tone[bottom + 2, left:right] = -0.25
    if railing:
        front.add_trim(slice(bottom - _RAILING, bottom), slice(left - 2, right + 2, 2), 0.5)
        front.add_trim(slice(bottom - _RAILING, bottom - _RAILING + 1), slice(left - 2, right + 2), 0.5)


def _storey(rng: np.random.Generator) -> _Front:
    """Draw identical windows, often in pairs, or a band of them."""
    front = _wall(rng)
    bays, panes = int(rng.integers(3, 6)), rng.integers((1, 1), (4, 3))
    wide = int(WIDTH / bays * rng.uniform(0.45, 0.75))
    top = int(rng.integers(8, 18))
    bottom = min(HEIGHT - 8, top + int(rng.integers(28, 40)))
    railing = rng.random() < _WITH_RAILINGS
    for bay in range(bays):
        left = int((bay + 0.5) * WIDTH / bays - wide / 2)
        _add_window(front, rng, panes, top, bottom, left, left + wide, railing)
    if rng.random() < 0.5:  # a string course between the storeys
        front.add_trim(slice(-3, -1), slice(None), 0.5)
        front.tone[-1] = -0.2
    return front


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
        top, end = int(rng.integers(5, 10)), int(rng.integers(24, 34))
        sheet, tone = inside[top:end, int(left) : int(left + broad)], rng.uniform(0.5, 1.2)
        sheet += tone * np.linspace(1.0, 0.6, len(sheet))[:, None]
        sheet[3:-9, 2:-2] -= 0.45 * tone * np.linspace(0.2, 1.0, max(len(sheet) - 12, 0))[:, None]  # a picture
        sheet[-7:-5, 2:-2] -= 0.7 * tone  # its title, and small print
        sheet[-3, 2:-3] -= 0.4 * tone
    street = cv2.GaussianBlur(rng.normal(0.0, 1.0, (37, wide)), (0, 0), 4.0, sigmaY=7.0)
    inside += 0.16 * street / max(float(street.std()), 1e-6)
    inside[2:4, int(rng.integers(2, 9)) :: int(rng.integers(11, 17))] += 1.0  # lamps under the ceiling
    inside[35:] = -0.3  # the ledge
    return cv2.GaussianBlur(np.clip(inside, -0.9, 0.6), (0, 0), 0.7)


def _add_door(front: _Front, rng: np.random.Generator, left: int) -> None:
    """Add a door in its frame, painted or white, with panels or panes, and for some a window above it."""
    tone, right, top = front.tone, left + _DOOR, 20
    front.add_trim(slice(top - 2, None), slice(left - 2, right + 2), 0.5)
    if rng.random() < _WITH_TRANSOM:
        front.add_glass(slice(top, top + 6), slice(left + 1, right - 1), rng.uniform(-0.8, -0.4))
        top += 8
    leaf = slice(top, HEIGHT - 2), slice(left, right)
    is_white = rng.random() < _WHITE_DOORS
    colour = rng.uniform(0.15, 0.4) if is_white else rng.uniform(-0.12, 0.1)
    tone[leaf] = colour
    front.trim[leaf] = 255 if is_white else 0
    rows = np.linspace(top + 1, HEIGHT - 3, int(rng.integers(2, 4)) + 1).astype(int)
    pane = rng.random() < _GLAZED_DOORS
    for i, (first, end) in enumerate(itertools.pairwise(rows)):
        for x in (left + 2, left + _DOOR // 2 + 1):
            panel = slice(first + 1, end - 1), slice(x, x + _DOOR // 2 - 3)
            if pane and i == 0:
                front.add_glass(*panel, rng.uniform(-0.7, -0.3))
                continue
            for part, shade in ((panel, 0.1), ((panel[0].start, panel[1]), 0.3), ((panel[0], x), 0.3)):
                tone[part] = max(colour - shade, _LEAST_LIT)  # the upper left edges are in the shade
                front.trim[part] = front.trim[part] * (1.0 - shade)
    front.add_trim(slice(44, 47), slice(right - 3, right - 1), 0.9)  # the handle
    front.add_trim(slice(HEIGHT - 2, HEIGHT), slice(left - 3, right + 3), 0.3)  # the step


def _add_shop_door(front: _Front, rng: np.random.Generator, left: int) -> None:
    """Add a glazed door in a shop window: frame, transom, kick plate and a bar to push."""
    right, colour = left + _DOOR, rng.choice([_LEAST_LIT, 0.0, 0.5])
    for rows, columns in (
        (slice(15, None), slice(left, left + 2)),
        (slice(15, None), slice(right - 2, right)),
        (slice(22, 24), slice(left, right)),
        (slice(53, None), slice(left, right)),
    ):
        front.add_trim(rows, columns, colour)
    front.add_trim(slice(36, 46), slice(right - 4, right - 3), 0.9)


def _ground_floor(rng: np.random.Generator, doors: np.random.Generator, is_rusticated: bool) -> _Front:
    """Draw a shop below its signboard, or a door and windows; ``doors``: the generator for what doors look like."""
    front = _wall(rng)
    tone, glass = front.tone, front.glass
    if is_rusticated:  # horizontal joints every 0.35 m
        tone[5::6] -= 0.2
    if rng.random() < 0.5:
        tone[2:13] = rng.choice([-0.6, -0.3, 0.1, 0.5])  # the signboard
        tone[2], tone[12] = tone[2] + 0.25, tone[12] - 0.25
        tone[13] = -0.5
        count = int(rng.integers(2, 5))
        entrance = int(doors.integers(count))
        for pane in range(count):
            left, right = 3 + (WIDTH - 6) * pane // count, (WIDTH - 6) * (pane + 1) // count
            front.add_trim(slice(15, 54), slice(left, right), 0.35)
            inside = _shop_window(rng, right - left - 2)
            front.add_glass(slice(16, 53), slice(left + 1, right - 1), inside)
            if pane == entrance:
                _add_shop_door(front, doors, (left + right - _DOOR) // 2)
        if rng.random() < 0.4:  # an awning with its shadow
            tone[11:19] = rng.choice([-0.3, 0.0, 0.45]) + np.linspace(0.2, -0.1, 8)[:, None]
            tone[19:25] -= np.linspace(0.5, 0.1, 6)[:, None]
            glass[11:19] = front.trim[11:19] = 0
        below = max(rng.uniform(-0.3, 0.2), _LEAST_LIT)
        tone[54:] = np.where(front.trim[54:] > 0, tone[54:], below)
        return front._replace(has_signboard=True)
    tone[-5:] = np.maximum(tone[-5:] - 0.25, _LEAST_LIT)  # the plinth
    bays, panes = int(rng.integers(2, 5)), rng.integers((1, 1), (4, 3))
    door = int(rng.integers(bays))
    wide = int(WIDTH / bays * rng.uniform(0.4, 0.55))
    for bay in range(bays):
        left = int((bay + 0.5) * WIDTH / bays - wide / 2)
        if bay == door:
            rng.random()  # as many numbers as when doors had no generator of their own: windows stay as they were
            _add_door(front, doors, left + wide // 2 - _DOOR // 2)
        else:
            _add_window(front, rng, panes, 20, 48, left, left + wide)
    return front
