"""Tasks in the window: begun in its menu, shown by its HUD; the dashboard; the page's menu offers the same."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest

from bridge.messages import Camera, Chart, Control, Ego, Frame, Lights
from neuralsim.challenge.ghost import Run
from neuralsim.challenge.lessons import LESSONS
from neuralsim.drive.interactive_drive import HudState
from neuralsim.drive.task_control import TASKS
from neuralsim.renderer.dashcam.bonnet_surface import Car
from neuralsim.session.drive_session import DriveSession
from neuralsim.session.options import DriveOptions
from neuralsim.session.render_loop import RenderedFrame
from neuralsim.window.cockpit import task_overlay
from neuralsim.window.cockpit.dashboard import Dashboard
from neuralsim.window.cockpit.panel import Layout, angle_of
from neuralsim.window.drawing import Pen
from neuralsim.window.windowed_drive import WindowDrive

SIZE = (512, 256)
WEB = Path(__file__).resolve().parents[3] / "neuralsim" / "serve" / "web"


@pytest.fixture(autouse=True)
def no_display(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    monkeypatch.setenv("NEURALSIM_CONFIG", str(tmp_path))


class Session(DriveSession):
    def start(self) -> None:
        self.model, self.runtime = self.options.model, "made up"

    def stop(self) -> None:
        pass


class Drive(WindowDrive):
    def make_session(self, options: DriveOptions) -> DriveSession:
        return Session(options, self._wake)

    def first_frame(self) -> None:
        pass  # without sound

    def show_at(self, x: float, time: float, speed: float) -> None:
        pose = np.eye(4)
        pose[0, 3] = x
        planes = {"tag": np.ones((32, 64), np.uint8), "depth": np.full((32, 64), 9.0, np.float32)}
        frame = Frame(1, 1, time, Camera(64, 32, 70.0, np.eye(4)), planes, Ego(pose=pose, speed=speed))
        frame.stamps = {"capture": 0}
        way = np.stack([np.arange(0.0, 900.0, 30.0), np.zeros(30)], 1).astype(np.float32)
        frame.chart = Chart("road", [way, way + np.float32([0.0, 3.5])], np.full((2, 1), 3.5, np.float32))
        self._send(0.01)
        self._show(RenderedFrame(frame, np.full((32, 64, 3), 90, np.uint8), self.session.remap))

    def press(self, *keys: str) -> None:
        for key in keys:
            pygame.event.clear()
            for kind in (pygame.KEYDOWN, pygame.KEYUP):
                pygame.event.post(pygame.event.Event(kind, key=pygame.key.key_code(key), mod=0))
            self.events(0.001)


@pytest.fixture
def drive() -> Any:
    drive = Drive(DriveOptions(model="tags"))
    drive.hud.tutorial.skip()
    yield drive
    drive.window.close()


def test_a_place_is_chosen_in_the_menu_reached_and_its_card_closed(drive: Drive):
    drive.show_at(0.0, 0.0, 0.0)
    drive.press("escape", "down", "down", "down", "return")
    assert drive.menu.title == "Something to do"
    drive.press("return")
    assert not drive.menu.shown
    drive.show_at(0.0, 0.1, 0.0)
    requested: Control = drive.inputs.requested
    assert requested.goal
    goal = requested.goal_x
    assert drive.state.task.startswith("To the marked place")
    for k in range(300):
        drive.show_at(2.0 * k, 0.2 + 0.2 * k, 10.0)
        if drive.state.card is not None:
            break
    assert drive.state.card is not None
    assert drive.state.card.achieved
    assert abs(2.0 * k - goal) < 15.0
    assert (drive.records_folder / "records.yaml").exists()  # type: ignore[operator]
    drive.press("return")
    drive.show_at(goal, 300.0, 0.0)
    assert drive.state.card is None


def test_a_lesson_of_the_command_line_takes_over_its_scenario():
    drive = Drive(DriveOptions(model="tags", task="merge"))
    try:
        options = drive.session.options
        assert (options.town, options.hand_over_at) == ("motorway", 0)
        assert str(options.scenario).endswith("motorway_merge.yaml")
        drive.show_at(0.0, 0.0, 10.0)
        assert drive.state.task.startswith("Motorway merge: reach 80 km/h")
        drive.act("leave_lesson")
        assert drive.session.options.scenario is None
        assert drive.session.options.town == "oldtown"
    finally:
        drive.window.close()


def test_a_lesson_owns_its_conditions_and_begins_at_rest(drive: Drive):
    drive.show_at(0.0, 0.0, 0.0)
    drive.choose("minutes", 720)
    drive.press("c", "p")
    assert drive.inputs.requested.preset
    assert drive.inputs.requested.autopilot
    drive.act("night")
    requested, options = drive.inputs.requested, drive.session.options
    assert (requested.preset, requested.minutes, requested.autopilot) == ("", 0, False)
    assert (options.weather, options.at_rest, options.vehicles) == (None, True, 10)
    drive.show_at(0.0, 0.0, 0.0)
    card = drive.state.card
    assert card is not None
    assert any("keep below 45" in line for line in card.lines)
    assert drive.inputs.requested.paused  # the road under a card stands
    drive.press("return")
    drive.fill_state()
    assert (drive.state.card, drive.state.task) == (None, "3 ...")
    assert drive.inputs.requested.paused
    drive.tasks.count_down(time.monotonic() + 3.1)
    assert not drive.inputs.requested.paused
    drive.press("c")  # of one's own will it may be another one
    assert drive.inputs.requested.preset
    drive.act("leave_lesson")
    assert drive.inputs.requested.preset == drive.settings.weather  # as it was chosen


@pytest.mark.parametrize(("speed", "key", "lesson"), [(20.0, "return", "night"), (9.0, "return", "merge")])
def test_a_lesson_ends_with_again_and_next(drive: Drive, speed: float, key: str, lesson: str):
    """Too fast is failed: Enter begins again; slow enough is passed: Enter goes on; Backspace always begins again."""
    drive.act("night" if speed == 20.0 else "junction")
    drive.show_at(0.0, 0.0, 0.0)
    drive.press("f")
    drive.fill_state()
    assert drive.state.card is None
    x = t = 0.0
    for pace in (speed, 0.0, speed):
        for _ in range(100):
            if drive.state.card is None:
                x, t = x + pace * 0.1, t + 0.1
                drive.show_at(x, t, pace)
    card = drive.state.card
    assert card is not None
    assert card.achieved == (speed == 9.0)
    assert drive.inputs.requested.paused
    before = drive.session
    drive.press(key)
    assert drive.session is not before
    assert not drive.inputs.requested.paused
    assert drive.session.options.scenario.stem == LESSONS[lesson].scenario
    drive.show_at(0.0, 0.0, 0.0)
    before = drive.session
    drive.press("backspace")
    assert drive.session is not before
    assert drive.session.options.scenario.stem == LESSONS[lesson].scenario


def test_every_entry_of_the_menu_explains_itself(drive: Drive):
    drive.show_at(0.0, 0.0, 0.0)
    pages = drive._pages
    groups = (pages._first_items, pages._picture_items, pages._task_items, pages._cockpit_items, pages._leave_items)
    silent = [item.label for items in groups for item in items() if not item.hint]
    assert not silent
    restarting = {item.label for item in pages._picture_items() if "Restarts the town" in item.hint}
    assert restarting == {"Town", "Car", "Traffic", "Model", "Quality", "Upscaling", "Dashboard camera"}


def test_the_menu_of_the_page_has_the_windows_entries(drive: Drive):
    script = (WEB / "menu.js").read_text(encoding="utf-8")
    names = dict(re.findall(r'(\w+) = "([^"]+)"', script.partition("export class Menu")[0]))
    first = script.partition("firstItems()")[2].partition("taskItems()")[0]
    page = {names.get(word, word.strip('"')) for word in re.findall(r'label: ("[^"]+"|\w+)', first)}
    drive.show_at(0.0, 0.0, 0.0)
    window = {item.label for item in drive._pages._first_items()}
    # A page has no keys to bind, its gamepad calibrates itself, and it is closed, not quit.
    assert window - {"Keys", "Wheel or gamepad", "Quit"} == page
    assert set(TASKS) == {"place", "smooth", "junction", "merge", "night"}


def dashboard(
    shade: int, speed: float = 0.0, lights: int = 0, car: Car | None = None, sky: tuple[int, int, int] | None = None
) -> np.ndarray:
    """A view with the dashboard, u8 (H, W, 3), over a picture of one grey under a ``sky``; with the bonnet of a car."""
    pygame.display.init()
    target = pygame.display.set_mode(SIZE)
    target.fill((shade, shade, shade))
    if sky is not None:
        target.fill(sky, (0, 0, SIZE[0], SIZE[1] // 2))
    pen, state, board = Pen(), HudState(), Dashboard()
    pen.begin(target.get_rect())
    state.ego = Ego(speed=speed, lights=lights)
    board.on = True
    board.prepare(Layout(*SIZE))
    if car is not None:
        state.ego.blueprint, state.ego.color = car
        board.bonnet.prepare(Layout(*SIZE), car)
    board.draw(target, pen, Frame(1, 1, 0.0, Camera(*SIZE, 70.0, np.eye(4)), {}), state)
    return pygame.surfarray.array3d(target).swapaxes(0, 1).astype(int)


def test_the_dashboard_is_lit_like_the_scene_and_leaves_the_road_free():
    day, night = dashboard(200), dashboard(8)
    panel = (slice(235, 250), slice(20, 60))
    assert night[panel].mean() < 0.45 * day[panel].mean()
    dial = Layout(*SIZE).dial(-1)
    face = (slice(round(dial[1]) - 14, round(dial[1]) + 14), slice(round(dial[0]) - 14, round(dial[0]) + 14))
    assert night[face].max() > 200  # the figures have light of their own
    assert (day[: round(0.76 * SIZE[1])] == 200).all()
    assert (np.abs(day[:] - 200).max(axis=-1) > 3).mean() < 0.24


def bonnet(image: np.ndarray) -> np.ndarray:
    """The metal in the middle of the view, between the screen and the dials, u8 (H, W, 3)."""
    return image[round(0.785 * SIZE[1]) : round(0.81 * SIZE[1]), round(0.49 * SIZE[0]) : round(0.56 * SIZE[0])]


def test_the_bonnet_has_the_paint_and_the_shape_of_the_car_and_the_light_of_the_scene():
    red, blue = ("vehicle.ford.mustang", "186,40,36"), ("vehicle.ford.mustang", "42,62,160")
    day, night = dashboard(150, car=red), dashboard(8, car=red)
    metal = bonnet(day).mean(axis=(0, 1))
    assert metal[0] > 1.5 * metal[1:].max()
    other = bonnet(dashboard(150, car=blue)).mean(axis=(0, 1))
    assert other[2] > 1.3 * other[:2].max()
    assert bonnet(night).mean() < 0.35 * bonnet(day).mean()
    assert (day[: round(0.76 * SIZE[1])] == 150).all()
    heights = []
    for name in ("vehicle.ford.mustang", "vehicle.tesla.model3", "vehicle.volkswagen.t2"):
        rows = np.abs(dashboard(150, car=(name, "186,40,36")) - 150)[:, SIZE[0] // 2 + 5].max(axis=-1) > 12
        heights.append(SIZE[1] - int(rows.argmax()))
    assert heights[0] > heights[1] > heights[2]  # a long nose, a short one, none


def test_the_bonnet_mirrors_the_sky_and_its_edge_is_soft():
    car = ("vehicle.ford.mustang", "60,62,66")
    plain, blue = (dashboard(120, car=car, sky=sky) for sky in ((120, 120, 120), (120, 120, 250)))
    gained = (bonnet(blue) - bonnet(plain))[..., 2].mean(axis=1)
    assert gained.max() > 15
    assert np.ptp(gained) > 8  # not the same everywhere
    column = plain[round(0.75 * SIZE[1]) : round(0.80 * SIZE[1]), SIZE[0] // 2 + 20, 1]
    steps = np.abs(np.diff(column))
    assert steps.max() < 0.75 * np.ptp(column)  # no step from road to metal within one pixel


def test_the_needle_points_at_the_speed():
    layout = Layout(*SIZE)
    still, fast = dashboard(200), dashboard(200, speed=30.5)  # 110 km/h: straight up
    x, y = layout.dial(-1)
    angle = angle_of(30.5 * 3.6 / 220.0)
    assert abs(angle) < 0.01
    tip = (slice(round(y - 0.8 * layout.radius), round(y - 0.6 * layout.radius)), slice(round(x) - 1, round(x) + 2))
    assert (fast - still)[tip][..., 0].max() > 40
    x, y = x + 0.7 * layout.radius * np.sin(angle_of(0.0)), y - 0.7 * layout.radius * np.cos(angle_of(0.0))
    begin = (slice(round(y) - 1, round(y) + 2), slice(round(x) - 1, round(x) + 2))
    assert (still - fast)[begin][..., 0].max() > 40


def test_the_ghost_is_hidden_by_what_stands_in_front_of_it():
    pygame.display.init()
    target = pygame.display.set_mode(SIZE)
    camera = Camera(*SIZE, 70.0, np.eye(4))
    place = Run(np.array([[0.0, 15.0, 0.0, -1.4, 0.0], [1.0, 15.0, 0.0, -1.4, 0.0]])).at(0.5)
    assert place is not None
    for depth, seen in ((1000.0, True), (5.0, False)):
        target.fill((0, 0, 0))
        frame = Frame(1, 1, 0.0, camera, {"depth": np.full((256, 512), depth, np.float32)})
        assert task_overlay.draw_ghost(target, target.get_rect(), frame, place) is seen
        assert pygame.surfarray.array3d(target).any() == seen


def test_reversing_lines_do_not_run_across_the_map(drive: Drive):
    def share(mount: str) -> float:
        """How much of what is behind the map is seen through it."""
        shown = []
        for shade in (0, 255):
            target = pygame.Surface((1024, 512))
            target.fill((shade, shade, shade))
            frame = Frame(1, 1, 0.0, Camera(512, 256, 70.0, np.eye(4)), {}, mount=mount)
            pen = Pen()
            pen.begin(target.get_rect())
            drive.hud.minimap.draw(target, pen, frame)
            shown.append(pygame.surfarray.array3d(target)[30:60, 420:450].mean() / 255.0)
        return float(shown[1] - shown[0])

    drive.show_at(0.0, 0.0, 0.0)
    assert share("reversing") < 0.12 < 0.4 < share("")


def test_a_tell_tale_is_on_with_its_lamp():
    off, beam = dashboard(200), dashboard(200, lights=int(Lights.LOW_BEAM))
    changed = np.argwhere(np.abs(off - beam).max(axis=-1) > 30)
    x, y = Layout(*SIZE).display
    assert len(changed)
    assert np.abs(changed - (y, x)).max() < Layout(*SIZE).radius
