"""Lamps and glass of vehicles in the simulator image."""

from neuralsim.town.assets.car_shapes import CARS
from neuralsim.town.assets.lit_bodies import BELT, COWL, HALF_WIDTH, LEFT, LENGTH, LIT, NOSE, TAIL, body_row
from neuralsim.town.assets.templates import templates
from neuralsim.town.render.shading.vehicle_detail_kernels import through_glass
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


def test_the_street_is_seen_through_the_rear_window_of_a_car_and_not_through_the_box_of_a_van() -> None:
    seen = []
    for name in ("vehicle.tesla.model3", "vehicle.mercedes.sprinter"):
        body = body_row(name, templates().meshes[templates().index[name]])
        x = (body[COWL] + body[TAIL]) / 2.0 - 0.4  # behind the seats
        seen.append(through_glass(body, x, 0.0, body[BELT] + 0.16, -1.0, 0.0, 0.0))
    assert seen == [0.62, 0.12]
