"""By night, the noise of a sensor is seen."""

from __future__ import annotations

import numpy as np

from neuralsim.renderer.weather.sensor_noise import add_noise


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
