"""Every town by name: it is complete and drivable, and camera planes are exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numba import njit

from bridge.tags import Tag
from neuralsim.town.core.types import Actor, Transform
from neuralsim.town.opendrive import towns
from neuralsim.town.opendrive.network import Network
from neuralsim.town.render import raster
from neuralsim.town.render.raster import Planes, Rasteriser
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.world import World

pytestmark = pytest.mark.slow
STEP = 1.0 / 20.0
W, H, FOV = 160, 80, 90.0


@pytest.fixture(scope="module", params=sorted(towns.TOWNS))
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param, seed=1, vehicles=24, walkers=16)


def camera_of(world: World) -> Actor:
    lens = {"image_size_x": str(W), "image_size_y": str(H), "fov": str(FOV)}
    return world.spawn("sensor.camera.rgb", lens, Transform())


# Planes ---------------------------------------------------------------------------------------------------------------


@njit(cache=True)
def cast(corners, owners, rays_y, rays_z, depth, hit, weights):  # type: ignore[no-untyped-def]
    """Find the nearest of the triangles f64 (T, 3, 3), in camera space, that each ray (1, y, z) hits: Moeller and
    Trumbore (1997), tested only within the projection of a triangle."""
    height, width = depth.shape
    step_y, step_z = rays_y[1] - rays_y[0], rays_z[1] - rays_z[0]
    for t in range(len(corners)):
        a, b, c = corners[t, 0], corners[t, 1], corners[t, 2]
        if max(a[0], b[0], c[0]) <= 0.06:
            continue
        j0, j1, i0, i1 = 0, width, 0, height
        if min(a[0], b[0], c[0]) > 0.06:
            ys = a[1] / a[0], b[1] / b[0], c[1] / c[0]
            zs = a[2] / a[0], b[2] / b[0], c[2] / c[0]
            j0 = int(max((min(ys) - rays_y[0]) / step_y - 1.0, 0.0))
            j1 = int(min((max(ys) - rays_y[0]) / step_y + 2.0, float(width)))
            i0 = int(max((max(zs) - rays_z[0]) / step_z - 1.0, 0.0))
            i1 = int(min((min(zs) - rays_z[0]) / step_z + 2.0, float(height)))
        e, f = b - a, c - a
        for i in range(i0, i1):
            for j in range(j0, j1):
                dy, dz = rays_y[j], rays_z[i]
                px, py, pz = dy * f[2] - dz * f[1], dz * f[0] - f[2], f[1] - dy * f[0]
                along = px * e[0] + py * e[1] + pz * e[2]
                if along == 0.0:
                    continue
                u = -(px * a[0] + py * a[1] + pz * a[2]) / along
                qx, qy, qz = -a[1] * e[2] + a[2] * e[1], -a[2] * e[0] + a[0] * e[2], -a[0] * e[1] + a[1] * e[0]
                v = (qx + dy * qy + dz * qz) / along
                far = (qx * f[0] + qy * f[1] + qz * f[2]) / along
                if u >= 0.0 and v >= 0.0 and u + v <= 1.0 and 0.06 < far < depth[i, j]:
                    depth[i, j], hit[i, j] = far, t
                    weights[i, j, 0], weights[i, j, 1], weights[i, j, 2] = 1.0 - u - v, u, v


@dataclass
class Shot:
    """The arguments of one call of the rasteriser."""

    scene: Scene
    placements: Placements
    pose: np.ndarray
    before: np.ndarray


def triangles_of(shot: Shot) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return all triangles of a frame: world corners now and one frame ago f64 (T, 3, 3), tags, instances, movers."""
    scene, placed = shot.scene, shot.placements
    vertices = scene.vertices.T.astype(np.float64)
    static = scene.finest_static()
    corners = [vertices[scene.triangles[static]]]
    before, tags = [corners[0]], [scene.tags[static]]
    instances, moving = [scene.instances[static]], [np.zeros(len(static), bool)]
    for k in range(len(placed)):
        part, then = (scene.finest(scene.chunks + t) for t in (placed.template[k], placed.previous_template[k]))
        for target, index, pose in (
            (corners, part, placed.pose[k]),
            (before, then, placed.previous_pose[k]),
        ):
            target.append(vertices[scene.triangles[index]] @ pose[:3, :3].T + pose[:3, 3])
        tags.append(scene.tags[part])
        instances.append(np.full(len(part), placed.instance[k]))
        moving.append(np.full(len(part), bool(np.any(placed.pose[k] != placed.previous_pose[k]))))
    return tuple(np.concatenate(v) for v in (corners, before, tags, instances, moving))  # type: ignore[return-value]


def check_exact(planes: Planes, shot: Shot) -> tuple[int, int]:
    """Compare all planes with the ray caster; return the numbers of pixels of movers and of all pixels compared."""
    focal = W / (2.0 * np.tan(np.radians(FOV) / 2.0))
    rays_y, rays_z = (np.arange(W) + 0.5 - W / 2) / focal, -(np.arange(H) + 0.5 - H / 2) / focal
    corners, before, tags, instances, moving = triangles_of(shot)
    seen = (corners - shot.pose[:3, 3]) @ shot.pose[:3, :3]
    depth, hit, weights = np.full((H, W), 1000.0), np.full((H, W), -1), np.zeros((H, W, 3))
    cast(seen, instances, rays_y, rays_z, depth, hit, weights)
    tag = np.where(hit >= 0, tags[hit], Tag.SKY)
    instance = np.where(hit >= 0, instances[hit], 0)
    same = (planes.tag == tag) & (planes.instance == instance)
    assert same.mean() > 0.995
    close = np.abs(planes.depth - depth) < 1e-3 * depth
    assert close[same].mean() > 0.995
    origin = np.einsum("hwk,hwkc->hwc", weights, before[hit])
    p = (origin - shot.before[:3, 3]) @ shot.before[:3, :3]
    ahead = np.where((p[..., 0] > 0.2) & (hit >= 0), p[..., 0], np.nan)
    there = np.stack([W / 2 + focal * p[..., 1] / ahead, H / 2 - focal * p[..., 2] / ahead], -1)
    i, j = np.mgrid[0:H, 0:W] + 0.5
    expected = there - np.stack([j, i], -1)
    usable = same & (np.abs(planes.depth - depth) < 1e-4 * depth) & np.isfinite(expected).all(-1)
    tolerance = np.maximum(0.05, np.abs(expected) * 2.0**-11)
    right = (np.abs(planes.motion - expected) <= tolerance).all(-1)
    assert right[usable].mean() > 0.995
    mover = usable & (hit >= 0) & moving[hit]
    assert right[mover].mean() > 0.99 if mover.any() else True
    return int(mover.sum()), int(usable.sum())


@pytest.mark.usefixtures("whole_leaves")
def test_planes_equal_those_of_a_ray_caster(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tag, instance, depth and motion are compared in random views in the traffic of the town."""
    monkeypatch.setattr(raster, "FAR_LEVEL", 1e-9)  # one level of detail, everywhere
    shots: list[Shot] = []
    draw = Rasteriser.draw

    def record(self: Rasteriser, scene: Scene, placed: Placements, pose: np.ndarray, before: np.ndarray, **more):  # type: ignore[no-untyped-def]
        shots.append(Shot(scene, placed, pose.copy(), before.copy()))
        return draw(self, scene, placed, pose, before, **more)

    monkeypatch.setattr(Rasteriser, "draw", record)
    rng = np.random.default_rng(3)
    camera, movers = camera_of(world), 0
    for k in range(4):
        place = world.traffic.poses[int(rng.integers(len(world.traffic)))]
        yaw = float(np.degrees(place[3]) + rng.normal(0.0, 25.0))
        behind = rng.uniform(5.0, 14.0)
        x, y = place[:2] - behind * np.array([np.cos(np.radians(yaw)), np.sin(np.radians(yaw))])
        eye = Transform(
            float(x), float(y), float(place[2]) + 1.2 + 2.0 * rng.random(), rng.normal(0, 4), yaw, rng.normal(0, 2)
        )
        world.set_transform(camera.id, eye)
        world.tick(STEP)
        moved = Transform(eye.x + 0.4, eye.y + 0.2, eye.z, eye.pitch + 0.3, eye.yaw + 0.8, eye.roll)
        world.set_transform(camera.id, moved)
        count, usable = check_exact(world.capture(camera.id), shots[-1])
        movers += count
        assert usable > 0.3 * W * H
        if k == 3:
            assert movers > 60, "no moving object was in view"
    world.destroy(camera.id)


# Looks ----------------------------------------------------------------------------------------------------------------


def test_no_void_at_the_horizon_and_no_spawn_point_in_a_wall(world: World) -> None:
    camera, rng = camera_of(world), np.random.default_rng(0)
    points = world.spawn_points()
    bare, walled = [], 0
    for k in rng.choice(len(points), 16, replace=False):
        p = points[k]
        world.set_transform(camera.id, Transform(p.x, p.y, p.z + 1.3, 0.0, p.yaw))
        world.tick(STEP)
        planes = world.capture(camera.id)
        below = (planes.tag != Tag.SKY).argmax(axis=0)  # the first row that is not sky
        edge = planes.tag[below, np.arange(W)]
        far = planes.depth[below, np.arange(W)] > 700.0
        bare.append(float((far & np.isin(edge, (Tag.TERRAIN, Tag.ROAD))).mean()))
        ahead = planes.depth[20:60, 40:120] < 1.5
        walled += int((ahead & (planes.tag[20:60, 40:120] != Tag.CAR)).mean() > 0.5)
    assert np.mean(bare) < 0.05
    assert walled == 0
    world.destroy(camera.id)


def test_every_road_is_drivable(world: World) -> None:
    """No obstacle is in a lane, even on or below bridges, and the surface is at the height of the lane."""
    for lane in world.network.lanes:
        for k in range(2, len(lane.centre) - 2, 4):
            x, y, z = lane.centre[k].tolist()
            yaw = float(np.arctan2(*(lane.centre[k + 1] - lane.centre[k])[:2][::-1]))
            assert world.static_town.solid.hit(x, y, yaw, 1.0, 0.8, z)[0] < 0, (lane.road, lane.id, k)
            assert abs(world.ground.surface_height(x, y, z) - z) < 0.05, (lane.road, lane.id, k)


def test_each_town_has_its_typical_classes(world: World) -> None:
    tags, rise = {
        "motorway": ({Tag.GUARD_RAIL, Tag.TRAFFIC_SIGN, Tag.BRIDGE, Tag.ROAD_LINE}, 6.0),
        "village": ({Tag.BUILDING, Tag.SIDEWALK, Tag.VEGETATION, Tag.TERRAIN, Tag.FENCE}, 5.0),
        "suburb": ({Tag.BUILDING, Tag.SIDEWALK, Tag.VEGETATION, Tag.CAR, Tag.POLE}, 2.0),
    }.get(world.name, ({Tag.BUILDING, Tag.ROAD_LINE}, 0.0))
    assert tags <= {Tag(value) for value in np.unique(world.static_town.scene.tags).tolist()}
    heights = np.concatenate([lane.centre[:, 2] for lane in world.network.lanes])
    assert np.ptp(heights) >= rise


def test_road_ids_do_not_depend_on_the_seed() -> None:
    ids = {
        name: {(lane.road, lane.id) for lane in Network(*towns.load(name, 9)).lanes} for name in ("suburb", "motorway")
    }
    assert (1, -1) in ids["suburb"]
    motorway = {(110, -2), (111, -3), (112, -1), (113, -3), (115, -1), (116, -1), (225, -1), (31, 1), (32, -1)}
    assert motorway <= ids["motorway"]
