"""The HUD: small, legible, clear of the road and of traffic lights; the menu; the settings file."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pygame
import pytest

from bridge.geometry import focal_length
from bridge.messages import MIRRORS, Camera, Chart, Ego, Frame, MirrorName, MovingObject
from bridge.process import presets
from bridge.process.settings import SettingsError
from bridge.size import Size
from neuralsim.drive import settings
from neuralsim.drive.driver_input import Axes
from neuralsim.drive.interactive_drive import HudState
from neuralsim.drive.key_bindings import HELP
from neuralsim.drive.menu_choices import PREVIEWS
from neuralsim.drive.settings import CockpitSettings
from neuralsim.drive.task_control import Card
from neuralsim.session.options import DriveOptions
from neuralsim.town.assets.prop_meshes import traffic_light_bulbs
from neuralsim.town.assets.templates import ARM
from neuralsim.town.core.types import Transform
from neuralsim.town.opendrive.network import Network
from neuralsim.town.opendrive.towns import load
from neuralsim.window.drawing import LEGIBLE, Pen
from neuralsim.window.hud import Hud
from neuralsim.window.hud_details import in_view, position
from neuralsim.window.menu import Menu, MenuItem, MenuPage
from neuralsim.window.minimap import Minimap
from neuralsim.window.overlay_cards import HelpCard
from neuralsim.window.tutorial import Tutorial

SIZES = [(320, 160), (512, 256), (640, 480), (1024, 512), (1280, 720), (1600, 700), (3840, 2160)]


@pytest.fixture(autouse=True)
def screen() -> Iterator[None]:
    before = os.environ.get("SDL_VIDEODRIVER")
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    pygame.display.init()
    yield
    pygame.quit()
    if before is None:
        del os.environ["SDL_VIDEODRIVER"]


def state() -> HudState:
    hud_state = HudState(
        model="street-rt", runtime="openvino bf16", place="oldtown  |  WetSunset", fps=31.4, latency=41.0
    )
    hud_state.ego = Ego(speed=52.0, gear=5, throttle=0.6, steer=-0.2)
    hud_state.graph = [(11.0, 1.0, 1.0, 22.0, 2.0)] * 120
    return hud_state


def drawn(hud: Hud, size: tuple[int, int], shown: HudState | None = None) -> tuple[pygame.Surface, list[pygame.Rect]]:
    """Draw the HUD over a grey picture of this size; return it and the occupied boxes."""
    target = pygame.Surface(size, 0, 32)
    target.fill((120, 120, 120))
    hud.draw(target, target.get_rect(), shown or state())
    return target, hud.pen.occupied


@pytest.mark.parametrize("size", SIZES)
def test_the_default_hud_is_small_and_in_the_corners(size: tuple[int, int]):
    target, boxes = drawn(Hud(), size)
    width, height = size
    assert len(boxes) == 2
    assert sum(box.w * box.h for box in boxes) < 0.04 * width * height * max(1.0, (512 / width) ** 2 * 1.3)
    view = target.get_rect()
    middle = pygame.Rect(0.25 * width, 0, 0.43 * width, 0.8 * height)
    for box in boxes:
        assert view.contains(box)
        assert not box.colliderect(middle)


def test_no_relevant_traffic_light_is_ever_covered():
    network = Network(*load("oldtown"))
    picture = Size(512, 256)
    focal = focal_length(picture.width, 70.0)
    lamps: list[tuple[float, float]] = []
    for signal in network.signals:
        pose = Transform(*signal.position.tolist(), 0.0, signal.yaw + 180.0).matrix()
        heads = traffic_light_bulbs(ARM if len(signal.lanes) > 1 else 0.0)
        bulbs = np.concatenate([np.asarray(places) for places in heads.values()]) @ pose[:3, :3].T + pose[:3, 3]
        for index in signal.lanes:
            stop, before = network.lanes[index].centre[[-1, -2]]
            along = (stop - before) / np.linalg.norm(stop - before)
            right = np.array([-along[1], along[0], 0.0])
            for distance in (2.0, 6.0, 12.0, 45.0):  # m, of the camera to the stop line
                away = bulbs - (stop - distance * along + (0.0, 0.0, 1.45))
                ahead = away @ along
                seen = ahead > 1.0
                across = picture.width / 2 + focal * (away @ right)[seen] / ahead[seen]
                down = picture.height / 2 - focal * away[seen, 2] / ahead[seen]
                lamps += [(x, y) for x, y in zip(across, down, strict=True) if 0 <= x < 512 and 0 <= y < 256]
    assert len(lamps) > 100
    for size in ((512, 256), (1024, 512), (1920, 960)):
        _, boxes = drawn(Hud(), size)
        covered = [
            at for at in lamps for box in boxes if box.collidepoint(at[0] * size[0] / 512, at[1] * size[1] / 256)
        ]
        assert not covered


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("full", [False, True])
def test_notices_do_not_overlap(size: tuple[int, int], full: bool):
    hud = Hud()
    hud.full, hud.graph = full and size[0] > 512, size[0] > 320  # smaller ones have no room for all at once
    shown = state()
    shown.recording, shown.recorded_to = 12.0, "recordings/drive-20261121-151200"
    _, before = drawn(hud, size, shown)
    for text in ("Saved recordings/neuralsim-20261121-151312.png", "Collision"):
        hud.notify(text)
    target, boxes = drawn(hud, size, shown)
    notices = boxes[len(before) :]
    assert len(notices) == 2
    for number, box in enumerate(boxes):
        others = boxes[:number] + boxes[number + 1 :]
        assert box.collidelist(others) < 0, (box, others)
        assert target.get_rect().contains(box)


@pytest.mark.parametrize("size", SIZES)
def test_text_is_never_too_small_to_read(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    used: list[int] = []
    text = Pen().surfaces.text
    monkeypatch.setattr(
        "neuralsim.window.drawing.SurfaceCache.text", lambda _, string, px, c: used.append(px) or text(string, px, c)
    )
    hud = Hud()
    hud.full = hud.graph = True
    hud.notify("Weather: WetSunset")
    drawn(hud, size)
    hud.help.turn()
    drawn(hud, size)
    assert used
    assert min(used) >= LEGIBLE


@pytest.mark.parametrize("size", [(320, 160), (512, 256), (1024, 512)])
def test_the_help_card_has_every_key_on_pages_that_fit(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    shown: set[str] = set()
    text = Pen().surfaces.text
    monkeypatch.setattr(
        "neuralsim.window.drawing.SurfaceCache.text", lambda _, string, px, c: shown.add(string) or text(string, px, c)
    )
    card, pen = HelpCard(HELP), Pen()
    target = pygame.Surface(size, 0, 32)
    pages = 0
    card.turn()
    while card.page is not None:
        pen.begin(target.get_rect())
        target.fill((200, 200, 200))
        card.draw(target, pen)
        assert (pygame.surfarray.array3d(target).sum(axis=-1) < 150).mean() > 0.1
        pages += 1
        card.turn()
    assert pages == 1 or size[0] < 1024
    assert {key for _, rows in HELP for keys, _ in rows for key in keys} <= shown


def test_a_click_on_the_hud_shows_the_details():
    hud = Hud()
    _, boxes = drawn(hud, (1024, 512))
    assert not hud.clicked((500, 250))
    assert hud.clicked(boxes[0].center)
    assert hud.full
    _, more = drawn(hud, (1024, 512))
    assert sum(box.w * box.h for box in more) > 2 * sum(box.w * box.h for box in boxes)


def test_speed_is_in_the_chosen_units():
    hud, texts = Hud(), []
    text = hud.pen.surfaces.text
    hud.pen.surfaces.text = lambda string, px, c: texts.append(string) or text(string, px, c)  # type: ignore[method-assign]
    shown = state()
    shown.ego.speed, shown.units = 44.704, "mph"
    drawn(hud, (1024, 512), shown)
    assert {"100", "mph"} <= set(texts)


def test_the_tutorial_advances_with_the_drivers_actions_and_ends():
    tutorial, steps = Tutorial(active=True), []
    drive = [
        (Ego(speed=0.0), 1.0),
        (Ego(speed=9.0, autopilot=True), 2.0),  # not by the driver
        (Ego(speed=3.0), 3.0),
        (Ego(speed=8.0, steer=-0.3), 4.0),
        (Ego(speed=4.0, brake=1.0), 5.0),
        (Ego(speed=0.1, brake=1.0), 6.0),
        (Ego(speed=0.0), 10.0),
        (Ego(speed=0.0), 16.0),
    ]
    for ego, at in drive:
        tutorial.update(ego, at)
        steps.append(tutorial.step)
    assert steps == [0, 0, 1, 2, 2, 3, 3, 4]
    assert not tutorial.active


def test_the_tutorial_does_not_count_what_the_autopilot_does():
    tutorial = Tutorial(active=True)
    card = tutorial.card
    assert card[0] == ("W",)
    tutorial.update(Ego(speed=8.0, autopilot=True), 1.0)
    assert (tutorial.step, tutorial.card[0]) == (0, ("P",)), "the autopilot's driving off is not the driver's"
    assert "autopilot is driving" in tutorial.card[1]
    tutorial.update(Ego(speed=0.0), 2.0)
    assert tutorial.card == card
    tutorial.step = 3  # the step about the autopilot
    tutorial.update(Ego(speed=8.0, autopilot=True), 3.0)
    assert "Enjoy the drive" in tutorial.card[1]


@pytest.mark.parametrize("size", SIZES)
def test_the_tutorial_does_not_overlap_the_hud(size: tuple[int, int]):
    hud = Hud()
    _, before = drawn(hud, size)
    hud.tutorial = Tutorial(active=True)
    for step in range(4):
        hud.tutorial.step = step
        target, boxes = drawn(hud, size)
        assert len(boxes) == len(before) + 1
        assert target.get_rect().contains(boxes[-1])
        if size[0] > 320:
            assert boxes[-1].collidelist(before) < 0
    hud.tutorial.skip()
    assert len(drawn(hud, size)[1]) == len(before)


def test_a_toast_does_not_cover_the_maps_help_line():
    for size in SIZES:
        hud, target = Hud(), pygame.Surface(size, 0, 32)
        hud.minimap.large = True
        hud.minimap.chart = Chart("road", [np.float32([[0, 0], [90, 0]])], np.full((1, 1), 3.5, np.float32))
        frame = Frame(1, 1, 0.0, Camera(64, 32, 70.0, np.eye(4)), {})
        hud.notify("Collision 3: a car")
        hud.draw(target, target.get_rect(), state(), frame)
        *before, notice = hud.pen.occupied
        assert notice.collidelist(before) < 0
        assert any(box.width > 0.2 * size[0] and box.top > 0.6 * size[1] for box in before)  # the line


def test_cards_wait_under_a_menu_and_for_each_other():
    hud = Hud()
    alone = len(drawn(hud, (1024, 512))[1])
    hud.tutorial = Tutorial(active=True)
    hud.notify("Collision 3: a car")
    assert len(drawn(hud, (1024, 512))[1]) == alone + 2
    hud.covered = True
    assert len(drawn(hud, (1024, 512))[1]) == alone
    hud.covered = False
    shown = state()
    shown.card = Card("Night in rain: done", ["90 points"], True)
    _, boxes = drawn(hud, (1024, 512), shown)
    assert len(boxes) == alone + 2  # the card instead of the tutorial
    assert not any(a.colliderect(b) for a, b in itertools.combinations(boxes, 2))


# The menu


def key(which: int) -> pygame.event.Event:
    return pygame.event.Event(pygame.KEYDOWN, key=which, mod=0)


class Choices:
    """A menu with a page of all kinds of items."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.value = 1
        self.menu = Menu(lambda shown: self.done.append("opened" if shown else "closed"))
        self.menu.open(MenuPage("First", self.items))

    def items(self) -> list[MenuItem]:
        below = MenuPage("Second", lambda: [MenuItem(f"{n}", lambda: None) for n in range(40)])
        return [
            MenuItem("Act", lambda: self.done.append("acted")),
            MenuItem("Change", value=lambda: str(self.value), change=self.change),
            MenuItem("Further", lambda: self.menu.open(below)),
        ]

    def change(self, by: int) -> None:
        self.value += by


def test_a_menu_is_operated_by_keys():
    choices = Choices()
    for which in (pygame.K_RETURN, pygame.K_DOWN, pygame.K_RIGHT, pygame.K_d, pygame.K_LEFT, pygame.K_RETURN):
        assert choices.menu.handle(key(which))
    assert (choices.done, choices.value) == (["opened", "acted"], 3)
    choices.menu.handle(key(pygame.K_UP))
    choices.menu.handle(key(pygame.K_UP))  # wraps around to the last item
    assert choices.menu.chosen is not None
    assert choices.menu.chosen.label == "Further"
    choices.menu.handle(key(pygame.K_RETURN))
    assert choices.menu.title == "Second"
    choices.menu.handle(key(pygame.K_ESCAPE))
    assert (choices.menu.title, choices.menu.shown) == ("First", True)
    choices.menu.handle(key(pygame.K_ESCAPE))
    assert not choices.menu.shown
    assert choices.done[-1] == "closed"
    assert not choices.menu.handle(key(pygame.K_RETURN))


def test_a_menu_is_operated_by_mouse_and_gamepad():
    choices, pen = Choices(), Pen()
    target = pygame.Surface((512, 256), 0, 32)
    pen.begin(target.get_rect())
    choices.menu.draw(target, pen)
    event = pygame.event.Event
    line = target.get_rect().centery
    choices.menu.handle(event(pygame.MOUSEMOTION, pos=(256, line), rel=(0, 0), buttons=(0, 0, 0)))
    assert choices.menu.chosen is not None
    label = choices.menu.chosen.label
    choices.menu.handle(event(pygame.MOUSEBUTTONDOWN, pos=(256, line), button=1))
    assert (choices.value, choices.done, choices.menu.title) != (1, ["opened"], "First"), label
    choices = Choices()
    choices.menu.handle(event(pygame.JOYHATMOTION, value=(0, -1), hat=0, instance_id=7))
    choices.menu.handle(event(pygame.JOYAXISMOTION, axis=0, value=0.9, instance_id=7))
    choices.menu.handle(event(pygame.JOYAXISMOTION, axis=0, value=0.95, instance_id=7))  # held: once
    assert choices.value == 2
    choices.menu.handle(event(pygame.JOYAXISMOTION, axis=0, value=0.0, instance_id=7))
    choices.menu.handle(event(pygame.JOYAXISMOTION, axis=1, value=0.9, instance_id=7))
    choices.menu.handle(event(pygame.JOYBUTTONDOWN, button=0, instance_id=7))
    assert choices.menu.title == "Second"
    choices.menu.handle(event(pygame.JOYBUTTONDOWN, button=7, instance_id=7))
    assert not choices.menu.shown


@pytest.mark.parametrize("size", SIZES)
def test_a_long_page_scrolls_to_the_selected_item(size: tuple[int, int]):
    choices, pen = Choices(), Pen()
    choices.menu.handle(key(pygame.K_END))
    choices.menu.handle(key(pygame.K_RETURN))
    target = pygame.Surface(size, 0, 32)
    for which in (pygame.K_DOWN, pygame.K_END, pygame.K_HOME):
        choices.menu.handle(key(which))
        pen.begin(target.get_rect())
        choices.menu.draw(target, pen)
        boxes = {number: box for box, number in choices.menu._boxes}
        assert choices.menu.chosen is not None
        assert target.get_rect().contains(boxes[int(choices.menu.chosen.label)])


# The settings file


def test_the_command_line_takes_precedence_over_settings():
    chosen = CockpitSettings(town="hamlet", weather="WetNoon", traffic="dense", quality="best", upscaling=True)
    plain = chosen.applied(DriveOptions())
    assert (plain.town, plain.weather, plain.vehicles, plain.size) == ("hamlet", "WetNoon", 45, (768, 384))
    assert plain.show == (1536, 768)
    given = chosen.applied(DriveOptions(town="village", vehicles=3, size="256x128", show="300x200"))
    assert (given.town, given.vehicles, given.walkers, given.size) == ("village", 3, 40, (256, 128))
    assert given.show == (300, 200)
    elsewhere = chosen.applied(DriveOptions(connect="tcp://host:5600"))
    assert (elsewhere.town, elsewhere.weather, elsewhere.size, elsewhere.show) == ("oldtown", None, (512, 256), None)
    assert CockpitSettings().applied(DriveOptions()) == DriveOptions()
    assert CockpitSettings(dashcam=True).applied(DriveOptions()).dashcam
    assert not CockpitSettings(dashcam=True).applied(DriveOptions(dashcam=False)).dashcam


# The mirror


@pytest.mark.parametrize("size", SIZES)
def test_mirrors_are_clear_of_the_instruments_and_never_outdated(size: tuple[int, int]):
    hud = Hud()
    _, before = drawn(hud, size)
    colours = {"rear": (200, 20, 20), "left": (20, 200, 20), "right": (20, 20, 200)}
    images = {name: np.full((*MIRRORS[name][::-1], 3), colour, np.uint8) for name, colour in colours.items()}

    def shown(at: float, *new: MirrorName, mount: str = "") -> list[pygame.Rect]:
        frame = Frame(0, 0, at, Camera(64, 32, 70.0, np.eye(4)), {}, mount=mount)
        hud.mirrors.update(at, {name: images[name] for name in new})
        target = pygame.Surface(size, 0, 32)
        hud.draw(target, target.get_rect(), HudState(), frame)
        boxes = hud.pen.occupied[len(before) :]
        for box, colour in zip(boxes, colours.values(), strict=False):
            assert target.get_at(box.center)[:3] == pytest.approx(colour, abs=4)
        return boxes

    assert shown(1.0, "rear", "left", "right") == [], "they are off"
    hud.mirrors.rear = True
    (box,) = shown(1.1, "rear")
    assert pygame.Rect((0, 0), size).contains(box)
    assert box.top > size[1] // 2, "below where traffic lights are"
    assert box.collidelist(before) < 0 or size[0] < 400
    assert shown(1.2) == [box], "the last one stays"
    assert shown(1.3, mount="reversing") == []
    hud.mirrors.wings = True
    every = shown(1.4, "rear", "left", "right")
    assert [a.colliderect(b) for a, b in itertools.combinations([*every, *before], 2)].count(True) == 0 or size[0] < 400
    assert every[1].right < size[0] // 3 < 2 * size[0] // 3 < every[2].left, "each at its side"
    assert shown(3.0) == [], "they are too old"


# The map


def map_frame(yaw: float = 0.0) -> tuple[Minimap, Frame]:
    minimap = Minimap()
    street = np.stack([np.linspace(-300.0, 300.0, 60), np.zeros(60)], axis=1).astype(np.float32)
    minimap.chart = Chart("made", [street, street[:, ::-1].copy()], np.array([[3.5], [3.5]], np.float32))
    frame = Frame(0, 0, 0.0, Camera(64, 32, 70.0, np.eye(4)), {})
    frame.ego.pose[:2, :2] = (np.cos(yaw), -np.sin(yaw)), (np.sin(yaw), np.cos(yaw))
    frame.ego.pose[0, 3] = 20.0
    return minimap, frame


@pytest.mark.parametrize("size", [(320, 160), (1024, 512), (640, 480)])
def test_a_click_on_the_map_gives_the_position_drawn_there(size: tuple[int, int]):
    minimap, frame = map_frame()
    target, pen = pygame.Surface(size, 0, 32), Pen()
    pen.begin(target.get_rect())
    minimap.draw(target, pen, frame)
    corner = minimap._box.center
    assert corner[0] < size[0] / 3
    assert corner[1] > size[1] / 2
    assert minimap.clicked((size[0] - 5, 5)) is None
    assert minimap.clicked(corner) is None
    assert minimap.large
    target.fill((0, 0, 0))
    minimap.draw(target, pen, frame)
    at = minimap._at
    assert at is not None
    for place in ((-100.0, 40.0), (20.0, 0.0), (250.0, -200.0)):
        pixel = at(np.array([place]))[0]
        assert minimap.clicked((round(pixel[0]), round(pixel[1]))) == pytest.approx(place, abs=1.0 / at.scale)
    south, north = at(np.array([(0.0, 100.0), (0.0, -100.0)]))[:, 1]
    assert north < south  # CARLA's y points south


def test_the_small_map_is_heading_up_and_shows_route_and_traffic():
    minimap, frame = map_frame(yaw=np.pi / 2)  # towards y
    frame.route = np.array([(20.0, 0.0), (20.0, 60.0)], np.float32)
    frame.route_left = 60.0
    frame.traffic = np.array([(20.0, 30.0, 0.0, 0.0)], np.float32)
    target, pen = pygame.Surface((1024, 512), 0, 32), Pen()
    pen.begin(target.get_rect())
    minimap.draw(target, pen, frame)
    assert minimap._at is not None
    ego, car, side = minimap._at(np.array([(20.0, 0.0), (20.0, 30.0), (50.0, 0.0)]))
    assert car[1] < ego[1]
    assert car[0] == pytest.approx(ego[0])
    assert side[0] < ego[0]  # x is to the left when driving towards y
    colours = {tuple(target.get_at((round(car[0]) + dx, round(car[1]))))[:3] for dx in range(-4, 5)}
    assert (250, 188, 64) in colours
    way = {tuple(target.get_at((round(ego[0]) + dx, round(ego[1]) - 16)))[:3] for dx in range(-4, 5)}
    assert (86, 156, 255) in way


def test_settings_are_saved_in_a_commented_file(tmp_path: Path):
    file = tmp_path / "deep" / "cockpit.yaml"
    assert settings.load(file) == CockpitSettings()
    wheel = Axes(steer=3, throttle=1, brake=5, rest=1.0, left=0.9, right=-0.95)
    chosen = CockpitSettings(window=Size(640, 320), units="mph", keys={"horn": "k"}, axes={"Odd wheel": wheel})
    settings.save(file, chosen)
    assert settings.load(file) == chosen
    lines = file.read_text(encoding="utf-8").splitlines()
    for name in CockpitSettings.model_fields:
        at = next(n for n, line in enumerate(lines) if line.startswith(f"{name}:"))
        assert lines[at - 1].startswith("# ")
    file.write_text("units: knots\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"cockpit.yaml:1: units: unknown value 'knots'"):
        settings.load(file)


# Towns, position, actors in view


def test_each_town_has_a_sentence_and_a_picture_next_to_the_menu():
    shown = {}
    for town, sentence in presets.TOWNS.items():
        path = PREVIEWS / f"{town}.jpg"
        assert sentence.endswith(".")
        menu, pen, target = Menu(), Pen(), pygame.Surface((1024, 512), 0, 32)
        items = [MenuItem("Town", hint=sentence, picture=path), MenuItem("Car")]
        menu.open(MenuPage("Place and picture", lambda items=items: items))
        for _ in items:
            pen.begin(target.get_rect())
            target.fill((120, 120, 120))
            menu.draw(target, pen)
            box = menu._boxes[0][0]
            shown[town, menu.chosen.label] = pygame.image.tobytes(
                target.subsurface(box.right + pen.px(20), box.top, pen.px(300), pen.px(100)), "RGB"
            )
            menu.handle(key(pygame.K_DOWN))
    assert len({shown[town, "Town"] for town in presets.TOWNS}) == len(presets.TOWNS)
    assert len({shown[town, "Car"] for town in presets.TOWNS}) == 1  # nothing but the dimmed view


def test_position_heading_and_the_nearest_actors_are_listed():
    pose = np.eye(4)
    pose[:2, 3] = 12.34, -5.0
    here = Frame(0, 0, 0.0, Camera(512, 256, 90.0, pose), {}, Ego(pose=pose))
    assert position(here) == "x 12.3  y -5.0 m  |  90° E"  # CARLA's x points east
    for away, blueprint in ((30.0, "vehicle.audi.tt"), (8.0, "walker.pedestrian.0012"), (5.0, "")):
        there = pose.copy()
        there[0, 3] += away
        here.objects.append(MovingObject(1, 14, there, (2.0, 1.0, 1.0), blueprint))
    assert in_view(here) == ["8 m  pedestrian", "30 m  audi tt"]
