"""Renders the cameras of a rig: one loaded graph for all cameras of a size, one light, and a past for each camera.

A few threads take the cameras in turns. While several cameras send frames, each thread runs the graph on its share of
the cores, which is faster for all of them than one after another on all cores; a single camera has all cores.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from bridge.messages import Frame
from bridge.size import LEAST
from neuralsim import runtimes, zoo
from neuralsim.base.failure import line, reason
from neuralsim.base.log import logger
from neuralsim.base.machine import cores
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.town.carla_server.generated_cameras import AUTO, OFF

MAX_CAMERAS = 32  # at a time
MAX_PIXELS = 2_400_000  # of one camera
MAX_SIZES = 6  # loaded graphs that are kept while no camera uses them
MAX_THREADS = 8  # that run graphs at the same time
_RECENT = 0.5  # s since its last frame in which a camera counts among those that share the cores

Deliver = Callable[[np.ndarray], None]


class RigCamera:
    """A camera of a ``RigRenderer``; a ``GeneratedCamera``."""

    def __init__(self, rig: RigRenderer, template: Future[NeuralRenderer], style: str) -> None:
        self.template, self.style = template, style
        self.renderer: NeuralRenderer | None = None
        self.waiting: tuple[Frame, Deliver] | None = None
        self.last = -_RECENT  # monotonic time of its last frame
        self.is_rendering = self.is_closed = False
        self._rig = rig

    def is_ready(self) -> bool:
        return self.waiting is None

    def submit(self, frame: Frame, deliver: Deliver) -> None:
        self._rig.enqueue(self, frame, deliver)

    def close(self) -> None:
        self._rig.remove(self)


class RigRenderer:
    """Renders any number of cameras with one model; an ``ImageGenerator`` of the town's server.

    Args:
        model: Name of a shipped model or a folder with ``card.yaml``.
        runtime: As in ``NeuralRenderer``; "auto" measures nothing, so that no client waits for it.
        style: Of cameras that do not choose one; None: that of the weather.
        threads: How many cameras are rendered at a time; None: one per core.

    Raises:
        ModelError: One line.
        RuntimeUnavailable: One line.
    """

    def __init__(
        self, model: str = zoo.DEFAULT, runtime: str = "auto", style: str | None = None, threads: int | None = None
    ) -> None:
        self.card = zoo.load(model)
        self.styles: Collection[str] = tuple(self.card.styles)
        self._check_style(style or AUTO)
        self._default_style = style or AUTO
        self._model, self._runtime = model, _without_measuring(runtime)
        self._sizes: dict[tuple[int, int], Future[NeuralRenderer]] = {}  # the longest unused one first
        self._cameras: set[RigCamera] = set()
        self._queue: list[RigCamera] = []  # with a waiting frame, the longest waiting first
        self._changed = threading.Condition()
        self._closed = False
        self._warned: set[str] = set()
        self._loading = ThreadPoolExecutor(1, "models")
        self._load((LEAST, LEAST)).result()  # raises now if model or runtime cannot be used; compiles the kernels
        self.threads = threads or min(cores(), MAX_THREADS)
        for number in range(self.threads):
            threading.Thread(target=self._work, name=f"rig-{number}", daemon=True).start()

    def open(self, width: int, height: int, style: str) -> RigCamera:
        """Return a new camera, whose graph is loaded in the background. Raises ValueError, in one line."""
        advice = f"neuralsim_style={OFF} sends the simulator's image"
        if min(width, height) < LEAST or width * height > MAX_PIXELS:
            raise ValueError(
                f"image_size {width}x{height} cannot be generated: choose {LEAST} pixels or more each way and at most "
                f"{MAX_PIXELS:,} in all; {advice}"
            )
        self._check_style(style)
        with self._changed:
            if len(self._cameras) >= MAX_CAMERAS:
                raise ValueError(f"{MAX_CAMERAS} cameras have generated images already, the most at a time; {advice}")
            template = self._load((width, height))
            if template.done() and (error := template.exception()) is not None:
                raise ValueError(f"no image of {width}x{height} can be generated: {line(reason(error))}; {advice}")
            style = self._default_style if style == AUTO else style
            camera = RigCamera(self, template, style)
            self._cameras.add(camera)
        return camera

    def prepare(self, width: int, height: int) -> None:
        """Begin to load the graph for cameras of this size."""
        with self._changed:
            self._load((width, height))

    def enqueue(self, camera: RigCamera, frame: Frame, deliver: Deliver) -> None:
        """Do what ``GeneratedCamera.submit`` does."""
        with self._changed:
            self._changed.wait_for(lambda: camera.waiting is None or camera.is_closed or self._closed)
            if camera.is_closed or self._closed:
                return
            camera.waiting, camera.last = (frame, deliver), time.monotonic()
            self._queue.append(camera)
            self._changed.notify_all()

    def remove(self, camera: RigCamera) -> None:
        """Forget a camera."""
        with self._changed:
            camera.is_closed, camera.waiting = True, None
            self._cameras.discard(camera)
            if camera in self._queue:
                self._queue.remove(camera)
            if not camera.is_rendering and camera.renderer is not None:
                camera.renderer.reset()  # the rig's exposure no longer depends on it
            self._changed.notify_all()

    def close(self) -> None:
        """End all threads; frames that are being rendered are not delivered."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._loading.shutdown(wait=False, cancel_futures=True)

    def _check_style(self, style: str) -> None:
        if style not in (AUTO, *self.styles):
            known = ", ".join((AUTO, OFF, *self.styles))
            raise ValueError(f"neuralsim_style is {style!r:.40}: choose one of {known}")

    def _load(self, size: tuple[int, int]) -> Future[NeuralRenderer]:
        """Return the renderer of a size that its cameras fork; call with the lock held."""
        template = self._sizes.pop(size, None) or self._loading.submit(NeuralRenderer, self._model, self._runtime, size)
        self._sizes[size] = template
        used = {id(camera.template) for camera in self._cameras} | {id(template)}
        idle = [key for key, each in self._sizes.items() if id(each) not in used and each.done()]
        for key in idle[: max(0, len(idle) - MAX_SIZES)]:
            del self._sizes[key]
        template.add_done_callback(lambda _: self._wake())
        return template

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _next(self) -> RigCamera | None:
        return next((each for each in self._queue if not each.is_rendering and each.template.done()), None)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._next() is not None)
                camera = self._next()
                if self._closed or camera is None:
                    return
                self._queue.remove(camera)
                assert camera.waiting is not None
                (frame, deliver), camera.waiting, camera.is_rendering = camera.waiting, None, True
                now = time.monotonic()
                sharing = sum(now - each.last < _RECENT for each in self._cameras)
                self._changed.notify_all()
            image = self._render(camera, frame, self.threads if sharing > 1 else 1)
            with self._changed:
                camera.is_rendering = False
                is_wanted = not (camera.is_closed or self._closed)
                if camera.is_closed and camera.renderer is not None:
                    camera.renderer.reset()
                self._changed.notify_all()
            if is_wanted:
                deliver(image)

    def _render(self, camera: RigCamera, frame: Frame, streams: int) -> np.ndarray:
        """Return the image of a frame, the simulator's own where the generator fails."""
        try:
            if camera.renderer is None:
                camera.renderer = camera.template.result().fork()
            renderer = camera.renderer
            renderer.set_streams(streams)
            if camera.style == AUTO:
                renderer.follow(frame.weather)
            else:
                renderer.set_style(camera.style)
            return renderer.render(frame)
        except Exception as error:  # each runtime has its own; the other cameras go on
            self._warn(f"no image of {frame.camera.width}x{frame.camera.height} generated: {line(reason(error))}")
            return frame.planes["rgb"]

    def _warn(self, text: str) -> None:
        """Log a line, once."""
        with self._changed:
            if text in self._warned or len(self._warned) > 100:
                return
            self._warned.add(text)
        logger().warning(text)


def _without_measuring(runtime: str) -> str:
    """Return the runtime that "auto" stands for here."""
    if runtime != "auto":
        return runtime
    from neuralsim.runtimes.candidates import installed

    usable = runtimes.available()
    if "tensorrt" in usable or installed("onnxruntime-gpu"):
        return "auto"
    return "openvino" if "openvino" in usable else "auto"
