"""What clients ask for and see: map layers, environment objects, brake lamps, recordings' paths, spawn points."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bridge.tags import MOVERS, Tag
from neuralsim.town.carla_server import handlers  # noqa: F401 (registers the functions)
from neuralsim.town.carla_server.compat.level_objects import ALL_LAYERS, MapLayer
from neuralsim.town.carla_server.compat.recorder import path_of
from neuralsim.town.carla_server.registry import FUNCTIONS
from neuralsim.town.carla_server.static_scene import StaticScene
from neuralsim.town.core.types import Transform
from neuralsim.town.opendrive.towns import AS_CARLA
from neuralsim.town.world import World

BRAKE, POSITION = 8, 1
Call = Callable[..., Any]


@pytest.fixture
def town() -> SimpleNamespace:
    hamlet = World("hamlet", vehicles=0, walkers=0)
    lines: list[str] = []
    return SimpleNamespace(world=hamlet, static_scene=StaticScene(hamlet), warn=lines.append, lines=lines)


@pytest.fixture
def call(town: SimpleNamespace) -> Call:
    return lambda name, *arguments: FUNCTIONS[name](town, None, *arguments)


def planes(world: World, camera: int) -> tuple[np.ndarray, np.ndarray]:
    """Tag u8 and instance u16, (H, W) each, after a tick."""
    world.tick(0.05)
    shown = world.capture(camera)
    return shown.tag.copy(), shown.instance.copy()


def test_map_layers_go_and_come(town: SimpleNamespace, call: Call) -> None:
    world = town.world
    place = world.spawn_points()[0]
    lens = {"image_size_x": "160", "image_size_y": "96"}
    camera = world.spawn("sensor.camera.instance_segmentation", lens, Transform(place.x, place.y, 2.0, 0.0, place.yaw))
    before, _ = planes(world, camera.id)
    call("unload_map_layer", MapLayer.FOLIAGE | MapLayer.PARKED_VEHICLES)
    without, _ = planes(world, camera.id)
    gone = (Tag.VEGETATION, *MOVERS)
    assert np.isin(before, gone).any()
    assert not np.isin(without, gone).any()
    assert not town.lines
    call("load_map_layer", MapLayer.FOLIAGE | MapLayer.PARKED_VEHICLES)
    assert np.array_equal(planes(world, camera.id)[0], before)
    call("unload_map_layer", ALL_LAYERS)
    assert "buildings" in town.lines[0]
    assert "foliage" not in town.lines[0]


def test_an_object_that_is_disabled_is_gone_until_it_is_enabled(town: SimpleNamespace, call: Call) -> None:
    world = town.world
    car = town.static_scene.labelled(Tag.CAR)[0]
    (x, y, z), (_, yaw, _) = car.place
    beside = Transform(x, y, z + 0.1, 0.0, yaw)
    with pytest.raises(ValueError, match="collision"):
        world.spawn("vehicle.audi.tt", {}, beside)
    call("enable_environment_objects", [car.ident], False)
    world.destroy(world.spawn("vehicle.audi.tt", {}, beside).id)
    assert car.ident not in world.shapes()[1].instance
    assert car.ident in [each.ident for each in town.static_scene.labelled(Tag.CAR)]
    call("enable_environment_objects", [car.ident], True)
    assert car.ident in world.shapes()[1].instance
    with pytest.raises(ValueError, match="collision"):
        world.spawn("vehicle.audi.tt", {}, beside)
    call("enable_environment_objects", [1], False)
    assert len(town.lines) == 1


def test_a_brake_lamp_that_a_client_lights_stays_lit(town: SimpleNamespace, call: Call) -> None:
    world = town.world
    car = world.spawn("vehicle.audi.tt", {}, world.spawn_points()[0])

    def lamps(*state: int) -> int:
        if state:
            call("set_vehicle_light_state", car.id, list(state))
        world.tick(0.05)
        return call("get_vehicle_light_state", car.id)[0]

    assert lamps(BRAKE | POSITION) == BRAKE | POSITION
    assert lamps() == BRAKE | POSITION
    assert lamps(POSITION) == POSITION
    car.control.brake = 1.0
    assert lamps() == BRAKE | POSITION
    assert lamps(BRAKE | POSITION | 2) == BRAKE | POSITION | 2  # read, changed and written: no wish for the brake lamp
    car.control.brake = 0.0
    assert lamps() == POSITION | 2


def test_recordings_of_one_name_in_two_folders_are_two_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    base = tmp_path / "neuralsim" / "recorder"
    assert path_of("drive.log") == base / "drive.log"
    assert path_of("/data/Town01/recording.log") == base / "data" / "Town01" / "recording.log"
    assert path_of(r"C:\data\recording.log") == base / "data" / "recording.log"
    assert path_of("../../.././x.log") == base / "x.log"
    assert path_of("/".join("abcdefghijkl")) == base.joinpath(*"efghijkl")
    for bad in ("", "..", "/", "a/b\n/c", "x" * 101):
        with pytest.raises(ValueError, match="valid name"):
            path_of(bad)


@pytest.mark.parametrize(("name", "least"), [("Town01", 200), ("Town02", 100)])
def test_the_standins_have_about_as_many_spawn_points_as_carlas_maps(name: str, least: int) -> None:
    """CARLA's have 255 and 101 (``../shared/docs/CLIENTS.md``); a car fits at each of them at the same time."""
    world = World(AS_CARLA[name], vehicles=0, walkers=0)
    world.name = name
    points = StaticScene(world).spawn_points
    assert least <= len(points) <= 1.25 * {"Town01": 255, "Town02": 101}[name]
    for point in points:
        world.spawn("vehicle.tesla.model3", {}, point)
    world.name = "own"
    assert len(StaticScene(world).spawn_points) < least
