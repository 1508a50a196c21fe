"""Conversion of the rasteriser's planes to CARLA's camera pixels, written straight into send buffers.

Images are BGRA u8, four bytes a pixel, written as one little-endian u32 each. The formulas are CARLA's: tag in R
(``SemanticSegmentationCamera``), tag in R and id in G + 256 B (``InstanceSegmentationCamera``), depth as
(R + 256 G + 65536 B) / (2^24 - 1) of 1000 m (``DepthCamera``), optical flow as UE's velocity buffer: how far a surface
has moved since the previous frame, in normalised device coordinates, x right and y up (carla issue 4795: pixels are
x * width / 2, y * -height / 2).
"""

import numpy as np
from numba import njit

from bridge.geometry import focal_length
from bridge.tags import COLOURS
from neuralsim.base import kernels
from neuralsim.town.render.raster import Planes

OPAQUE = np.uint32(0xFF000000)
FAR = 1000.0  # m
#: The colour of each tag as a BGRA word, for images meant for viewing.
PALETTE = np.full(256, OPAQUE, np.uint32)
PALETTE[: len(COLOURS)] |= COLOURS.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)


@njit(**kernels.EXACT)
def _rgb(rgb: np.ndarray, out: np.ndarray) -> None:
    for i in range(out.size):
        out[i] = OPAQUE | np.uint32(rgb[i, 0]) << 16 | np.uint32(rgb[i, 1]) << 8 | np.uint32(rgb[i, 2])


@njit(**kernels.EXACT)
def _tag(tag: np.ndarray, out: np.ndarray) -> None:
    for i in range(out.size):
        out[i] = OPAQUE | np.uint32(tag[i]) << 16


@njit(**kernels.EXACT)
def _palette(tag: np.ndarray, colours: np.ndarray, out: np.ndarray) -> None:
    for i in range(out.size):
        out[i] = colours[tag[i]]


@njit(**kernels.EXACT)
def _instance(tag: np.ndarray, instance: np.ndarray, out: np.ndarray) -> None:
    for i in range(out.size):
        ident = np.uint32(instance[i])
        out[i] = OPAQUE | np.uint32(tag[i]) << 16 | (ident & np.uint32(255)) << 8 | ident >> 8


@njit(**kernels.EXACT)
def _depth(depth: np.ndarray, out: np.ndarray) -> None:
    scale = 16777215.0 / FAR
    for i in range(out.size):
        value = np.uint32(min(max(depth[i], 0.0), FAR) * scale + 0.5)
        out[i] = OPAQUE | (value & np.uint32(255)) << 16 | (value & np.uint32(0xFF00)) | value >> 16


@njit(**kernels.EXACT)
def _flow(motion: np.ndarray, across: float, down: float, out: np.ndarray) -> None:
    for i in range(motion.shape[0]):
        out[i, 0] = -motion[i, 0] * across
        out[i, 1] = motion[i, 1] * down


@njit(**kernels.EXACT)
def _normals(depth: np.ndarray, focal: float, axes: np.ndarray, out: np.ndarray) -> None:
    """Write normals in world axes, derived from depth, as 255 (n + 1) / 2 in R, G, B; grey if there is no surface."""
    height, width = depth.shape
    for i in range(height):
        for j in range(width):
            near = depth[i, j]
            word = 0x808080
            if near < FAR:
                # On each axis the neighbour that is nearer in depth is taken to lie on the same surface.
                jl, jr, iu, il = max(j - 1, 0), min(j + 1, width - 1), max(i - 1, 0), min(i + 1, height - 1)
                left = jr == j or (jl != j and abs(depth[i, jl] - near) < abs(depth[i, jr] - near))
                up = il == i or (iu != i and abs(depth[iu, j] - near) < abs(depth[il, j] - near))
                ja, ib = jl if left else jr, iu if up else il
                y, z = (j + 0.5 - width / 2.0) / focal, -(i + 0.5 - height / 2.0) / focal
                d = depth[i, ja]
                ax, ay, az = d - near, d * (ja + 0.5 - width / 2.0) / focal - near * y, (d - near) * z
                d = depth[ib, j]
                bx, by, bz = d - near, (d - near) * y, -d * (ib + 0.5 - height / 2.0) / focal - near * z
                nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
                size = max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-12)
                if nx + ny * y + nz * z > 0.0:  # it points away from the camera
                    size = -size
                word = 0
                for k in range(3):
                    value = (axes[k, 0] * nx + axes[k, 1] * ny + axes[k, 2] * nz) / size
                    word = word << 8 | int(min(max((value + 1.0) * 127.5 + 0.5, 0.0), 255.0))
            out[i * width + j] = OPAQUE | np.uint32(word)


def pixel_bytes(kind: str) -> int:
    """Return the bytes of one pixel of a camera of blueprint ``kind``."""
    return 8 if kind == "sensor.camera.optical_flow" else 4


def encode(kind: str, planes: Planes, out: np.ndarray, fov: float, pose: np.ndarray) -> None:
    """Write the image of a camera into a send buffer.

    Args:
        kind: The id of the camera's blueprint.
        planes: Planes of (H, W) pixels; without ``rgb`` the image is black.
        out: The buffer, u8 (height * width * ``pixel_bytes``).
        fov: Horizontal field of view, degrees.
        pose: World <- camera, f64 (4, 4).
    """
    height, width = planes.tag.shape
    if kind == "sensor.camera.optical_flow":
        _flow(planes.motion.reshape(-1, 2), 2.0 / width, 2.0 / height, out.view(np.float32).reshape(-1, 2))
        return
    pixels = out.view(np.uint32)
    if kind == "sensor.camera.semantic_segmentation":
        _tag(planes.tag.reshape(-1), pixels)
    elif kind == "sensor.camera.cosmos_visualization":
        _palette(planes.tag.reshape(-1), PALETTE, pixels)
    elif kind == "sensor.camera.instance_segmentation":
        _instance(planes.tag.reshape(-1), planes.instance.reshape(-1), pixels)
    elif kind == "sensor.camera.depth":
        _depth(planes.depth.reshape(-1), pixels)
    elif kind == "sensor.camera.normals":
        _normals(planes.depth, focal_length(width, fov), np.ascontiguousarray(pose[:3, :3]), pixels)
    elif planes.rgb is None:
        pixels.fill(OPAQUE)
    else:
        encode_rgb(planes.rgb, out)


def encode_rgb(rgb: np.ndarray, out: np.ndarray) -> None:
    """Write the image ``rgb`` u8 (H, W, 3) into a send buffer, u8 (4 H W)."""
    _rgb(rgb.reshape(-1, 3), out.view(np.uint32))
