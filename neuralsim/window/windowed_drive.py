"""The drive in a window: its events, what is drawn, what only a window has."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from neuralsim.base.log import logger

from neuralsim.window.window import Window, WindowError  # isort: skip (before pygame: it prepares SDL)

import pygame

from bridge.messages import Control, Frame
from bridge.process.settings import SettingsError
from bridge.size import Size
from neuralsim.drive import settings
from neuralsim.drive.driver_input import Axes
from neuralsim.drive.interactive_drive import InteractiveDrive, Move
from neuralsim.drive.settings import CockpitSettings
from neuralsim.session.options import DriveOptions
from neuralsim.session.painting_loop import DriveError, PaintedFrame
from neuralsim.window.feedback import Feel
from neuralsim.window.inputs import Inputs
from neuralsim.window.overlay_cards import Loading
from neuralsim.window.pause_menu import PauseMenu
from neuralsim.window.tutorial import Tutorial

_GRAPH = 120  # frames in the frame graph


class WindowDrive(InteractiveDrive):
    """Shows pictures and sends what the driver wants; latest wins."""

    keeps_settings = True  # whether the driver's file of choices is read and written
    way_out = "set DISPLAY or use --headless"  # where there is no display
    inputs: Inputs

    def __init__(self, options: DriveOptions) -> None:
        self._file = settings.path()
        try:
            chosen = settings.load(self._file) if self.keeps_settings else CockpitSettings()
            super().__init__(options, chosen, _wake)
            options = self.options
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
        self._pages = PauseMenu(self)
        self.feel = Feel(chosen, self.window.jolt)
        self._graphed = 0  # frames in the graph so far
        self.follow_settings()

    @property
    def needs_rgb(self) -> bool:
        return self.window.needs_rgb

    @property
    def chart(self) -> str:
        return self.hud.minimap.chart.name if self.hud.minimap.chart else "?"

    def notify(self, text: str) -> None:
        self.hud.notify(text)

    def close(self) -> None:
        self.feel.sound.stop()
        super().close()
        self._remember()
        self.window.close()

    def heed(self, wanted: Control) -> None:
        wanted.mirror = self.hud.mirror.on
        self.feel.sound.muted = wanted.paused
        self.feel.sound.heard.horn = self.inputs.holds("horn")  # at once, whatever the pictures do

    def events(self, pause: float) -> bool:
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
            self.go(None)
        elif place is not None and event.button == 1:
            minimap.large = False
            self.go(place)
        return large or minimap.large

    def show_waiting(self) -> None:
        session = self.session
        self.window.loading(Loading(list(session.steps.items()), time.monotonic() - self.begun, session.doing))

    def first_picture(self) -> None:
        self.feel.sound.start()
        if self.controls.observes:
            self.hud.tutorial.skip()
            self.hud.notify("Watching: an observer's keys may not drive")
        elif not self.hud.tutorial.active:
            self.hud.notify("Press H for help")
        super().first_picture()

    def show_new(self, picture: PaintedFrame) -> None:
        device = self.inputs.device
        said = self.feel.frame(picture.frame, device.joystick if device else None)
        if said:
            self.hud.notify(said)
        self._teach(picture.frame)
        if picture.frame.chart is not None:
            self.hud.minimap.chart = picture.frame.chart
        self.hud.mirror.frame(picture.frame)
        self.window.remap = picture.remap
        self.window.show(picture.frame, picture.neural, self.state)

    def show_again(self, move: Move | None = None) -> None:
        self.window.again(self.state, move)

    def _teach(self, frame: Frame) -> None:
        """Go on with the first steps; once they are over they are not shown again."""
        tutorial = self.hud.tutorial
        if tutorial.active:
            tutorial.frame(frame.ego, frame.sim_time)
            if not tutorial.active:
                self.choose("tutorial", False)

    def fill_state(self) -> None:
        super().fill_state()
        self.state.device = self.inputs.device_name
        if self.hud.graph and self.meter.frames != self._graphed:
            self._graphed = self.meter.frames
            self.state.graph = self.meter.stages(_GRAPH)

    def act(self, command: str) -> None:
        hud = self.hud
        if command == "menu":
            self._open_menu()
        elif command == "help":
            hud.help.turn()
        elif command == "hud":
            hud.visible = not hud.visible
        elif command == "full_hud":
            hud.full = not hud.full
        elif command == "skip":
            if hud.tutorial.active:
                hud.tutorial.skip()
                self.choose("tutorial", False)
        elif command == "map":
            hud.minimap.large = not hud.minimap.large
        elif command == "mirror":
            self.choose("mirror", not self.settings.mirror)
            hud.notify("Rear mirror on" if self.settings.mirror else "Rear mirror off")
        elif command == "fullscreen":
            self.window.toggle_fullscreen()
        elif command == "graph":
            hud.graph = not hud.graph
        elif command in ("screenshot", "screenshot_dressed"):
            self._screenshot(dressed=command == "screenshot_dressed")
        elif command == "plugged_in":
            hud.notify(f"{self.inputs.device_name} connected")
        elif command == "unplugged":
            hud.notify("Controller unplugged")
        else:
            super().act(command)

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

    def choose(self, name: str, value: Any) -> None:
        """Change a setting, and keep it; what can be changed at once is."""
        super().choose(name, value)
        self._keep()

    def keep_axes(self, axes: Axes) -> None:
        """Read the device by these axes, now and whenever it is plugged in."""
        self.inputs.calibrate(axes)
        self.choose("axes", {**self.settings.axes, self.inputs.device_name: axes})

    def start_anew(self, options: DriveOptions) -> None:
        self.menu.close()
        self.hud.minimap.chart = None
        super().start_anew(options)

    def follow_settings(self) -> None:
        super().follow_settings()
        chosen = self.settings
        self.inputs.bind(chosen.keys)
        self.hud.minimap.visible, self.hud.mirror.on = chosen.minimap, chosen.mirror
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
