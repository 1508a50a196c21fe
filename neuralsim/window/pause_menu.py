"""The pages of the pause menu: resume, settings, key bindings, wheel calibration, quit."""

from collections.abc import Callable, Sequence

import pygame

from neuralsim.drive.driver_input import Axes
from neuralsim.drive.interactive_drive import InteractiveDrive
from neuralsim.drive.key_bindings import ACTIONS
from neuralsim.drive.menu_choices import GHOST, LATE_WARP, REVERSING_VIEW, UNITS, Choice, picture_choices, switch
from neuralsim.drive.task_control import task_items
from neuralsim.window.calibration import Calibration
from neuralsim.window.feedback import Feedback
from neuralsim.window.inputs import Inputs, key_name
from neuralsim.window.menu import Menu, MenuItem, MenuPage

STARTING = "Still starting"  # title of the question whether to quit before the first frame
_STEP = 0.1  # of settings that are shares


class PauseMenu:
    """The pages for one drive. Choices are saved and take effect immediately, or when the page is left.

    ``calibrated`` is called with the axes of a device that was calibrated.
    """

    def __init__(
        self,
        drive: InteractiveDrive,
        menu: Menu,
        inputs: Inputs,
        feedback: Feedback,
        calibrated: Callable[[Axes], None],
    ) -> None:
        self._drive, self._menu = drive, menu
        self._inputs, self._feedback, self._calibrated = inputs, feedback, calibrated

    def first(self) -> MenuPage:
        """Return the page to open when the drive is paused."""
        return MenuPage("Paused", self._first_items)

    def leave(self) -> MenuPage:
        """Return the question whether to quit before there is anything to see."""
        return MenuPage(STARTING, self._leave_items)

    def _leave_items(self) -> list[MenuItem]:
        return [
            MenuItem("Keep waiting", self._menu.close, hint="Also: Esc."),
            MenuItem("Quit", lambda: self._drive.act("quit"), hint="Ends the drive."),
        ]

    def _first_items(self) -> list[MenuItem]:
        menu, then = self._menu, self._then
        return [
            MenuItem("Resume", menu.close, hint="Back to the wheel. Also: Esc, or Start on a gamepad."),
            MenuItem("Map", then("map"), hint="Click a destination for the autopilot. Also: M."),
            MenuItem(
                "Place and picture",
                self._opens("Place and picture", self._picture_items, self._drive.apply_choices),
                hint="Town, car, weather, traffic, model, quality; some restart the town when you leave the page.",
            ),
            MenuItem(
                "Something to do",
                self._opens("Something to do", self._task_items),
                hint="A place to reach, points for smooth driving, three lessons.",
            ),
            MenuItem(
                "Cockpit",
                self._opens("Cockpit", self._cockpit_items),
                hint="Dashboard, mirror, map, units, sound, steering. Effective immediately.",
            ),
            MenuItem("Keys", self._opens("Keys", self._key_items), hint="Other keys for any action. At once."),
            MenuItem(
                "Wheel or gamepad",
                self._opens("Wheel or gamepad", self._device_items),
                hint="Calibrate a device, test its rumble. Effective immediately.",
            ),
            MenuItem("Respawn", then("respawn"), hint="Continue from another place, at a standstill."),
            MenuItem("Repair", then("repair"), hint="Makes the car whole again, where it is. Also: Y."),
            MenuItem("Record", then("record"), hint="Starts or stops recording MP4 and MCAP. Also: R."),
            MenuItem("Screenshot", then("screenshot"), hint="Saves the picture without the HUD. Also: F12, Ctrl+S."),
            MenuItem("All keys", then("help"), hint="Also: H, at any time."),
            MenuItem("Quit", lambda: self._drive.act("quit"), hint="Ends the drive and saves a running recording."),
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

    def _task_items(self) -> list[MenuItem]:
        """Return what there is to do; lessons need a town of one's own."""
        tasks = self._drive.tasks
        items = [MenuItem(title, self._then(name), hint=hint) for name, title, hint in task_items(self._drive)]
        items.append(self._choice(GHOST))
        items.append(
            MenuItem("Records", value=tasks.summary, hint="Kept per town, in records.yaml next to the settings")
        )
        return items

    # Choices

    def _choice(self, choice: Choice) -> MenuItem:
        """Return an item for a setting with a fixed set of values."""
        drive, count = self._drive, len(choice.values)

        def change(by: int) -> None:
            drive.choose(choice.name, choice.values[(choice.at(drive.chosen) + by) % count])

        return MenuItem(
            choice.label,
            value=lambda: choice.shown[choice.at(drive.chosen)],
            change=change,
            hint=choice.hint,
            picture=choice.picture,
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
            self._choice(switch("Map in the corner", "minimap", "At once. M shows it large.")),
            self._choice(switch("Rear mirror", "mirror", "Shows the view behind, at a lower rate. At once. Also: Z.")),
            self._choice(switch("Wing mirrors", "wing_mirrors", "Likewise, to the left and right behind. Also: Z.")),
            self._choice(
                switch("Dashboard", "dashboard", "Instruments and wheel in the driver's view. At once. Also: K.")
            ),
            self._choice(REVERSING_VIEW),
            self._choice(LATE_WARP),
            self._share("Film grain", "grain", 1.0, hint="Grain and sharpness of a picture smaller than the window."),
            self._choice(switch("Detailed HUD", "full_hud", "View, model and all metrics. Also: F3.")),
            self._choice(switch("Fullscreen", "fullscreen", "Also: F11.")),
            self._share(
                "Sound",
                "volume",
                1.0,
                hint="Engine, tyres, wind, impacts. If it was 0 %, takes effect at the next start.",
            ),
            self._choice(switch("Camera shake", "jolts", "Shake the picture on impact.")),
            self._share("Steering with keys", "steering", 2.0, 0.3, "How sharply the car turns while a key is held."),
            self._share("Force feedback", "force_feedback", 1.0, hint="Strength of the rumble of a gamepad or wheel."),
        ]

    # Keys

    def _key_items(self) -> list[MenuItem]:
        inputs = self._inputs

        def item(action: str, label: str) -> MenuItem:
            def bind() -> None:
                self._menu.ask(f"Press the key for: {label} (Esc to cancel)", lambda event: self._bind(action, event))

            return MenuItem(
                label,
                bind,
                value=lambda: ", ".join(map(key_name, inputs.keys_of(action))),
                hint="Press Enter, then the new key.",
            )

        reset = MenuItem("Reset to defaults", self._reset_keys)
        return [*(item(action, label) for action, label in ACTIONS.items()), reset]

    def _bind(self, action: str, event: pygame.event.Event) -> bool:
        """Bind the pressed key to ``action``; return False once a key was pressed."""
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
        inputs = self._inputs
        device = inputs.device
        if device is None:
            return [MenuItem("No device connected", hint="A gamepad or wheel is detected as soon as it is plugged in.")]
        axes = device.axes
        hint = f"Axes: steer {axes.steer}, throttle {axes.throttle}, brake {axes.brake}"
        return [
            MenuItem(inputs.device_name, hint=hint),
            MenuItem("Calibrate", self._calibrate, hint="Turn the wheel and press each pedal once, all the way."),
            MenuItem("Test the rumble", lambda: self._feedback.shake(device.joystick, 1.0)),
        ]

    def _calibrate(self) -> None:
        def say(prompt: str) -> None:
            self._menu.prompt = prompt

        calibration = Calibration(self._inputs, say, self._calibrated)
        self._menu.ask(self._menu.prompt, calibration.handle)
