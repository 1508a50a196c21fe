"""Fronts of houses, on their walls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bridge.tags import Tag
from neuralsim.base.colour import LUMA
from neuralsim.facades import (
    HEIGHT,
    TEXEL,
    WIDTH,
    draw_fronts,
    house_parameters,
    house_row,
    label_rooms,
)
from neuralsim.models.facade_sketch import Fronts
from neuralsim.town.assets.houses import WALLS
from neuralsim.town.assets.meshes import quad
from neuralsim.town.render.raster import Rasteriser
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.render.shading.surface_kernels import NOISE_SIZE, _room_light


def test_fronts_have_windows_none_is_like_another_and_they_are_the_same_every_time() -> None:
    strips, glass, trim, _ = draw_fronts()
    assert strips.dtype == np.uint8
    assert strips.shape[0] == 2
    assert strips.shape[2:] == (HEIGHT, WIDTH)
    draw_fronts.cache_clear()
    assert np.array_equal(strips, draw_fronts().tone)
    assert len(np.unique(strips.reshape(-1, HEIGHT * WIDTH), axis=0)) == 2 * strips.shape[1]
    seen = ((strips < 80) | (glass > 0)).mean((2, 3))  # panes and doors
    assert seen.min() > 0.02
    assert seen.max() < 0.75
    assert (strips[0][:, :4] > 110).all()  # a storey ends in wall, or the next one's sill would cut its windows
    glass, trim = glass > 0, trim > 0
    assert glass.shape == trim.shape == strips.shape
    assert not (glass & trim).any()
    assert 0.05 < glass[0].mean() < glass[1].mean() < 0.5, "shops have more of it"
    assert strips[glass].mean() < 0.6 * strips[~glass].mean()
    assert strips[trim].mean() > 1.1 * strips[~glass].mean()


def test_every_ground_floor_has_a_door_and_no_hole() -> None:
    """Doors are painted, or have panes: below the signboard there is no room but behind glass."""
    strips, glass, trim, _ = draw_fronts()
    rooms = label_rooms(strips, glass)[1]
    assert not rooms[:, 26:][glass[1, :, 26:] == 0].any()
    assert (rooms[glass[1] > 0] > 0).mean() > 0.98
    for front in trim[1]:
        down_to_the_street = (front[-4:] > 0).any(axis=0)
        assert 10 <= down_to_the_street.sum() <= 30


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


@pytest.mark.parametrize("instance", [10_003, 10_077])
def test_the_simulator_draws_a_front_where_the_surface_planes_have_it(instance: int) -> None:
    width, height = 192, 96
    wall = quad([(14, -20, 0), (14, 20, 0), (14, 20, 14), (14, -20, 14)], Tag.BUILDING, WALLS[3])
    scene = Scene(wall.with_instance(instance), [])
    pose = np.eye(4)
    pose[2, 3] = 5.0
    planes = Rasteriser(width, height, 70.0).render(scene, Placements.empty(), pose, pose, sun=(45.0, 180.0))
    focal = width / (2.0 * np.tan(np.radians(35.0)))
    along = torch.from_numpy(((np.arange(width) + 0.5 - width / 2.0) / focal * 14.0).astype(np.float32)).expand(
        1, height, width
    )
    above = 5.0 + torch.from_numpy(((height / 2.0 - np.arange(height) - 0.5) / focal * 14.0).astype(np.float32))
    code = torch.full((1, height, width), (instance * 97 + 31) % 256)
    footprint = torch.full((1, height, width), 2.0 * 14.0 / focal)
    sketch = Fronts(draw_fronts().tone)(
        code, along, above[None, :, None].expand(1, height, width).contiguous(), footprint
    )[0].numpy()
    assert planes.rgb is not None
    inside = planes.tag == Tag.BUILDING
    inside[:, :2] = inside[:, -2:] = False
    assert np.corrcoef(sketch[inside], (planes.rgb @ np.array(LUMA))[inside])[0, 1] > 0.75


def test_downpipes_run_between_windows() -> None:
    """At both ends of every pair of strips, where a front has no window, its wall is darker from top to bottom."""
    instance, width, height, away = 10_003, 640, 96, 14.0
    wall = quad([(away, -20, 0), (away, 20, 0), (away, 20, 14), (away, -20, 14)], Tag.BUILDING, WALLS[3])
    pose = np.eye(4)
    pose[2, 3] = 8.0
    camera = Rasteriser(width, height, 70.0)
    scene = Scene(wall.with_instance(instance), [])
    planes = camera.render(scene, Placements.empty(), pose, pose, sun=(45.0, 180.0))
    assert planes.rgb is not None
    stretch, start = house_parameters()[house_row(np.array([instance]))][0, 2:4]
    pair = 2.0 * stretch * TEXEL * WIDTH
    pipes = np.arange(-3, 4) * pair - 0.5 * start * pair
    columns = width / 2.0 + pipes * camera.focal / away
    columns = columns[(columns > 30) & (columns < width - 30)].astype(int)
    bright = (planes.rgb @ LUMA).mean(0)
    assert len(columns) >= 1
    for column in columns:
        beside = min(bright[column - 14 : column - 8].mean(), bright[column + 10 : column + 16].mean())
        assert bright[column - 2 : column + 3].min() < 0.8 * beside


def test_what_stands_behind_glass_is_part_of_the_room_there() -> None:
    strips, glass, *_ = draw_fronts()
    rooms = label_rooms(strips, glass)
    assert (rooms[glass > 0] > 0).mean() > 0.98
    assert (rooms[(glass == 0) & (strips > 140)] == 0).all()


def test_the_shadow_of_a_sill_is_no_room() -> None:
    """Lit by night, they were lines of light on walls."""
    strips, glass, *_ = draw_fronts()
    assert (label_rooms(strips, glass)[0][glass[0] == 0] == 0).all()


def test_lit_rooms_have_lamps_of_different_colours() -> None:
    """By night, on walls 48 m long: warm and cold windows."""
    wall = quad([(12, -24, 0), (12, 24, 0), (12, 24, 14), (12, -24, 14)], Tag.BUILDING, WALLS[3])
    pose = np.eye(4)
    pose[2, 3] = 3.0
    warmth = []
    for instance in range(10_000, 10_012):
        scene = Scene(wall.with_instance(instance), [])
        planes = Rasteriser(256, 128, 70.0).render(scene, Placements.empty(), pose, pose, sun=(-30.0, 0.0))
        assert planes.rgb is not None
        lit = planes.rgb[planes.rgb[..., 0] > 90].astype(float)
        warmth += list(lit[:, 2] / lit[:, 0])
    assert np.percentile(warmth, 10) < 0.5
    assert np.percentile(warmth, 90) > 0.65


def test_shops_have_shelves() -> None:
    noise = np.full(2 * NOISE_SIZE * NOISE_SIZE, 128, np.uint8)

    def light(height: float, is_shop: bool = True) -> np.ndarray:
        """At ten places along the window of a room that has shelves."""
        return np.array([_room_light(noise, 0.11 * k, height, 0.01, 0.3, is_shop) for k in range(10)])

    for floor in (1, 2, 3):  # boards are dark all along, goods are not
        board, goods = light(0.42 * floor + 0.02), light(0.42 * floor + 0.15)
        assert np.ptp(board) < 1e-6
        assert goods.mean() > 1.2 * board.mean()
        assert np.ptp(goods) > 0.1
    assert light(2.5).min() >= 0.9, "lamps below the ceiling"
    assert np.ptp(light(1.0, is_shop=False)) < 1e-6
