"""Fronts of houses: off real pictures, and onto walls."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from neuralsim.models.classes import Channel
from neuralsim.models.facades import HEIGHT, TEXEL, WIDTH, Fronts, drawn
from neuralsim.render.stage import EYE
from neuralsim.training.data import Picture
from neuralsim.training.fronts import _pieces as cut
from neuralsim.training.fronts import _sketch as sketch
from neuralsim.training.fronts import fronts

SIZE = 480, 360  # px
HORIZON = 176.0
FINER = 3  # rows and columns of samples in a pixel
FOCAL = SIZE[0] / 2 / np.tan(np.radians(30.0))


def bays(seed: int) -> np.ndarray:
    """Which bays of 0.6 m have a window, bool (128,)."""
    return np.random.default_rng(seed).random(128) < 0.5


def pane(seed: int, along: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Whether there is a window at a point of the wall, metres along it and over the ground."""
    return bays(seed)[np.minimum(along / 0.6, 127.0).astype(int)] & (np.abs(up % 3.0 - 1.7) < 0.4 + 0.1 * (seed % 5))


def street(seed: int, name: str, lateral: float = 6.0) -> Picture:
    """A street between two endless walls 7 m high with windows in some bays of each storey of 3 m."""
    width, height = SIZE[0] * FINER, SIZE[1] * FINER
    x = ((np.arange(width) + 0.5) / FINER - SIZE[0] / 2)[None, :] / FOCAL
    y = ((np.arange(height) + 0.5) / FINER - HORIZON)[:, None] / FOCAL
    ahead = np.broadcast_to(lateral / np.abs(x), (height, width))
    up = EYE - y * ahead
    label = np.where((up < 0) & (ahead < 110.0), Channel.ROAD, Channel.SKY)
    label = np.where((up >= 0) & (up < 7.0) & (ahead < 110.0), Channel.BUILDING, label).astype(np.uint8)
    board = 0.22 + 0.012 * seed
    boards = np.where(ahead % board < 0.4 * board, 125, 160)
    shade = np.where(
        label == Channel.BUILDING, np.where(pane(seed, ahead, up), 60, boards), np.where(label == Channel.SKY, 230, 90)
    )
    image = cv2.resize(shade.astype(np.uint8), SIZE, interpolation=cv2.INTER_AREA)[..., None].repeat(3, 2)
    label = cv2.resize(label, SIZE, interpolation=cv2.INTER_NEAREST)
    return Picture(name, image, label, None, "own")


@pytest.fixture(scope="module")
def walk() -> list[Picture]:
    return [street(seed, f"walk_{seed}") for seed in range(30)]


@pytest.mark.parametrize("side", [-1, 1])
def test_a_wall_seen_at_a_slant_comes_out_upright_with_its_windows_where_they_are(
    walk: list[Picture], side: int
) -> None:
    for picture, seed in zip(walk[:4], range(4), strict=True):
        pieces = cut(sketch(picture), picture.label, HORIZON, side)
        assert len(pieces) >= 2
        for piece in pieces:
            up = (len(piece) - np.arange(len(piece)) - 0.5)[:, None] * TEXEL
            metres = 4.0 + 3.2 * np.arange(7)[:, None] + (np.arange(piece.shape[1]) + 0.5) * TEXEL

            def likeness(
                wall: int, up: np.ndarray = up, metres: np.ndarray = metres, piece: np.ndarray = piece
            ) -> float:
                truths = [pane(wall, along[None], up) for along in metres]
                return max(np.corrcoef(-piece.ravel(), truth.ravel())[0, 1] for truth in truths)

            assert likeness(seed) > 0.6
            assert likeness(seed) > likeness(seed + 1)
            assert likeness(seed) > likeness(seed + 2)


def test_a_walk_gives_fronts_none_like_another(walk: list[Picture]) -> None:
    strips = fronts(walk)
    assert strips.dtype == np.uint8
    assert strips.shape[0] == 2
    assert strips.shape[2:] == (HEIGHT, WIDTH)
    assert not np.array_equal(strips, drawn())
    assert np.array_equal(strips, fronts(walk))
    likeness = np.corrcoef(strips.transpose(1, 0, 2, 3).reshape(strips.shape[1], -1))
    assert np.median(likeness) < 0.6


def test_pictures_without_houses_get_drawn_fronts() -> None:
    empty = street(1, "walk_1")
    empty.label[empty.label == Channel.BUILDING] = Channel.VEGETATION
    assert np.array_equal(fronts([empty]), drawn())


def test_the_street_of_the_clip_that_is_judged_gives_none(walk: list[Picture]) -> None:
    judged = (replace(picture, name=f"0016E5_07{number:03d}") for number, picture in enumerate(walk))
    assert np.array_equal(fronts(judged), drawn())


def wall(x: np.ndarray, height: float, footprint: float, strips: np.ndarray) -> np.ndarray:
    """The sketch of house 7 along ``x`` m of its wall."""
    along = torch.from_numpy(x.astype(np.float32))[None, None]
    ones = torch.ones_like(along)
    code = torch.full(along.shape, 7)
    return Fronts(strips)(code, along, ones * height, ones * footprint)[0, 0].numpy()


def test_a_front_has_no_seam_and_comes_back_along_the_wall() -> None:
    smooth = np.tile((127 + 100 * np.cos(np.arange(WIDTH) / WIDTH * np.pi)).astype(np.uint8), (2, 9, HEIGHT, 1))
    x = np.arange(0.0, 40.0, 0.01)
    seen = wall(x, 4.5, 0.01, smooth)
    assert np.ptp(seen) > 1.4
    assert np.abs(np.diff(seen)).max() < 0.02


@pytest.mark.parametrize("footprint", [0.2, 0.8])
def test_far_off_a_front_is_its_own_mean_and_does_not_flicker(footprint: float) -> None:
    strips = np.random.default_rng(0).integers(0, 256, (2, 9, HEIGHT, WIDTH)).astype(np.uint8)
    x = np.arange(0.0, 30.0, footprint)
    near, far = wall(x, 4.5, 0.01, strips), wall(x, 4.5, footprint, strips)
    moved = wall(x + 0.25 * footprint, 4.5, footprint, strips)
    assert far.std() < 0.5 * near.std()
    assert np.abs(moved - far).mean() < 0.4 * np.abs(wall(x + 0.25 * footprint, 4.5, 0.01, strips) - near).mean()


def test_strips_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"strips: expected u8 \(2, N, 64, 128\)"):
        Fronts(np.zeros((2, 3, 64, 64), np.uint8))
