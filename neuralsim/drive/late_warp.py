"""Late warp: the last picture moved to where the camera is now, for the time until the next one is painted.

As headset runtimes do (van Waveren, "The asynchronous time warp for virtual reality on consumer hardware", VRST 2016),
with the depth of every pixel, so that driving forward moves the picture, too, and with the poses of what moves by
itself. While the next frame is painted its header has come already: then the way to its pose is known and only followed
part of it; before, the way from the last pose is continued.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.messages import Camera, Frame
from neuralsim.drive import warp_kernels
from neuralsim.drive.warp_kernels import BLOCK

_FURTHEST = 1.25  # of the way between two frames: a prediction that nothing confirms should not go on
_JUMP = 0.5  # s of simulated time between two frames from which on one does not continue the other
_ANYWHERE = 1e5  # m between two frames that no picture can be moved by
_MOVERS = 255  # objects that move by themselves; further ones, by their order, stay with the scenery
_ROUGH = 0.125  # pixels that a block may be off a smooth surface and still be moved as one


class LateWarp:
    """Moves pictures of one frame after the other; ``frame`` for each new one, then ``moved``."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._before: Frame | None = None
        self._after: Frame | None = None
        self._blocks: _Blocks | None = None  # of the frame, once it is moved

    def frame(self, frame: Frame) -> None:
        """From now on the pictures are of this frame."""
        if frame is not self._frame:
            self._before, self._frame = self._frame, frame
            self._blocks = None

    def heard(self, frame: Frame) -> None:
        """This frame has come and is being painted."""
        self._after = frame

    def moved(self, pixels: np.ndarray, seconds: float, out: np.ndarray) -> bool:
        """``pixels``, u32 (H, W) of four bytes each, of the frame, ``seconds`` of simulated time later: into ``out``.

        False, and nothing in ``out``, where the frame does not say enough: no depth, or no other frame to tell where
        the camera went, or that says it went anywhere.
        """
        frame, way = self._frame, self._way()
        if frame is None or way is None or seconds <= 0.0 or not {"depth", "instance"} <= frame.planes.keys():
            return False
        if not pixels.shape == out.shape == frame.planes["depth"].shape:
            return False
        try:
            transforms = _transforms(frame, way, min(seconds / way.seconds, _FURTHEST))
        except np.linalg.LinAlgError:  # a pose that is none
            return False
        if np.abs(transforms).max() > _ANYWHERE:
            return False
        if self._blocks is None:
            self._blocks = _Blocks(frame)
        self._blocks.move(pixels, transforms.astype(np.float32), out)
        return True

    def _way(self) -> _Way | None:
        """From this frame to the next if that is known, else as it went from the last one to this."""
        if self._frame is None:
            return None
        for first, second in ((self._frame, self._after), (self._before, self._frame)):
            if first is None or second is None or first.mount != second.mount:
                continue  # another camera is no way that this one went
            if 0.0 < second.sim_time - first.sim_time < _JUMP:
                return _Way(first, second, second.sim_time - first.sim_time)
        return None


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
    """Two frames in a row, one of which is being moved."""

    first: Frame
    second: Frame
    seconds: float  # of simulated time between them


class _Blocks:
    """What a frame shows, block by block: found once, however often its picture is moved."""

    def __init__(self, frame: Frame) -> None:
        self._depth, self._instance = frame.planes["depth"], frame.planes["instance"]
        self._focal = frame.camera.focal
        self._slots = np.zeros(1 << 16, np.uint8)  # instance -> which transform; 0 = the scenery's
        for slot, item in enumerate(frame.objects[:_MOVERS], 1):
            self._slots[item.instance] = slot
        blocks = [-(-side // BLOCK) for side in self._depth.shape]
        self._near, self._sheet = np.empty((*blocks, 3), np.float32), np.empty((*blocks, 2), np.float32)
        self._guess = np.empty((*blocks, 2), np.float32)
        warp_kernels.survey(self._depth, self._instance, self._slots, self._focal, self._near, self._sheet)

    def move(self, pixels: np.ndarray, transforms: np.ndarray, out: np.ndarray) -> None:
        """``pixels`` moved into ``out``; ``transforms`` f32 (1 + objects, 12)."""
        seen = self._instance, self._slots, transforms, self._focal
        warp_kernels.guess(self._near, *seen, self._guess)
        # pixels that a point of inverse depth 1 / focal goes, at most: right and up, and by coming nearer
        corner = 0.5 * np.hypot(*self._depth.shape) / self._focal
        reach = np.hypot(transforms[:, 7], transforms[:, 11]) + corner * np.abs(transforms[:, 3])
        limits = (_ROUGH / np.maximum(reach, 1e-9)).astype(np.float32)
        warp_kernels.warp(pixels, self._depth, *seen, self._guess, self._sheet, limits, out)


def _transforms(frame: Frame, way: _Way, part: float) -> np.ndarray:
    """f64 (1 + objects, 12): camera then <- camera of the frame, for the scenery and for each object of the frame."""
    pose = frame.camera.pose
    from_world = np.linalg.inv(pose @ _portion(np.linalg.inv(way.first.camera.pose) @ way.second.camera.pose, part))
    still = from_world @ pose
    transforms = [still]
    ends = [{item.instance: item.pose for item in seen.objects} for seen in (way.first, way.second)]
    for item in frame.objects[:_MOVERS]:
        begin, end = (known.get(item.instance) for known in ends)
        if begin is None or end is None or np.array_equal(begin, end):  # at rest or unknown: as the scenery
            transforms.append(still)
        else:
            step = _portion(np.linalg.inv(begin) @ end, part)
            transforms.append(from_world @ item.pose @ step @ np.linalg.inv(item.pose) @ pose)
    return np.stack(transforms)[:, :3].reshape(-1, 12)


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
