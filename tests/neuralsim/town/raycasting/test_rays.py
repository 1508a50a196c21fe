"""Rays hit what a brute-force search hits; bounding volume hierarchies are complete and not deep."""

from __future__ import annotations

import numpy as np
import pytest

from neuralsim.town.raycasting.bvh import DEEP, Bvh, build_bvh
from neuralsim.town.raycasting.rays import Rays
from neuralsim.town.render.actor_poses import Poses
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.world import World


def leaves(tree: Bvh) -> tuple[list[tuple[np.ndarray, list[int]]], int]:
    """Return the box and items of each leaf, and the number of levels of the tree."""
    boxes, deepest, waiting = [], 1, [(0, 1)]
    while waiting:
        node, level = waiting.pop()
        deepest = max(deepest, level)
        for side in range(2):
            first, count = tree.link[node, 2 * side : 2 * side + 2].tolist()
            box = tree.bounds[node, 6 * side : 6 * side + 6]
            if count:
                boxes.append((box, tree.order[first : first + count].tolist()))
            elif box[0] < 1e29:
                waiting.append((first, level + 1))
    return boxes, deepest


@pytest.mark.parametrize("case", ["none", "one", "few", "many", "the same", "one in the other"])
def test_tree_holds_every_box_once_and_is_not_deep(case: str) -> None:
    rng = np.random.default_rng(1)
    count = {"none": 0, "one": 1, "few": 6, "many": 3000, "the same": 900, "one in the other": 500}[case]
    low = rng.uniform(-600.0, 600.0, (count, 3))
    high = low + rng.uniform(0.0, 1.0, (count, 3)) ** 6 * 300.0
    if case == "the same":
        low[:], high[:] = 1.0, 2.0
    if case == "one in the other":
        low[:], high[:] = 0.0, 1.1 ** np.arange(count)[:, None] * 1e-9
    boxes, deepest = leaves(build_bvh(low, high))
    assert sorted(item for _, items in boxes for item in items) == list(range(count))
    for box, items in boxes:
        assert (box[:3] <= low[items]).all()
        assert (box[3:] >= high[items]).all()
    assert deepest <= DEEP + np.log2(max(count, 1)) + 1


def all_triangles(scene: Scene, props: Placements, poses: Poses) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of all triangles in the world, f64 (N, 3, 3), and the ids of their actors, 0 for scenery."""
    corners = scene.vertices.T.astype(np.float64)
    still = scene.finest_static()
    groups, owners = [corners[scene.triangles[still]]], [np.zeros(len(still), int)]
    for template, pose, who in [
        *zip(props.template, props.pose, np.zeros(len(props), int), strict=True),
        *zip(poses.template, poses.matrix, poses.ids, strict=True),
    ]:
        if template >= 0:
            groups.append(
                corners[scene.triangles[scene.finest(scene.chunks + template)]] @ pose[:3, :3].T + pose[:3, 3]
            )
            owners.append(np.full(len(groups[-1]), who))
    return np.concatenate(groups), np.concatenate(owners)


def nearest_of_all(
    points: np.ndarray,
    who: np.ndarray,
    middle: np.ndarray,
    radius: np.ndarray,
    origin: np.ndarray,
    direction: np.ndarray,
) -> tuple[float, int]:
    """Return the distance along one ray to the nearest triangle, in directions, and its actor (inf, 0: none).

    It solves the three equations of each triangle, unlike the algorithm of Moeller and Trumbore.
    """
    ahead = (middle - origin) @ direction / (direction @ direction)
    near = np.linalg.norm(origin + ahead[:, None] * direction - middle, axis=1) <= radius + 1e-6
    points, who = points[near], who[near]
    columns = np.stack(
        [points[:, 1] - points[:, 0], points[:, 2] - points[:, 0], 0.0 * points[:, 0] - direction], axis=2
    )
    solvable = np.abs(np.linalg.det(columns)) > 1e-14
    points, who, columns = points[solvable], who[solvable], columns[solvable]
    u, v, at = np.linalg.solve(columns, (origin - points[:, 0])[:, :, None])[:, :, 0].T
    at = np.where((u >= 0.0) & (v >= 0.0) & (u + v <= 1.0) & (at > 1e-6), at, np.inf)
    first = int(np.argmin(at))
    return float(at[first]), int(who[first]) if np.isfinite(at[first]) else 0


def test_rays_find_the_nearest_of_all_triangles() -> None:
    world = World("hamlet", 0, 6, 4)
    for _ in range(20):
        world.tick(0.05)
    scene, props, poses = world.shapes()
    rays = Rays(scene, props)
    rng = np.random.default_rng(2)
    cars = [actor.transform for actor in world.actors.values() if actor.blueprint.id.startswith("vehicle.")]
    origin = np.array([(car.x, car.y, car.z + 2.4) for car in cars for _ in range(2)])
    direction = rng.normal(size=(len(origin), 3)) * (1.0, 1.0, 0.3)
    direction[:6] = np.array([(car.x, car.y, car.z + 0.8) for car in cars]) - origin[:6]
    hits = rays.cast(origin, direction, 1e4, poses)
    points, who = all_triangles(scene, props, poses)
    middle = points.mean(1)
    radius = np.linalg.norm(points - middle[:, None], axis=2).max(1)
    expected = [nearest_of_all(points, who, middle, radius, o, d) for o, d in zip(origin, direction, strict=True)]
    np.testing.assert_allclose(hits.distance, [distance for distance, _ in expected], rtol=1e-9)
    assert hits.actor.tolist() == [who for _, who in expected]
    assert np.count_nonzero(hits.actor) >= 1  # the first car's own roof
    assert np.count_nonzero(np.isfinite(hits.distance)) >= 6
