"""Lamps are light in the image: in their colours, with a soft edge and a glow, and behind what occludes them."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.messages import Camera, Frame, Lamp
from neuralsim.renderer.weather.glow import draw_lamps

H, W = 64, 80
NIGHT = {"sun_altitude_angle": -30.0, "cloudiness": 10.0}


def lamp(state: str, kind: str = "traffic_light", size: float = 12.0, depth: float = 20.0) -> Lamp:
    return Lamp(kind, state, (40.0 - size / 2, 30.0 - size / 2, 40.0 + size / 2, 30.0 + size / 2), depth)


def drawn(*lamps: Lamp, depth: np.ndarray | None = None, weather: dict[str, float] | None = None) -> np.ndarray:
    """A grey image with these lamps."""
    planes = {"tag": np.zeros((H, W), np.uint8)} | ({} if depth is None else {"depth": depth})
    frame = Frame(1, 1, 0.0, Camera(512, 256, 70.0, np.eye(4)), planes, lamps=list(lamps), weather=weather or {})
    image = np.full((H, W, 3), 60, np.uint8)
    draw_lamps(image, frame)
    return image.astype(int)


@pytest.mark.parametrize(
    ("kind", "state", "dominant"),
    [
        ("traffic_light", "red", [0]), ("traffic_light", "green", [1]), ("traffic_light", "yellow", [0, 1]),
        ("brake", "on", [0]), ("indicator", "on", [0]),
    ],
)  # fmt: skip
def test_a_lamp_glows_in_its_colour_where_it_is(kind: str, state: str, dominant: list[int]) -> None:
    image = drawn(lamp(state, kind, 6.0))
    colour = image[30, 40]
    assert colour[dominant].min() > 170
    assert colour[dominant].min() > max(colour[n] for n in range(3) if n not in dominant) + 30
    assert 60 < image[30, 45][dominant].max() < colour[dominant].max(), "the glow fades"
    assert (image[5, 5] == 60).all()


def test_a_large_lamp_is_overexposed_in_the_middle_and_pure_at_its_rim() -> None:
    image = drawn(lamp("red"), weather=NIGHT)
    assert image[30, 40, 1] > image[30, 44, 1] + 30
    assert image[30, 44, 0] > 220


def test_edges_are_soft() -> None:
    red = drawn(lamp("red"))[30, 40:, 0]
    assert np.diff(red).max() <= 0, "from the middle outwards it only fades"
    assert np.diff(red).min() > -110, "and never from one pixel to the next"


def test_by_night_the_glow_is_wider_and_brake_lights_are_brighter_than_tail_lamps() -> None:
    assert drawn(lamp("on", "brake"), weather=NIGHT)[30, 51, 0] > drawn(lamp("on", "brake"))[30, 51, 0]
    brake, tail = (drawn(lamp("on", kind), weather=NIGHT).sum() for kind in ("brake", "tail"))
    assert brake > tail > drawn(weather=NIGHT).sum()


def test_far_lamps_stay_visible_and_edges_of_the_image_do_not_matter() -> None:
    assert drawn(Lamp("traffic_light", "red", (10.2, 10.2, 10.3, 10.3), 120.0))[10, 10, 0] > 150
    for box in ((-4.0, -4.0, 2.0, 2.0), (78.0, 60.0, 90.0, 70.0), (-50.0, 0.0, -40.0, 4.0), (9.0, 9.0, 3.0, 3.0)):
        drawn(Lamp("brake", "on", box, 5.0))
    assert (drawn(lamp("off")) == 60).all()


def test_objects_in_front_of_a_lamp_occlude_it() -> None:
    depth = np.full((H, W), 5.0, np.float32)
    assert (drawn(lamp("red"), depth=depth) == 60).all()
    depth[:, 40:] = 100.0
    half = drawn(lamp("red"), depth=depth)
    assert half[30, 42, 0] > 190
    assert half[30, 37, 0] < 160


@pytest.mark.parametrize(("size", "is_cut"), [(12.0, True), (3.0, False)])
def test_a_large_lamp_ends_where_the_body_that_carries_it_ends(size: float, is_cut: bool) -> None:
    depth = np.full((H, W), 20.3, np.float32)
    depth[:, 40:] = 60.0
    image = drawn(lamp("on", "brake", size), depth=depth)
    on_body, beside = image[30, 39, 0], image[30, 41 if is_cut else 40, 0]
    assert (on_body > beside + 60) == is_cut, "a small lamp may cover a pixel that shows the background"
