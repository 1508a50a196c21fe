"""A drive as it is lived: the newest picture at once, every key at once, wherever both are: a window or a page."""

from __future__ import annotations

import math
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bridge.messages import Chart, Control, Ego, Frame
from neuralsim.base.log import logger
from neuralsim.drive.drive_loop import Controls, DriveLoop
from neuralsim.drive.driver_input import DriverInput
from neuralsim.drive.late_warp import LateWarp, compile_kernels
from neuralsim.drive.settings import CockpitSettings, Units
from neuralsim.recording import RecordingError
from neuralsim.renderer.remap import Remap, following
from neuralsim.session.drive_recording import DriveRecording
from neuralsim.session.drive_session import DriveSession
from neuralsim.session.options import DriveOptions
from neuralsim.session.painting_loop import PaintedFrame

_BUSY = 0.010  # seconds between looks at the keys while pedals or steering move
_CALM = 0.050  # otherwise; events and pictures wake the loop up at once
_BANNER = 1.5  # s after which what is being waited for is said again
_REDRAW = 0.1  # seconds between drawings while no new picture comes
REFRESH = 1.0 / 60.0  # or this, while the last one is moved instead
_STALLED = 0.25  # s after which a picture is no longer moved: its motion is unknown
_MEASURED = 0.25  # seconds between two looks at the measurement: numbers that flicker cannot be read
#: Moves pixels, u32 (H, W), into the second array, unless it cannot: then False.
Move = Callable[[np.ndarray, np.ndarray], bool]
#: Options that a drive begins with: another value needs a new start.
_ANEW = ("town", "vehicles", "walkers", "model", "size", "show")
#: Options that a setting stands for, where they have other names.
_OPTIONS = {"traffic": ("vehicles", "walkers"), "quality": ("size",), "upscaling": ("show",)}
_SPEED = 0.2  # weight of the newest picture in how fast pictures come, simulated time goes and moving is


@dataclass
class HudState:
    """What the HUD shows; the loop fills it in before each drawing."""

    ego: Ego = field(default_factory=Ego)
    place: str = ""  # town and weather
    painted: str = ""  # style and edit that were chosen
    model: str = ""
    runtime: str = ""
    warning: str = ""  # what about the runtime is not as it was meant to be
    view: str = "Neural"
    fps: float = 0.0  # distinct neural frames
    displayed_fps: float = 0.0  # with the late-warped ones
    latency: float = 0.0  # ms, capture to display, median
    latency_p95: float = 0.0  # ms
    photon: float = 0.0  # ms, click to photon, median
    warping: bool = False  # late warp is on
    late_warp: float = 0.0  # ms that one takes, median
    stages: dict[str, float] = field(default_factory=dict)  # ms
    graph: list[tuple[float, ...]] = field(default_factory=list)  # ms of each stage, of the newest frames, oldest first
    frames: int = 0
    skipped: int = 0
    paused: bool = False
    recording: float | None = None  # seconds recorded so far
    recorded_to: str = ""  # where to
    reverse: bool = False
    device: str = ""  # gamepad or wheel
    units: Units = "km/h"


class InteractiveDrive(DriveLoop):
    """Shows pictures and sends what the driver wants; latest wins.

    What is drawn, on what, and where keys come from is the subclass's: it sets ``inputs`` and overrides what is
    abstract. ``chosen`` are the driver's settings; ``wake`` is called by the painting thread.
    """

    inputs: DriverInput
    refresh = REFRESH  # s between two displays, at least

    def __init__(self, options: DriveOptions, chosen: CockpitSettings, wake: Callable[[], None]) -> None:
        self._given = options  # by the command line alone
        self._wake_up = wake
        self.settings = chosen
        options = chosen.applied(options)
        super().__init__(options, wake)
        self.state = HudState(model=options.model)
        self.begun = time.monotonic()
        self._record_path = options.record  # where the next recording goes; None: none is wanted
        self._recording: DriveRecording | None = None  # that R began
        self._recording_clock = 0.0  # seconds of pauses, taken out of the recording
        self._resting = False  # the simulation was paused since the last picture
        self._last: PaintedFrame | None = None
        self._town_chart: Chart | None = None  # of the map, once it has come
        self._measured = 0.0  # when the HUD was given the measurement last
        self._late_warp = LateWarp()
        self._warping = options.late_warp
        self._speed = 1.0  # simulated seconds per second
        self._interval = 0.05  # s between pictures
        self._cost = 0.0  # s that moving one takes

    # What the subclass shows and hears

    @property
    @abstractmethod
    def needs_rgb(self) -> bool:
        """Whether the simulator's own picture is looked at."""

    @property
    @abstractmethod
    def chart(self) -> str:
        """Name of the map whose chart is there, "?" for none yet (``bridge.messages.Control.chart``)."""

    @abstractmethod
    def events(self, pause: float) -> bool:
        """Wait for events up to ``pause`` seconds and handle all; True if all must be drawn again."""

    @abstractmethod
    def notify(self, text: str) -> None:
        """Show ``text`` for a moment."""

    @abstractmethod
    def show_waiting(self) -> None:
        """Show what the start is waiting for."""

    @abstractmethod
    def show_new(self, picture: PaintedFrame) -> None:
        """Show a new picture."""

    @abstractmethod
    def show_again(self, move: Move | None = None) -> None:
        """Show the last one once more: moved, or since something over it changed."""

    def heed(self, wanted: Control) -> None:
        """Called with what the driver wants, before it is sent."""

    def sent(self, sequence: int) -> None:
        """What the driver wants now is in the control of that number, which has been sent."""

    # The loop

    def drive(self) -> None:
        """Handle events, send controls, show pictures, until the driver leaves."""
        self.session.start()
        if self._warping:
            threading.Thread(target=compile_kernels, name="late warp", daemon=True).start()
        looked = self.begun = time.monotonic()
        drawn, pause, troubled = 0.0, _BUSY, 0.0
        try:
            while not self.done:
                redraw = self.events(min(pause, self._due(drawn) - time.monotonic()))
                now, session = time.monotonic(), self.session
                moving = self._send(now - looked)
                pause, looked = _BUSY if moving else _CALM, now
                picture = session.take(0.0)
                if picture is not None:
                    self._show(picture)
                    drawn = now
                elif session.error is not None:
                    raise session.error
                elif session.trouble and now - troubled > _BANNER:
                    self.notify(session.trouble)
                    troubled = now
                elif self._last is None:
                    if now - drawn >= _CALM or redraw:
                        self.show_waiting()
                        drawn = now
                elif now >= self._due(drawn) - 0.001:
                    self._show_moved(self._last)
                    drawn = now
                elif redraw or now - drawn >= _REDRAW:
                    self.fill_state()
                    self.show_again()
                    drawn = now
        finally:
            self.close()

    def close(self) -> None:
        """Finish what is being written."""
        self._stop_recording()

    def _send(self, seconds: float) -> bool:
        """Send what the driver wants after another ``seconds``; True while pedals or steering move."""
        inputs, session = self.inputs, self.session
        before = inputs.wanted
        wanted = inputs.control(seconds, self._last.frame.ego.speed if self._last else 0.0)
        followed = session.options.picture_plane if session.wants_picture else ""
        wanted.rgb, wanted.rgb_half = self.needs_rgb or followed == "rgb", followed == "rgb_half"
        wanted.camera = inputs.camera(wanted.reverse and self.settings.reversing_view)
        wanted.chart = self.chart
        session.paused = wanted.paused
        self.heed(wanted)
        self._resting = self._resting or wanted.paused
        self.controls.send(wanted, session.controls)
        if session.controls and not self.controls.observes:
            self.sent(self.controls.sequence)
        return wanted != before

    def _show(self, picture: PaintedFrame) -> None:
        if self._last is None:
            self.first_picture()
        else:
            self._tell_changes(self._last, picture)
            self._keep_time(self._last.frame, picture.frame)
        self._last = picture
        self._town_chart = picture.frame.chart or self._town_chart
        if self._resting and self.meter.frames:
            gap = time.monotonic_ns() - self.meter.last
            self.meter.rest(gap)
            self._recording_clock += gap / 1e9
        self._resting = False
        self.fill_state()
        self._late_warp.frame(picture.frame)
        self.show_new(picture)
        self.shown(picture)
        self._record(picture)

    def first_picture(self) -> None:
        """Say what there is to say when the drive begins."""
        self.say_about_runtime()
        if self.session.note:
            self.notify(self.session.note.partition(" (")[0])  # the terminal has the rest

    def _due(self, drawn: float) -> float:
        """When (s) to show the last picture again, moved, after what was drawn last; infinity if not at all.

        A picture that is about to come is waited for: it would have to wait otherwise. Where moving takes long, it is
        done less often: half of the time belongs to others.
        """
        if self._last is None or not self._warping or self.inputs.wanted.paused:
            return math.inf
        shown = self._last.frame.stamps["displayed"] / 1e9
        due, following = drawn + max(self.refresh, 2.0 * self._cost), shown + self._interval
        if due - shown > _STALLED:
            return math.inf
        soon = 0.5 * self.refresh
        return following + soon if abs(due - following) < soon else due

    def _show_moved(self, picture: PaintedFrame) -> None:
        """What the camera would see by now of the last picture."""
        begun = time.monotonic_ns()
        if self.session.newest is not None:
            self._late_warp.heard(self.session.newest)
        late = max(begun - picture.frame.stamps["displayed"], 0) / 1e9
        seconds = late * self._speed
        self.fill_state()
        self.show_again(lambda pixels, out: self._late_warp.moved(pixels, seconds, out))
        done = time.monotonic_ns()
        self._cost += _SPEED * ((done - begun) / 1e9 - self._cost)
        self.meter.moved(done, done - begun)

    def _keep_time(self, before: Frame, now: Frame) -> None:
        """How fast simulated time goes, seen where it is shown."""
        real = (time.monotonic_ns() - before.stamps["displayed"]) / 1e9
        simulated = now.sim_time - before.sim_time
        if 0.0 < simulated < 1.0 and 0.0 < real < 1.0:
            self._interval += _SPEED * (real - self._interval)
            self._speed += _SPEED * (min(max(simulated / real, 0.1), 2.0) - self._speed)

    def _tell_changes(self, before: PaintedFrame, now: PaintedFrame) -> None:
        old, new = before.frame, now.frame
        if new.weather_name and new.weather_name != old.weather_name:
            self.notify(f"Weather: {new.weather_name}")
        if new.notice and new.notice != old.notice:
            self.notify(new.notice)

    def fill_state(self) -> None:
        """Put what is known now into ``state``."""
        state, session, meter, wanted = self.state, self.session, self.meter, self.inputs.wanted
        if self._last is not None:
            state.ego = self._last.frame.ego
            state.place = "  |  ".join(part for part in (self._town(), self._last.frame.weather_name) if part)
        state.painted = "  |  ".join(part for part in (session.style or "", session.remap.words) if part)
        state.model, state.runtime, state.warning = session.model, session.runtime, session.warning
        now = time.monotonic()
        if now - self._measured >= _MEASURED:
            self._measured = now
            state.fps, state.displayed_fps = meter.rate(), meter.displayed_rate()
            state.latency, state.stages = meter.recent()
            state.latency_p95, state.photon, state.late_warp = meter.recent_tail()
            state.frames, state.skipped = meter.frames, meter.dropped
        state.warping = self._warping
        state.paused, state.reverse = wanted.paused, wanted.reverse
        writing = self._recording or self.recorder
        state.recording = self.recorded_seconds if writing is not None else None
        state.recorded_to = str(writing.path) if writing is not None else ""
        state.units = self.settings.units

    def _town(self) -> str:
        options = self.options
        return options.connect or (f"CARLA at {options.carla}" if options.carla else Path(options.town).stem)

    # Recording

    def _record(self, picture: PaintedFrame) -> None:
        """Hand the picture to the recorder, opening it first where one is wanted."""
        try:
            if self._record_path is not None:
                path, self._record_path = self._record_path, None
                self._recording_clock = 0.0
                if path.suffix:
                    self.start_recording(path, picture)
                else:  # R: all of it, into a folder
                    self._recording, self._recorded_since = (
                        DriveRecording(path, picture, self.session, self._town_chart),
                        time.monotonic(),
                    )
                self.notify(f"Recording to {path}")
            seconds = picture.frame.stamps["displayed"] / 1e9 - self._recording_clock
            if self._recording is not None:
                self._recording.write(picture, seconds)
            elif self.recorder is not None:
                self.recorder.write(picture.neural, seconds)
            writing = self._recording or self.recorder
            if writing is not None and writing.error is not None:
                raise RecordingError(writing.error)
        except RecordingError as error:
            logger().warning(error)
            self.notify("Recording stopped: see the terminal")
            self._stop_recording()

    def _stop_recording(self) -> Path | None:
        writing = self._recording or self.recorder
        if writing is None:
            return None
        writing.close()
        self._recording = self.recorder = None
        return writing.path

    # Commands

    def act(self, command: str) -> None:
        """Carry out what a key asks for (``DriverInput`` has already changed what it says to the bridge)."""
        wanted = self.inputs.wanted
        if command == "quit":
            self.interrupted = True
        elif command == "camera":
            self.notify(self.inputs.next_camera())
        elif command == "guide":
            self.notify(self.session.next_guide())
        elif command == "late_warp":
            self._warping = not self._warping
            self.notify("Late warp on" if self._warping else "Late warp off")
        elif command == "style":
            self.notify(self.session.next_style())
        elif command == "edit":
            session = self.session
            session.remap = following(session.remap, Remap.parse(self.options.remap or ""))
            self.notify(f"Edit: {session.remap.words or 'none'}")
        elif command == "record":
            if self.recorder is None and self._recording is None:
                self._record_path = self.options.recordings / time.strftime("drive-%Y%m%d-%H%M%S")
            else:
                self.notify(f"Saved {self._stop_recording()}")
        elif command == "autopilot":
            self.notify("Autopilot on" if wanted.autopilot else "Autopilot off: you drive")
        elif command == "mirror":
            self.notify("The rear mirror is in the window alone")
        elif command == "take_over":
            self.notify("You drive: autopilot off")
        elif command == "respawn":
            self.notify("Respawn")
        elif command == "reverse":
            gear = "Reverse" if wanted.reverse else "Forward"
            self.notify("The autopilot drives: press P to drive" if wanted.autopilot else gear)

    def go(self, place: tuple[float, float] | None) -> None:
        """Be led to a place (m), or nowhere any more."""
        self.inputs.go(place)
        self.notify("On the way there: P lets the autopilot drive it" if place else "Navigation ended")

    # Choices of the menu

    @property
    def own_town(self) -> bool:
        """Whether this drive started its town itself, and may start another one."""
        given = self.options
        return all(value is None for value in (given.carla, given.connect, given.scenario, given.sumo))

    def choose(self, name: str, value: Any) -> None:
        """Change a setting; what can be changed at once is."""
        self.settings = self.settings.model_copy(update={name: value})
        self._given = self._given.model_copy()
        for option in _OPTIONS.get(name, (name,)):  # the driver has changed their mind
            self._given.model_fields_set.discard(option)
        if name == "guide":
            self.session.guide = value
        self.follow_settings()

    def follow_settings(self) -> None:
        """Do as the settings say, as far as it needs no new start."""
        chosen, inputs = self.settings, self.inputs
        inputs.sharpness = chosen.steering
        inputs.wanted = replace(inputs.wanted, preset=chosen.weather or "", minutes=chosen.minutes)

    def apply_choices(self) -> None:
        """Start the simulator anew where what was chosen needs that; the window or page stays."""
        wanted = self.settings.applied(self._given)
        if any(getattr(wanted, name) != getattr(self.options, name) for name in _ANEW):
            self.start_anew(wanted)

    def start_anew(self, options: DriveOptions) -> None:
        """Begin a drive with these options in place of this one."""
        self._stop_recording()
        self.controls.close(end_bridge=options.connect is None)
        self.session.stop()
        self.options = options
        self.controls = Controls(self.meter, options.keys)
        self.session = DriveSession(options, self._wake_up)
        self.session.guide = options.guide
        self._last, self._late_warp, self.begun = None, LateWarp(), time.monotonic()
        self._town_chart = None
        self.inputs.go(None)
        self.session.start()
