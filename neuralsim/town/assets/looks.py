"""The colours of people and vehicles, about as frequent as on European streets."""

from __future__ import annotations

import numpy as np

from neuralsim.town.assets.meshes import PAINT, PALETTE, RGB, SLEEVE, UMBRELLA

#: Lamps of vehicles that are triangles, and number plates.
HEADLAMP: RGB = (225, 230, 235)
TAILLAMP: RGB = (150, 18, 18)
PLATE: RGB = (220, 220, 205)

#: Coats and jackets, most of them dark; trousers and skirts; shirts; hair; skin; umbrellas.
COATS: tuple[RGB, ...] = (
    (33, 34, 38), (39, 46, 66), (75, 77, 80), (43, 43, 46), (85, 75, 62), (51, 64, 95), (112, 107, 98), (69, 79, 64),
    (130, 36, 38), (156, 148, 131), (28, 30, 34), (98, 80, 62), (69, 95, 131), (175, 174, 169), (90, 43, 54),
    (144, 118, 85),
)  # fmt: skip
_LOWER = (
    (46, 56, 82), (33, 34, 38), (67, 79, 108), (41, 44, 51), (89, 82, 71), (34, 38, 52), (123, 113, 93),
    (64, 66, 71),
)  # fmt: skip
_SHIRTS = (
    (177, 177, 177), (141, 149, 164), (61, 64, 74), (138, 54, 51), (161, 156, 143), (79, 102, 131), (161, 164, 69),
    (107, 116, 102),
)  # fmt: skip
_HAIRS = (
    (44, 34, 28), (30, 25, 22), (84, 60, 42), (120, 92, 60), (172, 138, 94), (136, 132, 128), (186, 184, 180),
    (66, 46, 34),
)  # fmt: skip
_SKINS = (
    (224, 176, 148), (214, 164, 134), (230, 186, 160), (200, 150, 118), (172, 124, 94), (220, 172, 146), (128, 88, 66),
    (100, 70, 54),
)  # fmt: skip
_UMBRELLAS = (
    (24, 25, 29), (34, 48, 84), (26, 26, 28), (70, 74, 80), (30, 36, 58), (22, 22, 24), (86, 34, 42), (44, 68, 58),
    (34, 34, 38), (92, 84, 70), (27, 29, 34), (142, 30, 36), (36, 80, 128), (28, 30, 36), (120, 116, 104), (50, 52, 58),
)  # fmt: skip
_CHOICES = tuple(np.array(colours, np.uint8) for colours in (_LOWER, _SHIRTS, _HAIRS, _SKINS))


def palettes(colour: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return the colours of ``PALETTE`` of N objects, u8 (N, 7, 3).

    ``colour`` u8 (N, 3) is the first one; ``number``, their instances (N,), chooses the others.
    """
    result = np.empty((len(colour), len(PALETTE), 3), np.uint8)
    result[:, PALETTE.index(PAINT)] = result[:, PALETTE.index(SLEEVE)] = colour
    mixed = np.asarray(number, np.uint32) * np.uint32(2654435761)
    for k, choices in enumerate(_CHOICES):
        result[:, k + 1] = choices[(mixed >> np.uint32(8 + 5 * k)) % np.uint32(len(choices))]
    result[:, PALETTE.index(UMBRELLA)] = np.array(_UMBRELLAS, np.uint8)[mixed >> np.uint32(28)]
    return result


def carries_umbrella(number: np.ndarray) -> np.ndarray:
    """Return which of the people with these instances (N,) take an umbrella with them when it rains, bool (N,)."""
    mixed = np.asarray(number, np.uint32) * np.uint32(2246822519)
    return np.asarray((mixed >> np.uint32(16)) % np.uint32(3) > 0)


def coat(number: int) -> RGB:
    """Return the coat of a person that has no colour attribute, by its actor id."""
    return COATS[(number * 2654435761 >> 9) % len(COATS)]
