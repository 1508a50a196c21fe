"""The bridge on a town as strict as CARLA's server, with the town's own motion to compare with.

``test_bridge.py`` runs on such a town as well, with ``-m slow``.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import carla
import numpy as np
import pytest
from helpers.bridge_processes import TRUE_FLOW, advance, end, start, start_bridge, start_town, wait_for

from bridge.carla_client.camera_rig import SENSOR_ROLE, CameraRig, RigSpec
from bridge.carla_client.connection import connect
from bridge.carla_client.ego_bridge import CAMERA_NOTICE, BridgeSettings, CarlaBridge
from bridge.carla_client.world_clock import NOTICE
from bridge.messages import Control, Frame
from bridge.process.lifetime import BridgeError
from bridge.tags import MOVERS, Tag
from neuralsim.evaluation.measures import warping_error
from neuralsim.models.visibility import still_visible
from neuralsim.renderer import NeuralRenderer

SIZE = (512, 256)
KINDS = {"vehicle": (Tag.CAR, Tag.TRUCK, Tag.BUS), "walker": (Tag.PEDESTRIAN,)}
MAX_ERROR = {"static": 0.1, "vehicle": 0.5, "walker": 0.5}  # px, mean


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[subprocess.Popen[str], str]]:
    process, address = start_town(strict=True, program=(TRUE_FLOW,))
    yield process, address
    end(process)


@pytest.fixture(scope="module")
def town(started: tuple[subprocess.Popen[str], str]) -> str:
    return started[1]


class TrueMotion:
    """The town's motion, limbs and wheels included, at the mount of a bridge's camera."""

    def __init__(self, bridge: CarlaBridge) -> None:
        camera = bridge.settings
        spec = RigSpec(camera.size, camera.fov, camera.mount)
        self.rig = CameraRig(bridge._ego.actor.get_world(), bridge._ego.actor, spec, uses_flow=True)
        bridge._parts.append(self.rig)
        self.rig.select_planes(("tag", "instance", "depth", "motion"))

    def of(self, frame: Frame) -> dict[str, np.ndarray]:
        images = self.rig.gather(frame.sim_frame, 10.0, 1.0)
        return self.rig.decode(images)[1] if len(images) == 3 else {}


@pytest.mark.slow
def test_motion_from_poses_is_the_towns_own(town: str) -> None:
    """Mean errors at 512x256, over drives until enough has moved by itself."""
    error: dict[str, float] = defaultdict(float)
    count: dict[str, int] = defaultdict(int)
    for seed in range(8):
        with CarlaBridge(connect(town), BridgeSettings(SIZE, seed=seed, autopilot=True)) as bridge:
            truth = TrueMotion(bridge)
            for tick in range(70):
                frame = advance(bridge)
                true = truth.of(frame)
                if tick < 20 or tick % 3 or not true:
                    continue
                motion = true["motion"].astype(float)
                off = np.hypot(*(frame.planes["motion"] - motion).transpose(2, 0, 1))
                seen = np.abs(motion).max(-1) < 200.0
                actors = [mover.actor.id for mover in bridge._surroundings._movers.values()]
                moves = np.isin(true["instance"], actors)
                masks = {name: moves & np.isin(true["tag"], tags) for name, tags in KINDS.items()}
                masks["static"] = ~np.isin(true["tag"], MOVERS)
                for name, mask in masks.items():
                    error[name] += off[mask & seen].sum()
                    count[name] += int((mask & seen).sum())
        if count["vehicle"] > 50_000 and count["walker"] > 2000:
            break
    assert count["static"] > 1e6
    assert count["vehicle"] > 20_000, "nobody drove by"
    assert count["walker"] > 500, "nobody walked by"
    for name, most in MAX_ERROR.items():
        assert error[name] / count[name] <= most, name


def test_a_flow_camera_is_a_choice(town: str) -> None:
    with CarlaBridge(connect(town), BridgeSettings(SIZE)) as bridge:
        assert set(bridge._sensors._cameras.rig._spawned) == {"depth", "instance_segmentation"}
    with CarlaBridge(connect(town), BridgeSettings(SIZE, motion="flow")) as bridge:
        assert "optical_flow" in bridge._sensors._cameras.rig._spawned
        assert np.abs(advance(bridge, 3).planes["motion"].astype(float)).max() < 1000.0


def sensors(world: carla.World) -> list[str]:
    """Return the types of this project's sensors on the server."""
    return sorted(each.type_id for each in world.get_actors() if each.attributes.get("role_name") == SENSOR_ROLE)


def test_sensors_exist_only_while_they_are_needed(town: str) -> None:
    """A server may go on rendering for a camera that nobody listens to."""
    with CarlaBridge(connect(town), BridgeSettings((64, 32))) as bridge:
        world = bridge._ego.actor.get_world()
        advance(bridge)
        usual = sensors(world)
        assert usual == ["sensor.camera.depth", "sensor.camera.instance_segmentation", "sensor.other.collision"]
        more = {"rgb": {"rgb": True, "rgb_half": True}, "mirror": {"mirror": True}, "chase": {"camera": "chase"}}
        extra = {"rgb": ["rgb"] * 2, "mirror": ["depth", "instance_segmentation", "rgb"], "chase": []}
        for count, (name, request) in enumerate([*more.items()] * 2, 1):
            bridge.apply_control(Control(2 * count, **request))
            advance(bridge, 2)
            assert sensors(world) == sorted(usual + [f"sensor.camera.{kind}" for kind in extra[name]]), name
            bridge.apply_control(Control(2 * count + 1))
            advance(bridge, 2)
            assert sensors(world) == usual, name


def test_simulator_image_has_no_glare(town: str) -> None:
    with CarlaBridge(connect(town), BridgeSettings((64, 32))) as bridge:
        bridge.apply_control(Control(1, rgb=True))
        advance(bridge, 2)
        (camera,) = bridge._ego.actor.get_world().get_actors().filter("sensor.camera.rgb")
        for name in ("bloom_intensity", "lens_flare_intensity", "motion_blur_intensity"):
            assert float(camera.attributes[name]) == 0.0


def asynchronous(address: str) -> bool:
    settings = connect(address).get_world().get_settings()
    return not settings.synchronous_mode and not settings.fixed_delta_seconds


@pytest.mark.slow
def test_settings_are_restored_by_a_slow_server_and_after_failures(
    started: tuple[subprocess.Popen[str], str],
) -> None:
    """Whatever fails before, and however long a call takes, up to ten seconds."""
    process, town = started
    bridge = CarlaBridge(connect(town), BridgeSettings((64, 32)))
    advance(bridge)

    def fail() -> None:
        raise ValueError("a part of the bridge that fails")

    bridge._collisions.stop = fail  # type: ignore[method-assign]
    process.send_signal(signal.SIGSTOP)
    threading.Timer(2.5, process.send_signal, (signal.SIGCONT,)).start()
    bridge.close()
    assert asynchronous(town)
    assert not sensors(connect(town).get_world())


def test_settings_of_another_client_are_set_again(town: str) -> None:
    """Scripts such as CARLA's generate_traffic.py make the server asynchronous at their end."""
    with CarlaBridge(connect(town), BridgeSettings((64, 32))) as bridge:
        advance(bridge, 3)
        world = connect(town).get_world()
        theirs = world.get_settings()
        for synchronous, delta in ((False, None), (True, 0.2)):
            theirs.synchronous_mode, theirs.fixed_delta_seconds = synchronous, delta
            world.apply_settings(theirs)
            notices = {advance(bridge).notice for _ in range(4)}
            assert NOTICE in notices
            now = world.get_settings()
            assert (now.synchronous_mode, now.fixed_delta_seconds) == (True, pytest.approx(1 / 30))
            times = [advance(bridge).sim_time for _ in range(3)]
            assert np.diff(times) == pytest.approx(1 / 30, abs=1e-5)
    assert asynchronous(town)


def test_a_mode_without_rendering_that_a_script_has_left_is_ended_and_restored(town: str) -> None:
    world = connect(town).get_world()
    theirs = world.get_settings()
    theirs.no_rendering_mode = True
    world.apply_settings(theirs)
    with CarlaBridge(connect(town), BridgeSettings((64, 32), fps=5.0)) as bridge:
        assert advance(bridge).planes["tag"].any()
        held = world.get_settings()
        assert held.max_substeps * held.max_substep_delta_time >= 0.2, "physics would be slower than the clock"
    assert world.get_settings().no_rendering_mode
    theirs.no_rendering_mode = False
    world.apply_settings(theirs)


def test_rendering_that_another_client_turns_off_is_turned_on_again(town: str) -> None:
    """As ``PythonAPI/util/config.py --no-rendering`` does; cameras then send nothing, and a bridge would wait."""
    with CarlaBridge(connect(town), BridgeSettings((64, 32))) as bridge:
        advance(bridge, 3)
        world = connect(town).get_world()
        theirs = world.get_settings()
        theirs.no_rendering_mode = True
        world.apply_settings(theirs)
        begun = time.monotonic()
        frame = advance(bridge)
        assert time.monotonic() - begun < 10.0, "not the timeout of a camera that is lost"
        assert frame.notice == NOTICE
        assert frame.planes["tag"].any()
        assert not world.get_settings().no_rendering_mode
    assert asynchronous(town)


@pytest.mark.parametrize("view", ["", "left"])
def test_a_camera_that_another_client_destroys_is_spawned_again(town: str, view: str) -> None:
    """As ``PythonAPI/util`` and cleaning scripts do with all sensors."""
    left = RigSpec((64, 32), 90.0, carla.Transform(carla.Location(0.0, -0.8, 1.5), carla.Rotation(yaw=-60.0)))
    with CarlaBridge(connect(town), BridgeSettings((64, 32), more_cameras={"left": left})) as bridge:
        before = advance(bridge, 3)
        rig = bridge._sensors._rigs()[view]
        other = connect(town).get_world()
        for actor in rig.actors:
            assert other.get_actor(actor.id).destroy()
        begun = time.monotonic()
        frame = advance(bridge)
        assert time.monotonic() - begun < 10.0, "not the timeout of a camera that is lost"
        assert frame.notice == CAMERA_NOTICE
        assert frame.planes["tag"].any()
        assert frame.sequence > before.sequence
        assert advance(bridge, 3).planes["depth"].any()
        mine = [actor for actor in other.get_actors().filter("sensor.camera.*") if actor.parent]
        assert len(mine) == sum(len(each.actors) for each in bridge._sensors._rigs().values())
    assert asynchronous(town)


def test_server_is_left_as_it_was_when_another_client_has_loaded_a_world(town: str) -> None:
    """CARLA's client refuses calls of a world whose episode is over (``EpisodeProxy.cpp``, ``Lock``)."""
    with CarlaBridge(connect(town), BridgeSettings((64, 32))) as bridge:
        advance(bridge)
        other = connect(town)
        other.set_timeout(120.0)  # a town is built while it waits
        other.reload_world(False)
        with pytest.raises(BridgeError, match="another map was loaded"):
            advance(bridge, 3)
    assert asynchronous(town)


def test_bridge_that_is_ended_while_it_starts_leaves_the_server_as_it_was(town: str, tmp_path: Path) -> None:
    world = connect(town).get_world()
    process = start_bridge(town, f"ipc://{tmp_path}/frames", ready=False)
    until = time.monotonic() + 40.0
    while not world.get_settings().synchronous_mode:
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    ended = wait_for(process)
    assert (ended.code, ended.errors) == (0, "")
    assert asynchronous(town)
    assert not sensors(connect(town).get_world())


MASTER = """
import sys
from bridge.carla_client.connection import connect
world = connect(sys.argv[1]).get_world()
settings = world.get_settings()
settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
world.apply_settings(settings)
print("ready", flush=True)
input()
"""


def test_server_of_a_killed_master_is_usable_and_free_afterwards(town: str) -> None:
    master = start("-c", MASTER, town)
    end(master)
    world = connect(town).get_world()
    assert world.get_settings().synchronous_mode, "as a CARLA server: nobody has ended it"
    begun = time.monotonic()
    with CarlaBridge(connect(town), BridgeSettings((64, 32))) as bridge:
        assert advance(bridge).planes["tag"].any()
        assert world.get_settings().fixed_delta_seconds == pytest.approx(1 / 30)
    assert time.monotonic() - begun < 20.0
    assert not world.get_settings().synchronous_mode
    assert not world.get_settings().fixed_delta_seconds


def drive(strict: bool) -> tuple[float, np.ndarray]:
    """Return the mean warping error of a rendered drive, by the town's own motion, and its last tags."""
    process, address = start_town(strict=strict, program=(TRUE_FLOW,))
    try:
        client = connect(address)
        client.set_timeout(120.0)  # a town is built while it waits
        world = client.get_world()
        held = world.get_settings()
        held.synchronous_mode, held.fixed_delta_seconds = True, 1 / 30
        world.apply_settings(held)
        client.reload_world(False)  # from here on nothing moves without the bridge
        settings = BridgeSettings(SIZE, seed=1, autopilot=True, planes=("tag", "instance", "depth", "motion", "rgb"))
        with CarlaBridge(client, settings) as bridge:
            truth, renderer = TrueMotion(bridge), NeuralRenderer(size=SIZE)
            errors, old, before = [], None, None
            for tick in range(120):
                frame = advance(bridge)
                motion = truth.of(frame).get("motion")
                if tick < 60:
                    continue  # it begins to move
                image = renderer.render(frame)
                if old is not None and before is not None and motion is not None:
                    exact = replace(frame, planes=frame.planes | {"motion": motion})
                    seen = still_visible(old, exact)
                    errors.append(warping_error(before, image, motion.astype(np.float32), seen))
                old, before = frame, image
        assert len(errors) > 50
        return float(np.mean(errors)), frame.planes["tag"]
    finally:
        end(process)


@pytest.mark.slow
def test_recorded_drive_flickers_no_more_than_on_a_kind_town() -> None:
    (kind, kind_tag), (strict, strict_tag) = drive(False), drive(True)
    assert (kind_tag == strict_tag).mean() > 0.99, "the same drive"
    assert strict <= 1.1 * kind
