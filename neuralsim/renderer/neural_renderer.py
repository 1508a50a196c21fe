"""``NeuralRenderer``: a frame of the simulator in, a photoreal picture out."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import cv2
import numpy as np

from bridge.messages import PLANES, Camera, Frame
from bridge.tags import Tag
from neuralsim import runtimes, zoo
from neuralsim.guide.picture import PictureGuide
from neuralsim.renderer import weather_style
from neuralsim.renderer.remap import NOTHING, Remap
from neuralsim.runtimes import RuntimeUnavailable
from neuralsim.zoo import ModelError

__all__ = ["ModelError", "NeuralRenderer", "RuntimeUnavailable"]

#: Whose look of things is painted: the simulator's own picture's, or what its surfaces are taken to be like.
GUIDES = ("picture", "surface")
_BLEND = 0.4  # simulated seconds in which 1 - 1/e of the way to the chosen style is gone


class NeuralRenderer:
    """Paints frames with one model, keeping its temporal state between them.

    ``model``: name of a shipped model or a folder with ``card.yaml``; ``runtime``: "auto" or one of
    ``neuralsim.runtimes.RUNTIMES``; ``size``: (width, height) to load for at once (else at the first frame);
    ``threads``: CPU threads, None = all. Raises ModelError and RuntimeUnavailable, one line each.
    ``remap`` can be set at any time: from the next frame on, tags are painted as others. So can ``guide``, one of
    ``GUIDES``: "picture" follows the frame's ``rgb`` plane where there is one and the model takes a guide.
    """

    def __init__(
        self,
        model: str = zoo.DEFAULT,
        runtime: str = "auto",
        size: tuple[int, int] | None = None,
        threads: int | None = None,
        style: str | None = None,
        guide: str = "picture",
    ) -> None:
        self.card = zoo.load(model)
        self.model = self.card.name
        self._wanted, self._threads = runtime, threads
        self._size: tuple[int, int] | None = None
        self._session: runtimes.Session | None = None
        self._last: int | None = None
        self._time = 0.0  # s, simulated, of the last frame
        self.remap: Remap = NOTHING
        self.guide = guide
        self._picture = PictureGuide()
        self._unguided = np.zeros((0, 0, 4), np.uint8)
        self._weather: Mapping[str, float] | None = None  # that chose the style
        self._style = self._target = self.card.styles[self.card.default_style]
        if style:
            self.set_style(style)
            self._style = self._target
        if size:
            self._load(size)
        else:
            runtimes.check(runtime)  # raises: says now what is wrong with it

    @property
    def runtime(self) -> str:
        """Runtime and precision in use, e.g. "openvino bf16"; the wish until the first frame's size is known."""
        return self._session.name if self._session else self._wanted

    @property
    def warning(self) -> str:
        """What about the runtime is not as it was meant to be, in one line; "" if nothing."""
        return self._session.warning if self._session else ""

    @property
    def wants_picture(self) -> bool:
        """Would the simulator's own picture, the ``rgb`` plane, be followed?"""
        return self.guide == "picture" and "guide" in self.card.inputs

    @property
    def note(self) -> str:
        """What was found out while the runtime was chosen, in one line; "" if nothing."""
        return self._session.note if self._session else ""

    def set_style(self, name: str) -> None:
        """Blend over to one of the card's styles within a second or so. Raises ModelError for an unknown one."""
        self._weather = None
        if name not in self.card.styles:
            raise ModelError(f"model {self.model} has no style {name!r}; it has: {', '.join(self.card.styles)}")
        self._target = self.card.styles[name]

    def follow(self, weather: Mapping[str, float]) -> None:
        """Blend over to the light of ``weather``, carla.WeatherParameters by name (``weather_style.py``)."""
        if weather != self._weather:
            self._weather = weather
            self._target = weather_style.of_weather(weather, self.card.styles, self.card.default_style)

    def reset(self) -> None:
        """Forget the past, as after a jump of the camera: what comes next is in the chosen style at once."""
        self._last = None
        self._style = self._target
        self._picture.reset()
        if self._session:
            self._session.reset()

    def render(self, frame: Frame) -> np.ndarray:
        """Paint ``frame``: u8 (H, W, 3) RGB, the caller's to keep.

        Frames come in order; a jump back in simulator time resets the state. Any size: the frame is padded to the
        model's multiple by repeating its border, and the picture cropped back. Raises ModelError if it lacks a plane.
        """
        if self._last is not None and frame.sim_frame <= self._last:
            self.reset()
        if self._last is None:
            self._style = self._target
        self._last = frame.sim_frame
        picture = self.step(self.feeds(frame))
        height, width = frame.planes["tag"].shape
        return picture[:height, :width].copy()

    def seconds_per_step(self, steps: int = 10) -> float:
        """Shortest of a few steps at the loaded size: what an undisturbed machine needs. Forgets the past."""
        assert self._size is not None, "no size yet: give one to the constructor or render a frame"
        feeds = self.feeds(_sky(*self._size))
        times = []
        for _ in range(steps):
            begun = time.perf_counter()
            self.step(feeds)
            times.append(time.perf_counter() - begun)
        self.reset()
        return min(times)

    def step(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        """Run the graph on what ``feeds`` made: u8 (H, W, 3), padded size, valid until the next step."""
        assert self._session is not None, "feeds() loads the graph for the frame's size"
        return self._session.step(feeds)

    def feeds(self, frame: Frame) -> dict[str, np.ndarray]:
        """The graph's inputs for ``frame``, all but the state; the style moves a step towards the chosen one."""
        planes = [name for name in PLANES if name in self.card.inputs]
        if not frame.planes.keys() >= set(planes):
            wanted, came = ",".join(planes), ",".join(frame.planes)
            raise ModelError(f"model {self.model} paints from the planes {wanted}; this frame has only {came}")
        height, width = frame.planes["tag"].shape
        if self._size != (width, height):
            self._load((width, height))
        seconds = max(frame.sim_time - self._time, 0.0)
        self._time = frame.sim_time
        self._style = self._target + math.exp(-seconds / _BLEND) * (self._style - self._target)
        return self._inputs(frame)

    def _inputs(self, frame: Frame) -> dict[str, np.ndarray]:
        planes = [name for name in PLANES if name in self.card.inputs]
        camera = frame.camera
        lens = (camera.focal, camera.focal, camera.width / 2.0, camera.height / 2.0)
        feeds = {name: self._fit(frame.planes[name]) for name in planes}
        if self.remap:
            feeds["tag"] = cv2.LUT(feeds["tag"], self.remap.table)
        if "guide" in self.card.inputs:
            feeds["guide"] = self._guide(frame, feeds["tag"])
        feeds["camera"] = np.concatenate([np.asarray(camera.pose, np.float32).ravel(), np.asarray(lens, np.float32)])
        feeds["style"] = np.ascontiguousarray(self._style, np.float32)
        return {name: feeds[name] for name in self.card.inputs if name in feeds}

    def _guide(self, frame: Frame, tag: np.ndarray) -> np.ndarray:
        """The graph's guide u8 (H, W, 4) for ``frame``, whose tags are painted as ``tag``; zeros without one."""
        if not self.wants_picture or "rgb" not in frame.planes:
            if self._unguided.shape[:2] != tag.shape:
                self._unguided = np.zeros((*tag.shape, 4), np.uint8)
            return self._unguided
        instance, rgb = (self._fit(frame.planes[name]) for name in ("instance", "rgb"))
        guide = self._picture.follow(tag, instance, rgb, self._style, frame.sim_time)
        if self.remap:  # the picture shows what was there before
            guide[tag != self._fit(frame.planes["tag"])] = 0
        return guide

    def _load(self, size: tuple[int, int]) -> None:
        width, height = size
        step = self.card.multiple_of
        self._padded = (-(-height // step) * step, -(-width // step) * step)
        example = self._inputs(_sky(width, height))
        self._session = runtimes.create(self._wanted, self.card.file, *self._padded, self._threads, example)
        self._size = size

    def _fit(self, plane: np.ndarray) -> np.ndarray:
        height, width = plane.shape[:2]
        if (height, width) == self._padded:
            return np.ascontiguousarray(plane)
        pad = [(0, self._padded[0] - height), (0, self._padded[1] - width)] + [(0, 0)] * (plane.ndim - 2)
        return np.pad(plane, pad, mode="edge")


def _sky(width: int, height: int) -> Frame:
    """A frame with nothing in it: the graph takes as long for it as for any other."""
    planes: dict[str, np.ndarray] = {
        "tag": np.full((height, width), Tag.SKY, np.uint8),
        "instance": np.zeros((height, width), np.uint16),
        "depth": np.full((height, width), 1000.0, np.float32),
        "motion": np.zeros((height, width, 2), np.float16),
    }
    return Frame(0, 0, 0.0, Camera(width, height, 70.0, np.eye(4)), planes)
