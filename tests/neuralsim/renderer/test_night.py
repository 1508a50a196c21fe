"""By night, what stands before the sky has no rim of light, and the sensor's noise is seen."""

from __future__ import annotations

import numpy as np

from bridge.tags import Tag
from neuralsim.renderer.weather.night import add_noise, dim_rims


def crown() -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its tags: a dark crown with a rim before the sky, a lit window at the edge of a roof."""
    tag = np.full((128, 256), Tag.SKY, np.uint8)
    tag[40:, :160], tag[40:, 160:] = Tag.VEGETATION, Tag.BUILDING
    image = np.full((128, 256, 3), 12, np.uint8)
    image[40:44] = 60
    image[41:45, 200:210] = 220
    return image, tag


def test_a_crown_has_no_rim_by_night_and_windows_stay() -> None:
    before, tag = crown()
    image = before.copy()
    dim_rims(image, tag, 1.0)
    assert image[40:44, 20:140].max() < 20
    assert np.array_equal(image[41:45, 200:210], before[41:45, 200:210])
    assert np.array_equal(image[:40], before[:40]), "the sky"
    assert np.array_equal(image[60:], before[60:]), "far from the sky"


def test_rims_stay_by_day_and_where_there_is_no_sky() -> None:
    before, tag = crown()
    image = before.copy()
    dim_rims(image, tag, 0.0)
    dim_rims(image, np.full_like(tag, Tag.VEGETATION), 1.0)
    assert np.array_equal(image, before)
    dim_rims(image, tag, 0.5)
    assert 25 < image[41, 80].mean() < 45, "half at dusk"


def test_noise_is_that_of_the_night_and_of_its_moment() -> None:
    def at(time: float, dark: float = 1.0) -> np.ndarray:
        image = np.full((96, 160, 3), 40, np.uint8)
        add_noise(image, dark, time)
        return image

    assert np.array_equal(at(1.0, 0.0), np.full((96, 160, 3), 40))
    noise = at(1.0)
    assert np.array_equal(noise, at(1.0)), "recordings are the same each time"
    assert not np.array_equal(noise, at(1.0 + 1.0 / 30.0))
    assert 2.0 < noise.std() < 3.5
    assert at(1.0, 0.5).std() < 0.7 * noise.std()
    assert abs(float(noise.mean()) - 40.0) < 0.3
