"""The interactive drive: shows the newest frame and handles keys immediately, in a window or on a web page."""

import logging
import math
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bridge.messages import Chart, Control, Ego, Frame
from bridge.size import Size
from neuralsim.base.log import logger
from neuralsim.drive.drive_loop import Controls, DriveLoop
from neuralsim.drive.drive_state import DriveState
from neuralsim.drive.driver_input import DriverInput
from neuralsim.drive.late_warp import LateWarp, compile_kernels
from neuralsim.drive.settings import CockpitSettings, Units
from neuralsim.drive.stuck import Stuck
from neuralsim.drive.task_control import TASKS, Card, TaskControl
from neuralsim.drive.time_ratio import TimeRatio
from neuralsim.guide import GUIDES
from neuralsim.recording import RecordingError
from neuralsim.renderer.remap import Remap, next_remap
from neuralsim.session import size_choice
from neuralsim.session.drive_recording import DriveRecording
from neuralsim.session.options import DriveOptions
from neuralsim.session.rate_watch import RateWatch
from neuralsim.session.render_loop import RenderedFrame

_BUSY = 0.010  # seconds between two polls of the keys while pedals or steering move
_IDLE = 0.050  # seconds between polls otherwise; events and frames wake the loop up immediately
_BANNER = 1.5  # s after which a notice about a missing connection is repeated
_REDRAW = 0.1  # seconds between two redraws while there is no new frame
REFRESH = 1.0 / 60.0  # seconds between two redraws with late warp
_STALLED = 0.25  # s after which a frame is no longer warped: its motion is unknown by then
_METRICS_INTERVAL = 0.25  # seconds between two updates of the metrics shown: flickering numbers are unreadable
#: Warps pixels, u32 (H, W), into the second array; returns False if it cannot.
Warp = Callable[[np.ndarray, np.ndarray], bool]
#: Options that can only be changed by restarting the drive.
_RESTART_OPTIONS = ("town", "vehicles", "walkers", "vehicle", "model", "size", "show", "dashcam")
_SIZE_OPTIONS = ("model", "runtime", "size", "show", "scenario")  # those on which the size of "auto" depends
_SMOOTHING = 0.2  # weight of the newest frame in the averages of frame interval, speed of time and warp cost


@dataclass
class HudState:
    """The content of the HUD; the loop updates it before each redraw."""

    ego: Ego = field(default_factory=Ego)
    place: str = ""  # town and weather
    appearance: str = ""  # chosen style and edit
    model: str = ""
    runtime: str = ""
    warning: str = ""  # about the runtime
    view: str = "Neural"
    fps: float = 0.0  # distinct neural frames
    displayed_fps: float = 0.0  # with the late-warped ones
    latency: float = 0.0  # ms, capture to display, median
    latency_p95: float = 0.0  # ms
    input_latency: float = 0.0  # ms from key press to display, median
    warping: bool = False  # whether late warp is on
    late_warp: float = 0.0  # ms per late warp, median
    stages: dict[str, float] = field(default_factory=dict)  # ms
    graph: list[tuple[float, ...]] = field(default_factory=list)  # ms of each stage for the newest frames, oldest first
    frames: int = 0
    skipped: int = 0
    paused: bool = False
    time_ratio: float = 1.0  # simulated over real time
    real_time: bool = True  # whether real speed is chosen, as far as this machine reaches it
    recording: float | None = None  # seconds recorded so far
    recorded_to: str = ""  # file or folder
    reverse: bool = False
    device: str = ""  # gamepad or wheel
    units: Units = "km/h"
    task: str = ""  # how the task stands, "" without one
    card: Card | None = None  # the result of the last one
    ghost: np.ndarray | None = None  # x, y, z (m), yaw (radians) of the last run, f64 (4,)


class InteractiveDrive(DriveLoop):
    """Shows frames and sends the driver's controls; the latest wins.

    A subclass provides the display and the source of keys: it sets ``inputs`` and overrides the abstract methods.
    ``chosen`` are the driver's settings; ``wake`` is called by the render thread.
    """

    inputs: DriverInput
    records_folder: Path | None = None  # where the results of tasks are kept
    refresh = REFRESH  # minimum s between two displays

    def __init__(self, options: DriveOptions, chosen: CockpitSettings, wake: Callable[[], None]) -> None:
        self._wake_up = wake
        self.chosen = DriveState(chosen, options)
        self.tasks = TaskControl(self, self.records_folder)
        self._resolved: tuple[list[object], DriveOptions] | None = None
        if options.task is not None:
            self.tasks.adopt(options.task)
        options = self.resolved(self.chosen.options())
        super().__init__(options, wake)
        self.chosen.observe(self._settings_changed)
        self.commands = self._commands()
        self.state = HudState(model=options.model)
        self.begun = time.monotonic()
        self._record_path = options.record  # where to start a recording; None: nowhere
        self._recording: DriveRecording | None = None  # started by R
        self._was_paused_since = False  # whether the simulation was paused since the last frame
        self._last: RenderedFrame | None = None
        self._town_chart: Chart | None = None  # of the map, once received
        self._metrics_updated = 0.0  # s
        self._late_warp = LateWarp()
        self._speed = 1.0  # simulated seconds per second
        self._time_ratio = TimeRatio()
        self._stuck = Stuck()
        self._rate_watch: RateWatch | None = None  # where the size is chosen for the driver
        self._interval = 0.05  # s between frames
        self._cost = 0.0  # s per late warp

    @property
    def settings(self) -> CockpitSettings:
        """The driver's settings, as in the file."""
        return self.chosen.settings

    @property
    def _warping(self) -> bool:
        """Whether late warp is on. Bonnet and wiper of a dash camera do not move with the street behind them."""
        return bool(self.chosen.current("late_warp")) and not self.session.options.dashcam

    # The interface to the subclass

    @property
    @abstractmethod
    def needs_rgb(self) -> bool:
        """Whether the simulator image is displayed."""

    @property
    @abstractmethod
    def chart(self) -> str:
        """Name of the map whose chart was received, "?" for none yet (``bridge.messages.Control.chart``)."""

    @abstractmethod
    def events(self, pause: float) -> bool:
        """Wait up to ``pause`` seconds for events and handle all of them; return whether to redraw."""

    @abstractmethod
    def notify(self, text: str) -> None:
        """Show ``text`` for a moment."""

    @abstractmethod
    def show_waiting(self) -> None:
        """Show the progress of the start."""

    @abstractmethod
    def show_new(self, rendered: RenderedFrame) -> None:
        """Show a new frame."""

    @abstractmethod
    def show_again(self, warp: Warp | None = None) -> None:
        """Show the last frame again: warped, or because something drawn over it has changed."""

    def before_send(self, control: Control) -> None:
        """Complete the driver's control before it is sent."""

    def after_send(self, sequence: int) -> None:
        """Take note that the current request was sent as the control with this number."""

    # The loop

    def drive(self) -> None:
        """Handle events, send controls and show frames until the driver quits."""
        self.session.start()
        if self._warping:
            threading.Thread(target=compile_kernels, name="late warp", daemon=True).start()
        polled = self.begun = time.monotonic()
        drawn, pause, notified = 0.0, _BUSY, 0.0
        try:
            while not self.done:
                redraw = self.events(min(pause, self._next_display(drawn) - time.monotonic()))
                now, session = time.monotonic(), self.session
                moving = self._send(now - polled)
                pause, polled = _BUSY if moving else _IDLE, now
                rendered = session.take(0.0)
                if rendered is not None:
                    self._show(rendered)
                    drawn = now
                elif session.error is not None:
                    raise session.error
                elif session.trouble and now - notified > _BANNER:
                    self.notify(session.trouble)
                    notified = now
                elif self._last is None:
                    if now - drawn >= _IDLE or redraw:
                        self.show_waiting()
                        drawn = now
                elif now >= self._next_display(drawn) - 0.001:
                    self._show_warped(self._last)
                    drawn = now
                elif redraw or now - drawn >= _REDRAW:
                    self.fill_state()
                    self.show_again()
                    drawn = now
        finally:
            self.close()

    def close(self) -> None:
        """Finish the recording, if any."""
        self._stop_recording()

    def _send(self, seconds: float) -> bool:
        """Advance the input by ``seconds`` and send it; return whether pedals or steering are moving."""
        inputs, session = self.inputs, self.session
        previous = inputs.requested
        control = inputs.control(seconds, self._last.frame.ego.speed if self._last else 0.0)
        guide = session.guide_plane
        control.rgb, control.rgb_half = self.needs_rgb or guide == "rgb", guide == "rgb_half"
        control.camera = inputs.camera(control.reverse and self.settings.reversing_view)
        control.chart = self.chart
        if not self._is_recording:  # recordings keep the size that they began with
            control.size = session.size
        session.paused = control.paused
        self.before_send(control)
        self._was_paused_since = self._was_paused_since or control.paused
        self.controls.send(control, session.controls)
        if session.controls and not self.controls.observes:
            self.after_send(self.controls.sequence)
        return control != previous

    def _show(self, rendered: RenderedFrame) -> None:
        if self._last is None:
            self.first_frame()
        else:
            self._notify_changes(self._last.frame, rendered.frame)
            self._update_pace(self._last.frame, rendered.frame)
        if self._stuck.update(rendered.frame.ego, rendered.frame.sim_time):
            self.notify("Stuck? Backspace puts you elsewhere")
        self._last = rendered
        self._town_chart = rendered.frame.chart or self._town_chart
        if self._was_paused_since and self.meter.frames:
            self.meter.exclude_pause(time.monotonic_ns() - self.meter.last)
            self._time_ratio.restart()
            if self._rate_watch is not None:
                self._rate_watch.restart()
        self._watch_rate(rendered.frame)
        self._time_ratio.add(rendered.frame.sim_time, time.monotonic())
        self._was_paused_since = False
        self.tasks.update(rendered.frame, self._town_chart)
        self.fill_state()
        self._late_warp.set_frame(rendered.frame)
        self.show_new(rendered)
        self.shown(rendered)
        self._record(rendered)

    def first_frame(self) -> None:
        """Show the messages about the start, just before the first frame."""
        self.log_runtime_messages()
        self._begin_rate_watch()
        if self.session.note:
            self.notify(self.session.note.partition(" (")[0])  # the rest is in the terminal

    def _begin_rate_watch(self) -> None:
        self._rate_watch = RateWatch(self.options.shown, self.session.fps) if self.size_line else None

    def _watch_rate(self, frame: Frame) -> None:
        """Change to a smaller size where the rate is not held, and back; say so when a frame has it."""
        watch, size = self._rate_watch, Size(frame.camera.width, frame.camera.height)
        if watch is None:
            return
        if size != self.size and watch.line:
            self.notify(watch.line)
            logger().info(watch.line)
        if size != watch.size or self._is_recording:
            watch.restart()
            return
        stages = self.meter.recent()[1]
        busiest = max(stages["render"], stages["simulate"] + stages["pack"])  # at the same time, in two processes
        if watch.add(time.monotonic(), busiest / 1e3):
            self.session.resize(watch.size)

    @property
    def why_size(self) -> str:
        """Why the size is what it is, in one line; "" where it was given."""
        return (self._rate_watch.line if self._rate_watch is not None else "") or self.size_line

    def _next_display(self, drawn: float) -> float:
        """Return the time (s) of the next late warp, given that of the last redraw; infinity for none.

        If a new frame is about to arrive, there is none before it, as it would delay the frame. Warping takes at most
        half of the time.
        """
        if self._last is None or not self._warping or self.inputs.requested.paused:
            return math.inf
        shown = self._last.frame.stamps["displayed"] / 1e9
        due, expected = drawn + max(self.refresh, 2.0 * self._cost), shown + self._interval
        if due - shown > _STALLED:
            return math.inf
        soon = 0.5 * self.refresh
        return expected + soon if abs(due - expected) < soon else due

    def _show_warped(self, rendered: RenderedFrame) -> None:
        begun = time.monotonic_ns()
        if self.session.newest is not None:
            self._late_warp.set_next_frame(self.session.newest)
        late = max(begun - rendered.frame.stamps["displayed"], 0) / 1e9
        seconds = late * self._speed
        self.fill_state()
        self.show_again(lambda pixels, out: self._late_warp.warp_into(pixels, seconds, out))
        done = time.monotonic_ns()
        self._cost += _SMOOTHING * ((done - begun) / 1e9 - self._cost)
        self.meter.warped(done, done - begun)

    def _update_pace(self, previous: Frame, current: Frame) -> None:
        real = (time.monotonic_ns() - previous.stamps["displayed"]) / 1e9
        simulated = current.sim_time - previous.sim_time
        if 0.0 < simulated < 1.0 and 0.0 < real < 1.0:
            self._interval += _SMOOTHING * (real - self._interval)
            self._speed += _SMOOTHING * (min(max(simulated / real, 0.1), 2.0) - self._speed)

    def _notify_changes(self, old: Frame, new: Frame) -> None:
        if new.weather_name and new.weather_name != old.weather_name:
            self.notify(f"Weather: {new.weather_name}")
        if new.notice and new.notice != old.notice:
            self.notify(new.notice)

    def fill_state(self) -> None:
        """Update ``state``."""
        state, session, meter, requested = self.state, self.session, self.meter, self.inputs.requested
        if self._last is not None:
            state.ego = self._last.frame.ego
            state.place = "  |  ".join(part for part in (self._town(), self._weather()) if part)
        state.appearance = "  |  ".join(part for part in (session.style or "", session.remap.label) if part)
        state.model, state.runtime, state.warning = session.model, session.runtime, session.warning
        now = time.monotonic()
        if now - self._metrics_updated >= _METRICS_INTERVAL:
            self._metrics_updated = now
            state.fps, state.displayed_fps = meter.rate(), meter.displayed_rate()
            state.latency, state.stages = meter.recent()
            state.latency_p95, state.input_latency, state.late_warp = meter.recent_tail()
            state.frames, state.skipped = meter.frames, meter.dropped
        state.warping = self._warping
        state.time_ratio, state.real_time = self._time_ratio.value, self.settings.real_time
        self.tasks.count_down(time.monotonic())
        state.paused, state.reverse = requested.paused, requested.reverse
        recorder = self._recording or self.recorder
        state.recording = self.recorded_seconds if recorder is not None else None
        state.recorded_to = str(recorder.path) if recorder is not None else ""
        state.units = self.settings.units
        state.task, state.card, state.ghost = self.tasks.status(), self.tasks.card, self.tasks.ghost_place()

    def _weather(self) -> str:
        """Return the weather of the last frame, with the time of day that the driver has set."""
        name, minutes = self.weather_name, self.chosen.current("minutes")
        return f"{name or 'Weather'} at {minutes // 60 % 24:02d}:{minutes % 60:02d}" if minutes else name

    @property
    def weather_name(self) -> str:
        """The weather of the last frame, "" before the first one."""
        return self._last.frame.weather_name if self._last else ""

    @property
    def town(self) -> str:
        """Name of the town or server."""
        return self._town()

    def _town(self) -> str:
        options = self.options
        return options.connect or (f"CARLA at {options.carla}" if options.carla else Path(options.town).stem)

    # Recording

    @property
    def _is_recording(self) -> bool:
        return self.recorder is not None or self._recording is not None

    def _record(self, rendered: RenderedFrame) -> None:
        """Pass the frame to the recorder, opening it first if one was requested."""
        try:
            if self._record_path is not None and self.session.size in (None, self.size):
                path, self._record_path = self._record_path, None
                if path.suffix:
                    self.start_recording(path, rendered)
                else:  # by R: everything, into a folder
                    self._recording = DriveRecording(path, rendered, self.session, self._town_chart)
                    self._recorded_since = rendered.frame.sim_time
                self.notify(f"Recording to {path}")
            if self._recording is not None:
                self._recording.write(rendered)
            elif self.recorder is not None:
                self.recorder.write(rendered.neural, rendered.frame.sim_time)
            recorder = self._recording or self.recorder
            if recorder is not None and recorder.error is not None:
                raise RecordingError(recorder.error)
        except RecordingError as error:
            logger().warning(error)
            self.notify("Recording stopped: see the terminal")
            self._stop_recording()

    def _stop_recording(self) -> str:
        recorder = self._recording or self.recorder
        if recorder is None:
            return ""
        recorder.close()
        self._recording = self.recorder = None
        missing = recorder.missing if isinstance(recorder, DriveRecording) else ""
        saved = f"Saved {recorder.path}" + (f" ({missing})" if missing else "")
        logger().log(logging.WARNING if missing else logging.INFO, saved)
        return saved

    # Commands

    def act(self, command: str) -> None:
        """Give a command: the one way for keys, pads, menus and pages. Raises ``KeyError`` for an unknown one."""
        self.inputs.command(command)

    def carry_out(self, command: str) -> None:
        """Do the drive's part of a command, after ``DriverInput`` has changed the request to the bridge."""
        said = self.commands[command]()
        if isinstance(said, str) and said:
            self.notify(said)

    def _commands(self) -> dict[str, Callable[[], object]]:
        """Return what the drive does for each command; a text that it returns is shown.

        Some change only the request to the bridge, which announces a respawn or a repair once it has happened.
        """
        tasks, missing = self.tasks, "The {} only available in a window"
        return {
            "quit": self._quit,
            "camera": lambda: self.inputs.next_camera(),
            "headlamps": lambda: f"Headlamps: {self.inputs.next_headlamps()}",
            "weather": lambda: self._next_weather(1),
            "weather_back": lambda: self._next_weather(-1),
            "guide": self._next_guide,
            "late_warp": self._toggle_late_warp,
            "style": lambda: self.session.next_style(),
            "edit": self._next_edit,
            "record": self._toggle_recording,
            "autopilot": lambda: f"Autopilot {'on' if self.inputs.requested.autopilot else 'off: you are driving'}",
            "take_over": lambda: "You are driving: autopilot off",
            "reverse": self._say_gear,
            "respawn": lambda: tasks.again() if tasks.in_lesson else None,
            **{name: partial(tasks.start, name) for name in TASKS},
            "again": tasks.again,
            "next_lesson": tasks.next_lesson,
            "end_task": tasks.stop,
            "leave_lesson": tasks.leave,
            "close_card": tasks.close_card,
            "mirror": lambda: missing.format("mirrors are"),
            "dashboard": lambda: missing.format("dashboard is"),
            **dict.fromkeys(("repair", "pause", "indicate_left", "indicate_right", "hazard"), lambda: None),
        }

    def _quit(self) -> None:
        self.interrupted = True

    def _next_weather(self, step: int) -> str:
        had_time = self.chosen.current("minutes")
        self.choose("weather", self.chosen.next_weather(self.weather_name, step))
        return "Time of day: set by the weather again" if had_time else ""

    def _next_guide(self) -> str:
        if not self.session.has_guide:
            return "This model has no guide input"
        guides = list(GUIDES)
        self.choose("guide", guides[(guides.index(self.chosen.current("guide")) + 1) % len(guides)])
        return f"Guide: {self.session.guide}"

    def _toggle_late_warp(self) -> str:
        self.choose("late_warp", not self.chosen.current("late_warp"))
        return "Late warp on" if self._warping else "Late warp off"

    def _next_edit(self) -> str:
        session = self.session
        session.remap = next_remap(session.remap, Remap.parse(self.options.remap or ""))
        return f"Edit: {session.remap.label or 'none'}"

    def _toggle_recording(self) -> str:
        if self._is_recording:
            return self._stop_recording()
        self._record_path = self.options.recordings / time.strftime("drive-%Y%m%d-%H%M%S")
        return ""

    def _say_gear(self) -> str:
        requested = self.inputs.requested
        if requested.autopilot:
            return "The autopilot is driving: press P to take over"
        return "Reverse" if requested.reverse else "Forward"

    def navigate_to(self, place: tuple[float, float] | None) -> None:
        """Set the destination (x, y in m), or None to end navigation."""
        self.inputs.navigate_to(place)
        self.notify("Destination set: press P to let the autopilot drive" if place else "Navigation ended")

    # Choices of the menu

    @property
    def has_own_town(self) -> bool:
        """Whether this drive started its town itself and may start another one."""
        options = self.options
        return all(value is None for value in (options.carla, options.connect, options.scenario, options.sumo))

    def choose(self, name: str, value: Any) -> None:
        """Change a setting; it takes effect immediately if possible. Raises ``ValueError`` for an invalid one."""
        self.chosen.choose(name, value)

    def _settings_changed(self, changed: frozenset[str]) -> None:
        if "guide" in changed:
            self.session.guide = self.chosen.current("guide")
        self.follow_settings()

    def follow_settings(self) -> None:
        """Apply the settings that need no restart."""
        chosen, inputs = self.settings, self.inputs
        inputs.sensitivity = chosen.steering
        weather = self.chosen.current("weather") or ""
        minutes = self.chosen.current("minutes")
        inputs.requested = replace(inputs.requested, preset=weather, minutes=minutes, real_time=chosen.real_time)

    def apply_choices(self) -> None:
        """Restart the simulator if a choice requires it; the window or page stays."""
        options = self.resolved(self.chosen.options())
        if any(getattr(options, name) != getattr(self.options, name) for name in _RESTART_OPTIONS):
            self.tasks.stop()
            self.restart(options)
        elif bool(self.size_line) != (self._rate_watch is not None):  # the same size, but chosen by somebody else
            self._begin_rate_watch()
            self.session.resize(options.shown)

    def resolved(self, options: DriveOptions) -> DriveOptions:
        """Return ``options`` with the size that "auto" stands for in this drive; ``size_line`` says which."""
        asked = [type(options.size), *(getattr(options, name) for name in _SIZE_OPTIONS)]
        if self._resolved is None or self._resolved[0] != asked:
            resolved, self.size_line = size_choice.resolve(options)
            self._resolved = asked, resolved
        chosen = self._resolved[1]
        return options.model_copy(update={"size": chosen.size, "model": chosen.model})

    def log_runtime_messages(self) -> None:
        if self.size_line:
            logger().info(self.size_line)
        super().log_runtime_messages()

    def restart(self, options: DriveOptions) -> None:
        """Replace the drive by one with these options."""
        self._stop_recording()
        self.controls.close(end_bridge=options.connect is None)
        self.session.stop()
        self.options = options
        self.controls = Controls(self.meter, options.keys)
        edit, style, model = self.session.remap, self.session.style, self.session.options.model
        self.session = self.make_session(options)
        self.session.remap, self.session.guide = edit, self.chosen.current("guide")
        if options.model == model:  # another one may lack the style
            self.session.style = style
        self._last, self._late_warp, self.begun = None, LateWarp(), time.monotonic()
        self._time_ratio.restart()
        self._town_chart = None
        self.inputs.restart()
        self.follow_settings()
        self.session.start()
