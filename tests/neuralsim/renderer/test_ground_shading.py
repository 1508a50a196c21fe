"""The generated ground has the simulator's shadows, and nothing else of it changes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from helpers.frames import street as street_frame

from bridge.tags import Tag
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.postprocessing.ground_shading import follow_shading
from neuralsim.renderer.remap import Remap


@pytest.fixture
def street() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generated image, tags and simulator image: a road without a shadow, and one with a shadow below a car."""
    rng = np.random.default_rng(0)
    image = rng.normal(120.0, 6.0, (256, 512, 3)).astype(np.uint8)
    tag = np.full((256, 512), Tag.BUILDING, np.uint8)
    tag[110:] = Tag.ROAD
    tag[120:170, 200:300] = Tag.CAR
    simulated = np.full((256, 512, 3), 90, np.uint8)
    simulated[170:186, 200:300] = 30
    simulated[120:170, 200:300] = 240
    return image, tag, simulated


@pytest.mark.parametrize("half", [False, True])
def test_a_shadow_of_the_simulator_is_cast(street: tuple[np.ndarray, np.ndarray, np.ndarray], half: bool) -> None:
    before, tag, simulated = street
    image = before.copy()
    follow_shading(image, tag, cv2.resize(simulated, (256, 128), interpolation=cv2.INTER_AREA) if half else simulated)
    assert image[172:184, 210:290].mean() < 0.7 * before[172:184, 210:290].mean()
    away = np.s_[200:250, 20:120]
    assert abs(float(image[away].mean()) - float(before[away].mean())) < 3.0
    assert image[away].std() > 0.9 * before[away].std()  # the texture is the generator's
    assert np.array_equal(image[tag != Tag.ROAD], before[tag != Tag.ROAD])


def test_ground_that_is_shaded_alike_stays(street: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    before, tag, _ = street
    image, simulated = before.copy(), (before * 0.5).astype(np.uint8)
    follow_shading(image, tag, simulated)
    assert np.abs(image.astype(int) - before).max() <= 4


def test_the_edge_of_a_houses_shadow_is_cast_in_full() -> None:
    """Of a weak contrast, a road tolerates a part; a shadow that is cast by the sun is none."""
    before = np.full((256, 512, 3), 110, np.uint8)
    tag, simulated = np.full((256, 512), Tag.ROAD, np.uint8), np.full((256, 512, 3), 120, np.uint8)
    simulated[:, 256:] = 45
    image = before.copy()
    follow_shading(image, tag, simulated)
    assert image[100:200, 264:276].mean() < 0.8 * 110.0
    assert np.abs(image[100:200, :250].astype(int) - 110).max() <= 4, "the road in the sun stays"


def test_a_wet_road_mirrors_what_the_simulator_mirrors(street: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    before, tag, simulated = street
    simulated[190:230, 220:240] = 180  # a headlamp
    images = [before.copy() for _ in range(2)]
    for image, wet in zip(images, (0.0, 1.0), strict=True):
        follow_shading(image, tag, simulated, wet)
    lit = np.s_[195:225, 224:236]
    assert images[1][lit].mean() > 1.5 * before[lit].mean()
    assert images[0][lit].mean() < 1.2 * before[lit].mean()
    away = np.s_[200:250, 20:120]
    assert abs(float(images[1][away].mean()) - float(before[away].mean())) < 4.0


def test_a_pavement_has_the_simulators_kerbs_and_slabs(street: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    before, _, _ = street
    tag, simulated = np.full((256, 512), Tag.SIDEWALK, np.uint8), np.full((256, 512, 3), 90, np.uint8)
    pale, dark = np.s_[120:136], np.s_[200:216]
    simulated[pale], simulated[dark] = 108, 75
    image = before.copy()
    follow_shading(image, tag, simulated)
    assert image[124:132].mean() > 1.08 * before[124:132].mean()
    assert image[204:212].mean() < 0.92 * before[204:212].mean()
    road = before.copy()
    follow_shading(road, np.full_like(tag, Tag.ROAD), simulated)
    assert np.abs(road.astype(int) - before).max() <= 4  # patches of asphalt are the generator's


def test_a_plain_pavement_has_no_rim_around_what_stands_on_it() -> None:
    image, simulated = np.full((256, 512, 3), 150, np.uint8), np.full((256, 512, 3), 90, np.uint8)
    tag = np.full((256, 512), Tag.SIDEWALK, np.uint8)
    tag[:, 240:262] = Tag.POLE
    image[:, 240:262] = simulated[:, 240:262] = 20
    before = image.copy()
    follow_shading(image, tag, simulated)
    assert np.abs(image.astype(int) - before).max() <= 1


def test_an_image_without_ground_stays(street: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    before, tag, simulated = street
    image = before.copy()
    follow_shading(image, np.full_like(tag, Tag.SKY), simulated)
    assert np.array_equal(image, before)


def test_ground_that_an_edit_makes_has_no_shadows_of_what_was_there() -> None:
    frame = street_frame(0, 128, 64)
    renderer = NeuralRenderer(runtime="onnxruntime", threads=1, guide="picture")
    renderer.set_remap(Remap.parse("buildings=roads"))
    renderer.prepare((128, 64))
    renderer.advance(frame)
    kept = renderer.scene(renderer.encode(frame)).unedited
    was = frame.planes["tag"]
    assert (was == Tag.BUILDING).any()
    assert (kept[was == Tag.BUILDING] == 0).all()
    assert np.array_equal(kept[was != Tag.BUILDING], was[was != Tag.BUILDING])
