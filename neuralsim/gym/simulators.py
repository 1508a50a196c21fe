"""The simulators of an episode: the embedded town in this process, or a scenario's town through CARLA's protocol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bridge.carla_client.connection import connect
from bridge.carla_client.ego_bridge import BridgeSettings, CarlaBridge
from bridge.carla_client.routing.route_planner import RoutePoint, route_ahead
from bridge.carla_client.weather import preset_values
from bridge.ego_camera import EGO_CAMERA
from bridge.messages import Control, Ego, Frame
from neuralsim.gym.route import Route
from neuralsim.session.processes import Processes
from neuralsim.town.carla_server.options import TownOptions
from neuralsim.town.core.types import Transform, VehicleControl
from neuralsim.town.frames import frame_of
from neuralsim.town.world import World
from scenarios.engine.director import Director
from scenarios.language.schema import CameraSpec, MountSpec

CAR = "vehicle.tesla.model3"
MOUNT = Transform(*EGO_CAMERA)  # of the camera
FOV = 70.0  # degrees, horizontal
_SETTLING = 10  # ticks with the brake on before an episode's first frame: by then the traffic moves
_SPAWN_TRIES = 40  # spawn points tried for a route of the requested length
_READY_TIMEOUT = 60.0  # s without any activity of a starting town server


class Simulator(Protocol):
    """An ego in a town.

    ``map``: a ``carla.Map``; ``half``: the ego's half length and width, m; ``others``: the last tick's frames of the
    rig's further cameras, in its order.
    """

    map: Any
    half: tuple[float, float]
    others: list[Frame]

    def begin(self, seed: int, metres: float) -> tuple[Frame, Route]:
        """Begin an episode; return its first frame, and a route of ``metres`` or less."""

    def step(self, steer: float, throttle: float, brake: float) -> Frame:
        """Return the frame one tick later."""

    def close(self) -> None:
        """Stop everything that was started."""


class EmbeddedTown:
    """The embedded town as a library, without processes or sockets. Equal arguments and seeds give equal bytes.

    Args:
        town: Name or OpenDRIVE file.
        town_seed: Seed of its scenery; another seed is another town, built again.
        vehicles: Number of vehicles.
        walkers: Number of pedestrians.
        size: Width and height of the camera's image, px.
        fps: Ticks per simulated second.
        rgb: Whether frames have the simulator image.
        weather: Name of a preset; None for the town's own.
        rig: Further cameras.
    """

    def __init__(
        self,
        town: str,
        town_seed: int,
        vehicles: int,
        walkers: int,
        size: tuple[int, int],
        fps: float,
        rgb: bool,
        weather: str | None,
        rig: Sequence[CameraSpec] = (),
    ) -> None:
        self._town, self._seed, self._crowd = town, town_seed, (vehicles, walkers)
        self._rig = [(_lens(size, FOV), MOUNT), *((_lens(each.size, each.fov), _pose(each.mount)) for each in rig)]
        self._delta = 1.0 / fps
        self._rgb = rgb
        self._weather = {} if weather is None else preset_values(weather)
        self._world: World | None = None
        self._ego = self._collisions = 0
        self._cameras: list[int] = []
        self.others: list[Frame] = []
        self.map: Any = None
        self.half = (0.0, 0.0)

    def begin(self, seed: int, metres: float) -> tuple[Frame, Route]:
        random = np.random.default_rng(seed)
        world = self._world = World(self._town, self._seed, *self._crowd, traffic=seed)
        world.weather.update(self._weather)
        self.map = world.map
        place, points = self._start(world, metres, random)
        ego = world.spawn(CAR, {"role_name": "hero"}, place)
        ego.control = VehicleControl(brake=1.0)
        self._ego, self._collisions = ego.id, 0
        kind = "sensor.camera.instance_segmentation"
        self._cameras = [world.spawn(kind, lens, mount, ego.id).id for lens, mount in self._rig]
        self.half = ego.body[:2]
        for _ in range(_SETTLING):
            world.tick(self._delta)
        return self._frame(), Route(points)

    def _start(self, world: World, metres: float, random: np.random.Generator) -> tuple[Transform, list[RoutePoint]]:
        """Draw a spawn point with a route of ``metres``; where none is drawn, return the one with the longest route."""
        places = world.spawn_points()
        best: tuple[int, Transform, list[RoutePoint]] | None = None
        for k in random.permutation(len(places))[:_SPAWN_TRIES]:
            place = places[k]
            points = route_ahead(world.map, (place.x, place.y, place.z), metres, "any", random)
            if best is None or len(points) > best[0]:
                best = len(points), place, points
            if len(points) >= metres:
                break
        if best is None:
            raise ValueError(f"{self._town} has no spawn point: choose another town")
        return best[1], best[2]

    def step(self, steer: float, throttle: float, brake: float) -> Frame:
        assert self._world is not None, "call begin() first"
        self._world.actors[self._ego].control = VehicleControl(throttle, steer, brake)
        self._world.tick(self._delta)
        self._collisions += sum(event.actor == self._ego for event in self._world.events())
        return self._frame()

    def _frame(self) -> Frame:
        assert self._world is not None
        frame, *self.others = (frame_of(self._world, each, "rgb" if self._rgb else "") for each in self._cameras)
        actor = self._world.actors[self._ego]
        control = actor.control
        frame.ego = Ego(
            speed=self._world.drive_of(self._ego).speed,
            steer=control.steer,
            throttle=control.throttle,
            brake=control.brake,
            gear=control.gear,
            collisions=self._collisions,
            pose=actor.transform.matrix(),
        )
        return frame

    def close(self) -> None:
        self._world = None


class ScenarioTown:
    """A scenario played by its director, whose ego is handed over at once.

    The town server is a child process; the bridge runs in this process, without a link. Everything but the ego plays
    as the file says, its seed included.

    Args:
        file: The scenario file.
        size: Width and height of the camera's image, px.
        fps: Ticks per simulated second.
        planes: Planes of the frames.
        rig: File with further cameras.

    Raises ``ScenarioError``, ``ProcessError`` and ``BridgeError``, one line each.
    """

    def __init__(
        self, file: Path, size: tuple[int, int], fps: float, planes: tuple[str, ...], rig: Path | None = None
    ) -> None:
        self.file, self._rig = file, rig
        self.others: list[Frame] = []
        self._size, self._fps, self._planes = size, fps, planes
        self._processes = Processes()
        self._server = ""
        self._bridge: CarlaBridge | None = None
        self._sequence = 0
        self.map: Any = None
        self.half = (0.0, 0.0)
        self.duration = 0.0  # of the scenario, s; set once it has begun

    def begin(self, seed: int, metres: float) -> tuple[Frame, Route]:
        director = Director(self.file, self._rig)
        self._close_bridge()
        client = connect(self._server or self._start(director))
        if self._sequence:
            client.reload_world(False)  # a town as fresh as that of a new server
        self.duration = director.scenario.duration
        settings = director.settings() | {"size": self._size, "fps": self._fps, "planes": self._planes}
        if self._rig is None:
            del settings["more_cameras"]
        self._bridge = CarlaBridge(client, BridgeSettings(**settings), director)
        self.map, self.half = self._bridge.map, self._bridge.half
        route = Route(director.ego_route(metres))
        self._bridge.hand_over()
        return self.step(0.0, 0.0, 0.0), route

    def _start(self, director: Director) -> str:
        """Start the scenario's town; return its address."""
        scenario = director.scenario
        options = TownOptions(
            port=0,
            town=(director.loaded.town,),
            seed=scenario.seed,
            vehicles=scenario.traffic.vehicles,
            walkers=scenario.traffic.walkers,
            with_parent=True,
            json_lines=True,
        )
        town = self._processes.start("town server", "neuralsim.town.carla_server", options.to_json())
        self._server = str(town.wait_ready(_READY_TIMEOUT, lambda: False)["server"])
        return self._server

    def step(self, steer: float, throttle: float, brake: float) -> Frame:
        assert self._bridge is not None, "call begin() first"
        self._sequence += 1
        self._bridge.apply_control(Control(self._sequence, throttle=throttle, brake=brake, steer=steer))
        self._bridge.drive()
        frame, self.others = self._bridge.tick(), self._bridge.extra_frames
        return frame

    def _close_bridge(self) -> None:
        if self._bridge is not None:
            self._bridge.close()
            self._bridge = None

    def close(self) -> None:
        self._close_bridge()
        self._processes.stop()
        self._server = ""


def _lens(size: tuple[int, int], fov: float) -> dict[str, str]:
    """Return the attributes of a camera."""
    return {"image_size_x": str(size[0]), "image_size_y": str(size[1]), "fov": str(fov)}


def _pose(mount: MountSpec) -> Transform:
    return Transform(mount.x, mount.y, mount.z, mount.pitch, mount.yaw)
