"""Shading puts shadows, reflections and lamps where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.base.colour import LUMA
from neuralsim.town.assets.houses import WALLS, HouseFront
from neuralsim.town.assets.lit_bodies import BRAKE, LEFT, LOW_BEAM, RIGHT
from neuralsim.town.assets.meshes import box, cylinder, flat, merge, quad
from neuralsim.town.assets.plant_meshes import TRUNK_COLOUR
from neuralsim.town.assets.prop_meshes import STEEL, direction_sign
from neuralsim.town.assets.templates import templates
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.render import raster
from neuralsim.town.render.raster import Planes, Rasteriser
from neuralsim.town.render.raster_arrays import SIGN, WALL
from neuralsim.town.render.scene import Placements, Scene
from neuralsim.town.render.shading import shading_kernels
from neuralsim.town.render.shading.finishes import finishes, textures
from neuralsim.town.render.shading.surface_kernels import seen_behind_glass
from neuralsim.town.render.static_lighting import Backdrops, _houses
from neuralsim.town.static_town import StaticTown

W, H, FOV = 192, 96, 70.0

GROUND = flat([(-80, -80), (120, -80), (120, 80), (-80, 80)], 0.0, Tag.ROAD, (84, 84, 86))
CAR = "vehicle.seat.leon body"
FRONT = HouseFront(0.0, 9.0, (0.0, 0.0), (0.0, 0.0), 0.0, None)


def eye(x: float = 0.0, z: float = 1.5, pitch: float = 0.0) -> np.ndarray:
    """Return the pose of a camera that looks along x, ``pitch`` degrees down."""
    c, s = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    return np.array([[c, 0, s, x], [0, 1, 0, 0], [-s, 0, c, z], [0, 0, 0, 1.0]])


def car(ahead: float, lights: int = 0) -> Placements:
    """Return one car, seen from behind, ``ahead`` m along x."""
    one = Placements.empty(1)
    one.template[:] = one.previous_template[:] = templates().index[CAR]
    one.pose[0, 0, 3] = one.previous_pose[0, 0, 3] = ahead
    one.instance[:], one.lights[:] = 7, lights
    return one


def view(placed: Placements, sun: tuple[float, ...], pose: np.ndarray | None = None) -> Planes:
    pose = eye() if pose is None else pose
    scene = Scene(GROUND, templates().meshes, templates().bodies)
    return Rasteriser(W, H, FOV).render(scene, placed, pose, pose, sun=sun)


def brightness(planes: Planes) -> np.ndarray:
    assert planes.rgb is not None
    return planes.rgb @ LUMA


def test_car_darkens_the_ground_under_it_and_away_from_the_sun() -> None:
    overhead = eye(10.0, 14.0, 90.0)
    sun_to_the_right = view(car(10.0), (35.0, 90.0), overhead)
    seen, road = brightness(sun_to_the_right), sun_to_the_right.tag == Tag.ROAD
    body = np.argwhere(sun_to_the_right.instance == 7)
    left, right = body[:, 1].min(), body[:, 1].max()
    rows = slice(body[:, 0].min() + 4, body[:, 0].max() - 4)
    plain = np.median(seen[road])
    assert seen[rows, left - 5 : left - 1].mean() < 0.8 * plain, "its shadow falls to the left"
    assert seen[rows, right + 8 : right + 14].mean() > 0.9 * plain
    overcast = brightness(view(car(10.0), (35.0, 90.0, 100.0), overhead))
    assert overcast[rows, right + 1 : right + 3].mean() < 0.9 * np.median(overcast[road]), "ambient occlusion"


def lane() -> Lane:
    """Return a straight lane along x."""
    x = np.arange(-60.0, 100.0, 4.0)
    zero = np.zeros_like(x)
    line = np.column_stack([x, zero, zero])
    aside = np.array([0.0, 1.75, 0.0])
    return Lane(
        road=1, section=0, id=-1, kind="driving", junction=-1, centre=line, left=line - aside, right=line + aside,
        width=np.full(len(x), 3.5), left_marking=None, right_marking=None, speed=13.9,
    )  # fmt: skip


def test_static_objects_cast_a_shadow_away_from_the_sun() -> None:
    tower = box((2.0, 2.0, 10.0), (20.0, 0.0, 5.0), Tag.STATIC, (90, 90, 90))
    scene = Scene(merge([GROUND, tower]), [])
    drop = Backdrops(scene, Placements.empty(), [lane()], {}, np.zeros((0, 3)), 0)
    ground = {}
    for azimuth in (90.0, 270.0):
        pose = eye(20.0, 40.0, 90.0)
        planes = Rasteriser(W, H, FOV).render(
            scene, Placements.empty(), pose, pose, sun=(45.0, azimuth), backdrop=drop.at(45.0, azimuth)
        )
        ground[azimuth] = brightness(planes)[H // 2 - 1 : H // 2 + 1]
    middle, metre = W // 2, W / (2.0 * 40.0 * np.tan(np.radians(FOV / 2.0)))
    near = round(5.0 * metre)
    assert ground[90.0][:, middle - near].mean() < 0.75 * ground[90.0][:, middle + near].mean()
    assert ground[270.0][:, middle + near].mean() < 0.75 * ground[270.0][:, middle - near].mean()
    assert drop.at(45.0, 90.4) is drop.at(44.8, 89.6), "the sun's position is rounded"


def lamplight(scene: Scene, *lamps: tuple[float, float, float]) -> np.ndarray:
    """Return the light on the ground by night, for each metre along x from -40 m to 60 m, 2 m beside the lane."""
    drop = Backdrops(scene, Placements.empty(), [lane()], {}, np.array(lamps, float).reshape(-1, 3), 0).at(0.0, 0.0)
    metres = np.column_stack([np.arange(-40.0, 60.0), np.full(100, 2.0)])
    columns, rows = np.round((metres - drop.low) / (4.0 * drop.cell)).astype(int).T
    return drop.lamps[rows, columns].astype(float)


def test_street_lamps_light_as_far_as_three_times_their_height() -> None:
    scene = Scene(GROUND, [])
    low, high, both = (
        lamplight(scene, *lamps) for lamps in ([(0, 2, 4.0)], [(0, 2, 8.0)], [(0, 2, 8.0), (20, 2, 8.0)])
    )
    at = {metre: 40 + metre for metre in (0, 4, 8, 16, 30)}
    assert low[at[0]] == pytest.approx(high[at[0]], abs=4.0)
    assert low[at[8]] < 0.6 * low[at[4]], "it has begun to fade out"
    assert low[at[16]] == 0.0 < high[at[16]] < high[at[8]] < high[at[0]]
    assert high[at[30]] == 0.0
    assert both[at[0] : at[0] + 20].min() > 0.55 * both.max(), "the street between two lamps is evenly lit"
    assert not lamplight(scene).any()


def test_lit_windows_light_the_pavement_before_them() -> None:
    town = StaticTown("hamlet", 1)
    drop = Backdrops(town.scene, town.placements, town.network.lanes, town._fronts, np.zeros((0, 3)), 0).at(0.0, 0.0)
    lit = np.argwhere(drop.lamps > 10)[:, ::-1] * (4.0 * drop.cell) + drop.low
    assert drop.lamps.max() > 20
    assert 0.0 < (drop.lamps > 10).mean() < 0.25
    used = town.scene.triangles[town.scene.finish == WALL]
    walls = town.scene.vertices[:2, np.unique(used)].T
    middle = np.concatenate([walls, town.scene.vertices[:2, used].mean(-1).T])
    away = [np.hypot(*(middle - place).T).min() for place in lit[::20]]
    assert max(away) < 12.0


def test_wet_ground_reflects_what_is_behind_it() -> None:
    wall = quad([(30, -60, 0), (30, 60, 0), (30, 60, 9), (30, -60, 9)], Tag.WALL, (240, 40, 40))
    scene = Scene(merge([GROUND, wall]), [])
    red = []
    for wet in (0.0, 100.0):
        planes = Rasteriser(W, H, FOV).render(scene, Placements.empty(), eye(), eye(), sun=(45.0, 180.0, 0.0, 0.0, wet))
        assert planes.rgb is not None
        just_before = planes.rgb[(planes.tag == Tag.ROAD) & (planes.depth > 20.0)].astype(float).mean(0)
        red.append(just_before[0] / just_before[2])
    assert red[0] < 1.1
    assert red[1] > 1.5


def lit(lights: int) -> np.ndarray:
    planes = view(car(9.0, lights), (45.0, 30.0))
    assert planes.rgb is not None
    return planes.rgb.astype(int)


def test_lamps_shine_on_their_side_of_a_car_and_headlamps_light_the_road() -> None:
    off = lit(0)
    braking = (lit(BRAKE)[..., 0] - off[..., 0]) > 60
    assert braking[:, : W // 2].any()
    assert braking[:, W // 2 :].any()
    for side, light in ((slice(0, W // 2), LEFT), (slice(W // 2, W), RIGHT)):
        amber = (lit(light) - off)[..., 1] > 60
        assert amber[:, side].any()
        assert amber.sum() == amber[:, side].sum()
    overhead = eye(16.0, 20.0, 90.0)
    dark, beams = (view(car(10.0, lights), (-20.0, 0.0), overhead) for lights in (0, LOW_BEAM))
    more = np.where(dark.tag == Tag.ROAD, brightness(beams) - brightness(dark), 0.0)
    front = np.argwhere(dark.instance == 7)[:, 0].min()
    assert (more[:front] > 20.0).sum() > 100
    assert (more[front + 2 :] < 10.0).all()


def test_low_beams_have_an_edge_that_rises_towards_the_pavement() -> None:
    """On a wall: bright at the foot, dark above the height of the lamps, and that later on the right."""
    wall = quad([(26, -60, 0), (26, 60, 0), (26, 60, 9), (26, -60, 9)], Tag.WALL, (180, 180, 180))
    scene = Scene(merge([GROUND, wall]), templates().meshes, templates().bodies)
    pose = eye(14.0, 1.5)  # between the car, which is out of sight, and the wall
    images = [
        brightness(Rasteriser(W, H, FOV).render(scene, car(8.0, lights), pose, pose, sun=(-20.0, 0.0)))
        for lights in (0, LOW_BEAM)
    ]
    more, focal = images[1] - images[0], W / (2.0 * np.tan(np.radians(FOV / 2.0)))

    def light(aside: float, height: float) -> float:
        row, column = H / 2 - focal * (height - 1.5) / 12.0, W / 2 + focal * aside / 12.0
        return float(more[int(row) - 1 : int(row) + 1, int(column) - 2 : int(column) + 2].mean())

    assert light(0.0, 0.2) > 40.0
    assert 2.0 < light(0.0, 1.3) < 0.25 * light(0.0, 0.2), "stray light"
    assert light(2.5, 0.75) > 2.0 * light(-2.5, 0.75)


@pytest.mark.parametrize("facing", [0.9, 0.5, 0.2])
def test_wall_in_grazing_sun_does_not_shade_itself(facing: float) -> None:
    """A plane in its own shadow map is fully lit, and would not be with the bias of one that faces the sun."""
    texel, steep = 0.3, float(np.sqrt(1.0 - facing**2)) / facing
    sun = np.array([[1 / texel, 0.0, 0.0, 0.0], [0.0, 1 / texel, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    shadow = np.tile(np.arange(64, dtype=np.float32) * texel * steep, (64, 1))  # highest towards the sun on the right
    places = np.random.default_rng(0).uniform(2.0, 16.0, (300, 2))

    def lit(slack: float) -> np.ndarray:
        return np.array([shading_kernels._sunlit.py_func(shadow, sun, slack, x, y, steep * x) for x, y in places])

    assert (lit(shading_kernels._slack.py_func(sun, facing)) == 1.0).all()
    assert (lit(0.25) < 1.0).any() == (facing < 0.6)


@pytest.mark.parametrize("normal", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.6, -0.4, 0.2)])
def test_leaves_have_no_direction(normal: tuple[float, float, float]) -> None:
    """A stretched texture would give strokes all over a crown, which the generator would render as strokes."""
    across = np.cross(normal, (0.3, 0.5, 0.8))
    axes = np.array([normal, across, np.cross(normal, across)])
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    corners = [20.0 * (i * axes[1] + j * axes[2]) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = -axes[0], axes[1], np.cross(-axes[0], axes[1]), 5.0 * axes[0]
    foliage = quad(corners, Tag.VEGETATION, (70, 110, 50))
    scene = Scene(foliage, templates().meshes, templates().bodies)
    planes = Rasteriser(W, H, FOV).render(scene, Placements.empty(0), pose, pose, sun=(45.0, 0.0, 100.0))
    assert (planes.tag == Tag.VEGETATION).all()
    down, right = (slope.ravel() for slope in np.gradient(brightness(planes)[::2, ::2]))
    least, most = np.linalg.eigvalsh(np.cov(down, right))
    assert most < 1.6 * least


@pytest.mark.parametrize(("colour", "course"), [((150, 96, 76), 0.075), ((158, 152, 142), 0.2)])
def test_garden_walls_are_built_of_courses(colour: tuple[int, int, int], course: float) -> None:
    wall = quad([(4, 3, 0), (4, -3, 0), (4, -3, 2), (4, 3, 2)], Tag.WALL, colour)
    planes = Rasteriser(W, H, FOV).render(
        Scene(merge([GROUND, wall]), []), Placements.empty(), eye(2.5, 1.0), eye(2.5, 1.0), sun=(45.0, 180.0)
    )
    rows = brightness(planes)[:, W // 2 - 40 : W // 2 + 40].mean(1)
    depth, focal = planes.depth[H // 2, W // 2], W / 2.0 / np.tan(np.radians(FOV / 2.0))
    height = 1.0 - (np.arange(H) + 0.5 - H / 2.0) * depth / focal
    is_wall = (planes.tag == Tag.WALL)[:, W // 2] & (height > 0.3)
    darker = np.convolve(rows, np.ones(5) / 5.0, "same") - rows
    from_joint = np.abs(height / course - np.round(height / course)) * course
    at_joints, between = (is_wall & near for near in (from_joint < 0.25 * course, from_joint > 0.3 * course))
    assert darker[at_joints].max() > 4.0
    assert darker[between].max() < 0.5 * darker[at_joints].max()


def test_trunks_have_upright_ridges_and_lamp_posts_do_not() -> None:
    def contrasts(colour: tuple[int, int, int]) -> tuple[float, float]:
        """Return how much brightness changes around the post and along it, over its mean."""
        post = cylinder(0.3, 0.0, 3.0, Tag.POLE, colour, 8).moved(2.5, 0.0)
        planes = Rasteriser(W, H, FOV).render(
            Scene(merge([GROUND, post]), []), Placements.empty(), eye(0.5, 1.5), eye(0.5, 1.5), sun=(45.0, 180.0)
        )
        part = brightness(planes)[H // 2 - 10 : H // 2 + 10, W // 2 - 4 : W // 2 + 4]
        assert (planes.tag[H // 2 - 10 : H // 2 + 10, W // 2 - 4 : W // 2 + 4] == Tag.POLE).all()
        return tuple(float(np.abs(np.diff(part, axis=axis)).mean() / part.mean()) for axis in (1, 0))

    around, along = contrasts(TRUNK_COLOUR)
    assert around > 0.05
    assert around > 1.5 * along
    assert max(contrasts((72, 65, 56))) < 0.02


def before_ones_own_headlamps(ahead: float, grey: int) -> Planes:
    """Return the view by night from a car with low beams of a grey one, instance 7, ``ahead`` m along x."""
    placed = Placements.empty(2)
    placed.template[:] = placed.previous_template[:] = templates().index[CAR]
    placed.pose[1, 0, 3] = placed.previous_pose[1, 0, 3] = ahead
    placed.instance[:], placed.lights[:], placed.colour[:] = (5, 7), (LOW_BEAM, 0), grey
    scene = Scene(GROUND, templates().meshes, templates().bodies)
    return Rasteriser(W, H, FOV).render(scene, placed, eye(1.0), eye(1.0), sun=(-20.0, 0.0), hide=5)


def test_a_white_car_before_ones_own_headlamps_is_lit_and_not_overexposed() -> None:
    """A camera exposes for it: 3 m before the lamps everything of it was white, with a halo around."""
    planes = before_ones_own_headlamps(7.5, 235)
    body = brightness(planes)[planes.instance == 7]
    assert np.percentile(body, 75) > 40.0
    assert np.percentile(body, 90) < 150.0


def test_signs_return_the_light_of_headlamps_and_their_backs_do_not() -> None:
    """The edge of a low beam is far below them; what strays above it is enough."""
    seen = []
    for colour in ((226, 226, 222), STEEL):
        sign = quad([(30, -0.5, 1.8), (30, 0.5, 1.8), (30, 0.5, 2.8), (30, -0.5, 2.8)], Tag.TRAFFIC_SIGN, colour)
        scene = Scene(merge([GROUND, sign]), templates().meshes, templates().bodies)
        planes = [
            Rasteriser(W, H, FOV).render(scene, car(8.0, lights), eye(14.0), eye(14.0), sun=(-20.0, 0.0))
            for lights in (0, LOW_BEAM)
        ]
        dark, beams = (brightness(each)[each.tag == Tag.TRAFFIC_SIGN].mean() for each in planes)
        seen.append((dark, beams))
    (dark, beams), (back, lit_back) = seen
    assert beams > dark + 60.0
    assert lit_back < back + 15.0


def test_a_plate_returns_the_light_of_headlamps() -> None:
    planes = before_ones_own_headlamps(14.0, 90)
    rows, columns = np.nonzero(planes.instance == 7)
    middle = np.abs(columns - columns.mean()) < 0.1 * np.ptp(columns)
    body = brightness(planes)[rows, columns]
    assert 170.0 < body[middle].max() <= 216.0, "as bright as no lamp"
    assert np.median(body) < 60.0


def test_the_back_of_a_direction_sign_is_not_retroreflective() -> None:
    mesh = direction_sign()
    kinds = finishes(mesh.vertices, mesh.triangles, mesh.tags, mesh.colours)
    is_sign, x = mesh.tags == Tag.TRAFFIC_SIGN, mesh.vertices[mesh.triangles][..., 0]
    behind, before = (is_sign & (x == end).all(axis=1) for end in (x[is_sign].min(), x[is_sign].max()))
    assert behind.any()
    assert before.any()
    assert (kinds[behind] != SIGN).all()
    assert (kinds[before] == SIGN).all()


def turned(yaw: float) -> tuple[np.ndarray, np.ndarray]:
    """Where a dark car 8 m ahead is seen, turned by ``yaw`` degrees, and the brightness of the image, in the sun."""
    placed, turn = car(8.0), np.radians(yaw)
    rotation = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    placed.pose[0, :2, :2] = placed.previous_pose[0, :2, :2] = rotation
    placed.colour[:] = 20, 60, 45
    scene = Scene(GROUND, templates().meshes, templates().bodies)
    planes = Rasteriser(512, 256, FOV).render(scene, placed, eye(), eye(), sun=(45.0, 140.0))
    return planes.instance == 7, brightness(planes)


def test_there_is_no_line_of_bright_dashes_along_side_windows() -> None:
    """The ledge below them is narrower than a pixel, and mirrored the sky."""
    for yaw in (90.0, 120.0):
        body, seen = turned(yaw)
        above, below = (np.roll(seen, shift, axis=0) for shift in (2, -2))
        inside = body & np.roll(body, 4, axis=0) & np.roll(body, -4, axis=0)
        dashes = inside & (seen > np.maximum(above, below) + 25.0)
        assert inside.sum() > 3000
        assert dashes.sum() < 85, "what is left are handles, mirrors and seams"


def test_the_ground_at_the_foot_of_a_car_has_no_bright_dots() -> None:
    """Where a pixel of light is half in its outline."""
    for yaw in (120.0, 150.0):
        body, seen = turned(yaw)
        columns = np.flatnonzero(body.any(axis=0))
        assert len(columns) > 100
        for x in columns[len(columns) // 4 : -len(columns) // 4]:
            foot = np.flatnonzero(body[:, x])[-1] + 1
            assert seen[foot, x] <= seen[foot + 2, x] + 20.0


def test_somebody_in_the_sun_stands_on_no_dark_plate() -> None:
    """The shadow of the box around a walker was one."""
    one = Placements.empty(1)
    one.template[:] = one.previous_template[:] = templates().index["man 2"]
    one.pose[0, 0, 3] = one.previous_pose[0, 0, 3] = 10.0
    one.instance[:] = 7
    seen = view(one, (75.0, 90.0), eye(10.0, 6.0, 90.0))
    dark = (brightness(seen) < 0.75 * np.median(brightness(seen))) & (seen.tag == Tag.ROAD)
    rows, columns = np.nonzero(dark)
    assert len(rows) > 10
    assert dark.sum() < 0.7 * np.ptp(rows) * np.ptp(columns)


def test_what_is_seen_through_windows_does_not_have_the_walls_colour() -> None:
    red = WALLS[0]
    wall = quad([(4, 6, 0), (4, -6, 0), (4, -6, 9), (4, 6, 9)], Tag.BUILDING, red)
    houses = _houses(dict.fromkeys(range(1 << 16), FRONT))
    drop = raster._EMPTY._replace(houses=houses)
    scene, pose = Scene(merge([GROUND, wall]), []), eye(0.0, 4.0)
    planes = Rasteriser(W, H, FOV).render(scene, Placements.empty(), pose, pose, sun=(45.0, 180.0), backdrop=drop)
    assert planes.rgb is not None
    front = planes.rgb[planes.tag == Tag.BUILDING].astype(float)
    red_over_blue = front[:, 0] / np.maximum(front[:, 2], 1.0)
    in_panes, of_wall = red_over_blue < 1.4, red_over_blue > 0.85 * red[0] / red[2]
    assert 0.1 < in_panes.mean() < 0.5
    assert of_wall.mean() > 0.4
    assert (in_panes | of_wall).mean() > 0.95
    assert front[in_panes].max(1).mean() < 0.6 * front[of_wall].max(1).mean(), "a room is darker than a wall in the sun"


def test_shop_windows_mirror_the_sky_above_the_dark_houses_opposite() -> None:
    noise, places = textures().noise, np.arange(0.0, 60.0, 0.2)
    up, down = (
        np.array([seen_behind_glass(noise, along, height, 0.02, -0.6, True, 0.3)[1] for along in places])
        for height in (2.9, 0.8)
    )
    assert np.median(up) > 2.0 * np.median(down)
    edge = [seen_behind_glass(noise, along, 1.9, 0.02, -0.6, True, 0.3)[1] for along in places]
    assert np.min(edge) < 1.5 * np.median(down), "some of the houses opposite are higher than others"
    assert np.max(edge) > 0.8 * np.median(up)


def test_goods_in_shop_windows_are_warm_or_cold_but_not_iridescent() -> None:
    noise = textures().noise
    goods = [seen_behind_glass(noise, x, z, 0.02, 0.5, True, 0.0) for x in np.arange(0, 9, 0.1) for z in (0.9, 1.1)]
    red, green, blue = np.array(goods).T
    assert (red / blue).std() > 0.05
    assert np.abs(np.log(red / blue)).max() < 0.6
    assert np.abs(np.log(green / np.sqrt(red * blue))).max() < 0.15, "neither green nor magenta"


def test_window_frames_are_white_in_most_houses() -> None:
    """On walls of red bricks, in the sun: then nothing else there is bright without being red."""
    drop = raster._EMPTY._replace(houses=_houses(dict.fromkeys(range(1 << 16), FRONT)))
    wall = quad([(8, 6, 0), (8, -6, 0), (8, -6, 9), (8, 6, 9)], Tag.BUILDING, WALLS[0])
    white = []
    for instance in range(10_000, 10_040):
        scene, pose = Scene(merge([GROUND, wall.with_instance(instance)]), []), eye(0.0, 4.0)
        planes = Rasteriser(W, H, FOV).render(scene, Placements.empty(), pose, pose, sun=(45.0, 180.0), backdrop=drop)
        assert planes.rgb is not None
        front = planes.rgb[planes.tag == Tag.BUILDING].astype(float)
        bright = front.max(1) > 1.15 * np.median(front.max(1))  # brighter than mirrored sky
        white.append((bright & (front[:, 0] < 1.25 * front[:, 2])).mean())
    none, some, most = np.percentile(white, (5, 40, 90))
    assert none < 0.015
    assert 0.03 < some < most < 0.25
