"""What tells the painter how things look: the simulator's own picture, or sketches of real objects."""

#: Whose look of things is painted: that of the simulator's picture (where there is none, of real objects like them), or
#: what their surfaces alone are taken to be like.
GUIDES = ("picture", "surface")
