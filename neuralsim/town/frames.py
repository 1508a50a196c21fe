"""Frames of a world, without processes or sockets: those that the bridge would send for one of its cameras."""

from collections.abc import Mapping, Sequence
from math import cos, radians, sin

import cv2
import numpy as np

from bridge.jitter import NONE, Jitter
from bridge.lamp_visibility import Bulb, are_near, street_bulbs, traffic_bulb, vehicle_bulbs, visible_lamps
from bridge.messages import Camera, Frame
from bridge.weather import darkness
from neuralsim.town.assets.vehicles.lamps import lamps_of
from neuralsim.town.core.blueprint_library import vehicle_tag
from neuralsim.town.core.sensor_blueprints import ColourPlane
from neuralsim.town.core.types import Actor
from neuralsim.town.render.raster import Planes
from neuralsim.town.world import World

_CONVERTS_TO_HALF = int(cv2.__version__.split(".")[0]) >= 5  # OpenCV, in a sixth of numpy's time


def frame_of(world: World, camera: int, colour: ColourPlane = "", shift: Jitter = NONE) -> Frame:
    """Return what a camera sees at this tick; the planes are copies.

    ``colour``: name of the plane with the simulator image, "" for none.
    """
    view, captured = camera_of(world, camera, shift), world.capture(camera, colour, shift)
    return as_frame(captured, view, world.frame, world.time, world.weather, colour, lit_bulbs(world, view))


def camera_of(world: World, camera: int, shift: Jitter = NONE) -> Camera:
    """Return the lens and pose of a ``sensor.camera.*`` now."""
    actor = world.actors[camera]
    width, height, fov = (float(actor.attributes[name]) for name in ("image_size_x", "image_size_y", "fov"))
    return Camera(int(width), int(height), fov, actor.transform.matrix(), shift)


def as_frame(
    captured: Planes, camera: Camera, tick: int, time: float, weather: Mapping[str, float],
    colour: ColourPlane = "", bulbs: Sequence[Bulb] = (),
) -> Frame:  # fmt: skip
    """Return what was captured as the frame of tick number ``tick`` at ``time``, s, simulated; the planes are copies.

    ``colour``: as in ``frame_of``. ``bulbs``: what ``lit_bulbs`` returned at that tick.
    """
    planes = {
        "tag": captured.tag.copy(),
        "instance": captured.instance.copy(),
        "depth": captured.depth.copy(),
        "motion": _as_half(captured.motion),
    }
    if colour:
        assert captured.rgb is not None
        planes[colour] = captured.rgb.copy()
    return Frame(tick, tick, time, camera, planes, weather=dict(weather), lamps=visible_lamps(bulbs, camera, planes))


def _as_half(plane: np.ndarray) -> np.ndarray:
    if not _CONVERTS_TO_HALF:
        return plane.astype(np.float16)
    return np.asarray(cv2.addWeighted(plane, 1.0, plane, 0.0, 0.0, dtype=cv2.CV_16F))


def lit_bulbs(world: World, camera: Camera) -> list[Bulb]:
    """Return the lamps that are lit now and may be in range of a camera, whether in view or not."""
    bulbs, here = [], camera.pose
    for light in world.lights.all:
        places = light.bulbs.get(light.state, ())
        if len(places) and are_near(np.asarray(places), here).any():
            facing = _heading(world.actors[light.actor])
            bulbs += [traffic_bulb(light.state, place, facing) for place in places]
    for actor in world.actors.values():
        place = actor.transform
        if not (actor.light_state and actor.blueprint.id.startswith("vehicle.")):
            continue
        if are_near(np.array([(place.x, place.y)]), here)[0]:
            pose = place.matrix()
            pose[:3, 3] = (pose @ (*actor.box_offset, 1.0))[:3]
            tag = vehicle_tag(actor.attributes)
            lamps = lamps_of(actor.blueprint.id, actor.box_offset, actor.body)
            from_box = {name: np.subtract(each, actor.box_offset) for name, each in lamps.items()}
            bulbs += vehicle_bulbs(pose, actor.body, tag, actor.light_state, world.time, from_box)
    if darkness(world.weather) > 0.0:
        bulbs += street_bulbs(
            np.array([place for _, place in world.static_town.street_lamps.values()]).reshape(-1, 3), here
        )
    return bulbs


def _heading(actor: Actor) -> tuple[float, float, float]:
    """Return the unit vector of an actor's heading."""
    yaw = radians(actor.transform.yaw)
    return cos(yaw), sin(yaw), 0.0
