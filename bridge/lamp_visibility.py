"""Lit lamps in view, which the tag plane cannot express: of traffic lights, vehicles and streets.

A simulator tells which lamps are on (``carla.VehicleLightState``, the state of a traffic light, CARLA's light
manager). Where a vehicle has them, its components say, where a server has them; else that follows from its box.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from bridge.messages import Camera, Lamp, Lights
from bridge.tags import Tag

LAMP_RANGE = 90.0  # m
MAX_LAMPS = 128  # of a frame, the nearest ones
BULB = 0.11  # m, radius of a traffic light's lamp
STREET_LAMP = 0.3, 0.12  # m, half width and half height of a street lamp's head
ALL_AROUND = 0.0, 0.0, 0.0
#: A vehicle's lamps by CARLA's names of its components -> their places where only its box is known, in half sizes from
#: the centre of that.
COMPONENTS = {
    f"{end}-{kind}-{side}-1": (ahead, aside if side == "r" else -aside, up)
    for end, ahead in (("front", 1.0), ("back", -1.0))
    for kind, aside, up in (("light", 0.72, -0.1), ("blinker", 0.85, -0.1))
    for side in "lr"
}
_ANY_TAG = -1
Place: TypeAlias = Sequence[float] | np.ndarray  # three coordinates, m
_PROTRUDES = 0.35  # of a traffic light's lamp, which is a dome
_NEAREST = 0.5  # m
_LONGEST = 10.0  # m, from the centre of a vehicle to its lamps at most
_LEAST_COSINE = 0.25  # of the angle that a lamp is seen at: its glass is curved
_AROUND = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])  # px: a small lamp may fall between pixels
_FLASHES = 1.5  # per second, of indicators (UN R48: 1 to 2)


class Bulb(NamedTuple):
    """A lit lamp in the world, whether in view or not."""

    kind: str  # as in ``Lamp``
    state: str
    place: tuple[float, float, float]  # its centre, m
    half: tuple[float, float]  # half width and half height, m
    facing: tuple[float, float, float] = ALL_AROUND  # unit vector in which it shines
    tag: int = _ANY_TAG  # of the surface that carries it
    slack: float = 0.8  # m, tolerance of the depth test
    behind: float = 0.0  # cosine beyond a right angle to ``facing`` within which it is still seen


class _Fitting(NamedTuple):
    """A lamp of a vehicle, in units of its bounding box's half sizes."""

    kind: str
    needs: int  # one of these bits of the light state
    along: float  # 1 the front, -1 the rear
    aside: float
    up: float
    half: tuple[float, float]  # m
    state: str = "on"

    @property
    def component(self) -> str:
        """CARLA's name of the component that carries it."""
        kind = "blinker" if self.kind == "indicator" else "light"
        return f"{'front' if self.along > 0.0 else 'back'}-{kind}-{'l' if self.aside < 0.0 else 'r'}-1"

    def place(self, extent: Sequence[float], places: Mapping[str, Place]) -> tuple[float, float, float]:
        """Return its centre from that of the box, m. ``extent``, ``places``: as for ``vehicle_bulbs``."""
        if self.component not in places:
            return self.along * extent[0], self.aside * extent[1], self.up * extent[2]
        ahead, aside, up = places[self.component]
        if self.kind == "reverse":  # beside and below the lamp that it is part of
            return ahead, aside - 0.5 * self.half[0] * self.aside / abs(self.aside), up - self.half[1]
        return ahead, aside, up


def _fittings(rear: float, front: float, sides: tuple[float, ...], size: float = 1.0) -> tuple[_Fitting, ...]:
    """Return the lamps at heights ``rear`` and ``front``, ``size`` times those of a car.

    ``sides``: (-1, 1), or (0,) for a single track.
    """
    low, high = Lights.LOW_BEAM, Lights.HIGH_BEAM
    blinkers = {-1.0: Lights.LEFT_BLINKER, 1.0: Lights.RIGHT_BLINKER, 0.0: Lights.LEFT_BLINKER | Lights.RIGHT_BLINKER}
    out = []
    for side in sides:
        out += [
            _Fitting("tail", Lights.POSITION | low | high, -1.0, 0.77 * side, rear, (0.16, 0.08)),
            _Fitting("brake", Lights.BRAKE, -1.0, 0.77 * side, rear, (0.16, 0.08)),
            _Fitting("reverse", Lights.REVERSE, -1.0, 0.55 * side, rear - 0.08, (0.07, 0.05)),
            _Fitting("indicator", blinkers[side], -1.0, 0.84 * side, rear, (0.09, 0.08)),
            _Fitting("indicator", blinkers[side], 1.0, 0.88 * side, front, (0.08, 0.05)),
            _Fitting("head", low | high, 1.0, 0.72 * side, front, (0.15, 0.08)),
        ]
    return tuple(each._replace(half=(size * each.half[0], size * each.half[1])) for each in out)


_CAR, _TALL, _NARROW = (
    _fittings(0.13, -0.17, (-1.0, 1.0)), _fittings(-0.3, -0.35, (-1.0, 1.0)), _fittings(0.05, 0.15, (0.0,), 0.35),
)  # fmt: skip
_TALL_FROM = 1.2  # m, half height of a van, lorry or bus
_NARROW_TO = 0.5  # m, half width of a two-wheeler


def are_near(places: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Return bool (N,): whether the lamps of what stands at ``places``, f64 (N, 2) or (N, 3), m, may be in view of a
    camera at a pose f64 (4, 4): a quick test before the others."""
    x, y = places[:, 0] - camera[0, 3], places[:, 1] - camera[1, 3]
    return (np.abs(x) + np.abs(y) < 1.5 * LAMP_RANGE) & (x * camera[0, 0] + y * camera[1, 0] > -_LONGEST)


def vehicle_bulbs(
    pose: np.ndarray,
    extent: tuple[float, float, float],
    tag: int,
    lights: int,
    time: float,
    places: Mapping[str, Place] | None = None,
) -> list[Bulb]:
    """Return the lamps of a vehicle that are on.

    Args:
        pose: f64 (4, 4), world <- centre of its bounding box.
        extent: Half sizes of that box, m.
        tag: The vehicle's.
        lights: Bits of ``carla.VehicleLightState``.
        time: Simulated seconds: indicators flash.
        places: Its lamps' centres from that of its box, in its axes, m, by names as in ``COMPONENTS``; without them
            they follow from the box.
    """
    if time * _FLASHES % 1.0 > 0.55:
        lights &= ~(Lights.LEFT_BLINKER | Lights.RIGHT_BLINKER)
    if not lights:
        return []
    fittings = _NARROW if extent[1] < _NARROW_TO else _TALL if extent[2] > _TALL_FROM else _CAR
    lit = [each for each in fittings if lights & each.needs]
    if lights & Lights.BRAKE:
        lit = [each for each in lit if each.kind != "tail"]
    if not lit:
        return []
    local = np.array([each.place(extent, places or {}) for each in lit])
    places = (local @ pose[:3, :3].T + pose[:3, 3]).tolist()
    ahead = pose[:3, 0].tolist()
    ways = {1.0: tuple(ahead), -1.0: tuple(-value for value in ahead)}
    return [
        Bulb(each.kind, "high" if each.kind == "head" and lights & Lights.HIGH_BEAM else each.state,
             tuple(place), each.half, ways[each.along], tag)
        for each, place in zip(lit, places, strict=True)
    ]  # fmt: skip


def traffic_bulb(state: str, place: np.ndarray, facing: tuple[float, float, float] = ALL_AROUND) -> Bulb:
    """Return the lamp of a traffic light that is ``state``: "red", "yellow" or "green"; ``place`` f64 (3,), m."""
    x, y, z = place.tolist()
    return Bulb("traffic_light", state, (x, y, z), (BULB, BULB), facing, Tag.TRAFFIC_LIGHT, 0.6, _PROTRUDES)


def street_bulbs(places: np.ndarray, camera: np.ndarray) -> list[Bulb]:
    """Return those street lamps, of f64 (N, 3), m, that may be in view of a camera at a pose f64 (4, 4).

    Servers differ in which surface carries them.
    """
    near = places[are_near(places, camera)]
    return [Bulb("street", "on", (x, y, z), STREET_LAMP, slack=1.2) for x, y, z in near.tolist()]


def visible_lamps(bulbs: Sequence[Bulb], camera: Camera, planes: Mapping[str, np.ndarray]) -> list[Lamp]:
    """Return the lamps that face ``camera`` and are not occluded, nearest first, at most ``MAX_LAMPS``.

    ``planes``: tag u8 and depth f32 (m) of the camera, both (H, W). Without them nothing is known to be visible.
    """
    if not bulbs or "depth" not in planes or "tag" not in planes:
        return []
    places = np.array([bulb.place for bulb in bulbs])
    right, down = camera.jitter
    to_bulb = places - camera.pose[:3, 3]
    x, y, z = (to_bulb @ camera.pose[:3, :3]).T
    distance = np.maximum(np.linalg.norm(to_bulb, axis=1), 1e-6)
    facing = np.array([bulb.facing for bulb in bulbs])
    cosine = np.where(facing.any(1), -np.einsum("ij,ij->i", facing, to_bulb) / distance, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = camera.width / 2 + camera.focal * y / x + right
        v = camera.height / 2 - camera.focal * z / x + down
    half = np.array([bulb.half for bulb in bulbs]).T * camera.focal / np.maximum(x, _NEAREST)  # px
    inside = (u + half[0] > 0.0) & (u - half[0] < camera.width) & (v + half[1] > 0.0) & (v - half[1] < camera.height)
    behind = np.array([bulb.behind for bulb in bulbs])
    here = np.flatnonzero((x > _NEAREST) & (x < LAMP_RANGE) & (cosine > -behind) & inside)
    if not len(here):
        return []
    here = here[np.argsort(x[here], kind="stable")]
    rows = np.clip(v[here].astype(int)[:, None] + _AROUND[:, 0], 0, camera.height - 1)
    columns = np.clip(u[here].astype(int)[:, None] + _AROUND[:, 1], 0, camera.width - 1)
    tags = np.array([bulbs[k].tag for k in here])[:, None]
    slack = np.array([bulbs[k].slack for k in here])[:, None]
    is_near = np.abs(planes["depth"][rows, columns] - x[here][:, None]) < slack
    is_on_it = (tags == _ANY_TAG) | (planes["tag"][rows, columns] == tags)
    lamps = []
    for k in here[(is_near & is_on_it).any(1)][:MAX_LAMPS].tolist():
        bulb, (w, h) = bulbs[k], half[:, k]
        w *= max(cosine[k], _LEAST_COSINE)
        box = float(u[k] - w), float(v[k] - h), float(u[k] + w), float(v[k] + h)
        lamps.append(Lamp(bulb.kind, bulb.state, box, float(x[k])))
    return lamps
