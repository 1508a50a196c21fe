"""The colours of people and vehicles, about as frequent as on European streets."""

from pathlib import Path

import msgspec
import numpy as np

from bridge.untrusted import yaml
from neuralsim.town.assets.meshes import PAINT, PALETTE, RGB, SLEEVE, UMBRELLA

#: Lamps of vehicles that are triangles, and number plates.
HEADLAMP: RGB = (225, 230, 235)
TAILLAMP: RGB = (150, 18, 18)
PLATE: RGB = (220, 220, 205)


class _Colours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``colours.yaml`` has."""

    coats: tuple[RGB, ...]
    lower: tuple[RGB, ...]
    shirts: tuple[RGB, ...]
    hair: tuple[RGB, ...]
    skin: tuple[RGB, ...]
    umbrellas: tuple[RGB, ...]
    walls: tuple[RGB, ...]
    roofs: tuple[RGB, ...]
    signboards: tuple[RGB, ...]
    cars: dict[str, int]


COLOURS = msgspec.convert(yaml.read(Path(__file__).with_name("colours.yaml")), _Colours)
_CHOICES = tuple(np.array(colours, np.uint8) for colours in (COLOURS.lower, COLOURS.shirts, COLOURS.hair, COLOURS.skin))


def palettes(colour: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return the colours of ``PALETTE`` of N objects, u8 (N, 7, 3).

    ``colour`` u8 (N, 3) is the first one; ``number``, their instances (N,), chooses the others.
    """
    result = np.empty((len(colour), len(PALETTE), 3), np.uint8)
    result[:, PALETTE.index(PAINT)] = result[:, PALETTE.index(SLEEVE)] = colour
    mixed = np.asarray(number, np.uint32) * np.uint32(2654435761)
    for k, choices in enumerate(_CHOICES):
        result[:, k + 1] = choices[(mixed >> np.uint32(8 + 5 * k)) % np.uint32(len(choices))]
    result[:, PALETTE.index(UMBRELLA)] = np.array(COLOURS.umbrellas, np.uint8)[mixed >> np.uint32(28)]
    return result


def carries_umbrella(number: np.ndarray) -> np.ndarray:
    """Return which of the people with these instances (N,) take an umbrella with them when it rains, bool (N,)."""
    mixed = np.asarray(number, np.uint32) * np.uint32(2246822519)
    return np.asarray((mixed >> np.uint32(16)) % np.uint32(3) > 0)


def coat(number: int) -> RGB:
    """Return the coat of a person that has no colour attribute, by its actor id."""
    coats = COLOURS.coats
    return coats[(number * 2654435761 >> 9) % len(coats)]
