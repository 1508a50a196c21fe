"""A CARLA server on one side, frames and controls over ZeroMQ on the other.

    python -m bridge.carla_client.carla_bridge --carla 127.0.0.1:2000 --publish ipc:///tmp/frames --control ipc:///tmp/controls

Written against the official client alone, so the embedded town and a real CARLA 0.9.16 are served by the same code.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from math import radians
from typing import Any, NoReturn, Protocol

import carla
import numpy as np

from bridge.carla_client.autopilot import Autopilot
from bridge.carla_client.connection import PATIENCE, VERSION, connect, lost, watch_server
from bridge.carla_client.options import parse
from bridge.carla_client.rig import OURS, CameraRig, SensorSilent, mark, matrix
from bridge.carla_client.spawn_points import Places
from bridge.carla_client.surroundings import Surroundings
from bridge.link.pacing import Pace
from bridge.link.transport import ControlReceiver, FramePublisher, LinkError, control_endpoint
from bridge.messages import Camera, Control, Ego, Frame
from bridge.process.lifetime import BridgeError, Lifetime
from bridge.process.presets import WEATHERS

WARM_UP = 60  # ticks until all cameras must deliver
VERDICT = "scenario over: "  # before the JSON of a scenario's result, the last line on standard output
PICTURE = 2.0  # s for a camera's first picture: had it to be the next tick's, a drive would not be like the other
NOTICE = 2.0  # s for which frames carry what the driver should know: some of them may be skipped
ALIVE = 0.5  # s in which a bridge that lives makes a tick
SETTLE = 12  # ticks before a drive's first frame
BEGINNING = 12  # ticks: a drive begins at a multiple of them, more than a client needs to go synchronous
FIRST = 90.0  # s for the first of them: servers load assets or compile their kernels


class Director(Protocol):
    """Who plays a scenario (``scenarios.engine.director``): asked by the bridge before and after each tick."""

    @property
    def over(self) -> bool: ...
    @property
    def actors(self) -> list[Any]: ...
    def settings(self) -> dict[str, Any]: ...
    def spawn(self, world: carla.World, town: carla.Map) -> Any: ...
    def begin(self, snapshot: carla.WorldSnapshot) -> None: ...
    def drive(self, surroundings: Surroundings, delta: float) -> carla.VehicleControl | None: ...
    def observe(self, snapshot: carla.WorldSnapshot) -> None: ...
    def report(self) -> str: ...
    def hand_over(self) -> None: ...
    def result(self) -> dict[str, Any]: ...
    def stop(self) -> None: ...


class CarlaBridge:
    """Drives one vehicle of a server and turns every tick into a ``Frame``. A context manager: leaving it takes all
    actors and settings back.

    ``size`` (width, height) in pixels, ``fov`` horizontal in degrees, ``fps`` ticks per simulated second, ``planes``
    those always published (``rgb`` comes on demand), ``weather`` a preset of ``carla.WeatherParameters`` or "" to leave
    it, ``mount`` the camera's place at the vehicle; ``more_cameras`` further ones by name: size, fov, mount. A
    ``director`` spawns and drives the ego instead of the bridge; ``scenario`` is what its frames are marked with.
    Raises ``BridgeError``, and RuntimeError from the client when the server is lost.
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
        director: Director | None = None,
        scenario: str = "",
        more_cameras: Mapping[str, tuple[tuple[int, int], float, carla.Transform]] | None = None,
    ) -> None:
        self.seed, self.delta = seed, 1.0 / fps
        self.scenario, self._director = scenario, director
        self.planes = tuple(planes)
        self.control = Control(0, autopilot=autopilot)
        self.sequence = 0
        self._client = client
        client.set_timeout(FIRST)  # kernels may be compiled within any call up to the first pictures
        self._world = client.get_world()
        self._old_settings = self._world.get_settings()
        self._actors: list[Any] = []
        self._rig: CameraRig | None = None
        self._more_cameras = dict(more_cameras or {})
        self._other_rigs: dict[str, CameraRig] = {}
        #: Frames of the further cameras at the last tick, to be published before that of the first one.
        self.beside: list[Frame] = []
        self._collision_sensor: Any = None
        self._notice = ("", 0)  # and the frame from which on it is old
        try:
            self._begin(size, fov, weather, mount or carla.Transform(carla.Location(x=1.2, z=1.45)))
        except BaseException:
            self.close()
            raise

    def _begin(self, size: tuple[int, int], fov: float, weather: str, mount: carla.Transform) -> None:
        self._take_the_clock()
        self._remove_leftovers()
        self._map = self._world.get_map()
        self._places = Places(self._map, self.seed)
        if self._director is None:
            self._ego = self._spawn_ego()
        else:
            self._ego = self._director.spawn(self._world, self._map)
        self._actors.append(self._ego)
        self._set_weather(weather)
        self._collisions = 0
        self._watch_collisions()
        self._rig = CameraRig(self._world, self._ego, size, fov, mount)
        self._rig.want(self.planes)
        for name, camera in self._more_cameras.items():
            self._other_rigs[name] = CameraRig(self._world, self._ego, *camera)
            self._other_rigs[name].want(self.planes)
        self._snapshot = self._warm_up()
        self._client.set_timeout(PATIENCE)
        self._surroundings = Surroundings(self._world, self._ego)
        self._surroundings.update(self._snapshot)
        self._driver = self._hire_driver()
        if self._director is not None:
            self._director.begin(self._snapshot)

    def _take_the_clock(self) -> None:
        """Go synchronous: from here on nothing moves unless told.

        CARLA's client ticks until two snapshots in a row have the new step; how often that is depends on when they
        arrive. The clock is taken on to the same number then, so that a drive finds a fresh town the same every time.
        """
        settings = self._world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, self.delta
        self._world.apply_settings(settings)
        while self._world.tick(FIRST) % BEGINNING:
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
            time.sleep(ALIVE)
            if self._world.get_snapshot().frame != before:
                return
        hosts = {each.parent.id for each in sensors if each.parent is not None}
        commands = [carla.command.DestroyActor(ident) for ident in (*(each.id for each in sensors), *hosts)]
        self._client.apply_batch_sync(commands)
        while self._world.tick(FIRST) % BEGINNING:
            pass

    # The loop's verbs

    def tell(self, notice: str) -> None:
        """Show this on all screens for a moment."""
        self._notice = (notice, self.sequence + round(NOTICE / self.delta))

    def obey(self, control: Control) -> None:
        """Take over what the driver wants: pedals by ``drive``; respawn, weather and the rgb plane at once."""
        old, self.control = self.control, control
        if control.respawn > old.respawn and self._director is None:
            self.respawn()
        if control.weather > old.weather:
            self._set_weather(WEATHERS[(self._weather_index() + control.weather - old.weather) % len(WEATHERS)])
        if control.rgb != old.rgb:
            self._want_planes()

    def drive(self) -> None:
        """Send the pedals of the driver, or of the autopilot, to the server."""
        control = self.control
        directed = None if self._director is None else self._director.drive(self._surroundings, self.delta)
        if directed is not None:
            self._pedals = directed
        elif control.autopilot:
            pose = self._ego_state.get_transform()
            at = pose.location
            pedals = self._driver.drive(
                at.x, at.y, at.z, radians(pose.rotation.yaw), self._speed(),
                self._surroundings.bodies(), self._surroundings.halts(), self.delta,
            )  # fmt: skip
            self._pedals = carla.VehicleControl(pedals.throttle, pedals.steer, pedals.brake)
            if self._driver.arrived and self._director is None:
                self.respawn()
                self.tell("The road ends here: on from another place")
        else:
            self._pedals = carla.VehicleControl(
                control.throttle, control.steer, control.brake, control.hand_brake, control.reverse
            )
        self._ego.apply_control(self._pedals)

    def tick(self) -> Frame:
        """Advance the simulation by one step and return its frame; the planes are valid until the next call."""
        stamps = {"capture": time.monotonic_ns()}
        number = self._world.tick(PATIENCE)
        assert self._rig is not None
        images = self._rig.gather(number, PATIENCE)
        others = {name: rig.gather(number, PATIENCE) for name, rig in self._other_rigs.items()}
        stamps["simulated"] = time.monotonic_ns()
        self._snapshot = self._world.get_snapshot()
        self._surroundings.update(self._snapshot)
        if self._director is not None:
            self._director.observe(self._snapshot)
        ego, play = self._describe_ego(), "" if self._director is None else self._director.report()
        self.beside = [
            self._frame(*self._other_rigs[name].decode(seen), ego, dict(stamps), play, name)
            for name, seen in others.items()
        ]
        return self._frame(*self._rig.decode(images), ego, stamps, play)

    def _frame(
        self,
        camera: Camera,
        planes: dict[str, np.ndarray],
        ego: Ego,
        stamps: dict[str, int],
        play: str,
        view: str = "",
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
        )
        self.sequence += 1
        return frame

    def respawn(self) -> None:
        """Put the ego, standing, on the next free spawn point."""
        bodies = self._surroundings.bodies()
        for point in self._places:
            if all(abs(b.x - point.location.x) + abs(b.y - point.location.y) > 10.0 for b in bodies):
                break
        self._ego.set_target_velocity(carla.Vector3D())
        self._ego.set_transform(point)
        self._collisions = 0
        self._driver.reset()

    def close(self) -> None:
        """Destroy what was spawned and give the server its settings back, as far as it still answers."""
        self._client.set_timeout(1.0)
        with contextlib.suppress(RuntimeError):
            for rig in (self._rig, *self._other_rigs.values()):
                if rig is not None:
                    rig.stop()
                    self._actors += rig.actors
            if self._collision_sensor is not None:
                self._collision_sensor.stop()
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
        for point in self._places:
            if (ego := self._world.try_spawn_actor(blueprint, point)) is not None:
                return ego
        raise BridgeError(f"none of the map's {len(self._places.points)} spawn points is free; restart the server")

    def _watch_collisions(self) -> None:
        last: dict[int, float] = {}

        def count(event: Any) -> None:
            """Touching the same thing for a while is one collision."""
            other = event.other_actor.id if event.other_actor else 0
            self._collisions += event.timestamp - last.get(other, -9.0) > 0.5
            last[other] = event.timestamp

        blueprint = self._world.get_blueprint_library().find("sensor.other.collision")
        mark(blueprint)
        sensor = self._world.spawn_actor(blueprint, carla.Transform(), attach_to=self._ego)
        self._actors.append(sensor)
        self._collision_sensor = sensor
        sensor.listen(count)

    def _warm_up(self) -> Any:
        """Tick ``SETTLE`` times, and on until every camera delivers.

        A fixed number where it can be one: when the first picture comes is a matter of how fast this machine is today,
        and the town must be the same at a drive's first frame.
        """
        assert self._rig is not None
        for tick in range(1, WARM_UP + 1):
            number = self._world.tick(FIRST)
            rigs = (self._rig, *self._other_rigs.values())
            seen = [rig.gather(number, FIRST, PICTURE) for rig in rigs]
            if all(rig.steady() for rig in rigs) and tick >= SETTLE:
                for rig, images in zip(rigs, seen, strict=True):
                    rig.decode(images)
                return self._world.get_snapshot()
        raise BridgeError("the server's cameras send nothing; does it run without rendering?")

    def _hire_driver(self) -> Autopilot:
        extent = self._ego.bounding_box.extent
        wheelbase, lock = 1.2 * extent.x, radians(40.0)
        with contextlib.suppress(RuntimeError):
            wheels = self._ego.get_physics_control().wheels
            lock = radians(max(wheel.max_steer_angle for wheel in wheels)) or lock
        return Autopilot(self._map, extent.x, extent.y, wheelbase, lock, self.seed)

    def _want_planes(self) -> None:
        assert self._rig is not None
        extra = ("rgb",) if self.control.rgb and "rgb" not in self.planes else ()
        self._rig.want((*self.planes, *extra))

    # Weather and ego

    def _set_weather(self, name: str) -> None:
        if name:
            self._world.set_weather(getattr(carla.WeatherParameters, name))
        weather = self._world.get_weather()
        self._weather_name = name or next((n for n in WEATHERS if getattr(carla.WeatherParameters, n) == weather), "")
        fields = (field for field in dir(weather) if re.match("[a-z]", field))
        self._weather = {field: float(getattr(weather, field)) for field in fields}

    def _weather_index(self) -> int:
        return WEATHERS.index(self._weather_name or "ClearNight")  # so that the first one chosen is ClearNoon

    @property
    def over(self) -> bool:
        """Whether there was a scenario and it has ended."""
        return self._director is not None and self._director.over

    def hand_over(self) -> None:
        """Let the driver of the controls have the ego of a scenario, which then goes on without an end."""
        if self._director is not None:
            self._director.hand_over()

    def verdict(self) -> dict[str, Any]:
        """What came of the scenario, ready for JSON."""
        return {} if self._director is None else self._director.result()

    @property
    def _ego_state(self) -> Any:
        state = self._snapshot.find(self._ego.id)
        if state is None:
            raise BridgeError("the ego vehicle is gone: somebody destroyed it or loaded another map")
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
            collisions=self._collisions,
            pose=matrix(pose),
        )


def run(
    bridge: CarlaBridge,
    frames: FramePublisher,
    controls: ControlReceiver,
    over: Callable[[], bool],
    pace: Pace | None,
    count: int | None = None,
    skip: int | None = None,
) -> None:
    """The loop: newest control in, tick, publish; until ``over()``, the driver quits, or ``count`` frames are out.

    ``skip``: so many ticks of a scenario are played unseen, one more is shown, then the ego is the driver's.
    """

    def ended() -> bool:
        control = controls.newest()
        if control is not None:
            bridge.obey(control)
        if controls.drivers.notice:
            bridge.tell(controls.drivers.notice)
            controls.drivers.notice = ""
        return over() or bridge.control.quit

    if skip is not None:
        for _ in range(skip):
            if ended() or bridge.over:
                break
            bridge.drive()
            bridge.tick()
    while not ended() and (count is None or bridge.sequence < count) and not bridge.over:
        if pace is not None:
            pace.wait(frames, ended)
        if bridge.control.paused:
            time.sleep(0.02)
            continue
        frames.wait(ended)
        bridge.drive()
        frame = bridge.tick()
        for other in bridge.beside:
            frames.send(other)
            frames.wait(ended)
        frames.send(frame)
        if skip is not None:
            bridge.hand_over()
            skip = None
        if pace is not None:
            pace.made()
    if bridge.over:
        frames.wait(ended)  # lock-step: until the last frame was taken


def _settings(options: argparse.Namespace, direct: Callable[[str], Director] | None) -> dict[str, Any]:
    """What the command line says, and where it does not, the scenario. Raises ``BridgeError``."""
    found = {name: getattr(options, name) for name in ("size", "fov", "fps", "seed", "weather", "planes", "autopilot")}
    camera = options.camera
    if options.scenario is not None:
        if direct is None:
            raise BridgeError("this bridge plays no scenarios: start it with `neuralsim bridge`")
        director = direct(options.scenario)
        found |= {name: value for name, value in director.settings().items() if found.get(name) is None}
        found["director"] = director
        if options.hand_over_at is not None:
            del found["more_cameras"]  # whoever drives looks out of one
    if camera is not None:
        x, y, z, pitch = camera
        found["mount"] = carla.Transform(carla.Location(x, y, z), carla.Rotation(pitch))
    return found


def main(arguments: Sequence[str] | None = None, direct: Callable[[str], Director] | None = None) -> int:
    """The command line. Returns 0 when told to end, 1 after a one-line error; wrong usage exits with 2.

    ``direct`` makes the director of a scenario's file; without it ``--scenario`` is an error.
    """
    options = parse(arguments)
    lifetime = Lifetime(options.with_parent)
    try:
        publish = options.publish
        with (
            FramePublisher(publish, options.keys, options.lockstep) as frames,
            ControlReceiver(options.control or control_endpoint(frames.endpoint), options.keys) as controls,
        ):
            client = connect(options.carla)
            watch_server(options.carla, lambda: lifetime.over)
            with CarlaBridge(client, **_settings(options, direct)) as bridge:
                print(
                    f"bridge ready: CARLA {VERSION} at {options.carla}, frames on {frames.endpoint}, "
                    f"controls on {controls.endpoint}",
                    flush=True,
                )
                pace = None if options.no_realtime else Pace(1.0 / bridge.delta)
                run(bridge, frames, controls, lambda: lifetime.over, pace, options.frames, options.hand_over_at)
                if options.scenario is not None:
                    print(f"{VERDICT}{json.dumps(bridge.verdict())}", flush=True)
    except (BridgeError, LinkError) as error:
        print(error, file=sys.stderr)
        return 1
    except (RuntimeError, SensorSilent) as error:
        if lifetime.over:
            return 0
        print(lost(options.carla, str(error).partition("\n")[0]), file=sys.stderr)
        return 1
    return 0


def end(code: int) -> NoReturn:
    """Leave with an exit code at once: the client's threads may outlive the interpreter and crash in its teardown."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    end(main())
