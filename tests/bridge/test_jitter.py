"""Shifts by parts of a pixel: evenly spread, exact in the picture, not in the motion, and checked on the wire."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest

from bridge import jitter
from bridge.link import frame_header
from bridge.messages import Camera, Frame, ProtocolError
from bridge.tags import Tag
from neuralsim.town.assets.meshes import merge, prism, quad
from neuralsim.town.core.types import Transform
from neuralsim.town.render.raster import Planes, Rasteriser
from neuralsim.town.render.scene import Placements, Scene

W, H, FOV = 96, 64, 80.0


@pytest.fixture(scope="module")
def scene() -> Scene:
    ground = quad([(-50, -50, 0), (50, -50, 0), (50, 50, 0), (-50, 50, 0)], Tag.ROAD, (80, 80, 80))
    house = prism([(0, 0), (9, 0), (9, 7), (0, 7)], 0, 8, Tag.BUILDING, (180, 120, 90)).with_instance(10001)
    return Scene(merge([ground, house.moved(12, 6), house.moved(25, -18, yaw=40)]), [])


def seen(scene: Scene, width: int, height: int, shift: jitter.Jitter, before: Transform | None = None) -> Planes:
    pose = Transform(0.0, 0.0, 1.6, -3.0, 8.0, 1.0)
    raster = Rasteriser(width, height, FOV)
    return raster.render(scene, Placements.empty(), pose.matrix(), (before or pose).matrix(), jitter=shift)


def test_shifts_are_within_half_a_pixel_and_even_for_every_second_and_fourth_frame() -> None:
    shifts = np.array([jitter.frame_jitter(n) for n in range(60)])
    assert np.abs(shifts).max() <= 0.5
    assert len(np.unique(shifts, axis=0)) == jitter.LENGTH
    for pitch in (1, 2, 4):
        for first in range(pitch):
            mine = shifts[first::pitch][: jitter.LENGTH]
            assert np.abs(mine.mean(axis=0)).max() < 1e-9
            assert (np.histogram2d(*mine.T, bins=2, range=[(-0.5, 0.5)] * 2)[0] >= 2).all()


def test_every_second_pixel_is_a_shifted_camera_of_half_the_size(scene: Scene) -> None:
    large = seen(scene, 2 * W, 2 * H, jitter.NONE)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        small = seen(scene, W, H, (0.25 - 0.5 * column, 0.25 - 0.5 * row))
        assert (small.instance == large.instance[row::2, column::2]).all()
        np.testing.assert_allclose(small.depth, large.depth[row::2, column::2], rtol=1e-4)


@pytest.mark.parametrize("size", [(2 * W, 2 * H), (2 * W - 1, 2 * H - 1)])
def test_half_size_image_is_every_second_pixel(scene: Scene, size: tuple[int, int]) -> None:
    pose = Transform(0.0, 0.0, 1.6, -3.0, 8.0, 1.0).matrix()
    raster = Rasteriser(*size, FOV)
    raster.draw(scene, Placements.empty(), pose, pose)
    whole, half = raster.shade()[::2, ::2].astype(int), raster.shade(half=True)
    assert half.shape == whole.shape
    assert half.std() > 10
    assert np.abs(half - whole).max() <= 1
    raster.draw(scene, Placements.empty(), pose, pose, lit=False)
    with pytest.raises(ValueError, match="nothing was drawn"):
        raster.shade()


def test_shift_by_a_whole_pixel_moves_the_image_right_and_down(scene: Scene) -> None:
    plain = seen(scene, W, H, jitter.NONE).instance.copy()
    moved = seen(scene, W, H, (1.0, 1.0)).instance
    assert len(np.unique(plain)) > 1
    assert (moved[1:, 1:] == plain[:-1, :-1]).all()


def test_motion_does_not_contain_the_shift(scene: Scene) -> None:
    still = seen(scene, W, H, (0.4, -0.3)).motion
    assert np.abs(still).max() < 1e-3
    # under way: the same surface point has the same motion, wherever in the pixel it is looked at
    before = Transform(-0.8, 0.1, 1.6, -3.0, 7.0, 1.0)
    large = seen(scene, 2 * W, 2 * H, jitter.NONE, before).motion[::2, ::2] / 2.0
    small = seen(scene, W, H, (0.25, 0.25), before).motion
    inside = np.abs(large).max(axis=-1) < 100.0
    np.testing.assert_allclose(small[inside], large[inside], atol=2e-3)


def frame(shift: jitter.Jitter) -> Frame:
    return Frame(1, 1, 0.1, Camera(W, H, FOV, np.eye(4), shift), {"tag": np.zeros((H, W), np.uint8)})


def test_shift_is_sent_in_the_header() -> None:
    assert frame_header.unpack(frame_header.pack(frame((0.25, -0.5)))).camera.jitter == (0.25, -0.5)


@pytest.mark.parametrize("wrong", [[0.1], [0.1, 0.2, 0.3], [1.5, 0.0], [float("nan"), 0.0], ["a", 0.0], 0.5, None])
def test_invalid_shift_is_refused(wrong: object) -> None:
    parts = frame_header.pack(frame(jitter.NONE))
    header = msgpack.unpackb(parts[1])
    header["camera"]["jitter"] = wrong
    with pytest.raises(ProtocolError, match="jitter"):
        frame_header.unpack([parts[0], msgpack.packb(header), *parts[2:]])
