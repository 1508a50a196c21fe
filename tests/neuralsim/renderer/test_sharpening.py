"""Sharpening: detail as strong as the card says, a sky without grain, and the graph's state is not sharpened."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.frames import street

from bridge.tags import Tag
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.postprocessing.sharpening import (
    mend_border,
    raise_contrast_of_people,
    sharpen,
    sharpen_scaled,
    soften_past,
    stillness,
)
from neuralsim.town.town_drive import TownDrive

AMOUNT = 0.6


def test_detail_grows_and_flat_stays() -> None:
    """A sine of 8 px: a mask [side, 1 - 2 side, side] removes 2 side (1 - cos 45 degrees) of it."""
    x = np.arange(64)
    image = np.broadcast_to(128 + 60 * np.sin(np.pi * x / 4)[None, :, None], (32, 64, 3)).round().astype(np.uint8)
    sharp = image.copy()
    sharpen(sharp, np.full((32, 64), Tag.BUILDING, np.uint8), AMOUNT)
    side = np.exp(-1 / (2 * 0.7**2)) / (1 + 2 * np.exp(-1 / (2 * 0.7**2)))
    gain = 1 + AMOUNT * 2 * side * (1 - np.cos(np.pi / 4))
    middle = np.s_[8:-8, 8:-8]
    assert np.abs((sharp[middle] - 128.0) - gain * (image[middle] - 128.0)).max() < 1.5
    flat = np.full((16, 16, 3), 77, np.uint8)
    sharpen(flat, np.full((16, 16), Tag.ROAD, np.uint8), AMOUNT)
    assert (flat == 77).all()


def test_what_was_scaled_down_is_sharpened_but_no_sky_road_or_outline() -> None:
    grain = np.random.default_rng(0).normal(128.0, 6.0, (60, 60, 3)).astype(np.uint8)
    bands = (Tag.SKY, Tag.VEGETATION, Tag.BUILDING, Tag.CAR, Tag.SIDEWALK, Tag.ROAD)
    tag = np.repeat(np.array(bands, np.uint8), 10)[:, None].repeat(60, 1)
    image = grain.copy()
    sharpen_scaled(image, tag, AMOUNT)
    for band in bands:
        inside = np.flatnonzero(tag[:, 0] == band)[1:-1]
        more = image[inside].std() / grain[inside].std()
        assert more == 1.0 if band in (Tag.SKY, Tag.ROAD) else more > 1.1, band
    assert np.array_equal(image[9:11], grain[9:11]), "where tags meet"


def test_people_stand_out_from_what_is_behind_them_by_day() -> None:
    """Somebody dark in front of a brighter wall becomes darker, half as much nearby and not at all close by, and the
    wall stays; at any size, padded tags included."""
    for height, width in ((128, 256), (101, 203), (2, 3)):
        image = np.full((height, width, 3), 120, np.uint8)
        tag = np.zeros((128, 256), np.uint8)
        tag[height // 4 : height - height // 4, width // 2 : width // 2 + max(width // 32, 1)] = Tag.PEDESTRIAN
        person = tag[:height, :width] == Tag.PEDESTRIAN
        image[person] = 100
        by_night = image.copy()
        far = np.full((height, width), 20.0, np.float32)
        nearby, close = image.copy(), image.copy()
        raise_contrast_of_people(image, tag, 1.0, far)
        raise_contrast_of_people(nearby, tag, 1.0, 0.2 * far)
        raise_contrast_of_people(close, tag, 1.0, 0.1 * far)
        raise_contrast_of_people(by_night, tag, 0.0, far)
        assert (image[~person] == 120).all()
        assert (by_night[person] == 100).all()
        assert (close[person] == 100).all()
        if width > 3:
            assert 85 < image[person].mean() < 98
            assert image[person].mean() + 1 < nearby[person].mean() < 99
    alone = np.full((64, 128, 3), 90, np.uint8)
    raise_contrast_of_people(alone, np.full((64, 128), Tag.PEDESTRIAN, np.uint8), 1.0, np.full((64, 128), 20.0))
    assert (alone == 90).all()


def test_the_border_of_the_past_is_that_inside_of_it() -> None:
    past = np.random.default_rng(0).random((1, 3, 12, 16), np.float32)
    inside = past[..., 2:-2, 2:-2].copy()
    mend_border(past)
    assert (past == np.pad(inside, ((0, 0), (0, 0), (2, 2), (2, 2)), "edge")).all()


def test_the_graph_gets_a_past_with_a_mended_border(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = NeuralRenderer(runtime="onnxruntime")
    renderer.render(street(1))
    session = renderer._view.session
    assert session is not None
    step, pasts = session.step, []

    def spied(inputs: dict[str, np.ndarray]) -> np.ndarray:
        pasts.append(session.state()["past_rgb"])
        return step(inputs)

    monkeypatch.setattr(session, "step", spied)
    renderer.render(replace(street(2), planes=street().planes | {"motion": np.ones((64, 128, 2), np.float16)}))
    assert len(pasts) == 1
    assert pasts[0].std() > 0.01
    assert (pasts[0][..., -2:] == pasts[0][..., -3:-2]).all()
    assert (pasts[0][..., :2, :] == pasts[0][..., 2:3, :]).all()


def test_the_sky_is_not_sharpened() -> None:
    image = np.random.default_rng(0).integers(0, 255, (32, 64, 3), np.uint8)
    tag = np.full((40, 64), Tag.ROAD, np.uint8)  # padded: rows below the image
    tag[:16] = Tag.SKY
    sharp = image.copy()
    sharpen(sharp, tag, AMOUNT)
    assert (sharp[:16] == image[:16]).all()
    assert (sharp[16:] != image[16:]).mean() > 0.5


def test_outlines_get_no_teeth() -> None:
    """The steps of a label's slanting outline are not sharpened, the surface beside it is."""
    rows, columns = np.mgrid[:48, :96]
    tag = np.where(columns > 3 * rows, Tag.ROAD_LINE, Tag.ROAD).astype(np.uint8)
    image = np.repeat(np.where(tag == Tag.ROAD_LINE, 180, 90).astype(np.uint8)[..., None], 3, axis=2)
    image += np.random.default_rng(0).integers(0, 20, image.shape, np.uint8)
    sharp = image.copy()
    sharpen(sharp, tag, AMOUNT)
    beside = np.abs(columns - 3 * rows)
    assert (sharp[beside < 3] == image[beside < 3]).all()
    assert (sharp[beside > 12] != image[beside > 12]).mean() > 0.5


def test_the_graphs_state_is_what_it_generated() -> None:
    frame = street()
    processed, plain = (NeuralRenderer(runtime="onnxruntime", threads=1, postprocess=p) for p in (True, False))
    assert (processed.render(frame) != plain.render(frame)).any()
    ours, theirs = processed.state(), plain.state()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_it_makes_no_black_dots() -> None:
    image = np.full((16, 16, 3), 200, np.uint8)
    image[8, 8] = 90
    sharp = image.copy()
    sharpen(sharp, np.full((16, 16), Tag.BUILDING, np.uint8), AMOUNT)
    assert 80 <= sharp.min() < 90


def test_it_draws_no_pale_line_along_what_is_dark() -> None:
    image = np.full((16, 32, 3), 180, np.uint8)
    image[:, 16:] = 20
    sharp = image.copy()
    sharpen(sharp, np.full((16, 32), Tag.BUILDING, np.uint8), 0.8)
    assert 180 < sharp.max() <= 190
    assert 10 <= sharp.min() < 20


def test_asphalt_is_no_more_woven_at_a_red_light_than_in_motion() -> None:
    def detail(image: np.ndarray) -> float:
        return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F)[road].std())

    renderer, drive = NeuralRenderer(runtime="onnxruntime"), TownDrive(256, 128, seed=1, town="hamlet")
    drive.ride()
    drive.skip(60)
    for _ in range(12):
        frame = drive.next_frame(colour="rgb")
        moving = renderer.render(frame)
    road = cv2.erode((frame.planes["tag"] == Tag.ROAD).astype(np.uint8), np.ones((5, 5))) > 0
    planes = {name: plane.copy() for name, plane in frame.planes.items()}
    planes["motion"][:] = 0.0
    for number in range(1, 41):
        standing = renderer.render(replace(frame, sim_frame=frame.sim_frame + number, planes=planes))
    assert detail(standing) < 1.2 * detail(moving)  # 1.7 times, if its past is left as it is


def test_past_is_softened_by_class_and_the_less_the_more_moves() -> None:
    motion = np.zeros((32, 64, 2), np.float16)
    assert stillness(motion) == 1.0
    assert stillness(motion + np.float16(0.075)) == pytest.approx(0.5, abs=0.01)
    assert stillness(motion + np.float16(2.0)) == 0.0
    motion[8:16, 16:24] = 30000.0  # a car that crosses, its past hidden
    assert 0.7 < stillness(motion) < 1.0
    checked = np.indices((32, 64)).sum(0) % 2
    past, tag = np.tile(checked.astype(np.float32), (1, 3, 1, 1)), np.full((32, 64), Tag.ROAD, np.uint8)
    tag[:, :32] = Tag.BUILDING
    soften_past(past, tag, 1.0)
    contrast = np.abs(past[0, :, 1:-1, 1:-1] - 0.5) * 2.0  # each neighbour differs by the whole contrast
    assert np.allclose(contrast[..., 35:], 0.0, atol=1e-5)
    assert np.allclose(contrast[..., :28], 1.0 - 8.0 * 0.03, atol=1e-5)
    assert np.allclose(contrast[..., 30:32], 1.0), "beside an outline, it would smear one thing over the other"
