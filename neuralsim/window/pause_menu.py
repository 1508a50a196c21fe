"""What the menu over a paused drive offers: going on, choosing, binding keys, calibrating a wheel, leaving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pygame

from neuralsim.drive.keys import ACTIONS
from neuralsim.drive.menu_choices import REVERSING_VIEW, UNITS, Choice, picture_choices, switch
from neuralsim.window.calibration import Calibration
from neuralsim.window.inputs import key_name
from neuralsim.window.menu import MenuItem, MenuPage

if TYPE_CHECKING:
    from neuralsim.window.windowed_drive import WindowDrive

_STEP = 0.1  # by which shares change


class PauseMenu:
    """The pages, for one drive. What is chosen is kept and takes effect at once, or when the page is left."""

    def __init__(self, drive: WindowDrive) -> None:
        self._drive = drive
        self._menu = drive.menu

    def first(self) -> MenuPage:
        """What is shown when the drive is paused."""
        return MenuPage("Paused", self._first_items)

    def _first_items(self) -> list[MenuItem]:
        menu, then = self._menu, self._then
        return [
            MenuItem("Resume", menu.close, hint="Esc or Start does the same."),
            MenuItem("Map", then("map"), hint="Click where to go; the autopilot drives there. M does the same."),
            MenuItem(
                "Place and picture", self._opens("Place and picture", self._picture_items, self._drive.apply_choices)
            ),
            MenuItem("Cockpit", self._opens("Cockpit", self._cockpit_items)),
            MenuItem("Keys", self._opens("Keys", self._key_items)),
            MenuItem("Wheel or gamepad", self._opens("Wheel or gamepad", self._device_items)),
            MenuItem("Respawn", then("respawn"), hint="On from another place, at rest."),
            MenuItem("All keys", then("help"), hint="H shows them at any time."),
            MenuItem("Quit", lambda: self._drive.act("quit"), hint="Ends the drive; a recording is finished first."),
        ]

    def _then(self, command: str) -> Callable[[], None]:
        def carry_out() -> None:
            self._menu.close()
            self._drive.act(command)

        return carry_out

    def _opens(
        self, title: str, items: Callable[[], Sequence[MenuItem]], closed: Callable[[], None] | None = None
    ) -> Callable[[], None]:
        return lambda: self._menu.open(MenuPage(title, items, closed))

    # Choices

    def _choice(self, choice: Choice) -> MenuItem:
        """An item for a setting that is one of several values."""
        drive, count = self._drive, len(choice.values)

        def change(by: int) -> None:
            drive.choose(choice.name, choice.values[(choice.at(drive.settings) + by) % count])

        return MenuItem(
            choice.label, value=lambda: choice.shown[choice.at(drive.settings)], change=change, hint=choice.hint
        )

    def _share(self, label: str, name: str, most: float, least: float = 0.0, hint: str = "") -> MenuItem:
        def change(by: int) -> None:
            value = round(getattr(self._drive.settings, name) + by * _STEP, 2)
            self._drive.choose(name, min(max(value, least), most))

        return MenuItem(label, value=lambda: f"{getattr(self._drive.settings, name):.0%}", change=change, hint=hint)

    def _picture_items(self) -> list[MenuItem]:
        return [self._choice(choice) for choice in picture_choices(self._drive)]

    def _cockpit_items(self) -> list[MenuItem]:
        return [
            self._choice(UNITS),
            self._choice(switch("Map in the corner", "minimap")),
            self._choice(switch("Rear mirror", "mirror", "The simulator's picture of what is behind. At once, as Z.")),
            self._choice(REVERSING_VIEW),
            self._share("Sound", "volume", 1.0, hint="Engine, tyres, wind, blows. From silence: at the next start."),
            self._choice(switch("Jolts", "jolts", "Shake the picture when something is hit.")),
            self._share("Steering of keys", "steering", 2.0, 0.3, "How sharply the car turns while a key is held."),
            self._share("Force feedback", "force_feedback", 1.0, hint="How hard a gamepad or wheel shakes."),
        ]

    # Keys

    def _key_items(self) -> list[MenuItem]:
        inputs = self._drive.inputs

        def item(action: str, label: str) -> MenuItem:
            def bind() -> None:
                self._menu.ask(f"Press the key for: {label} (Esc: leave it)", lambda event: self._bind(action, event))

            return MenuItem(
                label, bind, value=lambda: ", ".join(map(key_name, inputs.keys_of(action))), hint="Enter, then a key."
            )

        reset = MenuItem("As they were at first", self._reset_keys)
        return [*(item(action, label) for action, label in ACTIONS.items()), reset]

    def _bind(self, action: str, event: pygame.event.Event) -> bool:
        """Take the key that was pressed; False once one was."""
        if event.type != pygame.KEYDOWN:
            return True
        if event.key != pygame.K_ESCAPE:
            keys = {**self._drive.settings.keys, action: pygame.key.name(event.key)}
            self._drive.choose("keys", {a: k for a, k in keys.items() if a == action or k != keys[action]})
        return False

    def _reset_keys(self) -> None:
        self._drive.choose("keys", {})

    # Devices

    def _device_items(self) -> list[MenuItem]:
        inputs = self._drive.inputs
        device = inputs.device
        if device is None:
            return [MenuItem("Nothing is plugged in", hint="A gamepad or wheel is found as soon as it is plugged in.")]
        axes = device.axes
        said = f"axes: steer {axes.steer}, throttle {axes.throttle}, brake {axes.brake}"
        return [
            MenuItem(inputs.device_name, hint=said),
            MenuItem("Calibrate", self._calibrate, hint="Turn and press everything once, as far as it goes."),
            MenuItem("Try the shaking", lambda: self._drive.feel.shake(device.joystick, 1.0)),
        ]

    def _calibrate(self) -> None:
        def say(words: str) -> None:
            self._menu.prompt = words

        calibration = Calibration(self._drive.inputs, say, self._drive.keep_axes)
        self._menu.ask(self._menu.prompt, calibration.handle)
