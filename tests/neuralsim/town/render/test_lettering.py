"""Names of shops can be read on their signboards, from left to right, and fade evenly into the distance."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.base.colour import LUMA
from neuralsim.facades import house_parameters, house_row
from neuralsim.town.assets.houses import SIGNBOARDS, WALLS, Builder, HouseFront, Lot, LotFrame, house
from neuralsim.town.assets.meshes import RGB, quad
from neuralsim.town.render.raster import Rasteriser
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.render.shading.finishes import textures
from neuralsim.town.render.shading.lettering_kernels import HEIGHT, WIDTH, ink_at, names
from neuralsim.town.render.static_lighting import _houses, empty

W, H, FOV = 512, 256, 60.0
AWAY, WIDE, BOARD_Z = 6.0, 6.0, 2.9


def name(number: int) -> np.ndarray:
    """Return the ink of a name's cell, f32 (HEIGHT, WIDTH)."""
    return np.diff(np.diff(names().sums[number], axis=0), axis=1)


def seen(
    colour: RGB,
    instance: int,
    signboard: float | None,
    low: float,
    high: float,
    altitude: float = 45.0,
    away: float = AWAY,
) -> np.ndarray:
    """Return the brightness of a wall of ``colour`` before the camera, which looks along x, between two heights."""
    half = WIDE / 2
    corners = [(away, -half, low), (away, half, low), (away, half, high), (away, -half, high)]
    scene = Scene(quad(corners, Tag.BUILDING, colour).with_instance(instance), [])
    front = HouseFront(0.0, 9.0, (away, -half), (0.0, 1.0), WIDE, signboard)
    drop = empty()._replace(houses=_houses({instance: front}))
    pose = np.eye(4)
    pose[2, 3] = 0.5 * (low + high)
    planes = Rasteriser(W, H, FOV).render(scene, Placements.empty(), pose, pose, sun=(altitude, 180.0), backdrop=drop)
    assert planes.rgb is not None
    rows, columns = (np.flatnonzero((planes.tag == Tag.BUILDING).any(axis=k)) for k in (1, 0))
    return np.asarray((planes.rgb @ LUMA)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


@pytest.mark.parametrize("colour", SIGNBOARDS)
def test_a_name_stands_out_from_its_signboard(colour: RGB) -> None:
    board = seen(colour, 12, BOARD_Z, BOARD_Z - 0.3, BOARD_Z + 0.3)
    ground, ink = np.median(board), board[np.abs(board - np.median(board)).argmax() // board.shape[1]]
    furthest = ink[np.abs(ink - ground).argmax()]
    assert max(furthest, ground) > 1.6 * min(furthest, ground)


def test_a_name_too_small_to_read_is_left_out() -> None:
    contrasts = []
    for away in (12.0, 40.0):
        board = seen(SIGNBOARDS[3], 12, BOARD_Z, BOARD_Z - 0.2, BOARD_Z + 0.2, away=away)
        middle = board[len(board) // 2]
        contrasts.append(float(np.ptp(middle) / np.median(middle)))
    assert contrasts[0] > 0.5
    assert contrasts[1] < 0.1


def test_names_read_from_left_to_right() -> None:
    instance = 12
    board = seen(SIGNBOARDS[3], instance, BOARD_Z, BOARD_Z - 0.3, BOARD_Z + 0.3)
    profile = np.abs(board - np.median(board)).sum(axis=0)
    number = instance * 11 % len(names().widths)
    drawn = name(number)[:, : int(names().widths[number])].sum(axis=0)
    written = np.flatnonzero(profile > 0.05 * profile.max())
    profile = profile[written[0] : written[-1] + 1]
    drawn = np.interp(np.linspace(0, 1, len(profile)), np.linspace(0, 1, len(drawn)), drawn)
    assert np.corrcoef(profile, drawn)[0, 1] > 0.9
    assert np.corrcoef(profile[::-1], drawn)[0, 1] < 0.6


def test_painted_signboards_have_a_name_unless_there_is_one_before_the_wall() -> None:
    strips = (house_parameters()[house_row(np.arange(256)), 4] * textures().strips).astype(int)
    ground = house_parameters()[house_row(np.arange(256)), 1]
    for has_board in (True, False):
        instance = int(np.flatnonzero((textures().signboards[strips] == has_board) & (ground > 3.3))[5])
        bare, named = (seen(WALLS[3], instance, height, 2.4, 3.8) for height in (BOARD_Z, None))
        assert (np.abs(bare - named).max() > 20.0) == has_board


def test_letters_of_a_signboard_that_shines_by_night_are_dark() -> None:
    strips = (house_parameters()[house_row(np.arange(256)), 4] * textures().strips).astype(int)
    shining = 0
    for instance in np.flatnonzero(textures().signboards[strips]).tolist():
        bare, named = (seen(WALLS[3], instance, height, 2.7, 3.6, -30.0) for height in (BOARD_Z, None))
        lit = bare > 100.0
        lettered = lit & (named < 0.6 * bare)
        if lettered.sum() > 200:
            shining += 1
            assert lettered.sum() < 0.4 * lit.sum()
            assert not (named > bare + 30.0).any()
    assert shining > 2


def test_the_share_of_ink_does_not_depend_on_the_size_of_a_pixel() -> None:
    atlas = names()
    for number in (0, 6, 17):
        for wide, tall in ((0.02, 0.02), (0.31, 0.05), (0.4, 0.37)):
            x = np.arange(-4.0, 4.0, wide)
            y = np.arange(-2.0, 2.0, tall)
            total = sum(ink_at(atlas, number, a, b, wide, tall, 0.56, 6.0) for a in x for b in y) * wide * tall
            assert total == pytest.approx(name(number).sum() * (0.56 / HEIGHT) ** 2, rel=0.03)


def test_every_name_has_ink_within_its_cell_and_none_is_like_another() -> None:
    cells = np.stack([name(number) for number in range(len(names().widths))])
    assert cells.shape[1:] == (HEIGHT, WIDTH)
    assert (names().widths < WIDTH).all(), "none is cut off"
    assert (cells.mean((1, 2)) > 0.03).all()
    assert len(np.unique(cells.reshape(len(cells), -1), axis=0)) == len(cells)


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_the_front_of_a_house_begins_at_the_left_whichever_way_its_lot_runs(turn: float) -> None:
    builder, inward = Builder(), np.array([1.0, 0.0])
    frame = LotFrame(np.array([5.0, 2.0, 1.0]), np.array([0.0, turn]), inward)
    house(Lot(builder, frame, np.random.default_rng(0), 9), 8.0, 6.0, 2, urban=False)
    front = builder.fronts[9]
    assert front.along == (0.0, 1.0)  # who looks inward, along x, has y at the right
    assert front.origin == (5.0, 2.0 if turn > 0.0 else -6.0)
    assert front.width == 8.0
    assert front.signboard is None
