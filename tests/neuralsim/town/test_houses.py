"""Houses have bay windows of their own walls and panes."""

from __future__ import annotations

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.houses import (
    BAYS,
    BRICK,
    FRAME,
    PANE,
    SKY_IN_PANE,
    STOREY,
    Builder,
    Lot,
    LotFrame,
    _bay_window,
)
from neuralsim.town.assets.meshes import Mesh
from neuralsim.town.render.raster_arrays import MASONRY, PLAIN
from neuralsim.town.render.shading.finishes import finishes

ROOF = (92, 88, 90)


def bay(storeys: int, instance: int = 0) -> Mesh:
    """A bay in a wall along x that looks towards -y."""
    builder = Builder()
    frame = LotFrame(np.zeros(3), np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    _bay_window(Lot(builder, frame, np.random.default_rng(0), instance), 2.0, storeys * STOREY, ROOF)
    return builder.mesh()


def corners(mesh: Mesh, colour: tuple[int, int, int]) -> np.ndarray:
    return mesh.vertices[mesh.triangles[(mesh.colours == np.array(colour)).all(axis=1)]]


def test_each_face_of_a_bay_has_a_sash_window_in_each_storey() -> None:
    for storeys in (1, 2):
        mesh = bay(storeys)
        panes, frames = corners(mesh, PANE), corners(mesh, FRAME)
        assert len(panes) == len(corners(mesh, SKY_IN_PANE)) == len(frames) == 3 * 2 * storeys
        assert (mesh.tags == Tag.BUILDING).all()


def test_panes_are_before_their_frames_and_those_before_the_wall() -> None:
    """Seen from the street, which is at -y."""
    mesh = bay(1)
    nearest = [corners(mesh, colour)[..., 1].min() for colour in (PANE, FRAME, BAYS[0])]
    assert nearest == sorted(nearest)
    assert len(set(nearest)) == 3


def test_the_walls_of_a_bay_are_no_house_front_whose_windows_its_corners_would_cut() -> None:
    for instance, colour in enumerate(BAYS):
        mesh = bay(2, instance)
        kinds = finishes(mesh.vertices, mesh.triangles, mesh.tags, mesh.colours)
        is_wall = (mesh.colours == np.array(colour)).all(axis=1)
        assert is_wall.sum() == 3 * 2
        assert (kinds[is_wall] == (MASONRY if colour == BRICK else PLAIN)).all()
