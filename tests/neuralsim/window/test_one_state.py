"""Keys, menu, HUD, settings file and what is rendered are one state, whatever is pressed in whatever order."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import carla
import numpy as np
import pygame
import pytest
from hypothesis import HealthCheck, Phase, assume
from hypothesis import settings as budget
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bridge.carla_client.sun import sun_at
from bridge.carla_client.weather import WeatherControl
from bridge.messages import Camera, Control, Frame
from neuralsim.drive import interactive_drive, key_bindings
from neuralsim.drive import settings as files
from neuralsim.drive.driver_input import Axes
from neuralsim.drive.menu_choices import picture_choices
from neuralsim.session import render_loop
from neuralsim.session.drive_session import DriveSession
from neuralsim.session.options import AutoSize, DriveOptions, Size
from neuralsim.session.render_loop import RenderedFrame
from neuralsim.window import inputs
from neuralsim.window.inputs import Device
from neuralsim.window.windowed_drive import WindowDrive

#: Steps in all; NEURALSIM_STATE_STEPS=10000 for the long run.
STEPS = int(os.environ.get("NEURALSIM_STATE_STEPS", "150"))
#: A failure is only made shorter in the long run: that takes minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, *((Phase.shrink,) if STEPS >= 10_000 else ()))
PER_RUN = 50
KEYS = [*"cgetzlvfpqhm126ky", "f3", "f11", "tab", "backspace"]
PICTURE = "town", "weather", "minutes", "traffic", "model", "quality", "guide", "upscaling", "dashcam"
MENU_KEYS = ["up", "down", "left", "right", "return", "escape"]


class Session(DriveSession):
    """A session without processes."""

    def start(self) -> None:
        self.model, self.runtime = self.options.model, "made up"

    def stop(self) -> None:
        pass


class Simulator:
    """The weather of a bridge, with the bridge's own control of it, over a world that only has weather."""

    def __init__(self, options: DriveOptions) -> None:
        self._now = carla.WeatherParameters.ClearNoon
        world = SimpleNamespace(get_weather=lambda: self._now, set_weather=lambda new: setattr(self, "_now", new))
        self.weather = WeatherControl(world, options.weather or "")
        self.control = Control(0)
        self.frames, self.x, self.repairs = 0, 0.0, 0  # x: place of the car, m
        self.size = 64, 32

    def tick(self, control: Control) -> Frame:
        self.weather.apply(control, self.control)
        self.x += 50.0 * (control.respawn - self.control.respawn)
        self.repairs += control.repair - self.control.repair
        self.control = control
        self.frames += not control.paused
        width, height = control.size or self.size
        planes = {"tag": np.ones((height, width), np.uint8), "depth": np.full((height, width), 9.0, np.float32)}
        frame = Frame(self.frames, self.frames, self.frames / 30.0, Camera(width, height, 70.0, np.eye(4)), planes)
        frame.weather, frame.weather_name = self.weather.values, self.weather.name
        frame.mount = control.camera
        frame.ego.pose[0, 3] = self.x
        frame.stamps = {"capture": time.monotonic_ns()}
        return frame


class Drive(WindowDrive):
    def make_session(self, options: DriveOptions) -> DriveSession:
        self.simulator = Simulator(options)
        return Session(options, self._wake)

    def resolved(self, options: DriveOptions) -> DriveOptions:
        """Return the options with the size of a slow machine in place of "auto"; nothing is measured."""
        self.size_line = ""
        slow = Size(384, 192) if isinstance(options.size, AutoSize) else options.size
        return options.model_copy(update={"size": slow})

    def tick(self) -> None:
        """Take the controls, and show a frame."""
        self._send(0.01)
        frame = self.simulator.tick(self.inputs.requested)
        frame.mount = self.inputs.camera(False)
        image = np.full((*frame.planes["tag"].shape, 3), 90, np.uint8)
        self._show(RenderedFrame(frame, image, self.session.remap))

    def press(self, key: str, modifier: int = 0) -> None:
        number = pygame.key.key_code(key)
        pygame.event.clear()
        for kind in (pygame.KEYDOWN, pygame.KEYUP):
            pygame.event.post(pygame.event.Event(kind, key=number, mod=modifier))
        self.events(0.001)


class Driver(RuleBasedStateMachine):
    """Someone who presses anything."""

    @initialize(options=st.sampled_from([{}, {"weather": "WetNoon"}, {"guide": "surface"}, {"size": "384x192"}]))
    def begin(self, options: dict[str, Any]) -> None:
        self.folder = tempfile.TemporaryDirectory()
        os.environ["NEURALSIM_CONFIG"] = self.folder.name
        self.drive = Drive(DriveOptions(model="street-rt", **options))
        self.drive.feedback.sound.start = lambda: None  # type: ignore[method-assign]
        self.drive.hud.tutorial.skip()
        self.drive.tick()

    @rule(key=st.sampled_from(KEYS))
    def press(self, key: str) -> None:
        self.drive.press(key)

    @rule()
    def previous_weather(self) -> None:
        self.drive.press("c", pygame.KMOD_LSHIFT)

    @rule(times=st.integers(1, 3))
    def escape(self, times: int) -> None:
        for _ in range(times):
            self.drive.press("escape")
        assert not self.drive.interrupted  # never without a question

    @precondition(lambda self: self.drive.menu.shown)
    @rule(key=st.sampled_from(MENU_KEYS), times=st.integers(1, 4))
    def menu(self, key: str, times: int) -> None:
        for _ in range(times):
            item = self.drive.menu.chosen
            assume(not (key == "return" and item is not None and item.label == "Quit"))
            self.drive.press(key)

    @rule(towards=st.sampled_from(PICTURE))
    def choose_in_the_menu(self, towards: str) -> None:
        """Open the page of the picture, go to an entry, change it, and leave."""
        drive = self.drive
        drive.menu.close()
        drive.hud.help.close()
        drive.hud.minimap.large = False
        drive.press("escape")
        labels = [item.label for item in drive.menu._items]
        for _ in range(labels.index("Place and picture")):
            drive.press("down")
        drive.press("return")
        names = [choice.name for choice in picture_choices(drive)]
        if towards in names:  # not every model can be upscaled
            for _ in range(names.index(towards)):
                drive.press("down")
            drive.press("right")
        drive.press("escape")
        drive.press("escape")

    @rule(task=st.sampled_from(["place", "smooth", "end_task", "close_card"]))
    def do_something(self, task: str) -> None:
        self.drive.menu.close()
        self.drive.act(task)
        if task != "close_card":
            assert (self.drive.tasks.task is None) == (task == "end_task")

    @rule()
    def wait(self) -> None:
        self.drive.tick()

    @invariant()
    def everything_agrees(self) -> None:
        drive = self.drive
        assert not drive.interrupted
        drive.tick()
        chosen, settings, frame = drive.chosen, drive.settings, drive._last.frame
        assert files.load(Path(self.folder.name) / "cockpit.yaml") == settings
        # what is rendered
        weather = chosen.current("weather")
        assert weather in (None, frame.weather_name)
        if settings.minutes:
            assert frame.weather["sun_altitude_angle"] == pytest.approx(sun_at(settings.minutes)[1], abs=1e-3)
            assert drive.state.place.endswith(f"at {settings.minutes // 60 % 24:02d}:{settings.minutes % 60:02d}")
        elif frame.weather_name:
            preset = getattr(carla.WeatherParameters, frame.weather_name)
            assert frame.weather["sun_altitude_angle"] == pytest.approx(preset.sun_altitude_angle, abs=1e-3)
        assert frame.weather_name in drive.state.place
        assert drive.session.guide == chosen.current("guide")
        if "Place and picture" not in [page.title for page, _ in drive.menu._pages]:
            planned = drive.resolved(chosen.options())
            for name in ("town", "vehicles", "walkers", "model", "size", "show"):
                assert getattr(drive.session.options, name) == getattr(planned, name), name
        # what is shown
        hud, state = drive.hud, drive.state
        assert (hud.full, hud.mirrors.rear) == (settings.full_hud, settings.mirror)
        assert hud.mirrors.wings == settings.wing_mirrors
        assert hud.dashboard.on == settings.dashboard
        assert state.task == drive.tasks.status()
        assert drive.window.fullscreen == settings.fullscreen
        may_warp = not drive.session.options.dashcam
        assert state.warping == drive._warping == (chosen.current("late_warp") and may_warp)
        assert state.appearance == "  |  ".join(x for x in (drive.session.style or "", drive.session.remap.label) if x)
        assert drive.window.remap == drive.session.remap
        assert state.paused == drive.inputs.requested.paused
        assert state.paused or not drive.menu.shown
        # what the menu says
        shown = {choice.name: choice.shown[choice.at(chosen)] for choice in picture_choices(drive)}
        assert shown["town"] == Path(chosen.options().town).stem
        assert frame.weather_name in shown["weather"]
        assert (shown["minutes"] == "set by the weather") == (not settings.minutes)
        assert shown["model"].split(",")[0] == chosen.options().model
        assert str(chosen.options().size) in shown["quality"]
        assert shown["traffic"].endswith(f"{chosen.options().vehicles} vehicles, {chosen.options().walkers} people")
        assert shown["guide"] == drive.session.guide
        assert (shown.get("upscaling", "off") == "on") == (chosen.options().show is not None)
        assert (shown["dashcam"] == "on") == chosen.options().dashcam

    def teardown(self) -> None:
        if hasattr(self, "drive"):
            self.drive.window.close()
            self.folder.cleanup()


@pytest.fixture(autouse=True)
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    monkeypatch.setenv("NEURALSIM_CONFIG", os.environ.get("NEURALSIM_CONFIG", ""))


@pytest.fixture
def drive(no_display: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drive]:
    monkeypatch.setenv("NEURALSIM_CONFIG", str(tmp_path))
    drive = Drive(DriveOptions(model="street-rt"))
    drive.feedback.sound.start = lambda: None  # type: ignore[method-assign]
    drive.hud.tutorial.skip()
    drive.tick()
    yield drive
    drive.window.close()


def by_menu(drive: Drive, label: str) -> None:
    drive.press("escape")
    for _ in range([item.label for item in drive.menu._items].index(label)):
        drive.press("down")
    drive.press("return")


def by_pad(drive: Drive, button: int) -> None:
    device = SimpleNamespace(get_instance_id=lambda: 7)
    drive.inputs.device = Device(device, Axes(0, 5, 2))  # type: ignore[arg-type]
    pygame.event.post(pygame.event.Event(pygame.JOYBUTTONDOWN, instance_id=7, button=button))
    drive.events(0.001)


@pytest.mark.parametrize(
    "give",
    [
        lambda drive: drive.press("backspace"),
        lambda drive: by_menu(drive, "Respawn"),
        lambda drive: by_pad(drive, 6),
        lambda drive: drive.act("respawn"),
    ],
    ids=["key", "menu", "pad", "program"],
)
def test_a_respawn_moves_the_car_whoever_asks_for_it(drive: Drive, give: Callable[[Drive], None]):
    give(drive)
    assert "Respawned" not in [text for text, _ in drive.hud._notices]  # nothing has happened yet
    drive.tick()
    assert drive._last.frame.ego.pose[0, 3] == 50.0


#: Commands that can be given in several ways: by a key, by an entry of the menu, by a button of a gamepad.
WAYS: dict[str, tuple[str, str | None, int | None]] = {
    "respawn": ("backspace", "Respawn", 6),
    "repair": ("y", "Repair", None),
    "autopilot": ("p", None, 2),
    "reverse": ("q", None, 1),
    "weather": ("c", None, 3),
    "map": ("m", "Map", None),
    "help": ("h", "All keys", None),
}


def give(drive: Drive, command: str, way: str) -> None:
    """Give a command in one of the ways, or by program where there is no such way."""
    key, label, button = WAYS[command]
    drive.menu.close()
    if way == "key":
        drive.press(key)
    elif way == "menu" and label is not None and drive.hud.help.page is None and not drive.hud.minimap.large:
        by_menu(drive, label)
    elif way == "pad" and button is not None:
        by_pad(drive, button)
        drive.inputs.device = None
    else:
        drive.act(command)


class Twins(RuleBasedStateMachine):
    """Two drives that get the same commands, each in another way: what has happened is the same."""

    @initialize()
    def begin(self) -> None:
        self.drives: list[Drive] = []
        self.folder = tempfile.TemporaryDirectory()
        for name in ("one", "other"):
            os.environ["NEURALSIM_CONFIG"] = f"{self.folder.name}/{name}"
            drive = Drive(DriveOptions(model="street-rt"))
            drive.feedback.sound.start = lambda: None  # type: ignore[method-assign]
            drive.hud.tutorial.skip()
            drive.tick()
            self.drives.append(drive)

    @rule(
        command=st.sampled_from([*WAYS]),
        ways=st.permutations(["key", "menu", "pad", "program"]),
        times=st.integers(1, 3),
    )
    def command(self, command: str, ways: list[str], times: int) -> None:
        for _ in range(times):
            for drive, way in zip(self.drives, ways, strict=False):
                give(drive, command, way)
                drive.tick()

    @invariant()
    def the_same_has_happened(self) -> None:
        one, other = (self.effects(drive) for drive in self.drives)
        assert one == other

    @staticmethod
    def effects(drive: Drive) -> dict[str, object]:
        asked, frame = drive.inputs.requested, drive._last.frame
        asked_for = {name: getattr(asked, name) for name in ("autopilot", "reverse", "paused", "lights", "going")}
        return asked_for | {
            "place": float(frame.ego.pose[0, 3]),
            "repairs": drive.simulator.repairs,
            "weather": frame.weather_name,
            "settings": drive.settings,
            "map": drive.hud.minimap.large,
            "help": drive.hud.help.page,
        }

    def teardown(self) -> None:
        for drive in self.drives:
            drive.window.close()
        self.folder.cleanup()


@pytest.mark.timeout(7200)
def test_a_command_does_the_same_whoever_gives_it(no_display: None) -> None:
    run_state_machine_as_test(
        Twins,
        settings=budget(
            max_examples=max(STEPS // PER_RUN, 1),
            stateful_step_count=PER_RUN,
            phases=PHASES,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_every_key_and_button_has_a_command(drive: Drive):
    bound = {
        *key_bindings.KEYS.values(),
        *inputs._BUTTONS.values(),
        *inputs._WITH_CTRL.values(),
        *inputs._WITH_SHIFT.values(),
    }
    assert bound - key_bindings.PEDALS - key_bindings.HELD <= drive.commands.keys()


def test_menu_and_hud_say_the_same_of_time(drive: Drive):
    for real_time in (True, False):
        drive.choose("real_time", real_time)
        drive.fill_state()
        drive.state.time_ratio = 0.6
        (badge,) = [label for label, _, _ in drive.hud.badges(drive.state) if "0.6" in label]
        time_choice = next(choice for choice in picture_choices(drive) if choice.name == "real_time")
        assert badge == time_choice.shown[time_choice.at(drive.chosen)].upper()


def test_a_size_that_is_too_slow_gives_way_and_menu_toast_and_frames_say_so(
    no_display: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURALSIM_CONFIG", str(tmp_path))
    monkeypatch.setattr(render_loop, "make_renderer", lambda *_, **__: "a renderer")
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now, monotonic_ns=time.monotonic_ns)
    monkeypatch.setattr(interactive_drive, "time", clock)
    drive = Drive(DriveOptions(model="street-rt", size="512x256"))
    drive.feedback.sound.start = lambda: None  # type: ignore[method-assign]
    drive.hud.tutorial.skip()
    said: list[str] = []
    monkeypatch.setattr(drive.hud, "notify", said.append)
    drive.simulator.size = drive.options.shown
    drive.size_line = "size 512x256: the most that holds 30 frames a second here"

    def run(seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            clock.now += 0.05
            drive.tick()

    def shown() -> tuple[str, str]:
        (quality,) = (choice for choice in picture_choices(drive) if choice.name == "quality")
        return f"{drive.size}", quality.hint

    run(5.0)
    drive.recorder = SimpleNamespace(write=lambda *_: True, error=None, path=tmp_path, close=lambda: None)
    run(30.0)
    assert (drive.session.size, shown()[0]) == (None, "512x256"), "a recording keeps its size"
    drive.press("r")
    run(12.0)
    while drive.session.size is None:
        time.sleep(0.01)
    run(0.1)
    line = "512x256 held 20 of 30 frames a second: now 448x224"
    assert line in said
    assert shown()[0] == "448x224"
    assert line in shown()[1]
    drive.choose("quality", "balanced")
    drive.apply_choices()
    run(60.0)
    assert shown() == ("512x256", "Resolution to render at. Restarts the town when you leave this page.")
    drive.window.close()


@pytest.mark.timeout(7200)
def test_any_sequence_of_keys_and_choices_leaves_one_state():
    run_state_machine_as_test(
        Driver,
        settings=budget(
            max_examples=max(STEPS // PER_RUN, 1),
            stateful_step_count=PER_RUN,
            phases=PHASES,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
