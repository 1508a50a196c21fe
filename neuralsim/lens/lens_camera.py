"""One rgb camera of a client, seen through the lens: the cameras next to it on the server, and its generated images."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from math import atan2, cos, degrees, hypot, radians, sin
from typing import Any

import numpy as np

from bridge import carla_wire
from bridge.carla_wire import RpcClient, RpcError, StreamReader
from bridge.geometry import pose_matrix
from bridge.image_decoding import decode_colours, decode_depth, name_sky, split_instance
from bridge.link.motion import PoseMotion
from bridge.messages import Camera, Frame
from neuralsim.base.failure import describe, line
from neuralsim.base.log import logger
from neuralsim.lens.moving_actors import Bodies, Instances
from neuralsim.town.carla_server import camera_images, structs
from neuralsim.town.carla_server.generated_cameras import CAMERA, OFF, STYLE, GeneratedCamera
from neuralsim.town.carla_server.streams import Message, StreamSubscriber
from neuralsim.town.carla_server.wide_angle_cameras import GeneratedWideAngle
from neuralsim.town.render.wide_angle import Face

#: What is spawned next to an rgb camera.
COMPANIONS = ("sensor.camera.instance_segmentation", "sensor.camera.depth")
#: Attributes of the rgb camera that they get: what its image has where, and when.
_COPIED = (
    "image_size_x", "image_size_y", "fov", "sensor_tick", "lens_circle_falloff", "lens_circle_multiplier", "lens_k",
    "lens_kcube", "lens_x_size", "lens_y_size",
)  # fmt: skip
#: What the rgb cameras of faces do without: it would differ from face to face.
_NO_EFFECTS = {"bloom_intensity": "0", "lens_flare_intensity": "0", "motion_blur_intensity": "0", STYLE: OFF}
_LEVEL_FLOOR = 1e-6  # cosine of the pitch below which a view looks straight up or down
_HEADER = carla_wire.SENSOR_HEADER.size
_PIXELS = _HEADER + carla_wire.IMAGE_HEADER.size  # offset of the pixels in a message
_PATIENCE = 2.0  # s that an image waits for the messages of the companions
_BEHIND = 0.1  # s in which a further image is there if the server is ahead
_MOST_WARNINGS = 10  # of a camera


@dataclass
class Mount:
    """Where a camera was spawned, in the arguments of the call that spawned it: pose, and parent and attachment."""

    transform: list[Any]
    attachment: list[Any] = field(default_factory=list)  # of ``spawn_actor_with_parent``, empty: free-standing


class LensCamera:
    """A client's rgb camera whose images are generated.

    While someone subscribes to it, cameras for tag, instance and depth stand at the same place, and a thread reads
    their messages, tick by tick, and has images generated of them.
    """

    def __init__(
        self,
        ident: int,
        stream: int,
        attributes: Mapping[str, str],
        mount: Mount,
        generated: GeneratedCamera | GeneratedWideAngle,
        waits: Callable[[], bool],
        weather: Callable[[], dict[str, float]],
        bodies: Callable[[int, np.ndarray], Bodies],
    ) -> None:
        """``waits``: whether every frame is generated (of a synchronous world), or those that the generator can take;
        ``weather``: ``carla.WeatherParameters`` by name; ``bodies``: ``MovingActors.at``."""
        self.ident, self.stream, self.mount = ident, stream, mount
        self.attributes = dict(attributes)
        self.generated = generated
        self.companions: list[int] = []
        self.expected = 0  # clients that asked for the stream's token and have not subscribed yet
        self.subscribers: tuple[StreamSubscriber, ...] = ()
        self._waits, self._weather, self._bodies_at = waits, weather, bodies
        self._readers: list[StreamReader] = []
        self._thread: threading.Thread | None = None
        #: The views of a wide-angle camera, each with an rgb camera of its own; None: as the camera itself looks.
        self._faces = generated.faces if isinstance(generated, GeneratedWideAngle) else (None,)
        self._kinds = COMPANIONS if self._faces == (None,) else (CAMERA, *COMPANIONS)
        self._warned: set[str] = set()

    @property
    def is_running(self) -> bool:
        """Whether its companions are on the server."""
        return bool(self._readers)

    def start(self, server: RpcClient, role: str, known: Callable[[int], None]) -> None:
        """Spawn the companions with a ``role`` and begin to read; each one's id is reported to ``known``.

        Raises RpcError or OSError; nothing is left on the server then.
        """
        try:
            actors = []
            for face, kind in product(self._faces, self._kinds):
                actor = self._spawn(server, kind, role, face)
                self.companions.append(actor[0])
                known(actor[0])
                actors.append(actor)
            streams = [int.from_bytes(actor[5][:4], "little") for actor in actors]
            self._readers = [StreamReader(server.token(stream)) for stream in (*streams, self.stream)]
        except (RpcError, OSError):
            self.stop(server)
            raise
        self._thread = threading.Thread(target=self._run, args=(self._readers,), name=f"lens-{self.ident}", daemon=True)
        self._thread.start()

    def stop(self, server: RpcClient) -> None:
        """End the thread and destroy the companions."""
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.close()
        for ident in self.companions:
            with suppress(RpcError, OSError):
                server.call("destroy_actor", ident)
        self.companions.clear()

    def follow(self, server: RpcClient, name: str, arguments: Sequence[Any]) -> None:
        """Do to the companions what a client did to the camera with ``set_actor_transform`` or the like."""
        for (face, _), ident in zip(product(self._faces, self._kinds), self.companions, strict=False):
            turned = [_turned(arguments[0], face), *arguments[1:]] if name == "set_actor_transform" else arguments
            with suppress(RpcError):
                server.call(name, ident, *turned)

    def _spawn(self, server: RpcClient, kind: str, role: str, face: Face | None) -> list[Any]:
        values = {name: self.attributes[name] for name in _COPIED if name in self.attributes}
        if face is not None:
            side = str(face.side)
            tick = self.attributes.get("sensor_tick", "0")
            values = {
                "image_size_x": side,
                "image_size_y": side,
                "fov": str(face.fov),
                "sensor_tick": tick,
            } | _NO_EFFECTS
        description = server.definition(kind).describe(kind, values | {"role_name": role})
        name = "spawn_actor_with_parent" if self.mount.attachment else "spawn_actor"
        actor: list[Any] = server.call(name, description, _turned(self.mount.transform, face), *self.mount.attachment)
        return actor

    def _run(self, readers: list[StreamReader]) -> None:
        *companions, camera = readers
        held: list[bytearray | None] = [None] * len(companions)
        frames = [_Frames(self._bodies_at) for _ in self._faces]
        gone: OSError | None = None
        with suppress(OSError):  # the camera's stream was closed, by the server or by `stop`
            while True:
                rgb = camera.read()
                if gone is not None:  # reported only now: often the camera is gone as well
                    self._warn(gone)
                    self._offer(Message([bytes(rgb)]))
                    continue
                try:
                    for place, reader in enumerate(companions):
                        held[place] = _of_tick(_tick(rgb), held[place], reader)
                    of_tick = [message for message in held if message is not None and _tick(message) == _tick(rgb)]
                    if len(of_tick) == len(companions):
                        if self.subscribers:
                            self._generate(frames, of_tick, rgb)
                    elif not camera.wait(_BEHIND):  # else the server has dropped some, for a client that does not wait
                        self._offer(Message([bytes(rgb)]))  # rather the simulator's image than none of this tick
                except Exception as error:  # whatever the server sends, the client gets images
                    if isinstance(error, OSError):
                        gone = error
                    else:
                        self._warn(error)
                    self._offer(Message([bytes(rgb)]))

    def _generate(self, frames: list[_Frames], of_tick: list[bytearray], rgb: bytearray) -> None:
        """Have the image of a tick generated from the messages of the companions and that of the camera itself."""
        if not (self._waits() or self.generated.is_ready()):
            return
        weather, deliver = self._weather(), partial(self._deliver, rgb)
        if isinstance(self.generated, GeneratedWideAngle):
            lens, (width, height, fov) = self.generated.lens, carla_wire.IMAGE_HEADER.unpack_from(rgb, _HEADER)
            if (width, height, len(rgb) - _PIXELS) != (lens.width, lens.height, 4 * lens.width * lens.height):
                raise ValueError(f"it has {_text(width, height, fov)}, not {lens.width}x{lens.height} px")
            messages = iter(of_tick)
            views = []
            for each, own, instance, depth in zip(frames, messages, messages, messages, strict=True):
                frame = each.next(instance, depth, own, weather)
                views.append((frame.camera, partial(_same, frame)))
            self.generated.capture(_tick(rgb), views, deliver)
        else:
            instance, depth = of_tick
            self.generated.submit(frames[0].next(instance, depth, rgb, weather), deliver)

    def _warn(self, why: Exception) -> None:
        """Log why images are the simulator's own, once for each reason."""
        text = line(f"lens: camera {self.ident} sends the simulator's image: {describe(why)}")
        if text not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(text)
            logger().warning(text)

    def _deliver(self, rgb: bytearray, image: np.ndarray) -> None:
        """Send an image u8 (H, W, 3) with the headers of the message ``rgb`` that it replaces."""
        pixels = np.empty(len(rgb) - _PIXELS, np.uint8)
        camera_images.encode_rgb(image, pixels)
        self._offer(Message([bytes(rgb[:_PIXELS])], pixels))

    def _offer(self, message: Message) -> None:
        for subscriber in self.subscribers:
            subscriber.offer(message)


class _Frames:
    """Makes frames of messages, each with the motion since the one before."""

    def __init__(self, bodies: Callable[[int, np.ndarray], Bodies]) -> None:
        self._bodies_at, self._instances, self._move = bodies, Instances(), PoseMotion()
        self._last: tuple[Camera, Bodies] | None = None

    def next(self, instance: bytearray, depth: bytearray, rgb: bytearray, weather: dict[str, float]) -> Frame:
        """Return the frame of one tick. Raises ValueError for messages that do not belong together."""
        _, tick, now, x, y, z, pitch, yaw, roll = carla_wire.SENSOR_HEADER.unpack_from(rgb)
        width, height, fov = carla_wire.IMAGE_HEADER.unpack_from(rgb, _HEADER)
        for kind, each in (*zip(COMPANIONS, (instance, depth), strict=True), (CAMERA, rgb)):
            if (size := carla_wire.IMAGE_HEADER.unpack_from(each, _HEADER)) != (width, height, fov):
                raise ValueError(f"it has {_text(width, height, fov)}, {kind} next to it {_text(*size)}")
            if len(each) != _PIXELS + width * height * camera_images.pixel_bytes(kind):  # kernels do not look
                raise ValueError(f"{kind} of {_text(width, height, fov)} sends {len(each) - _PIXELS} bytes")
        angles = radians(pitch), radians(yaw), radians(roll)
        pose = pose_matrix((x, y, z), tuple(map(cos, angles)), tuple(map(sin, angles)))
        camera = Camera(width, height, fov, pose)
        planes = {
            "tag": np.empty((height, width), np.uint8),
            "instance": np.empty((height, width), np.uint16),
            "depth": np.empty((height, width), np.float32),
            "motion": np.empty((height, width, 2), np.float16),
            "rgb": np.empty((height, width, 3), np.uint8),
        }
        tag, metres = planes["tag"].reshape(-1), planes["depth"].reshape(-1)
        split_instance(_words(instance), tag, planes["instance"].reshape(-1))
        decode_depth(_words(depth), metres)
        name_sky(tag, metres)
        decode_colours(_words(rgb), planes["rgb"].reshape(-1, 3))
        bodies = self._bodies_at(tick, pose)
        before = self._last or (camera, bodies)
        self._instances.learn(bodies, camera, planes)
        movers = bodies.since(before[1], self._instances)
        self._move(planes, camera, before[0].pose, movers, planes["motion"])
        self._last = camera, bodies
        return Frame(tick, tick, now, camera, planes, weather=weather)


def _same(frame: Frame) -> Frame:
    return frame


def _turned(transform: list[Any], face: Face | None) -> list[Any]:
    """Return a ``carla.Transform`` on the wire, turned to look at a face; None: unchanged."""
    if face is None:
        return transform
    turned = structs.transform(transform).matrix() @ face.turn
    level = hypot(turned[0, 0], turned[1, 0])
    pitch, yaw, roll = atan2(turned[2, 0], level), atan2(turned[1, 0], turned[0, 0]), atan2(-turned[2, 1], turned[2, 2])
    if level < _LEVEL_FLOOR:  # yaw and roll turn about the same axis
        yaw, roll = atan2(-turned[0, 1], turned[1, 1]), 0.0
    return [transform[0], [degrees(angle) for angle in (pitch, yaw, roll)]]


def _of_tick(tick: int, message: bytearray | None, reader: StreamReader) -> bytearray | None:
    """Return the first message from ``message`` on that is not older than ``tick``, if one comes in time."""
    while (message is None or _tick(message) < tick) and reader.wait(_PATIENCE):
        message = reader.read()
    return message


def _tick(message: bytearray) -> int:
    tick: int = carla_wire.SENSOR_HEADER.unpack_from(message)[1]
    return tick


def _text(width: int, height: int, fov: float) -> str:
    return f"{width}x{height} px and {fov:g} degrees"


def _words(message: bytearray) -> np.ndarray:
    return np.frombuffer(message, "<u4", offset=_PIXELS)


def stream_of(actor: Sequence[Any]) -> int:
    """Return the stream id in an ``rpc::Actor``, 0 if it is no sensor."""
    return int.from_bytes(actor[5][:4], "little") if actor[5] else 0
