"""Vehicles by CARLA blueprint id, with the outline of the real vehicle from every side.

Seams, lamps, plates and grilles of cars are no triangles but part of their shading (``vehicle_detail_kernels``).
The origin is the centre of the footprint on the ground, x forward; metres.
"""

from dataclasses import dataclass
from functools import lru_cache

from bridge.tags import Tag
from neuralsim.town.assets.car_shapes import CARS, LORRY_CAB, CarShape
from neuralsim.town.assets.looks import HEADLAMP, PLATE, TAILLAMP
from neuralsim.town.assets.meshes import DISTANT, MIDDLE, NEAR, RGB, Mesh, box, merge
from neuralsim.town.assets.vehicles.car_bodies import BLACK, cabin, lower_body, mirrors, wheel
from neuralsim.town.assets.vehicles.lamps import TRUCK_HEADLAMP, TRUCK_ID, TRUCK_LAMP, TRUCK_LENGTH
from neuralsim.town.assets.vehicles.two_wheelers import two_wheelers

LORRY_BOX: RGB = (214, 214, 210)


@dataclass(frozen=True)
class Wheel:
    """A wheel about the y axis: its centre ``at`` and its radius (m), and whether it steers."""

    at: tuple[float, float, float]
    radius: float
    steers: bool


@dataclass(frozen=True)
class Vehicle:
    """A vehicle in parts: its ``body``, and the mesh ``wheel`` of each of its ``wheels``, centred at the origin."""

    body: Mesh
    wheel: Mesh
    wheels: tuple[Wheel, ...]

    def whole(self) -> Mesh:
        """Return the vehicle as one mesh, with its wheels straight ahead."""
        return merge([self.body, *[self.wheel.moved(*wheel.at) for wheel in self.wheels]])


def car(c: CarShape) -> Vehicle:
    """Return a car of this shape."""
    levels = [
        merge([lower_body(c, 11, 2), cabin(c, 2), *mirrors(c, 8, 5)]).with_level(NEAR),
        merge([lower_body(c, 6, 1), cabin(c, 1), *mirrors(c, 5, 3)]).with_level(MIDDLE),
        merge([lower_body(c, 0, 0), cabin(c, 0)]).with_level(DISTANT),
    ]
    y = c.width / 2.0 - c.tyre_width / 2.0 - 0.02
    wheels = tuple(
        Wheel((c.length / 2.0 - axle, side * y, c.wheel), c.wheel, k == 0)
        for k, axle in enumerate((c.front, c.front + c.wheelbase))
        for side in (-1, 1)
    )
    return Vehicle(merge(levels), _wheel(c.wheel, c.tyre_width, c.tag), wheels)


def _wheel(radius: float, width: float, tag: int) -> Mesh:
    levels = ((NEAR, 20, 2), (MIDDLE, 10, 1), (DISTANT, 6, 0))
    return merge([wheel(radius, width, tag, sides, fine).with_level(level) for level, sides, fine in levels])


def _truck() -> Vehicle:
    """Return a rigid lorry: cab over engine, closed box body, three axles."""
    length, z = TRUCK_LENGTH, 0.50
    parts = []
    for level, points, fine in ((NEAR, 11, 2), (MIDDLE, 5, 1), (DISTANT, 0, 0)):
        cab = merge([lower_body(LORRY_CAB, points, fine), cabin(LORRY_CAB, fine)]).moved(length / 2 - 1.15)
        pieces = [cab, box((5.75, 2.5, 2.45), (length / 2 - 2.42 - 2.875, 0, 1.05 + 1.225), Tag.TRUCK, LORRY_BOX)]
        pieces.append(box((7.9, 0.95, 0.28), (-0.05, 0, 0.88), Tag.TRUCK, BLACK))
        pieces.append(box((0.1, 2.3, 0.14), (-length / 2 + 0.12, 0, 0.72), Tag.TRUCK, BLACK))  # underrun bar
        for s in (-1, 1):
            pieces.append(
                box((0.06, 0.3, 0.12), (TRUCK_LAMP[0] + 0.03, s * TRUCK_LAMP[1], TRUCK_LAMP[2]), Tag.TRUCK, TAILLAMP)
            )
            pieces.append(box((0.1, 0.24, 0.42), (length / 2 - 0.25, s * 1.38, 2.05), Tag.TRUCK, BLACK))
            x, y, up = TRUCK_HEADLAMP
            pieces.append(box((0.1, 0.34, 0.14), (x - 0.05, s * y, up), Tag.TRUCK, HEADLAMP))
            pieces.append(box((3.0, 0.05, 0.4), (-0.4, s * 1.15, 0.72), Tag.TRUCK, (90, 92, 95)))
            if fine == 2:
                pieces += _box_fittings(length, s)
        if fine == 2:
            pieces.append(box((0.04, 1.7, 0.34), (length / 2 - 0.0, 0, 1.22), Tag.TRUCK, BLACK))  # grille
            pieces.append(box((0.03, 0.5, 0.11), (length / 2 + 0.005, 0, 0.62), Tag.TRUCK, PLATE))
            pieces.append(box((0.03, 0.5, 0.11), (-length / 2 + 0.055, 0, 0.84), Tag.TRUCK, PLATE))
            pieces.append(box((0.02, 0.03, 2.3), (-length / 2 + 0.028, 0, 2.27), Tag.TRUCK, (70, 72, 74)))  # doors
        parts.append(merge(pieces).with_level(level))
    wheels = tuple(
        Wheel((length / 2 - axle, side * 1.05, z), z, axle < 2.0) for axle in (1.35, 5.4, 6.65) for side in (-1, 1)
    )
    return Vehicle(merge(parts), _wheel(z, 0.32, Tag.TRUCK), wheels)


def _box_fittings(length: float, side: int) -> list[Mesh]:
    """Return rails, a door bar, mudguards and steps of one side of the lorry."""
    rear, steel = -length / 2 + 0.03, (110, 112, 114)
    rails = [box((5.75, 0.03, 0.07), (length / 2 - 5.295, side * 1.25, z), Tag.TRUCK, steel) for z in (1.08, 3.47)]
    bar = box((0.03, 0.03, 2.2), (rear, side * 0.5, 2.25), Tag.TRUCK, steel)
    guards = [box((1.05, 0.34, 0.03), (length / 2 - x, side * 1.05, 1.03), Tag.TRUCK, BLACK) for x in (5.4, 6.65)]
    step = box((0.5, 0.2, 0.05), (length / 2 - 0.5, side * 1.12, 0.5), Tag.TRUCK, BLACK)
    return [*rails, bar, *guards, step]


@lru_cache(maxsize=1)
def vehicles() -> dict[str, Vehicle]:
    """Return all vehicles by CARLA blueprint id; they have the colour of the placement, and two-wheelers a rider."""
    result = {name: car(shape) for name, shape in CARS.items()}
    result[TRUCK_ID] = _truck()
    for name, bike in two_wheelers().items():
        axles = bike.wheelbase / 2, -bike.wheelbase / 2
        wheels = tuple(Wheel((x, 0.0, bike.radius), bike.radius, False) for x in axles)
        result[name] = Vehicle(bike.body, bike.wheel, wheels)
    return result


def vehicle_templates() -> dict[str, Mesh]:
    """Return the whole meshes of all vehicles by CARLA blueprint id."""
    return {name: vehicle.whole() for name, vehicle in vehicles().items()}
