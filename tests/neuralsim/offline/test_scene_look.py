"""What a recording's pictures tell where nothing else does: the light, the own bonnet."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.offline.recorded.planes import Planes
from neuralsim.offline.recorded.scene_look import find_bonnet, guess_weather, light_name
from neuralsim.town.core.types import Transform
from neuralsim.town.world import World

SIZE = 96, 64


def picture(sky: tuple[int, int, int] | None = None) -> Planes:
    """A road, below a sky of one colour."""
    tag = np.full(SIZE[::-1], Tag.ROAD, np.uint8)
    rgb = np.full((*tag.shape, 3), 90, np.uint8)
    if sky is not None:
        tag[:30], rgb[:30] = Tag.SKY, sky
    return Planes(tag, SIZE, rgb=rgb)


@pytest.mark.parametrize(
    ("sky", "light"),
    [
        ((0, 0, 0), "night"),
        ((81, 58, 50), "dusk"),  # CARLA's, in CarlAnomaly
        ((230, 190, 150), "a low sun"),
        ((180, 180, 180), "an overcast day"),
        ((167, 184, 200), ""),  # CARLA's noon, in CarlAnomaly
        ((158, 175, 181), ""),
        (None, ""),
    ],
)
def test_the_sky_tells_the_light(sky: tuple[int, int, int] | None, light: str) -> None:
    weather = guess_weather([picture(sky), picture(sky), picture()])
    assert (light_name(weather) if weather else "") == light


def test_the_towns_own_pictures_show_their_sun() -> None:
    world = World("hamlet", vehicles=0, walkers=0)
    place = world.spawn_points()[0]
    lens = {"image_size_x": "96", "image_size_y": "64"}
    camera = world.spawn("sensor.camera.rgb", lens, Transform(place.x, place.y, 2.0, 0.0, place.yaw))
    for altitude, least, most in ((45.0, 40.0, 50.0), (4.0, 2.0, 9.0), (0.0, -3.0, 3.0), (-5.0, -20.0, -3.0)):
        world.weather.update(sun_altitude_angle=altitude)
        world.tick(0.05)
        planes = world.capture(camera.id)
        weather = guess_weather([Planes(planes.tag.copy(), SIZE, rgb=planes.rgb.copy())])
        assert least <= weather.get("sun_altitude_angle", 48.0) <= most, altitude


def test_the_bonnet_is_what_stays_at_the_lower_edge() -> None:
    pictures = [picture((0, 0, 0)) for _ in range(5)]
    for k, each in enumerate(pictures):
        each.tag[50:, 20:80] = Tag.CAR
        each.tag[35:45, 8 * k : 8 * k + 20] = Tag.CAR  # passes
        each.tag[33:40, 90:] = Tag.CAR  # stands, elsewhere
    bonnet = find_bonnet(pictures)
    assert bonnet is not None
    assert (bonnet[55:, 25:75] == 1.0).all()
    assert (bonnet[:45] < 0.01).all()
    assert find_bonnet(pictures[:2]) is None
    pictures[0].tag[50:] = Tag.ROAD
    assert find_bonnet(pictures) is None
