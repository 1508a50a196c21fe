"""Sharpening: detail as strong as the card says, a sky without grain, and nothing of it in the graph's memory."""

from __future__ import annotations

import numpy as np
from helpers.frames import street

from bridge.tags import Tag
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.sharpening import sharpen

AMOUNT = 0.6


def test_detail_grows_and_flat_stays() -> None:
    """A sine of 8 px: a mask [side, 1 - 2 side, side] takes 2 side (1 - cos 45 degrees) of it away."""
    x = np.arange(64)
    picture = np.broadcast_to(128 + 60 * np.sin(np.pi * x / 4)[None, :, None], (32, 64, 3)).round().astype(np.uint8)
    sharp = picture.copy()
    sharpen(sharp, np.full((32, 64), Tag.BUILDING, np.uint8), AMOUNT)
    side = np.exp(-1 / (2 * 0.7**2)) / (1 + 2 * np.exp(-1 / (2 * 0.7**2)))
    gain = 1 + AMOUNT * 2 * side * (1 - np.cos(np.pi / 4))
    middle = np.s_[8:-8, 8:-8]
    assert np.abs((sharp[middle] - 128.0) - gain * (picture[middle] - 128.0)).max() < 1.5
    flat = np.full((16, 16, 3), 77, np.uint8)
    sharpen(flat, np.full((16, 16), Tag.ROAD, np.uint8), AMOUNT)
    assert (flat == 77).all()


def test_the_sky_keeps_what_was_painted() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (32, 64, 3), np.uint8)
    tag = np.full((40, 64), Tag.ROAD, np.uint8)  # padded: rows below the picture
    tag[:16] = Tag.SKY
    sharp = picture.copy()
    sharpen(sharp, tag, AMOUNT)
    assert (sharp[:16] == picture[:16]).all()
    assert (sharp[16:] != picture[16:]).mean() > 0.5


def test_the_graph_remembers_what_it_painted() -> None:
    frame = street()
    finished, plain = (NeuralRenderer(runtime="onnxruntime", threads=1, finish=f) for f in (True, False))
    assert (finished.render(frame) != plain.render(frame)).any()
    ours, theirs = finished.state(), plain.state()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_it_makes_no_black_dots() -> None:
    picture = np.full((16, 16, 3), 200, np.uint8)
    picture[8, 8] = 90
    sharp = picture.copy()
    sharpen(sharp, np.full((16, 16), Tag.BUILDING, np.uint8), AMOUNT)
    assert 80 <= sharp.min() < 90
