"""Late warp: reprojects the last rendered frame to the current camera pose until the next one is ready.

This is what headset runtimes do (van Waveren, "The asynchronous time warp for virtual reality on consumer hardware",
VRST 2016). Here it uses the depth of every pixel, so that it covers translation, and the poses of moving objects. While
the next frame is being rendered its pose is already known, and the warp interpolates towards it. Before that, it
extrapolates the motion between the last two frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.messages import Camera, Frame, MovingObject
from neuralsim.drive import warp_blocks, warp_kernels
from neuralsim.drive.warp_blocks import BLOCK
from neuralsim.drive.warp_kernels import Blocks, Scene

FRACTION_LIMIT = 1.25  # of the motion between two frames, so that extrapolation ends
EXTRAPOLATION_LIMIT = 0.06  # s of simulated time: beyond it what was hidden is torn at the image's sides
JUMP = 0.5  # s of simulated time between two frames from which they are not continuous
MOTION_LIMIT = 1e5  # m between two frames, beyond which a motion is implausible
_MOVERS = 255  # moving objects; further ones move with the scenery
DEVIATION = 0.125  # px that a block may deviate from a smooth surface and still be warped as a whole


class LateWarp:
    """Warps one frame after the other: call ``set_frame`` for each new one, then ``warp_into``."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._previous: Frame | None = None
        self._next: Frame | None = None
        self._blocks: _Blocks | None = None  # of the frame, once it is warped

    def set_frame(self, frame: Frame) -> None:
        """Set the frame whose image is warped from now on."""
        if frame is not self._frame:
            self._previous, self._frame = self._frame, frame
            self._blocks = None

    def set_next_frame(self, frame: Frame) -> None:
        """Set the frame that was received and is being rendered."""
        self._next = frame

    def warp_into(self, pixels: np.ndarray, seconds: float, out: np.ndarray) -> bool:
        """Warp the frame's ``pixels``, u32 (H, W) of four bytes each, by ``seconds`` of simulated time into ``out``.

        Returns False and leaves ``out`` unchanged if the motion is unknown: without depth, without a second frame, or
        with an implausible one.
        """
        frame, motion = self._frame, self._motion()
        if frame is None or motion is None or seconds <= 0.0 or not {"depth", "instance"} <= frame.planes.keys():
            return False
        if not pixels.shape == out.shape == frame.planes["depth"].shape:
            return False
        try:
            transforms = _transforms(
                frame, motion, min(min(seconds, EXTRAPOLATION_LIMIT) / motion.seconds, FRACTION_LIMIT)
            )
        except np.linalg.LinAlgError:  # an invalid pose
            return False
        if np.abs(transforms).max() > MOTION_LIMIT:
            return False
        if self._blocks is None:
            self._blocks = _Blocks(frame)
        self._blocks.warp(pixels, transforms.astype(np.float32), out)
        return True

    def _motion(self) -> _Motion | None:
        """Return the motion from this frame to the next if that is known, else from the previous one to this."""
        if self._frame is None:
            return None
        for first, second in ((self._frame, self._next), (self._previous, self._frame)):
            if first is None or second is None or first.mount != second.mount:
                continue  # another camera
            if 0.0 < second.sim_time - first.sim_time < JUMP:
                return _Motion(first, second, second.sim_time - first.sim_time)
        return None


def compile_kernels() -> None:
    """Compile the kernels ahead of use, for planes in messages (writable) and in shared memory (read-only)."""
    for writable in (False, True):
        depth, instance = np.ones((8, 8), np.float32), np.zeros((8, 8), np.uint16)
        depth.flags.writeable = instance.flags.writeable = writable
        frames = [Frame(n, n, 0.1 * n, Camera(8, 8, 70.0, np.eye(4)), {}) for n in (0, 1)]
        frames[0].planes = {"depth": depth, "instance": instance}
        warp = LateWarp()
        warp.set_frame(frames[0])
        warp.set_next_frame(frames[1])
        warp.warp_into(np.zeros((8, 8), np.uint32), 0.1, np.zeros((8, 8), np.uint32))


@dataclass
class _Motion:
    """Two consecutive frames, one of which is being warped."""

    first: Frame
    second: Frame
    seconds: float  # of simulated time between them


class _Blocks:
    """The analysis of a frame by blocks, done once however often the frame is warped."""

    def __init__(self, frame: Frame) -> None:
        self._depth, self._instance = frame.planes["depth"], frame.planes["instance"]
        self._focal = frame.camera.focal
        self._slots = np.zeros(1 << 16, np.uint8)  # instance -> index of its transform; 0 is the scenery
        for slot, item in enumerate(_moving(frame), 1):
            self._slots[item.instance] = slot
        blocks = [-(-side // BLOCK) for side in self._depth.shape]
        self._nearest, self._surface = np.empty((*blocks, 4), np.float32), np.empty((*blocks, 2), np.float32)
        self._predicted = np.empty((*blocks, 2), np.float32)
        warp_blocks.analyse_blocks(self._depth, self._instance, self._slots, self._focal, self._nearest, self._surface)
        self._beside = np.empty(self._depth.shape, np.uint8)
        warp_blocks.find_outlines(self._depth, self._nearest, self._beside)

    def warp(self, pixels: np.ndarray, transforms: np.ndarray, out: np.ndarray) -> None:
        """Warp ``pixels`` into ``out``; ``transforms`` is f32 (1 + objects, 12)."""
        scene = Scene(self._depth, self._instance, self._slots, transforms, np.float32(self._focal))
        warp_blocks.predict_motion(self._nearest, self._instance, self._slots, transforms, self._focal, self._predicted)
        # maximum displacement in pixels of a point with inverse depth 1 / focal: sideways, and by getting nearer
        corner = 0.5 * np.hypot(*self._depth.shape) / self._focal
        reach = np.hypot(transforms[:, 7], transforms[:, 11]) + corner * np.abs(transforms[:, 3])
        limits = (DEVIATION / np.maximum(reach, 1e-9)).astype(np.float32)
        known = self._predicted, self._surface, self._nearest, self._beside
        warp_kernels.warp(pixels, scene, Blocks(*known, limits, reach.astype(np.float32)), out)


def _transforms(frame: Frame, motion: _Motion, fraction: float) -> np.ndarray:
    """Return f64 (1 + objects, 12): 3x4 matrices, warped camera <- camera of the frame, of scenery and objects."""
    pose = frame.camera.pose
    from_world = np.linalg.inv(
        pose @ _partial(np.linalg.inv(motion.first.camera.pose) @ motion.second.camera.pose, fraction)
    )
    still = from_world @ pose
    transforms = [still]
    poses = [{item.instance: item.pose for item in each.objects} for each in (motion.first, motion.second)]
    for item in _moving(frame):
        begin, end = (known.get(item.instance) for known in poses)
        if begin is None or end is None or np.array_equal(begin, end):  # at rest or unknown: like the scenery
            transforms.append(still)
        else:
            step = _partial(np.linalg.inv(begin) @ end, fraction)
            transforms.append(from_world @ item.pose @ step @ np.linalg.inv(item.pose) @ pose)
    return np.stack(transforms)[:, :3].reshape(-1, 12)


def _moving(frame: Frame) -> list[MovingObject]:
    return [item for item in frame.objects if not item.parked][:_MOVERS]


def _partial(step: np.ndarray, fraction: float) -> np.ndarray:
    """Return f64 (4, 4): ``fraction`` of a small rigid motion, of its translation and of its angle about the axis."""
    rotation = step[:3, :3]
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine = 0.5 * float(np.linalg.norm(axis))
    result = np.eye(4)
    if sine > 1e-9:
        angle = fraction * float(np.arctan2(sine, 0.5 * (np.trace(rotation) - 1.0)))
        x, y, z = axis / (2.0 * sine)
        cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        result[:3, :3] += np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)  # Rodrigues
    result[:3, 3] = fraction * step[:3, 3]
    return result
