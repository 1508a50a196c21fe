"""Drive CARLA in photoreal pixels: the renderer, the driving window and the command line around them."""

import os

from bridge.untrusted.limits import PIXELS

__version__ = "0.1.0"

# OpenCV reads it once, when it is loaded: whatever decodes a picture refuses a larger one before it takes memory.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(PIXELS))
