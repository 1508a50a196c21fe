"""The arrays that the rasteriser's kernels share, their constants and compilation options.

Camera space is UE's: x along the optical axis, y right, z up. A pixel (row i, column j) looks along the ray
(1, (j + 0.5 - cx) / f, -(i + 0.5 - cy) / f). The visibility buffer holds 1 / depth, which is linear over a triangle in
the image (its plane n . p = d gives 1 / x = n . ray / d), and the number of the triangle in front.
"""

from typing import NamedTuple

import numpy as np

from neuralsim.base import kernels

NEAR_PLANE = 0.06  # m; nearer surfaces are clipped
TILE = 8  # px, side of an occlusion tile

#: Finishes of triangles: which procedural shading they get.
PLAIN, ASPHALT, MARKING, PAVING, GRASS, WALL, ROOF, BODY, WINDOW, LEAF, TRIM, CLOTH = range(12)
MASONRY, BARK, BOARD, SIGN = range(12, 16)

#: numba options of kernels; and of those that allocate nothing, which can do without reference counting.
options = kernels.EXACT
lean_options = {**options, "_nrt": False}


class SceneArrays(NamedTuple):
    """The geometry of a scene: P parts (chunks of the static mesh, then templates) of V vertices and T triangles."""

    vertices: np.ndarray  # f32 (3, V), m
    triangles: np.ndarray  # i32 (T, 3)
    tags: np.ndarray  # u8 (T,)
    instances: np.ndarray  # u16 (T,), of the static mesh
    solid: np.ndarray  # bool (T,): part of a closed body, whose back faces are culled
    colours: np.ndarray  # u8 (T, 3), RGB
    paint: np.ndarray  # u8 (T,): 1 + the placement's colour that it takes, 0: its own
    glow: np.ndarray  # u8 (T,): 1 emits light, 2 in the dark, 3 and 4 as tail lamp and headlamp that is switched on
    finish: np.ndarray  # u8 (T,)
    vertex_spans: np.ndarray  # i32 (P, 6): first vertex of each level of detail of a part, and its END
    triangle_spans: np.ndarray  # i32 (P, 6): first triangle of each level of detail of a part, and its END
    boxes: np.ndarray  # f64 (P, 6), centre and half size, m
    detail: np.ndarray  # f64 (P,): levels of detail end at that fraction of the distance of the lens
    normals: np.ndarray  # i8 (t, 9): of the corners of the last t triangles, in 127ths; 0: flat


class DrawList(NamedTuple):
    """C candidates for drawing: parts under the transforms of N objects, of which number 0 is the static world."""

    part_of: np.ndarray  # i32 (C,)
    object_of: np.ndarray  # i32 (C,)
    matrices: np.ndarray  # f64 (N, 3, 4), camera <- local
    colours: np.ndarray  # u8 (N, 7, 3), RGB of the triangles that take one of the object's colours
    instances: np.ndarray  # u16 (N,)
    lights: np.ndarray  # i32 (N,), bits of ``carla.VehicleLightState``


class Motions(NamedTuple):
    """The motion of N objects since the previous frame."""

    shift: np.ndarray  # i32 (N,), triangles from the drawn part to that of the previous frame; 0 for rigid bodies
    previous: np.ndarray  # f64 (N, 3, 4), previous camera <- local
    warps: np.ndarray  # f64 (N, 3, 4), previous camera <- camera, following the object


class VisibilityBuffer(NamedTuple):
    """The nearest surface per pixel and the n triangles drawn so far, of which number 0 is the sky."""

    nearness: np.ndarray  # f32 (H * W,), 1 / depth
    ids: np.ndarray  # i32 (H * W,), number of the drawn triangle
    tiles: np.ndarray  # f32 (H / TILE, W / TILE), lower bounds of nearness
    source: np.ndarray  # i32 (n,), index of each drawn triangle in the scene
    owner: np.ndarray  # i32 (n,), its object
    label: np.ndarray  # u32 (n,), finish * 2^24 + tag * 2^16 + instance
    surface: np.ndarray  # f32 (n, 9): RGB, shares of sunlight and skylight, glow, normal in camera space
    points: np.ndarray  # f64 (5, V), scratch: x, y, z of a part's vertices in camera space; column and row in the image
    clipped: np.ndarray  # f64 (4, 5), scratch: the same of the corners of a clipped triangle


class Lens(NamedTuple):
    """A pinhole camera: image size, focal length and principal point in pixels.

    Parts are drawn in detail level FAR from depth ``far_level`` on, and in DISTANT instead of MIDDLE from
    ``distant_level`` on (m).
    """

    width: int
    height: int
    focal: float
    cx: float
    cy: float
    far_level: float
    distant_level: float


class Planes(NamedTuple):
    """The image planes of a camera."""

    tag: np.ndarray  # u8 (H, W)
    instance: np.ndarray  # u16 (H, W)
    depth: np.ndarray  # f32 (H, W), m along the optical axis, 1000 for the sky
    motion: np.ndarray  # f32 (H, W, 2), px: position of the surface point in the previous frame minus that of the pixel
    rgb: np.ndarray | None  # u8 (H, W, 3)
