"""Constants of a graph's inputs that the kernels which compute them share (``neuralsim/models/input_planes.py``)."""

from functools import reduce
from operator import or_
from typing import Any

from neuralsim.models.classes import Channel

WALL = 0.42  # mean brightness of façades by day, 0..1
#: Classes whose textures a guided generator draws (``neuralsim/models/guide_image.py``).
SURFACES = (
    Channel.ROAD,
    Channel.SIDEWALK,
    Channel.BUILDING,
    Channel.VEGETATION,
    Channel.TERRAIN,
    Channel.SKY,
)
SKETCH_END = len(SURFACES) - 1  # of them, of which there is a sketch: no strokes in the sky, which is the last one
BLOCK = 8  # px: side of the means


def is_sketched(label: Any) -> Any:
    """Return where a sketch says what their means leave out: bool, an array or tensor like the channels ``label``."""
    return reduce(or_, (label == channel for channel in SURFACES[:SKETCH_END]))


def is_level(label: Any) -> Any:
    """Return where the ground is, as for ``is_sketched``."""
    return (label == Channel.ROAD) | (label == Channel.SIDEWALK) | (label == Channel.TERRAIN)


def is_textured(label: Any) -> Any:
    """Return where a guided generator is given a texture, as for ``is_sketched``."""
    return is_level(label) | (label == Channel.VEGETATION) | (label == Channel.BUILDING)
