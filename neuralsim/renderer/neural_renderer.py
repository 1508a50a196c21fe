"""``NeuralRenderer``: a frame of the simulator in, a photoreal image out."""

from __future__ import annotations

import copy
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from bridge.messages import HIDDEN_MOTION, PLANES, Camera, Frame, plane_shape
from bridge.tags import Tag
from neuralsim import runtimes, zoo
from neuralsim.base.failure import reason
from neuralsim.models.classes import Channel
from neuralsim.renderer import upscaling, woods
from neuralsim.renderer.conditions import Conditions, conditions_of
from neuralsim.renderer.dashcam import windscreen
from neuralsim.renderer.dashcam.dash_camera import DashCamera
from neuralsim.renderer.frame_guide import FrameGuide, padded
from neuralsim.renderer.frame_renderer import FrameInputs, GeneratedImage
from neuralsim.renderer.light import Light
from neuralsim.renderer.postprocessing import pipeline
from neuralsim.renderer.postprocessing.sharpening import mend_border, soften_past, stillness
from neuralsim.renderer.remap import NO_REMAP, Remap
from neuralsim.renderer.upscaling import TemporalUpscaler
from neuralsim.renderer.view_state import ViewState
from neuralsim.renderer.weather import camera_response
from neuralsim.runtimes import ForkableSession, RuntimeUnavailable
from neuralsim.zoo import ModelError

__all__ = ["ModelError", "NeuralRenderer", "RuntimeUnavailable"]

_NOT_PREPARED = "no size yet: pass one to the constructor or to prepare()"


class NeuralRenderer:
    """Renders frames with one model and keeps its temporal state between them; a ``FrameRenderer``.

    ``render`` chains the stages: ``prepare`` for the frame's size, ``advance`` the clock to the frame, ``encode`` it,
    ``run`` the network, ``postprocess`` the image. All but the last are one call too, ``generate``.

    Args:
        model: Name of a shipped model or a folder with ``card.yaml``.
        runtime: "auto" or one of ``neuralsim.runtimes.RUNTIMES``.
        size: (width, height) to load the model for at once, else at the first frame.
        threads: CPU threads, None = all.
        style: One of the model's, None = its default.
        guide: One of ``neuralsim.guide.GUIDES``: "picture" follows the frame's ``rgb`` or ``rgb_half`` plane,
            "exemplars" the model's sketches of real objects. It is "surface" where there is no such plane, or the model
            takes no guide or has no sketches.
        pixels: How many of each frame are generated, in windows that take turns; the image is composited from those of
            several frames at full resolution (``upscaling.py``). With as many as a frame has, outlines are anti-aliased
            by the jitter of the frames. None: each frame is generated whole, with the graph's own state.
        postprocess: Run those steps of ``postprocessing/pipeline.py`` that the model's card names (without names, all),
            or those of these names; none of them reaches the graph's state. Only the past of a view that stands still
            is softened (``postprocessing/sharpening.py``), and hidden beside outlines that have moved on
            (``trails.py``), unless it is composited of windows. False or empty: images are what the graph generated,
            but for ``dashcam``.
        dashcam: Film through the windscreen, over the own bonnet (``dashcam/dash_camera.py``); forks do not.

    Raises:
        ModelError: One line.
        RuntimeUnavailable: One line.
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
        postprocess: bool | Collection[str] = True,
        dashcam: bool = False,
    ) -> None:
        self.card = zoo.load(model)
        self.model = self.card.name
        self._requested, self._threads = runtime, threads
        self.remap, self._guide_name = NO_REMAP, guide
        self._pixels = pixels
        of_model = pipeline.NAMES if self.card.postprocessing is None else self.card.postprocessing
        if not set(of_model).issubset(pipeline.NAMES):
            strange = min(set(of_model).difference(pipeline.NAMES))
            raise ModelError(f"model {self.model} has a step {strange!r}, which this version has not")
        self._steps = frozenset(of_model if postprocess is True else postprocess or ())
        if unknown := self._steps.difference(pipeline.NAMES):
            raise ValueError(f"postprocess: no step {min(unknown)!r}; there are {', '.join(pipeline.NAMES)}")
        self._no_instances = np.zeros((0, 0), np.uint16)  # only ever zeros
        self._view = ViewState(Light(self.card), FrameGuide(self.card), DashCamera() if dashcam else None)
        if style:
            self.set_style(style)
            self._view.light.settle()
        if size:
            self._load(size)
        else:
            runtimes.check(runtime)  # raises: an unusable runtime is reported now

    def fork(self, size: tuple[int, int] | None = None) -> NeuralRenderer:
        """Return the renderer of another camera of one rig: one loaded graph and one exposure, a state of its own.

        ``size``: (width, height) of that camera, None: the same; for another one the graph is loaded again.
        ``set_streams`` says how many of the forks render at the same time. Raises RuntimeUnavailable for a runtime
        whose loaded graph cannot be shared and that fails to load it again.
        """
        view, other = self._view, copy.copy(self)
        other._view = ViewState(copy.copy(view.light), view.guide.fork())
        if size is not None and size != view.size:
            other._load(size)
            other.reset()
            return other
        assert view.size is not None, _NOT_PREPARED
        assert view.session is not None, _NOT_PREPARED
        other._view.size, other._view.padded = view.size, view.padded
        if isinstance(view.session, ForkableSession):
            other._view.session = view.session.fork()
        else:
            graph = _graph(self.card, self._pixels)
            other._view.session = runtimes.create(self._requested, graph, *view.padded, self._threads)
        if view.upscaler is not None:
            other._view.upscaler = TemporalUpscaler(view.size, view.upscaler.window)
        other.reset()
        return other

    def set_streams(self, streams: int) -> None:
        """Let ``streams`` forks render at the same time, from the next frame on, where the runtime can."""
        if isinstance(self._view.session, ForkableSession):
            self._view.session.streams = streams

    @property
    def runtime(self) -> str:
        """Return the runtime and precision in use, e.g. "openvino bf16"; the requested one until the size is known."""
        return self._view.session.name if self._view.session else self._requested

    @property
    def warning(self) -> str:
        """Return in which way the runtime is not the requested one, in one line; "" if it is."""
        return self._view.session.warning if self._view.session else ""

    @property
    def note(self) -> str:
        """Return what was measured while the runtime was chosen, in one line; "" if nothing."""
        return self._view.session.note if self._view.session else ""

    @property
    def styles(self) -> Collection[str]:
        """Return the names of the model's styles."""
        return self.card.styles

    @property
    def inputs(self) -> Collection[str]:
        """Return the names of the graph's inputs."""
        return self.card.inputs

    @property
    def follows_simulator_image(self) -> bool:
        """Return whether the ``rgb`` or ``rgb_half`` plane of a frame is used as its guide, where there is one."""
        return self._guide_name == "picture" and "guide" in self.card.inputs

    def _simulator_image(self, frame: Frame) -> np.ndarray | None:
        """Return the simulator image to follow, u8 of the frame's size or of half of it; None if there is none."""
        planes = frame.planes
        return planes.get("rgb", planes.get("rgb_half")) if self.follows_simulator_image else None

    @property
    def padded(self) -> tuple[int, int]:
        """Return height and width of the loaded graph."""
        assert self._view.size is not None, _NOT_PREPARED
        return self._view.padded

    def set_remap(self, remap: Remap) -> None:
        """Render tags as others, from the next frame on."""
        self.remap = remap

    def set_guide(self, guide: str) -> None:
        """Use another guide, one of ``neuralsim.guide.GUIDES``, from the next frame on."""
        self._guide_name = guide

    def set_style(self, name: str) -> None:
        """Blend over to one of the card's styles within a second or so. Raises ModelError for an unknown one."""
        self._view.light.choose(name)

    def follow(self, weather: Mapping[str, float]) -> None:
        """Blend over to the light of ``weather``, carla.WeatherParameters by name (``weather_style.py``)."""
        self._view.light.follow(weather)

    def reset(self) -> None:
        """Forget the past, as after a jump of the camera: the next frame is in the chosen style at once."""
        self._view.reset()

    def state(self) -> dict[str, np.ndarray]:
        """Return a copy of the loaded graph's state, for :meth:`restore`."""
        assert self._view.session is not None, _NOT_PREPARED
        return self._view.session.state()

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from what :meth:`state` returned."""
        assert self._view.session is not None, _NOT_PREPARED
        self._view.session.restore(state)
        self._view.trails.reset()

    def render(self, frame: Frame) -> np.ndarray:
        """Return the image of ``frame``: u8 (H, W, 3) RGB, the caller's to keep.

        Frames come in order; a jump back in simulated time resets the state. Any size: the frame is padded to the
        model's multiple by repeating its border, and the image cropped back. Raises ModelError if it lacks a plane.
        """
        return self.postprocess(self.generate(frame))

    def generate(self, frame: Frame) -> GeneratedImage:
        """Run every stage of ``render`` but the last.

        ``postprocess`` takes the result on any thread, also while the next frame is generated.
        """
        self._check_planes(frame)
        height, width = frame.planes["tag"].shape
        self.prepare((width, height))
        self.advance(frame)
        return self.run(self.encode(frame))

    def prepare(self, size: tuple[int, int]) -> None:
        """Load the model for frames of ``size`` (width, height), unless it is. Raises RuntimeUnavailable."""
        if self._view.size != size:
            self._load(size)

    def advance(self, frame: Frame) -> None:
        """Move on to ``frame``: style and fog blend on by its simulated time; a jump back resets the state."""
        self._view.advance(frame.sim_frame, frame.sim_time)

    def encode(self, frame: Frame) -> FrameInputs:
        """Return the graph's inputs for ``frame``, all but the state, in the current style.

        They are the same however often a frame is encoded, and valid until another one is. Raises ModelError if the
        frame lacks a plane.
        """
        self._check_planes(frame)
        assert self._view.size == frame.planes["tag"].shape[::-1], _NOT_PREPARED
        view, conditions = self._view, conditions_of(frame)
        gains: np.ndarray = np.ones(3)
        if view.light.is_of_weather:
            x, y = frame.camera.pose[:2, 3]
            metered = camera_response.metered_gain(conditions.weather or {})
            gains = metered * camera_response.gains_at(x, y, frame.seed)
        tensors, elapsed = self._tensors(frame, conditions), view.elapsed(frame.sim_time)
        return FrameInputs(frame, tensors, view.light.style, view.light.fog, self.remap, gains, elapsed, conditions)

    def run(self, inputs: FrameInputs) -> GeneratedImage:
        """Run the network: the image as generated, of the frame's size."""
        if self._view.upscaler is not None:
            return self._composite_windows(inputs, self._view.upscaler)
        height, width = inputs.frame.planes["tag"].shape
        still = stillness(inputs.frame.planes.get("motion")) if "weave" in self._steps else 0.0
        tensors = self._without_outlines(inputs)
        if "trails" in self._steps and "motion" in tensors:
            tensors = tensors | {"motion": self._view.trails.hide(tensors["motion"], tensors["tag"])}
        image = self._generate(replace(inputs, tensors=tensors), height, width, still)
        return GeneratedImage(image, inputs)

    def postprocess(self, generated: GeneratedImage, antialias: bool = True) -> np.ndarray:
        """Sharpen an image, draw sky, fog, rain and lamps, anti-alias its edges and expose it, in place: u8 (H, W, 3).

        Safe on another thread while further frames are generated. ``antialias`` False leaves the edges.
        """
        if self._steps:
            pipeline.run_steps(generated.rgb, self.scene(generated.inputs, antialias), names=self._steps)
        if self._view.dash_camera is not None:
            self._view.dash_camera.film(generated.rgb, generated.inputs.frame)
        return generated.rgb

    def scene(self, inputs: FrameInputs, antialias: bool = True) -> pipeline.Scene:
        """Return what the steps of the postprocessing know about the image generated from ``inputs``."""
        is_filmed = self._view.dash_camera is not None and self._view.dash_camera.films(inputs.frame)
        return pipeline.Scene(
            inputs, self._simulator_image(inputs.frame), self.card.sharpening, antialias, wide_range=is_filmed
        )

    def seconds_per_step(self, steps: int = 10) -> float:
        """Return the shortest of a few steps at the loaded size, s: what an undisturbed machine needs.

        Forgets the past.
        """
        assert self._view.size is not None, _NOT_PREPARED
        inputs = self.encode(self._sky(*self._view.size))
        times = []
        if self._view.upscaler is not None:
            self._composite_windows(inputs, self._view.upscaler)  # the first image is generated whole
        for _ in range(steps):
            begun = time.perf_counter()
            if self._view.upscaler is not None:
                self._composite_windows(inputs, self._view.upscaler)
            else:
                self.run_graph(inputs.tensors)
            times.append(time.perf_counter() - begun)
        self.reset()
        return min(times)

    def run_graph(self, tensors: dict[str, np.ndarray], still: float = 0.0) -> np.ndarray:
        """Run the bare graph on encoded ``tensors``: u8 (H, W, 3), padded size, valid until the next run.

        Where the view is ``still``, as by ``sharpening.stillness``, its past is softened before. Where the past is on
        the host, its border is mended.

        A runtime that "auto" has chosen and that fails gives way to the next one, which continues from its state where
        that can still be read; ``warning`` says so. Raises RuntimeUnavailable where there is no other one.
        """
        assert self._view.session is not None, _NOT_PREPARED

        def edit(past: np.ndarray) -> None:
            if mends_rim:
                mend_border(past)
            if still > 0.0:
                soften_past(past, tensors["tag"], still)

        mends_rim = "rim of the past" in self._steps
        is_edited = False  # a successor gets what was edited already
        while True:
            try:
                # a past on a GPU is copied to be edited: only where it must be softened
                if not is_edited and (still > 0.0 or (mends_rim and self._view.session.is_past_on_host)):
                    self._view.session.edit_past(edit)
                    is_edited = True
                return self._view.session.step(tensors)
            except Exception as error:  # each library has its own: out of memory, a device that was lost
                self._view.session = self._successor(self._view.session, error)

    def _generate(self, inputs: FrameInputs, height: int, width: int, still: float = 0.0) -> np.ndarray:
        """Run the graph, crop its image to ``height`` and ``width``, and do what follows at once; the caller's to
        keep."""
        image = self.run_graph(inputs.tensors, still)[:height, :width].copy()
        pipeline.run_steps(image, pipeline.Scene(inputs), pipeline.ON_GENERATED, self._steps)
        return image

    def _successor(self, failed: runtimes.ModelSession, error: Exception) -> runtimes.ModelSession:
        """Return a session of another runtime, in the state of the one that ``failed``. Raises RuntimeUnavailable."""
        if self._requested != "auto":
            raise RuntimeUnavailable(f"{failed.name} failed: {reason(error)[:120]}") from error
        from neuralsim.runtimes import fallback

        self._view.failed.add(failed.name.split()[0])
        graph = _graph(self.card, self._pixels)
        return fallback.load_successor(failed, error, graph, *self._view.padded, self._threads, self._view.failed)

    def _composite_windows(self, inputs: FrameInputs, upscaler: TemporalUpscaler) -> GeneratedImage:
        """Generate the windows of a frame that are due, from its whole ``inputs``, and composite them with the past."""
        begun = time.perf_counter()
        tensors = inputs.tensors
        lefts = upscaler.reproject(inputs.frame)
        generating = 0.0
        for left in lefts:
            since = time.perf_counter()
            columns = slice(left, left + upscaler.window)
            part = dict(self._without_outlines(inputs), camera=tensors["camera"].copy())
            part |= {name: self._fit(part[name][:, columns]) for name in (*PLANES, "guide") if name in part}
            part["camera"][18] -= left
            assert self._view.session is not None
            self._view.session.reset()  # the upscaler keeps the past, at full size
            window = self._generate(replace(inputs, tensors=part), upscaler.size[1], upscaler.window)
            generating += time.perf_counter() - since
            upscaler.accumulate(window, left)
        image = upscaler.image()
        return GeneratedImage(image, inputs, time.perf_counter() - begun - generating)

    def _without_outlines(self, inputs: FrameInputs) -> dict[str, np.ndarray]:
        """Return the tensors of a frame, without instances if the simulator image is followed: it shows them.

        Where the graph sees that an instance ends, it draws a bright contour, four times as bright as real ones.
        """
        tensors = inputs.tensors
        if "instance" not in tensors or self.remap or self._simulator_image(inputs.frame) is None:
            return tensors
        if self._no_instances.shape != tensors["instance"].shape:
            self._no_instances = np.zeros_like(tensors["instance"])
        return tensors | {"instance": self._no_instances}

    def _check_planes(self, frame: Frame) -> None:
        """Raise ModelError if ``frame`` lacks a plane."""
        planes = [name for name in PLANES if name in self.card.inputs]
        if self._pixels is not None:
            planes = sorted({*planes, *upscaling.PLANES})
        if not frame.planes.keys() >= set(planes):
            required, present = ",".join(planes), ",".join(frame.planes)
            raise ModelError(f"model {self.model} renders from the planes {required}; this frame has only {present}")

    def _tensors(self, frame: Frame, conditions: Conditions) -> dict[str, np.ndarray]:
        planes = [name for name in PLANES if name in self.card.inputs]
        camera = frame.camera
        right, down = camera.jitter
        lens = (camera.focal, camera.focal, camera.width / 2.0 + right, camera.height / 2.0 + down)
        tensors = {name: self._whole(frame.planes[name]) for name in planes}
        if self.remap:
            edited = cv2.LUT(tensors["tag"], self.remap.table)
            tensors["tag"] = _like(edited, tensors["tag"])
        if "guide" in self.card.inputs:
            tensors["guide"] = self._guide(frame, tensors["tag"], conditions)
            if self._pixels is None:  # else the graph ignores the past
                tensors["motion"] = _hide_lights(tensors["motion"], tensors["tag"], tensors["guide"])
            if Tag.VEGETATION in dict(self.remap.pairs).values() and "depth" in tensors:
                tensors["guide"] = tensors["guide"].copy()  # else that of frames without an edit
                view = woods.View(np.array(camera.pose, np.float64), *lens[1:])
                green = self._view.light.style[Channel.VEGETATION]
                before = self._whole(frame.planes["tag"])
                woods.plant(before, edited, tensors["depth"], view, green, tensors["guide"])
        tensors["camera"] = np.concatenate([np.asarray(camera.pose, np.float32).ravel(), np.asarray(lens, np.float32)])
        tensors["style"] = np.ascontiguousarray(self._view.light.style, np.float32)
        if "blend" in self.card.inputs:
            tensors["blend"] = self.card.blend["estimated" if frame.estimated else "exact"]
        return {name: tensors[name] for name in self.card.inputs if name in tensors}

    def _guide(self, frame: Frame, tag: np.ndarray, conditions: Conditions) -> np.ndarray:
        """Return the graph's guide u8 (H, W, 4) for ``frame``, with its tags remapped to ``tag``; zeros without one."""
        instance, style = self._whole(frame.planes["instance"]), self._view.light.style
        if self._guide_name == "exemplars":
            guide = self._view.guide.exemplars(tag, instance, style)
            return self._view.guide.none(tag.shape) if guide is None else guide
        image = self._simulator_image(frame)
        if image is None:
            return self._view.guide.none(tag.shape)
        edited = tag != self._whole(frame.planes["tag"]) if self.remap else None
        return self._view.guide.image(frame, image, tag, instance, style, conditions, edited)

    def _load(self, size: tuple[int, int]) -> None:
        height = size[1]
        self._view.upscaler = None
        part, *padded = _graph_size(self.card, size, self._pixels)
        self._view.padded = padded[0], padded[1]
        example = self._tensors(
            self._sky(part, height), Conditions()
        )  # compiles the kernels of the guide before a frame needs them
        self._view.guide.reset()
        graph = _graph(self.card, self._pixels)
        self._view.session = runtimes.create(
            self._requested, graph, *self._view.padded, self._threads, example, self._view.failed
        )
        woods.compile_kernels()  # else the first edit of a drive would wait for it
        self._view.guide.compile_kernels()
        if self._steps:
            pipeline.compile_kernels()
        if self._view.dash_camera is not None:
            windscreen.compile_kernels()
        if self._pixels is not None:
            upscaling.compile_kernels()
            self._view.upscaler = TemporalUpscaler(size, part)
        self._view.size = size

    def _sky(self, width: int, height: int) -> Frame:
        """Return a frame with nothing but sky: the graph takes as long for it as for any other."""
        rgb = "rgb" if self._pixels is None else "rgb_half"
        planes: dict[str, np.ndarray] = {
            "tag": np.full((height, width), Tag.SKY, np.uint8),
            "instance": np.zeros((height, width), np.uint16),
            "depth": np.full((height, width), 1000.0, np.float32),
            "motion": np.zeros((height, width, 2), np.float16),
            rgb: np.full(plane_shape(rgb, height, width), 128, np.uint8),
        }
        for plane in planes.values():  # like planes that come over the link: kernels are compiled for that as well
            plane.flags.writeable = False
        return Frame(0, 0, 0.0, Camera(width, height, 70.0, np.eye(4)), planes)

    def _whole(self, plane: np.ndarray) -> np.ndarray:
        """Return ``plane`` padded for the graph, or unchanged where the graph receives it window by window."""
        return self._fit(plane) if self._view.upscaler is None else plane

    def _fit(self, plane: np.ndarray) -> np.ndarray:
        return padded(plane, *self._view.padded)


def _like(edited: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Return a view of ``edited`` that is read-only if ``plane`` is: no kernel is compiled anew for it."""
    view = edited.view()
    view.flags.writeable = plane.flags.writeable
    return view


def _graph_size(card: zoo.Card, size: tuple[int, int], pixels: int | None) -> tuple[int, int, int]:
    """Return the width generated at once of frames of ``size`` (width, height), and the graph's height and width."""
    (width, height), step = size, card.multiple_of
    part = width if pixels is None else upscaling.window_width(pixels, width, height, step)
    return part, -(-height // step) * step, -(-part // step) * step


def _graph(card: zoo.Card, pixels: int | None) -> Path:
    """Return the graph that generates ``pixels`` of a frame.

    Where images are composited from windows, ``upscaling.py`` keeps the past and the graph has none.
    """
    if pixels is None:
        return card.file
    from neuralsim.runtimes import graph_variants  # onnx: imported only where it is needed

    return graph_variants.single(card.file)


def needs_measuring(model: str, size: tuple[int, int], threads: int | None, pixels: int | None = None) -> bool:
    """Return whether ``NeuralRenderer`` with these arguments and ``auto`` will measure the runtimes at its start."""
    from neuralsim.runtimes import autotune

    try:
        card = zoo.load(model)
        return autotune.needs_measuring(_graph(card, pixels), *_graph_size(card, size, pixels)[1:], threads)
    except ModelError:
        return False  # loading it raises with the reason


def _hide_lights(motion: np.ndarray, tag: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Return ``motion`` f16 (H, W, 2) without a past for traffic lights that the ``guide`` u8 (H, W, 4) has colours of.

    Their past would show a light that has changed in its old colour.
    """
    lights = np.flatnonzero(tag == Tag.TRAFFIC_LIGHT)
    lights = lights[guide.reshape(-1, 4)[lights, 0] > 0]
    if not len(lights):
        return motion
    hidden = motion.copy()
    hidden.reshape(-1, 2)[lights] = HIDDEN_MOTION
    return hidden
