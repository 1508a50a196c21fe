"""A town with vehicles that obey ROS 2's commands, and what is published about them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from math import isfinite

import cv2
import numpy as np

from bridge.carla_client.weather import preset_values
from bridge.ego_camera import EGO_CAMERA
from bridge.messages import Frame
from bridge.tags import Tag
from neuralsim.recording.exporting.ros2_messages import (
    CameraView,
    Entry,
    Message,
    Ros2Messages,
    VehicleMessages,
    VehicleView,
)
from neuralsim.recording.exporting.surround import MOUNT, REACH, Box, beam_directions
from neuralsim.recording.foxglove import right_handed
from neuralsim.recording.topics import JPEG, OPTICAL
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.remap import NO_REMAP
from neuralsim.renderer.rig import render_views
from neuralsim.ros2.options import Ros2Options
from neuralsim.ros2.participant import Participant
from neuralsim.session.child_options import follows_simulator_image
from neuralsim.session.render_loop import apply_style
from neuralsim.town.carla_server.vehicle_commands import Ackermann, VehicleCommands
from neuralsim.town.core.blueprint_library import vehicle_tag
from neuralsim.town.core.types import Actor, Transform, VehicleControl
from neuralsim.town.frames import frame_of
from neuralsim.town.world import BLOCKED, World
from scenarios.engine.rigs import read_rig
from scenarios.language.schema import CameraSpec, MountSpec

_CAR = "vehicle.tesla.model3"
_FOV = 70.0  # degrees, horizontal, of the first camera
_GUIDE = "picture"  # what the network follows
_FADING = 0.004  # 1/m, by which a LiDAR's returns become weaker: CARLA's


class _Camera:
    """A camera of a vehicle. Its frame and its image are made once a tick, and only for those who want them."""

    def __init__(self, world: World, actor: Actor, name: str, colour: bool, renderer: NeuralRenderer) -> None:
        self.name, self.renderer = name, renderer
        self._world, self._id, self._colour = world, actor.id, "rgb" if colour else ""
        self._frame: Frame | None = None
        self.image: np.ndarray | None = None  # u8 (H, W, 3) RGB, of this tick

    def frame(self) -> Frame:
        """Return what it sees."""
        if self._frame is None or self._frame.sim_frame != self._world.frame:
            self._frame = frame_of(self._world, self._id, "rgb" if self._colour else "")
        return self._frame

    def view(self) -> CameraView:
        """Return it for its messages."""
        actor = self._world.actors[self._id]
        width, height = (int(actor.attributes[f"image_size_{axis}"]) for axis in "xy")
        focal = width / 2.0 / np.tan(np.radians(float(actor.attributes["fov"])) / 2.0)
        intrinsics = np.array([[focal, 0.0, width / 2.0], [0.0, focal, height / 2.0], [0.0, 0.0, 1.0]])
        pose = right_handed(actor.transform.matrix()) @ OPTICAL
        images = {
            "rgb": ("bgr8", self._bgr),
            "semantic_segmentation": ("mono8", lambda: self.frame().planes["tag"]),
            "depth": ("32FC1", lambda: self.frame().planes["depth"]),
        }
        return CameraView(self.name, pose, intrinsics, (width, height), images, self._jpeg)

    def _bgr(self) -> np.ndarray:
        assert self.image is not None
        return cv2.cvtColor(self.image, cv2.COLOR_RGB2BGR)

    def _jpeg(self) -> bytes:
        return cv2.imencode(".jpg", self._bgr(), [cv2.IMWRITE_JPEG_QUALITY, JPEG])[1].tobytes()


class _Vehicle:
    """A vehicle that is driven over DDS."""

    def __init__(self, role: str, actor: Actor, messages: VehicleMessages, dds: Participant) -> None:
        self.role, self.actor, self.messages, self.cameras = role, actor, messages, list[_Camera]()
        topic = messages.topic
        self.controls = dds.subscribe(f"{topic}/vehicle_control_cmd", "carla_msgs/CarlaEgoVehicleControl")
        self.targets = dds.subscribe(f"{topic}/ackermann_cmd", "ackermann_msgs/AckermannDrive")


class RosTown:
    """The town of ``neuralsim ros2``.

    ``renderer`` generates the images of all cameras. Raises ValueError, ScenarioError or ModelError, one line each.
    """

    def __init__(
        self, options: Ros2Options, renderer: NeuralRenderer, messages: Ros2Messages, dds: Participant
    ) -> None:
        self._options, self._messages, self._dds = options, messages, dds
        self.world = World(options.town, options.seed, options.vehicles, options.walkers)
        self.world.weather.update(preset_values(options.weather) if options.weather else {})
        self._commands = VehicleCommands(self.world)
        self._vehicles: list[_Vehicle] = []
        rig = None if options.rig is None else read_rig(options.rig)
        first = CameraSpec(size=options.size, fov=_FOV) if rig is None or rig.camera is None else rig.camera
        cameras = {"front": first, **{each.name: each for each in (rig.cameras if rig else ())}}
        places = self._places()
        for role in options.roles:
            actor = self._spawn(role, places)
            vehicle = _Vehicle(role, actor, VehicleMessages(messages, role), dds)
            for name, spec in cameras.items():
                mount = Transform(*EGO_CAMERA) if spec.mount == MountSpec() else _pose(spec.mount)
                lens = {f"image_size_{axis}": str(pixels) for axis, pixels in zip("xy", spec.size, strict=True)}
                kind = "sensor.camera.instance_segmentation"
                sensor = self.world.spawn(kind, lens | {"fov": str(spec.fov)}, mount, actor.id)
                follows = follows_simulator_image(options.model, _GUIDE)
                fork = renderer.fork((spec.size[0], spec.size[1]))
                vehicle.cameras.append(_Camera(self.world, sensor, name, follows, fork))
            self._vehicles.append(vehicle)
        topic, kind = "/carla/world_info", "carla_msgs/CarlaWorldInfo"
        dds.advertise(topic, kind, is_latched=True)
        dds.publish(topic, messages.new(kind, map_name=self.world.name, opendrive=self.world.opendrive))

    def _places(self) -> Iterator[Transform]:
        places = self.world.spawn_points()
        return (places[k] for k in np.random.default_rng(self._options.seed).permutation(len(places)))

    def _spawn(self, role: str, places: Iterator[Transform]) -> Actor:
        for place in places:
            try:
                return self.world.spawn(_CAR, {"role_name": role}, place)
            except ValueError as error:
                if str(error) != BLOCKED:
                    raise
        raise ValueError(f"{self._options.town} has no place for the vehicle {role}: drive fewer")

    def obey(self) -> set[str]:
        """Apply the newest commands; return the vehicles that have got one."""
        told = set()
        for vehicle in self._vehicles:
            control, target = vehicle.controls.newest(), vehicle.targets.newest()
            if control is not None and _is_finite(control, ("throttle", "steer", "brake")):
                self._commands.forget(vehicle.actor.id)
                vehicle.actor.control = VehicleControl(
                    throttle=min(max(control.throttle, 0.0), 1.0),
                    steer=min(max(control.steer, -1.0), 1.0),
                    brake=min(max(control.brake, 0.0), 1.0),
                    hand_brake=bool(control.hand_brake),
                    reverse=bool(control.reverse),
                    manual_gear_shift=bool(control.manual_gear_shift),
                    gear=control.gear,
                )
            elif target is not None and _is_finite(target, ("steering_angle", "speed", "acceleration")):
                wheel = self.world.drive_of(vehicle.actor.id).steer
                turn = abs(target.steering_angle_velocity) if isfinite(target.steering_angle_velocity) else 0.0
                self._commands.targets[vehicle.actor.id] = Ackermann(
                    -target.steering_angle, turn, target.speed, target.acceleration, wheel
                )
            else:
                continue
            told.add(vehicle.role)
        return told

    def tick(self) -> None:
        """Advance by one tick."""
        delta = 1.0 / self._options.fps
        self._commands.before(delta)
        self.world.tick(delta)

    def publish(self) -> None:
        """Publish this tick to whoever subscribes to anything of it."""
        self._render()
        for topic, kind, make in chain(self._common(), *map(self._of, self._vehicles)):
            if self._dds.wants(topic, kind):
                self._dds.publish(topic, make())

    def _render(self) -> None:
        """Generate the images of the cameras that someone watches."""
        watched: list[_Camera] = []
        for vehicle in self._vehicles:
            for camera in vehicle.cameras:
                topic = f"{vehicle.messages.topic}/rgb_{camera.name}/image"
                kinds = (topic, "sensor_msgs/Image"), (f"{topic}/compressed", "sensor_msgs/CompressedImage")
                if any(self._dds.wants(*each) for each in kinds):
                    if camera.image is None:
                        camera.renderer.reset()  # its past is older than a tick
                    watched.append(camera)
                else:
                    camera.image = None
        for camera in watched:
            apply_style(camera.renderer, camera.frame(), self._options.style, NO_REMAP, _GUIDE)
        images = render_views([each.renderer for each in watched], [each.frame() for each in watched])
        for camera, image in zip(watched, images, strict=True):
            camera.image = image

    def _common(self) -> Iterator[Entry]:
        world, options = self.world, self._options
        movers = list(_movers(world))
        yield from self._messages.world(world.time, [box for box, _, _ in movers])
        yield self._messages.objects("/carla/objects", world.time, movers)
        kind, step = "carla_msgs/CarlaStatus", 1.0 / options.fps
        status = {"frame": world.frame, "fixed_delta_seconds": step, "synchronous_mode": True}
        yield "/carla/status", kind, partial(self._messages.new, kind, **status, synchronous_mode_running=True)
        for vehicle in self._vehicles:
            ident, topic = vehicle.actor.id, vehicle.messages.topic
            others = [each for each in movers if each[0].instance != ident]
            yield self._messages.objects(f"{topic}/objects", world.time, others)
            kind = "carla_msgs/CarlaCollisionEvent"
            self._dds.advertise(f"{topic}/collision", kind)  # before there is one
            for event in world.events():
                if event.actor == ident:
                    header = self._messages.header(world.time, vehicle.role)
                    impulse = self._messages.vector(_mirrored(event.impulse))
                    hit = {"header": header, "other_actor_id": event.other, "normal_impulse": impulse}
                    make = partial(self._messages.new, kind, **hit)
                    yield f"{topic}/collision", kind, make

    def _of(self, vehicle: _Vehicle) -> Iterator[Entry]:
        world, actor = self.world, vehicle.actor
        pose, speed = right_handed(actor.transform.matrix()), world.drive_of(actor.id).speed
        cameras = [camera.view() for camera in vehicle.cameras]
        return vehicle.messages.of(
            VehicleView(world.time, pose, speed, cameras, partial(_sweep, world, actor), asdict(actor.control))
        )


def _movers(world: World) -> Iterator[tuple[Box, np.ndarray, np.ndarray]]:
    """Yield box, velocity and acceleration of vehicles and people."""
    for actor in world.actors.values():
        is_vehicle = actor.blueprint.id.startswith("vehicle.")
        if is_vehicle or actor.blueprint.id.startswith("walker."):
            pose = actor.transform.matrix()
            pose[:3, 3] = (pose @ (*actor.box_offset, 1.0))[:3]
            length, width, height = (2.0 * half for half in actor.body)
            tag = vehicle_tag(actor.attributes) if is_vehicle else Tag.PEDESTRIAN
            box = Box(actor.id, tag, right_handed(pose), (length, width, height), actor.blueprint.id, 1.0, 0, False)
            yield box, _mirrored(actor.velocity), _mirrored(actor.acceleration)


def _sweep(world: World, actor: Actor) -> np.ndarray:
    """Return a LiDAR sweep f32 (N, 4): x, y, z (m, in the vehicle's axes), intensity 0 to 255."""
    pose, directions = actor.transform.matrix(), beam_directions()[0]
    ahead = (directions * (1.0, -1.0, 1.0)) @ pose[:3, :3].T
    hits = world.rays().cast((pose @ (*MOUNT, 1.0))[:3], ahead, REACH, world.shapes()[2], actor.id)
    distance = hits.distance[:, None]
    points = np.column_stack([directions * distance + MOUNT, 255.0 * np.exp(-_FADING * distance)])
    return points[np.isfinite(hits.distance)].astype(np.float32)


def _mirrored(vector: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return a vector of CARLA's axes in right-handed ones."""
    return np.asarray(vector, np.float64) * (1.0, -1.0, 1.0)


def _is_finite(message: Message, names: Sequence[str]) -> bool:
    return all(isfinite(getattr(message, name)) for name in names)


def _pose(mount: MountSpec) -> Transform:
    return Transform(mount.x, mount.y, mount.z, mount.pitch, mount.yaw)
