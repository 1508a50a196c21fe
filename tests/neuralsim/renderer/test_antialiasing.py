"""Edges without stairs: closer to an image with 64 samples a pixel, and nothing else is changed."""

from __future__ import annotations

import numpy as np

from bridge.tags import Tag
from neuralsim.renderer.postprocessing.antialiasing import antialias_edges

SIZE, FINE = (128, 160), 8  # pixels; samples of a pixel to a side
COLOURS = np.array([[200, 200, 220], [60, 60, 60], [180, 40, 40], [20, 20, 20], [90, 140, 60]], np.uint8)


def scene(samples: int) -> np.ndarray:
    """u8: a road that rises, a disc, a leaning pole, a wall that leans."""
    y, x = (np.mgrid[: SIZE[0] * samples, : SIZE[1] * samples] + 0.5) / samples
    tag = (y > 90.0 - 0.13 * x).astype(np.uint8)
    tag[(x - 80.0) ** 2 + (y - 50.0) ** 2 < 900.0] = 2
    tag[np.abs(x - 30.0 - 0.05 * y) < 1.0] = 3
    tag[0.9 * (x - 120.0) + 0.2 * (y - 60.0) > 10.0] = 4
    return tag


def antialiased(image: np.ndarray, tag: np.ndarray) -> np.ndarray:
    result = image.copy()
    antialias_edges(result, tag, np.zeros(tag.shape, np.uint16))
    return result


def test_the_error_of_edges_falls_to_a_third() -> None:
    tag = scene(1)
    plain = COLOURS[tag]
    height, width = SIZE
    expected = COLOURS[scene(FINE)].astype(float).reshape(height, FINE, width, FINE, 3).mean((1, 3))

    def error(image: np.ndarray) -> float:
        return float(np.sqrt(np.square(image - expected).mean()))

    assert error(antialiased(plain, tag)) < 0.35 * error(plain)


def test_it_is_the_same_in_a_mirror() -> None:
    tag = scene(1)
    plain = COLOURS[tag]
    result = antialiased(plain, tag).astype(int)
    for axes in ((1,), (0,), (0, 1)):
        mirrored = antialiased(np.ascontiguousarray(np.flip(plain, axes)), np.ascontiguousarray(np.flip(tag, axes)))
        assert np.abs(np.flip(mirrored, axes) - result).max() <= 1, "but for rounding"


def test_the_inside_of_objects_and_level_edges_do_not_change() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    tag = scene(1)
    changed = (antialiased(noise, tag) != noise).any(axis=2)
    rim = np.zeros(SIZE, bool)
    for axis in (0, 1):
        for shift in (1, -1):
            rim |= np.roll(tag, shift, axis) != tag
    assert changed.any()
    assert not (changed & ~rim).any()
    level = np.zeros(SIZE, np.uint8)
    level[40:80, 30:90] = 5
    assert np.array_equal(antialiased(noise, level), noise)


def test_instances_have_outlines_too_and_planes_may_be_larger_and_read_only() -> None:
    tag = scene(1)
    plain = COLOURS[tag]
    padded = np.pad(tag, ((0, 32), (0, 32)), mode="edge").astype(np.uint16)
    alike = np.full(padded.shape, 14, np.uint8)
    for plane in (padded, alike):
        plane.flags.writeable = False
    by_instance = plain.copy()
    antialias_edges(by_instance, alike, padded)
    assert np.array_equal(by_instance, antialiased(plain, tag))


def test_an_isolated_pixel_differs_little_from_its_surroundings() -> None:
    """A gap between leaves, or a leaf before the sky; two pixels, or one of the same object, stay."""
    tag, instance = np.full((12, 12), Tag.VEGETATION, np.uint8), np.zeros((12, 12), np.uint16)
    image = np.full((12, 12, 3), 60, np.uint8)
    for (i, j), value in {(2, 2): 250, (2, 8): 0, (8, 2): 250, (9, 2): 250, (8, 8): 250}.items():
        image[i, j] = value
        tag[i, j] = Tag.VEGETATION if (i, j) == (8, 8) else Tag.SKY
    before = image.copy()
    antialias_edges(image, tag, instance)
    assert image[2, 2].tolist() == [110] * 3
    assert image[2, 8].tolist() == [40] * 3
    assert (image[8:10, 2] == before[8:10, 2]).all()
    assert (image[8, 8] == before[8, 8]).all()
