"""``NeuralRenderer``: a frame of the simulator in, a photoreal picture out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

from bridge.messages import HIDDEN_MOTION, PLANES, Camera, Frame, plane_shape
from bridge.tags import Tag
from neuralsim import runtimes, zoo
from neuralsim.base.failure import reason
from neuralsim.guide.exemplar_guide import Atlas, AtlasError, ExemplarGuide
from neuralsim.guide.picture_guide import PictureGuide
from neuralsim.renderer import antialiasing, haze, stains, upscaling, weather_style
from neuralsim.renderer.antialiasing import soften
from neuralsim.renderer.remap import NOTHING, Remap
from neuralsim.renderer.sharpening import sharpen
from neuralsim.renderer.upscaling import PLANES as REMEMBERING
from neuralsim.renderer.upscaling import TemporalUpscaler
from neuralsim.runtimes import RuntimeUnavailable
from neuralsim.zoo import ModelError

__all__ = ["ModelError", "NeuralRenderer", "RuntimeUnavailable"]

_LEGIBLE = 360.0  # px of focal length: 512 pixels across 70 degrees; a lamp 40 m away is two pixels then
_BLEND = 0.4  # simulated seconds in which 1 - 1/e of the way to the chosen style is gone


class NeuralRenderer:
    """Paints frames with one model, keeping its temporal state between them.

    ``model``: name of a shipped model or a folder with ``card.yaml``; ``runtime``: "auto" or one of
    ``neuralsim.runtimes.RUNTIMES``; ``size``: (width, height) to load for at once (else at the first frame);
    ``threads``: CPU threads, None = all; ``style``: one of the model's, None = its default. ``remap`` can be set at any
    time: from the next frame on, tags are painted as others. So can ``guide``, one of ``neuralsim.guide.GUIDES``:
    "picture" follows the frame's ``rgb`` or ``rgb_half`` plane, "exemplars" the model's sketches of real
    objects. Where there is no such plane, or the model takes no guide or has no sketches, it is "surface".
    ``pixels``: so many of each frame are painted, in windows that take turns, and the picture is put together from
    those of several frames at full resolution (``upscaling.py``); with as many as a frame has, outlines are
    anti-aliased by frames' jitter. None: each frame is painted whole, with the graph's own memory. ``finish``: take
    stains from each picture (``stains.py``), sharpen it as the card says (``sharpening.py``) and take the
    stairs from its outlines (``antialiasing.py``), all beside the graph's memory; False: what the graph painted.

    Raises ModelError and RuntimeUnavailable, one line each.
    """

    def __init__(
        self,
        model: str = zoo.DEFAULT,
        runtime: str = "auto",
        size: tuple[int, int] | None = None,
        threads: int | None = None,
        style: str | None = None,
        guide: str = "picture",
        pixels: int | None = None,
        finish: bool = True,
    ) -> None:
        self.card = zoo.load(model)
        self.model = self.card.name
        self._wanted, self._threads = runtime, threads
        self._size: tuple[int, int] | None = None
        self._session: runtimes.ModelSession | None = None
        self._failed: set[str] = set()  # runtimes that failed while painting
        self._last: int | None = None
        self._time = 0.0  # s, simulated, of the last frame
        self.remap: Remap = NOTHING
        self.guide = guide
        self._pixels = pixels
        self._finish = finish
        self._upscaler: TemporalUpscaler | None = None
        self.upscaling = 0.0  # s that putting the last picture together took, beside painting
        self._picture = PictureGuide()
        self._exemplars = _exemplars(self.card)
        self._unguided = np.zeros((0, 0, 4), np.uint8)
        self._weather: Mapping[str, float] | None = None  # that chose the style
        self._style = self._target = self.card.styles[self.card.default_style]
        self._haze = self._hazy = haze.NONE  # of the last picture, and what it goes to
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

    def shows_lamps(self, frame: Frame) -> bool:
        """Do lamps come out in the painting of ``frame`` by themselves? The simulator's picture is followed, and in it
        they are large enough to be read at 40 m."""
        picture = self._followed(frame)
        return picture is not None and frame.camera.focal * picture.shape[1] >= _LEGIBLE * frame.camera.width

    @property
    def wants_picture(self) -> bool:
        """Would the simulator's own picture, the ``rgb`` or ``rgb_half`` plane, be followed?"""
        return self.guide == "picture" and "guide" in self.card.inputs

    def _followed(self, frame: Frame) -> np.ndarray | None:
        """The simulator's picture, u8 of the frame's size or of half of it, where there is one to be followed."""
        planes = frame.planes
        return planes.get("rgb", planes.get("rgb_half")) if self.wants_picture else None

    @property
    def note(self) -> str:
        """What was found out while the runtime was chosen, in one line; "" if nothing."""
        return self._session.note if self._session else ""

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width that the loaded graph paints."""
        assert self._size is not None, "no size yet: give one to the constructor or render a frame"
        return self._padded

    def set_style(self, name: str) -> None:
        """Blend over to one of the card's styles within a second or so. Raises ModelError for an unknown one."""
        self._weather = None
        if name not in self.card.styles:
            raise ModelError(f"model {self.model} has no style {name!r}; it has: {', '.join(self.card.styles)}")
        self._target, self._hazy = self.card.styles[name], haze.NONE

    def follow(self, weather: Mapping[str, float]) -> None:
        """Blend over to the light of ``weather``, carla.WeatherParameters by name (``weather_style.py``)."""
        if weather != self._weather:
            self._weather = weather
            self._target = weather_style.of_weather(weather, self.card.styles, self.card.default_style)
            self._hazy = haze.of_weather(weather)

    def reset(self) -> None:
        """Forget the past, as after a jump of the camera: what comes next is in the chosen style at once."""
        self._last = None
        self._style, self._haze = self._target, self._hazy
        self._picture.reset()
        if self._exemplars:
            self._exemplars.reset()
        if self._upscaler:
            self._upscaler.reset()
        if self._session:
            self._session.reset()

    def state(self) -> dict[str, np.ndarray]:
        """A copy of what the loaded graph remembers, for :meth:`restore`."""
        assert self._session is not None, "no size yet: give one to the constructor or render a frame"
        return self._session.state()

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what :meth:`state` gave."""
        assert self._session is not None, "no size yet: give one to the constructor or render a frame"
        self._session.restore(state)

    def render(self, frame: Frame) -> np.ndarray:
        """Paint ``frame``: u8 (H, W, 3) RGB, the caller's to keep.

        Frames come in order; a jump back in simulator time resets the state. Any size: the frame is padded to the
        model's multiple by repeating its border, and the picture cropped back. Raises ModelError if it lacks a plane.
        """
        return self.paint(frame)()

    def paint(self, frame: Frame) -> Callable[[], np.ndarray]:
        """``render``, but for what is done beside the graph's memory: calling what comes back does that, once and in
        any thread, also while the next frame is painted, and gives the picture."""
        if self._last is not None and frame.sim_frame <= self._last:
            self.reset()
        if self._last is None:
            self._style, self._haze = self._target, self._hazy
        self._last = frame.sim_frame
        feeds = self.feeds(frame)
        if self._upscaler is not None:
            picture = self._put_together(frame, feeds, self._upscaler)
        else:
            picture = self.painted(feeds, *frame.planes["tag"].shape)
        return self.finishing(frame, feeds, picture) if self._finish else lambda: picture

    def painted(self, feeds: dict[str, np.ndarray], height: int, width: int) -> np.ndarray:
        """``step``, cut to ``height`` and ``width``, and free of stains unless ``finish=False``; yours to keep."""
        picture = self.step(feeds)[:height, :width].copy()
        if self._finish:
            stains.clean(picture, feeds["tag"], feeds.get("guide"), self._style)
        return picture

    def finishing(
        self, frame: Frame, feeds: Mapping[str, np.ndarray], picture: np.ndarray, outlines: bool = True
    ) -> Callable[[], np.ndarray]:
        """What is done in place, when what comes back is called, to a ``picture`` u8 (H, W, 3) that was painted of
        ``frame`` from its ``feeds``; with stairs left on ``outlines`` if they are False."""
        tag, instance, air, style = feeds["tag"], self._whole(frame.planes["instance"]), self._haze, self._style

        def finish() -> np.ndarray:
            if self.card.sharpening:
                sharpen(picture, tag, self.card.sharpening)
            if "depth" in frame.planes:
                haze.veil(picture, frame.planes["depth"], air, style)
            if outlines:
                soften(picture, tag, instance)
            return picture

        return finish

    def seconds_per_step(self, steps: int = 10) -> float:
        """Shortest of a few steps at the loaded size: what an undisturbed machine needs. Forgets the past."""
        assert self._size is not None, "no size yet: give one to the constructor or render a frame"
        sky, feeds = self._sky(*self._size), self.feeds(self._sky(*self._size))
        times = []
        if self._upscaler is not None:
            self._put_together(sky, feeds, self._upscaler)  # the first picture is painted whole
        for _ in range(steps):
            begun = time.perf_counter()
            if self._upscaler is not None:
                self._put_together(sky, feeds, self._upscaler)
            else:
                self.step(feeds)
            times.append(time.perf_counter() - begun)
        self.reset()
        return min(times)

    def step(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        """Run the graph on what ``feeds`` made: u8 (H, W, 3), padded size, valid until the next step.

        A runtime that "auto" has chosen and that fails gives way to the next one, which goes on from its memory where
        that can still be read; ``warning`` says so. Raises RuntimeUnavailable where there is no other one.
        """
        assert self._session is not None, "feeds() loads the graph for the frame's size"
        while True:
            try:
                return self._session.step(feeds)
            except Exception as error:  # each library has its own: out of memory, a device that was lost
                self._session = self._successor(self._session, error)

    def _successor(self, failed: runtimes.ModelSession, error: Exception) -> runtimes.ModelSession:
        """A session of another runtime, in the state of the one that ``failed``. Raises RuntimeUnavailable."""
        if self._wanted != "auto":
            raise RuntimeUnavailable(f"{failed.name} failed: {reason(error)[:120]}") from error
        from neuralsim.runtimes import fallback

        self._failed.add(failed.name.split()[0])
        graph = _graph(self.card, self._pixels)
        return fallback.successor(failed, error, graph, *self._padded, self._threads, self._failed)

    def _put_together(self, frame: Frame, feeds: dict[str, np.ndarray], upscaler: TemporalUpscaler) -> np.ndarray:
        """Paint a window of ``frame``, whose whole ``feeds`` are given, and put it into what is remembered."""
        begun = time.perf_counter()
        lefts = upscaler.move(frame)
        painting = 0.0
        for left in lefts:
            since = time.perf_counter()
            columns = slice(left, left + upscaler.window)
            part = dict(feeds, camera=feeds["camera"].copy())
            part |= {name: self._fit(feeds[name][:, columns]) for name in (*PLANES, "guide") if name in feeds}
            part["camera"][18] -= left
            assert self._session is not None
            self._session.reset()  # what is remembered is remembered at full size
            painted = self.painted(part, upscaler.size[1], upscaler.window)
            painting += time.perf_counter() - since
            upscaler.accept(painted, left)
        picture = upscaler.picture()
        self.upscaling = time.perf_counter() - begun - painting
        return picture

    def feeds(self, frame: Frame) -> dict[str, np.ndarray]:
        """The graph's inputs for ``frame``, all but the state; the style moves a step towards the chosen one."""
        planes = [name for name in PLANES if name in self.card.inputs]
        if self._pixels is not None:
            planes = sorted({*planes, *REMEMBERING})
        if not frame.planes.keys() >= set(planes):
            wanted, came = ",".join(planes), ",".join(frame.planes)
            raise ModelError(f"model {self.model} paints from the planes {wanted}; this frame has only {came}")
        height, width = frame.planes["tag"].shape
        if self._size != (width, height):
            self._load((width, height))
        seconds = max(frame.sim_time - self._time, 0.0)
        self._time = frame.sim_time
        left = math.exp(-seconds / _BLEND)
        self._style = self._target + left * (self._style - self._target)
        self._haze = self._hazy + left * (self._haze - self._hazy)
        return self._inputs(frame)

    def _inputs(self, frame: Frame) -> dict[str, np.ndarray]:
        planes = [name for name in PLANES if name in self.card.inputs]
        camera = frame.camera
        right, down = camera.jitter
        lens = (camera.focal, camera.focal, camera.width / 2.0 + right, camera.height / 2.0 + down)
        feeds = {name: self._whole(frame.planes[name]) for name in planes}
        if self.remap:
            feeds["tag"] = cv2.LUT(feeds["tag"], self.remap.table)
        if "guide" in self.card.inputs:
            feeds["guide"] = self._guide(frame, feeds["tag"])
            if self._pixels is None:  # else the graph looks at no past
                feeds["motion"] = _lights_anew(feeds["motion"], feeds["tag"], feeds["guide"])
        feeds["camera"] = np.concatenate([np.asarray(camera.pose, np.float32).ravel(), np.asarray(lens, np.float32)])
        feeds["style"] = np.ascontiguousarray(self._style, np.float32)
        if "blend" in self.card.inputs:
            feeds["blend"] = self.card.blend["estimated" if frame.estimated else "exact"]
        return {name: feeds[name] for name in self.card.inputs if name in feeds}

    def _guide(self, frame: Frame, tag: np.ndarray) -> np.ndarray:
        """The graph's guide u8 (H, W, 4) for ``frame``, whose tags are painted as ``tag``; zeros without one."""
        instance = self._whole(frame.planes["instance"])
        if self.guide == "exemplars" and self._exemplars:
            return self._exemplars.follow(tag, instance, self._style)
        picture = self._followed(frame)
        if picture is None:
            if self._unguided.shape[:2] != tag.shape:
                self._unguided = np.zeros((*tag.shape, 4), np.uint8)
            return self._unguided
        name = "rgb" if picture.shape[:2] == frame.planes["tag"].shape else "rgb_half"
        rgb = _padded(picture, *plane_shape(name, *tag.shape)[:2])
        guide = self._picture.follow(tag, instance, rgb, self._style, frame.sim_time)
        if self.remap:  # the picture shows what was there before
            guide[tag != self._whole(frame.planes["tag"])] = 0
        return guide

    def _load(self, size: tuple[int, int]) -> None:
        height = size[1]
        self._upscaler = None
        part, *padded = _painted(self.card, size, self._pixels)
        self._padded = padded[0], padded[1]
        example = self._inputs(self._sky(part, height))  # has the guide's kernels compiled, before a frame waits for it
        self._picture.reset()
        graph = _graph(self.card, self._pixels)
        self._session = runtimes.create(self._wanted, graph, *self._padded, self._threads, example, self._failed)
        if self._finish:
            antialiasing.compile_kernels()
            stains.compile_kernels()
        if self._pixels is not None:
            upscaling.compile_kernels()
            self._upscaler = TemporalUpscaler(size, part)
        self._size = size

    def _sky(self, width: int, height: int) -> Frame:
        """A frame with nothing in it: the graph takes as long for it as for any other."""
        picture = "rgb" if self._pixels is None else "rgb_half"
        planes: dict[str, np.ndarray] = {
            "tag": np.full((height, width), Tag.SKY, np.uint8),
            "instance": np.zeros((height, width), np.uint16),
            "depth": np.full((height, width), 1000.0, np.float32),
            "motion": np.zeros((height, width, 2), np.float16),
            picture: np.full(plane_shape(picture, height, width), 128, np.uint8),
        }
        for plane in planes.values():  # as those are that come over the link: kernels are compiled by that too
            plane.flags.writeable = False
        return Frame(0, 0, 0.0, Camera(width, height, 70.0, np.eye(4)), planes)

    def _whole(self, plane: np.ndarray) -> np.ndarray:
        """As the graph takes it, or as it is where it is fed window by window."""
        return self._fit(plane) if self._upscaler is None else plane

    def _fit(self, plane: np.ndarray) -> np.ndarray:
        return _padded(plane, *self._padded)


def _padded(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """``plane`` (H, W, ...) made so high and wide by repeating its border, C-contiguous."""
    below, beside = height - plane.shape[0], width - plane.shape[1]
    if not below and not beside:
        return np.ascontiguousarray(plane)
    return np.pad(plane, [(0, below), (0, beside)] + [(0, 0)] * (plane.ndim - 2), mode="edge")


def _painted(card: zoo.Card, size: tuple[int, int], pixels: int | None) -> tuple[int, int, int]:
    """Of frames of ``size`` (width, height): the width that is painted at once, and height and width of the graph."""
    (width, height), step = size, card.multiple_of
    part = width if pixels is None else upscaling.window_of(pixels, width, height, step)
    return part, -(-height // step) * step, -(-part // step) * step


def _graph(card: zoo.Card, pixels: int | None) -> Path:
    """The graph that paints ``pixels`` of a frame: of one that remembers only what it paints, where pictures are put
    together from windows (``upscaling.py`` remembers then)."""
    if pixels is None:
        return card.file
    from neuralsim.runtimes import graph_variants  # onnx: imported where it is needed alone

    return graph_variants.single(card.file)


def measures(model: str, size: tuple[int, int], threads: int | None, pixels: int | None = None) -> bool:
    """Whether ``NeuralRenderer`` with these arguments and ``auto`` will measure the runtimes before it paints."""
    from neuralsim.runtimes import autotune

    try:
        card = zoo.load(model)
        return autotune.to_measure(_graph(card, pixels), *_painted(card, size, pixels)[1:], threads)
    except ModelError:
        return False  # loading it says what is wrong


def _lights_anew(motion: np.ndarray, tag: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """``motion`` f16 (H, W, 2), but traffic lights of which the ``guide`` u8 (H, W, 4) has the colour have no past: it
    would show a light that has changed as it was."""
    lights = np.flatnonzero(tag == Tag.TRAFFIC_LIGHT)
    lights = lights[guide.reshape(-1, 4)[lights, 0] > 0]
    if not len(lights):
        return motion
    anew = motion.copy()
    anew.reshape(-1, 2)[lights] = HIDDEN_MOTION
    return anew


def _exemplars(card: zoo.Card) -> ExemplarGuide | None:
    """The model's sketches of real objects, if it has any. Raises ModelError."""
    if card.exemplars is None:
        return None
    try:
        return ExemplarGuide(Atlas.load(card.exemplars))
    except (AtlasError, OSError) as error:
        raise ModelError(f"model {card.name}: {error}") from None
