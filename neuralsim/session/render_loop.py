"""The render loop of a drive: takes the newest frame and hands over its rendered image, in its own thread."""

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from bridge.link.transport import FrameSubscriber
from bridge.messages import Frame, MirrorName
from bridge.size import Size
from neuralsim.base.log import logger
from neuralsim.guide import GUIDES
from neuralsim.renderer.frame_renderer import ForkableRenderer, FrameRenderer, GeneratedImage
from neuralsim.renderer.overlap import Neighbour, match_overlap
from neuralsim.renderer.remap import NO_REMAP, Remap
from neuralsim.runtimes import RuntimeUnavailable
from neuralsim.session.child_options import follows_simulator_image
from neuralsim.session.mirror_images import MirrorImages
from neuralsim.session.options import AUTO, DriveOptions
from neuralsim.session.renderer_loading import make_renderer

_SILENCE = 10.0  # seconds without a frame or any CPU use after which the drive ends
_WORK_LIMIT = 90.0  # seconds without a frame after which it ends regardless of CPU use
_SAME_PLACE = 0.05  # m that a drive may deviate from the recording it continues
_UNGUIDED = 30  # frames at the start that are waited for the simulator image, which the window has to ask for
_FAST_FORWARD_FRAME_BUDGET = 0.2  # seconds allowed per frame while fast-forwarding to the hand-over


class DriveError(RuntimeError):
    """The drive cannot start or continue; the message is one line."""


@dataclass
class RenderedFrame:
    """A frame and its rendered image ``neural``, u8 (H, W, 3) RGB with lamps; ``remap`` is the edit of its tags."""

    frame: Frame
    neural: np.ndarray
    remap: Remap = NO_REMAP
    upscaling: float = 0.0  # s of the rendering time spent on upscaling
    mirrors: dict[MirrorName, np.ndarray] = field(default_factory=dict)  # u8 (H, W, 3), flipped: what is new in which


class RenderLoop(threading.Thread, ABC):
    """Renders frames until it is asked to end. A subclass starts the frame source, then calls :meth:`_render`.

    An image is postprocessed while the next one is generated. In lockstep, every image is handed over exactly once and
    rendering waits for the consumer. Otherwise, latest wins: an image that was not taken is replaced by the next.
    ``wake`` is called from this or the postprocessing thread whenever there is something new.
    """

    def __init__(self, options: DriveOptions, threads: int | None, wake: Callable[[], None]) -> None:
        super().__init__(name="render", daemon=True)
        self.options = options
        self.lockstep = options.headless
        self.error: BaseException | None = None
        self.steps: dict[str, bool] = {}  # steps of the start, and whether each is done
        self.model, self.runtime = options.model, options.runtime
        self.warning = self.note = ""  # about the runtime, one line each; final once there are frames
        self.newest: Frame | None = None  # received; while it is rendered, ahead of the images
        self.rendering_since = 0  # ns, set just before the first frame that counts is rendered
        self.styles: list[str] = []  # of the model, once it is loaded
        self.style = options.style  # may be set at any time, for the next frame; None: chosen by the weather
        self.remap = Remap.parse(options.remap or "")  # likewise
        self.guide = options.guide  # likewise
        self.follows_simulator_image = False  # the renderer's; final once there are frames
        self.trouble = ""  # why there are no frames at the moment, one line
        self.paused = False  # may be set at any time: silence is then no failure
        self.size: Size | None = None  # to ask the bridge for; None: its own
        self._next_size: Size | None = None  # likewise, once the model is loaded for it
        self._threads = threads
        self._renderers: dict[str, FrameRenderer] = {}  # of the additional cameras
        self._resized: dict[Size, FrameRenderer] = {}  # of the first one at other sizes
        self._neighbours: list[Neighbour] = []  # what the additional cameras show at this tick
        self._mirrors = MirrorImages(self._another)
        self._wake = wake
        self._ending = threading.Event()
        self._changed = threading.Condition()
        self._rendered: RenderedFrame | None = None

    def take(self, timeout: float) -> RenderedFrame | None:
        """Return the waiting image; None after ``timeout`` seconds, or immediately once the loop has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._rendered is not None or not self.is_rendering, timeout)
            rendered, self._rendered = self._rendered, None
            self._changed.notify_all()
            return rendered

    @property
    def has_guide(self) -> bool:
        """Whether the model has a guide input."""
        return follows_simulator_image(self.options.model, GUIDES[0])

    @property
    def guide_plane(self) -> str:
        """Name of the plane to ask the bridge for, which guides the model; "" for none."""
        return self.options.picture_plane if self.follows_simulator_image else ""

    def next_style(self) -> str:
        """Switch to the next style; return a message about it."""
        if not self.styles:
            return "This model has no styles"
        styles = [None, *self.styles]
        self.style = styles[(styles.index(self.style) + 1) % len(styles)]
        return f"Style: {self.style or 'automatic'}"

    def resize(self, size: Size) -> None:
        """Have frames of ``size``, at most that of the options, from the moment when the model is loaded for it."""
        self._next_size = size
        if size == self.options.shown or size in self._resized:
            self.size = size
        else:
            threading.Thread(target=self._load_for, args=(size,), name="model", daemon=True).start()

    def _load_for(self, size: Size) -> None:
        runtime = ":".join(self.runtime.split()[:2])  # the one in use: nothing is measured while driving
        try:
            self._resized[size] = make_renderer(
                self._model_name, runtime, size, self._threads, dashcam=self.options.dashcam
            )
        except RuntimeUnavailable as error:
            logger().warning(f"the size stays: {error}")
            return
        if self._next_size == size:
            self.size = size

    @property
    def _model_name(self) -> str:
        """The model's name or folder; that of a folder's card may be any."""
        return self.model if self.options.model == AUTO else self.options.model

    @property
    def is_rendering(self) -> bool:
        """Whether the thread has neither failed nor been asked to end."""
        return self.error is None and not self._ending.is_set()

    def _render(self, subscriber: FrameSubscriber, renderer: FrameRenderer) -> None:
        with ThreadPoolExecutor(1, "postprocess") as postprocessing:
            self._render_all(subscriber, renderer, postprocessing)

    def _render_all(
        self, subscriber: FrameSubscriber, renderer: FrameRenderer, postprocessing: ThreadPoolExecutor
    ) -> None:
        pending: Future[None] | None = None
        received = worked = time.monotonic()
        warm, mount, unguided, first = False, "", 0, renderer
        while not self._ending.is_set():
            frame = subscriber.recv(0.1)
            if frame is None:
                if pending is not None:
                    pending.result()
                if self._scenario_over():
                    self._ending.set()  # every frame has been rendered
                    return
                if self._have_worked():
                    worked = time.monotonic()
                if self.paused:
                    received = time.monotonic()
                patience = _SILENCE + _FAST_FORWARD_FRAME_BUDGET * (self.options.hand_over_at or 0) * (not warm)
                idle_since = max(worked, received)  # a process that builds or compiles something is not hanging
                if time.monotonic() > min(idle_since + patience, received + _WORK_LIMIT if warm else math.inf):
                    raise DriveError(self._why_silent(subscriber))
                continue
            if frame.sequence == self.options.hand_over_at and self.options.hand_over_place is not None:
                self._check_place(frame, self.options.hand_over_place)
            if "tag" not in frame.planes:
                raise DriveError("the bridge sends frames without tags: update the bridge")
            if frame.view:
                active = self._renderer_for(frame.view, frame, renderer)
            else:
                active = self._resized.get(Size(frame.camera.width, frame.camera.height), renderer)
                if active is not first:
                    active.reset()
                    first = active
            remap = self.remap
            apply_style(active, frame, self.style, remap, self.guide)
            self.follows_simulator_image = active.follows_simulator_image
            if not warm:
                active.render(frame)  # warm-up: compiles for this size, fills caches
                active.reset()
                warm = True
                self.runtime, self.warning, self.note = renderer.runtime, renderer.warning, renderer.note
                self._step("First frame", done=True)
                if not self.lockstep:
                    received = time.monotonic()
                    continue  # that frame is outdated by now
                frame.stamps["received"] = time.monotonic_ns()
            if unguided < _UNGUIDED and not self.lockstep and _lacks_guide(active, frame):
                unguided += 1
                received = time.monotonic()
                continue
            unguided = _UNGUIDED
            if not self.rendering_since:
                self.rendering_since = frame.stamps["received"]
            if frame.mount != mount:  # another camera: the previous frames are not its past
                active.reset()
                mount = frame.mount
            self.newest = frame
            job = active.generate(frame), active, remap
            if pending is not None:
                pending.result()  # raises its exception
            pending = postprocessing.submit(self._complete, *job)
            self._mirrors.render(frame, renderer, self._prepare_mirror)
            self.trouble = ""
            received = time.monotonic()

    def _prepare_mirror(self, renderer: FrameRenderer, frame: Frame) -> None:
        apply_style(renderer, frame, self.style, self.remap, self.guide)

    def _complete(self, generated: GeneratedImage, renderer: FrameRenderer, remap: Remap) -> None:
        frame = generated.inputs.frame
        if self._renderers and isinstance(renderer, ForkableRenderer):  # what several cameras see looks alike
            if any(each.frame.sim_frame != frame.sim_frame for each in self._neighbours):
                self._neighbours.clear()
            match_overlap(generated, self._neighbours)
        neural = renderer.postprocess(generated)
        frame.stamps["rendered"] = time.monotonic_ns()
        self._hand_over(RenderedFrame(frame, neural, remap, generated.compositing, self._mirrors.take()))

    def _check_place(self, frame: Frame, recorded: tuple[float, float, float]) -> None:
        """Check that a drive that continues a recording is where the recording was. Raises ``DriveError``."""
        deviation = float(np.linalg.norm(frame.camera.pose[:3, 3] - recorded))
        if deviation > _SAME_PLACE and self.options.carla is None:
            raise DriveError(
                f"the drive deviates from the recording by {deviation:.1f} m: was it recorded with another version?"
            )

    def _renderer_for(self, view: str, frame: Frame, first: FrameRenderer) -> FrameRenderer:
        """Return the renderer of an additional camera: each keeps its own history, all have one light."""
        if view not in self._renderers:
            self._renderers[view] = self._another(Size(frame.camera.width, frame.camera.height), first)
        return self._renderers[view]

    def _another(self, size: Size, first: FrameRenderer) -> FrameRenderer:
        """Return a renderer of images of ``size`` in the light of ``first``, with a past of its own."""
        if isinstance(first, ForkableRenderer):
            return first.fork(size)
        return make_renderer(self._model_name, self.options.runtime, size, self._threads, self.options.pixels)

    def _hand_over(self, rendered: RenderedFrame) -> None:
        with self._changed:
            if self.lockstep:
                self._changed.wait_for(lambda: self._rendered is None or self._ending.is_set())
            elif self._rendered is not None:
                rendered.frame.skipped += self._rendered.frame.skipped + 1
            self._rendered = rendered
            self._changed.notify_all()
        self._wake()

    def _why_silent(self, subscriber: FrameSubscriber) -> str:
        if subscriber.malformed:
            return f"the bridge sends only damaged messages: {subscriber.error}"
        if self.options.connect:
            keys = "these keys" if self.options.keys else "no keys"
            return f"no frame from {self.options.connect} for {_SILENCE:.0f} s: is a bridge running there, with {keys}?"
        return f"no frame for {_SILENCE:.0f} s: the simulator hangs; restart it"

    def _step(self, name: str, done: bool = False) -> None:
        self.steps[name] = done
        self._wake()

    @abstractmethod
    def _have_worked(self) -> bool:
        """Return whether the frame source has used CPU time lately. Raises ProcessError if it has ended."""

    @abstractmethod
    def _scenario_over(self) -> bool:
        """Return whether there are no more frames because a scenario is over."""


def _lacks_guide(renderer: FrameRenderer, frame: Frame) -> bool:
    """Return whether ``renderer`` follows the simulator image and ``frame`` has none."""
    return renderer.follows_simulator_image and not {"rgb", "rgb_half"} & frame.planes.keys()


def apply_style(renderer: FrameRenderer, frame: Frame, style: str | None, remap: Remap, guide: str = "picture") -> None:
    """Set up ``renderer`` for ``frame``: ``style`` (None: that of its weather), ``remap`` and ``guide``.

    Raises ModelError for an unknown style.
    """
    renderer.set_remap(remap)
    renderer.set_guide(guide)
    if style is None:
        renderer.follow(frame.weather)
    else:
        renderer.set_style(style)
