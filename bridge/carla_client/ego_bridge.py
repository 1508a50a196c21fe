"""The ego on a CARLA server: controls are applied to it, each tick becomes a frame.

Written against the official client alone, so the embedded town and a real CARLA 0.9.16 are served by the same code.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from math import radians
from typing import Any

import carla
import numpy as np

from bridge.carla_client.camera_rig import OURS, CameraRig, matrix
from bridge.carla_client.collisions import CollisionCounter
from bridge.carla_client.connection import CALL_TIMEOUT
from bridge.carla_client.ego_cameras import EgoCameras
from bridge.carla_client.routing.autopilot import Autopilot
from bridge.carla_client.routing.navigation import Charts, Navigator, traffic_around
from bridge.carla_client.routing.spawn_points import SpawnPoints
from bridge.carla_client.scenario_hooks import ScenarioHooks
from bridge.carla_client.sun import sun_at
from bridge.carla_client.surroundings import Surroundings
from bridge.carla_client.weather import weather_values
from bridge.messages import Camera, Control, Ego, Frame
from bridge.process.lifetime import BridgeError
from bridge.process.presets import WEATHERS

MAX_WARM_UP_TICKS = 60  # within which all cameras must deliver
FIRST_IMAGE_TIMEOUT = 0.5  # s to wait for a picture of a camera that has sent none yet: it may begin with a later tick
NOTICE_SECONDS = 2.0  # s for which frames repeat a notice: some of them may be skipped
LIVENESS_WAIT = 0.5  # s in which a bridge that lives makes a tick
WARM_UP_TICKS = 12  # ticks before a drive's first frame
START_FRAME_MULTIPLE = 12  # a drive begins at such a tick; more ticks than a client needs to enter sync mode
STARTUP_TIMEOUT = 90.0  # s per call until the first frame: servers load assets or compile their kernels


class CarlaBridge:
    """Drives one vehicle of a server and turns every tick into a ``Frame``.

    A context manager: leaving it destroys its actors and restores the settings. ``client``: of the server; ``size``
    (width, height) in pixels; ``fov`` horizontal, degrees; ``fps`` ticks per simulated second; ``seed`` of spawn point
    and autopilot; ``weather`` a preset of ``carla.WeatherParameters`` or "" to leave it; ``planes`` those always
    published (``rgb`` comes on demand); ``mount`` the camera's pose at the vehicle; ``autopilot``: drive with it until
    a control says otherwise; ``director`` spawns and drives the ego instead of the bridge; ``scenario`` its name in the
    frames; ``more_cameras`` further ones by name: size, fov, mount; ``jitter``: all shifted by parts of a pixel, where
    the server can. Raises ``BridgeError``, and RuntimeError from the client when the server is lost.
    """

    def __init__(
        self,
        client: carla.Client,
        size: tuple[int, int] = (512, 256),
        fov: float = 70.0,
        fps: float = 30.0,
        seed: int = 0,
        weather: str = "",
        planes: Sequence[str] = ("tag", "instance", "depth", "motion"),
        mount: carla.Transform | None = None,
        autopilot: bool = False,
        director: ScenarioHooks | None = None,
        scenario: str = "",
        more_cameras: Mapping[str, tuple[tuple[int, int], float, carla.Transform]] | None = None,
        jitter: bool = False,
    ) -> None:
        self.seed, self.delta = seed, 1.0 / fps
        self.scenario, self._director = scenario, director
        self._directed = director is not None and director.drives_ego
        self.planes = tuple(planes)
        self.control = Control(0, autopilot=autopilot)
        self.sequence = 0
        self._jitter = jitter
        self._client = client
        client.set_timeout(STARTUP_TIMEOUT)  # kernels may be compiled within any call up to the first pictures
        self._world = client.get_world()
        self._old_settings = self._world.get_settings()
        self._actors: list[Any] = []
        self._cameras: EgoCameras | None = None
        self._more_cameras = dict(more_cameras or {})
        self._other_rigs: dict[str, CameraRig] = {}
        #: Frames of the further cameras at the last tick, to be published before the first camera's.
        self.extra_frames: list[Frame] = []
        self._collisions: Any = None
        self._notice = ("", 0)  # and the sequence from which on it has expired
        try:
            self._begin(size, fov, weather, mount or carla.Transform(carla.Location(x=1.2, z=1.45)))
        except BaseException:
            self.close()
            raise

    def _begin(self, size: tuple[int, int], fov: float, weather: str, mount: carla.Transform) -> None:
        self._enable_sync_mode()
        self._remove_leftovers()
        self._map = self._world.get_map()
        self._spawn_points = SpawnPoints(self._map, self.seed)
        directed = None if self._director is None else self._director.spawn(self._world, self._map)
        self._ego = directed or self._spawn_ego()
        self._actors.append(self._ego)
        self._set_weather(weather)
        self._collisions = CollisionCounter(self._world, self._ego)
        self._actors.append(self._collisions.sensor)
        self._cameras = EgoCameras(self._world, self._ego, size, fov, mount, self._jitter, self.delta)
        self._rig.want(self.planes)
        for name, camera in self._more_cameras.items():
            self._other_rigs[name] = CameraRig(self._world, self._ego, *camera, self._jitter)
            self._other_rigs[name].want(self.planes)
        self._snapshot = self._warm_up()
        self._client.set_timeout(CALL_TIMEOUT)
        self._surroundings = Surroundings(self._world, self._ego)
        self._surroundings.update(self._snapshot)
        self._autopilot = self._make_autopilot()
        self._navigator, self._charts = Navigator(self._map), Charts(self._map)
        if self._director is not None:
            self._director.begin(self._snapshot)

    def _enable_sync_mode(self) -> None:
        """Enter sync mode: from here on nothing moves without a tick.

        CARLA's client ticks until two snapshots in a row have the new step; how often depends on when they arrive. The
        clock is then advanced to a fixed multiple, so that a drive begins with a fresh town in the same state.
        """
        settings = self._world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, self.delta
        self._world.apply_settings(settings)
        while self._world.tick(STARTUP_TIMEOUT) % START_FRAME_MULTIPLE:
            pass

    def _remove_leftovers(self) -> None:
        """Destroy what a bridge that was killed has left: our sensors, and what they hang on.

        Another bridge that lives keeps the clock: then the server was synchronous, and goes on ticking without us.
        """
        sensors = [each for each in self._world.get_actors() if each.attributes.get("role_name") == OURS]
        if not sensors:
            return
        if self._old_settings.synchronous_mode:
            before = self._world.get_snapshot().frame
            time.sleep(LIVENESS_WAIT)
            if self._world.get_snapshot().frame != before:
                return
        hosts = {each.parent.id for each in sensors if each.parent is not None}
        commands = [carla.command.DestroyActor(ident) for ident in (*(each.id for each in sensors), *hosts)]
        self._client.apply_batch_sync(commands)
        while self._world.tick(STARTUP_TIMEOUT) % START_FRAME_MULTIPLE:
            pass

    # The loop's verbs

    def notify(self, notice: str) -> None:
        """Show this on all screens for a moment."""
        self._notice = (notice, self.sequence + round(NOTICE_SECONDS / self.delta))

    def apply_control(self, control: Control) -> None:
        """Apply the driver's input: pedals with the next ``drive``; respawn, weather and the rgb plane at once."""
        old, self.control = self.control, control
        if control.respawn > old.respawn and not self._directed:
            self.respawn()
        if control.weather > old.weather:
            self._set_weather(WEATHERS[(self._weather_index() + control.weather - old.weather) % len(WEATHERS)])
        elif (control.preset, control.minutes) != (old.preset, old.minutes):
            known = control.preset if control.preset in WEATHERS and control.preset != old.preset else ""
            self._set_weather(known or self._weather_name)
        if control.camera != old.camera:
            self._look_through(control.camera)
        elif (control.rgb, control.rgb_half) != (old.rgb, old.rgb_half):
            self._want_planes()
        if self._cameras is not None:
            self._cameras.mirror.show(control.mirror)
        if control.going != old.going:
            self._navigate(control)

    def drive(self) -> None:
        """Send the pedals of the driver, or of the autopilot, to the server."""
        control = self.control
        directed = None if self._director is None else self._director.drive(self._surroundings, self.delta)
        if directed is not None:
            self._pedals = directed
        elif control.autopilot:
            pose = self._ego_state.get_transform()
            at = pose.location
            pedals = self._autopilot.drive(
                at.x, at.y, at.z, radians(pose.rotation.yaw), self._speed(),
                self._surroundings.bodies(), self._surroundings.halts(), self.delta,
            )  # fmt: skip
            self._pedals = carla.VehicleControl(pedals.throttle, pedals.steer, pedals.brake)
            if self._autopilot.arrived and not self._navigator.active and not self._directed:
                self.respawn()
                self.notify("The road ends here: on from another place")
        else:
            self._pedals = carla.VehicleControl(
                control.throttle, control.steer, control.brake, control.hand_brake, control.reverse
            )
        self._ego.apply_control(self._pedals)

    def tick(self) -> Frame:
        """Advance the simulation by one step and return its frame; the planes are valid until the next call."""
        stamps = {"capture": time.monotonic_ns()}
        number = self._world.tick(CALL_TIMEOUT)
        self._snapshot = self._world.get_snapshot()  # where all are is known; the pictures are being drawn
        self._surroundings.update(self._snapshot)
        self._follow_route()
        ego = self._describe_ego()
        self._traffic = traffic_around(self._surroundings.bodies(), ego.pose[0, 3], ego.pose[1, 3])
        images = self._rig.gather(number, CALL_TIMEOUT)
        others = {name: rig.gather(number, CALL_TIMEOUT) for name, rig in self._other_rigs.items()}
        stamps["simulated"] = time.monotonic_ns()
        ego.collisions = self._collisions.count  # which have come before the pictures
        if self._director is not None:
            self._director.observe(self._snapshot)
        play = "" if self._director is None else self._director.report()
        self.extra_frames = [
            self._frame(*self._other_rigs[name].decode(seen), ego, dict(stamps), play, name)
            for name, seen in others.items()
        ]
        return self._frame(*self._rig.decode(images), ego, stamps, play)

    def _frame(
        self, camera: Camera, planes: dict[str, np.ndarray], ego: Ego, stamps: dict[str, int], play: str, view: str = ""
    ) -> Frame:
        frame = Frame(
            sequence=self.sequence,
            sim_frame=self._snapshot.frame,
            sim_time=self._snapshot.timestamp.elapsed_seconds,
            camera=camera,
            planes=planes,
            ego=ego,
            control_seq=self.control.sequence,
            stamps=stamps,
            weather=self._weather,
            weather_name=self._weather_name,
            objects=self._surroundings.objects(camera, planes),
            lamps=self._surroundings.lamps(camera, planes),
            scenario=self.scenario,
            seed=self.seed,
            play=play,
            view=view,
            notice=self._notice[0] if self.sequence < self._notice[1] else "",
            impact=self._collisions.newest,
            mount="" if view or self._cameras is None else self._cameras.name,
            route=self._navigator.shown(),
            route_left=self._navigator.left,
            traffic=self._traffic,
            mirror=b"" if view or self._cameras is None else self._cameras.mirror.newest(),
            chart=self._charts.due(self.control.chart) if not view else None,
        )
        self.sequence += 1
        return frame

    def respawn(self) -> None:
        """Put the ego, at rest, on the next free spawn point."""
        bodies = self._surroundings.bodies()
        for point in self._spawn_points:
            if all(abs(b.x - point.location.x) + abs(b.y - point.location.y) > 10.0 for b in bodies):
                break
        self._ego.set_target_velocity(carla.Vector3D())
        self._ego.set_transform(point)
        self._collisions.reset()
        self._autopilot.reset()
        self._hand_route_to_autopilot()

    def close(self) -> None:
        """Destroy what was spawned and restore the server's settings, as far as it still responds."""
        self._client.set_timeout(1.0)
        with contextlib.suppress(RuntimeError):
            for rig in (self._cameras, *self._other_rigs.values()):
                if rig is not None:
                    rig.stop()
                    self._actors += rig.actors
            if self._collisions is not None:
                self._collisions.sensor.stop()
            if self._director is not None:
                self._director.stop()
                self._actors += self._director.actors
            self._client.apply_batch_sync([carla.command.DestroyActor(actor.id) for actor in reversed(self._actors)])
            self._actors = []
            self._world.apply_settings(self._old_settings)

    def __enter__(self) -> CarlaBridge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Setting up

    def _spawn_ego(self) -> Any:
        library = self._world.get_blueprint_library()
        cars = [
            b
            for b in library.filter("vehicle.*")
            if b.has_attribute("number_of_wheels") and int(b.get_attribute("number_of_wheels")) == 4
        ]
        if not cars:
            raise BridgeError("this server has no car to drive")
        blueprint = next((b for b in cars if b.id == "vehicle.tesla.model3"), cars[0])
        if blueprint.has_attribute("role_name"):
            blueprint.set_attribute("role_name", "hero")
        for point in self._spawn_points:
            if (ego := self._world.try_spawn_actor(blueprint, point)) is not None:
                return ego
        raise BridgeError(
            f"none of the map's {len(self._spawn_points.points)} spawn points is free; restart the server"
        )

    def _warm_up(self) -> Any:
        """Tick ``WARM_UP_TICKS`` times, and further until every camera delivers.

        The number is fixed where possible, since the first picture's arrival depends on the machine's load, and the
        town must be in the same state at every drive's first frame.
        """
        for tick in range(1, MAX_WARM_UP_TICKS + 1):
            number = self._world.tick(STARTUP_TIMEOUT)
            rigs = (self._rig, *self._other_rigs.values())
            seen = [rig.gather(number, STARTUP_TIMEOUT, FIRST_IMAGE_TIMEOUT) for rig in rigs]
            if all(rig.steady() for rig in rigs) and tick >= WARM_UP_TICKS:
                for rig, images in zip(rigs, seen, strict=True):
                    rig.decode(images)
                return self._world.get_snapshot()
        raise BridgeError("the server's cameras send nothing; is it running without rendering?")

    def _make_autopilot(self) -> Autopilot:
        extent = self._ego.bounding_box.extent
        wheelbase, lock = 1.2 * extent.x, radians(40.0)
        with contextlib.suppress(RuntimeError):
            physics = self._ego.get_physics_control()
            lock = radians(max(wheel.max_steer_angle for wheel in physics.wheels)) or lock
            self._collisions.mass = physics.mass or self._collisions.mass
        return Autopilot(self._map, extent.x, extent.y, wheelbase, lock, self.seed)

    @property
    def _rig(self) -> CameraRig:
        """Of the camera that is looked through."""
        assert self._cameras is not None
        return self._cameras.rig

    def _wanted(self) -> tuple[str, ...]:
        asked = {"rgb": self.control.rgb, "rgb_half": self.control.rgb_half}
        return (*self.planes, *(name for name, wanted in asked.items() if wanted and name not in self.planes))

    def _want_planes(self) -> None:
        self._rig.want(self._wanted())

    def _look_through(self, camera: str) -> None:
        """Change to another camera; ticks pass until it delivers."""
        assert self._cameras is not None
        if not self._cameras.choose(camera, self._wanted()):
            return
        for _ in range(MAX_WARM_UP_TICKS):
            number = self._world.tick(CALL_TIMEOUT)
            seen = self._rig.gather(number, CALL_TIMEOUT, FIRST_IMAGE_TIMEOUT)
            for rig in self._other_rigs.values():
                rig.gather(number, CALL_TIMEOUT)
            if self._rig.steady():
                self._rig.decode(seen)
                return

    # Navigation

    def _navigate(self, control: Control) -> None:
        """Plan the way to where the driver has pointed, or forget it."""
        here = self._ego_state.get_transform().location
        self._navigator.stop()
        if control.goal and (why := self._navigator.go(control.goal_x, control.goal_y, here)):
            self.notify(why)
        self._hand_route_to_autopilot()

    def _follow_route(self) -> None:
        happened = self._navigator.follow(self._ego_state.get_transform().location)
        if happened:
            self.notify(happened)
            self._hand_route_to_autopilot()

    def _hand_route_to_autopilot(self) -> None:
        if not self._directed:
            self._autopilot.reset()
            self._autopilot.follow((point.way, point.x, point.y) for point in self._navigator.ahead)

    # Weather and ego

    def _set_weather(self, name: str) -> None:
        if name or self.control.minutes:
            wanted = getattr(carla.WeatherParameters, name) if name else self._world.get_weather()
            if self.control.minutes:
                wanted.sun_azimuth_angle, wanted.sun_altitude_angle = sun_at(self.control.minutes)
            self._world.set_weather(wanted)
        weather = self._world.get_weather()
        self._weather_name = name or next((n for n in WEATHERS if getattr(carla.WeatherParameters, n) == weather), "")
        self._weather = weather_values(weather)

    def _weather_index(self) -> int:
        return WEATHERS.index(self._weather_name or "ClearNight")  # so that the next one is ClearNoon

    @property
    def over(self) -> bool:
        """Whether there was a scenario and it has ended."""
        return self._director is not None and self._director.over

    @property
    def map(self) -> carla.Map:
        """The server's."""
        return self._map

    @property
    def half(self) -> tuple[float, float]:
        """Half length and width of the ego, m."""
        extent = self._ego.bounding_box.extent
        return extent.x, extent.y

    def hand_over(self) -> None:
        """Give control of a scenario's ego to the driver; the scenario then continues without an end."""
        if self._director is not None:
            self._director.hand_over()

    def result(self) -> dict[str, Any]:
        """The scenario's result, ready for JSON."""
        return {} if self._director is None else self._director.result()

    @property
    def _ego_state(self) -> Any:
        state = self._snapshot.find(self._ego.id)
        if state is None:
            raise BridgeError("the ego vehicle no longer exists: it was destroyed or another map was loaded")
        return state

    def _speed(self) -> float:
        """m/s along the vehicle."""
        state = self._ego_state
        forward, velocity = state.get_transform().get_forward_vector(), state.get_velocity()
        return float(forward.x * velocity.x + forward.y * velocity.y + forward.z * velocity.z)

    def _describe_ego(self) -> Ego:
        pose = self._ego_state.get_transform()
        lane = self._map.get_waypoint(pose.location)
        return Ego(
            speed=self._speed(),
            steer=self._pedals.steer,
            throttle=self._pedals.throttle,
            brake=self._pedals.brake,
            hand_brake=self._pedals.hand_brake,
            gear=self._ego.get_control().gear,
            road_id=lane.road_id if lane else -1,
            lane_id=lane.lane_id if lane else 0,
            autopilot=self.control.autopilot,
            pose=matrix(pose),
        )
