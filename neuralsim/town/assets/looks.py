"""The colours of people and vehicles, about as frequent as on European streets."""

from __future__ import annotations

import numpy as np

from neuralsim.town.assets.meshes import PALETTE, RGB

#: Coats and jackets, most of them dark; trousers and skirts; shirts; hair; skin.
COATS: tuple[RGB, ...] = (
    (40, 41, 46), (48, 56, 80), (92, 94, 98), (52, 52, 56), (104, 92, 76), (62, 78, 116), (136, 130, 120), (84, 96, 78),
    (158, 44, 46), (190, 180, 160), (34, 36, 42), (120, 98, 76), (84, 116, 160), (214, 212, 206), (110, 52, 66),
    (176, 144, 104),
)  # fmt: skip
_LOWER = (
    (56, 68, 100), (40, 41, 46), (82, 96, 132), (50, 54, 62), (108, 100, 86), (42, 46, 64), (150, 138, 114),
    (78, 80, 86),
)  # fmt: skip
_SHIRTS = (
    (216, 216, 216), (172, 182, 200), (74, 78, 90), (168, 66, 62), (196, 190, 174), (96, 124, 160), (196, 200, 84),
    (130, 142, 124),
)  # fmt: skip
_HAIRS = (
    (44, 34, 28), (30, 25, 22), (84, 60, 42), (120, 92, 60), (172, 138, 94), (136, 132, 128), (186, 184, 180),
    (66, 46, 34),
)  # fmt: skip
_SKINS = (
    (224, 176, 148), (214, 164, 134), (230, 186, 160), (200, 150, 118), (172, 124, 94), (220, 172, 146), (128, 88, 66),
    (100, 70, 54),
)  # fmt: skip
_CHOICES = tuple(np.array(colours, np.uint8) for colours in (_LOWER, _SHIRTS, _HAIRS, _SKINS))


def palettes(colour: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return the colours of ``PALETTE`` of N objects, u8 (N, 5, 3).

    ``colour`` u8 (N, 3) is the first one; ``number``, their instances (N,), chooses the others.
    """
    result = np.empty((len(colour), len(PALETTE), 3), np.uint8)
    result[:, 0] = colour
    mixed = np.asarray(number, np.uint32) * np.uint32(2654435761)
    for k, choices in enumerate(_CHOICES):
        result[:, k + 1] = choices[(mixed >> np.uint32(8 + 5 * k)) % np.uint32(len(choices))]
    return result


def coat(number: int) -> RGB:
    """Return the coat of a person that has no colour attribute, by its actor id."""
    return COATS[(number * 2654435761 >> 9) % len(COATS)]
