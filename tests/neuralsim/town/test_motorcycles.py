"""Motorcycles and who rides them."""

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.town.assets.lit_bodies import LOW_BEAM
from neuralsim.town.assets.looks import HEADLAMP, PLATE, TAILLAMP
from neuralsim.town.assets.meshes import FAR, NEAR, Mesh
from neuralsim.town.assets.people_meshes import SKIN, VISOR
from neuralsim.town.assets.templates import templates
from neuralsim.town.assets.vehicles.motorcycles import AMBER, LACQUERED, motorcyclist
from neuralsim.town.assets.vehicles.two_wheelers import MOTORCYCLES, two_wheelers
from neuralsim.town.render.raster import Rasteriser
from neuralsim.town.render.raster_arrays import BODY
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.render.shading.finishes import finishes

NAMES = list(MOTORCYCLES)


def points_of(mesh: Mesh, colour: tuple[int, int, int], level: int = NEAR, tag: int = Tag.MOTORCYCLE) -> np.ndarray:
    """Return the vertices f32 (N, 3) of triangles of a colour."""
    chosen = (mesh.colours == np.array(colour, np.uint8)).all(axis=1) & (mesh.levels == level) & (mesh.tags == tag)
    return mesh.vertices[np.unique(mesh.triangles[chosen])]


@pytest.mark.parametrize("name", NAMES)
def test_the_hands_of_a_rider_are_at_the_grips(name: str) -> None:
    shape = MOTORCYCLES[name]
    machine, rider = two_wheelers()[name].body, motorcyclist(shape)
    metal = machine.vertices[machine.triangles[(machine.tags == Tag.MOTORCYCLE) & (machine.levels == NEAR)]]
    gloves = points_of(rider, (26, 26, 28), tag=Tag.RIDER)
    for side in (-1, 1):
        hand = gloves[gloves[:, 1] * side > 0.0]
        ends = metal.reshape(-1, 3)[metal.reshape(-1, 3)[:, 1] * side > 0.22]
        away = np.linalg.norm(hand[:, None] - ends[None], axis=2).min()
        assert len(hand) > 10
        assert away < 0.03


@pytest.mark.parametrize("name", NAMES)
def test_a_rider_looks_forwards_through_the_visor_of_a_helmet(name: str) -> None:
    rider = motorcyclist(MOTORCYCLES[name])
    visor, helmet = points_of(rider, VISOR, tag=Tag.RIDER), points_of(rider, MOTORCYCLES[name].helmet, tag=Tag.RIDER)
    assert visor[:, 0].max() > helmet[:, 0].max() - 0.02
    assert visor[:, 0].min() > helmet[:, 0].min() + 0.1
    assert not (rider.colours == np.array(SKIN, np.uint8)).all(axis=1).any()
    glossy = (rider.colours[:, None] == np.array(LACQUERED, np.uint8)).all(axis=2).any(axis=1)
    assert (finishes(rider.vertices, rider.triangles, rider.tags, rider.colours)[glossy] == BODY).all()


@pytest.mark.parametrize("name", NAMES)
def test_lamps_and_plates_are_where_the_law_wants_them(name: str) -> None:
    body, base = two_wheelers()[name].body, MOTORCYCLES[name].wheelbase
    for level in (NEAR, FAR):
        head, tail, plate = (points_of(body, colour, level) for colour in (HEADLAMP, TAILLAMP, PLATE))
        assert head[:, 0].min() > 0.3 * base
        assert tail[:, 0].max() < -0.5 * base
        assert np.ptp(plate[:, 1]) == pytest.approx(0.18)
        assert plate[:, 2].max() < tail[:, 2].max()
    winkers = points_of(body, AMBER)
    corners = {(bool(x > 0.0), bool(y > 0.0)) for x, y, _ in winkers.tolist()}
    assert len(corners) == 4


@pytest.mark.parametrize("name", NAMES)
def test_a_lit_headlamp_is_seen_from_the_front(name: str) -> None:
    book, images = templates(), []
    scene = Scene(Mesh.empty(), book.meshes, book.bodies, book.normals)
    eye = np.diag([-1.0, -1.0, 1.0, 1.0])  # it looks back
    eye[:3, 3] = 6.0, 0.0, 0.9
    for lights in (0, LOW_BEAM):
        placed = Placements.empty(1)
        placed.template[:] = placed.previous_template[:] = book.index[name]
        placed.instance[:], placed.lights[:] = 7, lights
        planes = Rasteriser(160, 160, 25.0).render(scene, placed, eye, eye)
        assert planes.rgb is not None
        images.append(planes.rgb.astype(int).sum(axis=2))
    assert (images[1] > images[0] + 60).sum() > 25


@pytest.mark.parametrize("name", NAMES)
def test_a_motorcycle_far_away_has_the_same_outline_with_few_triangles(name: str) -> None:
    body = two_wheelers()[name].body
    machine = body.only(body.tags == Tag.MOTORCYCLE)
    near, far = (machine.vertices[machine.triangles[machine.levels == level]].reshape(-1, 3) for level in (NEAR, FAR))
    assert len(far) < len(near) / 4
    for side in (np.min, np.max):
        assert np.abs(side(near, axis=0) - side(far, axis=0)).max() < 0.06
