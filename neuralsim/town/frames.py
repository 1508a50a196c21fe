"""Frames of a world, without processes or sockets: those that the bridge would send for one of its cameras."""

from __future__ import annotations

import numpy as np

from bridge.jitter import NONE, Jitter
from bridge.lamp_visibility import brake_lamps, traffic_lamp
from bridge.messages import Camera, Frame, Lamp
from neuralsim.town.assets.lit_bodies import BRAKE
from neuralsim.town.core.blueprint_library import vehicle_tag
from neuralsim.town.core.sensor_blueprints import ColourPlane
from neuralsim.town.core.types import Actor
from neuralsim.town.world import World


def frame_of(world: World, camera: int, colour: ColourPlane = "", shift: Jitter = NONE) -> Frame:
    """Return what a camera sees at this tick; the planes are copies.

    Args:
        world: The world of the camera.
        camera: Actor id of a ``sensor.camera.*``.
        colour: Name of the plane with the simulator image, "" for none.
        shift: Subpixel shift of the image.
    """
    actor = world.actors[camera]
    captured = world.capture(camera, colour, shift)
    planes = {
        "tag": captured.tag.copy(),
        "instance": captured.instance.copy(),
        "depth": captured.depth.copy(),
        "motion": captured.motion.astype(np.float16),
    }
    if colour:
        assert captured.rgb is not None
        planes[colour] = captured.rgb.copy()
    width, height, fov = (float(actor.attributes[name]) for name in ("image_size_x", "image_size_y", "fov"))
    return Frame(
        sequence=world.frame,
        sim_frame=world.frame,
        sim_time=world.time,
        camera=Camera(int(width), int(height), fov, actor.transform.matrix(), shift),
        planes=planes,
        weather=world.weather,
    )


def visible_lamps(world: World, frame: Frame, excluded: int = 0) -> list[Lamp]:
    """Return the lit lamps in view of ``frame``, which must be of this tick.

    They belong to traffic lights and to braking vehicles other than the actor ``excluded``.
    """
    camera, planes = frame.camera, frame.planes
    to_camera = np.linalg.inv(camera.pose)
    lit: list[Lamp | None] = []
    for light in world.lights.all:
        facing = _heading(world.actors[light.actor])
        for bulb in light.bulbs.get(light.state, ()):
            if facing @ (camera.pose[:2, 3] - bulb[:2]) > 0.0:
                lit.append(traffic_lamp(light.state, bulb, to_camera, camera, planes))
    for actor in world.actors.values():
        if actor.light_state & BRAKE and actor.id != excluded and actor.blueprint.id.startswith("vehicle."):
            pose = actor.transform.matrix()
            pose[:3, 3] = (pose @ (*actor.box_offset, 1.0))[:3]
            lit += brake_lamps(pose, actor.body, vehicle_tag(actor.attributes), to_camera, camera, planes)
    return [lamp for lamp in lit if lamp is not None]


def _heading(actor: Actor) -> np.ndarray:
    """Return the unit vector f64 (2,) of an actor's heading."""
    yaw = np.radians(actor.transform.yaw)
    return np.array([np.cos(yaw), np.sin(yaw)])
