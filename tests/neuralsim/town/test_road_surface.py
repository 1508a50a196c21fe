"""Covers, gullies and patches lie on the asphalt of streets, below their markings, and have the tag of a road."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.town.assets.meshes import NEAR, merge
from neuralsim.town.assets.road_meshes import COVER_RADIUS, road_templates
from neuralsim.town.core.polylines import arc_lengths, simplified_band
from neuralsim.town.ground.road_surface import road_surface
from neuralsim.town.ground.roads import MARKING_HEIGHT
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.opendrive.network import Network
from neuralsim.town.opendrive.towns import load
from neuralsim.town.scenery.road_fittings import road_props
from neuralsim.town.world import World


@pytest.fixture(scope="module", params=["oldtown", "village"])
def network(request: pytest.FixtureRequest) -> Network:
    return Network(*load(request.param))


def _above(lane: Lane, point: np.ndarray) -> tuple[float, float]:
    """Return how far a point is from the middle of a lane, over half of its width, and how high above its asphalt."""
    keep = simplified_band(lane.left, lane.right)
    left, right = lane.left[keep], lane.right[keep]
    middle, at = (left + right) / 2.0, arc_lengths(lane.centre)[keep]
    best = (np.inf, 0.0)
    for k in range(len(keep) - 1):
        along = middle[k + 1] - middle[k]
        share = float((point - middle[k])[:2] @ along[:2] / max(float(along[:2] @ along[:2]), 1e-9))
        if not -0.02 <= share <= 1.02 or at[k + 1] <= at[k]:
            continue
        ends = [edge[k] + share * (edge[k + 1] - edge[k]) for edge in (left, right)]
        across = ends[1] - ends[0]
        aside = float((point - ends[0])[:2] @ across[:2] / max(float(across[:2] @ across[:2]), 1e-9))
        found = abs(2.0 * aside - 1.0), float(point[2] - (ends[0] + aside * across)[2])
        best = min(best, found)
    return best


def _heights(network: Network, points: np.ndarray) -> np.ndarray:
    """Return how high above the asphalt points f64 (N, 3) are, each of which is on a lane."""
    lanes = [lane for lane in network.lanes if lane.junction < 0]
    middles = np.array([lane.centre[:, :2].mean(0) for lane in lanes])
    reach = [np.hypot(*(lane.centre[:, :2] - m).T).max() + 3.0 for lane, m in zip(lanes, middles, strict=True)]
    heights = []
    for point in points:
        near = np.flatnonzero(np.hypot(*(middles - point[:2]).T) < reach)
        aside, height = min(_above(lanes[k], point) for k in near)
        assert aside < 1.0
        heights.append(height)
    return np.array(heights)


def test_patches_lie_on_the_asphalt_that_is_drawn_and_below_the_markings(network: Network) -> None:
    mesh = merge(road_surface(network))
    assert len(mesh.triangles) > 100
    assert (mesh.tags == Tag.ROAD).all()
    assert not mesh.instances.any()
    assert (mesh.levels == NEAR).all(), "from afar they would cost time and not be seen"
    heights = _heights(network, mesh.vertices[::7].astype(float))
    assert np.mean((heights > 0.0) & (heights < MARKING_HEIGHT)) > 0.97


def test_covers_and_gullies_lie_on_it_as_well(network: Network) -> None:
    props = road_props(network)
    assert {prop.kind for prop in props} == {"cover 0", "cover 1", "cover 2", "gully"}
    heights = _heights(network, np.array([(prop.x, prop.y, prop.z) for prop in props]))
    assert heights.min() > 0.0
    assert np.percentile(heights, 90) < 0.05, "on a slope their middle is above it"


def test_their_meshes_are_flat_parts_of_the_road() -> None:
    for name, mesh in road_templates().items():
        a, b, c = (mesh.vertices[mesh.triangles[:, k]].astype(float) for k in range(3))
        assert np.linalg.norm(np.cross(b - a, c - a), axis=1).min() > 1e-5, name
        assert (mesh.tags == Tag.ROAD).all()
        assert np.ptp(mesh.vertices[:, 2]) < 0.002
        assert np.abs(mesh.vertices[:, :2]).max() <= COVER_RADIUS


def test_they_have_no_instance_in_a_town() -> None:
    town = World("hamlet", seed=0, vehicles=0, walkers=0).static_town
    kinds = np.array([prop.kind for prop in town.props])
    flat = np.char.startswith(kinds, "cover") | (kinds == "gully")
    assert flat.sum() > 30
    assert not town.placements.instance[flat].any()
    assert town.placements.instance[~flat].all()


def test_the_same_network_has_the_same_and_a_motorway_or_a_narrow_lane_has_none() -> None:
    meshes = [merge(road_surface(Network(*load("hamlet")))) for _ in range(2)]
    assert np.array_equal(meshes[0].vertices, meshes[1].vertices)
    motorway = Network(*load("motorway"))
    motorway.lanes = [lane for lane in motorway.lanes if lane.road_type == "motorway"]
    assert not road_surface(motorway)
    assert not road_props(motorway)
    path = Network(*load("hamlet"))
    for lane in path.lanes:
        lane.left, lane.right = (lane.centre + 0.1 * (edge - lane.centre) for edge in (lane.left, lane.right))
        lane.width = 0.1 * lane.width
    path.other_lanes = []
    assert not merge(road_surface(path)).triangles.size
    assert {prop.kind for prop in road_props(path)} <= {"gully"}
