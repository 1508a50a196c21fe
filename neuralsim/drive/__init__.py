"""The interactive drive without a display: loop, keys, settings and late warp, shared by window and browser."""
