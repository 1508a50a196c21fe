"""What lies in asphalt: covers of manholes and gullies at the kerb, flat and centred, with x along the road.

Dimensions follow EN 124, which a cover of 0.6 m of clear opening and its frame meet.
"""

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import RGB, Mesh, merge, quad_strip

COVER_RADIUS = 0.39  # m, with its frame
COVERS = 3  # kinds
GULLY = 0.5, 0.36  # m, length along the kerb and width
_RADII = 0.17, 0.30, 0.345, COVER_RADIUS  # m: of a cover's middle, its rim, the gap around it, its frame
_CORNERS = 12
_BARS = 4  # of a gully
_GAP = (26, 26, 27)
_BAR = (92, 90, 87)
#: RGB of a cover's middle, rim, the gap around it and its frame: of iron, worn bright or dark; filled with concrete.
_IRON: tuple[tuple[RGB, ...], ...] = (
    ((74, 72, 69), (62, 60, 58), _GAP, (88, 86, 83)),
    ((52, 51, 50), (46, 45, 44), _GAP, (66, 65, 63)),
    ((118, 115, 110), (64, 62, 60), _GAP, (72, 70, 68)),
)


def cover(kind: int) -> Mesh:
    """Return the cover of a manhole, of one of ``COVERS`` kinds."""
    angle = 2.0 * np.pi * np.arange(_CORNERS + 1) / _CORNERS
    circle = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(_CORNERS + 1)])
    k = np.arange(1, _CORNERS - 1)
    middle = np.stack([np.zeros_like(k), k, k + 1], 1)
    parts = [Mesh.of(_RADII[0] * circle, middle, Tag.ROAD, _IRON[kind][0])]
    for inner, outer, colour in zip(_RADII, _RADII[1:], _IRON[kind][1:], strict=False):
        parts.append(quad_strip(inner * circle, outer * circle, Tag.ROAD, colour))
    return merge(parts)


def gully() -> Mesh:
    """Return the grate at the kerb through which rain runs off."""
    long, wide = GULLY
    step = long / _BARS

    def band(begin: float, end: float, lift: float, colour: RGB) -> Mesh:
        left, right = (np.array([(begin, y, lift), (end, y, lift)]) for y in (-0.5 * wide, 0.5 * wide))
        return quad_strip(left, right, Tag.ROAD, colour)

    bars = [(-0.5 * long + (k + 0.25) * step, -0.5 * long + (k + 0.75) * step) for k in range(_BARS)]
    return merge([band(-0.5 * long, 0.5 * long, 0.0, _GAP), *(band(a, b, 0.001, _BAR) for a, b in bars)])


def road_templates() -> dict[str, Mesh]:
    """Return all meshes of this module by name."""
    return {f"cover {kind}": cover(kind) for kind in range(COVERS)} | {"gully": gully()}
