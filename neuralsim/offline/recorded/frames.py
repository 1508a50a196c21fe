"""Makes frames of what was recorded: the motion from depths and poses, else from the flow, else estimated."""

from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np

from bridge.geometry import focal_length
from bridge.link.motion import from_flow, reproject
from bridge.messages import HIDDEN_MOTION, UNKNOWN_MOTION, Camera, Frame
from bridge.tags import MOVERS, Tag
from neuralsim.imaging import optical_flow
from neuralsim.imaging.object_tracker import ObjectTracker
from neuralsim.imaging.pseudo_depth import PseudoDepth, horizon_row
from neuralsim.models.classes import CARLA_TO_CHANNEL
from neuralsim.offline.recorded.camera_track import camera_step
from neuralsim.offline.recorded.clip import Clip
from neuralsim.offline.recorded.planes import Planes

_FIRST_PLOT = 61_000  # first instance number of houses, as in ``render_folder.py``
_CUT = 0.25  # share of pixels that an estimated flow must follow: fewer, and the picture shows another place
_STANDS = 0.75  # px, median difference from scenery's motion up to which a vehicle stands
_FAR = 1000.0  # m, the sky


@dataclass
class _Motion:
    back: np.ndarray  # f32 (H, W, 2), px back to the last frame
    valid: np.ndarray  # bool (H, W), where it is known
    source: str  # "depth and poses", "flow", "motion files", "the pictures"
    is_exact: bool


class FrameMaker:
    """Makes frames of the planes of one clip, one after another.

    Args:
        clip: The clip.
        fps: Frames per second.
        weather: ``carla.WeatherParameters`` by name, empty: not known.
        weather_name: Name of the preset, "" for none.

    Attributes:
        weather: As the argument, for the frames to come.
        sources: Frames by where their motion comes from.
    """

    def __init__(self, clip: Clip, fps: float, weather: dict[str, float], weather_name: str = "") -> None:
        self._clip, self._fps = clip, fps
        self.weather, self._weather_name = weather, weather_name
        self.sources: Counter[str] = Counter()
        self._begin()

    def _begin(self) -> None:
        self._before: Planes | None = None
        self._camera: Camera | None = None
        self._had_pose = False
        self._objects = ObjectTracker()
        self._world: PseudoDepth | None = None

    def make(self, number: int, planes: Planes, begins: bool) -> Frame:
        """Return frame ``number`` of the clip; with a hidden past where it ``begins`` anew."""
        if begins or (self._before is not None and self._before.tag.shape != planes.tag.shape):
            self._begin()
        size = planes.tag.shape[1], planes.tag.shape[0]
        pose = self._clip.pose(number)
        camera = Camera(*size, self._clip.fov, np.eye(4) if pose is None else pose)
        motion = self._motion(planes, camera, has_pose=pose is not None)
        if motion is not None and not motion.is_exact and motion.valid.mean() < _CUT:
            self._begin()  # a cut: nothing of the last picture is left
            motion = None
        known = None if motion is None else np.where(motion.valid[..., None], motion.back, 0.0).astype(np.float32)
        instance = planes.instance if planes.instance is not None else self._objects.track(planes.tag, known)
        depth, instance, camera = self._place(planes, instance, camera, motion, has_pose=pose is not None)
        back: np.ndarray
        if motion is None:
            unseen = HIDDEN_MOTION if self._before is None else UNKNOWN_MOTION
            back = np.full((*planes.tag.shape, 2), unseen, np.float16)
        else:
            back = np.where(motion.valid[..., None], motion.back, HIDDEN_MOTION).astype(np.float16)
        self.sources[motion.source if motion else "none" if self._before else "the first frame"] += 1
        self._before, self._camera, self._had_pose = planes, camera, pose is not None
        everything = {"tag": planes.tag, "instance": instance, "depth": depth, "motion": back}
        if planes.rgb is not None:
            everything["rgb"] = planes.rgb
        return Frame(
            number, number + 1, self._clip.time(number, self._fps), camera, everything, weather=dict(self.weather),
            weather_name=self._weather_name, estimated=motion is not None and not motion.is_exact,
        )  # fmt: skip

    def _motion(self, planes: Planes, camera: Camera, has_pose: bool) -> _Motion | None:
        """Return the motion since the frame before, None where there is none or nothing tells it."""
        before, old = self._before, self._camera
        if before is None or old is None:
            return None
        if planes.motion is not None:
            return _Motion(*planes.motion, "motion files", is_exact=not self._clip.is_motion_estimated)
        flow = self._flow(planes, camera, old) if planes.flow is not None else None
        is_coarse = self._clip.depth_code is not None and self._clip.depth_code.is_coarse
        if has_pose and planes.depth is not None and self._had_pose and not (is_coarse and flow):
            scenery = reproject(planes.depth, camera, old.pose).astype(np.float32)
            still = _Motion(scenery, np.ones(planes.tag.shape, bool), "depth and poses", is_exact=True)
            if np.isin(planes.tag, MOVERS).any():
                self._move(still, planes, flow or self._estimated(planes, before))
            return still
        return flow or self._estimated(planes, before)

    def _flow(self, planes: Planes, camera: Camera, old: Camera) -> _Motion:
        """Return the motion of CARLA's flow; servers leave the sky at 0, which then moves as the camera turns."""
        assert planes.flow is not None
        flow, known = planes.flow
        out = np.empty((*planes.tag.shape, 2), np.float16)
        depth = planes.depth
        if depth is None:
            depth = np.where(planes.tag == Tag.SKY, np.float32(_FAR), np.float32(1.0))
        from_flow(np.ascontiguousarray(flow), depth, camera, old.pose, out)
        return _Motion(out.astype(np.float32), known, "flow", is_exact=True)

    def _estimated(self, planes: Planes, before: Planes) -> _Motion | None:
        """Return the motion that the pictures show."""
        if planes.rgb is None or before.rgb is None:
            return None
        back, valid = optical_flow.backward(before.rgb, planes.rgb)
        return _Motion(back, valid, "the pictures", is_exact=False)

    def _move(self, still: _Motion, planes: Planes, seen: _Motion | None) -> None:
        """Let what moves by itself move as ``seen``, in place of as scenery does.

        Without a flow an object that hardly differs from scenery stands: estimates are blotchy. Where it moves and
        nothing is known, its past is hidden.
        """
        if seen is None:
            return
        moves = np.isin(planes.tag, MOVERS)
        if seen.is_exact:
            chosen = moves & seen.valid
            still.back[chosen] = seen.back[chosen]
            return
        objects = planes.instance
        if objects is None:
            objects = cv2.connectedComponents(moves.astype(np.uint8))[1]
        apart = np.hypot(*np.moveaxis(seen.back - still.back, -1, 0))
        for number in np.unique(objects[moves]).tolist():
            inside = moves & (objects == number)
            sure = inside & seen.valid
            if not sure.any() or np.median(apart[sure]) < _STANDS:
                continue
            still.back[sure] = seen.back[sure]
            still.valid[inside & ~seen.valid] = False

    def _place(
        self, planes: Planes, instance: np.ndarray, camera: Camera, motion: _Motion | None, has_pose: bool
    ) -> tuple[np.ndarray, np.ndarray, Camera]:
        """Return depth f32 (H, W), instances u16 (H, W) and the camera in the world, invented where not recorded."""
        back, valid = (None, None) if motion is None else (motion.back, motion.valid)
        if planes.depth is not None:
            if not has_pose and back is not None and valid is not None and self._camera is not None:
                step = camera_step(planes.tag, planes.depth, back, valid, camera)
                camera = Camera(camera.width, camera.height, camera.fov, self._camera.pose @ step)
            return planes.depth, instance, camera
        if self._world is None:
            channels = [CARLA_TO_CHANNEL[planes.tag]]
            focal = focal_length(camera.width, camera.fov)
            self._world = PseudoDepth((camera.width, camera.height), focal, horizon_row(channels))
        view = self._world.view(planes.tag, instance, back, valid)
        plotted = np.where(view.plot > 0, _FIRST_PLOT + view.plot, instance).astype(np.uint16)
        return view.depth, plotted, Camera(camera.width, camera.height, camera.fov, view.pose)
