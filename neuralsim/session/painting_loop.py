"""The loop that paints a drive: the newest frame in, what is painted of it out, in a thread of its own."""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bridge.link.transport import FrameSubscriber
from bridge.messages import Frame
from bridge.size import Size
from neuralsim.guide import GUIDES
from neuralsim.renderer.remap import NOTHING, Remap
from neuralsim.session import lamp_drawing
from neuralsim.session.child_options import follows_picture
from neuralsim.session.options import AUTO, DriveOptions
from neuralsim.session.renderer_loading import make_renderer

if TYPE_CHECKING:
    from neuralsim.renderer.neural_renderer import NeuralRenderer
    from neuralsim.session.tag_painter import TagRenderer

_SILENCE = 10.0  # seconds without a frame and without any work that end the drive
_LONGEST_WORK = 90.0  # seconds without a frame that end it whatever its processes do
_SAME_PLACE = 0.05  # m that a drive may be off the recording that it goes on from
_FAST_FORWARD_FRAME_BUDGET = 0.2  # seconds that a frame may take which is played before the driver is handed the ego


class DriveError(RuntimeError):
    """The drive cannot begin or go on; the message is one line."""


@dataclass
class PaintedFrame:
    """A frame and what was painted from it, u8 (H, W, 3) RGB, lamps included; with ``remap``, of edited tags."""

    frame: Frame
    neural: np.ndarray
    remap: Remap = NOTHING
    upscaling: float = 0.0  # s of its rendering that putting it together from windows took


class PaintingLoop(threading.Thread, ABC):
    """Paints frames until it is asked to end; a subclass starts what makes them, then calls :meth:`_paint`.

    In lock-step every picture is handed over exactly once and the painting waits for the taker; else a picture that was
    not taken gives way to the next, and one is finished while the next is painted already. ``wake`` is called, from
    this thread or the one that finishes, whenever something new is there.
    """

    def __init__(self, options: DriveOptions, threads: int | None, wake: Callable[[], None]) -> None:
        super().__init__(name="paint", daemon=True)
        self.options = options
        self.lockstep = options.headless
        self.error: BaseException | None = None
        self.steps: dict[str, bool] = {}  # what the start consists of, and what of it is done
        self.model, self.runtime = options.model, options.runtime
        self.warning = self.note = ""  # about the runtime, one line each; for sure once there are pictures
        self.newest: Frame | None = None  # that has come; while it is painted, ahead of the pictures
        self.painting_since = 0  # ns, set just before the first frame that counts is painted
        self.styles: list[str] = []  # of the model, once it is there
        self.style = options.style  # set from outside, for the next frame: None lets the weather choose
        self.remap = Remap.parse(options.remap or "")  # likewise
        self.guide = options.guide  # likewise
        self.wants_picture = False  # is the simulator's own picture followed, once there are pictures?
        self.trouble = ""  # what is being waited for since there are no more frames, one line
        self.paused = False  # set from outside: silence is no failure
        self._threads = threads
        self._painters: dict[str, NeuralRenderer | TagRenderer] = {}
        self._wake = wake
        self._ending = threading.Event()
        self._changed = threading.Condition()
        self._picture: PaintedFrame | None = None

    def take(self, timeout: float) -> PaintedFrame | None:
        """The picture that waits, or None after ``timeout`` seconds, or at once when the painting has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._picture is not None or not self.is_painting, timeout)
            picture, self._picture = self._picture, None
            self._changed.notify_all()
            return picture

    def next_guide(self) -> str:
        """Paint after the next guide; returns what there is to say about it."""
        if not follows_picture(self.options.model, GUIDES[0]):
            return "This model takes no guide"
        self.guide = GUIDES[(GUIDES.index(self.guide) + 1) % len(GUIDES)]
        return f"Guide: {self.guide}"

    def next_style(self) -> str:
        """Paint in the next style; returns what there is to say about it."""
        if not self.styles:
            return "No styles to choose from"
        styles = [None, *self.styles]
        self.style = styles[(styles.index(self.style) + 1) % len(styles)]
        return f"Style: {self.style or 'of the weather'}"

    @property
    def is_painting(self) -> bool:
        """False once the thread has ended or been asked to."""
        return self.error is None and not self._ending.is_set()

    def _paint(self, subscriber: FrameSubscriber, renderer: NeuralRenderer | TagRenderer) -> None:
        with ThreadPoolExecutor(1, "finish") as finisher:
            self._paint_all(subscriber, renderer, finisher)

    def _paint_all(
        self, subscriber: FrameSubscriber, renderer: NeuralRenderer | TagRenderer, finisher: ThreadPoolExecutor
    ) -> None:
        finished: Future[None] | None = None
        heard = worked = time.monotonic()
        warm, mount = False, ""
        while not self._ending.is_set():
            frame = subscriber.recv(0.1)
            if frame is None:
                if finished is not None:
                    finished.result()
                if self._scenario_over():
                    self._ending.set()  # every frame has been painted
                    return
                if self._have_worked():
                    worked = time.monotonic()
                if self.paused:
                    heard = time.monotonic()
                patience = _SILENCE + _FAST_FORWARD_FRAME_BUDGET * (self.options.hand_over_at or 0) * (not warm)
                idle_since = max(worked, heard)  # one that builds or compiles something is not hanging
                if time.monotonic() > min(idle_since + patience, heard + _LONGEST_WORK if warm else math.inf):
                    raise DriveError(self._why_silent(subscriber))
                continue
            if frame.sequence == self.options.hand_over_at and self.options.hand_over_place is not None:
                self._check_place(frame, self.options.hand_over_place)
            if "tag" not in frame.planes:
                raise DriveError("the bridge sends frames without tags: update it")
            painter = renderer if not frame.view else self._painter_of(frame.view, frame)
            remap = self.remap
            apply_style(painter, frame, self.style, remap, self.guide)
            self.wants_picture = painter.wants_picture
            if not warm:
                painter.render(frame)  # compiles for this size, fills caches
                painter.reset()
                warm = True
                self.runtime, self.warning, self.note = renderer.runtime, renderer.warning, renderer.note
                self._step("First frame", done=True)
                if not self.lockstep:
                    heard = time.monotonic()
                    continue  # that frame has grown old
                frame.stamps["received"] = time.monotonic_ns()
            if not self.painting_since:
                self.painting_since = frame.stamps["received"]
            if frame.mount != mount:  # another camera: what was painted is not the past of what it sees
                painter.reset()
                mount = frame.mount
            self.newest = frame
            given = frame, painter.paint(frame), painter.shows_lamps(frame), remap, painter.upscaling
            if finished is not None:
                finished.result()  # raises what failed in it
            if self.lockstep:
                self._complete(*given)
            else:
                finished = finisher.submit(self._complete, *given)
            self.trouble = ""
            heard = time.monotonic()

    def _complete(
        self, frame: Frame, finish: Callable[[], np.ndarray], shows_lamps: bool, remap: Remap, upscaling: float
    ) -> None:
        """Finish a picture and hand it over."""
        neural = finish()
        if not shows_lamps:
            lamp_drawing.draw_all(frame, neural, remap)
        frame.stamps["rendered"] = time.monotonic_ns()
        self._hand_over(PaintedFrame(frame, neural, remap, upscaling))

    def _check_place(self, frame: Frame, recorded: tuple[float, float, float]) -> None:
        """Whether a drive that goes on from a recording has come to where the recording was."""
        off = float(np.linalg.norm(frame.camera.pose[:3, 3] - recorded))
        if off > _SAME_PLACE and self.options.carla is None:
            raise DriveError(
                f"the drive came out {off:.1f} m off what was recorded: was it recorded with another version?"
            )

    def _painter_of(self, view: str, frame: Frame) -> NeuralRenderer | TagRenderer:
        """The renderer of a further camera: each remembers what it has painted."""
        if view not in self._painters:
            size = Size(frame.camera.width, frame.camera.height)
            options = self.options
            model = self.model if options.model == AUTO else options.model  # a folder's card may have any name
            self._painters[view] = make_renderer(model, options.runtime, size, self._threads, options.pixels)
        return self._painters[view]

    def _hand_over(self, picture: PaintedFrame) -> None:
        with self._changed:
            if self.lockstep:
                self._changed.wait_for(lambda: self._picture is None or self._ending.is_set())
            elif self._picture is not None:
                picture.frame.skipped += self._picture.frame.skipped + 1
            self._picture = picture
            self._changed.notify_all()
        self._wake()

    def _why_silent(self, subscriber: FrameSubscriber) -> str:
        if subscriber.malformed:
            return f"nothing but damaged messages from the bridge: {subscriber.error}"
        if self.options.connect:
            keys = "these keys" if self.options.keys else "no keys"
            return f"no frame from {self.options.connect} for {_SILENCE:.0f} s: is a bridge running there, with {keys}?"
        return f"no frame for {_SILENCE:.0f} s: the simulator hangs; start again"

    def _step(self, name: str, done: bool = False) -> None:
        self.steps[name] = done
        self._wake()

    @abstractmethod
    def _have_worked(self) -> bool:
        """Whether what makes the frames has computed anything lately. Raises ProcessError where it has ended."""

    @abstractmethod
    def _scenario_over(self) -> bool:
        """Whether there are no more frames because a scenario is over."""


def apply_style(
    painter: NeuralRenderer | TagRenderer, frame: Frame, style: str | None, remap: Remap, guide: str = "picture"
) -> None:
    """Have ``painter`` paint ``frame`` in ``style``, or in its weather's, with ``remap``, after ``guide``.

    Raises ModelError for no such style.
    """
    painter.remap, painter.guide = remap, guide
    if style is None:
        painter.follow(frame.weather)
    else:
        painter.set_style(style)
