"""The car's mirrors: the planes of small cameras that look back from the ego, while a driver looks into them.

To the simulator each view costs as much as its geometry, however small it is. So the mirrors' sensors send few images
a second, which nobody waits for: they come with a later frame, one with each.
"""

from collections import deque
from collections.abc import Callable, Set
from functools import partial
from typing import NamedTuple

import numpy as np

from bridge.carla_client.camera_rig import CAR_HALF_HEIGHT, CameraRig, RigSpec
from bridge.carla_library import carla
from bridge.link.motion import Movers
from bridge.messages import MIRROR_PLANES, MIRRORS, Camera, MirrorName


class _Mount(NamedTuple):
    along: float  # of half the ego's length, from its centre
    across: float  # likewise of half its width
    up: float  # m, for a car of the usual height
    turned: float  # degrees from straight back, to the right
    fov: float  # degrees, horizontal


# A wing mirror shows a strip of its own car's flank at its inner edge.
_MOUNTS: dict[MirrorName, _Mount] = {
    "rear": _Mount(-1.02, 0.0, 1.2, 0.0, 48.0),
    "left": _Mount(0.26, -1.15, 1.08, -13.0, 38.0),
    "right": _Mount(0.26, 1.15, 1.08, 13.0, 38.0),
}
_PITCH = -3.0  # degrees
_INTERVAL = 0.15  # s, simulated, between two images of the rear mirror alone
_INTERVALS = {"rear": 0.2, "left": 0.4, "right": 0.4}  # s, of several
_TICKS = 2  # at least between two images, on machines where a tick is longer than that
_APART = 3  # ticks between the first images of two mirrors: not all are rendered in the same tick
_KEPT = 8  # ticks within which an image arrives


class Mirrors:
    """Camera rigs around ``ego``, one for each mirror; their sensors exist while they are on."""

    def __init__(self, world: carla.World, ego: carla.Vehicle, jitter: bool) -> None:
        self._world, self._ego, self._jitter = world, ego, jitter
        self._on: frozenset[MirrorName] = frozenset()
        self._rigs: dict[MirrorName, CameraRig] = {}
        self._ticks: deque[tuple[int, Movers]] = deque(maxlen=_KEPT)
        self._before: dict[MirrorName, tuple[int, Movers]] = {}  # tick and movers of the last image
        self._added = self._last = 0  # ticks: of the newest rig, and with the newest image of any

    @property
    def actors(self) -> list[carla.Sensor]:
        """All sensor actors, to be destroyed with the vehicle."""
        return [actor for rig in self._rigs.values() for actor in rig.actors]

    def stop(self) -> None:
        """Stop listening."""
        for rig in self._rigs.values():
            rig.stop()

    def show(self, on: Set[MirrorName]) -> None:
        """Turn exactly these mirrors on."""
        if on == self._on:
            return
        for rig in self._rigs.values():
            rig.remove()
        self._on, self._rigs, self._before = frozenset(on), {}, {}
        if on:
            self._add()

    def update(
        self, tick: int, movers: Callable[[], Movers]
    ) -> tuple[MirrorName, Camera, dict[str, np.ndarray]] | None:
        """Take the ``movers`` of a tick; return a mirror, its camera and its planes if a new image has arrived.

        It is that of a recent tick. The planes are valid until the next call; their motion refers to the image of the
        same mirror returned before.
        """
        if not self._on:
            return None
        if len(self._rigs) < len(self._on) and tick >= self._added + _APART:
            self._add(tick)
        self._ticks.append((tick, movers()))
        if tick < self._last + _TICKS:
            return None
        for name in sorted(self._rigs, key=lambda name: self._before.get(name, (0,))[0]):  # the oldest one first
            rig = self._rigs[name]
            images = rig.newest()
            now = next((each for number, each in self._ticks if images and number == images["depth"].frame), None)
            if images is None or now is None:
                continue
            camera, planes = rig.decode(images)
            rig.add_motion(camera, planes, partial(_since, now, self._before.get(name, (0, now))[1]))
            self._before[name], self._last = (tick, now), tick
            return name, camera, planes
        return None

    def _add(self, tick: int = 0) -> None:
        """Spawn the sensors of one more mirror."""
        name = next(each for each in _MOUNTS if each in self._on and each not in self._rigs)
        mount, half = _MOUNTS[name], self._ego.bounding_box.extent
        location = carla.Location(mount.along * half.x, mount.across * half.y, mount.up * half.z / CAR_HALF_HEIGHT)
        rotation = carla.Rotation(pitch=_PITCH, yaw=180.0 - mount.turned)
        spec = RigSpec(MIRRORS[name], mount.fov, carla.Transform(location, rotation))
        interval = _INTERVALS[name] if len(self._on) > 1 else _INTERVAL
        rig = self._rigs[name] = CameraRig(self._world, self._ego, spec, self._jitter, interval=interval)
        rig.select_planes(MIRROR_PLANES.values())
        self._added = tick


def _since(now: Movers, before: Movers) -> Movers:
    """Return the movers of ``now`` whose previous poses are those of ``before``."""
    old = dict(zip(before.instance.tolist(), before.pose, strict=True))
    previous = [old.get(instance, pose) for instance, pose in zip(now.instance.tolist(), now.pose, strict=True)]
    return now._replace(previous=np.array(previous).reshape(-1, 4, 4))
