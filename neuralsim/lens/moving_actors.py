"""Where a server's vehicles and walkers are at each tick, for the motion in the images of the lens's cameras.

A thread keeps the newest messages of the snapshot stream; they are read when a camera asks for a tick.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from bridge import carla_wire
from bridge.carla_client.vehicle_geometry import wheels_of
from bridge.carla_wire import RECORDS, Address, RpcClient, RpcError
from bridge.geometry import pose_matrix
from bridge.instance_values import boxes_on_screen, values_inside
from bridge.link.motion import Movers
from bridge.messages import Camera

_KEPT = 64  # ticks
_PATIENCE = 0.5  # s that a camera waits for the snapshot of its tick, which is sent before the images
_MOST_ASKED = 5000  # actors in one call
_RANGE, _MOST_LEARNT = 120.0, 128  # m, actors in one image whose values are looked for
_WHEELS_RANGE = 30.0  # m from the camera, beyond which nobody sees wheels turn
_WHEELS = 15  # place of the wheels in ``carla.VehiclePhysicsControl``
_RADIUS, _POSITION = 3, 9  # in ``carla.WheelPhysicsControl``, cm
_RECORD = np.dtype(
    {"names": ["id", "pose"], "formats": ["<u4", ("<f4", 6)], "offsets": [0, 5], "itemsize": carla_wire.RECORD}
)


class Bodies(NamedTuple):
    """N vehicles and walkers at one tick, each a rigid box."""

    ids: np.ndarray  # i64 (N,), of actors
    poses: np.ndarray  # f64 (N, 4, 4), world <- centre of the box
    halves: np.ndarray  # f64 (N, 3), half sizes, m
    wheels: np.ndarray  # f64 (N, 4, 4), as in ``Movers``

    def since(self, before: Bodies, instances: Instances) -> Movers:
        """Return the movers between two ticks."""
        old = dict(zip(before.ids.tolist(), before.poses, strict=True))
        previous = [old.get(ident, pose) for ident, pose in zip(self.ids.tolist(), self.poses, strict=True)]
        order, values = instances.of(self.ids)
        now = self.poses[order], np.array(previous).reshape(-1, 4, 4)[order]
        return Movers(values, *now, self.halves[order], self.wheels[order])


class Instances:
    """Which value actors have in the instance plane, as one camera has seen.

    Until an actor was seen, that is taken to be its id, cut to 16 bits (carla PR 8334); on the large maps of 0.9.16 it
    is another number (carla issue 9491).
    """

    def __init__(self) -> None:
        self._learnt: dict[int, int] = {}  # by actor

    def learn(self, bodies: Bodies, camera: Camera, planes: dict[str, np.ndarray]) -> None:
        """Learn from a frame's ``depth`` and ``instance``: a point inside an actor's box shows that actor."""
        if not len(bodies.ids):
            return
        boxes, depths = boxes_on_screen(bodies.poses, bodies.halves, camera)
        in_view = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & (depths < _RANGE)
        order = np.argsort(depths, kind="stable")
        order = order[in_view[order]][:_MOST_LEARNT]
        found = values_inside(boxes[order], bodies.poses[order], bodies.halves[order], camera, planes)
        for ident, values in zip(bodies.ids[order].tolist(), found, strict=True):
            votes = Counter(values.tolist())
            if votes:
                value, count = votes.most_common(1)[0]
                if count > 1 or ident not in self._learnt:
                    self._learnt[ident] = value

    def of(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return an order of actors (N,) and their values u16 (N,): those that are known last, as they count."""
        known = np.array([ident in self._learnt for ident in ids.tolist()], bool)
        order = np.argsort(known, kind="stable")
        values = [self._learnt.get(ident, ident & 0xFFFF) for ident in ids[order].tolist()]
        return order, np.array(values, np.uint16)


NOBODY = Bodies(np.zeros(0, np.int64), np.zeros((0, 4, 4)), np.zeros((0, 3)), np.zeros((0, 4, 4)))


@dataclass
class _Body:
    """What stays the same of an actor."""

    offset: np.ndarray  # f64 (4, 4), actor <- centre of its box
    half: list[float]  # m
    wheels: np.ndarray | None  # None: not asked for yet


class MovingActors:
    """The vehicles and walkers of ``server``. Raises OSError or RpcError if it is not there."""

    def __init__(self, server: Address) -> None:
        self._rpc = RpcClient(server)
        try:
            self._reader = self._rpc.snapshots()
        except BaseException:
            self._rpc.close()
            raise
        self._messages: dict[int, bytearray] = {}  # by tick, the oldest first
        self._arrived = threading.Condition()
        self._bodies: dict[int, _Body | None] = {}  # by actor, None: it does not move
        self._asking = threading.Lock()
        self.is_open = True
        threading.Thread(target=self._read, name="lens-actors", daemon=True).start()

    def at(self, tick: int, viewpoint: np.ndarray) -> Bodies:
        """Return what moves at a tick, nobody if its snapshot does not come in time.

        ``viewpoint`` f64 (4, 4): pose of the camera, near which vehicles are asked for their wheels, one at a time.
        """
        with self._arrived:
            self._arrived.wait_for(lambda: not self.is_open or any(each >= tick for each in self._messages), _PATIENCE)
            message = self._messages.get(tick)
        if message is None:
            return NOBODY
        try:
            with self._asking:
                return self._read_bodies(message, viewpoint)
        except (OSError, RpcError):  # the server is gone
            return NOBODY

    def close(self) -> None:
        """Disconnect."""
        self._reader.close()
        self._rpc.close()

    def _read(self) -> None:
        try:
            while True:
                message = self._reader.read()
                tick = carla_wire.SENSOR_HEADER.unpack_from(message)[1]
                with self._arrived:
                    self._messages[tick] = message
                    while len(self._messages) > _KEPT:
                        del self._messages[next(iter(self._messages))]
                    self._arrived.notify_all()
        except OSError:  # closed, by the server or by `close`
            pass
        finally:
            with self._arrived:
                self.is_open = False
                self._arrived.notify_all()

    def _read_bodies(self, message: bytearray, viewpoint: np.ndarray) -> Bodies:
        records = _records(message)
        present: list[int] = records["id"].tolist()
        self._meet([ident for ident in present if ident not in self._bodies])
        known = [(row, body) for row, ident in enumerate(present) if (body := self._bodies.get(ident)) is not None]
        if not known:
            return NOBODY
        rows = [row for row, _ in known]
        poses = _poses(records["pose"][rows]) @ np.array([body.offset for _, body in known])
        for (row, body), pose in zip(known, poses, strict=True):
            if body.wheels is None and np.abs(pose[:2, 3] - viewpoint[:2, 3]).max() < _WHEELS_RANGE:
                body.wheels = self._ask_for_wheels(present[row], body)
                break
        halves = np.array([body.half for _, body in known])
        wheels = np.array([np.zeros((4, 4)) if body.wheels is None else body.wheels for _, body in known])
        return Bodies(np.array([present[row] for row in rows]), poses, halves, wheels)

    def _meet(self, ids: list[int]) -> None:
        for start in range(0, len(ids), _MOST_ASKED):
            asked = ids[start : start + _MOST_ASKED]
            self._bodies |= dict.fromkeys(asked)
            for actor in self._rpc.call("get_actors_by_id", asked):
                kind = str(actor[2][1])
                if kind.startswith(("vehicle.", "walker.")):
                    centre, half, rotation, *_ = actor[3]
                    offset = _poses(np.array([[*centre, *rotation]]))[0]
                    wheels = None if kind.startswith("vehicle.") else np.zeros((4, 4))
                    self._bodies[actor[0]] = _Body(offset, half, wheels)

    def _ask_for_wheels(self, ident: int, body: _Body) -> np.ndarray:
        """Return a vehicle's wheels, whose places a server gives in the world of now."""
        try:
            wheels = self._rpc.call("get_physics_control", ident)[_WHEELS]
        except RpcError:
            return np.zeros((4, 4))
        with self._arrived:
            newest = _records(next(reversed(self._messages.values())))
        pose = newest["pose"][newest["id"] == ident]
        if not len(pose):
            return np.zeros((4, 4))
        known = [
            SimpleNamespace(
                position=SimpleNamespace(**dict(zip("xyz", wheel[_POSITION], strict=True))), radius=wheel[_RADIUS]
            )
            for wheel in wheels
        ]
        half: Any = tuple(body.half)
        return wheels_of(SimpleNamespace(wheels=known), _poses(pose)[0] @ body.offset, half)


def _records(message: bytearray) -> np.ndarray:
    count = max(len(message) - RECORDS, 0) // carla_wire.RECORD
    return np.frombuffer(message, _RECORD, count, RECORDS)


def _poses(transforms: np.ndarray) -> np.ndarray:
    """Return f64 (N, 4, 4) of transforms (N, 6): x, y, z, m, and pitch, yaw, roll, degrees."""
    values = transforms.astype(np.float64)
    angles = np.radians(values[:, 3:])
    return pose_matrix(values[:, :3].T, np.cos(angles).T, np.sin(angles).T)
