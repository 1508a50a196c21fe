"""Motorcycles, scooters and bicycles with their riders, by CARLA blueprint id."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import FAR, NEAR, PAINT, RGB, SHIRT, Mesh, box, loft, merge, quad_strip, tube
from neuralsim.town.assets.people_meshes import Body, Posture, person
from neuralsim.town.assets.vehicles.motorcycles import BLACK, HELMETS, STEEL, MotorcycleShape, motorcycle, motorcyclist

SPOKES: RGB = (88, 89, 92)


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
    return tube([(0.0, -width / 2.0, 0.0), (0.0, width / 2.0, 0.0)], radius, tag, STEEL, 6)


def _disc(radius: float, tag: int, colour: RGB = STEEL) -> Mesh:
    """Return what is inside a rim as a thin disc, as labels of real images fill wheels."""
    angle = 2.0 * np.pi * np.arange(10) / 10
    rim = np.stack([radius * np.cos(angle), np.zeros(10), radius * np.sin(angle)], 1)
    return Mesh.of(np.concatenate([rim, np.zeros((1, 3))]), [(k, (k + 1) % 10, 10) for k in range(10)], tag, colour)


def _bicycle_wheel(radius: float) -> Mesh:
    """Return a wheel without a disc near by, where one sees through between spokes thinner than a pixel."""
    tag, levels = Tag.BICYCLE, []
    for level, sides in ((NEAR, 20), (FAR, 10)):
        inside = _hub(0.03, 0.09, tag) if level == NEAR else _disc(radius - 0.03, tag)
        levels.append(merge([_ring(radius, 0.05, 0.045, tag, BLACK, sides), inside]).with_level(level))
    return merge(levels)


def _motorcycle_wheel(radius: float) -> Mesh:
    """Return a cast wheel: light spokes before a dark disc, and near by the discs of its brakes."""
    tag, levels, rim = Tag.MOTORCYCLE, [], radius - 0.08
    angle = 2.0 * np.pi * np.arange(19) / 18
    for level, sides in ((NEAR, 24), (FAR, 9)):
        parts = [_ring(radius, 0.1, 0.13, tag, BLACK, sides), _disc(rim, tag, (44, 44, 46))]
        if level == NEAR:
            parts.append(_ring(rim + 0.012, 0.03, 0.1, tag, SPOKES, sides))
            for turn in 2.0 * np.pi * np.arange(5) / 5:
                end = (rim * np.cos(turn), 0.0, rim * np.sin(turn))
                parts.append(tube([(0.0, 0.0, 0.0), end], [0.032, 0.02], tag, SPOKES, 5))
            for y in (-0.072, 0.072):  # discs of brakes
                around = np.stack([np.cos(angle), np.zeros(19), np.sin(angle)], 1)
                inner, outer = 0.1 * around + (0.0, y, 0.0), 0.15 * around + (0.0, y, 0.0)
                parts.append(quad_strip(inner, outer, tag, STEEL))
            parts.append(_hub(0.045, 0.19, tag))
        levels.append(merge(parts).with_level(level))
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
) -> Mesh:
    posture = Posture(seat, lean, hip, knee, (reach, reach), (18.0, 18.0), 8.0, 9.0)
    return person(Body(top="pullover", upper=SHIRT, hair="cap", tag=Tag.RIDER), posture)


def bicycle(radius: float, base: float, seat: float) -> TwoWheeler:
    """Return a bicycle without a rider, given wheel radius, wheelbase and height of the saddle, metres."""
    tag = Tag.BICYCLE
    front, rear, crank = base / 2, -base / 2, (-0.08, 0.0, 0.29)
    head, post, bar = (front - 0.17, 0.0, seat - 0.12), (-0.22, 0.0, seat), (front - 0.2, 0.0, seat + 0.06)
    frame = [
        ([(rear, 0.0, radius), crank], 0.016),
        ([(rear, 0.0, radius), post], 0.014),
        ([crank, post], 0.019),
        ([crank, head], 0.022),
        ([post, head], 0.019),
        ([head, (front, 0.0, radius)], 0.02),
        ([head, bar], 0.018),
        ([(bar[0], -0.27, bar[2]), (bar[0] + 0.05, 0.0, bar[2]), (bar[0], 0.27, bar[2])], 0.016),
        ([(-0.08, -0.1, 0.2), (-0.08, 0.1, 0.38)], 0.02),
    ]
    bike = []
    for level in (NEAR, FAR):
        saddle = box((0.26, 0.15, 0.06), (post[0] - 0.02, 0, post[2] + 0.03), tag, BLACK)
        bike.append(merge([saddle, *_bars(frame, tag, PAINT, 5 if level == NEAR else 3)]).with_level(level))
    return TwoWheeler(merge(bike), _bicycle_wheel(radius), radius, base)


def _ridden(radius: float, base: float, lean: float, seat: float) -> TwoWheeler:
    rider = _rider((-0.22, 0.0, seat + 0.12), lean, (78.0, 42.0), (88.0, 62.0), 52.0 - lean * 0.2)
    machine = bicycle(radius, base, seat)
    return replace(machine, body=merge([machine.body, rider]))


MOTORCYCLES = {
    "vehicle.kawasaki.ninja": MotorcycleShape(
        radius=0.3, wheelbase=1.4, seat=0.8, lean=30.0, is_cruiser=False, helmet=HELMETS[0]
    ),
    "vehicle.yamaha.yzf": MotorcycleShape(
        radius=0.3, wheelbase=1.42, seat=0.82, lean=34.0, is_cruiser=False, helmet=HELMETS[1]
    ),
    "vehicle.harley-davidson.low_rider": MotorcycleShape(
        radius=0.32, wheelbase=1.63, seat=0.68, lean=4.0, is_cruiser=True, helmet=HELMETS[2]
    ),
}


def _motorcycle(shape: MotorcycleShape) -> TwoWheeler:
    body = merge([motorcycle(shape), motorcyclist(shape)])
    return TwoWheeler(body, _motorcycle_wheel(shape.radius), shape.radius, shape.wheelbase)


def two_wheelers() -> dict[str, TwoWheeler]:
    """Return all two-wheelers with riders by blueprint id; frame, tank and coat have the placement's colour."""
    return {
        "vehicle.bh.crossbike": _ridden(radius=0.34, base=1.06, lean=24.0, seat=0.92),
        "vehicle.diamondback.century": _ridden(radius=0.335, base=1.0, lean=38.0, seat=0.95),
        "vehicle.gazelle.omafiets": _ridden(radius=0.355, base=1.12, lean=6.0, seat=0.88),
        **{name: _motorcycle(shape) for name, shape in MOTORCYCLES.items()},
    }
