"""A recorded frame as all of its cameras saw it: images, objects with boxes, and a LiDAR sweep.

Everything is right-handed: world and ego x forward, y left, z up; cameras x right, y down, z forward; metres.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from bridge.messages import Camera, MovingObject
from bridge.tags import MOVERS
from neuralsim.recording import RecordingError, foxglove
from neuralsim.recording.reading.random_access_reader import frame_of
from neuralsim.recording.reading.recorded_frame import RecordedFrame
from neuralsim.recording.reading.sequential_reader import McapRecording
from neuralsim.recording.topics import camera_frame

BEAMS = np.radians(np.linspace(-30.67, 10.67, 32))  # elevations of the LiDAR's beams: those of nuScenes' HDL-32E
STEPS = 1080  # azimuths of a sweep
REACH = 100.0  # m
MOUNT = np.array([0.0, 0.0, 1.8])  # m, of the LiDAR on the ego
_FILL = 0.8  # share of the outline of an object's box that the whole object fills, roughly
_NEAR = 0.1  # m, nearer corners of boxes are not projected
_CORNERS = np.array([(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]).T


def beam_directions() -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vectors f64 (N, 3) of a sweep's rays in the ego's axes, and their beams i64 (N,)."""
    azimuth = np.linspace(-np.pi, np.pi, STEPS, endpoint=False)
    up, around = np.meshgrid(BEAMS, azimuth, indexing="ij")
    ray = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], -1).reshape(-1, 3)
    return ray, np.repeat(np.arange(len(BEAMS)), STEPS)


@dataclass
class Shot:
    """What one camera recorded."""

    name: str  # "front" for the first camera, else as in the scenario
    jpeg: bytes  # the generated image, else the simulator's
    pose: np.ndarray  # f64 (4, 4), world <- camera
    intrinsics: np.ndarray  # f64 (3, 3)
    size: tuple[int, int]  # width, height, px
    planes: dict[str, np.ndarray] = field(repr=False)
    camera: Camera = field(repr=False)  # with its pose in CARLA's axes


@dataclass
class Box:
    """A vehicle or person at one time."""

    instance: int
    tag: int
    pose: np.ndarray  # f64 (4, 4), world <- centre of the box, x forward
    size: tuple[float, float, float]  # length, width, height, m
    blueprint: str
    visibility: float  # share of it that the cameras see, an estimate: 0 to 1
    pixels: int
    parked: bool


@dataclass
class Surround:
    """A frame of all cameras."""

    index: int
    time: float  # s
    ego: np.ndarray  # f64 (4, 4), world <- ego
    shots: dict[str, Shot]
    boxes: list[Box]
    recorded: RecordedFrame = field(repr=False)

    def sweep(self) -> np.ndarray:
        """Return a LiDAR sweep f32 (N, 5): x, y, z (m, in the ego's axes), intensity 0 to 255, beam.

        The points are those of the depth planes nearest to each beam, so they are exact, but there are none where no
        camera looks, and each lies on the ray of its camera rather than of one common origin.
        """
        ray, beam = beam_directions()
        points = np.zeros((len(ray), 3))
        facing = np.full(len(ray), -1.0)  # of the camera chosen so far
        intensity = np.zeros(len(ray))
        to_ego = np.linalg.inv(self.ego)
        for shot in self.shots.values():
            if not {"depth", "tag"} <= shot.planes.keys():
                continue
            pose = to_ego @ shot.pose
            local = ray @ pose[:3, :3]
            with np.errstate(divide="ignore", invalid="ignore"):
                u, v = (shot.intrinsics[k, k] * local[:, k] / local[:, 2] + shot.intrinsics[k, 2] for k in (0, 1))
            width, height = shot.size
            seen = np.flatnonzero((local[:, 2] > facing) & (local[:, 2] > 0.05) & (u >= 0) & (v >= 0))
            seen = seen[(u[seen] < width) & (v[seen] < height)]
            column, row = u[seen].astype(int), v[seen].astype(int)
            depth = shot.planes["depth"][row, column].astype(float)
            # Through the middle of the pixel: there its depth is exact.
            pixel = np.column_stack([column + 0.5, row + 0.5, np.ones(len(seen))])
            reached = pixel @ np.linalg.inv(shot.intrinsics).T * depth[:, None]
            points[seen] = reached @ pose[:3, :3].T + pose[:3, 3]
            intensity[seen] = np.where(depth < REACH, 10.0 + 4.0 * (shot.planes["tag"][row, column] % 20), 0.0)
            facing[seen] = local[seen, 2]
        near = (facing > 0.0) & (intensity > 0.0)
        return np.column_stack([points, intensity, beam])[near].astype(np.float32)


def surround_frames(source: Path) -> tuple[McapRecording, Iterator[Surround]]:
    """Return a recording and its frames, one after the other. Raises :class:`RecordingError`, also while reading."""
    recording = McapRecording(source)
    return recording, (surround_of(recorded, source) for recorded in recording.frames())


def surround_of(recorded: RecordedFrame, source: Path) -> Surround:
    """Return a recorded frame as all of its cameras saw it. Raises :class:`RecordingError` if something is missing."""
    shots: dict[str, Shot] = {}
    found: dict[int, MovingObject] = {}
    for view in ("", *recorded.views):
        camera = recorded.views[view] if view else recorded
        frame = frame_of(recorded, view, writable=False)
        jpeg = camera.images.get("neural") or camera.images.get("rgb")
        if jpeg is None:
            raise RecordingError(f"{source} lacks neural (or rgb): record with these planes")
        intrinsics = np.reshape(camera.intrinsics, (3, 3))
        pose = recorded.pose(camera_frame(view))
        name = view or "front"
        shots[name] = Shot(name, jpeg, pose, intrinsics, camera.size, frame.planes, frame.camera)
        for moving in frame.objects:
            found.setdefault(moving.instance, moving)
    boxes = [_box(moving, shots) for moving in found.values()]
    return Surround(
        recorded.index, recorded.time, recorded.pose("ego"), shots, [box for box in boxes if box.pixels], recorded
    )


def _box(moving: MovingObject, shots: dict[str, Shot]) -> Box:
    """Return the box of an object; its visibility is that in the camera that sees most of it."""
    pose, (length, width, height) = foxglove.right_handed(moving.pose), moving.extent
    corners = pose @ np.vstack([_CORNERS * np.reshape(moving.extent, (3, 1)), np.ones(8)])
    best, pixels = 0.0, 0
    for shot in shots.values():
        if not {"tag", "instance"} <= shot.planes.keys():
            continue
        mask = (shot.planes["instance"] == moving.instance) & np.isin(shot.planes["tag"], MOVERS)
        area = int(np.count_nonzero(mask))
        if area:
            pixels += area
            best = max(best, area / max(_FILL * _outline(np.linalg.inv(shot.pose) @ corners, shot), 1.0))
    size = (2.0 * length, 2.0 * width, 2.0 * height)
    return Box(moving.instance, moving.tag, pose, size, moving.blueprint, min(best, 1.0), pixels, moving.parked)


def _outline(corners: np.ndarray, shot: Shot) -> float:
    """Return the area in pixels that a box's corners f64 (4, 8), camera axes, enclose, in and outside of the image."""
    front = corners[:3, corners[2] > _NEAR]
    if front.shape[1] < 3:
        return 0.0
    points = (shot.intrinsics @ front)[:2] / front[2]
    return float(cv2.contourArea(cv2.convexHull(points.T.astype(np.float32))))
