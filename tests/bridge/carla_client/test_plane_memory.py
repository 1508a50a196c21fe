"""Planes in memory that the town writes and the bridge maps: as if they had come as CARLA's images."""

from __future__ import annotations

from collections.abc import Iterator

import carla
import numpy as np
import pytest
from helpers.bridge_processes import advance, end, start_town

from bridge.carla_client import camera_rig
from bridge.carla_client.camera_rig import CameraRig, RigSpec
from bridge.carla_client.connection import connect
from bridge.carla_client.ego_bridge import BridgeSettings, CarlaBridge
from bridge.link.shared_memory import ShmReader, ShmRing
from neuralsim.town.carla_server.plane_memory import PlaneMemory
from neuralsim.town.render.raster import Planes

PLANES = ("tag", "instance", "depth", "motion", "rgb")
SIZE = (96, 48)


@pytest.fixture(scope="module")
def client() -> Iterator[carla.Client]:
    town, address = start_town()
    yield connect(address)
    end(town)


def gathered(rig: CameraRig, frame: int) -> dict[str, np.ndarray]:
    images = rig.gather(frame, 20.0)
    return rig.decode(images)[1] if images else {}


def test_planes_in_memory_are_those_of_carlas_images(client: carla.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with CarlaBridge(client, BridgeSettings(SIZE, seed=2, autopilot=True)) as bridge:
        world, car = client.get_world(), bridge._ego.actor
        spec = RigSpec(SIZE, 70.0, carla.Transform(carla.Location(1.2, 0.0, 1.45)))
        mapping = CameraRig(world, car, spec, jitter=True, uses_flow=True)
        mapping.select_planes(PLANES)
        monkeypatch.setattr(camera_rig, "host_id", lambda: "")
        receiving = CameraRig(world, car, spec, jitter=True, uses_flow=True)
        receiving.select_planes(PLANES)
        assert (len(mapping.actors), len(receiving.actors)) == (1, 4)
        compared = 0
        for _ in range(40):
            frame = advance(bridge).sim_frame
            mapped, received = gathered(mapping, frame), gathered(receiving, frame)
            if mapped.keys() == received.keys() == set(PLANES):
                compared += 1
                for name, plane in mapped.items():
                    assert plane.dtype == received[name].dtype
                    np.testing.assert_array_equal(plane, received[name], name)
        assert compared > 30
        assert np.abs(mapped["motion"].astype(float)).max() > 0.1
        for rig in (mapping, receiving):
            rig.remove()


def test_planes_that_are_read_are_not_overwritten(client: carla.Client) -> None:
    with CarlaBridge(client, BridgeSettings(SIZE, seed=2, autopilot=True, planes=PLANES)) as bridge:
        bridge.drive()
        kept = bridge.tick().planes
        before = {name: plane.copy() for name, plane in kept.items()}
        after = advance(bridge, 30).planes
        assert not kept["depth"].flags.writeable
        for name, plane in kept.items():
            assert plane.tobytes() == before[name].tobytes(), name
        assert after["depth"].tobytes() != before["depth"].tobytes()


def test_server_on_another_machine_sends_images(client: carla.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_rig, "host_id", lambda: "another machine")
    with CarlaBridge(client, BridgeSettings(SIZE, seed=2, planes=PLANES)) as bridge:
        frame = advance(bridge)
        assert frame.planes.keys() == set(PLANES)
        assert 0.0 < frame.planes["depth"].min() < 20.0
        assert len(bridge._sensors.actors) == 4


def drawn(width: int, height: int) -> Planes:
    rng = np.random.default_rng(0)
    return Planes(
        rng.integers(0, 29, (height, width), np.uint8),
        rng.integers(0, 1 << 16, (height, width), np.uint16),
        rng.uniform(0.0, 1000.0, (height, width)).astype(np.float32),
        rng.normal(0.0, 9.0, (height, width, 2)).astype(np.float32),
        rng.integers(0, 256, (height, width, 3), np.uint8),
    )


def test_where_there_is_no_memory_an_image_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = PlaneMemory(("tag", "rgb"))
    place = memory.put(drawn(8, 4))
    assert place is not None
    assert set(place[3::4]) == {255}, "alpha, which CARLA's client overwrites"
    pixels = np.frombuffer(place, np.uint8).reshape(-1, 4)[:, :3].tobytes()
    tag, rgb = ShmReader().map(pixels[3 : 3 + int.from_bytes(pixels[:3], "little")])
    colours = drawn(8, 4).rgb
    assert colours is not None
    assert (tag.nbytes, bytes(rgb)) == (32, colours.tobytes())
    monkeypatch.setattr(ShmRing, "put", lambda *_, **__: None)
    assert memory.put(drawn(8, 4)) is None


@pytest.mark.parametrize("names", ["", "tag,colour", "rgb,rgb_half"])
def test_planes_that_a_camera_cannot_have_are_one_line(names: str) -> None:
    with pytest.raises(ValueError, match="a camera has no planes") as error:
        PlaneMemory(names.split(","))
    assert "\n" not in str(error.value)
