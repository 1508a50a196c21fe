"""Everything behind one drive's picture: the processes, the link, the renderer, and the thread that paints.

The start takes seconds (a town is built, a model compiled), so it happens in the painting thread while the window
already answers.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.link.transport import FrameSubscriber, control_endpoint
from bridge.messages import Frame
from bridge.size import Size
from neuralsim.base.machine import cores
from neuralsim.guide import GUIDES
from neuralsim.renderer.remap import NOTHING, Remap
from neuralsim.session import lamps
from neuralsim.session.child_options import bridge_options, follows_picture, town_options
from neuralsim.session.options import TAGS, DriveOptions
from neuralsim.session.processes import Child, ProcessError, Processes

if TYPE_CHECKING:
    from neuralsim.renderer.neural_renderer import NeuralRenderer
    from neuralsim.session.tag_painter import TagPainter

_TOWN_READY, _BRIDGE_READY = 60.0, 90.0  # seconds in which they do nothing at all
RATE = 30.0  # simulated ticks per second without a driver
FULL_RATE = 40.0  # and with one, at most
FLUENT_RATE = 25.0  # below it every core is tried for painting
LEAST_RATE = 20.0  # below it, driving feels wrong: slower machines skip frames instead
MANY_CORES = 4  # from here on, simulating and painting do not get in each other's way
_TICK = 0.012  # seconds that a frame costs beside its painting where it gets in its way: tick, sensors, window
_HANDING = 0.001  # seconds between two paintings where a core is kept free for the rest
MAX_RESTARTS, _RESTARTS_WITHIN = 5, 60.0  # of our own processes, within so many seconds
_AGAIN = 0.5  # seconds between two attempts to reach a server
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


class DriveSession(threading.Thread):
    """Starts everything, then paints frames until :meth:`stop`.

    In lock-step every picture is handed over exactly once and the painting waits for the taker; else a picture that was
    not taken gives way to the next. ``wake`` is called from this thread whenever something new is there.
    """

    def __init__(self, options: DriveOptions, wake: Callable[[], None] = lambda: None) -> None:
        super().__init__(name="paint", daemon=True)
        self.options = options
        self.lockstep = options.headless
        self.error: BaseException | None = None
        self.steps: dict[str, bool] = {}  # what the start consists of, and what of it is done
        self.doing = ""  # what takes longer than usual of it, one line
        self.controls = ""  # endpoint for controls, once known
        self.model, self.runtime = options.model, options.runtime
        self.warning = self.note = ""  # about the runtime, one line each; for sure once there are pictures
        self.newest: Frame | None = None  # that has come; while it is painted, ahead of the pictures
        self.painting_since = 0  # ns, set just before the first frame that counts is painted
        self.fps = options.fps or RATE  # simulated ticks per second, for sure once there are pictures
        self.styles: list[str] = []  # of the model, once it is there
        self.style = options.style  # set from outside, for the next frame: None lets the weather choose
        self.remap = Remap.parse(options.remap or "")  # likewise
        self.guide = options.guide  # likewise
        self.wants_picture = False  # is the simulator's own picture followed, once there are pictures?
        self.trouble = ""  # what is being waited for since there are no more frames, one line
        self.paused = False  # set from outside: silence is no failure
        self.verdict: dict[str, Any] = {}  # what came of the scenario, once it is over
        self.processes = Processes()
        self._recovers = not options.headless and options.scenario is None  # else what follows would not be the same
        self._restarts: list[float] = []  # when, s
        self._shares = options.connect is None  # the cores with the simulation
        self._threads = painting_threads(cores()) if self._shares and not self.lockstep else None
        self._loader = _Loader(options, self._threads, self._step)
        self._bridge: Child | None = None
        self._painters: dict[str, NeuralRenderer | TagPainter] = {}
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

    def stop(self) -> None:
        """End the painting, then all processes; takes under two seconds."""
        self._ending.set()
        with self._changed:
            self._changed.notify_all()
        self.processes.stop()
        if self.ident is not None:  # it was started
            self.join(1.0)
        self.processes.stop()  # one that was being started meanwhile

    def run(self) -> None:
        """The thread: start, paint; whatever goes wrong is kept in ``error`` for the main thread to report."""
        try:
            self._run()
        except BaseException as error:  # the main thread raises it
            if not self._ending.is_set():
                self.error = error
        finally:
            with self._changed:
                self._changed.notify_all()
            self._wake()

    def _run(self) -> None:
        self._loader.start()
        frames = self.options.connect or self._start_simulation()
        while not self._loader.finished.wait(0.05):
            if self._ending.is_set():
                return
            self.processes.check()
        renderer = self._loader.result()
        self.model, self.runtime = renderer.model, renderer.runtime
        self.styles = list(renderer.card.styles)
        if self._ending.is_set():
            return
        # Where no core is left to it, the next tick would only take one away from the picture that is being painted.
        crowded = self._shares and self._threads is None and cores() < MANY_CORES
        ahead = 0 if self.lockstep or crowded else 1
        while frames:
            self.controls = control_endpoint(frames)
            with FrameSubscriber(frames, self.options.keys, self.lockstep, ahead, interactive=True) as subscriber:
                self._step("First frame")
                try:
                    self._paint(subscriber, renderer)
                    return
                except (DriveError, ProcessError) as error:
                    if not self._recovers or not self.painting_since:
                        raise
                    lost = error
            frames = self._start_again(lost)

    def _start_again(self, lost: DriveError | ProcessError) -> str:
        """Start anew what has ended, while the last picture stands; returns the frames' endpoint, "" when stopped.

        A server or a bridge elsewhere is waited for as long as the window is open. Raises ``lost`` where our own
        processes end again and again.
        """
        elsewhere = self.options.connect is not None or self.options.carla is not None
        while not self._ending.is_set():
            now = time.monotonic()
            self._restarts = [at for at in self._restarts if now - at < _RESTARTS_WITHIN] + [now]
            if len(self._restarts) > MAX_RESTARTS and not elsewhere:
                raise lost
            self.trouble = f"{lost} Trying again"
            self._wake()
            if self.options.connect is not None:
                return self.options.connect
            self.processes.end_children()
            try:
                return self._start_simulation()
            except ProcessError as error:
                lost = error
                self._ending.wait(_AGAIN)
        return ""

    def _start_simulation(self) -> str:
        """Start what is not running elsewhere; returns the endpoint of the frames, "" when stopped meanwhile."""
        options = self.options

        def cancelled() -> bool:
            return self._ending.is_set() or self._loader.failed

        module = "bridge.carla_client.carla_bridge" if options.scenario is None else "scenarios.play"
        module = module if options.sumo is None else "bridge.sumo.play"
        # It imports what it needs while the town is built; what it is to do is known when that is there.
        bridge = self._bridge = self.processes.start("bridge", module, "-", later=True)
        server = options.carla
        if server is None:
            name = f"Town {options.town if options.sumo is None else options.sumo.stem}"
            self._step(name)
            wanted = town_options(options).to_json()
            town = self.processes.start("town server", "bridge.town.carla_server", wanted)
            ready = town.wait_ready(_TOWN_READY, cancelled, self._tell)
            if ready is None:
                return ""
            server = ready["server"]
            self._step(name, done=True)
        if options.fps is None and not options.headless and not self.painting_since:
            self._loader.finished.wait()
            if not cancelled():
                self.fps = self._settle_rate()
            if cancelled():
                return ""
        name = "Bridge" if options.carla is None else f"Bridge to {options.carla}"
        self._step(name)
        frames = self.processes.endpoint()
        bridge.begin(bridge_options(options, server, frames, fps=self.fps, lockstep=self.lockstep).to_json())
        if bridge.wait_ready(_BRIDGE_READY, cancelled, self._tell) is None:
            return ""
        self._step(name, done=True)
        return frames

    def _settle_rate(self) -> float:
        """Ticks per second that the renderer can follow; on all cores, in turns, where one less makes them too few."""
        step = self._loader.result().seconds_per_step()
        rate = sustainable_rate(step, cores(), self._threads)
        if self._threads is None or rate >= FLUENT_RATE:
            return rate
        everywhere = _Loader(self.options, None, self._step)
        everywhere.start()
        everywhere.finished.wait()
        if everywhere.failed:
            return rate
        in_turns = everywhere.result().seconds_per_step()
        if in_turns + _TICK < step + _HANDING:
            self._loader, self._threads = everywhere, None
            rate = sustainable_rate(in_turns, cores())
        return rate

    def _paint(self, subscriber: FrameSubscriber, renderer: NeuralRenderer | TagPainter) -> None:
        heard = worked = time.monotonic()
        warm, mount = False, ""
        while not self._ending.is_set():
            frame = subscriber.recv(0.1)
            if frame is None:
                if self._scenario_over():
                    self._ending.set()  # every frame has been painted
                    return
                self.processes.check()
                if self.processes.have_worked():
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
            neural = painter.render(frame)
            lamps.draw_of(frame, neural, remap)
            frame.stamps["rendered"] = time.monotonic_ns()
            self.trouble = ""
            self._hand_over(PaintedFrame(frame, neural, remap, painter.upscaling))
            heard = time.monotonic()

    def _check_place(self, frame: Frame, recorded: tuple[float, float, float]) -> None:
        """Whether a drive that goes on from a recording has come to where the recording was."""
        off = float(np.linalg.norm(frame.camera.pose[:3, 3] - recorded))
        if off > _SAME_PLACE and self.options.carla is None:
            raise DriveError(
                f"the drive came out {off:.1f} m off what was recorded: was it recorded with another version?"
            )

    def _painter_of(self, view: str, frame: Frame) -> NeuralRenderer | TagPainter:
        """The renderer of a further camera: each remembers what it has painted."""
        if view not in self._painters:
            size = Size(frame.camera.width, frame.camera.height)
            options = self.options
            self._painters[view] = make_renderer(options.model, options.runtime, size, self._threads, options.pixels)
        return self._painters[view]

    def _scenario_over(self) -> bool:
        """Whether the bridge has said what came of its scenario."""
        if self.options.scenario is None or self._bridge is None:
            return False
        ended = self._bridge.process.poll() is not None
        if ended:
            self._bridge.last_words()  # waits until all that it said is here
        while (message := self._bridge.said()) is not None:
            if "verdict" in message:
                self.verdict = message["verdict"]
                return True
        return False

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

    def _tell(self, words: str) -> None:
        """A process says what it does, "" when it is done."""
        self.doing = words
        self._wake()

    def _step(self, name: str, done: bool = False) -> None:
        self.steps[name] = done
        self._wake()


class _Loader(threading.Thread):
    """Loads the renderer beside the start of the processes. A daemon: quitting does not wait for a compiler."""

    def __init__(self, options: DriveOptions, threads: int | None, step: Callable[[str, bool], None]) -> None:
        super().__init__(name="model", daemon=True)
        self.finished = threading.Event()
        self._options, self._threads, self._step = options, threads, step
        self._renderer: NeuralRenderer | TagPainter | None = None
        self._error: BaseException | None = None

    @property
    def failed(self) -> bool:
        return self._error is not None

    def run(self) -> None:
        name = f"Model {self._options.model}"
        self._step(name, False)
        try:
            options = self._options
            size = None if options.connect else options.shown  # the bridge's own, with its first frame
            self._renderer = make_renderer(options.model, options.runtime, size, self._threads, options.pixels)
            if self._options.style:
                self._renderer.set_style(self._options.style)  # says now that there is none
            self._step(name, True)
        except BaseException as error:  # raised again by `result`
            self._error = error
        finally:
            self.finished.set()

    def result(self) -> NeuralRenderer | TagPainter:
        """The renderer, or its error."""
        if self._error is not None:
            raise self._error
        assert self._renderer is not None
        return self._renderer


def make_renderer(
    model: str,
    runtime: str,
    size: tuple[int, int] | None,
    threads: int | None = None,
    pixels: int | None = None,
) -> NeuralRenderer | TagPainter:
    """What paints with ``model`` on so many CPU ``threads`` (None: all), ``pixels`` of each frame (None: all;
    ``NeuralRenderer``); heavy imports happen here.

    Raises ModelError and RuntimeUnavailable.
    """
    if model == TAGS:
        from neuralsim.session.tag_painter import TagPainter

        return TagPainter()
    from neuralsim.renderer.neural_renderer import NeuralRenderer

    return NeuralRenderer(model, runtime, size, threads, pixels=pixels)


def painting_threads(cores: int) -> int | None:
    """CPU threads to paint with while a driver drives on ``cores``; None: all of them.

    On few cores one is left to the town, the bridge and the window: the next frame is made beside the painting, just
    in time. To take turns on all cores is younger pictures on a machine that has nothing else to do, but each layer of
    the network waits for its last thread, so whatever else runs anywhere holds up all of it.
    """
    return cores - 1 if 1 < cores < MANY_CORES else None


def sustainable_rate(step: float, cores: int, threads: int | None = None) -> float:
    """Ticks per second that a renderer with ``step`` seconds a picture can follow on ``cores``, 20 to 40.

    Ticks that are not painted only take time from those that are. With few cores, ticking takes it as well,
    unless ``threads`` says that the renderer leaves it a core.
    """
    beside = 0.0 if cores >= MANY_CORES else _TICK if threads is None else _HANDING
    return float(max(LEAST_RATE, min(FULL_RATE, round(1.0 / (step + beside)))))


def apply_style(
    painter: NeuralRenderer | TagPainter, frame: Frame, style: str | None, remap: Remap, guide: str = "picture"
) -> None:
    """Have ``painter`` paint ``frame`` in ``style``, or in its weather's, with ``remap``, after ``guide``.

    Raises ModelError for no such style.
    """
    painter.remap, painter.guide = remap, guide
    if style is None:
        painter.follow(frame.weather)
    else:
        painter.set_style(style)
