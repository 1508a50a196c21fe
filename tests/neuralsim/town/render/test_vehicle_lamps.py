"""Lamps of vehicles in the simulator image."""

from neuralsim.town.assets.car_shapes import CARS
from neuralsim.town.assets.lit_bodies import HALF_WIDTH, LEFT, LENGTH, LIT, NOSE, body_row
from neuralsim.town.assets.templates import templates
from neuralsim.town.render.shading.vehicle_shading_kernels import _lamps


def test_a_front_indicator_is_the_outer_half_of_its_headlamp() -> None:
    name = next(iter(CARS))
    body = body_row(name, templates().meshes[templates().index[name]])
    body[LIT] = LEFT

    def light(share: float) -> tuple[float, ...]:
        """What is emitted at this share of the half width, to the right of the middle."""
        x, y, z = body[LENGTH] - 0.1, share * body[HALF_WIDTH], body[NOSE] - 0.16
        return tuple(_lamps(60.0, 60.0, 60.0, body, x, y, z, 0.001)[3:])

    amber = light(-0.88)
    assert amber[0] > 200.0 > amber[1] > 100.0 > amber[2]
    assert 90.0 < light(-0.77)[0] < 0.9 * amber[0], "its glass is darker away from the bulb"
    assert light(-0.62) == (0.0, 0.0, 0.0)
    assert light(0.88) == (0.0, 0.0, 0.0)
