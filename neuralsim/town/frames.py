"""Frames of a world, without processes or sockets: those that the bridge would send for one of its cameras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bridge.jitter import NONE, Jitter
from bridge.lamp_visibility import brake_lamps, traffic_lamp
from bridge.messages import Camera, Frame, Lamp
from neuralsim.town.assets.lit_bodies import BRAKE
from neuralsim.town.core.blueprint_library import vehicle_tag
from neuralsim.town.core.sensor_blueprints import ColourPlane
from neuralsim.town.core.types import Actor
from neuralsim.town.render.raster import Planes
from neuralsim.town.world import World


def frame_of(world: World, camera: int, colour: ColourPlane = "", shift: Jitter = NONE) -> Frame:
    """Return what a camera sees at this tick; the planes are copies.

    Args:
        world: The world of the camera.
        camera: Actor id of a ``sensor.camera.*``.
        colour: Name of the plane with the simulator image, "" for none.
        shift: Subpixel shift of the image.
    """
    view = camera_of(world, camera, shift)
    return as_frame(world.capture(camera, colour, shift), view, world.frame, world.time, world.weather, colour)


def camera_of(world: World, camera: int, shift: Jitter = NONE) -> Camera:
    """Return the lens and pose of a ``sensor.camera.*`` now."""
    actor = world.actors[camera]
    width, height, fov = (float(actor.attributes[name]) for name in ("image_size_x", "image_size_y", "fov"))
    return Camera(int(width), int(height), fov, actor.transform.matrix(), shift)


def as_frame(
    captured: Planes, camera: Camera, tick: int, time: float, weather: Mapping[str, float], colour: ColourPlane = ""
) -> Frame:
    """Return what was captured as the frame of tick number ``tick`` at ``time``, s, simulated; the planes are copies.

    ``colour``: as in ``frame_of``.
    """
    planes = {
        "tag": captured.tag.copy(),
        "instance": captured.instance.copy(),
        "depth": captured.depth.copy(),
        "motion": captured.motion.astype(np.float16),
    }
    if colour:
        assert captured.rgb is not None
        planes[colour] = captured.rgb.copy()
    return Frame(tick, tick, time, camera, planes, weather=dict(weather))


class LitLamps(NamedTuple):
    """What is lit at one moment, whoever looks at it."""

    lights: list[tuple[str, np.ndarray, np.ndarray]]  # state, centre of the bulb and heading of each traffic light
    brakes: list[tuple[np.ndarray, tuple[float, float, float], int]]  # pose, half sizes and tag of each braking vehicle


def lit_lamps(world: World, excluded: int = 0) -> LitLamps:
    """Return the lit lamps of traffic lights and of braking vehicles other than the actor ``excluded``."""
    lights = [
        (light.state, bulb, _heading(world.actors[light.actor]))
        for light in world.lights.all
        for bulb in light.bulbs.get(light.state, ())
    ]
    brakes: list[tuple[np.ndarray, tuple[float, float, float], int]] = []
    for actor in world.actors.values():
        if actor.light_state & BRAKE and actor.id != excluded and actor.blueprint.id.startswith("vehicle."):
            pose = actor.transform.matrix()
            pose[:3, 3] = (pose @ (*actor.box_offset, 1.0))[:3]
            brakes.append((pose, actor.body, vehicle_tag(actor.attributes)))
    return LitLamps(lights, brakes)


def visible_lamps(lit: LitLamps, frame: Frame) -> list[Lamp]:
    """Return those of the lamps that are in view of ``frame``, which must be of the same tick."""
    camera, planes = frame.camera, frame.planes
    to_camera = np.linalg.inv(camera.pose)
    seen: list[Lamp | None] = []
    for state, bulb, facing in lit.lights:
        if facing @ (camera.pose[:2, 3] - bulb[:2]) > 0.0:
            seen.append(traffic_lamp(state, bulb, to_camera, camera, planes))
    for pose, body, tag in lit.brakes:
        seen += brake_lamps(pose, body, tag, to_camera, camera, planes)
    return [lamp for lamp in seen if lamp is not None]


def _heading(actor: Actor) -> np.ndarray:
    """Return the unit vector f64 (2,) of an actor's heading."""
    yaw = np.radians(actor.transform.yaw)
    return np.array([np.cos(yaw), np.sin(yaw)])
