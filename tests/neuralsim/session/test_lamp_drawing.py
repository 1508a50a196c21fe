"""Lamps are drawn into the image in their colours, in place, and behind what occludes them."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.messages import Lamp
from neuralsim.session import lamp_drawing


def lit(state: str, kind: str = "traffic_light", size: float = 6.0, depth: float = 20.0) -> Lamp:
    return Lamp(kind, state, (40.0 - size / 2, 30.0 - size / 2, 40.0 + size / 2, 30.0 + size / 2), depth)


@pytest.mark.parametrize(("state", "dominant"), [("red", [0]), ("green", [1]), ("yellow", [0, 1])])
def test_a_lamp_glows_in_its_colour_where_it_is(state: str, dominant: list[int]):
    image = np.full((64, 80, 3), 60, np.uint8)
    lamp_drawing.draw(image, [lit(state)])
    colour = image[30, 40].astype(int)
    assert colour[dominant].min() > 190
    assert colour[dominant].min() > max(colour[n] for n in range(3) if n not in dominant) + 30
    ring = image[30, 40 + 6].astype(int)
    assert 60 < ring[dominant].max() < colour[dominant].max()  # the glow fades
    assert (image[5, 5] == 60).all()


def test_far_lamps_stay_visible_and_edges_do_not_matter():
    image = np.full((64, 80, 3), 60, np.uint8)
    lamp_drawing.draw(image, [Lamp("traffic_light", "red", (10.2, 10.2, 10.3, 10.3), 120.0)])
    assert image[10, 10, 0] > 150
    for box in ((-4.0, -4.0, 2.0, 2.0), (78.0, 60.0, 90.0, 70.0), (-50.0, 0.0, -40.0, 4.0), (9.0, 9.0, 3.0, 3.0)):
        lamp_drawing.draw(image, [Lamp("brake", "on", box, 5.0)])
    lamp_drawing.draw(image, [lit("off")])


def test_objects_in_front_of_a_lamp_occlude_it():
    depth = np.full((64, 80), 100.0, np.float32)
    depth[:, :80] = 5.0
    image = np.full((64, 80, 3), 60, np.uint8)
    lamp_drawing.draw(image, [lit("red", depth=20.0)], depth)
    assert (image == 60).all()
    depth[:, 40:] = 100.0
    lamp_drawing.draw(image, [lit("red", depth=20.0)], depth)
    assert image[30, 41, 0] > 190
    assert image[30, 38, 0] < 160
