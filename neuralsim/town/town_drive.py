"""Frames of the embedded town without processes or sockets: a camera rides along on one of its cars."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import numpy as np

from bridge.jitter import NONE, Jitter
from bridge.messages import Frame
from neuralsim.town.core.sensor_blueprints import Picture
from neuralsim.town.core.types import Transform
from neuralsim.town.dynamics.traffic_lights import STATES, TrafficLight
from neuralsim.town.frames import frame_of
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.world import World

_DELTA = 1.0 / 30.0  # s


class TownDrive:
    """The town with traffic, seen from a car at a time. The same arguments and calls give the same frames.

    Args:
        width: Of the frames, px.
        height: Of the frames, px.
        seed: Of the town's traffic.
        vehicles: How many drive.
        walkers: How many walk.
        town: Name of the map.
    """

    def __init__(
        self,
        width: int = 512,
        height: int = 256,
        seed: int = 0,
        vehicles: int = 40,
        walkers: int = 30,
        town: str = "oldtown",
    ) -> None:
        self.width, self.height = width, height
        self._world = World(town, seed, vehicles, walkers)
        self._rng = np.random.default_rng(seed)
        self._camera = 0
        self.skip(60)  # let the traffic roll

    def ride(self, fov: float = 70.0, x: float = 0.6, z: float = 1.45, yaw: float = 0.0) -> None:
        """Get onto a car drawn at random; ``fov``, ``yaw`` in degrees, ``x``, ``z`` in metres from its footprint."""
        if self._camera:
            self._world.destroy(self._camera)
        cars = [actor.id for actor in self._world.actors.values() if actor.blueprint.id.startswith("vehicle.")]
        attributes = {"image_size_x": str(self.width), "image_size_y": str(self.height), "fov": str(fov)}
        chosen = cars[self._rng.integers(len(cars))]
        place = Transform(x=x, z=z, yaw=yaw)
        self._camera = self._world.spawn("sensor.camera.instance_segmentation", attributes, place, chosen).id

    def skip(self, ticks: int) -> None:
        """Let time pass unseen."""
        for _ in range(ticks):
            self._world.tick(_DELTA)

    def before_lights(self, distances: Sequence[float], most: int) -> Iterator[tuple[Frame, Frame]]:
        """Two frames in a row, with the town's picture, on a lane so many metres before a traffic light, red, yellow
        and green in turn; evenly chosen, ``most`` of all there are."""
        world = self._world
        views = [
            (light, place, state)
            for light in world.lights.all
            for place in self._places_before(light, distances)
            for state in STATES
        ]
        if not self._camera:
            self.ride()
        for index in np.unique(np.linspace(0, len(views) - 1, min(most, len(views))).astype(int)).tolist():
            light, place, state = views[index]
            world.lights.set(light, state)
            world.set_transform(self._camera, place)
            yield self.next(picture="rgb"), self.next(picture="rgb")

    def _places_before(self, light: TrafficLight, distances: Sequence[float]) -> list[Transform]:
        head = np.mean(np.concatenate(list(light.bulbs.values())), 0)
        found = []
        for lane in light.lanes[:1]:
            centre = self._world.network.lanes[lane].centre
            away = np.hypot(*(centre[:-1, :2] - head[:2]).T)
            along = centre[1:, :2] - centre[:-1, :2]
            for distance in distances:
                nearest = int(np.argmin(np.abs(away - distance)))
                if abs(away[nearest] - distance) < 1.0 and along[nearest] @ (head[:2] - centre[nearest, :2]) > 0.0:
                    x, y, z = centre[nearest].tolist()
                    yaw = float(np.degrees(np.arctan2(along[nearest, 1], along[nearest, 0])))
                    found.append(Transform(x, y, z + 1.45, 0.0, yaw))
        return found

    def next(self, picture: Picture = "") -> Frame:
        """The frame after one more tick, with this ``picture`` of the town's own; its planes are the caller's to
        keep."""
        self._world.tick(_DELTA)
        return self.again(NONE, picture)

    def again(self, shift: Jitter, picture: Picture = "") -> Frame:
        """This very moment once more, shifted by ``shift`` px; with this ``picture`` of the town's own."""
        return frame_of(self._world, self._camera, picture, shift)


class TownLoop:
    """The empty town, seen along a loop of lanes: ``frame(place)`` gives the same view for the same place, any time."""

    def __init__(self, width: int = 512, height: int = 256, seed: int = 0, step: float = 0.35) -> None:
        """``step``: metres of road from one whole place to the next. Raises ValueError when no lanes form a loop."""
        self._world = World(seed=seed, vehicles=0, walkers=0)
        self._path = _loop(self._world.network.lanes)
        self._at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self._path, axis=0), axis=1))])
        self.width, self.height, self._step = width, height, step
        self.lap = int(self._at[-1] / step)  # places of one lap
        attributes = {"image_size_x": str(width), "image_size_y": str(height), "fov": "70.0"}
        self._camera = self._world.spawn("sensor.camera.instance_segmentation", attributes, Transform()).id

    def frame(self, place: float, aside: float = 0.0) -> Frame:
        """The view from ``place`` (in steps, 0 .. ``lap``), ``aside`` metres to the right; motion is towards the frame
        asked for before."""
        world, where = self._world, (place % self.lap) * self._step
        x, y, z = self._point(where)
        ahead = self._point(where + 3.0) - self._point(where - 3.0)
        yaw = np.arctan2(ahead[1], ahead[0])
        world.tick(_DELTA)
        right = np.array([-np.sin(yaw), np.cos(yaw)]) * aside
        world.set_transform(self._camera, Transform(x + right[0], y + right[1], z + 1.45, 0.0, float(np.degrees(yaw))))
        return frame_of(world, self._camera)

    def _point(self, where: float) -> np.ndarray:
        where = where % self._at[-1]
        return np.array([float(np.interp(where, self._at, self._path[:, k])) for k in range(3)])


def _loop(lanes: list[Lane], least: float = 200.0) -> np.ndarray:
    """f64 (N, 3): centre line of the shortest closed chain of driving lanes of at least so many metres."""
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
                if following == start and length >= least:
                    best, shortest = chain, length
                elif following not in done and following != start:
                    done.add(following)
                    heapq.heappush(heap, (length + lanes[following].length, [*chain, following]))
    if not best:
        raise ValueError("no lanes of this town form a loop")
    centre = np.concatenate([lanes[k].centre for k in best])
    apart = np.linalg.norm(np.diff(centre, axis=0), axis=1)
    return np.asarray(np.concatenate([centre[:1], centre[1:][apart > 0.05], centre[:1]]))
