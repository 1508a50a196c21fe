"""CARLA's server functions that ask about the scene: objects, boxes, rays, lamps, files."""

from typing import Any

import numpy as np

from bridge.weather import darkness
from neuralsim.town.carla_server import structs
from neuralsim.town.carla_server.compat.level_objects import ANY
from neuralsim.town.carla_server.compat.sensor_interface import GRAVITY
from neuralsim.town.carla_server.registry import accept, function
from neuralsim.town.carla_server.rpc import Call
from neuralsim.town.carla_server.town_server import TownServer

MAX_HITS = 32  # of one ray

accept("enable_gbuffers")  # they are always available to subscribers


@function
def get_gbuffer_token(town: TownServer, call: Call, ident: int, texture: int) -> bytes:
    return town.sensing.gbuffer_token(ident, texture, call.connection)


@function
def get_environment_objects(town: TownServer, call: Call, tag: int) -> list[Any]:
    return [[each.place, each.box, each.ident, each.name, each.tag] for each in town.static_scene.labelled(tag)]


@function
def enable_environment_objects(town: TownServer, call: Call, idents: list[int], enable: bool) -> None:
    props = set(town.world.all_props.instance.tolist()) - {0}
    if fixed := len(set(idents) - props):  # a client waits for no answer
        town.warn(f"{fixed} environment objects always stay: buildings, walls and the ground")
    town.world.show_props(props & set(idents), bool(enable))


@function
def get_all_level_BBs(town: TownServer, call: Call, tag: int) -> list[Any]:
    """Return the boxes, in the world, of static objects and of the current actors."""
    boxes = [each.box for each in town.static_scene.labelled(tag)]
    with town.lock:
        actors = list(town.world.actors.values())
    for actor in actors:
        tags = structs.semantic_tags(actor)
        if actor.template >= 0 and tags and (tag == ANY or tag in tags):
            pose = actor.transform
            centre = pose.matrix()[:3] @ (*actor.box_offset, 1.0)
            rotation = [float(pose.pitch), float(pose.yaw), float(pose.roll)]
            boxes.append([centre.tolist(), [float(half) for half in actor.body], rotation, actor.id])
    return boxes


@function
def get_names_of_all_objects(town: TownServer, call: Call) -> list[str]:
    return [each.name for each in town.static_scene.objects]


@function
def cast_ray(town: TownServer, call: Call, start: list[Any], end: list[Any]) -> list[Any]:
    """Return everything between two places, nearest first: place and label."""
    origin, target = np.array(structs.vector(start)), np.array(structs.vector(end))
    way = target - origin
    length = float(np.linalg.norm(way))
    points: list[Any] = []
    at = 0.0  # share of the way covered so far
    while length > 0.0 and len(points) < MAX_HITS:
        hits = town.sensing.cast(origin + way * at, way, 1.0 - at)
        if not np.isfinite(hits.distance[0]):
            break
        at += float(hits.distance[0])
        points.append([(origin + way * at).tolist(), int(hits.tag[0])])
        at += 0.01 / length  # step through the surface that was hit
    return points


@function
def project_point(town: TownServer, call: Call, location: list[Any], direction: list[Any], reach: float) -> list[Any]:
    """Return the first hit in a direction: whether there is one, its place and label."""
    origin, way = np.array(structs.vector(location)), np.array(structs.vector(direction))
    size = float(np.linalg.norm(way))
    if size < 1e-9:
        raise ValueError("the direction has no length")
    hits = town.sensing.cast(origin, way / size, structs.finite(reach))
    if not np.isfinite(hits.distance[0]):
        return [False, [[0.0, 0.0, 0.0], 0]]
    return [True, [(origin + way / size * hits.distance[0]).tolist(), int(hits.tag[0])]]


@function
def get_required_files(town: TownServer, call: Call, folder: str = "") -> list[str]:
    """Return the files that the client caches: the navigation mesh, if the client asks for its folder."""
    name = town.static_scene.navigation_file
    return [name] if name and folder.strip("/").endswith("Nav") else []


@function
def request_file(town: TownServer, call: Call, name: str) -> bytes:
    if not name or name != town.static_scene.navigation_file:
        raise ValueError(f"there is no file {name!r}: get_required_files lists those available")
    return town.static_scene.navigation_mesh


@function
def get_navigation_mesh(town: TownServer, call: Call) -> bytes:
    return town.static_scene.navigation_mesh


@function
def query_lights_state(town: TownServer, call: Call, client: str) -> list[Any]:
    is_dark = darkness(town.world.weather) > 0.0
    return [[*lamp, is_on or is_dark] for *lamp, is_on in town.static_scene.lamps.values()]


@function
def update_lights_state(town: TownServer, call: Call, client: str, lights: list[Any], discard: bool) -> None:
    """Store the lamps' states. They do not show: in images all lamps are on in the dark, and only then."""
    for ident, place, intensity, group, colour, active in lights:
        if ident in town.static_scene.lamps:
            clamped = [min(max(int(value), 0), 255) for value in colour[:3]]
            state = [
                ident,
                list(structs.vector(place)),
                structs.finite(intensity),
                int(group) & 7,
                clamped,
                bool(active),
            ]
            town.static_scene.lamps[ident] = state


@function
def get_imui_gravity(town: TownServer, call: Call) -> float:
    return town.sensing.gravity


@function
def set_imui_gravity(town: TownServer, call: Call, gravity: float = GRAVITY) -> None:
    town.sensing.gravity = structs.finite(gravity)
