"""People with umbrellas in the rain."""

from dataclasses import replace

import numpy as np
import pytest

from bridge.tags import Tag
from bridge.weather import FAIR_WEATHER
from neuralsim.town.assets.looks import carries_umbrella, palettes
from neuralsim.town.assets.meshes import NEAR, PALETTE, UMBRELLA, Mesh
from neuralsim.town.assets.people_meshes import KINDS, PHASES, gait, joints
from neuralsim.town.assets.templates import templates
from neuralsim.town.core.types import Transform
from neuralsim.town.world import World

RAIN = FAIR_WEATHER | {"precipitation": 60.0, "cloudiness": 100.0}


def canopy_of(mesh: Mesh) -> np.ndarray:
    """Return the vertices of the umbrella's cloth near by, f32 (N, 3)."""
    chosen = (mesh.colours == np.array(UMBRELLA, np.uint8)).all(axis=1) & (mesh.levels == NEAR)
    return mesh.vertices[np.unique(mesh.triangles[chosen])]


@pytest.mark.parametrize("kind", KINDS)
def test_an_umbrella_is_over_the_head_of_who_walks(kind: str) -> None:
    book, scale = templates(), KINDS[kind].scale
    for phase in range(0, PHASES, 3):
        bare = book.walkers[kind] + phase
        canopy, head = canopy_of(book.meshes[book.sheltered[bare]]), scale * joints(gait(phase)).head
        top = book.meshes[bare].bounds[1][2]
        assert np.hypot(*(canopy[:, :2].mean(0) - head[:2])) < 0.2
        assert canopy[np.hypot(*(canopy[:, :2] - head[:2]).T) < 0.25, 2].min() > top, "it does not touch the hair"
        assert canopy[:, 2].max() < top + 0.45 * scale


def test_the_hand_that_holds_an_umbrella_stays_at_the_chest() -> None:
    book = templates()
    for phase in range(0, PHASES, 3):
        pose = gait(phase)
        wrist = (0.2, -0.13, pose.pelvis[2] + 0.3)
        holding = joints(replace(pose, wrists=(wrist, None)))
        assert np.allclose(holding.sides[0].wrist, wrist, atol=1e-6)
        assert np.allclose(holding.sides[1].wrist, joints(pose).sides[1].wrist)
        mesh = book.meshes[book.sheltered[book.walkers["man"] + phase]]
        assert np.linalg.norm(mesh.vertices - holding.sides[0].wrist, axis=1).min() < 0.05


def test_two_of_three_people_have_an_umbrella_most_of_them_dark() -> None:
    numbers = np.arange(3000)
    carried = carries_umbrella(numbers)
    assert 0.6 < carried.mean() < 0.73
    colours = palettes(np.full((3000, 3), 90, np.uint8), numbers)[carried, PALETTE.index(UMBRELLA)].astype(int)
    dark = colours.max(axis=1) < 90
    assert 0.6 < dark.mean() < 0.9


def test_umbrellas_are_opened_when_it_rains_and_closed_afterwards() -> None:
    world = World("hamlet", seed=2, vehicles=2, walkers=12)
    ident = next(k for k in world.background_actors.people if carries_umbrella(np.array([k]))[0])
    other = next(k for k in world.background_actors.people if not carries_umbrella(np.array([k]))[0])
    walker = world.actors[ident]
    box = walker.extent
    lens = {"image_size_x": "160", "image_size_y": "160", "fov": "60"}
    camera = world.spawn("sensor.camera.instance_segmentation", lens, Transform())
    place = walker.transform
    world.set_transform(camera.id, Transform(place.x, place.y, place.z + 4.5, -89.0, place.yaw))
    areas = []
    for weather in (dict(FAIR_WEATHER), RAIN, dict(FAIR_WEATHER)):
        world.weather = weather
        for _ in range(2):
            world.tick(1.0 / 30.0)
            world.set_transform(camera.id, Transform(place.x, place.y, place.z + 4.5, -89.0, place.yaw))
            planes = world.capture(camera.id)
            seen = planes.instance == ident
            assert (planes.tag[seen] == Tag.PEDESTRIAN).all()
            assert np.abs(planes.motion[seen]).max() < 60.0
        areas.append(int(seen.sum()))
        shown = world.shapes()[2]
        is_open = shown.template[shown.row[ident]] == templates().sheltered[walker.template]
        assert is_open == (weather is RAIN)
        assert shown.template[shown.row[other]] == world.actors[other].template
        assert walker.extent == box
    dry, wet, after = areas
    assert wet > 2.5 * max(dry, after), "from above one sees the umbrella"
