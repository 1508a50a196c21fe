"""Vehicles by CARLA blueprint id, with the outline of the real vehicle from every side.

A car consists of a lower body and a cabin, each lofted over cross-sections along its length. The bottom line rises into
arches over the wheels, the sides lean in above the shoulder (tumblehome), and bonnet, screens, roof and tail follow a
side profile (``car_shapes``). The origin is the centre of the footprint on the ground, x forward; metres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.car_shapes import CARS, LORRY_CAB, CarShape
from neuralsim.town.assets.meshes import FAR, NEAR, RGB, Mesh, box, loft, merge, sphere, wheel
from neuralsim.town.assets.two_wheelers import two_wheelers

GLASS: RGB = (38, 46, 54)
BLACK: RGB = (24, 24, 26)
TYRE: RGB = (28, 28, 28)
RIM: RGB = (150, 152, 155)
HEADLAMP: RGB = (225, 230, 235)
TAILLAMP: RGB = (150, 18, 18)
PLATE: RGB = (220, 220, 205)


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


def _car(c: CarShape) -> Vehicle:
    near = merge([_lower_body(c, 9, 1), _cabin(c, 2), *_fittings(c)]).with_level(NEAR)
    coarse = replace(c, pillars=())
    far = merge([_lower_body(coarse, 4, 0), _cabin(coarse, 0), *_lamps(c), *_mirrors(c, 4, 2)]).with_level(FAR)
    y = c.width / 2.0 - c.tyre_width / 2.0 - 0.025
    wheels = tuple(
        Wheel((c.length / 2.0 - axle, side * y, c.wheel), c.wheel, k == 0)
        for k, axle in enumerate(_axles(c))
        for side in (-1, 1)
    )
    return Vehicle(merge([near, far]), _wheel(c.wheel, c.tyre_width, c.tag), wheels)


def _wheel(radius: float, width: float, tag: int) -> Mesh:
    fine, coarse = wheel(radius, width, tag, TYRE, RIM, 16), wheel(radius, width, tag, TYRE, RIM, 7, False)
    return merge([fine.with_level(NEAR), coarse.with_level(FAR)])


def _axles(c: CarShape) -> tuple[float, ...]:
    return (c.front, c.front + c.wheelbase)


def _lower_body(c: CarShape, arch_points: int, fine: int) -> Mesh:
    """Return everything below the windows, including bonnet, boot lid, floor and wheel wells."""
    n, half = c.length, c.width / 2.0
    arch = c.wheel * 1.15
    stations = [0.0, 0.05, 0.26, c.cowl_at, c.tail_at, n - 0.12, n]
    if fine:
        stations += [0.02, 0.09, 0.16, 0.4, c.cowl_at * 0.6, n - 0.3, n - 0.2, n - 0.07, n - 0.03]
        stations += list(np.linspace(c.cowl_at, c.tail_at, 5)[1:-1])
    raised = []  # (station, bottom) over the wheels
    for axle in _axles(c):
        offsets = -np.cos(np.linspace(0.0, np.pi, arch_points)) * arch
        raised += [(axle + d, c.wheel + np.sqrt(max(arch**2 - d**2, 0.0))) for d in offsets]
        raised += [(axle - arch - 1e-3, -1.0), (axle + arch + 1e-3, -1.0)]
    inside = [s for s in stations if all(abs(s - axle) > arch + 0.02 for axle in _axles(c))]
    rows = sorted([(s, -1.0) for s in inside if 0.0 <= s <= n] + [(s, b) for s, b in raised if 0.0 < s < n])
    at = np.array([row[0] for row in rows])
    bottom = np.interp(at, [0.0, 0.14, n - 0.25, n], c.clearance + np.array([0.12, 0.0, 0.02, 0.16]))
    floor = bottom
    bottom = np.maximum(bottom, [row[1] for row in rows])
    deck = c.tail_z
    nose = c.nose_z
    shoulder = np.interp(
        at,
        [0.0, 0.05, 0.2, c.cowl_at, c.tail_at, n - 0.05, n],
        [nose - 0.22, nose - 0.14, nose - 0.07, c.cowl_z - 0.05, c.belt_z, deck - 0.08, deck - 0.24],
    )
    fall = np.array([0.2, 0.1, 0.04, 0.0])
    top = np.interp(
        at,
        [0.0, 0.03, 0.09, 0.26, c.cowl_at, c.cowl_at + 0.1, c.tail_at - 0.1, c.tail_at, n - 0.12, n - 0.03, n],
        np.concatenate([nose - fall, [c.cowl_z, c.cowl_z - 0.02, c.belt_z, deck], deck - np.array([0.01, 0.06, 0.2])]),
    )
    top = np.maximum(top, shoulder + 0.004)
    shoulder = np.maximum(shoulder, bottom + 0.06)
    top = np.maximum(top, shoulder + 0.004)
    rounding = np.interp(
        at,
        [0.0, 0.04, 0.12, 0.3, 0.7, n - 0.7, n - 0.25, n - 0.08, n],
        [0.74, 0.84, 0.91, 0.965, 1, 1, 0.97, 0.91, 0.8],
    )
    w = half * (c.sharp * np.maximum(rounding, 0.93) + (1.0 - c.sharp) * rounding)
    mid = bottom + 0.5 * (shoulder - bottom)
    inner = np.minimum(half - c.tyre_width - 0.05, 0.84 * w)
    side = [(inner, floor), (inner, bottom), (w * 0.965, bottom + 0.05), (w, mid), (w * 0.965, shoulder)]
    if fine:
        side += [(w * 0.87, shoulder + 0.6 * (top - shoulder)), (w * 0.5, shoulder + 0.92 * (top - shoulder))]
    else:
        del side[3]
        side += [(w * 0.7, shoulder + 0.8 * (top - shoulder))]
    skin = _skin(at, side, floor, top, c)
    colours = skin.colours.copy()
    panels = 2 * len(side) + 2
    panel = np.arange(2 * (len(at) - 1) * panels) // 2 % panels
    colours[: len(panel)][np.minimum(panel, panels - 1 - panel) < 3] = BLACK  # underside and wheel wells
    return replace(skin, colours=colours)


def _skin(
    at: np.ndarray, side: list[tuple[np.ndarray, np.ndarray]], bottom: np.ndarray, top: np.ndarray, c: CarShape
) -> Mesh:
    """Return the closed loft of a half section (outwards from the bottom to the top) and its mirror image."""
    x = c.length / 2.0 - at
    zero = np.zeros_like(x)
    ring = [(zero, bottom)] + side + [(zero, top)] + [(-y, z) for y, z in reversed(side)]
    sections = np.stack([np.stack([x, y, z], -1) for y, z in ring], 1)
    return loft(sections, c.tag, c.colour)


def _cabin(c: CarShape, fine: int) -> Mesh:
    """Return windows and roof: windscreen, side and rear windows are dark panels between pillars."""
    length = c.tail_at - c.cowl_at
    first, last = c.cowl_at - 0.02, c.tail_at + 0.02
    ends = [c.roof_from, c.roof_to]
    marks = sorted([first, *ends, (c.roof_from + c.roof_to) / 2, last])
    if fine:
        marks += [c.roof_from + 0.14, c.roof_to - 0.14, (c.cowl_at + c.roof_from) / 2, (c.roof_to + c.tail_at) / 2]
        for p in c.pillars:
            marks += [p - 0.045, p + 0.045]
    at = np.array(sorted(m for m in set(marks) if first <= m <= last))
    base = np.interp(at, [c.cowl_at, c.tail_at], [c.cowl_z - 0.07, c.belt_z - 0.02])
    roof_mid = c.roof_from + 0.35 * (c.roof_to - c.roof_from)
    roof = np.interp(
        at,
        [first, c.roof_from, c.roof_from + 0.14, roof_mid, c.roof_to - 0.14, c.roof_to, last],
        [c.cowl_z - 0.04, *(c.height - np.array([0.075, 0.03, 0.0, 0.05, 0.11])), c.tail_z - 0.02],
    )
    roof = np.maximum(roof, base + 0.012)
    high = roof - base
    taper = [0.95, 1.0, 1.0 - 0.03 * (1 - c.sharp), 0.95]
    half = c.width / 2.0 * 0.955 * np.interp(at, [first, c.roof_from, c.roof_to, last], taper)

    def lean(z: np.ndarray, extra: float = 0.0) -> np.ndarray:
        return half - c.tumble * (z - base) - extra

    z1, z2, z3 = base + 0.08 * high, base + 0.83 * high, base + 0.93 * high
    crown = 0.35 * np.minimum(high, 0.3)
    side = [(half, base), (lean(z1), z1), (lean(z2), z2), (lean(z3, 0.035), z3), (lean(z3) * 0.78, roof - 0.12 * crown)]
    skin = _skin(at, side, base, roof, c)
    panels = 2 * len(side) + 2
    sections = len(at) - 1
    row = np.arange(2 * sections * panels) // 2
    s, k = row // panels, row % panels
    k = np.minimum(k, panels - 1 - k)  # 0 floor, 1 below the window, 2 window, 3 rail, 4 roof's rim, 5 roof
    middle = (at[s] + at[s + 1]) / 2.0
    pillar = np.zeros(len(row), bool)
    for p in c.pillars:
        pillar |= np.abs(middle - p) < 0.05
    screen = ((middle < c.roof_from) | ((middle > c.roof_to) & (c.glass_to >= 0.99))) & (k >= 4)
    window = (k == 2) & (middle < first + c.glass_to * length) & ~pillar
    colours = skin.colours.copy()
    colours[: len(row)][screen | window] = GLASS
    colours[: len(row)][pillar & (k == 2)] = BLACK if c.glass_to >= 0.99 else np.array(c.colour, np.uint8)
    return replace(skin, colours=colours)


def _lamps(c: CarShape) -> list[Mesh]:
    x = c.length / 2.0
    front, rear = c.nose_z - 0.15, rear_lamp(c)
    parts = []
    for side in (-1, 1):
        parts.append(box((0.16, 0.26, 0.11), (x - 0.11, side * c.width * 0.36, front), c.tag, HEADLAMP))
        parts.append(box((0.12, 0.16, 0.16), (rear[0] + 0.06, side * rear[1], rear[2]), c.tag, TAILLAMP))
    return parts


def rear_lamp(c: CarShape) -> tuple[float, float, float]:
    """Return the centre of the face of the right rear lamp, metres."""
    return -c.length / 2.0 - 0.01, c.width * 0.385, min(c.tail_z, c.belt_z + 0.1) - 0.2


def _mirror_at(c: CarShape) -> float:
    return c.cowl_at + 0.25 * (c.roof_from - c.cowl_at) + 0.12


def _mirrors(c: CarShape, sides: int, rings: int) -> list[Mesh]:
    size = 0.6 + 0.28 * c.height
    radii = (0.07 * size, 0.08 * size, 0.075 * size)
    at = (c.length / 2.0 - _mirror_at(c), c.width / 2.0 + 0.045 * size, c.cowl_z + 0.1 * size)
    return [sphere(radii, (at[0], side * at[1], at[2]), c.tag, c.colour, sides, rings) for side in (-1, 1)]


def _fittings(c: CarShape) -> list[Mesh]:
    """Return lamps, mirrors with their arms, grille and number plates."""
    x, half = c.length / 2.0, c.width / 2.0
    parts = _lamps(c) + _mirrors(c, 8, 4)
    mirror_at = _mirror_at(c)
    for side in (-1, 1):
        parts.append(box((0.06, 0.16, 0.05), (x - mirror_at, side * (half - 0.03), c.cowl_z + 0.03), c.tag, BLACK))
    parts.append(box((0.06, c.width * 0.5, 0.14), (x - 0.02, 0, c.nose_z - 0.32), c.tag, BLACK))
    parts.append(box((0.05, 0.46, 0.1), (x + 0.005, 0, c.clearance + 0.24), c.tag, PLATE))
    parts.append(box((0.05, 0.46, 0.1), (-x - 0.002, 0, c.clearance + 0.36), c.tag, PLATE))
    return parts


TRUCK_ID = "vehicle.carlamotors.european_hgv"
TRUCK_LENGTH, TRUCK_LAMP = 8.2, (-4.03, 0.95, 0.84)


def _truck() -> Vehicle:
    """Return a rigid lorry: cab over engine, closed box body, three axles."""
    length, z = TRUCK_LENGTH, 0.50
    parts = []
    for level, points in ((NEAR, 9), (FAR, 4)):
        pieces = [
            _lorry_cab(points),
            box((5.75, 2.5, 2.45), (length / 2 - 2.42 - 2.875, 0, 1.05 + 1.225), Tag.TRUCK, (214, 214, 210)),
        ]
        pieces.append(box((7.9, 0.95, 0.28), (-0.05, 0, 0.88), Tag.TRUCK, BLACK))
        pieces[0] = pieces[0].moved(length / 2 - 1.15)
        pieces.append(box((0.1, 2.3, 0.14), (-length / 2 + 0.12, 0, 0.72), Tag.TRUCK, BLACK))  # underrun bar
        for s in (-1, 1):
            pieces.append(
                box((0.06, 0.3, 0.12), (TRUCK_LAMP[0] + 0.03, s * TRUCK_LAMP[1], TRUCK_LAMP[2]), Tag.TRUCK, TAILLAMP)
            )
            pieces.append(box((0.1, 0.24, 0.42), (length / 2 - 0.25, s * 1.38, 2.05), Tag.TRUCK, BLACK))
            pieces.append(box((0.1, 0.34, 0.14), (length / 2 - 0.04, s * 0.9, 0.95), Tag.TRUCK, HEADLAMP))
            pieces.append(box((3.0, 0.05, 0.4), (-0.4, s * 1.15, 0.72), Tag.TRUCK, (90, 92, 95)))
        parts.append(merge(pieces).with_level(level))
    wheels = tuple(
        Wheel((length / 2 - axle, side * 1.05, z), z, axle < 2.0) for axle in (1.35, 5.4, 6.65) for side in (-1, 1)
    )
    return Vehicle(merge(parts), _wheel(z, 0.32, Tag.TRUCK), wheels)


def _lorry_cab(points: int) -> Mesh:
    """Return the cab of a lorry without wheels: cabin, and body with one wheel arch of ``points`` stations."""
    return merge([_lower_body(LORRY_CAB, points, 0), _cabin(LORRY_CAB, 2 if points > 5 else 0)])


@lru_cache(maxsize=1)
def vehicles() -> dict[str, Vehicle]:
    """Return all vehicles by CARLA blueprint id; they have the colour of the placement, and two-wheelers a rider."""
    result = {name: _car(shape) for name, shape in CARS.items()}
    result[TRUCK_ID] = _truck()
    for name, bike in two_wheelers().items():
        axles = bike.wheelbase / 2, -bike.wheelbase / 2
        wheels = tuple(Wheel((x, 0.0, bike.radius), bike.radius, False) for x in axles)
        result[name] = Vehicle(bike.body, bike.wheel, wheels)
    return result


def vehicle_templates() -> dict[str, Mesh]:
    """Return the whole meshes of all vehicles by CARLA blueprint id."""
    return {name: vehicle.whole() for name, vehicle in vehicles().items()}
