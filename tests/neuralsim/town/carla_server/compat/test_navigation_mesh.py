"""The navigation mesh: pavements and crosswalks, parsed back and used by the official client."""

from __future__ import annotations

import struct

import carla
import numpy as np
import pytest
from helpers.wire_client import run_client, serving

from neuralsim.town.carla_server.compat import navigation_mesh
from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World("oldtown", seed=1, vehicles=2, walkers=0)


@pytest.fixture(scope="module")
def mesh(world: World) -> navigation_mesh.Polygons:
    return navigation_mesh.mesh(world.ground, world.map.get_crosswalks())


@pytest.mark.slow
def test_pavements_lie_next_to_the_road(world: World, mesh: navigation_mesh.Polygons) -> None:
    corners = np.array(mesh.vertices)
    assert len(corners) > 1000
    used = {k for chosen, area in zip(mesh.polygons, mesh.areas, strict=True) for k in chosen if area == 1}
    lanes = carla.LaneType.Driving | carla.LaneType.Shoulder | carla.LaneType.Parking | carla.LaneType.Biking
    for place in corners[sorted(used)[::3]]:
        # Asked of the map, for the mask of the asphalt is coarser than the margin that is kept from the kerb.
        waypoint = world.map.get_waypoint(carla.Location(*map(float, place)), project_to_road=False, lane_type=lanes)
        assert waypoint is None, (place, waypoint)


def test_polygons_are_convex_with_detours_winding(mesh: navigation_mesh.Polygons) -> None:
    corners = np.array(mesh.vertices)[:, :2]
    for chosen in mesh.polygons:
        assert 3 <= len(chosen) <= navigation_mesh.CORNERS
        edge = np.roll(corners[chosen], -1, axis=0) - corners[chosen]
        after = np.roll(edge, -1, axis=0)
        assert (edge[:, 0] * after[:, 1] - edge[:, 1] * after[:, 0] < 1e-5).all()


def test_crosswalks_connect_the_pavements(world: World, mesh: navigation_mesh.Polygons) -> None:
    assert mesh.areas.count(navigation_mesh.CROSSWALK) >= len(world.map.get_crosswalks()) / 5 * 0.8
    near = navigation_mesh._neighbours(mesh.polygons)
    for k, area in enumerate(mesh.areas):
        if area == navigation_mesh.CROSSWALK:
            assert sum(other > 0 for other in near[k]) == 2, "one pavement at each end"
    reached, todo = set(), [mesh.areas.index(navigation_mesh.CROSSWALK)]
    while todo:
        k = todo.pop()
        if k not in reached:
            reached.add(k)
            todo += [other - 1 for other in near[k] if other]
    assert len(reached) > 0.9 * len(mesh.polygons), "one can walk from nearly everywhere to nearly everywhere"


def test_the_file_is_one_detour_tile(mesh: navigation_mesh.Polygons) -> None:
    data = navigation_mesh.pack(mesh)
    magic, version, tiles = struct.unpack_from("<3i", data)
    assert (magic.to_bytes(4, "big"), version, tiles) == (b"MSET", 1, 1)
    reference, size = struct.unpack_from("<Ii", data, 40)
    assert reference > 0
    assert size == len(data) - 48
    magic, version = struct.unpack_from("<2i", data, 48)
    assert (magic.to_bytes(4, "big"), version) == (b"DNAV", 7)
    polygons, vertices = struct.unpack_from("<2i", data, 48 + 24)
    assert (polygons, vertices) == (len(mesh.polygons), len(mesh.vertices))


def test_the_official_client_navigates_its_walkers_on_it(world: World) -> None:
    with serving(TownServer(lambda _: world, "oldtown", port=0)) as server:
        run_client(
            server.port,
            """
            client.set_timeout(60.0)
            world = client.get_world()
            synchronous(world)
            world.set_pedestrians_seed(3)
            library, C = world.get_blueprint_library(), carla.command
            places = [world.get_random_location_from_navigation() for _ in range(6)]
            assert all(places)
            kinds = library.filter("walker.pedestrian.*")
            batch = [C.SpawnActor(kinds[k], carla.Transform(place)) for k, place in enumerate(places)]
            walkers = [answer.actor_id for answer in client.apply_batch_sync(batch, True) if not answer.error]
            assert len(walkers) >= 4
            brain = library.find("controller.ai.walker")
            batch = [C.SpawnActor(brain, carla.Transform(), walker) for walker in walkers]
            brains = [answer.actor_id for answer in client.apply_batch_sync(batch, True)]
            world.tick()
            for controller in world.get_actors(brains):
                controller.start()
                controller.go_to_location(world.get_random_location_from_navigation())
                controller.set_max_speed(1.5)
            start = [actor.get_location() for actor in world.get_actors(walkers)]
            for _ in range(120):
                world.tick()
            chart = world.get_map()
            ends = [actor.get_location() for actor in world.get_actors(walkers)]
            gone = [a.distance(b) for a, b in zip(start, ends)]
            assert sum(length > 3.0 for length in gone) >= 3, gone
            assert max(gone) < 120 * 0.05 * 1.5 + 1.0, gone
            for controller in world.get_actors(brains):
                controller.stop()
            client.apply_batch_sync([C.DestroyActor(one) for one in brains + walkers], True)
            assert len(world.get_actors().filter("walker.*")) == 0
            """,
            timeout=90.0,
        )
