"""Vehicles and people close up: what is to be seen on them, and what a distant one costs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from bridge.tags import Tag
from neuralsim.base.colour import LUMA
from neuralsim.town.assets import car_shapes
from neuralsim.town.assets.lit_bodies import IS_DRIVEN, SCALE, TO_STANDING
from neuralsim.town.assets.looks import palettes
from neuralsim.town.assets.meshes import DISTANT, HAIR, MIDDLE, NEAR, SKIN, SLEEVE, box, corner_normals, flat, tube
from neuralsim.town.assets.people_meshes import KINDS, PHASES, gait, joints, walker_templates
from neuralsim.town.assets.templates import templates
from neuralsim.town.assets.vehicles.vehicle_meshes import car
from neuralsim.town.core.blueprint_library import STREET_COLOURS
from neuralsim.town.render.raster import Planes, Rasteriser
from neuralsim.town.render.scene import Placements, Scene

GROUND = flat([(-40, -40), (60, -40), (60, 40), (-40, 40)], 0.0, Tag.ROAD, (84, 84, 86))
W, H = 320, 160


def seen(
    name: str, yaw: float, away: float, height: float = 1.4, colour: int = 200, fov: float = 40.0, number: int = 7
) -> Planes:
    """Return a vehicle (with its wheels) or a walker under an overcast sky, its front turned ``yaw`` degrees off."""
    book = templates()
    template = book.index[name]
    turned = np.eye(4)
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    turned[:2, :2], turned[0, 3] = [[c, -s], [s, c]], away
    parts, poses = [book.wheels.body[template]], [turned]
    for k in range(book.wheels.first[template], book.wheels.first[template] + book.wheels.count[template]):
        wheel = np.eye(4)
        wheel[:3, 3] = book.wheels.at[k]
        parts.append(book.wheels.template[k])
        poses.append(turned @ wheel)
    placed = Placements.empty(len(parts))
    placed.template[:] = placed.previous_template[:] = parts
    placed.pose[:] = placed.previous_pose[:] = poses
    placed.instance[:], placed.colour[:] = number, colour
    scene = Scene(GROUND, book.meshes, book.bodies, book.normals)
    eye = np.eye(4)
    eye[2, 3] = height
    return Rasteriser(W, H, fov).render(scene, placed, eye, eye, sun=(40.0, 180.0, 90.0))


def brightness(planes: Planes) -> np.ndarray:
    assert planes.rgb is not None
    return np.where(planes.instance == 7, planes.rgb @ LUMA, np.nan)


def test_round_parts_have_smooth_normals_and_boxes_sharp_ones() -> None:
    pipe = tube([(0, 0, 0), (0, 0, 1)], 0.3, Tag.POLE, (9, 9, 9), 16)
    normal = corner_normals(pipe).reshape(-1, 3, 3) / 127.0
    corners = pipe.vertices[pipe.triangles]
    side = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]) < 1e-6
    outwards = corners[side] * [1, 1, 0] / 0.3
    assert np.einsum("tkc,tkc->tk", normal[side], outwards).min() > 0.99
    cube = corner_normals(box((1, 1, 1), (0, 0, 0), Tag.CAR, (9, 9, 9))).reshape(-1, 3)
    assert (np.abs(cube).max(axis=1) == 127).all()
    assert (np.count_nonzero(cube, axis=1) == 1).all()


def test_paint_changes_gradually_over_a_door() -> None:
    """Facets would show as steps; the seam between two doors is narrower than 20 columns."""
    door = brightness(seen("vehicle.bmw.grandtourer", 90.0, 6.0))[130, W // 2 - 75 : W // 2 + 75]
    assert np.nanmedian(np.abs(np.diff(door))) < 2.0
    assert np.nanmin(door) < np.nanmedian(door) - 8.0, "a seam or a handle"


@pytest.mark.parametrize("yaw", [0.0, 180.0])
def test_a_plate_is_pale_and_tyres_stand_below_the_bumper(yaw: float) -> None:
    planes = seen("vehicle.seat.leon", yaw, 7.0, 0.5, colour=30)
    bright = brightness(planes)
    middle = bright[H // 2 - 12 :, W // 2 - 3 : W // 2 + 3]
    assert np.nanmax(middle) > 2.5 * np.nanmedian(middle), "a plate on a black car"
    low = np.flatnonzero((planes.instance == 7).any(axis=1))[-3]  # just above the ground
    runs = np.flatnonzero(np.diff((planes.instance[low] == 7).astype(int)))
    assert len(runs) >= 4, "two tyres with the road between them"


def test_rims_are_brighter_than_tyres() -> None:
    wheels, number = templates().wheels, templates().index["vehicle.seat.leon"]
    (x, y, _), radius = wheels.at[wheels.first[number]], wheels.radius[wheels.first[number]]
    focal, depth = W / (2.0 * np.tan(np.radians(20.0))), 9.0 - abs(y) - 0.1
    bright = brightness(seen("vehicle.seat.leon", 90.0, 9.0, colour=30))
    rows, columns = np.mgrid[0:H, 0:W] + 0.5
    away = np.hypot(rows - H / 2 - focal * (1.4 - radius) / depth, columns - W / 2 - focal * x / depth)
    away *= depth / focal / radius
    assert np.nanmean(bright[away < 0.5]) > 1.4 * np.nanmean(bright[(away > 0.75) & (away < 0.95)])


def test_one_sees_through_a_car_but_not_through_its_seats() -> None:
    """Through the windows of both sides a pale street, and from behind the driver's dark back."""
    glass = brightness(seen("vehicle.bmw.grandtourer", 90.0, 6.0))[85:105, 100:150]
    behind = brightness(seen("vehicle.bmw.grandtourer", 0.0, 7.0))[55:70, 130:190]
    assert np.nanmin(behind) < 0.6 * np.nanmedian(glass)


def test_nobody_sits_in_a_parked_car(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parked cars are placed whole, driven ones as a body with wheels."""
    book = templates()
    whole = book.index["vehicle.bmw.grandtourer"]
    body = book.wheels.body[whole]
    assert (book.bodies[whole, IS_DRIVEN], book.bodies[body, IS_DRIVEN]) == (0.0, 1.0)
    images = []
    for driven in (0.0, 1.0):
        bodies = book.bodies.copy()
        bodies[body, IS_DRIVEN] = driven
        monkeypatch.setattr(book, "bodies", bodies)
        images.append(brightness(seen("vehicle.bmw.grandtourer", 180.0, 7.0, 1.3)))
    more = images[1] - images[0]
    rows, columns = np.nonzero(np.abs(np.nan_to_num(more)) > 4.0)
    assert 20 < len(rows) < 1500
    assert columns.min() > W // 2, "at the left of a car that comes towards us"


@pytest.mark.slow
def test_people_have_a_face_in_front_and_hair_behind() -> None:
    books = palettes(np.full((500, 3), 200, np.uint8), np.arange(500)).astype(float) @ LUMA
    number = int(np.argmax(books[:, 4] - books[:, 3]))  # pale, with dark hair
    means = []
    for yaw in (0.0, 180.0):
        planes = seen("man 0", yaw, 3.0, 1.6, fov=20.0, number=number)
        assert planes.rgb is not None
        rows, columns = np.nonzero(planes.instance == number)
        middle = int(np.median(columns[rows < rows.min() + 20]))
        means.append((planes.rgb @ LUMA)[rows.min() + 14 : rows.min() + 28, middle - 6 : middle + 6].mean())
    assert means[1] > 1.8 * means[0], "the face of the one that looks at the camera"
    for kind, body in KINDS.items():
        colours = walker_templates(kind)[0].colours
        for marker in (SKIN, HAIR) if body.hair != "cap" else (SKIN,):
            assert (colours == np.array(marker, np.uint8)).all(axis=1).sum() > 20


@pytest.mark.parametrize("kind", list(KINDS))
def test_clothes_move_with_the_limbs(kind: str) -> None:
    """Where a triangle of a walker is when it stands is known: there, it is the same part of the body."""
    book = templates()
    scene = Scene(GROUND, book.meshes, book.bodies, book.normals)
    standing = scene.triangle_spans[scene.chunks + book.walkers[kind], NEAR]
    for phase in (0, 5, PHASES - 1):
        template = book.walkers[kind] + phase
        first, count = scene.triangle_spans[scene.chunks + template, NEAR], scene.sizes[template]
        assert first + int(book.bodies[template, TO_STANDING]) == standing
        assert book.bodies[template, SCALE] == pytest.approx(KINDS[kind].scale)
        for values in (scene.paint, scene.tags, scene.colours):
            assert np.array_equal(values[first : first + count], values[standing : standing + count])


def test_a_point_of_a_sleeve_stays_there_while_the_arm_swings() -> None:
    """The ring of a wrist does not turn around the forearm from one phase to the next."""
    meshes = walker_templates("man")
    near = (meshes[0].levels == NEAR) & (meshes[0].colours == np.array(SLEEVE, np.uint8)).all(axis=1)
    place = meshes[0].vertices[meshes[0].triangles].mean(axis=1)
    cuff = np.flatnonzero(near & (place[:, 1] > 0.0) & (place[:, 2] < 1.05))
    aside = [mesh.vertices[mesh.triangles[cuff]].mean(axis=1)[:, 1] for mesh in meshes]
    aside = [each - each.mean() for each in aside]
    assert len(cuff) > 10
    assert max(np.abs(each - aside[0]).max() for each in aside) < 0.012


def test_a_jacket_shows_a_shirt_in_front() -> None:
    books = palettes(np.full((500, 3), 30, np.uint8), np.arange(500)).astype(float) @ LUMA
    number = int(np.argmax(books[:, 2] - 0.5 * books[:, 4]))  # a pale shirt
    pale = []
    for yaw in (0.0, 180.0):
        planes = seen("man 0", yaw, 4.0, 1.3, colour=30, number=number)
        assert planes.rgb is not None
        rows, columns = np.nonzero(planes.instance == number)
        chest = slice(rows.min() + int(0.2 * np.ptp(rows)), rows.min() + int(0.3 * np.ptp(rows)))
        middle = int(np.median(columns))
        pale.append((planes.rgb @ LUMA)[chest, middle - 2 : middle + 3].mean())
    assert pale[1] > 2.5 * pale[0], "seen from in front"


def test_the_crowd_is_dressed_in_different_colours() -> None:
    book = palettes(np.full((200, 3), 90, np.uint8), np.arange(200))
    assert book.shape == (200, 7, 3)
    assert (book[:, [0, 5]] == 90).all()
    for part in (1, 2, 3, 4, 6):
        assert len(np.unique(book[:, part], axis=0)) >= 8
    assert len(np.unique(book.reshape(200, -1), axis=0)) > 150
    assert np.array_equal(palettes(np.full((1, 3), 90, np.uint8), np.array([77]))[0], book[77])


@pytest.mark.slow
def test_walking_people_keep_a_foot_on_the_ground_and_swing_their_arms_against_the_legs() -> None:
    heights = []
    for phase in range(1, PHASES):
        body = joints(gait(phase))
        heights.append(body.pelvis[2])
        legs = [side.ankle[0] - side.hip[0] for side in body.sides]
        arms = [side.wrist[0] - side.shoulder[0] for side in body.sides]
        if abs(legs[0] - legs[1]) > 0.2:
            assert (legs[0] > legs[1]) == (arms[0] < arms[1])
        mesh = walker_templates("man")[phase]
        for level in (NEAR, MIDDLE, DISTANT):
            low = mesh.vertices[mesh.triangles[mesh.levels == level], 2].min()
            assert -0.03 < low < (0.03 if level == DISTANT else 0.005)
    assert 0.01 < np.ptp(heights) < 0.08, "a slight bob"


def test_details_are_drawn_near_by_only() -> None:
    book = templates()
    for name in ("vehicle.citroen.c3 body", "vehicle.mitsubishi.fusorosa body", "woman 3"):
        count = np.bincount(book.meshes[book.index[name]].levels, minlength=6)
        assert count[NEAR] > 2 * count[MIDDLE] > 4 * count[DISTANT] > 0


def test_cars_have_the_colours_of_streets() -> None:
    rgb = np.array([[int(part) for part in colour.split(",")] for colour in STREET_COLOURS])
    grey = np.ptp(rgb, axis=1) < 12
    assert 0.6 < grey.mean() < 0.85
    assert 0.1 < (rgb[grey].min(axis=1) > 190).sum() / len(rgb) < 0.35


#: The example of the contributing page.
CAR = """\
vehicle.mine.box: {
  length: 4.2, width: 1.8, height: 1.5, wheelbase: 2.6, front: 0.8, wheel: 0.32, clearance: 0.16,
  nose_z: 0.78, cowl_at: 1.2, cowl_z: 1.0, roof_from: 1.9, roof_to: 3.6, tail_at: 4.05, tail_z: 1.05, belt_z: 1.0,
  pillars: [2.2, 3.1], base_type: van,
}
"""


def test_a_car_is_an_entry_of_a_file_whose_mistakes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "cars.yaml"
    file.write_text(CAR)
    shape = car_shapes.load(file)["vehicle.mine.box"]
    low, high = car(shape).whole().bounds
    assert high[0] - low[0] == pytest.approx(4.2, abs=0.05)
    assert high[2] == pytest.approx(1.5, abs=0.03)
    assert shape.tag == Tag.CAR
    for wrong, reason in ((CAR.replace("cowl_z", "cowl_h"), "cowl_h"), (CAR.replace("1.5,", "tall,"), "height")):
        file.write_text(wrong)
        with pytest.raises(msgspec.ValidationError, match=reason):
            car_shapes.load(file)
