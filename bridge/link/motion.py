"""Pixel kernels for backward motion: decoding CARLA's optical flow, reprojection by depth, composition over frames.

``motion`` of a frame is (dx, dy) in pixels from a pixel of this frame to where its surface point was in the previous
frame; f16 (H, W, 2). numba has no f16 on the CPU, so the kernels get the plane's bits as u16 and convert them: values
below 2^-14 pixels become 0, values beyond +-32768 are clipped.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from bridge.messages import Camera, Frame

FAR = 999.0  # metres: a pixel at this depth or more is sky, a point at infinity
_JIT = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(inline="always")
def _to_half(value: float) -> np.uint16:
    """Return the bits of the f16 nearest to an f32 (ties to even)."""
    bits = np.float32(value).view(np.uint32)
    sign = (bits >> np.uint32(16)) & np.uint32(0x8000)
    bits &= np.uint32(0x7FFFFFFF)
    half = ((bits + np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))) >> np.uint32(13)) - np.uint32(
        112 << 10
    )
    if bits < np.uint32(113 << 23):
        half = np.uint32(0)
    if bits > np.uint32(0x47000000):
        half = np.uint32(0x7800)
    return np.uint16(half | sign)


@njit(inline="always")
def _to_single(half: int) -> np.float32:
    """Return the f32 of f16 bits; subnormals become 0."""
    bits = (np.uint32(half) & np.uint32(0x7FFF)) << np.uint32(13)
    if bits < np.uint32(1 << 23):
        return np.float32(0.0)
    bits = (bits + np.uint32(112 << 23)) | ((np.uint32(half) & np.uint32(0x8000)) << np.uint32(16))
    return np.uint32(bits).view(np.float32)


@njit(inline="always")
def static_motion(
    i: int, j: int, depth: float, m: np.ndarray, focal: float, cx: float, cy: float
) -> tuple[float, float]:
    """Return the motion (dx, dy) in pixels of static scenery in pixel (i, j).

    In homogeneous coordinates the point is (1, right, up) * depth, so the fourth one is 1 / depth, and 0 for the sky.

    Args:
        i: Row.
        j: Column.
        depth: Metres.
        m: Old camera <- this camera, (4, 4).
        focal: Pixels.
        cx: Column of the principal point, pixels.
        cy: Row of the principal point, pixels.
    """
    right, up = (j - cx) / focal, (cy - i) / focal
    w = 1.0 / depth if depth < FAR else 0.0
    x = m[0, 0] + m[0, 1] * right + m[0, 2] * up + m[0, 3] * w
    y = m[1, 0] + m[1, 1] * right + m[1, 2] * up + m[1, 3] * w
    z = m[2, 0] + m[2, 1] * right + m[2, 2] * up + m[2, 3] * w
    scale = focal / (max(1e-4, x))  # a point behind the old camera ends up far outside its image
    return cx + y * scale - j, cy - z * scale - i


@njit(**_JIT)
def _from_flow(flow: np.ndarray, depth: np.ndarray, to_old: np.ndarray, focal: float, out: np.ndarray) -> None:
    height, width = depth.shape
    sx, sy = np.float32(-0.5 * width), np.float32(0.5 * height)
    cx, cy = width / 2.0 - 0.5, height / 2.0 - 0.5
    for i in range(height):
        for j in range(width):
            u, v = flow[i, j, 0], flow[i, j, 1]
            if u == 0.0 and v == 0.0 and depth[i, j] >= FAR:
                dx, dy = static_motion(i, j, 1000.0, to_old, focal, cx, cy)
                out[i, j, 0], out[i, j, 1] = _to_half(dx), _to_half(dy)
            else:
                out[i, j, 0], out[i, j, 1] = _to_half(u * sx), _to_half(v * sy)


def from_flow(flow: np.ndarray, depth: np.ndarray, camera: Camera, old_pose: np.ndarray, out: np.ndarray) -> None:
    """Convert CARLA's optical flow, f32 (H, W, 2), to backward motion, written to ``out`` f16 (H, W, 2).

    CARLA's flow is the movement since the last tick in normalised device coordinates, x right, y up, both -1 .. 1 over
    the image (carla issue 4795): motion = (-u W / 2, v H / 2). Servers leave the sky at 0; it is filled from the
    rotation of the camera since ``old_pose``.

    ``flow`` f32 (H, W, 2); ``depth`` f32 (H, W), m; ``camera``: of this frame.
    """
    _from_flow(flow, depth, np.linalg.inv(old_pose) @ camera.pose, camera.focal, out.view(np.uint16))


@njit(**_JIT)
def _reproject(depth: np.ndarray, to_old: np.ndarray, focal: float, out: np.ndarray) -> None:
    height, width = depth.shape
    cx, cy = width / 2.0 - 0.5, height / 2.0 - 0.5
    for i in range(height):
        for j in range(width):
            dx, dy = static_motion(i, j, depth[i, j], to_old, focal, cx, cy)
            out[i, j, 0], out[i, j, 1] = _to_half(dx), _to_half(dy)


def reproject(depth: np.ndarray, camera: Camera, old_pose: np.ndarray) -> np.ndarray:
    """Return the motion, f16 (H, W, 2), as if only the camera had moved; from ``depth`` f32 (H, W) and both poses."""
    out = np.empty((*depth.shape, 2), np.float16)
    _reproject(depth, np.linalg.inv(old_pose) @ camera.pose, camera.focal, out.view(np.uint16))
    return out


@njit(**_JIT)
def _widen(half: np.ndarray, out: np.ndarray) -> None:
    for k in range(half.size):
        out[k] = _to_single(half[k])


@njit(**_JIT)
def _follow(
    total: np.ndarray, step: np.ndarray, surface: np.ndarray, older: np.ndarray, width: int, height: int
) -> None:
    """Add ``step`` at the place that ``total`` points to, in place; NaN where that place shows another surface."""
    zero, one, stride = np.float32(0.0), np.float32(1.0), np.uint64(width)
    half, right, bottom = np.float32(0.5), np.float32(width - 1.001), np.float32(height - 1.001)
    k = np.uint64(0)  # unsigned indices avoid numba's check for negative ones
    for i in range(height):
        for j in range(width):
            x, y = np.float32(j) + total[k, 0], np.float32(i) + total[k, 1]
            weight = zero
            if -half <= x <= right + half and -half <= y <= bottom + half:
                x, y = (
                    min(max(x, zero), right),
                    min(max(y, zero), bottom),
                )  # the edge pixels extend half a pixel outwards
                a = np.uint64(y) * stride + np.uint64(x)
                b, c, d = a + np.uint64(1), a + stride, a + stride + np.uint64(1)
                fx, fy = x - np.floor(x), y - np.floor(y)
                own = surface[k]
                wa = (one - fy) * (one - fx) if older[a] == own else zero
                wb = (one - fy) * fx if older[b] == own else zero
                wc = fy * (one - fx) if older[c] == own else zero
                wd = fy * fx if older[d] == own else zero
                weight = wa + wb + wc + wd
                if weight > zero:
                    scale = one / weight
                    total[k, 0] += scale * (wa * step[a, 0] + wb * step[b, 0] + wc * step[c, 0] + wd * step[d, 0])
                    total[k, 1] += scale * (wa * step[a, 1] + wb * step[b, 1] + wc * step[c, 1] + wd * step[d, 1])
            if not weight > zero:
                total[k, 0] = total[k, 1] = np.float32(np.nan)
            k += np.uint64(1)


@njit(**_JIT)
def _narrow(total: np.ndarray, depth: np.ndarray, to_old: np.ndarray, focal: float, out: np.ndarray) -> None:
    """Write ``total`` to ``out`` as f16 bits; where it is NaN, the motion of static scenery at that depth."""
    height, width = depth.shape
    cx, cy = width / 2.0 - 0.5, height / 2.0 - 0.5
    for i in range(height):
        for j in range(width):
            dx, dy = total[i, j, 0], total[i, j, 1]
            if np.isnan(dx):
                px, py = static_motion(i, j, depth[i, j], to_old, focal, cx, cy)
                dx, dy = np.float32(px), np.float32(py)
            out[i, j, 0], out[i, j, 1] = _to_half(dx), _to_half(dy)


def compose(newest: Frame, skipped: list[Frame], delivered: Camera) -> np.ndarray:
    """Return the motion of ``newest``, f16 (H, W, 2), composed over the ``skipped`` frames (oldest first).

    The result points to where a surface point was in the image of the camera ``delivered``:
    ``total(p) = newest(p) + older(p + newest(p))``, where the older field is sampled bilinearly among the neighbours
    that show the same surface (tag and instance). A point that was hidden or out of view in a skipped frame is treated
    as static and reprojected by its depth (without that plane, as if at infinity).
    """
    camera, surface = newest.camera, _surfaces(newest)
    total, step = (np.empty((camera.height * camera.width, 2), np.float32) for _ in range(2))
    _widen(newest.planes["motion"].view(np.uint16).reshape(-1), total.reshape(-1))
    for frame in reversed(skipped):
        _widen(frame.planes["motion"].view(np.uint16).reshape(-1), step.reshape(-1))
        _follow(total, step, surface, _surfaces(frame), camera.width, camera.height)
    shape = camera.height, camera.width
    depth = newest.planes["depth"] if "depth" in newest.planes else np.full(shape, 1000.0, np.float32)
    out = np.empty((*shape, 2), np.float16)
    to_old = np.linalg.inv(delivered.pose) @ camera.pose
    _narrow(total.reshape(*shape, 2), depth, to_old, camera.focal, out.view(np.uint16))
    return out


def _surfaces(frame: Frame) -> np.ndarray:
    """Return an id of the surface that each pixel shows, u32 (H * W), from the instance and tag planes if present."""
    key = np.zeros((frame.camera.height, frame.camera.width), np.uint32)
    if "instance" in frame.planes:
        np.left_shift(frame.planes["instance"], 8, out=key, dtype=np.uint32)
    if "tag" in frame.planes:
        key |= frame.planes["tag"]
    return key.reshape(-1)
