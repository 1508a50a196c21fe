"""What tells the painter how things look: the simulator's own picture, or sketches of real objects."""

from typing import Literal, get_args

#: Whose look of things is painted: that of the simulator's picture, that of real objects of their shape, or what their
#: surfaces alone are taken to be like.
Guide = Literal["picture", "exemplars", "surface"]
GUIDES: tuple[Guide, ...] = get_args(Guide)
