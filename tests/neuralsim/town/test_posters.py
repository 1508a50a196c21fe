"""Posters lie on what they are pasted on, and are fine only near by."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.town.assets.meshes import NEAR
from neuralsim.town.assets.pavement_meshes import advertising_column
from neuralsim.town.assets.posters import TITLES, bent, poster
from neuralsim.town.assets.prop_boxes import block

SEEDS = range(len(TITLES))


@pytest.mark.parametrize("seed", SEEDS)
def test_all_that_is_printed_lies_on_the_sheet(seed: int) -> None:
    wide, high = 0.84, 1.1
    sheet = poster(seed, wide, high)
    low, top = sheet.bounds
    assert low == pytest.approx([0.0, -wide / 2, 0.0], abs=1e-6)
    assert top[1:] == pytest.approx([wide / 2, high], abs=1e-6)
    assert 0.0 < top[0] < 0.02
    assert len(np.unique(sheet.colours, axis=0)) >= 5, "a picture's gradient, its figure and a title"


@pytest.mark.parametrize("seed", SEEDS)
def test_bent_round_a_column_no_piece_sinks_into_another(seed: int) -> None:
    radius, wide = 0.6, 0.84
    sheet = bent(poster(seed, wide, 1.1), radius, 2.0)
    corners = sheet.vertices[sheet.triangles].astype(float)
    layer = np.linalg.norm(corners[..., :2], axis=-1)
    middle = np.linalg.norm(0.5 * (corners + np.roll(corners, 1, axis=1))[..., :2], axis=-1)
    assert (layer.min(1) - middle.min(1)).max() < 0.0045, "layers are 5 mm apart"
    around = np.arctan2(corners[..., 1], corners[..., 0]) - 2.0
    assert np.abs(around).max() == pytest.approx(0.5 * wide / radius, rel=1e-3)


def test_a_column_has_eight_posters_and_few_triangles_far_away() -> None:
    column = advertising_column()
    assert (column.tags == Tag.STATIC).all()
    assert (column.levels != NEAR).sum() < 700
    assert (column.levels == NEAR).sum() > 8 * 100


def test_a_board_for_advertisements_has_a_poster_on_either_side() -> None:
    board = block("advertisement")
    sides = board.only(board.levels == NEAR)
    x = sides.vertices[sides.triangles][..., 0]
    assert (board.tags == Tag.DYNAMIC).all()
    assert min((x > 0.15).all(1).sum(), (x < -0.15).all(1).sum()) > 100
    assert ((x > 0.15).all(1) | (x < -0.15).all(1)).all()
