"""Signs: what is written on them, and that it is true."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.town.assets.meshes import NEAR, Mesh
from neuralsim.town.assets.prop_meshes import DESTINATIONS, LIMITS, SIGN_KINDS, direction_sign, nearest_limit, sign
from neuralsim.town.scenery.fixtures import sign_kind
from neuralsim.town.world import World


def ink(mesh: Mesh) -> np.ndarray:
    """The corners f32 (N, 3, 3) of what is written on a sign."""
    return mesh.vertices[mesh.triangles[(mesh.levels == NEAR) & (mesh.tags == Tag.TRAFFIC_SIGN)]]


def drawn(mesh: Mesh) -> np.ndarray:
    """What is written on a sign as an observer before it sees it, bool (32, 32), 2 cm a cell."""
    corners = ink(mesh)
    low, high = corners.min(axis=1), corners.max(axis=1)
    middle = mesh.vertices[:, 2].max() - 0.05 - 0.3
    cells = np.zeros((32, 32), bool)
    for i, z in enumerate(middle + 0.02 * (15.5 - np.arange(32))):
        for j, y in enumerate(0.02 * (15.5 - np.arange(32))):  # its right is -y
            inside = (low[:, 1] <= y) & (y < high[:, 1]) & (low[:, 2] <= z) & (z < high[:, 2])
            cells[i, j] = inside.any()
    return cells


@pytest.mark.parametrize(
    "mesh",
    [*map(sign, SIGN_KINDS), *map(direction_sign, DESTINATIONS)],
    ids=[*SIGN_KINDS, *(f"direction {names[0]}" for names in DESTINATIONS)],
)
def test_what_is_written_lies_on_the_plate(mesh: Mesh) -> None:
    plate = mesh.vertices[mesh.triangles[(mesh.levels != NEAR) & (mesh.tags == Tag.TRAFFIC_SIGN)]].reshape(-1, 3)
    letters = ink(mesh).reshape(-1, 3)
    assert (plate[:, 0].max() < letters[:, 0]).all(), "before the plate, by enough for the depth buffer"
    assert (letters[:, 0] < plate[:, 0].max() + 0.02).all()
    assert (letters[:, 1:] > plate[:, 1:].min(axis=0)).all()
    assert (letters[:, 1:] < plate[:, 1:].max(axis=0)).all()


def test_a_limit_is_legible() -> None:
    ten, hundred = drawn(sign("limit 10")), drawn(sign("limit 100"))
    columns = np.flatnonzero(ten.any(axis=0))
    first, last = ten[:, columns[0] : columns[0] + 3].sum(), ten[:, columns[-1] - 2 : columns[-1] + 1].sum()
    assert first < last, "a 1 begins with less ink than a 0 ends with"
    assert hundred.any(axis=0).sum() > ten.any(axis=0).sum()
    assert all((drawn(sign("limit 30")) != drawn(sign(f"limit {other}"))).any() for other in LIMITS if other != 30)


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ('type="274" value="30"', "limit 30"),
        ('type="274" subtype="60"', "limit 60"),
        ('type="274" value="72" unit="km/h"', "limit 70"),
        ('type="274" value="-1" subtype="80"', "limit 80"),
        ('type="274" value="1e300"', "limit 130"),
        ('type="274" value="nan" subtype="-1"', "limit 50"),
        ('type="274"', "limit 50"),
        ('type="x" name="Speed_Limit" value="90"', "limit 90"),
        ('type="206" value="30"', "stop"),
    ],
)
def test_the_limit_of_a_file_is_shown(attributes: str, kind: str) -> None:
    assert sign_kind(ET.fromstring(f"<signal {attributes}/>")) == kind


@pytest.mark.parametrize("town", ["oldtown", "suburb"])
def test_limits_are_those_of_the_nearest_lane(town: str) -> None:
    world = World(town, seed=1, vehicles=0, walkers=0)
    limits = [prop for prop in world.props if prop.kind.startswith("sign limit")]
    assert limits
    points = np.concatenate([lane.centre[:, :2] for lane in world.network.lanes])
    speeds = np.concatenate([np.full(len(lane.centre), lane.speed) for lane in world.network.lanes])
    for prop in limits:
        nearest = np.abs(points - (prop.x, prop.y)).sum(1).argmin()
        assert prop.kind == f"sign limit {nearest_limit(3.6 * speeds[nearest])}"
