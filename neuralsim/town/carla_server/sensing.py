"""The sensors of one world and their streams: scheduling, measuring, publishing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.tags import Tag
from neuralsim.town.carla_server import camera_images, structs
from neuralsim.town.carla_server.actor_states import ActorStates
from neuralsim.town.carla_server.compat import event_camera as events
from neuralsim.town.carla_server.compat import gbuffers
from neuralsim.town.carla_server.compat.instruments import INSTRUMENTS
from neuralsim.town.carla_server.compat.sensor_interface import GRAVITY, Cast, Instrument, Measurement
from neuralsim.town.carla_server.compat.v2x import Airwaves
from neuralsim.town.carla_server.streams import StreamServer
from neuralsim.town.core.sensor_blueprints import picture_of
from neuralsim.town.core.types import Actor
from neuralsim.town.raycasting.rays import Hits
from neuralsim.town.render.raster import Planes

if TYPE_CHECKING:
    from neuralsim.town.world import World


@dataclass
class Sensor:
    """A sensor actor's place in the streams."""

    kind: str  # its blueprint
    stream: int
    period: float  # s between two messages, 0 = every tick
    fov: float  # degrees
    due: float = -inf  # simulated time of its next message
    last: float = 0.0  # simulated time of its last one
    instrument: Instrument | None = None
    eye: events.EventCamera | None = None  # of an event camera
    gbuffers: dict[int, int] = field(default_factory=dict)  # streams by texture, of a camera that was asked for them

    @property
    def streams(self) -> list[int]:
        """All its streams."""
        return [self.stream, *self.gbuffers.values()]


class Sensing:
    """All sensors of ``world``. It is the ``Scene`` that instruments measure."""

    def __init__(
        self, world: World, actor_states: ActorStates, streams: StreamServer, complain: Callable[[str], None]
    ) -> None:
        self.world, self.actor_states, self.streams = world, actor_states, streams
        self.sensors: dict[int, Sensor] = {}
        self.gravity = GRAVITY  # m/s^2, as the IMUs feel it
        self.airwaves = Airwaves()
        self._complain = complain
        # Rays and pictures take long: each kind is done one after the other beside the town, which answers meanwhile.
        self._caster, self._painter = ThreadPoolExecutor(1, "rays"), ThreadPoolExecutor(1, "pictures")
        self._beside: list[Future[None]] = []

    def watch(self, actor: Actor) -> None:
        """Give a new sensor its stream. Raises ``ValueError`` for attributes that it cannot work with."""
        kind = actor.blueprint.id
        if kind not in structs.SENSOR_TYPES:
            return
        given = actor.attributes
        period = max(0.0, structs.finite(given.get("sensor_tick", "0") or 0.0))
        fov = float(given.get("fov", "90"))
        make = INSTRUMENTS.get(kind)
        instrument = None if make is None else make(self, actor)
        eye = events.EventCamera(given) if kind == "sensor.camera.dvs" else None
        sensor = Sensor(kind, self.streams.open(), period, fov, instrument=instrument, eye=eye, last=self.world.time)
        self.sensors[actor.id] = sensor

    def close(self) -> None:
        """Close all streams, with their world."""
        for worker in (self._caster, self._painter):
            worker.shutdown(wait=False, cancel_futures=True)
        for sensor in self.sensors.values():
            self._drop(sensor)
        self.sensors.clear()

    def close_removed(self) -> None:
        """Close the streams of sensors that were removed from the world."""
        for ident in [ident for ident in self.sensors if ident not in self.world.actors]:
            self._drop(self.sensors.pop(ident))

    def _drop(self, sensor: Sensor) -> None:
        for stream in sensor.streams:
            self.streams.drop(stream)

    def gbuffer_token(self, actor: int, texture: int) -> bytes:
        """The stream token of a texture of an rgb camera's G-buffer. Raises ``ValueError`` for other sensors."""
        sensor = self.sensors.get(actor)
        if sensor is None or picture_of(self.world.actors[actor]) != "rgb":
            raise ValueError(f"actor {actor} has no G-buffer: ask a sensor.camera.rgb of full size")
        if not 0 <= texture < gbuffers.COUNT:
            raise ValueError(f"there is no texture {texture} in a G-buffer: choose 0 to {gbuffers.COUNT - 1}")
        if texture not in sensor.gbuffers:
            sensor.gbuffers[texture] = self.streams.open()
        return self.streams.token(sensor.gbuffers[texture])

    def token(self, actor: int) -> bytes:
        """The stream token of an actor, empty for all but sensors."""
        sensor = self.sensors.get(actor)
        return b"" if sensor is None else self.streams.token(sensor.stream)

    def cast(
        self, origin: np.ndarray, direction: np.ndarray, reach: float, ignore: int = 0, still: bool = True
    ) -> Hits:
        """What rays meet now: ``Rays.cast``.

        ``origin`` f64 (N, 3) or (3,), m; ``direction`` f64 (N, 3); ``reach``: in directions' lengths; ``ignore``: id of
        an actor that rays pass through; ``still``: whether they meet anything but actors.
        """
        return self.caster()(origin, direction, reach, ignore, still)

    def caster(self) -> Cast:
        """``cast`` at everything as it is now, whenever it is called, from any thread."""
        world, poses = self.world, self.world.shapes()[2]

        def cast(origin: np.ndarray, direction: np.ndarray, reach: float, ignore: int = 0, still: bool = True) -> Hits:
            hits: Hits = world.rays().cast(origin, direction, reach, poses, ignore, still)
            return hits

        return cast

    def settle(self) -> None:
        """Wait for the previous tick's rays and pictures: who ticks faster than they are made has to."""
        wait(self._beside)
        self._beside.clear()

    def describe(self, actor: int, tag: int) -> list[Any]:
        """``rpc::Actor`` of what was hit: an actor, or scenery of some tag."""
        found = self.world.actors.get(actor)
        return structs.scenery(Tag(tag).name.lower()) if found is None else structs.pack_actor(found, b"")

    def publish_events(self) -> None:
        """Send the collisions of the last tick, and what instruments that cast no rays measure now."""
        watching = [
            (self.world.actors[ident].parent, sensor)
            for ident, sensor in self.sensors.items()
            if sensor.kind == "sensor.other.collision" and self.streams.listeners(sensor.stream)
        ]
        for event in self.world.events():
            for parent, sensor in watching:
                if parent == self.actor_states.ident(event.actor):
                    header = self._header(sensor, self.world.actors[parent])
                    self.streams.publish(sensor.stream, (header, self.actor_states.pack_collision(event)))
        self._measure(casting=False)
        with self._surviving("v2x"):
            self.airwaves.exchange(self.world)

    def publish_rays(self) -> None:
        """Begin to cast the rays of the instruments that are due; each sends its message when they are back."""
        self._measure(casting=True)

    def _measure(self, casting: bool) -> None:
        for ident, sensor in self._due("sensor.other.", "sensor.lidar.", casting=casting):
            actor = self.world.actors[ident]
            if sensor.instrument is None:
                continue
            header = self._header(sensor, actor)
            with self._surviving(f"{sensor.kind} {ident}"):
                measurement = sensor.instrument.measure(self.world.time - sensor.last)
                sensor.last = self.world.time
                if casting:
                    self._beside.append(self._caster.submit(self._finish, sensor, header, measurement))
                else:
                    self._finish(sensor, header, measurement)

    def _finish(self, sensor: Sensor, header: bytes, measurement: Measurement) -> None:
        with self._surviving(sensor.kind):
            body = measurement()
            if body is not None:
                self.streams.publish(sensor.stream, (header, body))

    @contextmanager
    def _surviving(self, who: str) -> Iterator[None]:
        """One sensor that cannot measure leaves the others their messages."""
        try:
            yield
        except Exception as error:
            self._complain(f"{who} failed: {type(error).__name__}: {error}")

    def publish_images(self) -> None:
        """Begin to draw the pictures that are due; each is sent when it is drawn."""
        shots = []
        for ident, sensor in self._due("sensor.camera."):
            with self._surviving(f"camera {ident}"):
                actor, exposure = self.world.actors[ident], self.world.exposure(ident, "rgb" if sensor.eye else "")
                header, pose = self._header(sensor, actor), actor.transform.matrix()
                shots.append(partial(self._send, sensor, header, pose, self.world.time, exposure))
        if shots:
            self._beside.append(self._painter.submit(_each, shots))

    def _send(
        self, sensor: Sensor, header: bytes, pose: np.ndarray, now: float, exposure: Callable[[], Planes]
    ) -> None:
        """Draw and send one picture. ``pose`` f64 (4, 4) of its camera and ``now`` (s) are of its exposure."""
        with self._surviving(sensor.kind):
            planes = exposure()
            height, width = (planes.tag if planes.rgb is None else planes.rgb).shape[:2]
            size = structs.IMAGE_HEADER.pack(width, height, sensor.fov)
            if sensor.eye is not None:
                assert planes.rgb is not None, "captured with rgb"
                seen = sensor.eye.read(planes.rgb, now)
                if len(seen):  # CARLA's client takes an array without events for a broken one
                    self.streams.publish(sensor.stream, (header, size, seen))
                return
            pixels = self.streams.borrow(height * width * camera_images.pixel_bytes(sensor.kind))
            camera_images.encode(sensor.kind, planes, pixels, sensor.fov, pose)
            self.streams.publish(sensor.stream, (header, size), pixels)
            header = structs.GBUFFER.to_bytes(8, "little") + header[8:]
            for texture, stream in list(sensor.gbuffers.items()):
                if self.streams.listeners(stream):
                    pixels = self.streams.borrow(height * width * 4)
                    gbuffers.encode(texture, planes, pixels, sensor.fov, pose)
                    self.streams.publish(stream, (header, size), pixels)

    def _due(self, *type_prefixes: str, casting: bool = False) -> list[tuple[int, Sensor]]:
        """Sensors of these kinds, and that cast rays or do not, whose time has come and who have listeners.

        The next time of each is set: as in CARLA by its own clock, which runs from its first tick, heard or not.
        """
        now = self.world.time + 1e-6
        due = []
        for ident, sensor in self.sensors.items():
            if casting != (sensor.instrument is not None and sensor.instrument.casts):
                continue
            if sensor.kind.startswith(type_prefixes) and sensor.due <= now:
                if self.streams.listeners(sensor.stream):
                    due.append((ident, sensor))
                sensor.due += sensor.period
                if sensor.due <= now:  # its first tick, or its ticks are longer than its period
                    sensor.due = self.world.time + sensor.period
        return due

    def _header(self, sensor: Sensor, actor: Actor) -> bytes:
        kind = structs.SENSOR_TYPES[sensor.kind]
        return structs.sensor_header(kind, self.world.frame, self.world.time, actor.transform)


def _each(jobs: Sequence[Callable[[], None]]) -> None:
    for job in jobs:
        job()
