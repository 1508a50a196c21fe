"""Colours of what the simulator shows: no two cars alike, distributed as on real streets, dimmed by the light."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from neuralsim.models.classes import CHANNELS, Channel  # noqa: E402
from neuralsim.models.input_planes import Surface  # noqa: E402
from neuralsim.training.data.conditioning import LUMA, Picture  # noqa: E402
from neuralsim.training.data.palette import PAINTS, palettes  # noqa: E402


def picture(brightness: int, car: float = 1.0) -> Picture:
    """A street whose one car is ``car`` times as bright as its light."""
    label = np.full((64, 96), Channel.ROAD, np.uint8)
    label[20:50, 30:70] = Channel.VEHICLE
    image = np.where(label[..., None] == Channel.ROAD, brightness + 10, car * brightness).astype(np.uint8)
    return Picture("p", np.repeat(image, 3, 2), label, None, "own")


def test_cars_are_coloured_as_on_real_streets_and_differ_as_much_as_pictures_show() -> None:
    colours, _ = palettes([picture(value) for value in (20, 20, 100, 100, 102, 102)])
    assert (colours.shape, colours.dtype) == ((3, 256, 3), np.float32)
    assert colours.mean((1, 2)) == pytest.approx(1.0, abs=0.02), "over the mean of the class"
    assert len(np.unique(colours[0].round(4), axis=0)) > 250
    chroma = np.ptp(colours[0], axis=1) / colours[0].mean(1)
    neutral = sum(share for name, (share, _) in PAINTS.items() if name in ("white", "black", "grey", "silver"))
    assert (chroma < 0.25).mean() == pytest.approx(neutral, abs=0.1)
    red = (colours[0, :, 0] > 1.4 * colours[0, :, 1]) & (colours[0, :, 0] > 1.4 * colours[0, :, 2])
    assert 0.01 < red.mean() < 0.12
    assert np.std(colours[0] @ LUMA) > 0.2 * np.mean(colours[0] @ LUMA)
    assert np.array_equal(colours, palettes([picture(value) for value in (20, 20, 100, 100, 102, 102)])[0])


def test_cars_differ_in_brightness_as_they_do_in_the_pictures_of_one_light() -> None:
    def spread(day: list[float], dusk: list[float]) -> float:
        seen = [picture(100, car) for car in day for _ in range(2)]  # every second one is looked at
        seen += [replace(picture(20, car), source="dusk") for car in dusk for _ in range(2)]
        return float((palettes(seen)[0][0] @ LUMA).std())

    assert spread([0.8, 1.2] * 6, [0.8, 1.2] * 6) == pytest.approx(0.2, abs=0.02), "the dusk's are not darker cars"
    assert spread([0.9, 1.1] * 12, []) == pytest.approx(0.1, abs=0.02)
    assert spread([1.0] * 4, []) > 0.3, "too few to say"


def test_a_car_keeps_its_colour_while_it_lives_and_its_neighbour_has_another() -> None:
    surface = Surface(*palettes([picture(100)]))
    tag = torch.full((1, 32, 32), 14, dtype=torch.uint8)
    camera = torch.cat([torch.eye(4).ravel(), torch.tensor([30.0, 30.0, 16.0, 16.0])])
    rows = []
    for instance, metres in ((41, 8.0), (41, 30.0), (42, 8.0), (43, 8.0)):
        planes = torch.full((1, 32, 32), instance, dtype=torch.int32), torch.full((1, 32, 32), metres)
        rows.append(int(surface(tag, *planes, camera, torch.zeros(CHANNELS, 3))[2][0, 5, 5]))
    assert rows[0] == rows[1]
    assert len(set(rows)) == 3


def test_light_dims_colours_and_makes_none_darker_than_black() -> None:
    surface = Surface(*palettes([picture(100)]))
    day, night = torch.zeros(CHANNELS, 3), torch.zeros(CHANNELS, 3)
    night[Channel.PERSON], day[Channel.BUILDING], night[Channel.BUILDING] = -0.25, -0.08, -0.38
    bright, dark = surface._table(day) + 0.5, surface._table(night) + 0.5
    cars, people, houses = slice(0, 256), slice(256, 512), slice(768, 1024)
    assert (bright >= 0.0).all()
    assert (dark >= 0.0).all()
    torch.testing.assert_close(dark[cars], bright[cars])
    assert dark[people].mean() == pytest.approx(0.25, abs=0.02), "as the style has them"
    assert (dark[people] < bright[people]).all()
    ratio = dark[houses].std() / bright[houses].std()  # a house differs from the next by less where less light is
    assert 0.2 < ratio < 0.4
