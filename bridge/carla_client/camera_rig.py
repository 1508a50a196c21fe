"""A camera rig: CARLA's sensors at one mount, and their images of one tick as the planes of a frame.

One instance camera provides both tag and instance. Images are CARLA's BGRA, read as little-endian u32 words; every
plane is one pass of a kernel into a buffer that is reused for each frame.
"""

import queue
import time
from collections.abc import Callable, Iterable, Sequence
from math import cos, radians, sin
from typing import Any, NamedTuple

import numpy as np

from bridge.carla_library import carla
from bridge.geometry import pose_matrix
from bridge.image_decoding import decode_colours, decode_depth, name_sky, split_instance
from bridge.jitter import NONE, frame_jitter
from bridge.link.motion import Movers, PoseMotion, from_flow
from bridge.link.shared_memory import FrameExpired, ShmReader, host_id
from bridge.messages import Camera, plane_shape
from bridge.process.lifetime import BridgeError

#: The sensors from which each plane is computed.
SENSORS: dict[str, tuple[str, ...]] = {
    "tag": ("instance_segmentation",),
    "instance": ("instance_segmentation",),
    "depth": ("depth",),
    "motion": ("instance_segmentation", "depth"),
    "rgb": ("rgb",),
    "rgb_half": ("rgb_half",),
}
#: Of a camera whose server puts planes into memory: whatever of them it is asked for.
_SHARING = ("instance_segmentation",)
_FLOW_SENSORS = ("optical_flow", "depth")  # for the plane "motion" from a flow camera; the sky's needs the depth
_HALF = "rgb_half"  # an rgb camera of half the size
CAR_HALF_HEIGHT = 0.75  # m, of a car; mounts on other vehicles are scaled by their height
PATIENCE = 1.0  # s without an image, after which it is asked whether one can come at all
SENSOR_ROLE = "neuralsim"  # role name of this project's sensors


class SensorTimeout(RuntimeError):
    """A camera did not deliver the image of a tick."""


class RigSpec(NamedTuple):
    """A rig's image size (width, height) in pixels, horizontal field of view in degrees, and pose on the vehicle."""

    size: tuple[int, int]
    fov: float
    mount: carla.Transform


def matrix(transform: carla.Transform) -> np.ndarray:
    """Return world <- local, f64 (4, 4): ``carla.Transform.get_matrix`` in double precision."""
    return matrices([transform])[0]


def matrices(transforms: Sequence[carla.Transform]) -> np.ndarray:
    """Return the same of N transforms, f64 (N, 4, 4)."""
    rows = []
    for each in transforms:
        place, turn = each.location, each.rotation
        angles = radians(turn.pitch), radians(turn.yaw), radians(turn.roll)
        rows.append((place.x, place.y, place.z, *map(cos, angles), *map(sin, angles)))
    columns = np.array(rows).reshape(-1, 9).T
    return pose_matrix(columns[:3], columns[3:6], columns[6:])


def flow_is_exact(world: carla.World) -> bool:
    """Return whether a server says that its optical flow is exact.

    The embedded town does; CARLA's own passes through half floats (``OpticalFlowCamera.cpp``): steps of up to half a
    pixel in an image of 512 pixels.
    """
    return any(
        kind.has_attribute("exact") for kind in world.get_blueprint_library().filter("sensor.camera.optical_flow")
    )


class _Sensor:
    """A camera actor and the queue of images that it has delivered (in the client's threads)."""

    def __init__(self, actor: carla.Sensor) -> None:
        self.actor = actor
        self.images: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.is_delivering = False  # its first image has arrived: from then on every tick has one
        self.arrived: dict[int, Any] = {}  # by frame: taken from the queue, but not all of the rig's have arrived
        actor.listen(self.images.put)

    def take_arrived(self) -> None:
        """Take all images from the queue."""
        while not self.images.empty():
            image = self.images.get()
            self.arrived[image.frame] = image

    def receive(self, frame: int, until: float) -> Any:
        """Return the image of tick ``frame``, or None if it does not arrive before ``until`` (monotonic seconds)."""
        while True:
            try:
                image = self.images.get(timeout=max(until - time.monotonic(), 0.001))
            except queue.Empty:
                return None
            if image.frame == frame:
                return image


def set_sensor_role(blueprint: Any) -> None:
    """Mark a sensor as one of this project's, so that the next bridge can remove the leftovers of a killed one."""
    if blueprint.has_attribute("role_name"):
        blueprint.set_attribute("role_name", SENSOR_ROLE)


class CameraRig:
    """The sensors at one mount of a vehicle, all with the size and field of view of ``spec``.

    ``jitter``: shift each frame's image by a fraction of a pixel, if the server's cameras support it (the embedded
    town's do). ``spring_arm``: mount on a spring arm, which follows the vehicle's turns with a delay. ``uses_flow``:
    take motion from a flow camera; a server on this machine that can, the embedded town, then puts the planes into
    memory that this process maps. ``interval``: simulated seconds between two images, 0: one per tick.
    ``select_planes`` selects the planes; sensors exist only while they are needed:
    servers may go on rendering for one that nobody listens to.
    """

    def __init__(
        self,
        world: carla.World,
        vehicle: carla.Vehicle,
        spec: RigSpec,
        jitter: bool = False,
        spring_arm: bool = False,
        uses_flow: bool = False,
        interval: float = 0.0,
    ) -> None:
        self._world, self._vehicle, self._mount = world, vehicle, spec.mount
        self._width, self._height = spec.size
        self._fov = spec.fov
        self._interval = interval
        self._jitter, self._spring_arm = jitter, spring_arm
        self._uses_flow = uses_flow
        self._sources = self._senders = SENSORS | ({"motion": _FLOW_SENSORS} if uses_flow else {})
        self._memory = ShmReader() if uses_flow and not interval and self._height > 1 else None
        self._shared: dict[str, tuple[str, ...]] = {}  # by sensor, the planes that it puts into memory
        self._sensors: dict[str, _Sensor] = {}
        self._spawned: dict[str, carla.Sensor] = {}
        self._planes: tuple[str, ...] = ()
        self._pose: np.ndarray | None = None  # of the last image
        self._previous_pose: np.ndarray | None = None
        self._move = PoseMotion()
        self.unknown_tag = 0  # one of the last image that no table knows
        shape = self._height, self._width
        self._buffers: dict[str, np.ndarray] = {
            "tag": np.zeros(shape, np.uint8),
            "instance": np.zeros(shape, np.uint16),
            "depth": np.zeros(shape, np.float32),
            "motion": np.zeros((*shape, 2), np.float16),
            "rgb": np.zeros((*shape, 3), np.uint8),
            _HALF: np.zeros(plane_shape(_HALF, *shape), np.uint8),
        }

    @property
    def actors(self) -> list[carla.Sensor]:
        """All camera actors, to be destroyed with the vehicle."""
        return list(self._spawned.values())

    def select_planes(self, planes: Iterable[str]) -> None:
        """Listen to exactly the sensors that these planes are computed from."""
        self._planes = tuple(planes)
        if self._memory is not None and not self._sensors and self._planes:
            library = self._world.get_blueprint_library()
            if not (host_id() and library.find(f"sensor.camera.{_SHARING[0]}").has_attribute("memory")):
                self._memory = None
        if self._memory is not None and not self._sensors:
            colours = [name for name in self._planes if name in ("rgb", _HALF)]
            of_one = {name for name in self._planes if name not in colours[1:]}
            self._sources = self._senders | dict.fromkeys(of_one, _SHARING)
        needed = {kind for plane in self._planes for kind in self._sources[plane]}
        for kind in self._sensors.keys() - needed:
            self._sensors.pop(kind).actor.stop()
            self._spawned.pop(kind).destroy()
            self._shared.pop(kind, None)
        for kind in sorted(needed - self._sensors.keys()):
            self._spawned[kind] = self._spawn(kind)
            self._sensors[kind] = _Sensor(self._spawned[kind])

    def is_complete(self) -> bool:
        """Return whether the server still has all selected sensors; another client may destroy them."""
        return not self._destroyed()

    def restore(self) -> None:
        """Spawn the sensors again that the server no longer has."""
        for kind in self._destroyed():
            self._spawned[kind] = self._spawn(kind)
            self._sensors[kind] = _Sensor(self._spawned[kind])

    def _destroyed(self) -> list[str]:
        snapshot = self._world.get_snapshot()  # an actor that another client destroys goes on saying that it is alive
        return [kind for kind, sensor in self._sensors.items() if not snapshot.has_actor(sensor.actor.id)]

    def is_delivering(self) -> bool:
        """Return whether all selected sensors have delivered an image."""
        return all(sensor.is_delivering for sensor in self._sensors.values())

    def gather(
        self,
        frame: int,
        timeout: float,
        first_timeout: float = 0.05,
        is_hopeless: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """Return the images of tick ``frame`` by sensor.

        A sensor that has not delivered yet is waited for ``first_timeout`` seconds and may be missing. Raises
        ``SensorTimeout`` if another one does not deliver within ``timeout`` seconds, or earlier if ``is_hopeless``,
        which is asked after ``PATIENCE``.
        """
        until = time.monotonic() + timeout
        images = {}
        # Sensors that deliver already first: once their images are here, a new sensor's is, too, or will not come.
        for kind, sensor in sorted(self._sensors.items(), key=lambda item: not item[1].is_delivering):
            now = time.monotonic()
            image = sensor.receive(frame, min(until, now + (PATIENCE if sensor.is_delivering else first_timeout)))
            if image is None and sensor.is_delivering and not is_hopeless():
                image = sensor.receive(frame, until)
            if image is not None:
                if kind in self._shared and not self._map(kind, image):
                    self._stop_sharing()
                    return {}
                sensor.is_delivering = True
                images[kind] = image
            elif sensor.is_delivering:
                raise SensorTimeout(f"the {kind} camera sent no image of tick {frame} within {timeout:g} s")
        return images

    def newest(self) -> dict[str, Any] | None:
        """Return the newest images of one tick that have all arrived, by sensor; None if there are no new ones."""
        for sensor in self._sensors.values():
            sensor.take_arrived()
        common = set.intersection(*(set(sensor.arrived) for sensor in self._sensors.values()))
        if not common:
            return None
        frame = max(common)
        images = {kind: sensor.arrived[frame] for kind, sensor in self._sensors.items()}
        for sensor in self._sensors.values():
            sensor.arrived = {number: image for number, image in sensor.arrived.items() if number > frame}
        return images

    def decode(self, images: dict[str, Any]) -> tuple[Camera, dict[str, np.ndarray]]:
        """Return the camera with its pose at that tick, and the selected planes, valid until the next call.

        Without a flow camera, ``motion`` is what ``add_motion`` writes after that.
        """
        any_image = next(iter(images.values()))
        shift = frame_jitter(any_image.frame) if self._jitter else NONE
        camera = Camera(self._width, self._height, self._fov, matrix(any_image.transform), shift)
        self._previous_pose, self._pose = camera.pose if self._pose is None else self._pose, camera.pose
        buffers, whole = self._buffers, images
        images = {kind: image for kind, image in images.items() if kind not in self._shared}
        if "instance_segmentation" in images:
            words = np.frombuffer(images["instance_segmentation"].raw_data, "<u4")
            self.unknown_tag = split_instance(words, buffers["tag"].reshape(-1), buffers["instance"].reshape(-1))
        if "depth" in images:
            decode_depth(np.frombuffer(images["depth"].raw_data, "<u4"), buffers["depth"].reshape(-1))
            if "instance_segmentation" in images:
                name_sky(buffers["tag"].reshape(-1), buffers["depth"].reshape(-1))
        if "optical_flow" in images:
            flow = np.frombuffer(images["optical_flow"].raw_data, "<f4").reshape(self._height, self._width, 2)
            from_flow(flow, buffers["depth"], camera, self._previous_pose, buffers["motion"])
        for kind in ("rgb", _HALF):
            if kind in images:
                decode_colours(np.frombuffer(images[kind].raw_data, "<u4"), buffers[kind].reshape(-1, 3))
        return camera, {name: buffers[name] for name in self._planes if set(self._sources[name]) <= whole.keys()}

    def add_motion(self, camera: Camera, planes: dict[str, np.ndarray], movers: Callable[[], Movers]) -> None:
        """Compute the motion of decoded planes from depth and poses, unless they have that of a flow camera."""
        if "motion" in planes and not self._uses_flow:
            assert self._previous_pose is not None
            self._move(self._buffers, camera, self._previous_pose, movers(), planes["motion"])

    def stop(self) -> None:
        """Stop listening."""
        for sensor in self._sensors.values():
            sensor.actor.stop()
        self._sensors.clear()

    def remove(self) -> None:
        """Stop listening and destroy the sensors; the next ``select_planes`` spawns them again."""
        self.select_planes(())
        self._pose = None

    def _map(self, kind: str, image: Any) -> bool:
        """Take the planes from memory that ``image`` refers to; return False where they cannot be mapped."""
        assert self._memory is not None
        data = np.frombuffer(image.raw_data, np.uint8).reshape(-1, 4)[:, :3].tobytes()  # alpha is the client's
        try:
            planes = self._memory.map(data[3 : 3 + int.from_bytes(data[:3], "little")])
        except FrameExpired:  # or an image: the server is on another machine, or has no memory for them
            return False
        for name, plane in zip(self._shared[kind], planes, strict=True):
            own = self._buffers[name]
            self._buffers[name] = np.frombuffer(plane, own.dtype).reshape(own.shape)
        return True

    def _stop_sharing(self) -> None:
        """Spawn sensors that send images instead. Raises ``BridgeError`` in the midst of a drive."""
        if any(sensor.is_delivering for sensor in self._sensors.values()):
            raise BridgeError("the simulator's memory cannot be read any more: start again")
        self._memory, self._sources, planes = None, self._senders, self._planes
        self._buffers = {name: np.zeros_like(plane) for name, plane in self._buffers.items()}
        self.select_planes(())
        self.select_planes(planes)

    def _spawn(self, kind: str) -> carla.Sensor:
        blueprint = self._world.get_blueprint_library().find(f"sensor.camera.{kind.removesuffix('_half')}")
        self._jitter = self._jitter and blueprint.has_attribute("jitter")
        width, height = self._width, self._height
        if kind == _HALF and not blueprint.has_attribute("half_size"):  # only the embedded town's cameras have it
            height, width = plane_shape(_HALF, height, width)[:2]
        settings: dict[str, float | str] = {
            "image_size_x": width,
            "image_size_y": height,
            "fov": self._fov,
            "sensor_tick": self._interval,
        }
        if kind in ("rgb", _HALF):  # the generator has a camera of its own; glare would be taken for paint
            settings |= dict.fromkeys(("motion_blur_intensity", "bloom_intensity", "lens_flare_intensity"), 0.0)
            settings["neuralsim_style"] = "off"  # the simulator's own image
        if kind == _HALF:
            settings["half_size"] = "true"
        if self._jitter:
            settings["jitter"] = "true"
        if self._memory is not None:
            self._shared[kind] = tuple(name for name in self._planes if self._sources[name] == (kind,))
            settings |= {"memory": host_id(), "planes": ",".join(self._shared[kind])}
        for name, value in settings.items():
            if blueprint.has_attribute(name):
                blueprint.set_attribute(name, str(value))
        set_sensor_role(blueprint)
        attachment = carla.AttachmentType.SpringArmGhost if self._spring_arm else carla.AttachmentType.Rigid
        return self._world.spawn_actor(blueprint, self._mount, attach_to=self._vehicle, attachment_type=attachment)
