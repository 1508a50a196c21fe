"""The drive in a window: events, display, and the features that only a window has."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

from neuralsim.base.log import logger

from neuralsim.window.window import NO_DISPLAY, Window, WindowError, open_display  # isort: skip (before pygame)

import pygame

from bridge.messages import Control, Frame
from bridge.process.settings import SettingsError
from bridge.size import Size
from neuralsim.drive import settings
from neuralsim.drive.driver_input import Axes
from neuralsim.drive.interactive_drive import InteractiveDrive, Warp
from neuralsim.drive.settings import CockpitSettings
from neuralsim.session.options import DriveOptions
from neuralsim.session.render_loop import DriveError, RenderedFrame
from neuralsim.window.feedback import Feedback
from neuralsim.window.inputs import Inputs
from neuralsim.window.overlay_cards import Loading
from neuralsim.window.pads import Pads
from neuralsim.window.pause_menu import STARTING, PauseMenu
from neuralsim.window.tutorial import Tutorial

_GRAPH = 120  # frames in the frame graph
_WIDTH = 1024  # px of a new window, at least, where the size of frames is chosen for the driver


class WindowDrive(InteractiveDrive):
    """The interactive drive in a window."""

    keeps_settings = True  # whether the driver's settings file is read and written
    no_display_hint = NO_DISPLAY
    inputs: Inputs

    def __init__(self, options: DriveOptions) -> None:
        self._file = settings.path()
        self.records_folder = self._file.parent if self.keeps_settings else None
        try:
            open_display()  # before the seconds in which the size is measured
            chosen = settings.load(self._file) if self.keeps_settings else CockpitSettings()
            super().__init__(options, chosen, _wake)
            options = self.options
            scale = 1.0 if options.show else max(2.0, _WIDTH / options.shown.width if self.size_line else 0.0)
            self.window = Window(options.shown, scale, window_size=chosen.window, fullscreen=chosen.fullscreen)
        except WindowError as error:
            raise DriveError(f"{error}: {self.no_display_hint}") from None
        except SettingsError as error:
            raise DriveError(str(error)) from None
        self._opened = self.window.windowed
        self.hud = self.window.hud
        learning = chosen.tutorial and self.keeps_settings and not options.autopilot and options.frames is None
        self.hud.tutorial = Tutorial(learning and options.scenario is None)
        self.menu = self.window.menu
        self.menu.changed = self._menu_changed
        self._was_paused = False  # before the menu was opened
        self.inputs = Inputs(self.carry_out, self.window.choose, autopilot=options.autopilot)
        self.inputs.axes = dict(chosen.axes)
        self._pads = Pads()
        self.feedback = Feedback(chosen, self.window.jolt)
        self._pages = PauseMenu(self, self.menu, self.inputs, self.feedback, self.keep_axes)
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
        self.feedback.sound.stop()
        super().close()
        self._save_window()
        self.window.close()

    def before_send(self, control: Control) -> None:
        control.mirror, control.wing_mirrors = self.hud.mirrors.rear, self.hud.mirrors.wings
        self.feedback.sound.muted = control.paused
        self.feedback.sound.state.horn = self.inputs.is_held("horn")  # without waiting for a frame

    def events(self, pause: float) -> bool:
        redraw = False
        first = pygame.event.wait(max(round(pause * 1000), 1))
        for raw in (first, *pygame.event.get()):
            event = self._pads.translated(raw)
            if event is None or event.type == pygame.NOEVENT:
                continue
            if self.menu.handle(event):
                redraw = True
                continue
            if event.type == pygame.MOUSEBUTTONDOWN and self._map_click(event):
                redraw = True
                continue
            self.inputs.handle(event)
            redraw = self.window.handle(event) or event.type == pygame.KEYDOWN or redraw
            if self.hud.full != self.settings.full_hud:  # a click on it
                self.choose("full_hud", self.hud.full)
        return redraw

    def _map_click(self, event: pygame.event.Event) -> bool:
        """Handle a click on the map, which sets or (right) clears the destination; return whether it was on the map."""
        minimap = self.hud.minimap
        large = minimap.large
        place = minimap.clicked(event.pos)
        if large and event.button == 3:
            self.navigate_to(None)
        elif place is not None and event.button == 1:
            minimap.large = False
            self.navigate_to(place)
        return large or minimap.large

    def show_waiting(self) -> None:
        session = self.session
        self.window.loading(Loading(list(session.steps.items()), time.monotonic() - self.begun, session.doing))

    def first_frame(self) -> None:
        self.feedback.sound.start()
        if self.menu.title == STARTING:  # the question is answered
            self.menu.close()
        if self.controls.observes:
            self.hud.tutorial.skip()
            self.hud.notify("Watching only: these keys do not permit driving")
        elif not self.hud.tutorial.active:
            self.hud.notify("Press H for help")
        super().first_frame()

    def show_new(self, rendered: RenderedFrame) -> None:
        device = self.inputs.device
        message = self.feedback.update(rendered.frame, device.joystick if device else None)
        if message:
            self.hud.notify(message)
        self._update_tutorial(rendered.frame)
        if rendered.frame.chart is not None:
            self.hud.minimap.chart = rendered.frame.chart
        self.hud.mirrors.update(rendered.frame.sim_time, rendered.mirrors)
        self.window.remap = rendered.remap
        self.window.shows_bonnet = not self.session.options.dashcam
        self.window.show(rendered.frame, rendered.neural, self.state)

    def show_again(self, warp: Warp | None = None) -> None:
        self.window.again(self.state, warp)

    def _update_tutorial(self, frame: Frame) -> None:
        """Advance the tutorial; once it is over, it is not shown again."""
        tutorial = self.hud.tutorial
        if tutorial.active:
            tutorial.update(frame.ego, frame.sim_time)
            if not tutorial.active:
                self.choose("tutorial", False)

    def fill_state(self) -> None:
        super().fill_state()
        self.state.device = self.inputs.device_name
        if self.hud.graph and self.meter.frames != self._graphed:
            self._graphed = self.meter.frames
            self.state.graph = self.meter.stages(_GRAPH)

    def _commands(self) -> dict[str, Callable[[], object]]:
        return super()._commands() | {
            "menu": self._open_menu,
            "help": lambda: self.hud.help.turn(),
            "hud": lambda: _flip(self.hud, "visible"),
            "full_hud": lambda: self._toggle("full_hud"),
            "skip": self._skip,
            "map": lambda: _flip(self.hud.minimap, "large"),
            "mirror": self._next_mirrors,
            "dashboard": lambda: f"Dashboard {'on' if self._toggle('dashboard') else 'off'}",
            "fullscreen": lambda: self._toggle("fullscreen"),
            "graph": lambda: _flip(self.hud, "graph"),
            "screenshot": lambda: self._screenshot(with_hud=False),
            "screenshot_with_hud": lambda: self._screenshot(with_hud=True),
            "plugged_in": lambda: f"{self.inputs.device_name} connected",
            "unplugged": lambda: "Controller disconnected",
        }

    def _toggle(self, name: str) -> bool:
        self.choose(name, not getattr(self.settings, name))
        return bool(getattr(self.settings, name))

    def _skip(self) -> None:
        """Close the card, or else end the tutorial."""
        if self.tasks.card is not None:
            self.tasks.close_card()
        elif self.hud.tutorial.active:
            self.hud.tutorial.skip()
            self.choose("tutorial", False)

    def _next_mirrors(self) -> str:
        """Switch from no mirror to the rear mirror, to all three, and back."""
        rear, wings = self.settings.mirror, self.settings.wing_mirrors
        self.choose("mirror", not (rear and wings))
        self.choose("wing_mirrors", rear and not wings)
        on = "All mirrors" if self.settings.wing_mirrors else "Rear mirror"
        return f"{on} on" if self.settings.mirror else "Mirrors off"

    def _open_menu(self) -> None:
        """Close an overlay, or else open the menu; before the first frame, ask whether to quit."""
        if self.hud.help.page is not None or self.hud.minimap.large:
            self.hud.help.close()
            self.hud.minimap.large = False
        elif self._last is None:
            self.menu.open(self._pages.leave())
        else:
            self.menu.open(self._pages.first())

    # Choices of the menu

    def choose(self, name: str, value: Any) -> None:
        """Change a setting and save it; it takes effect immediately if possible."""
        super().choose(name, value)
        self._save()

    def keep_axes(self, axes: Axes) -> None:
        """Use these axes for the device, now and whenever it is plugged in."""
        self.inputs.calibrate(axes)
        self.choose("axes", {**self.settings.axes, self.inputs.device_name: axes})

    def restart(self, options: DriveOptions) -> None:
        self.menu.close()
        self.hud.minimap.chart = None
        super().restart(options)

    def follow_settings(self) -> None:
        super().follow_settings()
        chosen = self.settings
        self.inputs.bind(chosen.keys)
        self.hud.minimap.visible = chosen.minimap
        self.hud.mirrors.rear, self.hud.mirrors.wings = chosen.mirror, chosen.wing_mirrors
        self.hud.full, self.hud.dashboard.on = chosen.full_hud, chosen.dashboard
        self.window.grain = chosen.grain
        if self.window.fullscreen != chosen.fullscreen:
            self.window.toggle_fullscreen()
        self.feedback.settings, self.feedback.sound.volume = chosen, chosen.volume

    def _save(self) -> None:
        if not self.keeps_settings:
            return
        try:
            settings.save(self._file, self.settings)
        except OSError as error:
            logger().warning(f"cannot save the settings: {error}")

    def _menu_changed(self, shown: bool) -> None:
        """Pause the simulation while the menu is open."""
        if shown:
            self._was_paused = self.inputs.requested.paused
            self.inputs.release_all()
        self.inputs.pause((shown and self._last is not None) or self._was_paused)

    def _save_window(self) -> None:
        if self.window.windowed != self._opened:
            self.choose("window", Size(*self.window.windowed))

    def _screenshot(self, with_hud: bool) -> str:
        if self._last is None:
            return ""
        try:
            return f"Saved {self.window.screenshot(self.options.recordings, with_hud=with_hud)}"
        except OSError as error:
            return f"No screenshot: {error}"


def _flip(owner: object, name: str) -> None:
    setattr(owner, name, not getattr(owner, name))


def _wake() -> None:
    with contextlib.suppress(pygame.error):  # the queue is full or the window is closing: harmless
        pygame.event.post(pygame.event.Event(pygame.USEREVENT))
