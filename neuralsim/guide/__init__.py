"""Guides of the painter: how things look by the simulator's own picture, or by sketches of real objects."""

#: Whose look of things is painted: that of the simulator's picture, that of real objects of their shape, or what their
#: surfaces alone are taken to be like.
GUIDES = ("picture", "exemplars", "surface")
