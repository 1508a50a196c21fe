"""Motorcycles, scooters and bicycles with their riders, by CARLA blueprint id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import FAR, NEAR, PAINT, RGB, SHIRT, Mesh, box, loft, merge, sphere, tube
from neuralsim.town.assets.people_meshes import Body, Posture, person

BLACK: RGB = (26, 26, 28)
METAL: RGB = (140, 142, 146)


@dataclass(frozen=True)
class TwoWheeler:
    """A two-wheeler: ``body`` is the machine without wheels, with its rider if it has one.

    The ``wheel`` turns about the y axis and is centred at the origin; its radius and the wheelbase are in metres.
    """

    body: Mesh
    wheel: Mesh
    radius: float
    wheelbase: float

    def whole(self) -> Mesh:
        """Return the body with its wheels as one mesh."""
        wheels = [self.wheel.moved(x, 0.0, self.radius) for x in (self.wheelbase / 2, -self.wheelbase / 2)]
        return merge([self.body, *wheels])


def _ring(radius: float, thickness: float, width: float, tag: int, colour: RGB, sides: int) -> Mesh:
    """Return a tyre: a torus about the y axis."""
    round_ = 5 if sides > 12 else 3
    angle = 2.0 * np.pi * np.arange(sides + 1) / sides
    across = 2.0 * np.pi * np.arange(round_) / round_
    r = radius - thickness / 2.0 + thickness / 2.0 * np.cos(across)
    y = width / 2.0 * np.sin(across)
    sections = np.stack(
        [np.cos(angle)[:, None] * r, np.broadcast_to(y, (sides + 1, round_)), np.sin(angle)[:, None] * r], -1
    )
    return loft(sections, tag, colour, caps=False)


def _hub(radius: float, width: float, tag: int) -> Mesh:
    """Return a hub about the y axis."""
    return tube([(0.0, -width / 2.0, 0.0), (0.0, width / 2.0, 0.0)], radius, tag, METAL, 6)


def _disc(radius: float, tag: int) -> Mesh:
    """Return what is inside a rim as a thin disc, as labels of real images fill wheels."""
    angle = 2.0 * np.pi * np.arange(10) / 10
    rim = np.stack([radius * np.cos(angle), np.zeros(10), radius * np.sin(angle)], 1)
    return Mesh.of(np.concatenate([rim, np.zeros((1, 3))]), [(k, (k + 1) % 10, 10) for k in range(10)], tag, METAL)


def _wheel(radius: float, thickness: float, width: float, rim: float, tag: int, sides: tuple[int, int]) -> Mesh:
    """Return a wheel; ``rim``: from its radius to the disc's, metres. A bicycle's has no disc near by, where one sees
    through between spokes thinner than a pixel."""
    levels = []
    for level, count in zip((NEAR, FAR), sides, strict=True):
        is_open = tag == Tag.BICYCLE and level == NEAR
        inside = _hub(0.03, 2.0 * width, tag) if is_open else _disc(radius - rim, tag)
        levels.append(merge([_ring(radius, thickness, width, tag, BLACK, count), inside]).with_level(level))
    return merge(levels)


def _bars(
    lines: Sequence[tuple[Sequence[tuple[float, float, float]], float]], tag: int, colour: RGB, sides: int
) -> list[Mesh]:
    return [tube(path, radius, tag, colour, sides) for path, radius in lines]


def _rider(
    seat: tuple[float, float, float],
    lean: float,
    hip: tuple[float, float],
    knee: tuple[float, float],
    reach: float,
    helmet: RGB | None,
) -> Mesh:
    posture = Posture(seat, lean, hip, knee, (reach, reach), (18.0, 18.0), 8.0, 9.0)
    return person(Body(top="pullover", upper=SHIRT, hair="cap", helmet=helmet, tag=Tag.RIDER), posture)


def bicycle(radius: float, base: float, seat: float) -> TwoWheeler:
    """Return a bicycle without a rider, given wheel radius, wheelbase and height of the saddle, metres."""
    tag = Tag.BICYCLE
    front, rear, crank = base / 2, -base / 2, (-0.08, 0.0, 0.29)
    head, post, bar = (front - 0.17, 0.0, seat - 0.12), (-0.22, 0.0, seat), (front - 0.2, 0.0, seat + 0.06)
    frame = [
        ([(rear, 0.0, radius), crank], 0.016), ([(rear, 0.0, radius), post], 0.014), ([crank, post], 0.019),
        ([crank, head], 0.022), ([post, head], 0.019), ([head, (front, 0.0, radius)], 0.02), ([head, bar], 0.018),
        ([(bar[0], -0.27, bar[2]), (bar[0] + 0.05, 0.0, bar[2]), (bar[0], 0.27, bar[2])], 0.016),
        ([(-0.08, -0.1, 0.2), (-0.08, 0.1, 0.38)], 0.02),
    ]  # fmt: skip
    bike = []
    for level in (NEAR, FAR):
        saddle = box((0.26, 0.15, 0.06), (post[0] - 0.02, 0, post[2] + 0.03), tag, BLACK)
        bike.append(merge([saddle, *_bars(frame, tag, PAINT, 5 if level == NEAR else 3)]).with_level(level))
    return TwoWheeler(merge(bike), _wheel(radius, 0.05, 0.045, 0.03, tag, (20, 10)), radius, base)


def _ridden(radius: float, base: float, lean: float, seat: float) -> TwoWheeler:
    rider = _rider((-0.22, 0.0, seat + 0.12), lean, (78.0, 42.0), (88.0, 62.0), 52.0 - lean * 0.2, None)
    machine = bicycle(radius, base, seat)
    return replace(machine, body=merge([machine.body, rider]))


def _motorcycle(shape: _MotorcycleShape) -> TwoWheeler:
    radius, base, seat, lean, has_fairing, is_cruiser = shape
    tag = Tag.MOTORCYCLE
    front, rear = base / 2, -base / 2
    bar = (front - 0.42, 0.0, seat + (0.32 if is_cruiser else 0.2))
    bars = [
        ([(front, -0.1, radius), (bar[0], -0.1, bar[2])], 0.03), ([(front, 0.1, radius), (bar[0], 0.1, bar[2])], 0.03),
        ([(rear, -0.13, radius), (-0.1, -0.13, radius + 0.1)], 0.04),
        ([(rear, 0.13, radius), (-0.1, 0.13, radius + 0.1)], 0.04),
        ([(bar[0] - 0.08, -0.36, bar[2] + 0.04), (bar[0], 0.0, bar[2]), (bar[0] - 0.08, 0.36, bar[2] + 0.04)], 0.02),
        ([(-0.15, 0.17, radius - 0.05), (rear - 0.15, 0.2, radius + 0.05)], 0.055),
    ]  # fmt: skip
    bike = []
    for level in (NEAR, FAR):
        round_, rings = (8, 5) if level == NEAR else (5, 3)
        parts = []
        parts.append(sphere((0.36, 0.15, 0.17), (0.16, 0, seat + 0.06), tag, PAINT, round_, rings))  # tank
        parts.append(sphere((0.3, 0.17, 0.22), (0.06, 0, radius + 0.1), tag, METAL, round_, rings))  # engine
        parts.append(sphere((0.48, 0.14, 0.09), (-0.42, 0, seat), tag, BLACK, round_, rings))  # seat and tail
        parts.append(
            sphere((0.3, 0.07, 0.07), (rear - 0.02, 0, radius * 2 + 0.03), tag, PAINT, round_, rings)
        )  # mudguard
        parts.append(
            sphere((0.12, 0.12, 0.12), (bar[0] + 0.16, 0, bar[2] - 0.12), tag, (230, 230, 225), round_, rings)
        )  # headlamp
        parts.append(box((0.05, 0.16, 0.07), (rear - 0.24, 0, seat - 0.03), tag, (150, 18, 18)))
        if has_fairing:
            parts.append(sphere((0.34, 0.2, 0.27), (front - 0.34, 0, seat - 0.02), tag, PAINT, round_, rings))
        for side in (-1, 1):
            parts.append(sphere((0.03, 0.07, 0.05), (bar[0] - 0.02, side * 0.36, bar[2] + 0.2), tag, BLACK, round_, 3))
        bike.append(merge(parts + _bars(bars, tag, METAL, 5 if level == NEAR else 3)).with_level(level))
    sitting = _rider(
        (-0.26, 0.0, seat + 0.16), lean, (62.0, 62.0), (78.0 if not is_cruiser else 52.0,) * 2, 48.0, (40, 42, 48)
    )
    return TwoWheeler(merge([*bike, sitting]), _wheel(radius, 0.16, 0.13, 0.1, tag, (18, 9)), radius, base)


class _MotorcycleShape(NamedTuple):
    """The sizes of a motorcycle, metres; ``lean`` of its rider, degrees."""

    radius: float
    wheelbase: float
    seat: float
    lean: float
    has_fairing: bool
    is_cruiser: bool


_MOTORCYCLES = {
    "vehicle.kawasaki.ninja": _MotorcycleShape(0.3, 1.4, 0.8, 30.0, True, False),
    "vehicle.yamaha.yzf": _MotorcycleShape(0.3, 1.42, 0.82, 34.0, True, False),
    "vehicle.harley-davidson.low_rider": _MotorcycleShape(0.32, 1.63, 0.68, 4.0, False, True),
}


def two_wheelers() -> dict[str, TwoWheeler]:
    """Return all two-wheelers with riders by blueprint id; frame, tank and coat have the placement's colour."""
    return {
        "vehicle.bh.crossbike": _ridden(0.34, 1.06, 24.0, 0.92),
        "vehicle.diamondback.century": _ridden(0.335, 1.0, 38.0, 0.95),
        "vehicle.gazelle.omafiets": _ridden(0.355, 1.12, 6.0, 0.88),
        **{name: _motorcycle(shape) for name, shape in _MOTORCYCLES.items()},
    }
