"""The ego on a CARLA server: controls are applied to it, and each tick becomes a frame.

Uses the official client only, so the embedded town and a real CARLA 0.9.16 are served by the same code.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import radians
from typing import Any, Protocol, TypeVar

import numpy as np

from bridge.carla_client.camera_rig import RigSpec, SensorTimeout
from bridge.carla_client.collisions import CollisionCounter
from bridge.carla_client.connection import CALL_TIMEOUT
from bridge.carla_client.ego_vehicle import EgoVehicle, spawn_ego
from bridge.carla_client.routing.autopilot import Autopilot
from bridge.carla_client.routing.navigation import ChartSender, Navigator, nearby_traffic
from bridge.carla_client.routing.spawn_points import SpawnPoints, first_free, is_clear
from bridge.carla_client.routing.unstuck import RANGE, Unstuck
from bridge.carla_client.scenario_hooks import ScenarioHooks
from bridge.carla_client.sensor_rigs import Images, SensorRigs
from bridge.carla_client.surroundings import Surroundings
from bridge.carla_client.vehicle_geometry import VehicleGeometry, read_physics
from bridge.carla_client.weather import WeatherControl
from bridge.carla_client.world_clock import NOTICE, STARTUP_TIMEOUT, WorldClock
from bridge.carla_library import carla
from bridge.ego_camera import EGO_CAMERA
from bridge.messages import MIRROR_PLANES, Control, Ego, Frame, Lights, RearView
from bridge.weather import needs_headlamps

NOTICE_SECONDS = 2.0  # s for which frames repeat a notice: some frames may be skipped
CAMERA_NOTICE = "Another program removed a camera of this drive; it is back"
CLOSE_TIMEOUT = 10.0  # s per call while closing: a server left synchronous seems to hang
ARRIVAL_BRAKE = 0.5  # of the pedal, at a destination
STANDING = 0.3  # m/s
BRAKE_LIGHT_FROM = 0.02  # position of the brake pedal that turns the brake lights on
STARTS = 12  # places that are tried at the beginning for one with a free lane ahead: traffic comes near at each
ASKING = 20.0  # s for which a stuck autopilot asks for a respawn before it goes elsewhere by itself
RAYS = 60  # around the ego, to see what stands there
RAY_HEIGHT = 0.5  # m
GROUND = (
    carla.CityObjectLabel.Roads,
    carla.CityObjectLabel.RoadLines,
    carla.CityObjectLabel.Sidewalks,
    carla.CityObjectLabel.Terrain,
    carla.CityObjectLabel.Ground,
)

_HEADLAMPS = Lights.POSITION | Lights.LOW_BEAM | Lights.HIGH_BEAM
_ALL_LIGHTS = (1 << 32) - 1


def _default_mount() -> carla.Transform:
    return carla.Transform(carla.Location(*EGO_CAMERA))


@dataclass(frozen=True)
class BridgeSettings:
    """What a bridge drives with and publishes."""

    size: tuple[int, int] = (512, 256)  # width and height of the frames, px
    fov: float = 70.0  # horizontal, degrees
    fps: float = 30.0  # ticks per simulated second
    seed: int = 0  # of spawn point and autopilot
    weather: str = ""  # a preset of ``carla.WeatherParameters``, "" to leave the weather unchanged
    planes: tuple[str, ...] = ("tag", "instance", "depth", "motion")  # always published; ``rgb`` is sent on demand
    mount: carla.Transform = field(default_factory=_default_mount)  # the camera's pose on the vehicle
    autopilot: bool = False  # drive with it until a control turns it off
    vehicle: str = "vehicle.tesla.model3"  # blueprint of the car to drive, if the server has it
    scenario: str = ""  # its name in the frames
    more_cameras: Mapping[str, RigSpec] = field(default_factory=dict)  # further cameras by name
    jitter: bool = False  # shift all images by a fraction of a pixel, if the server supports it
    motion: str = "auto"  # where it comes from: ``BridgeOptions.motion``


class _Part(Protocol):
    """A part of the bridge that has actors on the server."""

    @property
    def actors(self) -> list[Any]:
        """The actors to be destroyed."""

    def stop(self) -> None:
        """Stop listening to sensors."""


_P = TypeVar("_P", bound=_Part)


class CarlaBridge:
    """Drives one vehicle of a server and turns every tick into a ``Frame``.

    A context manager: leaving it destroys its actors and restores the server's settings. Raises ``BridgeError``, and
    RuntimeError from the client when the server is lost.

    Args:
        client: The client of the server.
        settings: What to drive with and what to publish.
        director: Spawns and drives the ego instead of the bridge.
        over: Whether to give up while starting, which raises ``BridgeError``.
    """

    def __init__(
        self,
        client: carla.Client,
        settings: BridgeSettings | None = None,
        director: ScenarioHooks | None = None,
        over: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings = settings or BridgeSettings()
        self.delta = 1.0 / settings.fps
        self.control = Control(0, autopilot=settings.autopilot)
        self._follows_real_time = False
        self.sequence = 0
        #: Frames of the further cameras at the last tick, to be published before the first camera's.
        self.extra_frames: list[Frame] = []
        self._director = director
        self._is_directed = director is not None and director.drives_ego
        self._is_handed_over = False
        self._weather_interval = max(1, round(settings.fps))  # frames between two looks at the server's
        self._notice = ("", 0)  # and the sequence number at which it expires
        self._parts: list[_Part] = []
        self._is_closed = False
        self._client = client
        client.set_timeout(STARTUP_TIMEOUT)  # any call before the first images may have to wait for compilation
        world = client.get_world()
        self._clock = WorldClock(client, world, self.delta, over)
        try:
            self._clock.start()
            self.map: carla.Map = world.get_map()
            self._spawn_points = SpawnPoints(self.map, settings.seed)
            directed_ego = None if director is None else director.spawn(world, self.map)
            self._ego = self._add(
                EgoVehicle(directed_ego or spawn_ego(world, self._spawn_points, settings.vehicle), self.map)
            )
            vehicle = self._ego.actor
            self._weather = WeatherControl(world, settings.weather)
            self._collisions = self._add(CollisionCounter(world, vehicle))
            camera = RigSpec(settings.size, settings.fov, settings.mount)
            self._sensors = self._add(
                SensorRigs(
                    world, vehicle, camera, settings.more_cameras, settings.planes, settings.jitter, settings.motion
                )
            )  # fmt: skip
            self._snapshot = self._sensors.warm_up(self._clock)
            client.set_timeout(CALL_TIMEOUT)
            self._surroundings = Surroundings(world, vehicle)
            self._update_actors()
            physics = read_physics(vehicle)
            self._collisions.set_mass(physics)
            geometry = VehicleGeometry.of(vehicle, physics)
            self._autopilot = Autopilot(self.map, geometry, settings.seed)
            self._unstuck = Unstuck(geometry)
            self._helpless = 0.0  # s that the autopilot has been out of ideas
            self._navigator = Navigator(self.map, None if self._is_directed else self._autopilot)
            self._charts = ChartSender(self.map)
            if director is not None:
                director.begin(self._snapshot)
            else:
                self._find_start()
        except BaseException:
            self.close()
            raise

    def _add(self, part: _P) -> _P:
        self._parts.append(part)
        return part

    def _find_start(self) -> None:
        """Put the ego elsewhere as long as somebody is in its lane ahead."""
        for _ in range(STARTS):
            if is_clear(self._ego.transform, self._surroundings.bodies()):
                return
            self.respawn()
            self._clock.tick(CALL_TIMEOUT)
            self._snapshot = self._clock.snapshot()
            self._update_actors()

    # Called by the loop

    def follow_real_time(self, follow: bool) -> bool:
        """Let steps last as long as real time demands, or all equally long; return whether they do the former.

        A director's actors need equal steps, and only the embedded town has others.
        """
        follow = follow and self._director is None and self._clock.can_follow_real_time
        if follow != self._follows_real_time:
            self._clock.follow_real_time(follow)
            self._follows_real_time = follow
        return follow

    def notify(self, notice: str) -> None:
        """Show this notice on all screens for a moment."""
        self._notice = (notice, self.sequence + round(NOTICE_SECONDS / self.delta))

    def apply_control(self, control: Control) -> None:
        """Apply the driver's input: pedals with the next ``drive``, everything else at once."""
        old, self.control = self.control, control
        if control.respawn > old.respawn:
            self._respawn_for_driver()
        if control.repair > old.repair:
            self.notify("Repaired" if self._ego.repair() else "Nothing is damaged on a CARLA server")
        if control.autopilot and not old.autopilot:
            self._navigator.has_arrived = False  # it was switched on to drive on
            self._unstuck.reset()
        self._weather.apply(control, old)
        if (control.camera, control.size) != (old.camera, old.size):
            self._sensors.look_through(control, self._clock)
            self._snapshot = self._clock.snapshot()
            self._update_actors()  # motion is relative to the last tick, and there were some
        elif (control.rgb, control.rgb_half) != (old.rgb, old.rgb_half):
            self._sensors.select_planes(control)
        self._sensors.mirrors.show(control.mirrors())
        if control.going != old.going:
            self._notify_if(self._navigator.set_destination(control, self._ego.transform.location))

    def drive(self) -> None:
        """Send the pedals of the scenario, the autopilot or the driver to the server."""
        self._notify_if(self._clock.hold())
        pedals = None if self._director is None else self._director.drive(self._surroundings, self.delta)
        if self._director is not None or self.sequence % self._weather_interval == 0:
            self._weather.refresh()
        if pedals is None:
            pedals = self._autopilot_pedals() if self.control.autopilot else self._driver_pedals()
        self._ego.apply(pedals)
        self._switch_lights(pedals)

    def tick(self) -> Frame:
        """Advance the simulation by one step and return its frame; the planes are valid until the next call.

        Further steps where another client had turned rendering off or destroyed a camera: the first has no images.
        """
        try:
            return self._tick()
        except SensorTimeout:
            if self._clock.turn_rendering_on():
                self.notify(NOTICE)
            elif self._sensors.restore(self._clock):
                self.notify(CAMERA_NOTICE)
            else:
                raise
            return self._tick()

    def _tick(self) -> Frame:
        stamps = {"capture": time.monotonic_ns()}
        number = self._clock.tick(CALL_TIMEOUT)
        self._snapshot = self._clock.snapshot()  # all poses are known, while the images are still being rendered
        self._update_actors()
        self._notify_if(self._navigator.follow(self._ego.transform.location))
        ego = self._ego.describe(self.control.autopilot)
        traffic = nearby_traffic(self._surroundings.bodies(), ego.pose[0, 3], ego.pose[1, 3])
        images = self._sensors.gather(number, self._clock.is_rendering_off)
        stamps["simulated"] = time.monotonic_ns()
        ego.collisions = self._collisions.count  # their events have arrived before the images
        play = self._observe()
        self.extra_frames = [self._frame(view, images, ego, dict(stamps), traffic, play) for view in images if view]
        return self._frame("", images, ego, stamps, traffic, play)

    def _respawn_for_driver(self) -> None:
        if self._is_directed and not self._is_handed_over:
            self.notify("The scenario drives this car: it cannot respawn")
        else:
            self.notify("Respawned" if self.respawn() else "No other place is free")

    def respawn(self) -> bool:
        """Put the ego, at rest, on the next free spawn point, with a free lane ahead if possible.

        Returns whether there was a free one; else it stays.
        """
        place = first_free(self._spawn_points, self._surroundings.bodies())
        if place is None:
            return False
        self._ego.move_to(place)
        self._ego.repair()
        self._collisions.reset()
        self._autopilot.reset()
        self._unstuck.reset()
        self._navigator.has_arrived = False
        self._navigator.update_autopilot()
        return True

    def stop_ego(self) -> None:
        """Bring the ego to rest where it is."""
        self._ego.move_to(self._ego.transform)

    def close(self) -> None:
        """Destroy everything that was spawned and restore the server's settings, as far as it still responds."""
        if self._is_closed:
            return
        self._is_closed = True
        self._client.set_timeout(CLOSE_TIMEOUT)
        parts = [*self._parts, *([] if self._director is None else [self._director])]
        steps: list[Callable[[], object]] = [part.stop for part in parts]
        steps += [partial(self._destroy, part) for part in reversed(parts)]
        for step in (*steps, self._clock.restore):
            with contextlib.suppress(Exception):  # whatever fails, the others are done
                step()

    def _destroy(self, part: _Part) -> None:
        self._client.apply_batch_sync([carla.command.DestroyActor(actor.id) for actor in reversed(part.actors)])

    def __enter__(self) -> CarlaBridge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The scenario

    @property
    def over(self) -> bool:
        """Whether there was a scenario and it has ended."""
        return self._director is not None and self._director.over

    @property
    def half(self) -> tuple[float, float]:
        """Half length and width of the ego, m."""
        return self._ego.half

    def hand_over(self) -> None:
        """Hand a scenario's ego over to the driver; the scenario then continues without an end."""
        if self._director is not None:
            self._director.hand_over()
            self._is_handed_over = True

    def result(self) -> dict[str, Any]:
        """Return the scenario's result, ready for JSON."""
        return {} if self._director is None else self._director.result()

    def _observe(self) -> str:
        if self._director is None:
            return ""
        self._director.observe(self._snapshot)
        return self._director.report()

    # Driving

    def _update_actors(self) -> None:
        self._ego.update(self._snapshot)
        self._surroundings.update(self._snapshot)

    def _notify_if(self, notice: str) -> None:
        if notice:
            self.notify(notice)

    def _switch_lights(self, pedals: carla.VehicleControl) -> None:
        """Switch the ego's lamps: those of the driver, and those that follow from ``pedals`` and the weather."""
        lights = self.control.lights
        if self.control.lights_auto and needs_headlamps(self._weather.values):
            lights |= Lights.POSITION | Lights.LOW_BEAM
        if pedals.brake > BRAKE_LIGHT_FROM:
            lights |= Lights.BRAKE
        if pedals.reverse:
            lights |= Lights.REVERSE
        # A scenario switches its own ego's other lamps.
        self._ego.switch_lights(lights, _HEADLAMPS if self._is_directed else _ALL_LIGHTS)

    def _driver_pedals(self) -> carla.VehicleControl:
        control = self.control
        return carla.VehicleControl(control.throttle, control.steer, control.brake, control.hand_brake, control.reverse)

    def _autopilot_pedals(self) -> carla.VehicleControl:
        pose = self._ego.transform
        position = pose.location
        pedals = self._autopilot.drive(
            position.x, position.y, position.z, radians(pose.rotation.yaw), self._ego.speed,
            self._surroundings.bodies(), [*self._surroundings.halts(), *self._navigator.halts],
            self._snapshot.timestamp.delta_seconds,
        )  # fmt: skip
        if self._navigator.has_arrived:  # it stands there until it is told to go on
            return carla.VehicleControl(0.0, pedals.steer, ARRIVAL_BRAKE, abs(self._ego.speed) < STANDING)
        if self._autopilot.has_arrived and not self._navigator.is_active and not self._is_directed:
            self.respawn()
            self.notify("The road ends here: continuing from another place")
        delta = self._snapshot.timestamp.delta_seconds
        pedals, is_reverse = self._unstuck.drive(
            pedals,
            (position.x, position.y, radians(pose.rotation.yaw)),
            self._ego.speed,
            delta,
            self._surroundings.bodies(),
            self._look_around,
        )
        self._helpless = self._helpless + delta if self._unstuck.is_helpless else 0.0
        if self._helpless > ASKING and not self._is_directed:
            self.respawn()
            self.notify("The autopilot was stuck: continuing from another place")
        elif self._helpless > 0.0:
            self.notify("The autopilot is stuck and out of ideas: press Backspace to go on from another place")
        return carla.VehicleControl(pedals.throttle, pedals.steer, pedals.brake, False, is_reverse)

    def _look_around(self) -> np.ndarray:
        """Return where level rays from the ego hit what stands around it, f64 (N, 2), m; none on old servers."""
        pose, (length, width) = self._ego.transform, self._ego.half
        origin, world = pose.location + carla.Location(z=RAY_HEIGHT), self._ego.actor.get_world()
        points = []
        for angle in np.linspace(0.0, 2.0 * np.pi, RAYS, endpoint=False) + radians(pose.rotation.yaw):
            end = origin + carla.Location(RANGE * float(np.cos(angle)), RANGE * float(np.sin(angle)), 0.0)
            for hit in world.cast_ray(origin, end):
                local = pose.inverse_transform(carla.Location(hit.location))
                if (abs(local.x) > length or abs(local.y) > width) and hit.label not in GROUND:
                    points.append((hit.location.x, hit.location.y))
                    break
        return np.array(points, np.float64).reshape(-1, 2)

    # Frames

    def _frame(
        self, view: str, images: Images, ego: Ego, stamps: dict[str, int], traffic: np.ndarray, play: str
    ) -> Frame:
        camera, planes = self._sensors.decode(view, images)
        objects = self._surroundings.objects(camera, planes)
        self._sensors.add_motion(view, camera, planes, self._surroundings.movers)
        objects += self._surroundings.parked(camera, planes)  # once scenery has no actor's instance
        self._notify_if(self._sensors.unknown_tags())
        mirror = None if view else self._rear_view(planes)
        frame = Frame(
            sequence=self.sequence,
            sim_frame=self._snapshot.frame,
            sim_time=self._snapshot.timestamp.elapsed_seconds,
            camera=camera,
            planes=planes,
            ego=ego,
            control_seq=self.control.sequence,
            stamps=stamps,
            weather=self._weather.values,
            weather_name=self._weather.name,
            objects=objects,
            lamps=self._surroundings.lamps(camera, planes),
            scenario=self.settings.scenario,
            seed=self.settings.seed,
            play=play,
            view=view,
            notice=self._notice[0] if self.sequence < self._notice[1] else "",
            impact=self._collisions.newest,
            mount="" if view else self._sensors.mount,
            route=self._navigator.visible_route(),
            route_left=self._navigator.remaining,
            traffic=traffic,
            mirror=mirror,
            chart=None if view else self._charts.due(self.control.chart),
        )
        self.sequence += 1
        return frame

    def _rear_view(self, planes: dict[str, np.ndarray]) -> RearView | None:
        """Return what a mirror shows and add its planes to ``planes``; None if no mirror has a new image."""
        seen = self._sensors.mirrors.update(self._snapshot.frame, self._surroundings.movers)
        if seen is None:
            return None
        mirror, camera, own = seen
        planes |= {name: own[plane] for name, plane in MIRROR_PLANES.items()}
        return RearView(camera, self._surroundings.lamps(camera, own), mirror)
