"""The rasteriser's tag, depth and motion planes agree with a brute-force ray caster and plain geometry."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.base.bands import second_thread
from neuralsim.town.assets import plant_meshes, prop_meshes
from neuralsim.town.assets.car_shapes import CARS
from neuralsim.town.assets.meshes import (
    ALWAYS,
    FAR,
    NEAR,
    Mesh,
    blob,
    box,
    cylinder,
    flat,
    merge,
    prism,
    quad,
    triangulate,
)
from neuralsim.town.assets.pavement_meshes import pavement_templates
from neuralsim.town.assets.people_meshes import PHASES, walker_templates
from neuralsim.town.assets.vehicles.lamps import rear_lamp
from neuralsim.town.assets.vehicles.vehicle_meshes import vehicle_templates
from neuralsim.town.core.types import Transform
from neuralsim.town.render import raster
from neuralsim.town.render.raster import Planes, Rasteriser
from neuralsim.town.render.scene import Placements, Scene

W, H, FOV = 128, 64, 90.0


def street() -> Mesh:
    """Return ground, houses, a leaning slab and a lump around the origin."""
    ground = [quad([(x, y, 0), (x + 20, y, 0), (x + 20, y + 20, 0), (x, y + 20, 0)], Tag.ROAD, (80, 80, 80))
              for x in range(-60, 60, 20) for y in range(-60, 60, 20)]  # fmt: skip
    house = prism([(0, 0), (9, 0), (9, 7), (4, 7), (4, 12), (0, 12)], 0, 8, Tag.BUILDING, (180, 120, 90))
    slab = quad([(0, 0, 0), (8, 2, 0), (8, 3, 5), (0, 1, 5)], Tag.WALL, (150, 150, 150))
    lump = blob((2, 2, 2.5), (0, 0, 4), Tag.VEGETATION, (60, 120, 40), seed=3)
    return merge([*ground, house.moved(12, 6).with_instance(10001), house.moved(30, -18, yaw=40).with_instance(10002),
                  slab.moved(6, -6), lump.moved(14, -2)])  # fmt: skip


def camera(
    x: float = 0.0, y: float = 0.0, z: float = 1.5, pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0
) -> np.ndarray:
    return Transform(x, y, z, pitch, yaw, roll).matrix()


def rays(width: int = W, height: int = H, fov: float = FOV) -> np.ndarray:
    """Return the rays of all pixels, f64 (H, W, 3), camera space, x = 1."""
    focal = width / (2.0 * np.tan(np.radians(fov) / 2.0))
    i, j = np.mgrid[0:height, 0:width] + 0.5
    return np.stack([np.ones_like(i), (j - width / 2) / focal, -(i - height / 2) / focal], -1)


def project(points: np.ndarray, pose: np.ndarray, width: int = W, height: int = H, fov: float = FOV) -> np.ndarray:
    """Return the pixel positions (..., 2) of world points, nan behind the camera."""
    focal = width / (2.0 * np.tan(np.radians(fov) / 2.0))
    p = (points - pose[:3, 3]) @ pose[:3, :3]
    ahead = np.where(p[..., 0] > 0.05, p[..., 0], np.nan)
    return np.stack([width / 2 + focal * p[..., 1] / ahead, height / 2 - focal * p[..., 2] / ahead], -1)


def cast(corners: np.ndarray, pose: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the nearest triangle of each ray (-1: none), depth and barycentric weights (Moeller and Trumbore 1997)."""
    d = directions.reshape(-1, 3) @ pose[:3, :3].T
    best, depth, weights = np.full(len(d), -1), np.full(len(d), 1000.0), np.zeros((len(d), 3))
    for t, (a, b, c) in enumerate(corners.astype(np.float64)):
        e, f = b - a, c - a
        p = np.cross(d, f)
        along = p @ e
        inverse = 1.0 / np.where(along == 0.0, 1e-30, along)
        s = pose[:3, 3] - a
        u = (p @ s) * inverse
        q = np.cross(s, e)
        v = (d @ q) * inverse
        far = float(f @ q) * inverse
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (far > 0.06) & (far < depth)
        best[hit], depth[hit] = t, far[hit]
        weights[hit] = np.stack([1 - u - v, u, v], -1)[hit]
    shape = directions.shape[:-1]
    return best.reshape(shape), depth.reshape(shape), weights.reshape(*shape, 3)


def one(
    template: int = 0, pose: np.ndarray | None = None, before: np.ndarray | None = None, previous: int | None = None
) -> Placements:
    p = Placements.empty(1)
    p.template[:] = template
    p.previous_template[:] = template if previous is None else previous
    p.pose[0] = np.eye(4) if pose is None else pose
    p.previous_pose[0] = p.pose[0] if before is None else before
    p.instance[:] = 7
    return p


@pytest.mark.usefixtures("whole_leaves")
@pytest.mark.parametrize(
    "pose",
    [
        camera(),
        camera(2, 1, 1.2, 5, 30, 3),
        camera(10, 0.1, 0.7, -8, -40),
        camera(13.9, -2, 4, 10, 80, 20),
        camera(9.9, -4.45, 1.0, 0, 14),
    ],
    ids=["level", "turned", "beside a wall", "inside a lump", "grazing a wall"],
)
def test_tags_and_depth_are_those_of_a_ray_caster(pose: np.ndarray) -> None:
    """Each pose has ground or walls on both sides of the near plane, so that triangles are clipped."""
    mesh = street()
    two_sided = Mesh(mesh.vertices, mesh.triangles, mesh.tags, mesh.colours, mesh.instances)
    planes = Rasteriser(W, H, FOV).render(Scene(two_sided, []), Placements.empty(), pose, pose)
    hit, depth, _ = cast(mesh.vertices[mesh.triangles], pose, rays())
    tag = np.where(hit >= 0, mesh.tags[hit], Tag.SKY)
    same = planes.tag == tag
    assert same.mean() > 0.998  # rays exactly along an edge may fall to either side
    assert np.allclose(planes.depth[same], depth[same], rtol=1e-4)
    assert np.array_equal(planes.instance[same], np.where(hit >= 0, mesh.instances[hit], 0)[same])


def check_static_motion(
    planes: Planes, pose: np.ndarray, before: np.ndarray, where: np.ndarray, moved: np.ndarray | None = None
) -> float:
    """Return the largest error (px) of the motion plane, compared with reprojection by depth and both poses."""
    points = (rays() * planes.depth[..., None].astype(np.float64)) @ pose[:3, :3].T + pose[:3, 3]
    if moved is not None:
        points = points @ moved[:3, :3].T + moved[:3, 3]
    i, j = np.mgrid[0:H, 0:W] + 0.5
    expected = project(points, before) - np.stack([j, i], -1)
    usable = where & np.isfinite(expected).all(-1) & (np.abs(expected) < 2000).all(-1)
    assert usable.sum() > 30
    tolerance = np.maximum(0.05, np.abs(expected) * 2.0**-11)
    error = np.abs(planes.motion - expected)
    assert (error <= tolerance)[usable].all()
    return float(error[usable].max())


def test_motion_of_the_static_world_and_of_moving_objects() -> None:
    scene = Scene(street(), [vehicle_templates()["vehicle.audi.a2"]])
    pose, before = camera(1, 0.5, 1.5, -3, 12, 2), camera(0.2, 0.3, 1.45, -1, 8, -1)
    car, was = Transform(8, 1, 0, 1, 100, 2).matrix(), Transform(8.3, 0.4, 0.05, 0, 92, 0).matrix()
    planes = Rasteriser(W, H, FOV).render(scene, one(0, car, was), pose, before)
    on_car = planes.instance == 7
    assert on_car.sum() > 100
    check_static_motion(planes, pose, before, ~on_car & (planes.tag != Tag.SKY))
    check_static_motion(planes, pose, before, on_car, was @ np.linalg.inv(car))
    still = Rasteriser(W, H, FOV).render(scene, one(0, car, car), pose, pose)
    assert np.abs(still.motion).max() < 1e-3


def test_motion_of_a_walking_body_follows_each_point_of_it() -> None:
    gait = walker_templates()
    scene = Scene(street(), gait)
    pose, before = camera(0, 0, 1.2, 0, 3), camera(-0.1, 0.05, 1.2, 1, 1)
    here, was = Transform(3, 0.2, 0, 0, 70).matrix(), Transform(2.95, 0.1, 0, 0, 66).matrix()
    planes = Rasteriser(W, H, FOV).render(scene, one(3, here, was, previous=2), pose, before)
    kept = np.flatnonzero(gait[3].levels == NEAR)
    now = gait[3].vertices[gait[3].triangles[kept]] @ here[:3, :3].T + here[:3, 3]
    then = gait[2].vertices[gait[2].triangles[kept]] @ was[:3, :3].T + was[:3, 3]
    hit, depth, weights = cast(now, pose, rays())
    seen = (planes.tag == Tag.PEDESTRIAN) & (hit >= 0) & (np.abs(planes.depth - depth) < 1e-4)
    assert seen.sum() > 200
    origin = np.einsum("hwk,hwkc->hwc", weights, then[hit])
    i, j = np.mgrid[0:H, 0:W] + 0.5
    expected = project(origin, before) - np.stack([j, i], -1)
    close = np.abs(planes.motion - expected).max(-1)[seen] < 0.05
    assert close.mean() > 0.99  # where two parts of the body touch, either may be the nearer


def test_sky_turns_with_the_camera_and_stays_when_it_moves() -> None:
    scene = Scene(street(), [])
    pose = camera(0, 0, 1.5, 10, 5)
    planes = Rasteriser(W, H, FOV).render(scene, Placements.empty(), pose, camera(-3, 1, 1, 10, 5))
    sky = planes.tag == Tag.SKY
    assert sky.sum() > 300
    assert (planes.depth[sky] == 1000.0).all()
    assert (planes.instance[sky] == 0).all()
    assert np.abs(planes.motion[sky]).max() < 1e-3
    before = camera(-3, 1, 1, 7, 12, 4)
    planes = Rasteriser(W, H, FOV).render(scene, Placements.empty(), pose, before)
    i, j = np.mgrid[0:H, 0:W] + 0.5
    endless = (rays() * 1e7) @ pose[:3, :3].T
    expected = project(endless, np.block([[before[:3, :3], np.zeros((3, 1))], [0, 0, 0, 1]])) - np.stack([j, i], -1)
    assert np.abs(planes.motion - expected)[sky].max() < 0.01


def test_motion_of_points_once_behind_the_camera_stays_finite_in_half_precision() -> None:
    scene = Scene(street(), [])
    planes = Rasteriser(W, H, FOV).render(scene, Placements.empty(), camera(), camera(yaw=180.0))
    assert np.isfinite(planes.motion.astype(np.float16)).all()


def test_surface_of_many_triangles_has_no_holes() -> None:
    rng = np.random.default_rng(1)
    n = 60
    x, y = np.meshgrid(np.linspace(-30, 30, n), np.linspace(-30, 30, n), indexing="ij")
    inner = (slice(1, -1), slice(1, -1))
    x[inner] += rng.uniform(-0.4, 0.4, (n - 2, n - 2))
    y[inner] += rng.uniform(-0.4, 0.4, (n - 2, n - 2))
    i, j = np.meshgrid(np.arange(n - 1), np.arange(n - 1), indexing="ij")
    a = (i * n + j).ravel()
    triangles = np.concatenate([np.stack([a, a + 1, a + n], 1), np.stack([a + 1, a + n, a + n + 1], 1)])
    ground = Mesh.of(np.stack([x.ravel(), y.ravel(), np.zeros(n * n)], 1), triangles, Tag.ROAD, (9, 9, 9))
    for pose in (camera(0, 0, 8, -90), camera(0.3, 0.2, 3, -60, 33, 7), camera(0.01, 0, 0.2, -50, 200)):
        planes = Rasteriser(W, H, FOV).render(Scene(ground, []), Placements.empty(), pose, pose)
        assert (planes.tag == Tag.ROAD).all()


@pytest.mark.usefixtures("whole_leaves")
def test_culling_of_chunks_and_of_back_faces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    far_street = merge([street().moved(x, y) for x in (300, 430) for y in (275, 400, 525)])
    cut = Scene(far_street, [])
    monkeypatch.setattr("neuralsim.town.render.scene.CHUNK", 1e6)
    monkeypatch.setattr(raster, "FAR_LEVEL", 1e-9)
    open_street = Mesh(
        far_street.vertices, far_street.triangles, far_street.tags, far_street.colours, far_street.instances
    )
    whole = Scene(open_street, [])
    assert whole.chunks == 1
    assert cut.chunks > 20
    for pose in (camera(300, 400), camera(297, 402, 1.5, 2, 20), camera(320, 399, 3, 0, -150)):
        a = Rasteriser(W, H, FOV).render(cut, Placements.empty(), pose, pose)
        b = Rasteriser(W, H, FOV).render(whole, Placements.empty(), pose, pose)
        assert np.array_equal(a.tag, b.tag)
        assert np.array_equal(a.depth, b.depth)


def everything() -> dict[str, Mesh]:
    result = dict(vehicle_templates())
    result.update({f"walker {k}": mesh for k, mesh in enumerate(walker_templates("woman"))})
    result.update({kind: plant_meshes.tree(kind, 1) for kind in plant_meshes.TREES})
    makers = ("traffic_light", "street_lamp", "lantern", "sign", "direction_sign", "bollard", "bench",
              "litter_bin", "wheeled_bin", "cabinet", "post_box", "bus_stop")  # fmt: skip
    result.update({name: getattr(prop_meshes, name)() for name in makers})
    result.update(
        {
            "hedge": plant_meshes.hedge(5),
            "bush": plant_meshes.bush(),
            "fence": prop_meshes.fence(5),
            "railing": prop_meshes.railing(5),
        }
    )
    pavement = pavement_templates()
    result.update({name: pavement[name] for name in ("board", "column", "utility")})
    return result


@pytest.mark.slow
@pytest.mark.usefixtures("whole_leaves")
def test_closed_bodies_look_the_same_without_their_back_faces() -> None:
    meshes = list(everything().values())
    bare = [Mesh(m.vertices, m.triangles, m.tags, m.colours, None, m.levels) for m in meshes]
    solid, hollow = Scene(Mesh.empty(), meshes), Scene(Mesh.empty(), bare)
    views = Rasteriser(W, H, FOV), Rasteriser(W, H, FOV)
    for k, mesh in enumerate(meshes):
        low, high = mesh.bounds
        away = float(np.abs(np.concatenate([low, high])).max()) * 1.4 + 0.3
        seen = 0
        for yaw in (0.0, 70.0, 160.0, 250.0):
            c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
            pose = camera(-away * c, -away * s, 1.5, 0, yaw)
            a, b = (view.draw(scene, one(k), pose, pose) for view, scene in zip(views, (solid, hollow), strict=True))
            seen = max(seen, int((a.tag != Tag.SKY).sum()))
            assert (a.tag != b.tag).sum() <= 2
            assert (np.abs(a.depth - b.depth) > 0.02).sum() <= 6
        assert seen > 10


def test_levels_of_detail_draw_one_or_the_other() -> None:
    near, far = (
        box((1, 1, 1), (0, 0, 0.5), Tag.CAR, (1, 2, 3)).with_level(NEAR),
        box((1, 1, 1), (0, 0, 0.5), Tag.BUS, (1, 2, 3)),
    )
    scene = Scene(
        Mesh.empty(), [merge([near, far.with_level(FAR), cylinder(0.5, 1, 3, Tag.POLE, (9, 9, 9)).with_level(ALWAYS)])]
    )
    for distance, tag in ((4.0, Tag.CAR), (20.0, Tag.BUS)):
        planes = Rasteriser(W, H, FOV).render(scene, one(0, camera(distance, 0, 0)), camera(), camera())
        assert set(np.unique(planes.tag)) == {Tag.SKY, Tag.POLE, tag}


def test_same_input_gives_the_same_bytes_and_hidden_instances_are_not_drawn() -> None:
    scene = Scene(street(), [vehicle_templates()["vehicle.mini.cooper_s"]])
    p, pose = one(0, camera(6, 0, 0, yaw=30)), camera()
    first = Rasteriser(W, H, FOV).render(scene, p, pose, camera(-0.5))
    again = Rasteriser(W, H, FOV).render(scene, p, pose, camera(-0.5))
    for name in ("tag", "instance", "depth", "motion", "rgb"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert (first.instance == 7).sum() > 100
    hidden = Rasteriser(W, H, FOV).draw(scene, p, pose, pose, hide=7)
    assert not (hidden.instance == 7).any()
    assert not (hidden.tag == Tag.CAR).any()
    assert hidden.rgb is None


def test_bands_that_two_cores_share_change_no_byte() -> None:
    scene = Scene(street(), [vehicle_templates()["vehicle.mini.cooper_s"]])
    p, pose = one(0, camera(6, 0, 0, yaw=30)), camera(pitch=-3.0, roll=2.0)
    shared, alone = Rasteriser(W, H, FOV), Rasteriser(W, H, FOV)
    assert len(shared._bands) == 3
    with second_thread(is_free=True):
        expected = shared.render(scene, p, pose, camera(-0.5))._asdict()
    with second_thread(is_free=False):
        actual = alone.render(scene, p, pose, camera(-0.5))._asdict()
    for name, plane in expected.items():
        assert plane.tobytes() == actual[name].tobytes(), name


def test_paint_takes_the_placements_colour_and_night_is_dark() -> None:
    scene = Scene(street(), [vehicle_templates()["vehicle.audi.tt"]])
    p = one(0, camera(6, 0, 0))
    p.colour[:] = (200, 20, 20)
    day = Rasteriser(W, H, FOV).render(scene, p, camera(), camera(), sun=(50, 180))
    red = day.rgb[day.instance == 7].astype(int)
    assert (red[:, 0] > 2 * red[:, 2]).mean() > 0.3
    night = Rasteriser(W, H, FOV).render(scene, p, camera(), camera(), sun=(-20, 180))
    assert night.rgb.mean() < 0.3 * day.rgb.mean()


def test_vehicles_have_the_size_of_the_real_ones_and_stand_on_the_ground() -> None:
    meshes = vehicle_templates()
    for name, (length, width, height) in {
        "vehicle.tesla.model3": (4.7, 2.1, 1.44), "vehicle.audi.a2": (3.83, 1.9, 1.55),
        "vehicle.mercedes.sprinter": (5.9, 2.3, 2.66),
        "vehicle.mitsubishi.fusorosa": (10.2, 2.9, 3.05), "vehicle.nissan.patrol": (5.0, 2.2, 1.86),
    }.items():  # fmt: skip
        low, high = meshes[name].bounds
        assert (*(high - low)[:2], high[2]) == pytest.approx((length, width, height), abs=0.2)
    for name, mesh in meshes.items():
        low, high = mesh.bounds
        assert abs(low[2]) < 0.03
        assert abs(low[1] + high[1]) < 0.2
        assert abs(low[0] + high[0]) < 0.25
        if name in CARS:
            x, y, z = rear_lamp(CARS[name])
            assert low[0] - 0.05 < x < low[0] * 0.85
            assert 0.4 < z < 1.3
            assert 0.0 < y < high[1]


def test_outlines_have_gaps_where_real_ones_do() -> None:
    ground = flat([(-60, -60), (60, -60), (60, 60), (-60, 60)], 0.0, Tag.ROAD, (80, 80, 80))
    car, walker = vehicle_templates()["vehicle.seat.leon"], walker_templates()[2]
    scene = Scene(ground, [car, walker])
    planes = Rasteriser(256, 128, 60.0).render(
        scene, one(0, camera(0, 5, 0)), camera(0, 0, 0.1, yaw=90), camera(0, 0, 0.1, yaw=90)
    )
    below = planes.tag[66]  # just below the horizon: between the wheels the road goes on, the wheels interrupt it
    assert below[128] == Tag.ROAD
    assert (below[40:90] == Tag.CAR).sum() > 12
    assert (below[166:216] == Tag.CAR).sum() > 12
    assert planes.tag[50, 128] == Tag.CAR
    planes = Rasteriser(256, 256, 40.0).render(
        scene, one(1, camera(0, 4, 0)), camera(0, 0, 1, yaw=90), camera(0, 0, 1, yaw=90)
    )
    rows = np.flatnonzero((planes.tag == Tag.PEDESTRIAN).any(1))
    shins = planes.tag[rows[0] + int(0.85 * len(rows))] == Tag.PEDESTRIAN
    assert len(np.flatnonzero(np.diff(shins.astype(int)))) == 4  # two legs apart


def test_walkers_keep_their_topology_through_the_gait() -> None:
    for kind in ("man", "woman", "child"):
        gait = walker_templates(kind)
        assert len(gait) == PHASES
        for phase in gait:
            assert np.array_equal(phase.triangles, gait[0].triangles)
            assert np.array_equal(phase.levels, gait[0].levels)
            assert abs(phase.bounds[0][2]) < 0.09


def test_bulbs_are_in_front_of_their_housing() -> None:
    mesh, bulbs = prop_meshes.traffic_light(4.0), prop_meshes.traffic_light_bulbs(4.0)
    housing = mesh.vertices[np.unique(mesh.triangles[mesh.tags == Tag.TRAFFIC_LIGHT])]
    for positions in bulbs.values():
        assert len(positions) == 2
        for x, y, z in positions:
            near = housing[(np.abs(housing[:, 1] - y) < 0.3) & (np.abs(housing[:, 2] - z) < 0.3)]
            assert len(near)
            assert near[:, 0].min() < x <= near[:, 0].max() + 0.05
    assert bulbs["red"][0][2] > bulbs["yellow"][0][2] > bulbs["green"][0][2]


def test_polygons_with_notches_are_filled_exactly() -> None:
    polygon = np.array([(0, 0), (6, 0), (6, 4), (4, 4), (4, 1), (2, 1), (2, 5), (0, 5)], float)
    for ring in (polygon, polygon[::-1]):
        t = ring[triangulate(ring)]
        area = 0.5 * np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0])
        assert abs(np.abs(area).sum() - 20.0) < 1e-9


def test_wrong_input_raises_a_helpful_error() -> None:
    with pytest.raises(ValueError, match="one per triangle"):
        Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]]), np.zeros(2), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="indices"):
        Mesh(np.zeros((3, 3)), np.array([[0, 1, 3]]), np.zeros(1), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="fov"):
        Rasteriser(64, 32, 180.0)
    scene = Scene(street(), [box((1, 1, 1), (0, 0, 0), 14, (1, 1, 1)), cylinder(1, 0, 1, 14, (1, 1, 1))])
    with pytest.raises(ValueError, match="templates 0 to 1"):
        Rasteriser(64, 32, 90.0).render(scene, one(2), camera(), camera())
    with pytest.raises(ValueError, match="topology"):
        Rasteriser(64, 32, 90.0).render(scene, one(1, previous=0), camera(), camera())


# Leaves ---------------------------------------------------------------------------------------------------------------


AHEAD = 1.8  # m


def sprig(scale: float = 1.0) -> Mesh:
    """One triangle of foliage ``AHEAD`` of the camera, seen face on."""
    corners = np.array([(AHEAD, -0.6, 1.2), (AHEAD, 0.6, 1.2), (AHEAD, 0.0, 1.95)])
    corners[:, 1:] = (corners[:, 1:] - [0.0, 1.5]) * scale + [0.0, 1.5]
    colour = np.array([(60, 120, 40)], np.uint8)
    return Mesh(corners, np.array([(0, 1, 2)]), np.array([Tag.VEGETATION], np.uint8), colour)


def leaves_of(mesh: Mesh, pose: np.ndarray, size: tuple[int, int] = (W, H)) -> np.ndarray:
    planes = Rasteriser(*size, FOV).render(Scene(mesh, []), Placements.empty(), pose, pose)
    return planes.tag.copy() == Tag.VEGETATION


def test_foliage_is_leaves_with_gaps_between_them_and_stays_within_its_triangle() -> None:
    solid = Mesh(sprig().vertices, sprig().triangles, np.array([Tag.WALL], np.uint8), sprig().colours)
    planes = Rasteriser(512, 256, FOV).render(Scene(solid, []), Placements.empty(), camera(), camera())
    whole, leaves = planes.tag.copy() == Tag.WALL, leaves_of(sprig(), camera(), (512, 256))
    assert whole.sum() > 5000
    assert not (leaves & ~whole).any()
    assert 0.3 < leaves.sum() / whole.sum() < 0.75
    outline = whole & ~np.roll(whole, 1, 1)
    assert (leaves & outline).sum() < 0.2 * outline.sum(), "no straight edge is left"


def test_leaves_move_with_their_triangle() -> None:
    """A sideways step of whole pixels moves every leaf by as many. At half the distance, leaves are twice as large."""
    focal = 512 / 2.0
    first = leaves_of(sprig(), camera(), (512, 256))
    aside = leaves_of(sprig(), camera(y=-12.0 * AHEAD / focal), (512, 256))
    assert (np.roll(first, 12, 1) != aside).mean() < 0.002
    near = leaves_of(sprig(), camera(x=0.5 * AHEAD), (512, 256))[0::2, 0::2]
    far = leaves_of(sprig(), camera(), (512, 256))[64:192, 128:384]
    assert (near != far).sum() < 0.12 * far.sum()


def test_nothing_shows_through_the_leaves_of_a_hedge_nearby() -> None:
    behind = Mesh(sprig().vertices * 9.0, sprig().triangles, np.array([Tag.WALL], np.uint8), sprig().colours)
    hedge = plant_meshes.hedge(4.0, 1.3).moved(3.0, yaw=90.0)
    pose = camera(0.0, 0.0, 0.6)
    planes = Rasteriser(512, 256, FOV).render(Scene(merge([behind, hedge]), []), Placements.empty(), pose, pose)
    middle = planes.tag[110:140, 200:312]  # well below its ragged top
    assert (middle == Tag.VEGETATION).all()


def test_large_triangles_of_foliage_have_no_gaps() -> None:
    wood = Mesh(sprig().vertices * 4.0 - [0, 0, 4.5], sprig().triangles, sprig().tags, sprig().colours)
    assert leaves_of(wood, camera(), (512, 256)).sum() == pytest.approx(
        0.5 * 1.2 * 0.75 * (256.0 / AHEAD) ** 2, rel=0.02
    )


def test_small_triangles_have_no_leaves() -> None:
    area = 0.5 * 1.2 * 0.75 * (0.08 * 64.0 / AHEAD) ** 2  # px
    assert leaves_of(sprig(0.08), camera()).sum() == pytest.approx(area, abs=3)


def test_triangle_without_area_draws_no_leaves() -> None:
    flat_one = Mesh(sprig().vertices * [1, 1, 0], sprig().triangles, sprig().tags, sprig().colours)
    assert not leaves_of(flat_one, camera(z=0.0)).any()
