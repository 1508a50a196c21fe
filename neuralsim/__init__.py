"""Drive CARLA in photoreal pixels: the renderer, the driving window and the command line around them."""

__version__ = "0.1.0"
