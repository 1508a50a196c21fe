"""An interactive drive without its display: the loop, keys, settings and the late warp. Window and browser share it."""
