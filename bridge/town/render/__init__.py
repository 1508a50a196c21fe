"""The software rasteriser, and what cameras are shown."""
