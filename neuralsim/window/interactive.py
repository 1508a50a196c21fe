"""The loop with a window: the newest picture at once, every key at once."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from neuralsim.base.log import logger

from neuralsim.window.window import Window, WindowError  # isort: skip (before pygame: it prepares SDL)

import pygame

from bridge.messages import Frame
from bridge.process.settings import SettingsError
from bridge.size import Size
from neuralsim.recording.mp4 import RecordingError
from neuralsim.renderer.remap import Remap, following
from neuralsim.session.drive_recording import DriveRecording
from neuralsim.session.loop import Controls, DriveLoop
from neuralsim.session.options import DriveOptions
from neuralsim.session.session import DriveError, DriveSession, PaintedFrame
from neuralsim.window import settings
from neuralsim.window.cards import Loading
from neuralsim.window.feel import Feel
from neuralsim.window.hud import HudState
from neuralsim.window.inputs import Axes, Inputs
from neuralsim.window.late_warp import LateWarp, compile_kernels
from neuralsim.window.pause import PauseMenu
from neuralsim.window.settings import CockpitSettings
from neuralsim.window.tutorial import Tutorial

_BUSY = 0.010  # seconds between looks at the keys while pedals or steering move
_CALM = 0.050  # otherwise; events and pictures wake the loop up at once
_BANNER = 1.5  # s after which what is being waited for is said again
_REDRAW = 0.1  # seconds between drawings while no new picture comes
_REFRESH = 1.0 / 60.0  # or this, while the last one is moved instead
_SOON = 0.5 * _REFRESH
_STALLED = 0.25  # s after which a picture is no longer moved: its motion is unknown
_GRAPH = 120  # frames in the frame graph
_MEASURED = 0.25  # seconds between two looks at the measurement: numbers that flicker cannot be read
#: Options that a drive begins with: another value needs a new start.
_ANEW = ("town", "vehicles", "walkers", "model", "size", "show")
#: Options that a setting stands for, where they have other names.
_OPTIONS = {"traffic": ("vehicles", "walkers"), "quality": ("size",), "upscaling": ("show",)}
_SPEED = 0.2  # weight of the newest picture in how fast pictures come, simulated time goes and moving is


class WindowDrive(DriveLoop):
    """Shows pictures and sends what the driver wants; latest wins."""

    keeps_settings = True  # whether the driver's file of choices is read and written
    way_out = "set DISPLAY or use --headless"  # where there is no display

    def __init__(self, options: DriveOptions) -> None:
        self._file = settings.path()
        try:
            self.settings = chosen = settings.load(self._file) if self.keeps_settings else CockpitSettings()
            self._given = options  # by the command line alone
            options = chosen.applied(options)
            super().__init__(options, _wake)
            self.window = Window(
                options.shown, 1.0 if options.show else 2.0, wanted=chosen.window, fullscreen=chosen.fullscreen
            )
        except WindowError as error:
            raise DriveError(f"{error}: {self.way_out}") from None
        except SettingsError as error:
            raise DriveError(str(error)) from None
        self._opened = self.window.windowed
        self.hud = self.window.hud
        self.hud.full, self.hud.minimap.visible = chosen.full_hud, chosen.minimap
        learning = chosen.tutorial and self.keeps_settings and not options.autopilot and options.frames is None
        self.hud.tutorial = Tutorial(learning and options.scenario is None)
        self.menu = self.window.menu
        self.menu.changed = self._menu_changed
        self._was_paused = False  # before the menu was opened
        self.inputs = Inputs(self.act, self.window.choose, autopilot=options.autopilot)
        self.inputs.axes = dict(chosen.axes)
        self._begun = time.monotonic()
        self._pages = PauseMenu(self)
        self.feel = Feel(chosen, self.window.jolt)
        self._follow_settings()
        self.state = HudState(model=options.model)
        self._record_path = options.record  # where the next recording goes; None: none is wanted
        self._recording: DriveRecording | None = None  # that R began
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
        inputs = self.inputs
        self.session.start()
        if self._warping:
            threading.Thread(target=compile_kernels, name="late warp", daemon=True).start()
        looked = self._begun = time.monotonic()
        drawn, pause, troubled = 0.0, _BUSY, 0.0
        try:
            while not self.done:
                redraw = self._events(min(pause, self._due(drawn) - time.monotonic()))
                now, session = time.monotonic(), self.session
                before = inputs.wanted
                wanted = inputs.control(now - looked, self._last.frame.ego.speed if self._last else 0.0)
                wanted.rgb = self.window.needs_rgb or session.wants_picture
                wanted.camera = inputs.camera(wanted.reverse and self.settings.reversing_view)
                wanted.chart = self.hud.minimap.chart.name if self.hud.minimap.chart else "?"
                pause = _CALM if wanted == before else _BUSY
                looked = now
                session.paused = self.feel.sound.muted = wanted.paused
                self.feel.sound.heard.horn = inputs.holds("horn")  # at once, whatever the pictures do
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
                        self.window.loading(Loading(list(session.steps.items()), now - self._begun, session.doing))
                        drawn = now
                elif now >= self._due(drawn) - 0.001:
                    self._show_moved(self._last)
                    drawn = now
                elif redraw or now - drawn >= _REDRAW:
                    self._fill_state()
                    self.window.again(self.state)
                    drawn = now
        finally:
            self.feel.sound.stop()
            self._stop_recording()
            self._remember()
            self.window.close()

    def _events(self, pause: float) -> bool:
        """Wait for events up to ``pause`` seconds and handle all; True if the window must be drawn again."""
        redraw = False
        first = pygame.event.wait(max(round(pause * 1000), 1))
        for event in (first, *pygame.event.get()):
            if event.type == pygame.NOEVENT:
                continue
            if self.menu.handle(event):
                redraw = True
                continue
            if event.type == pygame.MOUSEBUTTONDOWN and self._pointed(event):
                redraw = True
                continue
            self.inputs.handle(event)
            redraw = self.window.handle(event) or event.type == pygame.KEYDOWN or redraw
        return redraw

    def _pointed(self, event: pygame.event.Event) -> bool:
        """A click on the map: where to go, or (right) nowhere any more; True if it was on it."""
        minimap = self.hud.minimap
        large = minimap.large
        place = minimap.clicked(event.pos)
        if large and event.button == 3:
            self.inputs.go(None)
            self.hud.notify("Navigation ended")
        elif place is not None and event.button == 1:
            self.inputs.go(place)
            minimap.large = False
            self.hud.notify("On the way there: P lets the autopilot drive it")
        return large or minimap.large

    def _show(self, picture: PaintedFrame) -> None:
        if self._last is None:
            self.feel.sound.start()
            if self.controls.observes:
                self.hud.tutorial.skip()
                self.hud.notify("Watching: an observer's keys may not drive")
            elif not self.hud.tutorial.active:
                self.hud.notify("Press H for help")
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
        device = self.inputs.device
        said = self.feel.frame(picture.frame, device.joystick if device else None)
        if said:
            self.hud.notify(said)
        self._teach(picture.frame)
        if picture.frame.chart is not None:
            self.hud.minimap.chart = picture.frame.chart
        self._late_warp.frame(picture.frame)
        self.window.remap = picture.remap
        self.window.show(picture.frame, picture.neural, self.state)
        self.shown(picture)
        self._record(picture)

    def _teach(self, frame: Frame) -> None:
        """Go on with the first steps; once they are over they are not shown again."""
        tutorial = self.hud.tutorial
        if tutorial.active:
            tutorial.frame(frame.ego, frame.sim_time)
            if not tutorial.active:
                self.choose("tutorial", False)

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
        writing = self._recording or self.recorder
        state.recording = self.recorded_seconds if writing is not None else None
        state.recorded_to = str(writing.path) if writing is not None else ""
        state.device = self.inputs.device_name
        state.units = self.settings.units

    def _town(self) -> str:
        options = self.options
        return options.connect or (f"CARLA at {options.carla}" if options.carla else Path(options.town).stem)

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
                        DriveRecording(path, picture, self.session),
                        time.monotonic(),
                    )
                self.hud.notify(f"Recording to {path}")
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
            self.hud.notify("Recording stopped: see the terminal")
            self._stop_recording()

    def _stop_recording(self) -> Path | None:
        writing = self._recording or self.recorder
        if writing is None:
            return None
        writing.close()
        self._recording = self.recorder = None
        return writing.path

    def act(self, command: str) -> None:
        """Carry out what a key asks for (``Inputs`` has already changed what it says to the bridge)."""
        wanted = self.inputs.wanted
        if command == "quit":
            self.interrupted = True
        elif command == "menu":
            self._open_menu()
        elif command == "help":
            self.hud.help.turn()
        elif command == "hud":
            self.hud.visible = not self.hud.visible
        elif command == "full_hud":
            self.hud.full = not self.hud.full
        elif command == "skip":
            if self.hud.tutorial.active:
                self.hud.tutorial.skip()
                self.choose("tutorial", False)
        elif command == "map":
            self.hud.minimap.large = not self.hud.minimap.large
        elif command == "camera":
            self.hud.notify(self.inputs.next_camera())
        elif command == "fullscreen":
            self.window.toggle_fullscreen()
        elif command == "graph":
            self.hud.graph = not self.hud.graph
        elif command == "guide":
            self.hud.notify(self.session.next_guide())
        elif command == "late_warp":
            self._warping = not self._warping
            self.hud.notify("Late warp on" if self._warping else "Late warp off")
        elif command == "style":
            self.hud.notify(self.session.next_style())
        elif command == "edit":
            session = self.session
            session.remap = following(session.remap, Remap.parse(self.options.remap or ""))
            self.hud.notify(f"Edit: {session.remap.words or 'none'}")
        elif command == "record":
            if self.recorder is None and self._recording is None:
                self._record_path = self.options.recordings / time.strftime("drive-%Y%m%d-%H%M%S")
            else:
                self.hud.notify(f"Saved {self._stop_recording()}")
        elif command in ("screenshot", "screenshot_dressed"):
            self._screenshot(dressed=command == "screenshot_dressed")
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

    def _open_menu(self) -> None:
        """Pause and offer what there is; what has nothing to lose yet is left at once."""
        if self.hud.help.page is not None or self.hud.minimap.large:
            self.hud.help.close()
            self.hud.minimap.large = False
        elif self._last is None:
            self.interrupted = True
        else:
            self.menu.open(self._pages.first())

    # Choices of the menu

    @property
    def own_town(self) -> bool:
        """Whether this drive started its town itself, and may start another one."""
        given = self.options
        return all(value is None for value in (given.carla, given.connect, given.scenario, given.sumo))

    def choose(self, name: str, value: Any) -> None:
        """Change a setting, and keep it; what can be changed at once is."""
        self.settings = self.settings.model_copy(update={name: value})
        self._given = self._given.model_copy()
        for option in _OPTIONS.get(name, (name,)):  # the driver has changed their mind
            self._given.model_fields_set.discard(option)
        if name == "guide":
            self.session.guide = value
        self._follow_settings()
        self._keep()

    def keep_axes(self, axes: Axes) -> None:
        """Read the device by these axes, now and whenever it is plugged in."""
        self.inputs.calibrate(axes)
        self.choose("axes", {**self.settings.axes, self.inputs.device_name: axes})

    def apply_choices(self) -> None:
        """Start the simulator anew where what was chosen needs that; the window stays."""
        wanted = self.settings.applied(self._given)
        if any(getattr(wanted, name) != getattr(self.options, name) for name in _ANEW):
            self.menu.close()
            self._start_anew(wanted)

    def _start_anew(self, options: DriveOptions) -> None:
        self._stop_recording()
        self.controls.close(end_bridge=options.connect is None)
        self.session.stop()
        self.options = options
        self.controls = Controls(self.meter, options.keys)
        self.session = DriveSession(options, _wake)
        self.session.guide = options.guide
        self._last, self._late_warp, self._begun = None, LateWarp(), time.monotonic()
        self.hud.minimap.chart = None
        self.inputs.go(None)
        self.session.start()

    def _follow_settings(self) -> None:
        """Do as the settings say, as far as it needs no new start."""
        chosen, inputs = self.settings, self.inputs
        inputs.sharpness = chosen.steering
        inputs.bind(chosen.keys)
        inputs.wanted = replace(inputs.wanted, preset=chosen.weather or "", minutes=chosen.minutes)
        self.hud.minimap.visible = chosen.minimap
        self.feel.settings, self.feel.sound.volume = chosen, chosen.volume

    def _keep(self) -> None:
        if not self.keeps_settings:
            return
        try:
            settings.save(self._file, self.settings)
        except OSError as error:
            logger().warning(f"cannot keep the settings: {error}")

    def _menu_changed(self, shown: bool) -> None:
        """The menu has been opened or closed: the simulation stands while it is open."""
        if shown:
            self._was_paused = self.inputs.wanted.paused
            self.inputs.release()
        self.inputs.pause(shown or self._was_paused)

    def _remember(self) -> None:
        """Keep what was changed about the window by hand."""
        window, chosen = self.window, self.settings.model_copy()
        if window.windowed != self._opened:
            chosen.window = Size(*window.windowed)
        chosen.fullscreen, chosen.full_hud = window.fullscreen, self.hud.full
        if chosen != self.settings:
            self.settings = chosen
            self._keep()

    def _screenshot(self, dressed: bool) -> None:
        if self._last is None:
            return
        try:
            self.hud.notify(f"Saved {self.window.screenshot(self.options.recordings, dressed=dressed)}")
        except OSError as error:
            self.hud.notify(f"No screenshot: {error}")


def _wake() -> None:
    """Called by the painting thread: let the loop look."""
    with contextlib.suppress(pygame.error):  # the queue is full or the window is closing: it looks anyway
        pygame.event.post(pygame.event.Event(pygame.USEREVENT))
