"""Crowns nearby get the detail of photographed leaves, which stays where the leaves are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bridge.messages import Camera
from bridge.tags import Tag
from neuralsim.renderer.postprocessing.leaves import FLOOR, SIDE, SIGMA, draw_leaves
from tools.leaves import mosaic, pieces

WIDTH, HEIGHT, GREY = 256, 128, 100


def camera(east: float = 0.0, north: float = 0.0, turned: float = 0.0) -> Camera:
    """A camera that looks to the east, or ``turned`` to the north, radians."""
    pose = np.eye(4)
    pose[:2, :2] = np.array(((np.cos(turned), -np.sin(turned)), (np.sin(turned), np.cos(turned))))
    pose[:3, 3] = east, north, 2.0
    return Camera(WIDTH, HEIGHT, 53.13, pose)  # focal length 256 px


def drawn(distance: float | np.ndarray, tag: Tag = Tag.VEGETATION, seen_by: Camera | None = None) -> np.ndarray:
    """Return the red of what becomes of a plain grey image, less the grey, f32."""
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    tags, depth = np.full((HEIGHT, WIDTH), tag, np.uint8), np.full((HEIGHT, WIDTH), distance, np.float32)
    draw_leaves(image, tags, depth, seen_by or camera())
    return image[..., 0].astype(np.float32) - GREY


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two images, away from their borders."""
    return float(np.corrcoef(one[8:-8, 8:-8].ravel(), other[8:-8, 8:-8].ravel())[0, 1])


def test_crowns_nearby_alone_get_leaves() -> None:
    near, far = drawn(4.0), drawn(13.0)
    assert near.std() > 4.0
    assert abs(near.mean()) < 2.0, "the brightness stays"
    assert not far.any()
    assert 0.0 < drawn(10.0).std() < 0.8 * near.std(), "it begins little by little"
    assert not drawn(4.0, Tag.BUILDING).any()


def test_in_wide_images_they_replace_broader_strokes_from_farther_away() -> None:
    """Twice as wide: up to four times as many metres a pixel, a band twice as broad."""
    rng = np.random.default_rng(3)
    grain = cv2.GaussianBlur(rng.standard_normal((256, 1024)), (0, 0), 3.0)
    changes, kept = [], []
    for width in (512, 1024):
        image = np.repeat((GREY + 15.0 * grain / grain.std()).clip(0, 255).astype(np.uint8)[:, :width, None], 3, axis=2)
        before = image.astype(np.float32)
        tags = np.full(image.shape[:2], Tag.VEGETATION, np.uint8)
        seen_by = Camera(width, 256, 90.0, np.eye(4))
        draw_leaves(image, tags, np.full(tags.shape, 20.0, np.float32), seen_by)
        changes.append(image - before)
        kept.append(np.polyfit(before[..., 0].ravel(), image[..., 0].ravel(), 1)[0])
    assert not changes[0].any(), "20 m are too far away"
    assert kept[0] == pytest.approx(1.0, abs=0.02)
    assert changes[1].std() > 4.0
    assert kept[1] < 0.78, "strokes as broad as this lose, too"


def test_in_wide_images_leaves_have_the_colour_around_them_and_none_is_purple() -> None:
    rng = np.random.default_rng(5)
    speckled = np.where(rng.random((256, 1024, 1)) < 0.5, (60, 120, 60), (120, 60, 120)).astype(np.uint8)
    tags, depth = np.full((256, 1024), Tag.VEGETATION, np.uint8), np.full((256, 1024), 20.0, np.float32)
    spreads = []
    for width in (512, 1024):
        image = speckled[:, :width].copy()
        draw_leaves(image, tags[:, :width], depth[:, :width], Camera(width, 256, 90.0, np.eye(4)))
        green = image[..., 1].astype(np.float32) - image[..., [0, 2]].mean(axis=2)
        spreads.append(green.std())
    assert spreads[1] < 0.3 * spreads[0]
    assert green.mean() > -4.0


def test_strokes_lose_contrast_and_not_their_band() -> None:
    """.6 of the strokes and .4 of leaves that know nothing of them would have .72 of the band's contrast."""
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    image[:, ::4] = 140
    before = image.copy()
    tags, depth = np.full((HEIGHT, WIDTH), Tag.VEGETATION, np.uint8), np.full((HEIGHT, WIDTH), 4.0, np.float32)
    draw_leaves(image, tags, depth, camera())
    columns = image[8:-8, 8:-8, 0].astype(np.float32).mean(axis=0)
    assert np.ptp(columns[:64].reshape(-1, 4).mean(axis=0)) == pytest.approx(
        0.6 / 0.72 * np.ptp(before[0, :4, 0]), rel=0.1
    )


@pytest.mark.parametrize("turned", [0.0, np.pi / 2.0], ids=["east", "north"])
def test_leaves_stay_where_they_are_when_the_camera_passes_them(turned: float) -> None:
    """A quarter of a metre to the right is 16 px at 4 m: the same leaves, 16 px further left."""
    first = drawn(4.0, seen_by=camera(turned=turned))
    right = -np.sin(turned) * 0.25, np.cos(turned) * 0.25
    second = drawn(4.0, seen_by=camera(*right, turned=turned))
    assert likeness(first[:, 16:], second[:, :-16]) > 0.95
    assert likeness(first, second) < 0.3


def test_leaves_of_another_distance_are_as_fine() -> None:
    """By octaves: at twice the distance pixels show twice as much, in a texture of twice the size."""
    spectra = []
    for distance in (2.9, 5.8):  # both in the middle of an octave
        leaves = drawn(distance)
        spectra.append(np.diff(leaves, axis=1).std() / leaves.std())
    assert spectra[0] == pytest.approx(spectra[1], rel=0.1)


@pytest.mark.parametrize("distance", [np.nan, np.inf, -1.0, 0.0])
def test_a_distance_that_is_none_draws_nothing(distance: float) -> None:
    assert not drawn(distance).any()


def test_the_texture_is_a_mosaic_of_the_finest_band_of_crowns(tmp_path: Path) -> None:
    """Of a picture with leaves on the left and a wall on the right."""
    rng = np.random.default_rng(1)
    image = np.full((384, 512), 90, np.uint8)
    image[:, :256] = np.clip(90.0 + 25.0 * rng.standard_normal((384, 256)), 0, 255)
    label = np.full((384, 512), 11, np.uint8)
    label[:, :256] = 21
    for name, plane in (("image", image), ("label", label)):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.png"), plane)
    cv2.imwrite(str(tmp_path / "image/unlabelled.png"), image)
    found = pieces(tmp_path)
    assert found
    assert all(abs(piece.std() - 25.0) < 3.0 for piece in found), "no wall in any"
    texture = mosaic(found * 64, rng).astype(np.float32) - 128.0
    assert texture.shape == (SIDE, SIDE)
    band = (found[0] + FLOOR) / (cv2.GaussianBlur(found[0], (0, 0), SIGMA) + FLOOR) - 1.0
    assert texture.std() / 160.0 == pytest.approx(band.std(), rel=0.1)
    seams = texture[:, :16], texture[16:64, 16:64]
    assert seams[0].std() == pytest.approx(seams[1].std(), rel=0.1), "contrast is the same where pieces meet"
