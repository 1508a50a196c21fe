"""What the menu over a paused drive offers: going on, choosing, binding keys, calibrating a wheel, leaving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pygame

from bridge.process import presets
from neuralsim import zoo
from neuralsim.guide import GUIDES
from neuralsim.window.calibration import Calibration
from neuralsim.window.inputs import ACTIONS, key_name
from neuralsim.window.menu import Item, Page
from neuralsim.window.settings import CROWDS, QUALITIES

if TYPE_CHECKING:
    from neuralsim.window.interactive import WindowDrive

_STEP = 0.1  # by which shares change
_MINUTES = 60  # by which the time of day changes


class PauseMenu:
    """The pages, for one drive. What is chosen is kept and takes effect at once, or when the page is left."""

    def __init__(self, drive: WindowDrive) -> None:
        self._drive = drive
        self._menu = drive.menu

    def first(self) -> Page:
        """What is shown when the drive is paused."""
        return Page("Paused", self._first_items)

    def _first_items(self) -> list[Item]:
        menu, then = self._menu, self._then
        return [
            Item("Resume", menu.close, hint="Esc or Start does the same."),
            Item("Map", then("map"), hint="Click where to go; the autopilot drives there. M does the same."),
            Item("Place and picture", self._opens("Place and picture", self._picture_items, self._drive.apply_choices)),
            Item("Cockpit", self._opens("Cockpit", self._cockpit_items)),
            Item("Keys", self._opens("Keys", self._key_items)),
            Item("Wheel or gamepad", self._opens("Wheel or gamepad", self._device_items)),
            Item("Respawn", then("respawn"), hint="On from another place, at rest."),
            Item("All keys", then("help"), hint="H shows them at any time."),
            Item("Quit", lambda: self._drive.act("quit"), hint="Ends the drive; a recording is finished first."),
        ]

    def _then(self, command: str) -> Callable[[], None]:
        def carry_out() -> None:
            self._menu.close()
            self._drive.act(command)

        return carry_out

    def _opens(
        self, title: str, items: Callable[[], Sequence[Item]], closed: Callable[[], None] | None = None
    ) -> Callable[[], None]:
        return lambda: self._menu.open(Page(title, items, closed))

    # Choices

    def _choice(self, label: str, name: str, values: Sequence[Any], shown: Sequence[str], hint: str = "") -> Item:
        """An item for a setting that is one of ``values``, called ``shown``."""

        def at() -> int:
            value = getattr(self._drive.settings, name)
            return list(values).index(value) if value in values else 0

        def change(by: int) -> None:
            self._drive.choose(name, values[(at() + by) % len(values)])

        return Item(label, value=lambda: shown[at()], change=change, hint=hint)

    def _share(self, label: str, name: str, most: float, least: float = 0.0, hint: str = "") -> Item:
        def change(by: int) -> None:
            value = round(getattr(self._drive.settings, name) + by * _STEP, 2)
            self._drive.choose(name, min(max(value, least), most))

        return Item(label, value=lambda: f"{getattr(self._drive.settings, name):.0%}", change=change, hint=hint)

    def _switch(self, label: str, name: str, hint: str = "") -> Item:
        return self._choice(label, name, (False, True), ("off", "on"), hint)

    def _picture_items(self) -> list[Item]:
        drive = self._drive
        again = "When you leave this page; the simulator starts anew."
        here = drive.options.connect is None
        items = []
        if drive.own_town:
            towns = list(dict.fromkeys([drive.options.town, *presets.TOWNS]))
            items.append(self._choice("Town", "town", towns, [Path(town).stem for town in towns], again))
        if here:
            names = ["as it is", *presets.WEATHERS]
            items.append(self._choice("Weather", "weather", [None, *presets.WEATHERS], names, "At once, as C does."))
            items.append(self._time_item())
        if drive.own_town:
            said = [f"{crowd}: {vehicles} vehicles" for crowd, (vehicles, _) in CROWDS.items()]
            items.append(self._choice("Traffic", "traffic", list(CROWDS), said, again))
        models = list(dict.fromkeys([drive.options.model, *zoo.names()]))
        items.append(self._choice("Model", "model", models, models, again))
        if here:
            said = [f"as given, {drive.options.size}", *(f"{name}, {size}" for name, size in QUALITIES.items())]
            items.append(self._choice("Quality", "quality", [None, *QUALITIES], said, f"Pixels painted. {again}"))
            items.append(self._switch("Upscaling", "upscaling", f"Twice as wide and high, painted in parts. {again}"))
        guides = list(dict.fromkeys([drive.options.guide, *GUIDES]))
        items.append(self._choice("Guide", "guide", guides, guides, "Whose look of things is painted. At once, as G."))
        return items

    def _time_item(self) -> Item:
        def shown() -> str:
            minutes = self._drive.settings.minutes
            return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}" if minutes else "as the weather says"

        def change(by: int) -> None:
            self._drive.choose("minutes", (self._drive.settings.minutes + by * _MINUTES) % (1440 + _MINUTES))

        return Item("Time of day", value=shown, change=change, hint="Where the sun stands. At once.")

    def _cockpit_items(self) -> list[Item]:
        return [
            self._choice("Units", "units", ("km/h", "mph"), ("km/h", "mph")),
            self._switch("Map in the corner", "minimap"),
            self._switch("Rear mirror", "mirror", "The simulator's picture of what is behind. At once, as Z."),
            self._switch("Reversing view", "reversing_view", "Look behind while the car backs up."),
            self._share("Sound", "volume", 1.0, hint="Engine, tyres, wind, blows. From silence: at the next start."),
            self._switch("Jolts", "jolts", "Shake the picture when something is hit."),
            self._share("Steering of keys", "steering", 2.0, 0.3, "How sharply the car turns while a key is held."),
            self._share("Force feedback", "force_feedback", 1.0, hint="How hard a gamepad or wheel shakes."),
        ]

    # Keys

    def _key_items(self) -> list[Item]:
        inputs = self._drive.inputs

        def item(action: str, label: str) -> Item:
            def bind() -> None:
                self._menu.ask(f"Press the key for: {label} (Esc: leave it)", lambda event: self._bind(action, event))

            return Item(
                label, bind, value=lambda: ", ".join(map(key_name, inputs.keys_of(action))), hint="Enter, then a key."
            )

        reset = Item("As they were at first", self._reset_keys)
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

    def _device_items(self) -> list[Item]:
        inputs = self._drive.inputs
        device = inputs.device
        if device is None:
            return [Item("Nothing is plugged in", hint="A gamepad or wheel is found as soon as it is plugged in.")]
        axes = device.axes
        said = f"axes: steer {axes.steer}, throttle {axes.throttle}, brake {axes.brake}"
        return [
            Item(inputs.device_name, hint=said),
            Item("Calibrate", self._calibrate, hint="Turn and press everything once, as far as it goes."),
            Item("Try the shaking", lambda: self._drive.feel.shake(device.joystick, 1.0)),
        ]

    def _calibrate(self) -> None:
        def say(words: str) -> None:
            self._menu.prompt = words

        calibration = Calibration(self._drive.inputs, say, self._drive.keep_axes)
        self._menu.ask(self._menu.prompt, calibration.handle)
