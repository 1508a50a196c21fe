"""The compiled edges of what is drawn into surfaces: as soft as a pixel is large, so that nothing flickers."""

from numba import njit

from neuralsim.town.render.raster_arrays import lean_options as options


@njit(forceinline=True, **options)
def inside(value, low, high, soft):
    """Return 1 between ``low`` and ``high`` and 0 outside, with ramps of width ``soft``."""
    return min(max(min(value - low, high - value) / soft + 0.5, 0.0), 1.0)


@njit(forceinline=True, **options)
def line(away, wide, footprint):
    """Return the share of a pixel that a line of ``wide`` m covers, ``away`` m from the pixel's centre."""
    size = max(footprint, wide)
    return min(max((0.5 * wide + 0.5 * size - abs(away)) / size, 0.0), 1.0) * min(1.0, wide / size)
