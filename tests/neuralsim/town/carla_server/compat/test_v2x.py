"""V2X radios: what the official client reads, which messages are received, and when they are sent."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers.wire_client import empty_town, run_client

from neuralsim.town.assets.templates import templates
from neuralsim.town.carla_server.compat.v2x import (
    Airwaves,
    CooperativeAwareness,
    line_of_sight,
    two_ray_loss,
    winner_loss,
)
from neuralsim.town.core.blueprint_library import blueprints
from neuralsim.town.core.types import Actor, Transform
from neuralsim.town.raycasting.rays import Hits


def test_the_official_client_receives_messages() -> None:
    with empty_town("plain") as server:
        run_client(
            server.port,
            """
            client.set_timeout(60.0)
            world = client.get_world()
            synchronous(world)
            library = world.get_blueprint_library()
            def spawn(kind, x=0.0, to=None, **given):
                blueprint = library.find(kind)
                for name, value in given.items():
                    blueprint.set_attribute(name, value)
                return world.spawn_actor(blueprint, carla.Transform(carla.Location(x, 0, 0.2 * (to is None))), to)
            cars = [spawn("vehicle.tesla.model3", 20.0 * k) for k in range(3)]
            options = {"use_etsi_fading": "false"}
            radios = [spawn("sensor.other.v2x", to=car, **options) for car in cars]
            senders = [spawn("sensor.other.v2x_custom", to=car, **options) for car in cars]
            aware, custom = queue.Queue(), queue.Queue()
            radios[0].listen(aware.put)
            senders[0].listen(custom.put)
            senders[1].send("brake ahead")
            cars[1].set_target_velocity(carla.Vector3D(8, 0, 0))
            frame = world.tick()
            received = aware.get(timeout=30)
            assert received.frame == frame and received.get_message_count() == 2
            powers = [message.power for message in received]
            # EIRP less the loss of WINNER+ on a highway; the nearer one is louder
            away = cars[1].get_location().x - cars[0].get_location().x
            loss = 32.4 + 20 * np.log10(away) + 20 * np.log10(5.9)
            assert abs(powers[0] - (21.5 + 10.0 - loss)) < 0.1, (powers, loss)
            first = [message.get()["Message"] for message in received][0]
            assert first["Header"] == {"Protocol Version": 2, "Message ID": "CAM", "Station ID": cars[1].id}
            parts = first["Message"]["CAM Parameters"]
            assert parts["Basic Container"]["Station Type"] == "Passenger Car"
            place = parts["Basic Container"]["Reference Position"]
            here = world.get_map().transform_to_geolocation(cars[1].get_location())
            assert abs(place["Latitude"] / 1e7 - here.latitude) < 2e-6
            assert abs(place["Longitude"] / 1e7 - here.longitude) < 2e-6
            motion = parts["High Frequency Container"]["Basic Vehicle Container High Frequency"]
            assert motion["Heading"]["Value"] == 900 and motion["Drive Direction"] == 0
            assert abs(motion["Speed"]["Value"] - 100 * cars[1].get_velocity().x) < 2
            assert motion["Vehicle Length"]["Value"] == round(20 * cars[1].bounding_box.extent.x)
            assert parts["Low Frequency Container"]["Basic Vehicle Low Frequency"]["Vehicle Role"] == "Default"
            [message] = custom.get(timeout=30)
            assert message.get()["Message"]["Message"] == "brake ahead"
            senders[1].send("x" * 100), radios[1].send("x"), senders[1].send("y" * 99)
            world.tick()
            [message] = custom.get(timeout=30)
            assert message.get()["Message"]["Message"] == "y" * 99, "more has no room in a message"
            for sensor in (radios[0], senders[0]):
                sensor.stop()
            """,
        )


class Scene:
    """The ``SensorContext`` of a radio: one vehicle, nothing in the way."""

    gravity = 9.81

    def __init__(self) -> None:
        self.airwaves = Airwaves()
        kinds = blueprints(list(templates().vehicles))
        car = Actor(1, kinds["vehicle.tesla.model3"], {"base_type": "car"}, Transform())
        radio = Actor(2, kinds["sensor.other.v2x"], _defaults(kinds["sensor.other.v2x"]), Transform(), parent=1)
        here = SimpleNamespace(latitude=0.0, longitude=0.0, altitude=0.0)
        chart = SimpleNamespace(transform_to_geolocation=lambda _: here)
        self.world: Any = SimpleNamespace(actors={1: car, 2: radio}, map=chart, time=0.0)
        self.car = car
        self.radio = CooperativeAwareness(self, radio)

    def caster(self) -> Any:
        raise AssertionError("nobody else is there")

    def describe(self, actor: int, tag: int) -> list[Any]:
        return [actor, tag]

    def sent(self, seconds: float, delta: float = 0.05) -> list[float]:
        """Return the times at which the vehicle sends."""
        times = []
        for _ in range(round(seconds / delta)):
            self.world.time += delta
            self.car.transform.x += float(self.car.velocity[0]) * delta
            self.airwaves.exchange(self.world)
            if self.airwaves.on_air.get(CooperativeAwareness):
                times.append(round(self.world.time, 3))
        return times


def _defaults(blueprint: Any) -> dict[str, str]:
    return {each.id: each.value for each in blueprint.attributes}


def test_a_parked_vehicle_sends_every_second_and_a_moving_one_every_four_metres() -> None:
    scene = Scene()
    assert scene.sent(4.0) == [0.05, 1.05, 2.05, 3.05]
    scene.car.velocity[0] = 20.0  # 4 m take 0.2 s; the change of speed is sent at once
    times = scene.sent(2.0)
    assert times[0] == 4.05
    assert np.allclose(np.diff(times), 0.25), "more than 4 m, in steps of 0.05 s"
    scene.car.velocity[0] = 200.0
    assert np.diff(scene.sent(1.0)).min() > 0.099, "never more often than every 0.1 s"
    del scene.world.actors[2]
    assert scene.sent(1.0) == []
    assert not scene.airwaves.radios


def test_path_loss_matches_published_values() -> None:
    # Free space: 4 pi d / wavelength; on a highway WINNER+'s line of sight is that (32.4 dB at 1 m and 1 GHz).
    free = 20.0 * math.log10(4.0 * math.pi * 100.0 * 5.9e9 / 299_792_458.0)
    assert winner_loss(100.0, 5.9, "highway", "clear") == pytest.approx(free, abs=0.1)
    assert winner_loss(100.0, 5.9, "urban", "clear") == pytest.approx(38.77 + 33.4 + 18.2 * math.log10(5.9))
    assert winner_loss(100.0, 5.9, "urban", "building") > winner_loss(100.0, 5.9, "urban", "clear") + 20.0
    wave = 299_792_458.0 / 5.9e9
    around = [two_ray_loss(float(away), 1.5, 1.5, wave) for away in np.linspace(80.0, 120.0, 400)]
    assert min(around) < free < max(around), "two rays add up or cancel out"
    far = [two_ray_loss(away, 1.5, 1.5, wave) for away in (2000.0, 20000.0)]
    assert far[1] - far[0] == pytest.approx(40.0, abs=1.0), "far away it falls with the fourth power"


@pytest.mark.parametrize(
    ("objects", "state", "count"),
    [
        ([], "clear", 0),
        ([(0.3, 7)], "vehicle", 1),
        ([(0.3, 7), (0.5, 8), (0.6, 8)], "vehicle", 2),
        ([(0.3, 7), (0.7, 0)], "building", 0),
        ([(0.0001, 1), (0.4, 9)], "clear", 0),  # its own roof, and somebody on foot
    ],
)
def test_line_of_sight_between_two_antennas(objects: list[tuple[float, int]], state: str, count: int) -> None:
    start, end = np.zeros(3), np.array([100.0, 0.0, 0.0])

    def cast(origin: np.ndarray, direction: np.ndarray, reach: float) -> Hits:
        done = float(origin[0]) / 100.0
        ahead = [(at - done, who) for at, who in objects if done < at <= done + reach]
        away, who = min(ahead, default=(np.inf, 0))
        return Hits(np.array([away]), np.zeros(1, np.uint8), np.array([who]), np.zeros((1, 3)))

    vehicles = {7: (30.0, 0.0, 2.0), 8: (50.0, 0.0, 2.0)}
    result_state, blocking = line_of_sight(cast, start, end, {1, 2}, vehicles)
    assert (result_state, len(blocking)) == (state, count)
