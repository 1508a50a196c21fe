"""Lamps, plates and glass of vehicles in the simulator image."""

import numpy as np
import pytest

from neuralsim.town.assets.car_shapes import CARS
from neuralsim.town.assets.lit_bodies import (
    BELT,
    BRAKE,
    COWL,
    HALF_WIDTH,
    LAMP_Y,
    LAMP_Z,
    LEFT,
    LENGTH,
    LIT,
    NOSE,
    SILL,
    STYLE,
    TAIL,
    body_row,
)
from neuralsim.town.assets.templates import templates
from neuralsim.town.render.shading.plate_kernels import HIGH, WIDE, plate
from neuralsim.town.render.shading.vehicle_detail_kernels import (
    INTERIOR_LIGHT,
    STREET_LIGHT,
    details,
    through_glass,
)
from neuralsim.town.render.shading.vehicle_shading_kernels import _lamps


def test_a_front_indicator_is_along_the_foot_of_its_headlamp() -> None:
    name = next(iter(CARS))
    body = body_row(name, templates().meshes[templates().index[name]])
    body[LIT] = LEFT

    def light(share: float, below: float = 0.21) -> tuple[float, ...]:
        """What is emitted at this share of the half width, to the right of the middle, and m below the bonnet."""
        x, y, z = body[LENGTH] - 0.1, share * body[HALF_WIDTH], body[NOSE] - below
        return tuple(_lamps(60.0, 60.0, 60.0, body, x, y, z, 0.001)[3:6])

    amber = light(-0.88)
    assert amber[0] > 200.0 > amber[1] > 100.0 > amber[2]
    assert light(-0.62) == light(-0.88, 0.14) == (0.0, 0.0, 0.0)
    assert light(0.88) == (0.0, 0.0, 0.0)


def test_the_reflector_of_a_rear_lamp_is_beside_its_reversing_light() -> None:
    name = next(iter(CARS))
    body = body_row(name, templates().meshes[templates().index[name]])

    def reflector(aside: float, up: float) -> float:
        at = 0.02 - body[LENGTH], body[LAMP_Y] + aside, body[LAMP_Z] + up
        return float(_lamps(60.0, 60.0, 60.0, body, *at, 0.001)[6])

    assert reflector(0.13, -0.05) > 0.9
    assert reflector(0.13, 0.06) == reflector(0.5, -0.05) == 0.0
    assert reflector(-0.05, -0.05) < 0.01


def test_the_street_is_seen_through_the_rear_window_of_a_car_and_not_through_the_box_of_a_van() -> None:
    seen = []
    for name in ("vehicle.tesla.model3", "vehicle.mercedes.sprinter"):
        body = body_row(name, templates().meshes[templates().index[name]])
        x = (body[COWL] + body[TAIL]) / 2.0 - 0.4  # behind the seats
        seen.append(through_glass(body, x, 0.0, body[BELT] + 0.16, -1.0, 0.0, 0.0))
    assert seen == pytest.approx([STREET_LIGHT, INTERIOR_LIGHT])


def test_headlamps_are_darker_beside_their_reflectors() -> None:
    name = next(iter(CARS))
    body = body_row(name, templates().meshes[templates().index[name]])
    bright = [
        _lamps(60.0, 60.0, 60.0, body, body[LENGTH] - 0.1, share * body[HALF_WIDTH], body[NOSE] - 0.16, 0.001)[1]
        for share in (0.69, 0.75)
    ]
    assert bright[0] > 1.4 * bright[1]


def test_rear_lamps_have_a_pale_segment_below_the_red_one() -> None:
    name = next(iter(CARS))
    body = body_row(name, templates().meshes[templates().index[name]])
    at = -body[LENGTH] + 0.05, float(body[LAMP_Y])
    upper, lower = (_lamps(60.0, 60.0, 60.0, body, *at, body[LAMP_Z] + up, 0.001)[:3] for up in (0.06, -0.047))
    assert upper[0] > 5.0 * upper[1]
    assert lower[0] < 2.0 * lower[1]


def test_a_reversing_light_does_not_shine_red() -> None:
    name = next(iter(CARS))
    body = body_row(name, templates().meshes[templates().index[name]])
    body[LIT] = BRAKE
    at = -body[LENGTH] + 0.05, float(body[LAMP_Y])
    upper, lower = (_lamps(60.0, 60.0, 60.0, body, *at, body[LAMP_Z] + up, 0.001)[3] for up in (0.06, -0.047))
    assert upper > 2.5 * lower > 0.0


def plate_of(number: int, footprint: float, is_square: bool = False, shift: float = 0.0) -> np.ndarray:
    """Return the brightness of the pixels of a plate where glyphs are."""
    wide, high = (0.08, 0.08) if is_square else (0.19, 0.036)
    rows, columns = (np.arange(-half, half, footprint) for half in (high, wide))
    return np.array([[plate(number, y + shift, z, is_square, footprint)[1] for y in columns] for z in rows])


@pytest.mark.parametrize("is_square", [False, True])
def test_every_vehicle_has_another_number(is_square: bool) -> None:
    plates = [plate_of(number, 0.004, is_square) for number in range(40, 60)]
    for k, one in enumerate(plates):
        assert one.min() < 0.25
        assert one.max() == 1.0
        assert all(np.abs(one - other).mean() > 0.05 for other in plates[:k])


@pytest.mark.parametrize("is_square", [False, True])
def test_numbers_become_an_even_grey_far_away(is_square: bool) -> None:
    near, far = plate_of(7, 0.002, is_square), plate_of(7, 0.08, is_square)
    assert np.ptp(far) < 0.35 * np.ptp(near)
    assert abs(far.mean() - near.mean()) < 0.16  # some pixels reach beyond the glyphs


def test_a_plate_has_a_border_and_a_blue_band_at_the_left() -> None:
    dark, pale = plate(7, 0.1, 0.5 * HIGH - 0.006, False, 0.001), plate(7, 0.1, 0.5 * HIGH - 0.012, False, 0.001)
    assert dark[1] < 0.3
    assert pale[1] == 1.0
    assert plate(7, -0.5 * WIDE + 0.02, 0.0, False, 0.002)[2] == 1.0
    assert plate(7, 0.5 * WIDE - 0.02, 0.0, False, 0.002)[2] == 0.0
    assert plate(7, 0.5 * WIDE + 0.02, 0.0, False, 0.002)[0] == 0.0


def test_a_plate_does_not_flicker_when_it_moves_by_a_part_of_a_pixel() -> None:
    for footprint in (0.008, 0.015):
        still, moved = plate_of(7, footprint), plate_of(7, footprint, shift=0.25 * footprint)
        assert np.abs(still - moved).max() < 0.25, "no more than the share of the pixel that changes"


def test_the_numbers_in_front_and_behind_read_alike() -> None:
    name = "vehicle.tesla.model3"
    body = body_row(name, templates().meshes[templates().index[name]])
    rear, front = [], []
    for y in np.linspace(-0.2, 0.2, 81):
        low = min(body[LAMP_Z] - 0.2, body[SILL] + 0.52) if body[STYLE] >= 0.4 else body[SILL] + 0.22
        rear.append(details(body, -body[LENGTH] + 0.01, y, low + 0.056, -1.0, 0.0, 0.002)[3])
        front.append(details(body, body[LENGTH] - 0.01, -y, body[SILL] + 0.256, 1.0, 0.0, 0.002)[3])
    assert np.ptp(rear) > 0.5
    assert np.abs(np.array(rear) - front).max() < 0.02
