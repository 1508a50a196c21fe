"""The sensors of one world and their streams: who is due, what each has to tell, to whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.tags import Tag
from bridge.town.carla_server import events, images, structs
from bridge.town.carla_server.situation import Situation
from bridge.town.carla_server.streams import StreamServer
from bridge.town.core.types import Actor
from bridge.town.sensors.instruments import GRAVITY, INSTRUMENTS, Instrument
from bridge.town.sensors.rays import Hits, Rays

LANE_INVASION = "sensor.other.lane_invasion"  # lives in the client: its stream stays silent


@dataclass
class Sensor:
    """A sensor actor's place in the streams."""

    kind: str  # its blueprint
    stream: int
    period: float  # s between two messages, 0 = every tick
    fov: float  # degrees
    due: float = 0.0  # simulated time of its next message
    last: float = 0.0  # simulated time of its last one
    instrument: Instrument | None = None
    eye: events.EventEye | None = None  # of an event camera


class Sensing:
    """All sensors of ``world``. It is the ``Scene`` that instruments measure."""

    def __init__(
        self, world: Any, situation: Situation, streams: StreamServer, complain: Callable[[str], None]
    ) -> None:
        self.world, self.situation, self.streams = world, situation, streams
        self.sensors: dict[int, Sensor] = {}
        self.gravity = GRAVITY  # m/s^2, as the IMUs feel it
        self._complain = complain
        self._rays: Rays | None = None

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
        if instrument is not None and instrument.casts:
            self.cast(np.zeros(3), np.eye(3)[:1], 1.0)  # built and compiled now, not in the first tick
        eye = events.EventEye(given) if kind == "sensor.camera.dvs" else None
        sensor = Sensor(kind, self.streams.open(), period, fov, instrument=instrument, eye=eye, last=self.world.time)
        self.sensors[actor.id] = sensor

    def close(self) -> None:
        """The world ends: so do its streams."""
        for sensor in self.sensors.values():
            self.streams.drop(sensor.stream)
        self.sensors.clear()

    def forget_lost(self) -> None:
        """Close the streams of sensors that are no longer in the world."""
        for ident in [ident for ident in self.sensors if ident not in self.world.actors]:
            self.streams.drop(self.sensors.pop(ident).stream)

    def token(self, actor: int) -> bytes:
        """The stream token of an actor, empty for all but sensors."""
        sensor = self.sensors.get(actor)
        return b"" if sensor is None else self.streams.token(sensor.stream)

    def cast(
        self, origin: np.ndarray, direction: np.ndarray, reach: float, ignore: int = 0, still: bool = True
    ) -> Hits:
        """What rays meet now: ``Rays.cast``."""
        scene, props, poses = self.world.shapes()
        if self._rays is None:
            self._rays = Rays(scene, props)
        return self._rays.cast(origin, direction, reach, poses, ignore, still)

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
                if parent == self.situation.ident(event.actor):
                    header = self._header(sensor, self.world.actors[parent])
                    self.streams.publish(sensor.stream, (header, self.situation.pack_collision(event)))
        self._measure(casting=False)

    def publish_rays(self) -> None:
        """Send what instruments measure with rays, which may take long."""
        self._measure(casting=True)

    def _measure(self, casting: bool) -> None:
        for ident, sensor in self._due("sensor.other.", "sensor.lidar.", casting=casting):
            actor = self.world.actors[ident]
            try:
                body = sensor.instrument.read(self.world.time - sensor.last) if sensor.instrument else None
            except Exception as error:  # one sensor that cannot measure leaves the others their messages
                self._complain(f"{sensor.kind} {ident} failed: {type(error).__name__}: {error}")
                continue
            sensor.last = self.world.time
            if body is not None:
                self.streams.publish(sensor.stream, (self._header(sensor, actor), body))

    def publish_images(self) -> None:
        """Draw and send the pictures that are due."""
        for ident, sensor in self._due("sensor.camera."):
            try:
                planes = self.world.capture(ident) if sensor.eye is None else self.world.capture(ident, rgb=True)
                self._send(ident, sensor, planes)
            except Exception as error:  # one camera that cannot see leaves the others their pictures
                self._complain(f"camera {ident} failed: {type(error).__name__}: {error}")

    def _send(self, ident: int, sensor: Sensor, planes: Any) -> None:
        actor = self.world.actors[ident]
        height, width = planes.tag.shape
        header, size = self._header(sensor, actor), structs.IMAGE_HEADER.pack(width, height, sensor.fov)
        if sensor.eye is not None:
            seen = sensor.eye.read(planes.rgb, self.world.time)
            if len(seen):  # CARLA's client takes an array without events for a broken one
                self.streams.publish(sensor.stream, (header, size, seen))
            return
        pixels = self.streams.borrow(height * width * images.pixel_bytes(sensor.kind))
        images.encode(sensor.kind, planes, pixels, sensor.fov, actor.transform.matrix())
        self.streams.publish(sensor.stream, (header, size), pixels)

    def _due(self, *houses: str, casting: bool = False) -> list[tuple[int, Sensor]]:
        """Sensors of these kinds, and that cast rays or do not, whose time has come and who have listeners; the next
        time of each is set."""
        now = self.world.time + 1e-6
        due = []
        for ident, sensor in self.sensors.items():
            if casting != (sensor.instrument is not None and sensor.instrument.casts):
                continue
            if sensor.kind.startswith(houses) and sensor.due <= now and self.streams.listeners(sensor.stream):
                due.append((ident, sensor))
                sensor.due += sensor.period
                if sensor.due <= now:  # its first message, or its ticks are longer than its period
                    sensor.due = self.world.time + sensor.period
        return due

    def _header(self, sensor: Sensor, actor: Actor) -> bytes:
        kind = structs.SENSOR_TYPES[sensor.kind]
        return structs.sensor_header(kind, self.world.frame, self.world.time, actor.transform)
