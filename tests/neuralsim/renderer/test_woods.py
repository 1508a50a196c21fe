"""Woods in place of houses."""

from __future__ import annotations

import numpy as np
from helpers.frames import street

from bridge.ego_camera import EGO_CAMERA
from bridge.tags import Tag
from neuralsim.renderer import woods
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.remap import PRESETS

HEIGHT, WIDTH, FOCAL = 128, 256, 200.0
GREEN = np.array((-0.28, -0.24, -0.32), np.float32)


def wood(east: float = 0.0, distance: float = 25.0) -> tuple[np.ndarray, np.ndarray, woods.View]:
    """Return tags, guide and camera before a wall 12 m high and across the whole image, which became a wood."""
    pose = np.eye(4)
    pose[1, 3], pose[2, 3] = east, EGO_CAMERA.z
    view = woods.View(pose, FOCAL, WIDTH / 2.0, HEIGHT - 20.0)
    rows = (np.arange(HEIGHT) + 0.5 - view.cy) / FOCAL * -distance + EGO_CAMERA.z
    before = np.where((rows > 0.0) & (rows < 12.0), Tag.BUILDING, np.where(rows > 0.0, Tag.SKY, Tag.ROAD))
    before = np.tile(before[:, None].astype(np.uint8), (1, WIDTH))
    tag, guide = PRESETS[0][1].table[before], np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    woods.plant(before, tag, np.full(tag.shape, distance, np.float32), view, GREEN, guide)
    changed = tag != PRESETS[0][1].table[before]
    assert (tag[changed] == Tag.SKY).all()
    assert not guide[tag != Tag.VEGETATION].any()
    return tag, guide, view


def tops(tag: np.ndarray) -> np.ndarray:
    """Return the first row of vegetation in each column."""
    return np.argmax(tag == Tag.VEGETATION, axis=0)


def test_the_straight_edge_of_a_roof_becomes_crowns_of_different_heights() -> None:
    tag, guide, _ = wood()
    heights = (np.argmax(tag == Tag.ROAD, axis=0) - tops(tag)) / FOCAL * 25.0
    assert heights.min() > 2.0
    assert heights.max() < 12.0
    assert np.ptp(heights) > 2.0
    # without floating islands: below the first crown there is no more sky
    assert all((tag[top:, x] != Tag.SKY).all() for x, top in enumerate(tops(tag)))
    sketch = guide[::2, ::2, 3][tag[::2, ::2] == Tag.VEGETATION]
    assert sketch.min() > 0
    assert np.percentile(sketch, 10) < 100 < 150 < np.percentile(sketch, 90)  # gaps and leaves


def test_trees_stay_where_they_are_when_the_camera_moves() -> None:
    step = 24  # px
    (first, there, _), (second, here, _) = wood(), wood(east=step * 25.0 / FOCAL)
    assert (first[:, step:] == second[:, :-step]).mean() > 0.995
    assert np.abs(there[:, step:].astype(int) - here[:, :-step]).mean() < 1.0


def test_a_renderer_plants_woods_for_houses_and_leaves_the_frame_alone() -> None:
    renderer = NeuralRenderer(runtime="onnxruntime", threads=1)
    frame = street()
    frame.planes["tag"].flags.writeable = False  # like frames of the link
    renderer.set_remap(PRESETS[0][1])
    generated = renderer.generate(frame)
    planted = generated.inputs.tensors
    assert Tag.BUILDING not in planted["tag"]
    assert (planted["guide"][planted["tag"] == Tag.VEGETATION][:, 0] > 0).all()
    assert (frame.planes["tag"] == street().planes["tag"]).all()
    renderer.set_remap(PRESETS[2][1])
    assert not renderer.generate(street(2)).inputs.tensors["guide"].any()  # of no image, and no wood
