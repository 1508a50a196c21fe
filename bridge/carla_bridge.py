"""A CARLA server on one side, frames and controls over ZeroMQ on the other.

    python -m bridge.carla_bridge --carla 127.0.0.1:2000 --publish ipc:///tmp/frames --control ipc:///tmp/controls

Written against the official client alone, so the embedded town and a real CARLA 0.9.16 are served by the same code.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from math import radians
from typing import Any

import carla
import numpy as np

from bridge.autopilot import Autopilot
from bridge.lifetime import Lifetime
from bridge.messages import Control, Ego, Frame
from bridge.rig import SENSORS, CameraRig, SensorSilent, matrix
from bridge.surroundings import Surroundings
from bridge.transport import ControlReceiver, FramePublisher, LinkError, control_endpoint

VERSION = "0.9.16"
CONNECT = 5.0  # s until a server counts as not there
PATIENCE = 20.0  # s for a call to a server that is; a real one loads assets in some
WARM_UP = 60  # ticks until all cameras must deliver
FIRST = 90.0  # s for the first of them: servers load assets or compile their kernels
WEATHERS = sorted(name for name in dir(carla.WeatherParameters) if re.match("[A-Z]", name))


class BridgeError(RuntimeError):
    """The bridge cannot go on; one line says what to do."""


class Ratekeeper:
    """Holds a loop at ``rate`` turns per second; time lost is not made up for."""

    def __init__(self, rate: float) -> None:
        self._period = 1.0 / rate
        self._next = time.monotonic()

    def keep(self) -> None:
        """Sleep until the next turn is due."""
        self._next += self._period
        left = self._next - time.monotonic()
        if left > 0.0:
            time.sleep(left)
        else:
            self._next -= left


def connect(address: str) -> carla.Client:
    """A client of the server at HOST:PORT. Raises ``BridgeError`` if there is none, or one of another version."""
    nobody = f"no CARLA server at {address}; start one or leave --carla out"
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise BridgeError(f"{address!r} is not HOST:PORT")
    try:
        socket.create_connection((host, int(port)), CONNECT).close()
        client = carla.Client(host, int(port))
        client.set_timeout(CONNECT)
        version = client.get_server_version()
    except (OSError, RuntimeError):
        raise BridgeError(nobody) from None
    if version.partition("-")[0] != VERSION:
        raise BridgeError(f"the server at {address} is CARLA {version}, this bridge needs {VERSION}")
    client.set_timeout(PATIENCE)
    return client


def watch_server(address: str, over: Callable[[], bool]) -> None:
    """End this process with its one line when the server ends: a call into the client would wait out its patience."""
    host, _, port = address.rpartition(":")
    line = socket.create_connection((host, int(port)), CONNECT)
    line.settimeout(None)

    def wait() -> None:
        with contextlib.suppress(OSError):
            while line.recv(64):
                pass
        if not over():
            print(lost(address, "it has ended"), file=sys.stderr, flush=True)
            os._exit(1)

    threading.Thread(target=wait, name="server", daemon=True).start()


def lost(address: str, reason: str) -> str:
    """The line for a server that went away."""
    return f"lost the CARLA server at {address} ({reason}); start it again"


class CarlaBridge:
    """Drives one vehicle of a server and turns every tick into a ``Frame``. A context manager: leaving it takes all
    actors and settings back.

    ``size`` (width, height) in pixels, ``fov`` horizontal in degrees, ``fps`` ticks per simulated second, ``planes``
    those always published (``rgb`` comes on demand), ``weather`` a preset of ``carla.WeatherParameters`` or "" to leave
    it, ``mount`` the camera's place at the vehicle.
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
    ) -> None:
        self.seed, self.delta = seed, 1.0 / fps
        self.planes = tuple(planes)
        self.control = Control(0, autopilot=autopilot)
        self.sequence = 0
        self._client = client
        self._world = client.get_world()
        self._old_settings = self._world.get_settings()
        self._actors: list[Any] = []
        self._rig: CameraRig | None = None
        self._collision_sensor: Any = None
        try:
            self._begin(size, fov, weather, mount or carla.Transform(carla.Location(x=1.2, z=1.45)))
        except BaseException:
            self.close()
            raise

    def _begin(self, size: tuple[int, int], fov: float, weather: str, mount: carla.Transform) -> None:
        settings = self._world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, self.delta
        self._world.apply_settings(settings)  # first of all: from here on nothing moves unless told
        self._map = self._world.get_map()
        self._spawn_order = list(np.random.default_rng(self.seed).permutation(len(self._map.get_spawn_points())))
        self._ego = self._spawn_ego()
        self._actors.append(self._ego)
        self._set_weather(weather)
        self._collisions = 0
        self._watch_collisions()
        self._rig = CameraRig(self._world, self._ego, size, fov, mount)
        self._rig.want(self.planes)
        self._snapshot = self._warm_up()
        self._surroundings = Surroundings(self._world, self._ego)
        self._surroundings.update(self._snapshot)
        self._driver = self._hire_driver()

    # The loop's verbs

    def obey(self, control: Control) -> None:
        """Take over what the driver wants: pedals by ``drive``; respawn, weather and the rgb plane at once."""
        old, self.control = self.control, control
        if control.respawn > old.respawn:
            self.respawn()
        if control.weather > old.weather:
            self._set_weather(WEATHERS[(self._weather_index() + control.weather - old.weather) % len(WEATHERS)])
        if control.rgb != old.rgb:
            self._want_planes()

    def drive(self) -> None:
        """Send the pedals of the driver, or of the autopilot, to the server."""
        control = self.control
        if control.autopilot:
            pose = self._ego_state.get_transform()
            at = pose.location
            pedals = self._driver.drive(
                at.x, at.y, at.z, radians(pose.rotation.yaw), self._speed(),
                self._surroundings.bodies(), self._surroundings.halts(), self.delta,
            )  # fmt: skip
            self._pedals = carla.VehicleControl(pedals.throttle, pedals.steer, pedals.brake)
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
        stamps["simulated"] = time.monotonic_ns()
        self._snapshot = self._world.get_snapshot()
        self._surroundings.update(self._snapshot)
        camera, planes = self._rig.decode(images)
        frame = Frame(
            sequence=self.sequence,
            sim_frame=number,
            sim_time=self._snapshot.timestamp.elapsed_seconds,
            camera=camera,
            planes=planes,
            ego=self._describe_ego(),
            control_seq=self.control.sequence,
            stamps=stamps,
            weather=self._weather,
            weather_name=self._weather_name,
            objects=self._surroundings.objects(camera, planes),
            lamps=self._surroundings.lamps(camera, planes),
            seed=self.seed,
        )
        self.sequence += 1
        return frame

    def respawn(self) -> None:
        """Put the ego, standing, on the next free spawn point."""
        points = self._map.get_spawn_points()
        bodies = self._surroundings.bodies()
        for _ in self._spawn_order:
            self._spawn_order.append(self._spawn_order.pop(0))
            point = points[self._spawn_order[0]]
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
            if self._rig is not None:
                self._rig.stop()
                self._actors += self._rig.actors
            if self._collision_sensor is not None:
                self._collision_sensor.stop()
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
        points = self._map.get_spawn_points()
        for index in self._spawn_order:
            ego = self._world.try_spawn_actor(blueprint, points[index])
            if ego is not None:
                while self._spawn_order[0] != index:
                    self._spawn_order.append(self._spawn_order.pop(0))
                return ego
        raise BridgeError(f"none of the map's {len(points)} spawn points is free; restart the server")

    def _watch_collisions(self) -> None:
        last: dict[int, float] = {}

        def count(event: Any) -> None:
            """Touching the same thing for a while is one collision."""
            other = event.other_actor.id if event.other_actor else 0
            self._collisions += event.timestamp - last.get(other, -9.0) > 0.5
            last[other] = event.timestamp

        blueprint = self._world.get_blueprint_library().find("sensor.other.collision")
        sensor = self._world.spawn_actor(blueprint, carla.Transform(), attach_to=self._ego)
        self._actors.append(sensor)
        self._collision_sensor = sensor
        sensor.listen(count)

    def _warm_up(self) -> Any:
        """Tick until every camera delivers."""
        assert self._rig is not None
        for _ in range(WARM_UP):
            images = self._rig.gather(self._world.tick(FIRST), FIRST)
            if self._rig.steady():
                self._rig.decode(images)
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
        return WEATHERS.index(self._weather_name) if self._weather_name else -1

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
    pace: Ratekeeper | None,
    count: int | None = None,
) -> None:
    """The loop: newest control in, tick, publish; until ``over()``, the driver quits, or ``count`` frames are out."""

    def ended() -> bool:
        control = controls.newest()
        if control is not None:
            bridge.obey(control)
        return over() or bridge.control.quit

    while not ended() and bridge.sequence != count:
        if bridge.control.paused:
            time.sleep(0.02)
            continue
        frames.wait(ended)
        bridge.drive()
        frames.send(bridge.tick())
        if pace is not None:
            pace.keep()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0 when told to end, 1 after a one-line error; wrong usage exits with 2."""
    options = _parse(arguments)
    lifetime = Lifetime(options.with_parent)
    try:
        publish = options.publish
        with (
            FramePublisher(publish, options.keys, options.lockstep) as frames,
            ControlReceiver(options.control or control_endpoint(frames.endpoint), options.keys) as controls,
        ):
            client = connect(options.carla)
            watch_server(options.carla, lambda: lifetime.over)
            x, y, z, pitch = options.camera
            mount = carla.Transform(carla.Location(x, y, z), carla.Rotation(pitch))
            with CarlaBridge(
                client, options.size, options.fov, options.fps, options.seed, options.weather, options.planes, mount,
                options.autopilot,
            ) as bridge:  # fmt: skip
                print(
                    f"bridge ready: CARLA {VERSION} at {options.carla}, frames on {frames.endpoint}, "
                    f"controls on {controls.endpoint}",
                    flush=True,
                )
                pace = None if options.no_realtime else Ratekeeper(options.fps)
                run(bridge, frames, controls, lambda: lifetime.over, pace, options.frames)
    except (BridgeError, LinkError) as error:
        print(error, file=sys.stderr)
        return 1
    except (RuntimeError, SensorSilent) as error:
        if lifetime.over:
            return 0
        print(lost(options.carla, str(error).partition("\n")[0]), file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "bridge", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--carla", default="127.0.0.1:2000", metavar="HOST:PORT", help="the CARLA server")
    add(
        "--publish",
        default="tcp://127.0.0.1:5600",
        metavar="ENDPOINT",
        help="where frames are served, tcp:// or ipc://",
    )
    add(
        "--control",
        default="",
        metavar="ENDPOINT",
        help="where controls come in (empty: the next port or path.control)",
    )
    add("--keys", metavar="FOLDER", help="CURVE keys; needed for other than loopback addresses")
    add("--size", type=_size, default=(512, 256), metavar="WxH", help="pixels")
    add("--fov", type=float, default=70.0, help="horizontal field of view, degrees")
    add("--fps", type=float, default=30.0, help="ticks per simulated second")
    add("--seed", type=int, default=0, help="of spawn point and autopilot")
    add("--weather", type=_weather, default="", metavar="PRESET", help="CARLA preset, e.g. WetSunset (empty: as it is)")
    add(
        "--camera",
        type=_numbers,
        default=(1.2, 0.0, 1.45, 0.0),
        metavar="X,Y,Z,PITCH",
        help="at the vehicle, m and degrees",
    )
    add("--planes", type=_planes, default=("tag", "instance", "depth", "motion"), help=f"of {','.join(SENSORS)}")
    add("--autopilot", action="store_true", help="follow the lane until a control says otherwise")
    add("--lockstep", action="store_true", help="wait for the receiver: no frame is lost")
    add("--frames", type=int, metavar="N", help="end after so many")
    add("--no-realtime", action="store_true", help="as fast as it goes")
    add("--with-parent", action="store_true", help="end when the parent process does")
    options = parser.parse_args(arguments)
    if not 1.0 <= options.fps <= 240.0:
        parser.error("--fps is 1 to 240")
    if not 5.0 <= options.fov <= 170.0:
        parser.error("--fov is 5 to 170 degrees")
    return options


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not all(16 <= int(side) <= 4096 for side in match.groups()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT of 16 to 4096 pixels")
    return int(match[1]), int(match[2])


def _weather(text: str) -> str:
    known = {name.lower(): name for name in WEATHERS}
    if text and text.lower() not in known:
        raise argparse.ArgumentTypeError(f"unknown weather {text!r}; there are {', '.join(WEATHERS)}")
    return known.get(text.lower(), "")


def _planes(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    unknown = [name for name in names if name not in SENSORS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown plane {unknown[0]!r}; there are {', '.join(SENSORS)}")
    return names


def _numbers(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(number) for number in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,Z,PITCH")
    return numbers


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the client's threads may outlive the interpreter and crash in its teardown
