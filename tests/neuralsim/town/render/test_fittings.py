"""Badges, lettering, trim and wipers of cars in the simulator image."""

from __future__ import annotations

import numpy as np
import pytest

from neuralsim.town.assets.car_shapes import CARS
from neuralsim.town.assets.lit_bodies import (
    BELT,
    HALF_WIDTH,
    IS_VAN,
    LAMP_Z,
    LENGTH,
    NUMBER,
    SILL,
    STYLE,
    TALL,
    body_row,
)
from neuralsim.town.assets.templates import templates
from neuralsim.town.render.shading.fitting_kernels import fittings, wiper

FINE, COARSE = 0.004, 0.2  # m a pixel


def body_of(name: str) -> np.ndarray:
    return body_row(name, templates().meshes[templates().index[name]])


def tail(body: np.ndarray, y: float, z: float, footprint: float = FINE) -> tuple[float, float]:
    """Return the shares of chrome and black plastic at a place of the tail."""
    chrome, black = fittings(body, -body[LENGTH] + 0.1, y, z, -1.0, 0.0, footprint)
    return float(chrome), float(black)


def test_a_car_has_a_badge_in_the_middle_and_its_name_beside_it() -> None:
    body = body_of("vehicle.tesla.model3")
    height = body[LAMP_Z] + 0.05
    across = np.linspace(-0.05, 0.05, 41)
    assert max(tail(body, y, height)[0] for y in across) > 0.9
    assert max(tail(body, y, height)[0] for y in across + 0.3) == 0.0
    begin = -0.68 * body[HALF_WIDTH]
    letters = [tail(body, begin + y, height - 0.1)[0] for y in np.linspace(0.0, 0.1, 101)]
    assert max(letters) > 0.9
    assert min(letters) < 0.1
    assert sum(abs(np.diff(letters))) > 4.0, "several letters"
    assert tail(body, begin + 0.02, height - 0.1, COARSE)[0] < 0.4, "from afar they are a grey line at most"


def test_names_are_those_of_models_and_a_van_has_none() -> None:
    rows = []
    for name, number in (("vehicle.tesla.model3", 3), ("vehicle.tesla.model3", 8), ("vehicle.audi.a2", 3)):
        body = body_of(name)
        body[NUMBER] = number
        begin = -0.68 * body[HALF_WIDTH]
        rows.append([tail(body, begin + y, body[LAMP_Z] - 0.05)[0] for y in np.linspace(0.0, 0.24, 121)])
    assert max(rows[0]) > 0.9
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]
    van = body_of("vehicle.mercedes.sprinter")
    assert van[IS_VAN] > 0.0
    assert max(tail(van, y, van[LAMP_Z] - 0.05)[0] for y in np.linspace(-0.8, -0.4, 201)) == 0.0


@pytest.mark.parametrize("name", ["vehicle.audi.etron", "vehicle.nissan.patrol"])
def test_bumpers_have_an_insert_unless_the_plate_is_there(name: str) -> None:
    body = body_of(name)
    for style, expected in ((0.2, 0.0), (0.8, 0.7)):
        body[STYLE] = style
        assert tail(body, 0.0, body[SILL] + 0.18)[1] == pytest.approx(expected, abs=0.05)


def test_tall_cars_have_a_wiper_behind_and_all_have_two_in_front() -> None:
    for name in CARS:
        body = body_of(name)
        heights = body[BELT] + np.linspace(0.0, 0.2, 201)
        behind, left, right = (
            max(wiper(body, y, z, side, FINE) for z in heights) for y, side in ((-0.2, -0.9), (-0.3, 0.9), (0.3, 0.9))
        )
        assert left > 0.8
        assert right > 0.8
        assert (behind > 0.8) == (body[TALL] > 1.465)
