"""Guides tell the generator what objects look like: the simulator image, or sketches of real objects."""

from typing import Literal, get_args

#: Source of the appearance of objects: the simulator image, real objects of the same shape, or their surfaces alone.
Guide = Literal["picture", "exemplars", "surface"]
GUIDES: tuple[Guide, ...] = get_args(Guide)
