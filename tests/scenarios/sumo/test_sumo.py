"""SUMO's networks as towns and its vehicles as actors; without SUMO: error messages, and motion of moved actors."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from neuralsim.session.processes import Processes
from neuralsim.town.core.types import Transform
from neuralsim.town.frames import frame_of
from neuralsim.town.world import World
from scenarios.sumo import sumo_network
from scenarios.sumo.sumo_traffic import SumoTraffic, _pose

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "sumo_town.py"
LENS = {"image_size_x": "128", "image_size_y": "64", "fov": "70"}


def test_network_is_read_from_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "town.sumocfg"
    config.write_text('<configuration><input><net-file value="net.xml"/></input></configuration>', encoding="utf-8")
    assert sumo_network.network_of(config) == tmp_path / "net.xml"


@pytest.mark.parametrize(
    ("text", "message"), [("<configuration/>", "names no net-file"), ("<a", "line 1"), (None, "no such file")]
)
def test_invalid_configuration_gives_one_line_error(tmp_path: Path, text: str | None, message: str) -> None:
    config = tmp_path / "town.sumocfg"
    if text is not None:
        config.write_text(text, encoding="utf-8")
    with pytest.raises(sumo_network.SumoError, match=message) as error:
        sumo_network.network_of(config)
    assert "\n" not in str(error.value)


def test_missing_network_ends_a_drive_with_one_line_error(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "neuralsim", "drive", "--sumo", str(tmp_path / "x.sumocfg"), "--headless"]
    run = subprocess.run([*call, "--model", "tags"], capture_output=True, text=True, timeout=120)
    assert run.returncode == 1
    assert "no such file" in run.stderr.splitlines()[-1]


def test_poses_are_of_the_vehicle_centre_in_carlas_axes() -> None:
    pose = _pose((10.0, 20.0, 0.5), 90.0, 0.0, 4.0)  # to the east, the bumper at x 10
    assert (pose.location.x, pose.location.y, pose.location.z) == pytest.approx((8.0, -20.0, 0.5))
    assert pose.rotation.yaw == pytest.approx(0.0)
    assert _pose((0.0, 0.0, 0.0), 0.0, 0.0, 4.0).rotation.yaw == pytest.approx(-90.0)  # north is -y


def test_actors_moved_by_a_client_have_motion() -> None:
    world = World("hamlet", vehicles=0, walkers=0)
    place = world.spawn_points()[0]
    heading = np.radians(place.yaw)
    forward = np.array([np.cos(heading), np.sin(heading)])
    camera = world.spawn("sensor.camera.instance_segmentation", LENS, Transform(place.x, place.y, 2.0, 0.0, place.yaw))
    camera = camera.id
    at = np.array([place.x, place.y]) + 12.0 * forward
    led = world.spawn("vehicle.audi.tt", {}, Transform(*at, place.z, 0.0, place.yaw)).id
    world.set_physics(led, False)
    depths, motions = [], []
    for step in range(3):
        x, y = at + 0.5 * step * forward
        world.set_transform(led, Transform(x, y, place.z, 0.0, place.yaw))
        world.tick(1.0 / 30.0)
        frame = frame_of(world, camera)
        mask = frame.planes["instance"] == led
        depths.append(float(frame.planes["depth"][mask].mean()))
        motions.append(frame.planes["motion"][mask].astype(float))
    # Half a metre further away along the axis: points came from further out by that share of their distance to it.
    columns = np.nonzero(mask)[1]
    shown = frame.planes["depth"][mask]
    out = (columns + 0.5 - 64.0) * (shown / (shown - 0.5) - 1.0)
    assert depths[2] - depths[1] == pytest.approx(0.5, abs=0.1)
    assert np.mean(np.abs(motions[2][:, 0] - out) < 0.05) > 0.9  # but for wheels, which roll
    assert np.abs(out).max() > 0.2
    world.set_transform(led, Transform(*(at + 9.0 * forward), place.z, 0.0, place.yaw))  # a leap is no motion
    world.tick(1.0 / 30.0)
    frame = frame_of(world, camera)
    assert np.abs(frame.planes["motion"][frame.planes["instance"] == led]).max() < 0.05


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("traci"), reason="needs the extra sumo")
def test_sumo_vehicles_keep_their_lanes_and_lights_are_applied(tmp_path: Path) -> None:
    from bridge.carla_client.connection import connect
    from bridge.carla_client.ego_bridge import BridgeSettings, CarlaBridge
    from bridge.messages import Control
    from neuralsim.town.carla_server.options import TownOptions

    spec = importlib.util.spec_from_file_location("sumo_town", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    config = example.main(str(tmp_path))
    options = TownOptions(
        port=0, town=(str(sumo_network.opendrive_of(config)),), vehicles=0, walkers=0, with_parent=True, json_lines=True
    )
    processes, traffic = Processes(), SumoTraffic(config)
    try:
        town = processes.start("town", "neuralsim.town.carla_server", options.to_json())
        client = connect(town.wait_ready(60.0, lambda: False)["server"])
        with CarlaBridge(client, BridgeSettings((64, 32)), traffic) as bridge:
            places: list[dict[str, float]] = []
            for k in range(60):
                bridge.apply_control(Control(k, brake=1.0))
                bridge.drive()
                bridge.tick()
                places.append({name: actor.get_location().x for name, actor in traffic._visible.items()})
            assert traffic.max_actors > 5
            assert len(traffic._lights) > 20
            moved = [name for name, x in places[10].items() if abs(places[-1].get(name, x) - x) > 0.5]
            assert moved
            for actor in traffic.actors:
                at = actor.get_transform()
                lane = bridge.map.get_waypoint(at.location)
                assert at.location.distance(lane.transform.location) < 1.5
            sumo = traffic._traci.trafficlight.getRedYellowGreenState
            for actor, light, index in traffic._lights[:8]:
                assert (sumo(light)[index] in "Gg") == (actor.get_state().name == "Green")
            ego = traffic._traci.vehicle.getPosition("neuralsim-ego")
            assert ego == pytest.approx(traffic._front(traffic._ego.get_transform())[:2], abs=0.5)
        until = time.monotonic() + 20.0
        while len(client.get_world().get_actors().filter("vehicle.*")) and time.monotonic() < until:
            time.sleep(0.1)
        assert not len(client.get_world().get_actors().filter("vehicle.*"))
    finally:
        processes.stop()
