"""Sketches of real objects, pasted into the boxes of objects without a simulator image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.guide.exemplar_guide import CELL, SIZES, Atlas, AtlasError, ExemplarGuide
from neuralsim.models.classes import CHANNELS, Channel
from neuralsim.training.data.conditioning import Picture
from tools.exemplars import atlas, exemplars, sheet

STYLE = np.full((CHANNELS, 3), 64.0 / 255.0 - 0.5, np.float32)


@pytest.fixture
def two_cars() -> Atlas:
    """A wide red car that is dark above and a narrow blue one that is dark on the left; people, cycles of a kind."""
    sketches = {channel: np.full((1, *size), 128, np.uint8) for channel, size in SIZES.items()}
    height, width = SIZES[Channel.VEHICLE]
    cars = np.full((2, height, width), 228, np.uint8)
    cars[0, : height // 2] = 28
    cars[1, :, : width // 2] = 28
    sketches[Channel.VEHICLE] = cars
    aspects = {channel: np.array([0.5]) for channel in SIZES} | {Channel.VEHICLE: np.array([2.5, 1.0])}
    tints = {channel: np.ones((1, h // CELL, w // CELL, 3)) for channel, (h, w) in SIZES.items()}
    tints[Channel.VEHICLE] = np.ones((2, height // CELL, width // CELL, 1)) * np.array(
        [[[[1.5, 0.5, 0.5]]], [[[0.5, 0.5, 1.5]]]]
    )
    return Atlas(sketches, aspects, tints)


def street(*boxes: tuple[int, int, int, int], number: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Tags and instances of a road 128x256 with cars at (y0, y1, x0, x1)."""
    tag, instance = np.full((128, 256), Tag.ROAD, np.uint8), np.zeros((128, 256), np.uint16)
    for place, (y0, y1, x0, x1) in enumerate(boxes):
        tag[y0:y1, x0:x1], instance[y0:y1, x0:x1] = Tag.CAR, number + place
    return tag, instance


def test_a_wide_car_gets_the_sketch_of_a_wide_car(two_cars: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralsim.guide.exemplar_guide._CANDIDATES", 1)
    tag, instance = street((30, 70, 20, 120), (30, 70, 150, 190))
    out = ExemplarGuide(two_cars).follow(tag, instance, STYLE)
    assert (out[30:70, 20:120, :3] == (96, 32, 32)).all(), "red, in the style's light"
    assert (out[30:70, 150:190, :3] == (32, 32, 96)).all()
    assert (out[tag == Tag.ROAD] == 0).all()
    wide, narrow = out[30:70:2, 20:120:2, 3], out[30:70:2, 150:190:2, 3]
    assert wide[:8].max() < 60 < 200 < wide[12:].min()
    halves = sorted((float(narrow[:, :8].mean()), float(narrow[:, -8:].mean())))
    assert halves[0] < 60 < 200 < halves[1], "mirrored or not"


def test_it_stays_the_same_car_while_it_keeps_its_shape(two_cars: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralsim.guide.exemplar_guide._CANDIDATES", 1)
    guide = ExemplarGuide(two_cars)

    def dark_above(x1: int) -> bool:
        out = guide.follow(*street((30, 70, 20, x1)), STYLE)[30:70:2, 20:x1:2, 3]
        return float(out[:8].mean()) < float(out[12:].mean()) - 50.0

    assert dark_above(110)
    assert dark_above(82), "it would be the narrow one by itself, but was the wide one before"
    assert not dark_above(50), "from the front it is another"


def test_small_objects_get_a_coarse_sketch(two_cars: Atlas) -> None:
    """At its own size a sketch would sparkle: a pixel is the mean of the texels that it covers."""
    sketches = dict(two_cars.sketches)
    height, width = SIZES[Channel.VEHICLE]
    chequers = np.indices((height, width)).sum(0) % 2
    sketches[Channel.VEHICLE] = np.where(chequers, 255, 1).astype(np.uint8)[None].repeat(2, 0)
    out = ExemplarGuide(Atlas(sketches, two_cars.aspects, two_cars.tints)).follow(*street((40, 56, 40, 80)), STYLE)
    assert np.abs(out[40:56:2, 40:80:2, 3].astype(float) - 128.0).max() < 3.0


def test_an_object_cut_by_the_edge_is_part_of_a_whole_one(two_cars: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuralsim.guide.exemplar_guide._CANDIDATES", 1)
    monkeypatch.setattr("neuralsim.guide.exemplar_guide._WHOLE", {Channel.VEHICLE: 1.0})
    out = ExemplarGuide(two_cars).follow(*street((30, 90, 0, 10)), STYLE)[30:90:2, 0:10:2, 3]
    assert out.std() < 20.0, "only its end is visible, not all of it squeezed"


def test_an_atlas_survives_the_disk_and_anything_else_is_refused(two_cars: Atlas, tmp_path: Path) -> None:
    two_cars.save(tmp_path / "a.npz")
    again = Atlas.load(tmp_path / "a.npz")
    assert all((again.sketches[channel] == two_cars.sketches[channel]).all() for channel in SIZES)
    assert all((again.tints[channel] == two_cars.tints[channel]).all() for channel in SIZES)
    (tmp_path / "b.npz").write_bytes(b"noise")
    np.savez(tmp_path / "c.npz", sketch_vehicle=np.zeros(3))
    np.savez(tmp_path / "d.npz", sketch_vehicle=np.array([{}], object))
    for name in ("b", "c", "d"):
        with pytest.raises(AtlasError, match=f"{name}.npz: not an atlas"):
            Atlas.load(tmp_path / f"{name}.npz")
    with pytest.raises(AtlasError, match="expected u8"):
        Atlas({**two_cars.sketches, Channel.PERSON: np.zeros((1, 2, 2), np.uint8)}, two_cars.aspects, two_cars.tints)
    with pytest.raises(AtlasError, match="above 0"):
        Atlas(two_cars.sketches, {**two_cars.aspects, Channel.PERSON: np.zeros(1)}, two_cars.tints)
    with pytest.raises(AtlasError, match="tints of class person: expected"):
        Atlas(two_cars.sketches, two_cars.aspects, {**two_cars.tints, Channel.PERSON: np.full((1, 10, 4, 3), np.nan)})


def scene(covered: bool = False, cut: bool = False) -> Picture:
    """A car with windows, a person and a cycle on a road."""
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (300, 400, 3), np.uint8)
    label = np.full((300, 400), Channel.ROAD, np.uint8)
    x = 0 if cut else 40
    label[100:160, x : x + 110] = Channel.VEHICLE
    image[100:160, x : x + 110] = 200
    image[108:125, x + 20 : x + 90] = 10
    for left, half, channel in ((200, 18, Channel.PERSON), (280, 30, Channel.CYCLE)):
        cv2.ellipse(label, (left + 20, 170), (half, 48), 0, 0, 360, int(channel), -1)
        cv2.ellipse(image, (left + 20, 150), (12, 20), 0, 0, 360, (250, 250, 250), -1)
        cv2.ellipse(image, (left + 20, 190), (12, 20), 0, 0, 360, (5, 5, 5), -1)
    if covered:
        label[90:170, x + 60 : x + 66] = Channel.POLE
    return Picture("a", image, label, None)


def test_an_atlas_consists_of_whole_objects() -> None:
    whole = list(exemplars([scene()]))
    assert {each.channel for each in whole} == set(SIZES)
    assert Channel.VEHICLE not in {each.channel for each in exemplars([scene(covered=True)])}
    assert Channel.VEHICLE not in {each.channel for each in exemplars([scene(cut=True)])}
    made = atlas(whole + whole)
    assert {len(sketches) for sketches in made.sketches.values()} == {1}, "one object is taken once"
    assert all(tints.mean((0, 1, 2)) == pytest.approx(1.0, abs=0.01) for tints in made.tints.values())
    car = made.sketches[Channel.VEHICLE][0]
    assert car[12:20, 30:60].mean() < 40 < 150 < car[40:].mean(), "its windows are dark"
    assert made.aspects[Channel.VEHICLE][0] == pytest.approx(110 / 60)
    assert sheet(made).ndim == 2
    with pytest.raises(AtlasError, match="no whole cycle"):
        atlas(whole, {Channel.CYCLE: {0}})
