"""Late warp: the last picture moved to where the camera is now, for the time until the next one is painted.

As headset runtimes do (van Waveren, "The asynchronous time warp for virtual reality on consumer hardware", VRST 2016),
with the depth of every pixel, so that driving forward moves the picture, too, and with the poses of what moves by
itself. While the next frame is painted its header has come already: then the way to its pose is known and only followed
part of it; before, the way from the last pose is continued.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from bridge.messages import Camera, Frame
from bridge.motion import FAR

_FURTHEST = 1.25  # of the way between two frames: a prediction that nothing confirms should not go on
_BLOCK = 8  # pixels
_JIT = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": True}
_JUMP = 0.5  # s of simulated time between two frames from which on one does not continue the other


class LateWarp:
    """Moves pictures of one frame after the other; ``frame`` for each new one, then ``moved``."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._before: Frame | None = None
        self._after: Frame | None = None
        self._guess = np.empty((0, 0, 2), np.float32)
        self._slots = np.zeros(1 << 16, np.uint8)  # instance -> which transform; 0 = the scenery's

    def frame(self, frame: Frame) -> None:
        """From now on the pictures are of this frame."""
        if frame is not self._frame:
            self._before, self._frame = self._frame, frame

    def heard(self, frame: Frame) -> None:
        """This frame has come and is being painted."""
        self._after = frame

    def moved(self, pixels: np.ndarray, seconds: float, out: np.ndarray) -> bool:
        """``pixels``, u32 (H, W) of four bytes each, of the frame, ``seconds`` of simulated time later: into ``out``.

        False, and nothing in ``out``, where the frame does not say enough: no depth, or no other frame to tell where
        the camera went.
        """
        frame, way = self._frame, self._way()
        if frame is None or way is None or seconds <= 0.0 or not {"depth", "instance"} <= frame.planes.keys():
            return False
        depth, instance = frame.planes["depth"], frame.planes["instance"]
        if not pixels.shape == out.shape == depth.shape:
            return False
        transforms = self._transforms(frame, way, min(seconds / way.seconds, _FURTHEST))
        if self._guess.shape[:2] != (blocks := tuple(-(-side // _BLOCK) for side in depth.shape)):
            self._guess = np.empty((*blocks, 2), np.float32)
        seen = depth, instance, self._slots, transforms, frame.camera.focal
        _guess(*seen, self._guess)
        _warp(pixels, *seen, self._guess, out)
        return True

    def _way(self) -> _Way | None:
        """From this frame to the next if that is known, else as it went from the last one to this."""
        if self._frame is None:
            return None
        for first, second, known in ((self._frame, self._after, True), (self._before, self._frame, False)):
            if first is not None and second is not None and 0.0 < second.sim_time - first.sim_time < _JUMP:
                return _Way(first, second, second.sim_time - first.sim_time, known)
        return None

    def _transforms(self, frame: Frame, way: _Way, part: float) -> np.ndarray:
        """f32 (N, 12): camera then <- camera of the frame, for the scenery and for each object in ``_slots``."""
        pose = frame.camera.pose
        from_world = np.linalg.inv(pose @ _portion(np.linalg.inv(way.first.camera.pose) @ way.second.camera.pose, part))
        transforms = [from_world @ pose]
        self._slots[:] = 0
        first = {item.instance: item.pose for item in way.first.objects}
        for item in way.second.objects:
            begin = first.get(item.instance)
            if begin is None:
                continue
            step = np.linalg.inv(begin) @ item.pose
            now = begin if way.known else item.pose
            self._slots[item.instance] = len(transforms)
            transforms.append(from_world @ now @ _portion(step, part) @ np.linalg.inv(now) @ pose)
        return np.ascontiguousarray(np.stack(transforms)[:, :3], np.float32).reshape(-1, 12)


def compile_kernels() -> None:
    """Do so before they are needed, for planes in messages (writable) and in shared memory (not)."""
    for writable in (False, True):
        depth, instance = np.ones((8, 8), np.float32), np.zeros((8, 8), np.uint16)
        depth.flags.writeable = instance.flags.writeable = writable
        frames = [Frame(n, n, 0.1 * n, Camera(8, 8, 70.0, np.eye(4)), {}) for n in (0, 1)]
        frames[0].planes = {"depth": depth, "instance": instance}
        warp = LateWarp()
        warp.frame(frames[0])
        warp.heard(frames[1])
        warp.moved(np.zeros((8, 8), np.uint32), 0.1, np.zeros((8, 8), np.uint32))


@dataclass
class _Way:
    """Two frames in a row; ``known`` if the second is what the warp leads to."""

    first: Frame
    second: Frame
    seconds: float  # of simulated time between them
    known: bool


def _portion(step: np.ndarray, part: float) -> np.ndarray:
    """f64 (4, 4): ``part`` of a small rigid movement; translation and rotation (about its axis) each in proportion."""
    turn = step[:3, :3]
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    sine = 0.5 * float(np.linalg.norm(axis))
    result = np.eye(4)
    if sine > 1e-9:
        angle = part * float(np.arctan2(sine, 0.5 * (np.trace(turn) - 1.0)))
        x, y, z = axis / (2.0 * sine)
        cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        result[:3, :3] += np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)  # Rodrigues
    result[:3, 3] = part * step[:3, 3]
    return result


@njit(inline="always")
def _went(
    row: int, column: int, metres: float, m: np.ndarray, lens: float, cx: float, cy: float
) -> tuple[float, float]:
    """How far a pixel goes (right, down) with what it shows; ``bridge.motion.place`` in f32."""
    x, y = np.float32(column) - cx, cy - np.float32(row)
    w = lens / metres if metres < np.float32(FAR) else np.float32(0.0)
    scale = lens / max(m[0] * lens + m[1] * x + m[2] * y + m[3] * w, np.float32(1e-3))
    right = (m[4] * lens + m[5] * x + m[6] * y + m[7] * w) * scale
    up = (m[8] * lens + m[9] * x + m[10] * y + m[11] * w) * scale
    return right - x, y - up


@njit(**_JIT)
def _guess(
    depth: np.ndarray, instance: np.ndarray, slots: np.ndarray, transforms: np.ndarray, focal: float, out: np.ndarray
) -> None:
    """For each block of ``_BLOCK`` x ``_BLOCK`` pixels, how far the nearest thing in it and around it goes: f32 (2)."""
    height, width = depth.shape
    rows, columns = out.shape[:2]
    lens, cx, cy = np.float32(focal), np.float32(0.5 * width - 0.5), np.float32(0.5 * height - 0.5)
    near = np.empty((rows, columns, 3), np.float32)  # depth, row, column of the nearest pixel
    for i in range(rows):
        for j in range(columns):
            nearest, at_row, at_column = np.float32(np.inf), 0, 0
            for a in range(i * _BLOCK, min(i * _BLOCK + _BLOCK, height)):
                for b in range(j * _BLOCK, min(j * _BLOCK + _BLOCK, width)):
                    if depth[a, b] < nearest:
                        nearest, at_row, at_column = depth[a, b], a, b
            near[i, j, 0], near[i, j, 1], near[i, j, 2] = nearest, at_row, at_column
    for i in range(rows):
        for j in range(columns):
            y, x = i, j
            for a in range(max(i - 1, 0), min(i + 2, rows)):
                for b in range(max(j - 1, 0), min(j + 2, columns)):
                    if near[a, b, 0] < near[y, x, 0] * np.float32(0.9):  # another thing, not the same one's near end
                        y, x = a, b
            row, column = int(near[y, x, 1]), int(near[y, x, 2])
            m = transforms[slots[instance[row, column]]]
            out[i, j, 0], out[i, j, 1] = _went(row, column, near[y, x, 0], m, lens, cx, cy)


@njit(**_JIT)
def _warp(
    pixels: np.ndarray,
    depth: np.ndarray,
    instance: np.ndarray,
    slots: np.ndarray,
    transforms: np.ndarray,
    focal: float,
    guess: np.ndarray,
    out: np.ndarray,
) -> None:
    """Take each pixel from where it came from: one step of a fixed-point iteration on where pixels go.

    It begins with the movement of the nearest thing around, so that what is near covers what is far. Where something
    far comes into view from behind it, what lies beside is taken. Colours are blended bilinearly, two of the four bytes
    at a time.
    """
    height, width = depth.shape
    zero, half, full = np.float32(0.0), np.float32(0.5), np.float32(256.0)
    lens, cx, cy = np.float32(focal), np.float32(0.5 * width - 0.5), np.float32(0.5 * height - 0.5)
    right, bottom = np.float32(width - 1.001), np.float32(height - 1.001)
    pairs, byte = np.uint32(0x00FF00FF), np.uint32(8)
    for i in range(height):
        around = guess[i // _BLOCK]
        for j in range(width):
            block = np.uint32(j) // np.uint32(_BLOCK)
            x = min(max(np.float32(j) - around[block, 0], zero), right)
            y = min(max(np.float32(i) - around[block, 1], zero), bottom)
            a, b = np.uint32(np.int32(y + half)), np.uint32(np.int32(x + half))
            metres = depth[a, b]
            dx, dy = _went(a, b, metres, transforms[slots[instance[a, b]]], lens, cx, cy)
            x_, y_ = min(max(np.float32(j) - dx, zero), right), min(max(np.float32(i) - dy, zero), bottom)
            a, b = np.uint32(np.int32(y_ + half)), np.uint32(np.int32(x_ + half))
            if depth[a, b] > metres * np.float32(0.8):
                x, y = x_, y_
            a, b = np.uint32(np.int32(y)), np.uint32(np.int32(x))
            u, v = np.uint32(np.int32((x - np.float32(b)) * full)), np.uint32(np.int32((y - np.float32(a)) * full))
            p, q, r, s = pixels[a, b], pixels[a, b + 1], pixels[a + 1, b], pixels[a + 1, b + 1]
            low = _mix(_mix(p & pairs, q & pairs, u), _mix(r & pairs, s & pairs, u), v)
            p, q, r, s = p >> byte, q >> byte, r >> byte, s >> byte
            out[i, j] = low | (_mix(_mix(p & pairs, q & pairs, u), _mix(r & pairs, s & pairs, u), v) << byte)


@njit(inline="always")
def _mix(first: np.uint32, second: np.uint32, part: np.uint32) -> np.uint32:
    """``part`` / 256 of the way from one to the other, of two values in bits 0 .. 7 and 16 .. 23."""
    mixed = first * (np.uint32(256) - part) + second * part + np.uint32(0x00800080)
    return (mixed >> np.uint32(8)) & np.uint32(0x00FF00FF)
