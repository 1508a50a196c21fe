"""The real window on a virtual display, driven with synthetic key presses as a person would."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pygame
import pytest

from bridge.messages import Camera, Frame
from neuralsim.recording.reader import RecordingReader
from neuralsim.renderer.views import View
from neuralsim.window import driver as driving
from neuralsim.window import inputs, settings, sound
from neuralsim.window.calibration import Calibration
from neuralsim.window.driver import approach, dead_zone
from neuralsim.window.inputs import Inputs
from neuralsim.window.keys import HELP

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[3]
MISSING = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
needs_display = pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)}: apt-get install xvfb xdotool")


# Keys and devices


class Driver:
    """Inputs fed by hand."""

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


def test_pedals_answer_at_once_and_ramp(driver: Driver):
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


def test_steering_ramps_turns_over_and_gives_less_at_speed(driver: Driver):
    driver.press(pygame.K_d)
    slow = [driver.inputs.control(0.05, 2.0).steer for _ in range(30)]
    assert all(b >= a for a, b in pairwise(slow))
    assert 0.6 < slow[-1] <= 0.7
    driver.release(pygame.K_d)
    driver.press(pygame.K_LEFT)
    assert -0.2 < driver.inputs.control(0.05, 2.0).steer < 0.0  # not through the middle first
    for _ in range(60):
        fast = driver.inputs.control(0.05, 30.0).steer
    assert -0.25 < fast <= -0.05
    across = [speed**2 * np.tan(driving._steer_limit(speed, 1.0) * driving._LOCK / (1.0 + (speed / 22.0) ** 2)) / 2.85
              for speed in (8.0, 12.0, 16.0, 20.0)]  # fmt: skip
    assert across == pytest.approx([4.5] * 4, rel=0.05)  # m/s^2: as much at any speed
    assert driving._steer_limit(14.0, 0.5) < 0.6 * driving._steer_limit(14.0, 1.0)
    driver.release(pygame.K_LEFT)
    assert driver.inputs.control(0.5, 30.0).steer == 0.0


def test_commands_reach_the_bridge_and_the_window(driver: Driver):
    for key in (pygame.K_q, pygame.K_p, pygame.K_c, pygame.K_c, pygame.K_BACKSPACE, pygame.K_f, pygame.K_h, pygame.K_r):
        driver.tap(key)
    wanted = driver.inputs.control(0.01, 0.0)
    assert (wanted.autopilot, wanted.weather, wanted.respawn, wanted.paused) == (True, 2, 1, True)
    assert not wanted.reverse  # a respawned car stands in first gear
    driver.tap(pygame.K_s, pygame.KMOD_LCTRL)
    assert driver.commands[-3:] == ["help", "record", "screenshot"]
    driver.tap(pygame.K_F12, pygame.KMOD_LSHIFT)
    driver.tap(pygame.K_RETURN, pygame.KMOD_LALT)
    driver.tap(pygame.K_ESCAPE)
    assert driver.commands[-3:] == ["screenshot_dressed", "fullscreen", "menu"]
    assert driver.inputs.control(0.01, 0.0).brake == 0.0
    for key in (pygame.K_2, pygame.K_KP6):
        driver.tap(key)
    assert driver.views == [View.TAGS, View.SPLIT]
    driver.press(pygame.K_w)  # whoever touches the pedals drives
    assert not driver.inputs.control(0.01, 0.0).autopilot
    assert driver.commands[-1] == "take_over"


def test_a_key_backs_up_gently(driver: Driver):
    driver.tap(pygame.K_q)
    driver.press(pygame.K_w)
    assert 0.4 < driver.inputs.control(2.0, 0.0).throttle < 0.7


def test_reverse_is_the_drivers_not_the_autopilots(driver: Driver):
    driver.tap(pygame.K_p)
    driver.tap(pygame.K_q)
    assert not driver.inputs.control(0.01, 0.0).reverse  # the HUD shows what is wanted, and the ego drives forward
    driver.press(pygame.K_w)
    wanted = driver.inputs.control(0.01, 0.0)
    assert (wanted.autopilot, wanted.reverse) == (False, False)  # nor does taking over jerk it backward
    driver.tap(pygame.K_q)
    assert driver.inputs.control(0.01, 0.0).reverse
    driver.tap(pygame.K_p)
    assert not driver.inputs.control(0.01, 0.0).reverse


def test_keys_can_be_bound_anew(driver: Driver):
    driver.inputs.bind({"throttle": "k", "camera": "w", "horn": "no such key"})
    assert driver.inputs.keys_of("throttle") == [pygame.K_k]
    assert driver.inputs.keys_of("horn") == [pygame.K_n]  # as it was
    driver.press(pygame.K_k)
    assert driver.inputs.control(1.0, 0.0).throttle == 1.0
    driver.release(pygame.K_k)
    driver.tap(pygame.K_w)
    assert driver.commands[-1] == "camera"
    driver.press(pygame.K_UP)  # it means nothing any more
    assert driver.inputs.control(1.0, 0.0).throttle == 0.0
    driver.inputs.bind({})
    driver.press(pygame.K_w)
    assert driver.inputs.control(1.0, 0.0).throttle == 1.0


def test_cameras_are_chosen_and_looked_aside_from(driver: Driver):
    assert [driver.inputs.next_camera() for _ in range(3)] == ["Bonnet", "Chase camera", "Driver's seat"]
    driver.inputs.next_camera()
    assert (driver.inputs.camera(False), driver.inputs.camera(True)) == ("bonnet", "reversing")
    driver.press(pygame.K_i)
    assert (driver.inputs.camera(False), driver.inputs.camera(True)) == ("back", "back")
    driver.release(pygame.K_i)
    assert driver.inputs.camera(False) == "bonnet"


def test_a_wheel_is_calibrated_by_moving_everything_once(driver: Driver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pygame.joystick, "Joystick", lambda index: Joystick("Odd wheel"))
    event, said, found = pygame.event.Event, [], []
    driver.inputs.handle(event(pygame.JOYDEVICEADDED, device_index=0))
    calibration = Calibration(driver.inputs, said.append, found.append)

    def move(axis: int, *values: float) -> None:
        for value in values:
            assert calibration.handle(event(pygame.JOYAXISMOTION, instance_id=7, axis=axis, value=value))

    press = event(pygame.JOYBUTTONDOWN, instance_id=7, button=3)
    assert calibration.handle(press)
    assert said[-1].startswith("Nothing moved")
    move(3, 0.0, 0.4, 0.9)  # left is positive here, and it does not reach 1
    calibration.handle(press)
    move(3, -0.95)
    calibration.handle(press)
    move(1, 1.0, -0.2, -1.0)
    calibration.handle(press)
    move(5, -1.0, 0.0, 0.8)
    assert not calibration.handle(press)
    axes = found[0]
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


def test_losing_the_focus_lets_go_of_all_keys(driver: Driver):
    driver.press(pygame.K_w)
    driver.inputs.handle(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    assert driver.inputs.control(1.0, 0.0).throttle == 0.0


class Joystick:
    """What `Inputs` asks of pygame's joystick; there is no device on a test machine."""

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
def test_a_pedal_takes_over_from_the_autopilot_when_pressed_not_when_let_go(
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


def test_help_names_every_key_that_does_something():
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


def frame(width: int = 96, height: int = 48) -> tuple[Frame, np.ndarray]:
    neural = np.full((height, width, 3), (90, 120, 150), np.uint8)
    planes = {"tag": np.ones((height, width), np.uint8), "depth": np.full((height, width), 9.0, np.float32)}
    return Frame(0, 0, 0.0, Camera(width, height, 90.0, np.eye(4)), planes), neural


@pytest.mark.parametrize("size", [(512, 256), (700, 500), (1600, 700), (320, 160)])
def test_window_of_any_shape_shows_picture_and_hud(driver: Driver, size: tuple[int, int]):
    from neuralsim.window.live import HudState
    from neuralsim.window.window import Window

    window = Window((96, 48))
    pygame.display.set_mode(size, pygame.RESIZABLE)
    window.handle(pygame.event.Event(pygame.VIDEORESIZE, size=size, w=size[0], h=size[1]))
    shown, neural = frame()
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
        absent = view in (View.RGB, View.MOTION)  # the neural picture stands in, and is not called what it is not
        assert state.view.endswith("not in this frame") == absent
    window.hud.help.turn()
    window.hud.notify("Hello")
    window.again(state)
    window.close()


def test_frame_graph_shows_a_bar_for_each_frame(driver: Driver):
    from neuralsim.window.live import HudState
    from neuralsim.window.window import Window

    window = Window((512, 256))
    pygame.display.set_mode((1024, 512), pygame.RESIZABLE)
    window.handle(pygame.event.Event(pygame.VIDEORESIZE, size=(1024, 512), w=1024, h=512))
    window.hud.visible, window.hud.graph = False, True
    shown, neural = frame(512, 256)
    state = HudState(graph=[(10.0, 1.0, 1.0, 20.0, 2.0)] * 119 + [(10.0, 1.0, 1.0, 46.0, 2.0)])
    window.show(shown, neural, state)
    pixels = pygame.surfarray.array3d(pygame.display.get_surface())
    render = (pixels == (72, 207, 142)).all(axis=-1).sum(axis=1)  # green pixels of each column
    bars = np.flatnonzero(render)
    assert 200 < bars.size < 300
    assert np.median(render[bars]) == pytest.approx(33, abs=3)  # 20 ms
    assert render[bars[-1]] > 1.9 * np.median(render[bars])
    window.close()


def test_a_late_warp_is_drawn_where_it_can_be_made(driver: Driver):
    from neuralsim.window.live import HudState
    from neuralsim.window.window import Window

    window = Window((512, 256))
    pygame.display.set_mode((1024, 512), pygame.RESIZABLE)
    window.handle(pygame.event.Event(pygame.VIDEORESIZE, size=(1024, 512), w=1024, h=512))
    window.hud.visible = False
    shown, neural = frame(512, 256)

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


def test_divider_of_the_split_view_can_be_dragged(driver: Driver):
    from neuralsim.window.live import HudState
    from neuralsim.window.window import Window

    window = Window((96, 48))
    pygame.display.set_mode((400, 200), pygame.RESIZABLE)
    window.handle(pygame.event.Event(pygame.VIDEORESIZE, size=(400, 200), w=400, h=200))
    window.hud.visible = False
    window.choose(View.SPLIT)
    assert not window.needs_rgb
    shown, neural = frame()
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


# A person at the keys


@pytest.fixture
def display() -> Iterator[str]:
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [
            "Xvfb",
            "-displayfd",
            str(writing),
            "-screen",
            "0",
            "1280x720x24",
            "-nolisten",
            "tcp",
            "-noreset",
        ],  # no reset between windows
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait(5)


class Person:
    """Somebody in front of the window, who also reads the log."""

    def __init__(self, display: str, folder: Path, *arguments: str) -> None:
        self.log = folder / "log.jsonl"
        self.environment = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"}
        self.environment |= {"DISPLAY": display, "PYTHONPATH": str(ROOT), "NEURALSIM_CONFIG": str(folder / "config")}
        self.environment.pop("SDL_VIDEODRIVER", None)
        self.audio = folder / "audio.raw"  # what it plays, s16
        self.environment |= {"SDL_AUDIODRIVER": "disk", "SDL_DISKAUDIOFILE": str(self.audio)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "neuralsim", "drive", "--runtime", "openvino", "--log", str(self.log), *arguments],
            cwd=folder,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def xdotool(self, *arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env=self.environment, check=True, capture_output=True)

    def press(self, key: str) -> None:
        self.xdotool("key", key)

    def in_windows(self, *arguments: str) -> None:
        """Call xdotool for each window of the process: helper windows that nothing can be done to may be among them."""
        search = ["xdotool", "search", "--pid", str(self.process.pid)]
        found = subprocess.run(search, env=self.environment, capture_output=True, text=True, check=True).stdout.split()
        for window in found:
            command = ["xdotool", *(each.format(window) for each in arguments)]
            subprocess.run(command, env=self.environment, capture_output=True, check=False)

    def resize(self, width: int, height: int) -> None:
        self.in_windows("windowsize", "{}", str(width), str(height))

    def newest(self) -> dict:
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return json.loads(lines[-1]) if lines else {}

    def until(self, what: Callable[[dict], bool], timeout: float = 20.0) -> dict:
        """Wait until the newest line of the log satisfies ``what``, and return that line."""
        end = time.monotonic() + timeout
        while True:
            line = self.newest()
            if line and what(line):
                return line
            if self.process.poll() is not None:
                raise AssertionError(f"ended: {self.process.communicate()[1]}")
            assert time.monotonic() < end, f"never came; at last: {line}"
            time.sleep(0.05)

    def picture(self, folder: Path, key: str = "shift+F12") -> np.ndarray:
        """Press F12 and read the file: u8 (H, W, 3); with shift what the window shows, HUD and all."""
        before = set(folder.glob("*.png"))
        self.press(key)
        end = time.monotonic() + 10.0
        while True:
            for file in set(folder.glob("*.png")) - before:
                with contextlib.suppress(pygame.error):  # still being written
                    return pygame.surfarray.array3d(pygame.image.load(str(file))).swapaxes(0, 1)
            assert time.monotonic() < end, "no screenshot"
            time.sleep(0.05)

    def other_picture(self, folder: Path, than: np.ndarray, least: float = 0.0) -> np.ndarray:
        """The first picture of which more than a share of ``least`` differs from ``than``."""
        end = time.monotonic() + 20.0
        while ((new := self.picture(folder)) != than).any(axis=-1).mean() <= least:
            assert time.monotonic() < end, "the picture stayed as it was"
        return new

    def loudness(self, seconds: float = 0.4) -> float:
        """Of what is played from now on: deviation of samples, 0 .. 1."""
        begin, wanted = self.audio.stat().st_size // 2 * 2, int(2 * seconds * sound.RATE)
        end = time.monotonic() + 30.0
        while self.audio.stat().st_size < begin + wanted:
            assert time.monotonic() < end, "nothing is played"
            time.sleep(0.05)
        with self.audio.open("rb") as file:
            file.seek(begin)
            return float(np.frombuffer(file.read(wanted), "<i2").std()) / 32768.0

    def held(self) -> int:
        """Wait until frames have stopped coming for a second; the last one's sequence."""
        end = time.monotonic() + 20.0
        while True:
            before = self.newest()["sequence"]
            time.sleep(1.0)
            if self.newest()["sequence"] == before:
                return int(before)
            assert time.monotonic() < end, "it goes on"


@needs_display
@pytest.mark.timeout(420)  # on a machine that is busy with other things as well
def test_a_person_drives(display: str, tmp_path: Path):
    person = Person(display, tmp_path, "--size", "256x128", "--report", "r.json")
    try:
        start = person.until(lambda line: True, timeout=150.0)
        assert start["speed"] == pytest.approx(0.0, abs=0.5)

        person.xdotool("keydown", "w")
        person.until(lambda line: line["throttle"] == 1.0 and line["speed"] > 3.0)
        person.xdotool("keydown", "d")
        turning = person.until(lambda line: line["steer"] > 0.2)
        person.xdotool("keyup", "d", "keyup", "w", "keydown", "s")
        stopped = person.until(lambda line: abs(line["speed"]) < 0.3 and line["brake"] > 0.5)
        person.xdotool("keyup", "s")
        assert abs((stopped["yaw"] - start["yaw"] + 180.0) % 360.0 - 180.0) > 0.5, (start, turning, stopped)
        assert max(abs(stopped[axis] - start[axis]) for axis in "xy") > 1.0

        person.press("Return")  # the rest of the first steps
        person.press("q")
        person.xdotool("keydown", "Up")
        person.until(lambda line: line["speed"] < -0.5 and line["gear"] == -1)
        person.xdotool("keyup", "Up", "keydown", "space")
        person.until(lambda line: line["hand_brake"] and abs(line["speed"]) < 0.3)
        person.xdotool("keyup", "space")
        weather = person.newest()["weather"]
        person.press("c")
        person.until(lambda line: line["weather"] != weather)
        person.press("p")
        person.until(lambda line: line["autopilot"])

        recordings = tmp_path / "recordings"
        person.press("r")
        end = time.monotonic() + 10.0
        while not list(recordings.glob("*/video.mp4")):
            assert time.monotonic() < end, "no recording"
            time.sleep(0.05)
        first = person.newest()["sequence"]
        person.until(lambda line: line["sequence"] > first + 10)
        person.press("r")

        person.press("f")
        held = person.held()
        time.sleep(2.0)  # until the notices have gone
        dressed = person.picture(recordings)
        person.press("Tab")
        plain = person.other_picture(recordings, dressed, 0.01)
        assert dressed.shape == plain.shape == (256, 512, 3)
        differs = (dressed != plain).any(axis=-1)
        height, width = differs.shape
        assert differs[: height // 8, -width // 4 :].mean() > 0.2  # rate and latency
        assert differs[-height // 4 :, -width // 5 :].mean() > 0.2  # the instruments
        assert not differs[: height * 4 // 5, width // 3 : width * 3 // 4].any()  # the road, and what hangs over it
        person.press("Tab")
        person.press("F3")
        full = person.other_picture(recordings, plain, 0.15)
        assert (full != dressed).any(axis=-1).mean() > 0.1
        bare = person.picture(recordings, "F12")
        over = (bare != plain).any(axis=-1)  # a screenshot has no HUD, neither badges nor notices
        assert 0.002 < over.mean() < 0.12
        assert not over[height // 8 : height * 4 // 5].any()
        person.press("F3")
        person.press("Tab")
        assert plain.std() > 12.0
        person.press("2")
        person.other_picture(recordings, plain, 0.5)  # tags
        person.press("f")
        person.until(lambda line: line["sequence"] > held)

        person.press("F11")
        end = time.monotonic() + 10.0
        while (whole := person.picture(recordings)).shape != (720, 1280, 3):
            assert time.monotonic() < end, whole.shape
        assert not whole[:40].any()  # black above the picture, which keeps its shape
        person.press("alt+Return")
        end = time.monotonic() + 20.0
        person.resize(640, 320)
        while (again := person.picture(recordings)).shape != (320, 640, 3):
            assert time.monotonic() < end, again.shape
            person.resize(640, 320)  # again: without a window manager the first one may be overtaken
        before = person.newest()["collisions"]
        quiet = person.loudness()
        person.xdotool("keydown", "n")
        end = time.monotonic() + 10.0
        while person.loudness() <= 1.4 * quiet:  # the horn
            assert time.monotonic() < end, "no horn"
        person.xdotool("keyup", "n", "keydown", "w")
        # straight ahead, until something is there
        hit = person.until(lambda line: line["collisions"] > before and not line["autopilot"], timeout=90.0)
        person.xdotool("keyup", "w")
        assert hit["speed"] < 20.0
        person.press("Escape")
        held = person.held()  # the menu is open, and the simulation stands
        for key in ("Down", "Down", "Down", "Return", "Right", "Escape"):  # Cockpit: other units
            person.press(key)
        person.press("Escape")
        person.until(lambda line: line["sequence"] > held)
        person.press("v")
        person.until(lambda line: line["camera"] == "bonnet")
        person.xdotool("keydown", "u")
        person.until(lambda line: line["camera"] == "left")
        person.xdotool("keyup", "u")
        person.until(lambda line: line["camera"] == "bonnet")
        person.press("m")  # the map, over the whole window
        person.in_windows("mousemove", "--window", "{}", "300", "120")
        person.xdotool("click", "1")
        person.until(lambda line: line["route_left"] > 10.0)
        person.press("Escape")
        person.press("End")
        person.press("Return")
        begun = time.monotonic()
        errors = person.process.communicate(timeout=30)[1]
        crowd = max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0)  # who else wants the processors
        assert time.monotonic() - begun < 2.0 * crowd
        assert person.process.returncode == 0
        assert not [line for line in errors.splitlines() if not line.startswith("CRITICAL: ")]  # SDL's, of its disk
        kept = settings.load(tmp_path / "config" / "cockpit.yaml")
        assert (kept.window, kept.fullscreen, kept.full_hud) == ((640, 320), False, False)
        assert (kept.units, kept.tutorial) == ("mph", False)  # the first steps were taken, or left
        with av.open(str(next(recordings.glob("*/video.mp4")))) as file:
            assert len(list(file.decode(video=0))) >= 5
        with RecordingReader(next(recordings.glob("*/recording.mcap"))) as reader:
            assert len(reader) >= 5
            assert {"tag", "depth", "motion"} <= set(reader.read(0).planes)
        written = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
        assert written["input_to_photon_ms"]["p50"] > 0.0
    finally:
        if person.process.poll() is None:
            person.process.send_signal(signal.SIGTERM)
            person.process.communicate(timeout=10)


@needs_display
@pytest.mark.slow
def test_another_town_is_chosen_in_the_menu(display: str, tmp_path: Path):
    person = Person(display, tmp_path, "--size", "128x64", "--model", "tags", "--vehicles", "0", "--walkers", "0")
    try:
        before = person.until(lambda line: line["sequence"] > 5, timeout=120.0)
        for key in ("Escape", "Down", "Down", "Return", "Right", "Escape"):
            person.press(key)
        after = person.until(lambda line: line["sequence"] < before["sequence"], timeout=120.0)
        assert (after["x"], after["y"]) != (before["x"], before["y"])
        assert settings.load(tmp_path / "config" / "cockpit.yaml").town == "hamlet"
        person.xdotool("keydown", "w")
        person.until(lambda line: line["speed"] > 1.0)
    finally:
        person.process.send_signal(signal.SIGTERM)
        person.process.communicate(timeout=10)


@needs_display
def test_closing_the_window_while_it_loads_ends_everything(display: str, tmp_path: Path):
    person = Person(display, tmp_path)
    end = time.monotonic() + 20.0
    search = ["xdotool", "search", "--pid", str(person.process.pid)]
    while subprocess.run(search, env=person.environment, capture_output=True, check=False).returncode:
        assert person.process.poll() is None, person.process.communicate()[1]
        assert time.monotonic() < end, "no window"
        time.sleep(0.1)
    time.sleep(0.3)
    person.press("Escape")
    begun = time.monotonic()
    errors = person.process.communicate(timeout=10)[1]
    assert time.monotonic() - begun < 2.0
    assert (person.process.returncode, errors) == (0, "")
