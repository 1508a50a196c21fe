"""Pixel kernels for backward motion: from depth and poses, from CARLA's optical flow, composition over frames.

``motion`` of a frame is (dx, dy) in pixels from a pixel of this frame to where its surface point was in the previous
frame; f16 (H, W, 2). numba has no f16 on the CPU, so the kernels get the plane's bits as u16 and convert them: values
below 2^-14 pixels become 0, values beyond +-32768 are clipped.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from bridge.messages import Camera, Frame
from bridge.tags import MOVERS

FAR = 999.0  # metres: a pixel at this depth or more is sky, a point at infinity
SCENERY_BIT = 0x8000  # set in the instance of scenery that has the instance of a mover
BOX_SCALE, BOX_MARGIN = 1.25, 0.4  # of half a box, m: limbs, mirrors and loads stick out of an actor's bounding box
MAX_COMPOSED = 4  # skipped frames whose motion is composed exactly: each costs a pass, and lag must not cause more lag
TYRE_SCALE, TYRE_WIDTH = 1.05, 0.25  # of a wheel's radius; m from its middle
_JIT = {"cache": True, "nogil": True, "error_model": "numpy"}
_MOVES = np.zeros(256, np.bool_)  # by tag
_MOVES[list(MOVERS)] = True


class Movers(NamedTuple):
    """N objects that move by themselves, each a rigid box that may have rolling wheels.

    Of equal instances the last one counts.
    """

    instance: np.ndarray  # u16 (N,), value in the instance plane
    pose: np.ndarray  # f64 (N, 4, 4), world <- centre of the box
    previous: np.ndarray  # f64 (N, 4, 4), the same one tick before
    half: np.ndarray  # f64 (N, 3), half sizes, m
    wheels: np.ndarray  # f64 (N, 4, 4): x, y, z in the box and radius of each wheel, m; radius 0 for none


class _Lens(NamedTuple):
    focal: float  # px
    cx: float  # px, column of the principal point, counted from the centre of the first pixel
    cy: float


class _MoverMaps(NamedTuple):
    row: np.ndarray  # i16 (65536,), of a mover by its instance, -1 for none
    box: np.ndarray  # f64 (N, 4, 4), its box <- this camera
    reach: np.ndarray  # f64 (N, 3), half sizes of the enlarged box, m
    old: np.ndarray  # f64 (N, 4, 4), old camera <- its box
    wheels: np.ndarray  # as in ``Movers``
    turned: np.ndarray  # f64 (N, 4, 2), cosine and sine of the angle that each wheel has rolled forward


@njit(inline="always")
def to_half(value: float) -> np.uint16:
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


@njit(inline="always")
def _apply(maps: np.ndarray, n: int, x: float, y: float, z: float, w: float) -> tuple[float, float, float]:
    """Return the point (x, y, z, w) under the map n of ``maps``, (N, 4, 4)."""
    return (
        maps[n, 0, 0] * x + maps[n, 0, 1] * y + maps[n, 0, 2] * z + maps[n, 0, 3] * w,
        maps[n, 1, 0] * x + maps[n, 1, 1] * y + maps[n, 1, 2] * z + maps[n, 1, 3] * w,
        maps[n, 2, 0] * x + maps[n, 2, 1] * y + maps[n, 2, 2] * z + maps[n, 2, 3] * w,
    )


@njit(inline="always")
def _roll_back(x: float, y: float, z: float, row: int, movers: _MoverMaps) -> tuple[float, float]:
    """Return x and z, in its box, of a mover's point before its wheels rolled: the same if it is on none."""
    for k in range(4):
        radius = movers.wheels[row, k, 3] * TYRE_SCALE
        dx, dz = x - movers.wheels[row, k, 0], z - movers.wheels[row, k, 2]
        if dx * dx + dz * dz < radius * radius and abs(y - movers.wheels[row, k, 1]) < TYRE_WIDTH:
            cos, sin = movers.turned[row, k, 0], movers.turned[row, k, 1]
            return x - dx + dx * cos - dz * sin, z - dz + dx * sin + dz * cos
    return x, z


@njit(**_JIT)
def _from_poses(
    tag: np.ndarray,
    instance: np.ndarray,
    depth: np.ndarray,
    to_old: np.ndarray,
    movers: _MoverMaps,
    lens: _Lens,
    out: np.ndarray,
) -> None:
    height, width = depth.shape
    focal, cx, cy = lens.focal, lens.cx, lens.cy
    for i in range(height):
        for j in range(width):
            row = movers.row[instance[i, j]]
            if row >= 0:
                if _MOVES[tag[i, j]]:
                    d = depth[i, j]
                    x, y, z = _apply(movers.box, row, d, d * (j - cx) / focal, d * (cy - i) / focal, 1.0)
                    reach = movers.reach
                    if abs(x) <= reach[row, 0] and abs(y) <= reach[row, 1] and abs(z) <= reach[row, 2]:
                        x, z = _roll_back(x, y, z, row, movers)
                        x, y, z = _apply(movers.old, row, x, y, z, 1.0)
                        scale = focal / max(1e-4, x)
                        out[i, j, 0], out[i, j, 1] = to_half(cx + y * scale - j), to_half(cy - z * scale - i)
                        continue
                instance[i, j] |= np.uint16(SCENERY_BIT)
            dx, dy = static_motion(i, j, depth[i, j], to_old, focal, cx, cy)
            out[i, j, 0], out[i, j, 1] = to_half(dx), to_half(dy)


class PoseMotion:
    """Computes motion from depth and poses alone: exact for scenery and rigid objects on every server."""

    def __init__(self) -> None:
        self._row = np.full(1 << 16, -1, np.int16)

    def __call__(
        self, planes: dict[str, np.ndarray], camera: Camera, old_pose: np.ndarray, movers: Movers, out: np.ndarray
    ) -> None:
        """Write the motion since the tick of ``old_pose`` and ``movers.previous`` to ``out``, f16 (H, W, 2).

        A pixel moves with the mover whose instance and box it has; everything else stands. Servers may give scenery the
        same instance as a mover (carla PR 8334: an actor's id where there is one, else Unreal's): such a pixel is
        outside the mover's box, and gets ``SCENERY_BIT`` in its instance.

        Args:
            planes: ``tag``, ``instance`` and ``depth`` of this tick.
            camera: The camera of this tick.
            old_pose: Its pose at the tick before, f64 (4, 4), world <- camera.
            movers: The objects that may have moved.
            out: The motion.
        """
        to_old = np.linalg.inv(old_pose)
        inverse = np.linalg.inv(movers.pose)
        # How far each wheel's centre has come along the mover, divided by its radius.
        back = inverse @ movers.previous - np.eye(4)
        angle = -(np.einsum("nk,nwk->nw", back[:, 0, :3], movers.wheels[..., :3]) + back[:, 0, 3, None])
        angle /= np.maximum(movers.wheels[..., 3], 0.1)
        maps = _MoverMaps(
            self._row, inverse @ camera.pose, BOX_SCALE * movers.half + BOX_MARGIN, to_old @ movers.previous,
            movers.wheels, np.stack([np.cos(angle), np.sin(angle)], -1),
        )  # fmt: skip
        self._row[movers.instance] = np.arange(len(movers.instance), dtype=np.int16)
        self._row[0] = -1
        centre = camera.width / 2.0 - 0.5 + camera.jitter[0], camera.height / 2.0 - 0.5 + camera.jitter[1]
        _from_poses(
            planes["tag"], planes["instance"], planes["depth"], to_old @ camera.pose,
            maps, _Lens(camera.focal, *centre), out.view(np.uint16),
        )  # fmt: skip
        self._row[movers.instance] = -1


@njit(**_JIT)
def _from_flow(flow: np.ndarray, depth: np.ndarray, to_old: np.ndarray, focal: float, out: np.ndarray) -> None:
    """``flow``, ``out``: (H, 2 W)."""
    height, width = depth.shape
    scale = np.empty(2 * width, np.float32)
    scale[::2], scale[1::2] = -0.5 * width, 0.5 * height
    cx, cy = width / 2.0 - 0.5, height / 2.0 - 0.5
    for i in range(height):
        unmoved = 0
        for k in range(2 * width):  # without branches, so that it is vectorised
            out[i, k] = to_half(flow[i, k] * scale[k])
            unmoved += int(flow[i, k] == 0.0)
        if unmoved < 2:
            continue
        for j in range(width):
            if flow[i, 2 * j] == 0.0 and flow[i, 2 * j + 1] == 0.0 and depth[i, j] >= FAR:
                dx, dy = static_motion(i, j, 1000.0, to_old, focal, cx, cy)
                out[i, 2 * j], out[i, 2 * j + 1] = to_half(dx), to_half(dy)


def from_flow(flow: np.ndarray, depth: np.ndarray, camera: Camera, old_pose: np.ndarray, out: np.ndarray) -> None:
    """Convert CARLA's optical flow, f32 (H, W, 2), to backward motion, written to ``out`` f16 (H, W, 2).

    CARLA's flow is the movement since the last tick in normalised device coordinates, x right, y up, both -1 .. 1 over
    the image (carla issue 4795): motion = (-u W / 2, v H / 2). Servers leave the sky at 0; it is filled from the
    rotation of the camera since ``old_pose``.

    ``flow`` f32 (H, W, 2); ``depth`` f32 (H, W), m; ``camera``: of this frame.
    """
    to_old = np.linalg.inv(old_pose) @ camera.pose
    rows = len(depth), -1
    _from_flow(flow.reshape(rows), depth, to_old, camera.focal, out.view(np.uint16).reshape(rows))


@njit(**_JIT)
def _reproject(depth: np.ndarray, to_old: np.ndarray, focal: float, out: np.ndarray) -> None:
    height, width = depth.shape
    cx, cy = width / 2.0 - 0.5, height / 2.0 - 0.5
    for i in range(height):
        for j in range(width):
            dx, dy = static_motion(i, j, depth[i, j], to_old, focal, cx, cy)
            out[i, j, 0], out[i, j, 1] = to_half(dx), to_half(dy)


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
            out[i, j, 0], out[i, j, 1] = to_half(dx), to_half(dy)


def compile_kernels() -> None:
    """Compile what the first skipped frame of a drive would wait for."""
    planes: dict[str, np.ndarray] = {
        "motion": np.zeros((8, 8, 2), np.float16), "depth": np.ones((8, 8), np.float32)
    }  # fmt: skip
    for plane in planes.values():  # like planes that come over the link
        plane.flags.writeable = False
    frame = Frame(0, 0, 0.0, Camera(8, 8, 70.0, np.eye(4)), planes)
    compose(frame, [frame], frame.camera)
    reproject(planes["depth"], frame.camera, frame.camera.pose)


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


def refer_to_delivered(newest: Frame, between: list[Frame], delivered: Camera) -> None:
    """Make the motion of ``newest`` refer to the camera of the frame before ``newest.skipped`` skipped ones.

    ``between``: those of the skipped frames that have arrived, oldest first.
    """
    if "motion" not in newest.planes:
        return
    size = newest.camera.width, newest.camera.height
    is_complete = all((f.camera.width, f.camera.height) == size and "motion" in f.planes for f in between)
    if is_complete and len(between) == newest.skipped <= MAX_COMPOSED:
        newest.planes["motion"] = compose(newest, between, delivered)
    elif "depth" in newest.planes:  # the chain is broken or too long: at least static surfaces are right
        newest.planes["motion"] = reproject(newest.planes["depth"], newest.camera, delivered.pose)
    newest.planes["motion"].flags.writeable = False  # like those of other frames


def _surfaces(frame: Frame) -> np.ndarray:
    """Return an id of the surface that each pixel shows, u32 (H * W), from the instance and tag planes if present."""
    key = np.zeros((frame.camera.height, frame.camera.width), np.uint32)
    if "instance" in frame.planes:
        np.left_shift(frame.planes["instance"], 8, out=key, dtype=np.uint32)
    if "tag" in frame.planes:
        key |= frame.planes["tag"]
    return key.reshape(-1)
