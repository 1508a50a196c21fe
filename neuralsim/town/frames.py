"""Frames of a world without processes or sockets: what the bridge would send of one of its cameras."""

from __future__ import annotations

import numpy as np

from bridge.jitter import NONE, Jitter
from bridge.lamp_visibility import brake_lamps, traffic_lamp
from bridge.messages import Camera, Frame, Lamp
from neuralsim.town.assets.lit_bodies import BRAKE
from neuralsim.town.core.blueprint_library import vehicle_tag
from neuralsim.town.core.sensor_blueprints import Picture
from neuralsim.town.core.types import Actor
from neuralsim.town.world import World


def frame_of(world: World, camera: int, picture: Picture = "", shift: Jitter = NONE) -> Frame:
    """What the camera with this actor id sees at this tick; the planes are the caller's to keep.

    Args:
        world: That it is in.
        camera: Actor id of a ``sensor.camera.*``.
        picture: The town's own that it comes with: the plane's name.
        shift: Of the picture, by parts of a pixel.
    """
    actor = world.actors[camera]
    planes = world.capture(camera, picture, shift)
    kept = {
        "tag": planes.tag.copy(),
        "instance": planes.instance.copy(),
        "depth": planes.depth.copy(),
        "motion": planes.motion.astype(np.float16),
    }
    if picture:
        assert planes.rgb is not None
        kept[picture] = planes.rgb.copy()
    width, height, fov = (float(actor.attributes[name]) for name in ("image_size_x", "image_size_y", "fov"))
    return Frame(
        sequence=world.frame,
        sim_frame=world.frame,
        sim_time=world.time,
        camera=Camera(int(width), int(height), fov, actor.transform.matrix(), shift),
        planes=kept,
        weather=world.weather,
    )


def lamps_of(world: World, frame: Frame, but: int = 0) -> list[Lamp]:
    """The lit lamps in view of ``frame``, which was just taken: of traffic lights and of braking vehicles but the
    actor ``but``."""
    camera, planes = frame.camera, frame.planes
    to_camera = np.linalg.inv(camera.pose)
    lit: list[Lamp | None] = []
    for light in world.lights.all:
        facing = _forward(world.actors[light.actor])
        for bulb in light.bulbs.get(light.state, ()):
            if facing @ (camera.pose[:2, 3] - bulb[:2]) > 0.0:
                lit.append(traffic_lamp(light.state, bulb, to_camera, camera, planes))
    for actor in world.actors.values():
        if actor.light_state & BRAKE and actor.id != but and actor.blueprint.id.startswith("vehicle."):
            pose = actor.transform.matrix()
            pose[:3, 3] = (pose @ (*actor.box_offset, 1.0))[:3]
            lit += brake_lamps(pose, actor.body, vehicle_tag(actor.attributes), to_camera, camera, planes)
    return [lamp for lamp in lit if lamp is not None]


def _forward(actor: Actor) -> np.ndarray:
    """f64 (2,): the way an actor looks."""
    yaw = np.radians(actor.transform.yaw)
    return np.array([np.cos(yaw), np.sin(yaw)])
