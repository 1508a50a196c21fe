"""Constants of the texture that a guided generator is given of a surface: noise of unit contrast, fixed to it."""

#: Sizes of the noise's cells, of the finest, which covers one to two pixels at half size, and their weights.
CELLS = ((1, 0.6), (2, 0.35), (4, 0.45), (8, 0.3))
_BILINEAR = 4.0 / 9.0  # variance of value noise between values of variance 1
#: The sum's variance.
VARIANCE = _BILINEAR * sum(weight * weight for _, weight in CELLS)
TEXTURE_LIMIT = 2.5  # of a texture
CELL_SIZE = 1.4  # px at half size: mean size of the finest cells
CAMERA_FLOOR = 0.5  # m over the ground
