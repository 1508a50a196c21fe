"""The finest detail of what is small, of pavements and of façades nearby follows the simulator image, and no more."""

from __future__ import annotations

import cv2
import numpy as np

from bridge.tags import Tag
from neuralsim.renderer.postprocessing.detail import transfer_detail

FOCAL = 366.0  # px, of 512 columns and 70 degrees


def stripes(period: int, low: int, high: int) -> np.ndarray:
    columns = np.where(np.arange(64) % period < period // 2, low, high).astype(np.uint8)
    return np.repeat(np.broadcast_to(columns, (32, 64))[..., None], 3, axis=2).copy()


def transferred(tag: Tag, distance: float, simulated: np.ndarray) -> np.ndarray:
    """Return what becomes of a plain grey image."""
    image = np.full((32, 64, 3), 120, np.uint8)
    planes = np.full((32, 64), tag, np.uint8), np.full((32, 64), distance, np.float32)
    transfer_detail(image, *planes, simulated, FOCAL)
    return image


def contrast(image: np.ndarray) -> float:
    return float(image[8:-8, 16:-16].std())


def test_people_get_the_detail_that_the_generator_lost() -> None:
    simulated = stripes(4, 40, 80)
    image = transferred(Tag.PEDESTRIAN, 20.0, simulated)
    assert contrast(image) > 0.5 * contrast(simulated)
    assert abs(float(image.mean()) - 120.0) < 5.0, "the brightness is the generator's"
    fine = image.astype(np.float32) - cv2.GaussianBlur(image, (0, 0), 1.5)
    of_simulator = simulated.astype(np.float32) - cv2.GaussianBlur(simulated, (0, 0), 1.5)
    assert np.corrcoef(fine[8:-8, 16:-16].ravel(), of_simulator[8:-8, 16:-16].ravel())[0, 1] > 0.95


def test_what_is_coarse_stays_the_generators() -> None:
    image = transferred(Tag.PEDESTRIAN, 20.0, stripes(32, 40, 80))
    away = np.s_[8:-8, 6:10]  # from the steps
    assert np.abs(image[away].astype(int) - 120).max() <= 6


def test_cars_at_arms_length_and_far_houses_stay_the_generators() -> None:
    simulated = stripes(4, 40, 80)
    assert (transferred(Tag.CAR, 2.0, simulated) == 120).all()
    assert contrast(transferred(Tag.CAR, 40.0, simulated)) > 4.0
    for tag in (Tag.BUILDING, Tag.ROAD, Tag.VEGETATION):
        assert (transferred(tag, 40.0, simulated) == 120).all()


def test_pavements_follow_it_near_and_far() -> None:
    simulated = stripes(4, 40, 80)
    assert all(contrast(transferred(Tag.SIDEWALK, distance, simulated)) > 4.0 for distance in (4.0, 40.0))


def test_street_furniture_follows_it_and_what_is_edited_does_not() -> None:
    """A poster's title stays legible; a tag of 0 marks what the simulator image shows something else for."""
    simulated = stripes(4, 40, 80)
    assert contrast(transferred(Tag.STATIC, 8.0, simulated)) > 4.0
    assert (transferred(Tag(0), 8.0, simulated) == 120).all()


def test_facades_follow_it_nearby() -> None:
    simulated = stripes(4, 40, 80)
    near, far = (contrast(transferred(Tag.BUILDING, distance, simulated)) for distance in (10.0, 25.0))
    assert near > 4.0 > far
    assert (transferred(Tag.BUILDING, 2.0, simulated) == 120).all()


def test_in_wide_images_the_same_things_follow_it() -> None:
    """A plate has twice as many pixels there, and strokes twice as broad."""
    contrasts = []
    for width, period in ((512, 4), (1024, 8)):
        columns = np.where(np.arange(width) % period < period // 2, 40, 80).astype(np.uint8)
        simulated = np.repeat(np.broadcast_to(columns, (32, width))[..., None], 3, axis=2).copy()
        image = np.full_like(simulated, 120)
        tag, depth = np.full((32, width), Tag.CAR, np.uint8), np.full((32, width), 4.0, np.float32)
        transfer_detail(image, tag, depth, simulated, FOCAL * width / 512)
        contrasts.append(contrast(image))
    assert contrasts[0] > 4.0
    assert contrasts[1] > 0.9 * contrasts[0]


def test_an_image_of_half_the_size_changes_nothing() -> None:
    assert (transferred(Tag.PEDESTRIAN, 20.0, stripes(4, 40, 80)[::2, ::2].copy()) == 120).all()
