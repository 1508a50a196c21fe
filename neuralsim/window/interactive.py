"""The loop with a window: the newest picture at once, every key at once."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from pathlib import Path

from neuralsim.base.log import logger

from neuralsim.window.window import Window, WindowError  # isort: skip (before pygame: it prepares SDL)

import pygame

from bridge.messages import Frame
from neuralsim.guide import GUIDES
from neuralsim.recording.mp4 import RecordingError
from neuralsim.renderer.remap import Remap, following
from neuralsim.session.loop import DriveLoop
from neuralsim.session.options import DriveOptions
from neuralsim.session.session import DriveError, PaintedFrame, follows_picture
from neuralsim.window.hud import HudState
from neuralsim.window.inputs import Inputs
from neuralsim.window.late_warp import LateWarp, compile_kernels

_BUSY = 0.010  # seconds between looks at the keys while pedals or steering move
_CALM = 0.050  # otherwise; events and pictures wake the loop up at once
_BANNER = 1.5  # s after which what is being waited for is said again
_REDRAW = 0.1  # seconds between drawings while no new picture comes
_REFRESH = 1.0 / 60.0  # or this, while the last one is moved instead
_SOON = 0.5 * _REFRESH
_STALLED = 0.25  # s after which a picture is no longer moved: its motion is unknown
_GRAPH = 120  # frames in the frame graph
_MEASURED = 0.25  # seconds between two looks at the measurement: numbers that flicker cannot be read
_SPEED = 0.2  # weight of the newest picture in how fast pictures come, simulated time goes and moving is


class WindowDrive(DriveLoop):
    """Shows pictures and sends what the driver wants; latest wins."""

    way_out = "set DISPLAY or use --headless"  # where there is no display

    def __init__(self, options: DriveOptions) -> None:
        super().__init__(options, _wake)
        try:
            self.window = Window(options.shown, 1.0 if options.show else 2.0)
        except WindowError as error:
            raise DriveError(f"{error}: {self.way_out}") from None
        self.hud = self.window.hud
        self.inputs = Inputs(self._act, self.window.choose, autopilot=options.autopilot)
        self.state = HudState(model=options.model)
        self._record_path = options.record  # where the next recording goes; None: none is wanted
        self._recording_clock = 0.0  # seconds of pauses, taken out of the recording
        self._resting = False  # the simulation was paused since the last picture
        self._last: PaintedFrame | None = None
        self._measured = 0.0  # when the HUD was given the measurement last
        self._graphed = 0  # frames in the graph so far
        self._late_warp = LateWarp()
        self._warping = options.late_warp
        self._speed = 1.0  # simulated seconds per second
        self._interval = 0.05  # s between pictures
        self._cost = 0.0  # s that moving one takes

    def drive(self) -> None:
        """Handle events, send controls, show pictures, until the driver leaves."""
        session, inputs = self.session, self.inputs
        session.start()
        if self._warping:
            threading.Thread(target=compile_kernels, name="late warp", daemon=True).start()
        begun = looked = time.monotonic()
        drawn, pause, troubled = 0.0, _BUSY, 0.0
        try:
            while not self.done:
                redraw = self._events(min(pause, self._due(drawn) - time.monotonic()))
                now = time.monotonic()
                before = inputs.wanted
                wanted = inputs.control(now - looked, self._last.frame.ego.speed if self._last else 0.0)
                wanted.rgb = self.window.needs_rgb or session.wants_picture
                pause = _CALM if wanted == before else _BUSY
                looked = now
                session.paused = wanted.paused
                self._resting = self._resting or wanted.paused
                self.controls.send(wanted, session.controls)
                picture = session.take(0.0)
                if picture is not None:
                    self._show(picture)
                    drawn = now
                elif session.error is not None:
                    raise session.error
                elif session.trouble and now - troubled > _BANNER:
                    self.hud.notify(session.trouble)
                    troubled = now
                elif self._last is None:
                    if now - drawn >= _CALM or redraw:
                        self.window.loading(list(session.steps.items()), now - begun)
                        drawn = now
                elif now >= self._due(drawn) - 0.001:
                    self._show_moved(self._last)
                    drawn = now
                elif redraw or now - drawn >= _REDRAW:
                    self._fill_state()
                    self.window.again(self.state)
                    drawn = now
        finally:
            self.window.close()

    def _events(self, pause: float) -> bool:
        """Wait for events up to ``pause`` seconds and handle all; True if the window must be drawn again."""
        redraw = False
        first = pygame.event.wait(max(round(pause * 1000), 1))
        for event in (first, *pygame.event.get()):
            if event.type == pygame.NOEVENT:
                continue
            self.inputs.handle(event)
            redraw = self.window.handle(event) or event.type == pygame.KEYDOWN or redraw
        return redraw

    def _show(self, picture: PaintedFrame) -> None:
        if self._last is None:
            self.hud.notify(
                "Watching: an observer's keys may not drive" if self.controls.observes else "Press H for help"
            )
            self.say_about_runtime()
            if self.session.note:
                self.hud.notify(self.session.note.partition(" (")[0])  # the terminal has the rest
        else:
            self._tell_changes(self._last, picture)
            self._keep_time(self._last.frame, picture.frame)
        self._last = picture
        if self._resting and self.meter.frames:
            gap = time.monotonic_ns() - self.meter.last
            self.meter.rest(gap)
            self._recording_clock += gap / 1e9
        self._resting = False
        self._fill_state()
        self._late_warp.frame(picture.frame)
        self.window.remap = picture.remap
        self.window.show(picture.frame, picture.neural, self.state)
        self.shown(picture)
        self._record(picture)

    def _due(self, drawn: float) -> float:
        """When (s) to show the last picture again, moved, after what was drawn last; infinity if not at all.

        A picture that is about to come is waited for: it would have to wait otherwise. Where moving takes long, it is
        done less often: half of the time belongs to others.
        """
        if self._last is None or not self._warping or self.inputs.wanted.paused:
            return math.inf
        shown = self._last.frame.stamps["displayed"] / 1e9
        due, following = drawn + max(_REFRESH, 2.0 * self._cost), shown + self._interval
        if due - shown > _STALLED:
            return math.inf
        return following + _SOON if abs(due - following) < _SOON else due

    def _show_moved(self, picture: PaintedFrame) -> None:
        """What the camera would see by now of the last picture."""
        begun = time.monotonic_ns()
        if self.session.newest is not None:
            self._late_warp.heard(self.session.newest)
        late = max(begun - picture.frame.stamps["displayed"], 0) / 1e9
        seconds = late * self._speed
        self._fill_state()
        self.window.again(self.state, lambda pixels, out: self._late_warp.moved(pixels, seconds, out))
        done = time.monotonic_ns()
        self._cost += _SPEED * ((done - begun) / 1e9 - self._cost)
        self.meter.moved(done, done - begun)

    def _keep_time(self, before: Frame, now: Frame) -> None:
        """How fast simulated time goes, seen at the window."""
        real = (time.monotonic_ns() - before.stamps["displayed"]) / 1e9
        simulated = now.sim_time - before.sim_time
        if 0.0 < simulated < 1.0 and 0.0 < real < 1.0:
            self._interval += _SPEED * (real - self._interval)
            self._speed += _SPEED * (min(max(simulated / real, 0.1), 2.0) - self._speed)

    def _tell_changes(self, before: PaintedFrame, now: PaintedFrame) -> None:
        old, new = before.frame, now.frame
        if new.weather_name and new.weather_name != old.weather_name:
            self.hud.notify(f"Weather: {new.weather_name}")
        if new.ego.collisions > old.ego.collisions:
            self.hud.notify("Collision")
        if new.notice and new.notice != old.notice:
            self.hud.notify(new.notice)

    def _fill_state(self) -> None:
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
        if self.hud.graph and meter.frames != self._graphed:
            self._graphed = meter.frames
            state.graph = meter.stages(_GRAPH)
        state.warping = self._warping
        state.paused, state.reverse = wanted.paused, wanted.reverse
        state.recording = self.recorded_seconds if self.recorder is not None else None
        state.device = self.inputs.device_name

    def _town(self) -> str:
        options = self.options
        return options.connect or (f"CARLA at {options.carla}" if options.carla else Path(options.town).stem)

    def _record(self, picture: PaintedFrame) -> None:
        """Hand the picture to the recorder, opening it first where one is wanted."""
        try:
            if self._record_path is not None:
                path, self._record_path = self._record_path, None
                self._recording_clock = 0.0
                self.start_recording(path, picture)
                self.hud.notify(f"Recording to {path}")
            if self.recorder is not None:
                self.recorder.write(picture.neural, picture.frame.stamps["displayed"] / 1e9 - self._recording_clock)
                if self.recorder.error is not None:
                    raise RecordingError(self.recorder.error)
        except RecordingError as error:
            logger().warning(error)
            self.hud.notify("Recording stopped: see the terminal")
            self._stop_recording()

    def _stop_recording(self) -> Path | None:
        if self.recorder is None:
            return None
        path = self.recorder.path
        self.recorder.close()
        self.recorder = None
        return path

    def _act(self, command: str) -> None:
        """Carry out what a key asks for (``Inputs`` has already changed what it says to the bridge)."""
        wanted = self.inputs.wanted
        if command == "quit":
            self.interrupted = True
        elif command == "help":
            self.hud.help = not self.hud.help
        elif command == "hud":
            self.hud.visible = not self.hud.visible
        elif command == "graph":
            self.hud.graph = not self.hud.graph
        elif command == "guide":
            self._next_guide()
        elif command == "late_warp":
            self._warping = not self._warping
            self.hud.notify("Late warp on" if self._warping else "Late warp off")
        elif command == "style":
            self._next_style()
        elif command == "edit":
            session = self.session
            session.remap = following(session.remap, Remap.parse(self.options.remap or ""))
            self.hud.notify(f"Edit: {session.remap.words or 'none'}")
        elif command == "record":
            if self.recorder is None:
                self._record_path = self.options.recordings / time.strftime("drive-%Y%m%d-%H%M%S.mp4")
            else:
                self.hud.notify(f"Saved {self._stop_recording()}")
        elif command == "screenshot":
            self._screenshot()
        elif command == "autopilot":
            self.hud.notify("Autopilot on" if wanted.autopilot else "Autopilot off: you drive")
        elif command == "take_over":
            self.hud.notify("You drive: autopilot off")
        elif command == "respawn":
            self.hud.notify("Respawn")
        elif command == "reverse":
            gear = "Reverse" if wanted.reverse else "Forward"
            self.hud.notify("The autopilot drives: press P to drive" if wanted.autopilot else gear)
        elif command == "plugged_in":
            self.hud.notify(f"{self.inputs.device_name} connected")
        elif command == "unplugged":
            self.hud.notify("Controller unplugged")

    def _next_guide(self) -> None:
        session = self.session
        if not follows_picture(session.options.model, GUIDES[0]):
            self.hud.notify("This model takes no guide")
            return
        session.guide = GUIDES[(GUIDES.index(session.guide) + 1) % len(GUIDES)]
        self.hud.notify(f"Guide: {session.guide}")

    def _next_style(self) -> None:
        session = self.session
        if not session.styles:
            self.hud.notify("No styles to choose from")
            return
        styles = [None, *session.styles]
        session.style = styles[(styles.index(session.style) + 1) % len(styles)]
        self.hud.notify(f"Style: {session.style or 'of the weather'}")

    def _screenshot(self) -> None:
        if self._last is None:
            return
        try:
            self.hud.notify(f"Saved {self.window.screenshot(self.options.recordings)}")
        except OSError as error:
            self.hud.notify(f"No screenshot: {error}")


def _wake() -> None:
    """Called by the painting thread: let the loop look."""
    with contextlib.suppress(pygame.error):  # the queue is full or the window is closing: it looks anyway
        pygame.event.post(pygame.event.Event(pygame.USEREVENT))
