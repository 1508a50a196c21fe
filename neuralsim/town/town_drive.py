"""Frames of the embedded town, without processes or sockets, from a camera on one of its cars."""

import heapq
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bridge.ego_camera import EGO_CAMERA
from bridge.jitter import NONE, Jitter
from bridge.messages import Frame
from neuralsim.town.core.polylines import arc_lengths, interpolate
from neuralsim.town.core.sensor_blueprints import ColourPlane
from neuralsim.town.core.types import Transform
from neuralsim.town.dynamics.traffic_lights import STATES, TrafficLight
from neuralsim.town.frames import frame_of
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.world import World

_DELTA = 1.0 / 30.0  # s


class TownDrive:
    """A town with traffic, seen from one car at a time. The same arguments and calls give the same frames.

    Args:
        width: Width of the frames, px.
        height: Height of the frames, px.
        seed: Seed of the traffic.
        vehicles: Number of vehicles.
        walkers: Number of walkers.
        town: Name of the map.
        weather: carla.WeatherParameters by name, None: a fair day.
    """

    def __init__(
        self,
        width: int = 512,
        height: int = 256,
        seed: int = 0,
        vehicles: int = 40,
        walkers: int = 30,
        town: str = "oldtown",
        weather: Mapping[str, float] | None = None,
    ) -> None:
        self.width, self.height = width, height
        self._world = World(town, seed, vehicles, walkers)
        self._world.weather.update(weather or {})
        self._rng, self._people_rng = np.random.default_rng(seed), np.random.default_rng(seed)
        self._camera = 0
        self.skip(60)  # let the traffic roll

    def ride(
        self, fov: float = 70.0, x: float = 0.6, z: float = EGO_CAMERA.z, yaw: float = 0.0, among_people: bool = False
    ) -> None:
        """Mount the camera on a random car, ``x``, ``z`` metres from the centre of its footprint.

        ``fov`` and ``yaw`` are in degrees. ``among_people``: walkers come to the streets around the car, as they do for
        a driver.
        """
        if self._camera:
            self._world.destroy(self._camera)
        cars = [actor.id for actor in self._world.actors.values() if actor.blueprint.id.startswith("vehicle.")]
        attributes = {"image_size_x": str(self.width), "image_size_y": str(self.height), "fov": str(fov)}
        car = cars[self._rng.integers(len(cars))]
        mount = Transform(x=x, z=z, yaw=yaw)
        self._camera = self._world.spawn("sensor.camera.instance_segmentation", attributes, mount, car).id
        if among_people:
            background = self._world.background_actors
            background.gather_walkers(background.drive_of(car), self._people_rng)

    def skip(self, ticks: int) -> None:
        """Advance the world without taking frames."""
        for _ in range(ticks):
            self._world.tick(_DELTA)

    def traffic_light_views(self, distances: Sequence[float], limit: int) -> Iterator[tuple[Frame, Frame]]:
        """Yield pairs of successive frames of traffic lights, with the simulator image.

        The camera stands in a lane at each of ``distances`` (m) before a light, which is red, yellow and green in turn.
        At most ``limit`` of these views are yielded, evenly chosen.
        """
        world = self._world
        views = [
            (light, pose, state)
            for light in world.lights.all
            for pose in self._poses_before(light, distances)
            for state in STATES
        ]
        if not self._camera:
            self.ride()
        for index in np.unique(np.linspace(0, len(views) - 1, min(limit, len(views))).astype(int)).tolist():
            light, pose, state = views[index]
            world.lights.set(light, state)
            world.set_transform(self._camera, pose)
            yield self.next_frame(colour="rgb"), self.next_frame(colour="rgb")

    def _poses_before(self, light: TrafficLight, distances: Sequence[float]) -> list[Transform]:
        head = np.mean(np.concatenate(list(light.bulbs.values())), 0)
        poses = []
        for lane in light.lanes[:1]:
            centre = self._world.network.lanes[lane].centre
            away = np.hypot(*(centre[:-1, :2] - head[:2]).T)
            along = centre[1:, :2] - centre[:-1, :2]
            for distance in distances:
                nearest = int(np.argmin(np.abs(away - distance)))
                if abs(away[nearest] - distance) < 1.0 and along[nearest] @ (head[:2] - centre[nearest, :2]) > 0.0:
                    x, y, z = centre[nearest].tolist()
                    yaw = float(np.degrees(np.arctan2(along[nearest, 1], along[nearest, 0])))
                    poses.append(Transform(x, y, z + EGO_CAMERA.z, 0.0, yaw))
        return poses

    def next_frame(self, colour: ColourPlane = "") -> Frame:
        """Advance one tick and return copies of its planes, with the simulator image as the plane ``colour``."""
        self._world.tick(_DELTA)
        return self.recapture(NONE, colour)

    def recapture(self, shift: Jitter, colour: ColourPlane = "") -> Frame:
        """Return the frame of the present tick, shifted by ``shift`` px; ``colour`` as in `next_frame`."""
        return frame_of(self._world, self._camera, colour, shift)


class TownLoop:
    """The empty town along a loop of lanes: ``frame(position)`` always gives the same view for the same position."""

    def __init__(self, width: int = 512, height: int = 256, seed: int = 0, step: float = 0.35) -> None:
        """Set up the loop; ``step`` is the length of one unit of position, metres.

        Raises:
            ValueError: No lanes form a loop.
        """
        self._world = World(seed=seed, vehicles=0, walkers=0)
        self._path = _loop(self._world.network.lanes)
        self._at = arc_lengths(self._path)
        self.width, self.height, self._step = width, height, step
        self.lap = int(self._at[-1] / step)  # length of one lap, steps
        attributes = {"image_size_x": str(width), "image_size_y": str(height), "fov": "70.0"}
        self._camera = self._world.spawn("sensor.camera.instance_segmentation", attributes, Transform()).id

    def frame(self, position: float, lateral: float = 0.0) -> Frame:
        """Return the view from ``position`` (0 .. ``lap`` steps), ``lateral`` metres to the right.

        Motion vectors point to the frame requested before.
        """
        world, distance = self._world, (position % self.lap) * self._step
        x, y, z = self._point(distance)
        ahead = self._point(distance + 3.0) - self._point(distance - 3.0)
        yaw = np.arctan2(ahead[1], ahead[0])
        world.tick(_DELTA)
        right = np.array([-np.sin(yaw), np.cos(yaw)]) * lateral
        world.set_transform(
            self._camera, Transform(x + right[0], y + right[1], z + EGO_CAMERA.z, 0.0, float(np.degrees(yaw)))
        )
        return frame_of(world, self._camera)

    def _point(self, distance: float) -> np.ndarray:
        return interpolate(self._path, self._at, distance % self._at[-1])


def _loop(lanes: list[Lane], min_length: float = 200.0) -> np.ndarray:
    """Return the centre line f64 (N, 3) of the shortest closed chain of driving lanes with at least ``min_length`` m.

    Raises ValueError when there is none.
    """
    best: list[int] = []
    shortest = float("inf")
    for start in [k for k, lane in enumerate(lanes) if lane.junction < 0 and lane.length > 40.0][:40]:
        heap = [(lanes[start].length, [start])]
        done: set[int] = set()
        while heap:
            length, chain = heapq.heappop(heap)
            if length >= shortest:
                break
            for following in lanes[chain[-1]].next:
                if following == start and length >= min_length:
                    best, shortest = chain, length
                elif following not in done and following != start:
                    done.add(following)
                    heapq.heappush(heap, (length + lanes[following].length, [*chain, following]))
    if not best:
        raise ValueError("no lanes of this town form a loop")
    centre = np.concatenate([lanes[k].centre for k in best])
    gaps = np.linalg.norm(np.diff(centre, axis=0), axis=1)
    return np.asarray(np.concatenate([centre[:1], centre[1:][gaps > 0.05], centre[:1]]))
