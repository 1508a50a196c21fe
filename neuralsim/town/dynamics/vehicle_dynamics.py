"""Dynamics of a driven vehicle, and collision tests against solid boxes.

The motion is a single-track model: an engine of limited power, drag, rolling resistance, brakes and a friction circle
along the road; steering with a rate limit and understeer across it (Gillespie, "Fundamentals of Vehicle Dynamics",
chapters 2, 4 and 6). Boxes seen from above stand for bodies; two of them collide when no axis separates them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.town.core.types import VehicleControl

GRAVITY = 9.81  # m/s^2
GRIP = 0.92  # friction of tyres on dry asphalt
TYRE = 3.5  # CARLA's ``tire_friction`` of ordinary tyres on a dry road
DRIVELINE = 0.84  # share of the engine's power that reaches the road
LAUNCH = 4.6  # m/s^2, traction limit of the driven wheels
BACKING = 2.2  # m/s^2, the same in reverse, where drivers and engines are gentler
SUBSTEP = 1.0 / 60.0  # s, longest step of the integration
SCRAPE = 0.35  # friction of car bodies against obstacles
WIDEST_SLIP = 0.5  # radians, largest slip angle while the tyres hold


@dataclass(frozen=True)
class VehicleSpec:
    """The specification of a type of vehicle, in SI units. ``steer``: steering lock of the front wheels, degrees."""

    kind: str  # CARLA's base_type: car, truck, van, bus, motorcycle, bicycle
    mass: float
    power: float
    steer: float
    wheelbase: float  # share of the vehicle's length
    drag: float  # drag area c_d A
    top: float  # m/s
    wheels: int = 4
    brakes: float = 1.05 * GRIP * GRAVITY  # m/s^2 on a dry road
    grip: float = 0.88  # g, lateral limit: it slides, or slows down so as not to tip over


#: Specifications by base type.
SPECS = {
    "car": VehicleSpec("car", 1350.0, 88_000.0, 38.0, 0.60, 0.68, 52.0),
    "van": VehicleSpec("van", 2200.0, 95_000.0, 36.0, 0.62, 1.6, 42.0, 4, 8.4, 0.72),
    "truck": VehicleSpec("truck", 9000.0, 180_000.0, 38.0, 0.58, 5.2, 27.0, 4, 6.4, 0.42),
    "bus": VehicleSpec("bus", 12000.0, 200_000.0, 45.0, 0.52, 5.5, 27.0, 4, 6.6, 0.45),
    "motorcycle": VehicleSpec("motorcycle", 290.0, 55_000.0, 34.0, 0.68, 0.45, 52.0, 2, 9.2, 0.95),
    "bicycle": VehicleSpec("bicycle", 90.0, 320.0, 40.0, 0.62, 0.5, 10.0, 2, 5.5, 0.6),
}


@dataclass
class VehicleState:
    """The state of one driven vehicle. ``x``, ``y`` (m) is the centre of its footprint."""

    spec: VehicleSpec
    length: float
    x: float
    y: float
    yaw: float  # radians
    speed: float = 0.0  # m/s along the vehicle, negative backwards
    steer: float = 0.0  # radians at the wheel, right positive
    turn: float = 0.0  # yaw rate, rad/s
    slip: float = 0.0  # slip angle, radians from the vehicle's axis to its motion
    gear: int = 1
    tyres: float = TYRE  # ``tire_friction`` of its wheels
    friction: float = 1.0  # of its tyres where it is, relative to that on a dry road
    airborne: bool = False  # only gravity and drag act on it
    rise: float = 0.0  # m/s upwards while it is airborne

    def step(self, control: VehicleControl, delta: float, grade: float = 0.0) -> None:
        """Advance by ``delta`` seconds under a control whose values are clipped to their ranges.

        ``grade`` is the road's slope along the vehicle, radians, positive uphill. Wheels that are in the air or have no
        friction have no effect.
        """
        if self.airborne or self.friction <= 0.0:
            self._glide(delta)
            return
        if abs(self.slip) > WIDEST_SLIP:  # it was in the air
            self.speed *= float(np.cos(self.slip))
            self.slip = float(np.clip(np.arctan(np.tan(self.slip)), -WIDEST_SLIP, WIDEST_SLIP))
        throttle = float(np.clip(control.throttle, 0.0, 1.0))
        brake = float(np.clip(control.brake, 0.0, 1.0))
        wheel = float(np.clip(control.steer, -1.0, 1.0))
        count = max(1, int(np.ceil(delta / SUBSTEP - 1e-6)))
        s = self.spec
        pedals = _Inputs(throttle, brake, wheel, control.hand_brake, control.reverse)
        limits = _Limits(
            s.mass, s.power, np.radians(s.steer), s.wheelbase * self.length, s.drag, s.top, s.brakes, s.grip
        )
        motion = _Motion(self.x, self.y, self.yaw, self.speed, self.steer, self.turn, self.slip)
        for _ in range(count):
            motion = _advance(motion, pedals, limits, self.friction, grade, delta / count)
        self.x, self.y, self.yaw, self.speed, self.steer, self.turn, self.slip = motion
        bounds = (4.0, 9.0, 14.0, 20.0, 27.0)
        self.gear = -1 if control.reverse else 1 + sum(self.speed > bound for bound in bounds)

    def push(self, vx: float, vy: float) -> None:
        """Set the velocity over the ground (m/s, world). On a road the slip angle stays within `WIDEST_SLIP`."""
        along = float(np.cos(self.yaw) * vx + np.sin(self.yaw) * vy)
        across = float(np.cos(self.yaw) * vy - np.sin(self.yaw) * vx)
        forward = -1.0 if along < 0.0 else 1.0
        aside = float(np.arctan2(forward * across, forward * along))
        if abs(aside) <= WIDEST_SLIP or self.airborne or self.friction <= 0.0:
            self.speed, self.slip = forward * float(np.hypot(along, across)), aside
        else:
            self.speed, self.slip = along, float(np.clip(aside, -WIDEST_SLIP, WIDEST_SLIP))

    def strike(self, nx: float, ny: float, rest: np.ndarray, half: tuple[float, float]) -> float:
        """Apply an impact against an immovable obstacle; return the impulse along the normal, N s.

        The model is that of rigid bodies in the plane with Coulomb friction and, as car bodies crumple, no restitution
        (Brach, "Mechanical Impact Dynamics", chapter 3): the speed lost along a wall is proportional to how hard it is
        hit, so that grazing it costs next to nothing. Nothing happens where the two already separate.

        Args:
            nx: x of the unit vector out of the obstacle.
            ny: y of that vector.
            rest: Velocity of the obstacle, m/s.
            half: Half length and width of this vehicle, m.
        """
        cos, sin = float(np.cos(self.yaw)), float(np.sin(self.yaw))
        ahead, aside = -(nx * cos + ny * sin), -(ny * cos - nx * sin)  # normal towards it, in the vehicle's axes
        # The corner in contact, or the middle of the side if the whole side is.
        along, across = (half[k] * np.clip(4.0 * part, -1.0, 1.0) for k, part in enumerate((ahead, aside)))
        rx, ry = float(cos * along - sin * across), float(sin * along + cos * across)
        vx, vy, _ = self.velocity - rest
        vx, vy = vx - self.turn * ry, vy + self.turn * rx  # of the point of contact
        into = -(vx * nx + vy * ny)
        if into <= 0.0:
            return 0.0
        mass, tx, ty = self.spec.mass, -ny, nx
        inertia = mass * (half[0] ** 2 + half[1] ** 2) / 3.0
        lever, slant = rx * ny - ry * nx, rx * ty - ry * tx
        impulse = into / (1.0 / mass + lever * lever / inertia)
        slide = vx * tx + vy * ty
        stopping = abs(slide) / (1.0 / mass + slant * slant / inertia)
        rub = -np.sign(slide) * min(SCRAPE * impulse, stopping)
        moved = self.velocity
        self.push(
            float(moved[0] + (impulse * nx + rub * tx) / mass), float(moved[1] + (impulse * ny + rub * ty) / mass)
        )
        self.turn += float((lever * impulse + slant * rub) / inertia)
        return float(impulse)

    def _glide(self, delta: float) -> None:
        """Keep the velocity and the yaw rate, slowed by drag alone."""
        self.speed /= 1.0 + 0.6 * self.spec.drag * abs(self.speed) / self.spec.mass * delta
        heading = self.yaw + self.slip
        self.x += self.speed * float(np.cos(heading)) * delta
        self.y += self.speed * float(np.sin(heading)) * delta
        self.yaw += self.turn * delta
        self.slip -= self.turn * delta

    @property
    def velocity(self) -> np.ndarray:
        """Velocity in the world, f64 (3,), m/s."""
        heading = self.yaw + self.slip
        return np.array([self.speed * np.cos(heading), self.speed * np.sin(heading), 0.0])


class _Motion(NamedTuple):
    """The motion of a ``VehicleState``, with the same fields and units."""

    x: float
    y: float
    yaw: float
    speed: float
    steer: float
    turn: float
    slip: float


class _Inputs(NamedTuple):
    throttle: float  # 0 .. 1
    brake: float  # 0 .. 1
    wheel: float  # steering wheel, -1 .. 1
    hand_brake: bool
    reverse: bool


class _Limits(NamedTuple):
    """A ``VehicleSpec`` applied to one vehicle, SI units."""

    mass: float
    power: float
    lock: float  # radians
    base: float  # wheelbase, m
    drag: float
    top: float
    brakes: float
    grip: float  # g


@njit(**kernels.EXACT)
def full_throttle(power, mass, speed, reverse, friction):  # type: ignore[no-untyped-def]
    """Return the greatest acceleration by the engine (m/s^2), before all losses, at ``speed`` m/s.

    ``power``: W; ``mass``: kg; ``reverse``: in reverse gear; ``friction``: as in ``VehicleState``.
    """
    launch = BACKING if reverse else LAUNCH
    return min(DRIVELINE * power / max(abs(speed), 1.5) / mass, launch * friction)


@njit(**kernels.EXACT)
def _advance(motion, inputs, limits, friction, grade, dt):  # type: ignore[no-untyped-def]
    """Return the ``_Motion`` after a substep of ``dt`` seconds of the single-track model.

    ``motion``: ``_Motion`` before; ``inputs``: ``_Inputs``; ``limits``: ``_Limits``; ``friction``: 0 .. 1;
    ``grade``: radians, positive uphill.
    """
    x, y, yaw, speed, steer, turn, slip = motion
    throttle, brake, wheel, hand_brake, reverse = inputs
    mass, power, lock, base, drag, top, brakes, across_limit = limits
    grip = across_limit * friction * GRAVITY
    # Lock to lock takes about 1.1 s. The faster the vehicle, the smaller its angle (as CARLA's steering curve).
    target = wheel * lock / (1.0 + (abs(speed) / 22.0) ** 2)
    most = 2.0 * lock / 1.1 * dt
    steer += min(max(target - steer, -most), most)

    across = abs(turn * speed)
    share = min(across / grip, 1.0)
    along = 1.05 * brakes * friction * max(np.sqrt(1.0 - share * share), 0.2)  # left by the friction ellipse
    sign = -1.0 if reverse else 1.0
    if (reverse and speed < -7.0) or abs(speed) > top:
        throttle = 0.0
    push = full_throttle(power, mass, speed, reverse, friction) * throttle
    pull = brake * brakes + (0.5 * brakes if hand_brake else 0.0)
    if sign * speed < -0.3:  # rolling against its gear: throttle brakes first
        pull += push
        push = 0.0
    rolling = (0.12 + (0.35 if throttle < 0.02 else 0.0)) * friction
    resist = min(pull, along) + rolling + 0.6 * drag * speed * speed / mass
    drive = sign * min(push, along) - GRAVITY * np.sin(grade)
    speed += drive * dt
    loss = resist * dt
    speed = 0.0 if abs(speed) <= loss and abs(drive) * dt <= loss else speed - np.sign(speed) * min(loss, abs(speed))

    # Understeer: the effective wheelbase grows with speed, and grip limits the yaw rate.
    target_turn = speed * np.tan(steer) / (base + 0.0022 * speed * speed)
    limit = grip * (0.75 if hand_brake else 1.0) / max(abs(speed), 0.5)
    target_turn = min(max(target_turn, -limit), limit)
    turn += (target_turn - turn) * min(1.0, dt / (0.03 + 0.004 * abs(speed)))
    if speed == 0.0:
        turn = 0.0
    # The centre moves along the car's axis turned by the slip: inwards at a crawl, outwards at speed.
    inwards = np.arctan(0.5 * base * turn / speed) if abs(speed) > 0.5 else 0.5 * steer
    aim = inwards - 0.0035 * turn * speed
    slip += (min(max(aim, -0.5), 0.5) - slip) * min(1.0, dt / 0.08)
    heading = yaw + slip + 0.5 * turn * dt
    x, y = x + speed * np.cos(heading) * dt, y + speed * np.sin(heading) * dt
    return _Motion(x, y, yaw + turn * dt, speed, steer, turn, slip)


@njit(**kernels.EXACT)
def overlap(ax, ay, ayaw, ahx, ahy, bx, by, byaw, bhx, bhy):  # type: ignore[no-untyped-def]
    """Return how deep (m, 0 = apart) two boxes overlap in plan, and the unit vector that pushes A out of B.

    The test is that of separating axes (Gottschalk, Lin, Manocha, SIGGRAPH 1996).

    Box A: centre ``ax``, ``ay``, ``ayaw`` (radians), half sizes ``ahx``, ``ahy``, metres; box B likewise:
    ``bx``, ``by``, ``byaw``, ``bhx``, ``bhy``.
    """
    depth = 1e9
    nx = ny = 0.0
    dx, dy = ax - bx, ay - by
    for k in range(4):
        yaw = ayaw if k < 2 else byaw
        ux, uy = np.cos(yaw), np.sin(yaw)
        if k % 2 == 1:
            ux, uy = -uy, ux
        reach = (
            ahx * abs(ux * np.cos(ayaw) + uy * np.sin(ayaw))
            + ahy * abs(uy * np.cos(ayaw) - ux * np.sin(ayaw))
            + bhx * abs(ux * np.cos(byaw) + uy * np.sin(byaw))
            + bhy * abs(uy * np.cos(byaw) - ux * np.sin(byaw))
        )
        apart = dx * ux + dy * uy
        inside = reach - abs(apart)
        if inside <= 0.0:
            return 0.0, 0.0, 0.0
        if inside < depth:
            depth = inside
            side = 1.0 if apart >= 0.0 else -1.0
            nx, ny = ux * side, uy * side
    return depth, nx, ny


@njit(**kernels.EXACT)
def deepest(x, y, yaw, hx, hy, boxes, among, count):  # type: ignore[no-untyped-def]
    """Return the box that a body is deepest in: index (-1: none), depth (m), normal x and y.

    ``x``, ``y``, ``yaw``, ``hx``, ``hy``: the body, metres and radians; ``boxes`` f64 (N, 5): x, y, yaw, half sizes;
    ``among`` i64: indices of candidates, of which the first ``count`` are tested.
    """
    best, depth, nx, ny = -1, 0.0, 0.0, 0.0
    radius = np.hypot(hx, hy)
    for m in range(count):
        k = among[m]
        box = boxes[k]
        if (box[0] - x) ** 2 + (box[1] - y) ** 2 > (radius + np.hypot(box[3], box[4])) ** 2:
            continue
        d, ux, uy = overlap(x, y, yaw, hx, hy, box[0], box[1], box[2], box[3], box[4])
        if d > depth:
            best, depth, nx, ny = k, d, ux, uy
    return best, depth, nx, ny


class Obstacles:
    """Static obstacles: boxes in plan, f64 (N, 5) as in ``deepest``, in a grid of cells."""

    CELL = 10.0  # m
    STOREY = 3.0  # m, obstacles at least that much higher or lower are on another level

    def __init__(self, boxes: np.ndarray, levels: np.ndarray | None = None) -> None:
        """``levels`` f64 (N,): heights at which the boxes stand, m; None if all are on one level."""
        self.boxes = np.ascontiguousarray(boxes, np.float64).reshape(-1, 5)
        self.levels = levels
        self._all = np.arange(len(self.boxes))
        reach = np.hypot(self.boxes[:, 3], self.boxes[:, 4])
        self._cells: dict[tuple[int, int], np.ndarray] = {}
        cells: dict[tuple[int, int], list[int]] = {}
        low = np.floor((self.boxes[:, :2] - reach[:, None]) / self.CELL).astype(int)
        high = np.floor((self.boxes[:, :2] + reach[:, None]) / self.CELL).astype(int)
        for k, ((i0, j0), (i1, j1)) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            for i in range(i0, i1 + 1):
                for j in range(j0, j1 + 1):
                    cells.setdefault((i, j), []).append(k)
        self._cells = {cell: np.array(members) for cell, members in cells.items()}

    def near(self, x: float, y: float, radius: float) -> np.ndarray:
        """Return the indices of the boxes that may lie within ``radius`` m."""
        c = self.CELL
        cells = [
            self._cells[i, j]
            for i in range(int((x - radius) // c), int((x + radius) // c) + 1)
            for j in range(int((y - radius) // c), int((y + radius) // c) + 1)
            if (i, j) in self._cells
        ]
        return np.unique(np.concatenate(cells)) if cells else self._all[:0]

    def hit(
        self, x: float, y: float, yaw: float, hx: float, hy: float, z: float | None = None
    ) -> tuple[int, float, float, float]:
        """Return the box that a body is deepest in: index (-1: none), depth (m), normal x and y.

        Args:
            x: Position, m.
            y: Position, m.
            yaw: radians.
            hx: Half length, m.
            hy: Half width, m.
            z: Height, m: only boxes on that level count. None: all do.
        """
        among = self.near(x, y, float(np.hypot(hx, hy)))
        if z is not None and self.levels is not None and len(among):
            among = among[np.abs(self.levels[among] - z) < self.STOREY]
        if not len(among):
            return -1, 0.0, 0.0, 0.0
        return deepest(x, y, yaw, hx, hy, self.boxes, among, len(among))
