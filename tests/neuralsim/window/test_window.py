"""Keys, wheel and gamepad, and windows of any shape."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pygame
import pytest
from helpers.frames import rendered

from bridge.messages import Ego, Lights
from neuralsim.drive import driver_input as driving
from neuralsim.drive.driver_input import approach, dead_zone
from neuralsim.drive.key_bindings import HELP
from neuralsim.renderer.views import View
from neuralsim.window import inputs
from neuralsim.window.calibration import Calibration
from neuralsim.window.inputs import Inputs

ROOT = Path(__file__).resolve().parents[3]


# Keys and devices


class Driver:
    """Inputs that receive simulated events."""

    def __init__(self, autopilot: bool = False) -> None:
        self.commands: list[str] = []
        self.views: list[View] = []
        self.inputs = Inputs(self.commands.append, self.views.append, autopilot=autopilot)

    def press(self, key: int, modifiers: int = 0) -> None:
        self.inputs.handle(pygame.event.Event(pygame.KEYDOWN, key=key, mod=modifiers))

    def release(self, key: int) -> None:
        self.inputs.handle(pygame.event.Event(pygame.KEYUP, key=key, mod=0))

    def tap(self, key: int, modifiers: int = 0) -> None:
        self.press(key, modifiers)
        self.release(key)


@pytest.fixture
def driver() -> Iterator[Driver]:
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    yield Driver()
    pygame.quit()
    del os.environ["SDL_VIDEODRIVER"]


def test_the_headlamp_key_cycles_and_leaves_other_lamps_alone(driver: Driver):
    seen = []
    driver.inputs.requested.lights = int(Lights.LEFT_BLINKER)
    for _ in range(4):
        requested = driver.inputs.requested
        assert requested.lights & Lights.LEFT_BLINKER
        seen.append((driver.inputs.headlamps, requested.lights & ~Lights.LEFT_BLINKER, requested.lights_auto))
        driver.tap(pygame.K_b)
        assert driver.commands[-1] == "headlamps"
        driver.inputs.next_headlamps()
    low = Lights.POSITION | Lights.LOW_BEAM
    assert seen == [
        ("automatic", 0, True),
        ("off", 0, False),
        ("low beam", low, False),
        ("high beam", low | Lights.HIGH_BEAM, False),
    ]
    assert driver.inputs.headlamps == "automatic"


def test_pedals_respond_immediately_and_ramp(driver: Driver):
    driver.press(pygame.K_w)
    first = driver.inputs.control(0.016, 0.0)
    assert 0.05 < first.throttle < 0.2
    assert driver.inputs.control(0.5, 0.0).throttle == 1.0
    driver.release(pygame.K_w)
    driver.press(pygame.K_DOWN)
    both = driver.inputs.control(0.3, 5.0)
    assert (both.throttle, both.brake) == (0.0, 1.0)
    driver.press(pygame.K_SPACE)
    assert driver.inputs.control(0.01, 5.0).hand_brake


def test_steering_ramps_reverses_and_is_limited_at_speed(driver: Driver):
    driver.press(pygame.K_d)
    slow = [driver.inputs.control(0.05, 2.0).steer for _ in range(30)]
    assert all(b >= a for a, b in pairwise(slow))
    assert 0.6 < slow[-1] <= 0.7
    driver.release(pygame.K_d)
    driver.press(pygame.K_LEFT)
    assert -0.2 < driver.inputs.control(0.05, 2.0).steer < 0.0  # without ramping back through the centre first
    for _ in range(60):
        fast = driver.inputs.control(0.05, 30.0).steer
    assert -0.25 < fast <= -0.05
    across = [speed**2 * np.tan(driving._steer_limit(speed, 1.0) * driving._LOCK / (1.0 + (speed / 22.0) ** 2)) / 2.85
              for speed in (8.0, 12.0, 16.0, 20.0)]  # fmt: skip
    assert across == pytest.approx([4.5] * 4, rel=0.05)  # m/s^2, the same at any speed
    assert driving._steer_limit(14.0, 0.5) < 0.6 * driving._steer_limit(14.0, 1.0)
    driver.release(pygame.K_LEFT)
    assert driver.inputs.control(0.5, 30.0).steer == 0.0


def test_commands_reach_the_bridge_and_the_window(driver: Driver):
    for key in (pygame.K_q, pygame.K_p, pygame.K_c, pygame.K_c, pygame.K_BACKSPACE, pygame.K_f, pygame.K_h, pygame.K_r):
        driver.tap(key)
    requested = driver.inputs.control(0.01, 0.0)
    assert (requested.autopilot, requested.respawn, requested.paused) == (True, 1, True)
    assert driver.commands.count("weather") == 2
    assert not requested.reverse  # a respawned car is in first gear
    driver.tap(pygame.K_s, pygame.KMOD_LCTRL)
    assert driver.commands[-3:] == ["help", "record", "screenshot"]
    driver.tap(pygame.K_F12, pygame.KMOD_LSHIFT)
    driver.tap(pygame.K_RETURN, pygame.KMOD_LALT)
    driver.tap(pygame.K_ESCAPE)
    assert driver.commands[-3:] == ["screenshot_with_hud", "fullscreen", "menu"]
    assert driver.inputs.control(0.01, 0.0).brake == 0.0
    for key in (pygame.K_2, pygame.K_KP6):
        driver.tap(key)
    assert driver.views == [View.TAGS, View.SPLIT]
    driver.press(pygame.K_w)  # touching the pedals takes over
    assert not driver.inputs.control(0.01, 0.0).autopilot
    assert driver.commands[-1] == "take_over"


def test_a_key_reverses_gently(driver: Driver):
    driver.tap(pygame.K_q)
    driver.press(pygame.K_w)
    assert 0.4 < driver.inputs.control(2.0, 0.0).throttle < 0.7


def test_reverse_is_for_the_driver_not_the_autopilot(driver: Driver):
    driver.tap(pygame.K_p)
    driver.tap(pygame.K_q)
    assert not driver.inputs.control(0.01, 0.0).reverse  # the HUD shows what is requested, and the ego drives forward
    driver.press(pygame.K_w)
    requested = driver.inputs.control(0.01, 0.0)
    assert (requested.autopilot, requested.reverse) == (False, False)  # nor does taking over put it in reverse
    driver.tap(pygame.K_q)
    assert driver.inputs.control(0.01, 0.0).reverse
    driver.tap(pygame.K_p)
    assert not driver.inputs.control(0.01, 0.0).reverse


def test_keys_can_be_rebound(driver: Driver):
    driver.inputs.bind({"throttle": "k", "camera": "w", "horn": "no such key"})
    assert driver.inputs.keys_of("throttle") == [pygame.K_k]
    assert driver.inputs.keys_of("horn") == [pygame.K_n]  # unchanged
    driver.press(pygame.K_k)
    assert driver.inputs.control(1.0, 0.0).throttle == 1.0
    driver.release(pygame.K_k)
    driver.tap(pygame.K_w)
    assert driver.commands[-1] == "camera"
    driver.press(pygame.K_UP)  # no longer bound
    assert driver.inputs.control(1.0, 0.0).throttle == 0.0
    driver.inputs.bind({})
    driver.press(pygame.K_w)
    assert driver.inputs.control(1.0, 0.0).throttle == 1.0


def test_cameras_can_be_chosen_and_held_keys_look_around(driver: Driver):
    assert [driver.inputs.next_camera() for _ in range(3)] == ["Bonnet", "Chase camera", "Driver's view"]
    driver.inputs.next_camera()
    assert (driver.inputs.camera(False), driver.inputs.camera(True)) == ("bonnet", "reversing")
    driver.press(pygame.K_i)
    assert (driver.inputs.camera(False), driver.inputs.camera(True)) == ("back", "back")
    driver.release(pygame.K_i)
    assert driver.inputs.camera(False) == "bonnet"


def test_a_wheel_is_calibrated_by_moving_each_axis_once(driver: Driver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pygame.joystick, "Joystick", lambda index: Joystick("Odd wheel"))
    event, prompts, calibrated = pygame.event.Event, [], []
    driver.inputs.handle(event(pygame.JOYDEVICEADDED, device_index=0))
    calibration = Calibration(driver.inputs, prompts.append, calibrated.append)

    def move(axis: int, *values: float) -> None:
        for value in values:
            assert calibration.handle(event(pygame.JOYAXISMOTION, instance_id=7, axis=axis, value=value))

    press = event(pygame.JOYBUTTONDOWN, instance_id=7, button=3)
    assert calibration.handle(press)
    assert prompts[-1].startswith("No movement")
    move(3, 0.0, 0.4, 0.9)  # left is positive, and the range ends before 1
    calibration.handle(press)
    move(3, -0.95)
    calibration.handle(press)
    move(1, 1.0, -0.2, -1.0)
    calibration.handle(press)
    move(5, -1.0, 0.0, 0.8)
    assert not calibration.handle(press)
    axes = calibrated[0]
    assert (axes.steer, axes.throttle, axes.brake) == (3, 1, 5)
    driver.inputs.calibrate(axes)
    for axis, value in ((3, -0.95), (1, -1.0), (5, 0.8)):
        driver.inputs.handle(event(pygame.JOYAXISMOTION, instance_id=7, axis=axis, value=value))
    now = driver.inputs.control(0.01, 0.0)
    assert (now.steer, now.throttle, now.brake) == pytest.approx((1.0, 1.0, 1.0))
    for axis, value in ((3, 0.9), (1, 1.0), (5, -1.0)):
        driver.inputs.handle(event(pygame.JOYAXISMOTION, instance_id=7, axis=axis, value=value))
    now = driver.inputs.control(0.01, 0.0)
    assert (now.steer, now.throttle, now.brake) == pytest.approx((-1.0, 0.0, 0.0))


def test_losing_the_focus_releases_all_keys(driver: Driver):
    driver.press(pygame.K_w)
    driver.inputs.handle(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    assert driver.inputs.control(1.0, 0.0).throttle == 0.0


class Joystick:
    """The part of pygame's joystick that `Inputs` uses; test machines have no device."""

    def __init__(self, name: str) -> None:
        self._name = name

    def get_name(self) -> str:
        return self._name

    def get_instance_id(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("name", "throttle", "pressed"), [("Xbox 360 Controller", 5, 1.0), ("Logitech G29 Racing Wheel", 2, -1.0)]
)
def test_gamepad_and_wheel(driver: Driver, monkeypatch: pytest.MonkeyPatch, name: str, throttle: int, pressed: float):
    monkeypatch.setattr(pygame.joystick, "Joystick", lambda index: Joystick(name))
    event = pygame.event.Event
    driver.inputs.handle(event(pygame.JOYDEVICEADDED, device_index=0))
    assert driver.inputs.device_name == name
    resting = driver.inputs.control(0.1, 0.0)
    assert (resting.throttle, resting.brake, resting.steer) == (0.0, 0.0, 0.0)  # nothing has moved yet
    driver.inputs.handle(event(pygame.JOYAXISMOTION, instance_id=7, axis=throttle, value=pressed))
    driver.inputs.handle(event(pygame.JOYAXISMOTION, instance_id=7, axis=0, value=-1.0))
    driver.inputs.handle(event(pygame.JOYBUTTONDOWN, instance_id=7, button=0))
    now = driver.inputs.control(0.001, 0.0)
    assert (now.throttle, now.steer, now.hand_brake) == (1.0, -1.0, True)
    driver.inputs.handle(event(pygame.JOYAXISMOTION, instance_id=99, axis=0, value=1.0))
    assert driver.inputs.control(0.001, 0.0).steer == -1.0
    driver.inputs.handle(event(pygame.JOYDEVICEREMOVED, instance_id=7))
    assert driver.inputs.device is None
    assert driver.commands[-1] == "unplugged"


@pytest.mark.parametrize(
    ("name", "brake", "rest"), [("Xbox 360 Controller", 2, -1.0), ("Logitech G29 Racing Wheel", 3, 1.0)]
)
def test_a_pedal_takes_over_from_the_autopilot_when_pressed_not_when_released(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, name: str, brake: int, rest: float
):
    monkeypatch.setattr(pygame.joystick, "Joystick", lambda index: Joystick(name))
    event = pygame.event.Event
    driver.inputs.handle(event(pygame.JOYDEVICEADDED, device_index=0))
    driver.tap(pygame.K_p)
    driver.inputs.handle(event(pygame.JOYAXISMOTION, instance_id=7, axis=brake, value=rest))
    assert driver.inputs.control(0.01, 0.0).autopilot
    driver.inputs.handle(event(pygame.JOYAXISMOTION, instance_id=7, axis=brake, value=-rest))
    assert not driver.inputs.control(0.01, 0.0).autopilot


def test_dead_zone_and_approach():
    assert [dead_zone(value) for value in (0.0, 0.05, -0.05, 1.0, -1.0)] == [0.0, 0.0, 0.0, 1.0, -1.0]
    assert 0.0 < dead_zone(0.07) < 0.02
    assert approach(0.0, 1.0, 0.25) == 0.25
    assert approach(1.0, 0.0, 5.0) == 0.0


def test_help_lists_every_key_with_a_function():
    named = {key for _, rows in HELP for keys, _ in rows for key in keys}
    assert {"W", "S", "A", "D", "Up", "Down", "Left", "Right", "Space", "Q", "P", "C", "H", "F1", "Backspace"} <= named
    assert {"R", "F12", "Ctrl+S", "F", "Pause", "Tab", "G", "L", "Esc", *"123456"} <= named
    bound = {*inputs._DEFAULTS, *(key for key in inputs._VIEW_KEYS if key < pygame.K_KP1)}
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    pygame.display.init()
    names = {pygame.K_ESCAPE: "Esc", pygame.K_PAUSE: "Pause"}
    missing = {names.get(key, pygame.key.name(key).title()) for key in bound} - named
    pygame.quit()
    del os.environ["SDL_VIDEODRIVER"]
    assert not missing


# The window


@pytest.mark.parametrize(("display", "is_set"), [("x11", True), ("wayland", False), ("dummy", False)])
def test_windows_are_filled_without_a_gpu_where_the_display_can_do_that(
    monkeypatch: pytest.MonkeyPatch, display: str, is_set: bool
):
    """SDL's Wayland driver has no such way: asked for it, it opens no window."""
    from neuralsim.window import window

    monkeypatch.delenv("SDL_FRAMEBUFFER_ACCELERATION", raising=False)
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setattr(pygame.display, "init", lambda: None)
    monkeypatch.setattr(pygame.display, "get_driver", lambda: display)
    window.open_display()
    assert ("SDL_FRAMEBUFFER_ACCELERATION" in os.environ) is is_set


@pytest.mark.parametrize(
    ("environment", "hint"), [({"WAYLAND_DISPLAY": "none"}, None), ({"SDL_FRAMEBUFFER_ACCELERATION": "1"}, "1")]
)
def test_importing_the_window_decides_nothing(environment: dict[str, str], hint: str | None):
    code = "import neuralsim.window.window, os; print(os.environ.get('SDL_FRAMEBUFFER_ACCELERATION'))"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SDL_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=inherited | environment)
    assert done.stdout.splitlines()[-1] == str(hint)


@pytest.mark.parametrize("size", [(512, 256), (700, 500), (1600, 700), (320, 160)])
def test_window_of_any_shape_shows_picture_and_hud(driver: Driver, size: tuple[int, int]):
    from neuralsim.drive.interactive_drive import HudState
    from neuralsim.window.window import Window

    window = Window((96, 48))
    pygame.display.set_mode(size, pygame.RESIZABLE)
    window.handle(pygame.event.Event(pygame.VIDEORESIZE, size=size, w=size[0], h=size[1]))
    shown, neural = rendered()
    state = HudState(model="street-rt", runtime="openvino bf16", place="oldtown", recording=3.0, paused=True)
    window.hud.visible = False
    state.recording, state.paused = None, False
    window.show(shown, neural, state)
    plain = pygame.surfarray.array3d(pygame.display.get_surface())
    middle = plain[size[0] // 2, size[1] // 2].astype(int)
    assert np.abs(middle - neural[0, 0]).max() <= 2
    window.hud.visible = True
    window.again(state)
    dressed = pygame.surfarray.array3d(pygame.display.get_surface())
    assert 0.01 < (plain != dressed).any(axis=-1).mean() < 0.25
    for view in View:
        window.choose(view)
        window.again(state)
        absent = view in (View.RGB, View.MOTION)  # the neural image stands in, and the title says so
        assert state.view.endswith("not in this frame") == absent
    window.hud.help.turn()
    window.hud.notify("Hello")
    window.again(state)
    window.close()


def test_frame_graph_shows_a_bar_for_each_frame(driver: Driver):
    from neuralsim.drive.interactive_drive import HudState
    from neuralsim.window.window import Window

    window = Window((512, 256))
    pygame.display.set_mode((1024, 512), pygame.RESIZABLE)
    window.handle(pygame.event.Event(pygame.VIDEORESIZE, size=(1024, 512), w=1024, h=512))
    window.hud.visible, window.hud.graph = False, True
    shown, neural = rendered(512, 256)
    state = HudState(graph=[(10.0, 1.0, 1.0, 20.0, 2.0)] * 119 + [(10.0, 1.0, 1.0, 46.0, 2.0)])
    window.show(shown, neural, state)
    pixels = pygame.surfarray.array3d(pygame.display.get_surface())
    render = (pixels == (72, 207, 142)).all(axis=-1).sum(axis=1)  # green pixels of each column
    bars = np.flatnonzero(render)
    assert 200 < bars.size < 300
    assert np.median(render[bars]) == pytest.approx(33, abs=3)  # 20 ms
    assert render[bars[-1]] > 1.9 * np.median(render[bars])
    window.close()


def test_a_late_warp_is_drawn_if_possible(driver: Driver):
    from neuralsim.drive.interactive_drive import HudState
    from neuralsim.window.window import Window

    window = Window((512, 256))
    pygame.display.set_mode((1024, 512), pygame.RESIZABLE)
    window.handle(pygame.event.Event(pygame.VIDEORESIZE, size=(1024, 512), w=1024, h=512))
    window.hud.visible = False
    shown, neural = rendered(512, 256)

    def black(pixels: np.ndarray, out: np.ndarray) -> bool:
        assert pixels.shape == out.shape == (256, 512)
        out[:] = 0
        return True

    def at(x: int) -> tuple[int, ...]:
        return tuple(pygame.display.get_surface().get_at((x, 300)))[:3]

    window.show(shown, neural, HudState())
    window.again(HudState(), black)
    assert at(100) == (0, 0, 0)
    window.again(HudState(), lambda pixels, out: False)
    assert at(100) == (90, 120, 150)
    window.choose(View.SPLIT)
    window.again(HudState(), lambda pixels, out: False)
    assert (at(100), at(900)) == ((90, 120, 150), (128, 64, 128))
    window.again(HudState(), black)
    assert (at(100), at(900)) == ((0, 0, 0), (0, 0, 0))
    window.again(HudState())
    assert (at(100), at(900)) == ((90, 120, 150), (128, 64, 128))
    window.close()


@pytest.mark.parametrize("size", [(384, 192), (300, 192), (384, 300), (64, 32)])
def test_a_picture_is_enlarged_with_sharp_edges_within_its_box(driver: Driver, size: tuple[int, int]):
    from neuralsim.drive.interactive_drive import HudState
    from neuralsim.window.window import Window

    window = Window((96, 48))
    pygame.display.set_mode(size, pygame.RESIZABLE)
    window.handle(pygame.event.Event(pygame.VIDEORESIZE, size=size, w=size[0], h=size[1]))
    window.hud.visible = False
    frame, neural = rendered()
    neural = neural.copy()
    neural[:, 48:] = 200
    window.show(frame, neural, HudState())
    pixels = pygame.surfarray.array3d(pygame.display.get_surface()).astype(int)
    wide = min(size[0], 2 * size[1])
    beside, above = (size[0] - wide) // 2, (size[1] - wide // 2) // 2
    assert not pixels[:beside].any()
    assert not pixels[:, :above].any()
    assert not pixels[:, size[1] - above :].any()
    row = pixels[beside : size[0] - beside, size[1] // 2, 0]
    assert row[2] == pytest.approx(90, abs=2)
    assert row[-3] == pytest.approx(200, abs=2)
    if wide > 2 * 96:
        assert 203 < row.max() < 215  # linear interpolation would not overshoot


def test_the_bonnets_view_shows_the_bonnet_of_the_car_and_does_not_warp_it(driver: Driver):
    from neuralsim.drive.interactive_drive import HudState
    from neuralsim.window.window import Window

    window = Window((512, 256), 1.0)
    window.hud.visible = False
    frame, neural = rendered(512, 256)

    def at(y: int) -> tuple[int, ...]:
        return tuple(pygame.display.get_surface().get_at((256, y)))[:3]

    def looking(mount: str, blueprint: str = "vehicle.mini.cooper_s", color: str = "200,10,10") -> tuple[int, ...]:
        seen = replace(frame, mount=mount, ego=Ego(blueprint=blueprint, color=color))
        window.show(seen, neural, HudState())
        return at(252)

    assert looking("") == looking("chase") == (90, 120, 150)
    red = looking("bonnet")
    assert red[0] > 2 * max(red[1:])
    assert at(100) == (90, 120, 150)
    white = looking("bonnet", color="240,240,240")
    assert min(white) > 100
    assert white != looking("bonnet", "vehicle.audi.a2", "240,240,240"), "of another shape"
    assert looking("bonnet", "vehicle.mitsubishi.fusorosa") == (90, 120, 150), "a bus has none"

    def black(pixels: np.ndarray, out: np.ndarray) -> bool:
        out[:] = 0
        return True

    looking("bonnet")
    window.again(HudState(), black)
    assert at(100) == (0, 0, 0)
    assert at(252) == red
    window.shows_bonnet = False
    assert looking("bonnet") == (90, 120, 150)
    window.close()


def test_divider_of_the_split_view_can_be_dragged(driver: Driver):
    from neuralsim.drive.interactive_drive import HudState
    from neuralsim.window.window import Window

    window = Window((96, 48))
    pygame.display.set_mode((400, 200), pygame.RESIZABLE)
    window.handle(pygame.event.Event(pygame.VIDEORESIZE, size=(400, 200), w=400, h=200))
    window.hud.visible = False
    window.choose(View.SPLIT)
    assert not window.needs_rgb
    shown, neural = rendered()
    window.show(shown, neural, HudState())
    event = pygame.event.Event
    window.handle(event(pygame.MOUSEBUTTONDOWN, button=1, pos=(203, 100)))
    assert window.handle(event(pygame.MOUSEMOTION, pos=(100, 50), rel=(0, 0), buttons=(1, 0, 0)))
    window.handle(event(pygame.MOUSEBUTTONUP, button=1, pos=(100, 50)))
    window.again(HudState())
    pixels = pygame.surfarray.array3d(pygame.display.get_surface())
    assert np.abs(pixels[80, 60].astype(int) - (90, 120, 150)).max() <= 2
    assert np.abs(pixels[120, 60].astype(int) - (128, 64, 128)).max() <= 2
    window.choose(View.SPLIT)
    assert window.needs_rgb
    window.close()


def _spread(x: int) -> float:
    """Return the standard deviation of what is displayed around column ``x``."""
    pixels = pygame.surfarray.array3d(pygame.display.get_surface())
    return float(pixels[x - 40 : x + 40, 200:300].std((0, 1)).mean())


def _resized(window: Any, width: int, height: int) -> None:
    pygame.display.set_mode((width, height), pygame.RESIZABLE)
    window.handle(pygame.event.Event(pygame.VIDEORESIZE, size=(width, height), w=width, h=height))


@pytest.mark.parametrize(
    ("view", "mount", "grainy", "clean"),
    [
        (View.NEURAL, "driver", [100, 900], []),
        (View.SPLIT, "driver", [100], [900]),
        (View.SPLIT, "reversing", [100], [900]),
        (View.TAGS, "driver", [], [100, 900]),
        (View.RGB, "driver", [100, 900], []),  # absent: the generated image stands in
    ],
)
def test_an_enlarged_generated_image_has_grain_and_nothing_else_has(
    driver: Driver, view: View, mount: str, grainy: list[int], clean: list[int]
):
    from neuralsim.drive.interactive_drive import HudState
    from neuralsim.window.window import Window

    window = Window((512, 256))
    window.grain, window.hud.visible = 0.5, False
    frame, neural = rendered(512, 256)
    frame = replace(frame, mount=mount)
    window.choose(view)
    _resized(window, 1024, 600)
    window.show(frame, neural, HudState())
    assert all(1.5 < _spread(x) < 4.0 for x in grainy)
    assert all(_spread(x) == 0.0 for x in clean)
    beside = pygame.surfarray.array3d(pygame.display.get_surface())[:, :40]
    assert not beside.any(), "none on the bars above and below"
    with_grain = pygame.surfarray.array3d(pygame.display.get_surface())
    window.again(HudState())
    assert np.array_equal(with_grain, pygame.surfarray.array3d(pygame.display.get_surface())), "of a frame the same"
    window.grain = 0.0
    window.again(HudState())
    assert all(_spread(x) == 0.0 for x in (*grainy, *clean))
    window.grain = 0.5
    _resized(window, 600, 300)
    window.again(HudState())
    assert _spread(100) == 0.0, "hardly enlarged"
    window.close()


def test_an_enlarged_generated_image_has_crisper_edges_as_soon_as_that_is_chosen(driver: Driver):
    from neuralsim.drive.interactive_drive import HudState
    from neuralsim.window.film import Grain
    from neuralsim.window.window import Window

    window = Window((512, 256))
    window.hud.visible = False
    frame, neural = rendered(512, 256)
    neural = np.full_like(neural, 90)
    neural[:, 256:] = 150
    neural = cv2.GaussianBlur(neural, (0, 0), 1.5)

    def steepest() -> int:
        window.again(HudState())
        row = pygame.surfarray.array3d(pygame.display.get_surface())[:, 250].astype(int)
        return int(np.abs(np.diff(row, axis=0)).max())

    _resized(window, 1024, 512)
    window.show(frame, neural, HudState())
    soft = steepest()
    window.grain, window._film = 1.0, Grain()
    window._film._make(700, 1200, 0.0)
    window._film._amount = 1.0  # no grain, for this
    assert steepest() > soft
    window.close()
