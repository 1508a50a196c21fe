"""The sensors of a world and their streams: scheduling, measuring, publishing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge import carla_wire
from bridge.geometry import focal_length
from bridge.link.shared_memory import host_id
from bridge.messages import Camera, Frame
from bridge.tags import Tag
from neuralsim.base.machine import cores
from neuralsim.town import frames
from neuralsim.town.carla_server import camera_images, structs, wide_angle_cameras
from neuralsim.town.carla_server.actor_states import ActorStates
from neuralsim.town.carla_server.compat import gbuffers, strictness
from neuralsim.town.carla_server.compat.event_camera import EventCamera
from neuralsim.town.carla_server.compat.instruments import INSTRUMENTS
from neuralsim.town.carla_server.compat.sensor_interface import GRAVITY, Cast, Instrument, Measurement
from neuralsim.town.carla_server.compat.v2x import Airwaves
from neuralsim.town.carla_server.generated_cameras import (
    AUTO,
    STYLE,
    GeneratedCamera,
    ImageGenerator,
    is_generated,
)
from neuralsim.town.carla_server.plane_memory import PlaneMemory
from neuralsim.town.carla_server.streams import StreamServer
from neuralsim.town.carla_server.wide_angle_cameras import GeneratedWideAngle, View
from neuralsim.town.core.sensor_blueprints import ColourPlane, colour_plane_of
from neuralsim.town.core.types import Actor
from neuralsim.town.raycasting.rays import Hits
from neuralsim.town.render.raster import Planes
from neuralsim.town.render.view_cache import Instant
from neuralsim.town.render.wide_angle import SUFFIX, Face, WideAngle

if TYPE_CHECKING:
    from neuralsim.town.world import World

_MOST_IMAGES = 4  # rendered at a time


@dataclass
class Sensor:
    """A sensor actor, its streams and its schedule."""

    kind: str  # id of its blueprint
    stream: int
    period: float  # s between two messages, 0 = every tick
    fov: float  # degrees
    due: float = -inf  # simulated time of its next message
    last: float = 0.0  # simulated time of its last one
    instrument: Instrument | None = None
    event_camera: EventCamera | None = None
    gbuffers: dict[int, int] = field(default_factory=dict)  # requested streams of a camera's G-buffer, by texture
    generated: GeneratedCamera | GeneratedWideAngle | None = None  # what makes its images, None: the simulator
    since: Instant | None = None  # when it took its last frame
    wide: WideAngle | None = None  # its lens, unless it is a pinhole camera
    memory: PlaneMemory | None = None  # that its client maps instead of receiving images

    @property
    def streams(self) -> list[int]:
        """All streams of the sensor."""
        return [self.stream, *self.gbuffers.values()]


class Sensing:
    """All sensors of ``world``; also the ``SensorContext`` of its instruments. ``is_strict``: ``compat.strictness``."""

    def __init__(
        self,
        world: World,
        actor_states: ActorStates,
        streams: StreamServer,
        warn: Callable[[str], None],
        is_strict: bool = False,
        generator: ImageGenerator | None = None,
        dialect: structs.Dialect = structs.NEWEST,
    ) -> None:
        self._dialect = dialect
        self.world, self.actor_states, self.streams, self._is_strict = world, actor_states, streams, is_strict
        self.generator = generator
        self.sensors: dict[int, Sensor] = {}
        self.gravity = GRAVITY  # m/s^2, as the IMUs feel it
        self.airwaves = Airwaves()
        self._warn = warn
        # Rays and images take long: they have threads of their own, so that the town goes on answering meanwhile.
        self._image_threads = min(cores(), _MOST_IMAGES)
        self._ray_worker = ThreadPoolExecutor(1, "rays")
        self._image_workers = ThreadPoolExecutor(self._image_threads, "images")
        self._pending: list[Future[Any]] = []
        self._is_closed = False

    def add(self, actor: Actor) -> None:
        """Open the stream of a new sensor. Raise ``ValueError`` for attributes that it cannot work with."""
        kind = actor.blueprint.id
        if kind not in structs.SENSOR_TYPES:
            return
        attributes = actor.attributes
        period = max(0.0, structs.finite(attributes.get("sensor_tick", "0") or 0.0))
        fov = float(attributes.get("fov", "90"))
        make = INSTRUMENTS.get(kind)
        instrument = None if make is None else make(self, actor)
        if instrument is not None and instrument.casts:
            self._ray_worker.submit(self.world.rays)  # what it casts at is built before its first measurement is due
        event_camera = EventCamera(attributes) if kind == "sensor.camera.dvs" else None
        wide = WideAngle.of(attributes) if kind.endswith(SUFFIX) else None
        generated: GeneratedCamera | GeneratedWideAngle | None = None
        if self.generator is not None and is_generated(actor):
            width, height = int(attributes["image_size_x"]), int(attributes["image_size_y"])
            style = attributes.get(STYLE, AUTO)
            if wide is None:
                generated = self.generator.open(width, height, style)
            else:
                generated = GeneratedWideAngle(self.generator, wide, style)
        memory = None
        if attributes.get("memory") and attributes["memory"] == host_id():
            memory = PlaneMemory(attributes["planes"].split(","))
        stream, now = self.streams.open(), self.world.time
        self.sensors[actor.id] = Sensor(
            kind,
            stream,
            period,
            fov,
            last=now,
            instrument=instrument,
            event_camera=event_camera,
            generated=generated,
            wide=wide,
            memory=memory,
        )

    def close(self) -> None:
        """Close all streams when their world goes."""
        self._is_closed = True  # what is queued ends at once; were it cancelled, a tick that waits for it would wait on
        for worker in (self._ray_worker, self._image_workers):
            worker.shutdown(wait=False)
        for sensor in self.sensors.values():
            self._drop(sensor)
        self.sensors.clear()

    def close_removed(self) -> None:
        """Close the streams of sensors that were removed from the world."""
        for ident in [ident for ident in self.sensors if ident not in self.world.actors]:
            self._drop(self.sensors.pop(ident))

    def _drop(self, sensor: Sensor) -> None:
        if sensor.memory is not None:
            sensor.memory.close()
        if sensor.generated is not None:
            sensor.generated.close()
        for stream in sensor.streams:
            self.streams.drop(stream)

    def gbuffer_token(self, actor: int, texture: int, requester: object) -> bytes:
        """Return the stream token of a texture of an rgb camera's G-buffer. Raise ``ValueError`` for other sensors.

        ``requester``: the client that is about to subscribe, for which the next tick waits.
        """
        sensor = self.sensors.get(actor)
        if sensor is None or sensor.wide is not None or colour_plane_of(self.world.actors[actor]) != "rgb":
            raise ValueError(f"actor {actor} has no G-buffer: use a sensor.camera.rgb of full size")
        if not 0 <= texture < gbuffers.COUNT:
            raise ValueError(f"a G-buffer has no texture {texture}: choose 0 to {gbuffers.COUNT - 1}")
        if texture not in sensor.gbuffers:
            sensor.gbuffers[texture] = self.streams.open()
        return self.streams.token(sensor.gbuffers[texture], requester)

    def token(self, actor: int) -> bytes:
        """Return the stream token of an actor, empty unless it is a sensor."""
        sensor = self.sensors.get(actor)
        return b"" if sensor is None else self.streams.token(sensor.stream)

    def cast(
        self, origin: np.ndarray, direction: np.ndarray, reach: float, ignore: int = 0, still: bool = True
    ) -> Hits:
        """Cast rays at the present world (``Rays.cast``).

        Args:
            origin: Where the rays begin, f64 (N, 3) or (3,), m.
            direction: Their directions, f64 (N, 3).
            reach: Their length in lengths of ``direction``.
            ignore: Id of an actor that they pass through.
            still: Whether they can hit anything other than actors.
        """
        return self.caster()(origin, direction, reach, ignore, still)

    def caster(self) -> Cast:
        """Return a ``cast`` at the present world, to be called at any time from any thread."""
        world, poses = self.world, self.world.shapes()[2]

        def cast(origin: np.ndarray, direction: np.ndarray, reach: float, ignore: int = 0, still: bool = True) -> Hits:
            hits: Hits = world.rays().cast(origin, direction, reach, poses, ignore, still)
            return hits

        return cast

    def finish(self) -> None:
        """Wait for the rays and images of the previous tick, which limit how fast the world can tick."""
        wait(self._pending)
        self._pending.clear()

    def await_sent(self, timeout: float) -> None:
        """Wait until clients have the rays and images of this tick: ``timeout`` seconds for each of the two steps."""
        if pending := list(self._pending):
            wait(pending, timeout)
            self.streams.await_read(timeout)

    def describe(self, actor: int, tag: int) -> list[Any]:
        """Return the ``rpc::Actor`` of what was hit: an actor, or scenery with a tag."""
        hit = self.world.actors.get(actor)
        return structs.pack_scenery(Tag(tag).name.lower()) if hit is None else structs.pack_actor(hit, b"")

    def publish_events(self) -> None:
        """Send the collisions of the last tick and the measurements of instruments that cast no rays."""
        detectors = [
            (self.world.actors[ident].parent, sensor)
            for ident, sensor in self.sensors.items()
            if sensor.kind == "sensor.other.collision" and self.streams.subscriber_count(sensor.stream)
        ]
        for event in self.world.events():
            for parent, sensor in detectors:
                if parent == self.actor_states.ident(event.actor):
                    header = self._header(sensor, self.world.actors[parent])
                    self.streams.publish(sensor.stream, (header, self.actor_states.pack_collision(event)))
        self._measure(casting=False)
        with self._isolated("v2x"):
            self.airwaves.exchange(self.world)

    def publish_rays(self) -> None:
        """Begin to cast the rays of the instruments that are due; each sends its message when they have been cast."""
        self._measure(casting=True)

    def _measure(self, casting: bool) -> None:
        for ident, sensor in self._due("sensor.other.", "sensor.lidar.", casting=casting):
            actor = self.world.actors[ident]
            if sensor.instrument is None:
                continue
            header = self._header(sensor, actor)
            with self._isolated(f"{sensor.kind} {ident}"):
                measurement = sensor.instrument.measure(self.world.time - sensor.last)
                sensor.last = self.world.time
                if casting:
                    self._pending.append(
                        self._ray_worker.submit(self._publish_measurement, sensor, header, measurement)
                    )
                else:
                    self._publish_measurement(sensor, header, measurement)

    def _publish_measurement(self, sensor: Sensor, header: bytes, measurement: Measurement) -> None:
        if self._is_closed:
            return
        with self._isolated(sensor.kind):
            body = measurement()
            if body is not None:
                self.streams.publish(sensor.stream, (header, body))

    @contextmanager
    def _isolated(self, name: str) -> Iterator[None]:
        """Turn the failure of one sensor into a warning, so that the others still get their messages out."""
        try:
            yield
        except Exception as error:
            self._warn(f"{name} failed: {type(error).__name__}: {error}")

    def publish_images(self, complete: bool) -> None:
        """Begin to render the images that are due; each is sent once it is rendered.

        ``complete``: whether each image is generated of exactly this tick, and the next one waits; else a camera whose
        generator is busy takes a later tick.
        """
        jobs: list[Callable[[], None]] = []
        later: list[Callable[[], None]] = []
        views: set[bytes] = set()  # cameras at the same place share theirs: a second thread would only wait
        for ident, sensor in self._due("sensor.camera.", complete=complete):
            with self._isolated(f"camera {ident}"):
                if sensor.generated is not None:
                    of_faces, publish = self._generation(ident, sensor)
                    lens, capture = of_faces[0]
                    # While it is idle, one thread does it all: the shortest way to the image.
                    if isinstance(sensor.generated, GeneratedWideAngle):
                        begin = partial(sensor.generated.capture, self.world.frame, of_faces, publish)
                        if complete and sensor.generated.is_idle():
                            self._pending.extend(begin())
                        else:
                            later.append(partial(self._await_frames, begin))
                    elif complete and sensor.generated.is_idle():
                        self._pending.append(sensor.generated.capture(self.world.frame, lens, capture, publish))
                    else:
                        later.append(partial(self._submit, sensor.generated, capture, publish))
                    continue
                actor = self.world.actors[ident]
                picture: ColourPlane = "rgb" if sensor.event_camera else sensor.memory.picture if sensor.memory else ""
                if sensor.wide is None:
                    exposures = [self.world.exposure(ident, picture)]
                else:
                    faces = wide_angle_cameras.cube_of(sensor.kind, sensor.wide).faces
                    exposures = [self.world.exposure(ident, face=face) for face in faces]
                header, pose = self._header(sensor, actor), actor.transform.matrix()
                views.add(pose.tobytes())
                jobs.append(partial(self._publish_image, sensor, header, pose, self.world.time, exposures))
        if self._is_strict:
            jobs = strictness.any_order(jobs, self.world.frame)
        remaining = iter(jobs + later)  # the simulator's own images do not wait for the generator
        for _ in range(min(self._image_threads, len(views) + len(later))):
            self._pending.append(self._image_workers.submit(self._run_all, remaining))

    def _generation(self, ident: int, sensor: Sensor) -> tuple[list[View], Callable[[np.ndarray], None]]:
        """Return a camera's view, of a wide-angle one those of its faces, and what sends the generated image.

        A view is its lens, and what renders its frame of now in any thread.
        """
        world, actor = self.world, self.world.actors[ident]
        since, sensor.since = sensor.since, world.instant()
        lens, tick, now, weather = frames.camera_of(world, ident), world.frame, world.time, dict(world.weather)
        header, bulbs = self._header(sensor, actor), frames.lit_bulbs(world, lens)
        faces = sensor.generated.faces if isinstance(sensor.generated, GeneratedWideAngle) else (None,)

        def view(face: Face | None) -> View:
            exposure = world.exposure(ident, "rgb", since=since, face=face)
            seen = lens if face is None else Camera(face.side, face.side, face.fov, lens.pose @ face.turn)

            def capture() -> Frame:
                planes = exposure()
                if face is None:
                    with self._isolated(sensor.kind):
                        self._publish_gbuffers(sensor, header, planes, lens)
                return frames.as_frame(planes, seen, tick, now, weather, "rgb", bulbs)

            return seen, capture

        return [view(face) for face in faces], partial(self._publish_generated, sensor, header)

    def _await_frames(self, begin: Callable[[], list[Future[Frame]]]) -> None:
        """Wait until the frames of a wide-angle camera are captured, which needs the world of this tick."""
        with self._isolated("a generated image"):
            wait(begin())

    def _submit(
        self, generated: GeneratedCamera, capture: Callable[[], Frame], publish: Callable[[np.ndarray], None]
    ) -> None:
        with self._isolated("a generated image"):
            generated.submit(capture(), publish)

    def _publish_generated(self, sensor: Sensor, header: bytes, image: np.ndarray) -> None:
        with self._isolated(sensor.kind):
            height, width = image.shape[:2]
            pixels = self.streams.borrow(height * width * camera_images.pixel_bytes(sensor.kind))
            camera_images.encode_rgb(image, pixels)
            self.streams.publish(
                sensor.stream, (header, carla_wire.IMAGE_HEADER.pack(width, height, sensor.fov)), pixels
            )

    def _publish_image(
        self, sensor: Sensor, header: bytes, pose: np.ndarray, now: float, exposures: list[Callable[[], Planes]]
    ) -> None:
        """Render and send one image. ``pose`` (camera, f64 (4, 4)) and ``now`` (s) are those of its exposure.

        A wide-angle camera has an exposure for each face.
        """
        with self._isolated(sensor.kind):
            if (lens := sensor.wide) is not None:
                pixels = self.streams.borrow(lens.width * lens.height * 4)
                wide_angle_cameras.encode(sensor.kind, lens, exposures, pixels, pose, self._is_strict)
                size = carla_wire.IMAGE_HEADER.pack(lens.width, lens.height, sensor.fov)
                self.streams.publish(sensor.stream, (header, size), pixels)
                return
            planes = exposures[0]()
            if sensor.memory is not None and (place := sensor.memory.put(planes)) is not None:
                self.streams.publish(
                    sensor.stream, (header, carla_wire.IMAGE_HEADER.pack(len(place) // 4, 1, sensor.fov), place)
                )
                return
            height, width = (planes.tag if planes.rgb is None else planes.rgb).shape[:2]
            size = carla_wire.IMAGE_HEADER.pack(width, height, sensor.fov)
            if sensor.event_camera is not None:
                assert planes.rgb is not None, "captured with rgb"
                events = sensor.event_camera.read(planes.rgb, now)
                if len(events):  # CARLA's client mistakes an array without events for a broken one
                    self.streams.publish(sensor.stream, (header, size, events))
                return
            pixels = self.streams.borrow(height * width * camera_images.pixel_bytes(sensor.kind))
            camera_images.encode(sensor.kind, planes, pixels, sensor.fov, pose)
            if self._is_strict:
                strictness.degrade(sensor.kind, planes, pixels, focal_length(width, sensor.fov), pose)
            self.streams.publish(sensor.stream, (header, size), pixels)
            self._publish_gbuffers(sensor, header, planes, Camera(width, height, sensor.fov, pose))

    def _publish_gbuffers(self, sensor: Sensor, header: bytes, planes: Planes, camera: Camera) -> None:
        size = carla_wire.IMAGE_HEADER.pack(camera.width, camera.height, sensor.fov)
        header = self._dialect.gbuffer.to_bytes(8, "little") + header[8:]
        for texture, stream in list(sensor.gbuffers.items()):
            if self.streams.subscriber_count(stream):
                pixels = self.streams.borrow(camera.height * camera.width * 4)
                if texture in gbuffers.CAMERAS:
                    camera_images.encode(gbuffers.CAMERAS[texture], planes, pixels, sensor.fov, camera.pose)
                else:
                    gbuffers.encode(texture, planes, pixels)
                self.streams.publish(stream, (header, size), pixels)

    def _due(self, *type_prefixes: str, casting: bool = False, complete: bool = True) -> list[tuple[int, Sensor]]:
        """Return the sensors of these kinds, with or without rays, that are due and have subscribers or render anyway.

        Unless ``complete``, cameras whose generator is busy stay due.

        It also sets when each is due next. As in CARLA, that is counted from the sensor's own first tick, whether or
        not anyone subscribed by then.
        """
        now = self.world.time + 1e-6
        due = []
        for ident, sensor in self.sensors.items():
            if casting != (sensor.instrument is not None and sensor.instrument.casts):
                continue
            if not complete and sensor.generated is not None and not sensor.generated.is_ready():
                continue
            if sensor.kind.startswith(type_prefixes) and sensor.due <= now:
                renders_anyway = self._is_strict and sensor.kind.startswith("sensor.camera.")
                if self.streams.subscriber_count(sensor.stream) or (renders_anyway and sensor.generated is None):
                    due.append((ident, sensor))
                sensor.due += sensor.period
                if sensor.due <= now:  # its first tick, or ticks are longer than its period
                    sensor.due = self.world.time + sensor.period
        return due

    def _header(self, sensor: Sensor, actor: Actor) -> bytes:
        kind = structs.SENSOR_TYPES[sensor.kind]
        return structs.sensor_header(kind, self.world.frame, self.world.time, actor.transform)

    def _run_all(self, jobs: Iterator[Callable[[], None]]) -> None:
        """Run the remaining ``jobs``, which threads share."""
        for job in jobs:
            if self._is_closed:
                return
            job()
