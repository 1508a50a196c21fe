"""The software rasteriser and the cache of camera views."""
