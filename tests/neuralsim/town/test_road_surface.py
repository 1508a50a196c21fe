"""Covers, gullies and patches lie on the asphalt of streets, below their markings, and have the tag of a road."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.town.assets.meshes import NEAR, merge
from neuralsim.town.ground.road_surface import road_surface
from neuralsim.town.ground.roads import MARKING_HEIGHT
from neuralsim.town.opendrive.network import Network
from neuralsim.town.opendrive.towns import load


@pytest.fixture(scope="module", params=["oldtown", "village"])
def network(request: pytest.FixtureRequest) -> Network:
    return Network(*load(request.param))


def test_they_lie_on_the_lanes_and_below_the_markings(network: Network) -> None:
    mesh = merge(road_surface(network))
    assert len(mesh.triangles) > 100
    assert (mesh.tags == Tag.ROAD).all()
    assert not mesh.instances.any()
    assert (mesh.levels == NEAR).all(), "from afar they would cost time and not be seen"
    lanes = [lane for lane in network.lanes if lane.junction < 0]
    centres, widths = (np.concatenate([getattr(lane, name) for lane in lanes]) for name in ("centre", "width"))
    for vertex in mesh.vertices[::17].astype(float):
        away = np.hypot(*(centres[:, :2] - vertex[:2]).T)
        nearest = int(away.argmin())
        assert away[nearest] < 0.5 * widths[nearest] + 2.0
        assert abs(vertex[2] - centres[nearest, 2]) < 0.25, "samples are up to 2 m away, on hills"


def test_all_of_it_is_within_centimetres_above_flat_asphalt() -> None:
    mesh = merge(road_surface(Network(*load("oldtown"))))
    assert 0.0 < mesh.vertices[:, 2].min() < mesh.vertices[:, 2].max() < MARKING_HEIGHT


def test_the_same_network_has_the_same_and_a_motorway_has_none() -> None:
    meshes = [merge(road_surface(Network(*load("hamlet")))) for _ in range(2)]
    assert np.array_equal(meshes[0].vertices, meshes[1].vertices)
    motorway = Network(*load("motorway"))
    motorway.lanes = [lane for lane in motorway.lanes if lane.road_type == "motorway"]
    assert not road_surface(motorway)
