"""Car bodies: lower body and cabin lofted over cross-sections along a side profile, and wheels.

The bottom line rises into arches over the wheels, sides are tucked in at the sills and above the shoulder (tumblehome),
and nose and tail are rounded in plan and in profile. Lengths are metres.
"""

from dataclasses import replace

import numpy as np

from neuralsim.town.assets.car_shapes import CarShape
from neuralsim.town.assets.meshes import RGB, Mesh, box, loft, merge, sphere

GLASS: RGB = (38, 46, 54)
BLACK: RGB = (24, 24, 26)
TYRE: RGB = (28, 28, 28)
RIM: RGB = (168, 170, 174)

#: Nose, by metres behind the front: share of the half width, and of the height of the bonnet's edge.
_PLAN = np.array([[0.0, 0.6], [0.03, 0.73], [0.08, 0.82], [0.16, 0.9], [0.3, 0.96], [0.55, 0.993], [0.8, 1.0]])
_RISE = np.array([[0.0, 0.62], [0.02, 0.72], [0.05, 0.83], [0.1, 0.92], [0.18, 0.97], [0.3, 1.0]])
#: Tail, by share of the way from the rear to the rear window: share of the height of the boot.
_FALL = np.array([[0.0, 0.58], [0.1, 0.68], [0.28, 0.82], [0.52, 0.93], [0.78, 0.985], [1.0, 1.0]])
_TAIL_FLOOR = 0.24  # m, length of the tail where the window ends nearer to the rear


def lower_body(c: CarShape, arch_points: int, fine: int) -> Mesh:
    """Return everything below the windows, including bonnet, boot lid, floor and wheel wells.

    ``arch_points``: stations across a wheel arch, 0: no arches; ``fine``: 2 near by, 1 further away, 0 far away.
    """
    at, bottom, floor = _stations(c, arch_points, fine)
    shoulder, top = _lines(c, at)
    top = np.maximum(top, bottom + 0.11)
    shoulder = np.clip(shoulder, bottom + 0.07, top - 0.01)
    n, half = c.length, c.width / 2.0
    front, rear = np.interp(at, *_PLAN.T), np.interp(n - at, *_PLAN.T)
    rounding = np.minimum(front, 0.35 + 0.65 * rear)
    w = half * (c.sharp * np.maximum(rounding, 0.93) + (1.0 - c.sharp) * rounding)
    high = shoulder - bottom
    inner = np.minimum(half - c.tyre_width - 0.05, 0.84 * w)
    crown = top - shoulder
    if fine == 2:
        side = [
            (inner, floor),
            (inner, bottom),
            (w * 0.93, bottom),
            (w * 0.972, bottom + np.minimum(0.06, 0.12 * high)),
            (w * 0.99, bottom + np.minimum(0.17, 0.28 * high)),
            (w, bottom + 0.42 * high),
            (w * 0.998, bottom + 0.7 * high),
            (w * 0.985, bottom + 0.88 * high),
            (w * 0.955, shoulder),
            (w * 0.88, shoulder + 0.42 * crown),
            (w * 0.7, shoulder + 0.76 * crown),
            (w * 0.36, shoulder + 0.95 * crown),
        ]
    elif fine == 1:
        side = [
            (inner, floor),
            (inner, bottom),
            (w * 0.95, bottom),
            (w, bottom + 0.35 * high),
            (w * 0.955, shoulder),
            (w * 0.7, shoulder + 0.76 * crown),
        ]
    else:
        side = [(inner, floor), (w * 0.97, bottom + 0.05), (w, bottom + 0.5 * high), (w * 0.95, shoulder)]
    skin = _skin(at, side, floor, top, c)
    colours = skin.colours.copy()
    panels = 2 * len(side) + 2
    panel = np.arange(2 * (len(at) - 1) * panels) // 2 % panels
    colours[: len(panel)][np.minimum(panel, panels - 1 - panel) < (3 if fine else 1)] = BLACK  # underside, wheel wells
    return replace(skin, colours=colours)


def _stations(c: CarShape, arch_points: int, fine: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return stations behind the front bumper, the lower edge of the sides there, and the floor, f64 (S,) each, m."""
    n, arch = c.length, c.wheel * 1.13
    tail = max(n - c.tail_at, _TAIL_FLOOR)
    stations = [0.0, 0.05, 0.3, c.cowl_at, c.tail_at, n - 0.28 * tail, n]
    if fine:
        stations += [0.02, 0.1, 0.18, n - 0.1 * tail, n - 0.52 * tail, n - 0.78 * tail, n - tail, n - 0.5]
        stations += list(np.linspace(c.cowl_at, c.tail_at, 3)[1:-1])
    if fine == 2:
        stations += [0.55, 0.5 * (0.55 + c.cowl_at), n - 0.04 * tail]
        stations += list(np.linspace(c.cowl_at, c.tail_at, 6)[1:-1])
    raised = []  # (station, bottom) over the wheels
    for axle in (c.front, c.front + c.wheelbase) if arch_points else ():
        offsets = -np.cos(np.linspace(0.0, np.pi, arch_points)) * arch
        raised += [(axle + d, c.wheel + np.sqrt(max(arch**2 - d**2, 0.0))) for d in offsets]
        raised += [(axle - arch - 1e-3, -1.0), (axle + arch + 1e-3, -1.0)]
    axles = (c.front, c.front + c.wheelbase) if arch_points else ()
    free = [s for s in sorted(set(stations)) if 0.0 <= s <= n and all(abs(s - axle) > arch + 0.02 for axle in axles)]
    rows = sorted([(s, -1.0) for s in free] + [(s, b) for s, b in raised if 0.0 < s < n])
    at = np.array([row[0] for row in rows])
    lip = 0.16 * (1.0 - 0.6 * c.sharp)
    floor = np.interp(
        at, [0.0, 0.06, 0.2, n - 0.35, n - 0.1, n], c.clearance + np.array([lip, 0.04, 0.0, 0.0, 0.06, lip])
    )
    return at, np.maximum(floor, [row[1] for row in rows]), floor


def _lines(c: CarShape, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the heights of the shoulders and of the middle of the deck at stations ``at``, f64 (S,) each, m."""
    n, tail = c.length, max(c.length - c.tail_at, _TAIL_FLOOR)
    rise = c.nose_z * (1.0 - (1.0 - np.interp(at, *_RISE.T)) * (1.0 - 0.6 * c.sharp))
    crown = 0.03 * (1.0 - c.sharp)  # of the bonnet along its length
    bonnet = np.interp(
        at,
        [0.3, 0.5 * (0.3 + c.cowl_at), c.cowl_at, c.cowl_at + 0.1, n - tail - 0.1, n - tail],
        [c.nose_z, 0.5 * (c.nose_z + c.cowl_z) + crown, c.cowl_z, c.cowl_z - 0.02, c.belt_z, c.tail_z],
    )
    top = np.where(at < 0.3, np.minimum(rise, max(c.nose_z, 0.0)), bonnet)
    if c.cowl_at < 0.3:  # cabs over the front axle
        top = np.where(at < c.cowl_at, np.interp(at, [0.0, c.cowl_at], [0.9 * c.cowl_z, c.cowl_z]), bonnet)
    fall = np.interp((n - at) / tail, *_FALL.T)
    top = np.where(n - at < tail, c.tail_z * (1.0 - (1.0 - fall) * (1.0 - 0.6 * c.sharp)), top)
    shoulder = np.interp(
        at, [0.0, 0.3, c.cowl_at, n - tail, n], [c.nose_z - 0.1, c.nose_z - 0.07, c.cowl_z - 0.05, c.belt_z, c.belt_z]
    )
    return np.minimum(shoulder, top - 0.05), top


def _skin(
    at: np.ndarray, side: list[tuple[np.ndarray, np.ndarray]], bottom: np.ndarray, top: np.ndarray, c: CarShape
) -> Mesh:
    """Return the closed loft of a half section (outwards from the bottom to the top) and its mirror image."""
    x = c.length / 2.0 - at
    zero = np.zeros_like(x)
    ring = [(zero, bottom)] + side + [(zero, top)] + [(-y, z) for y, z in reversed(side)]
    sections = np.stack([np.stack([x, y, z], -1) for y, z in ring], 1)
    return loft(sections, c.tag, c.colour)


def cabin(c: CarShape, fine: int) -> Mesh:
    """Return windows and roof: windscreen, side and rear windows are glass between pillars; ``fine`` as in
    ``lower_body``."""
    first, last = c.cowl_at - 0.02, c.tail_at + 0.02
    marks = [first, c.roof_from, c.roof_to, (c.roof_from + c.roof_to) / 2, c.glass_end, last]
    if fine:
        marks += [c.roof_from + 0.14, c.roof_to - 0.14, (c.cowl_at + c.roof_from) / 2, (c.roof_to + c.tail_at) / 2]
    if fine == 2:
        marks += [c.roof_from - 0.1, c.roof_from + 0.04, c.roof_to + 0.05, c.roof_to - 0.05]
        marks += [edge for p in c.pillars for edge in (p - 0.045, p + 0.045)]
    at = np.array(sorted(m for m in set(marks) if first <= m <= last))
    base = np.interp(at, [c.cowl_at, c.tail_at], [c.cowl_z - 0.07, c.belt_z - 0.02])
    roof_mid = c.roof_from + 0.35 * (c.roof_to - c.roof_from)
    roof = np.interp(
        at,
        [first, c.roof_from - 0.1, c.roof_from, c.roof_from + 0.14, roof_mid, c.roof_to - 0.14, c.roof_to, last],
        [
            c.cowl_z - 0.04,
            c.height - 0.13 if c.roof_from - 0.1 > c.cowl_at + 0.1 else c.height - 0.2,
            *(c.height - np.array([0.07, 0.025, 0.0, 0.04, 0.09])),
            c.tail_z - 0.02,
        ],
    )
    roof = np.maximum(roof, base + 0.012)
    high = roof - base
    taper = [0.93, 1.0, 1.0 - 0.03 * (1 - c.sharp), 0.93 + 0.02 * c.sharp]
    half = c.width / 2.0 * 0.955 * np.interp(at, [first, c.roof_from, c.roof_to, last], taper)

    def lean(z: np.ndarray, extra: float = 0.0) -> np.ndarray:
        return half - c.tumble * (z - base) - extra

    z1, z2, z3 = base + 0.08 * high, base + 0.84 * high, base + 0.92 * high
    crown = 0.35 * np.minimum(high, 0.3)
    side = [(half, base), (lean(z1), z1), (lean(z2), z2), (lean(z3, 0.03), z3), (lean(z3) * 0.8, roof - 0.14 * crown)]
    if fine == 2:
        side.insert(2, (lean((z1 + z2) / 2.0, -0.018), (z1 + z2) / 2.0))  # side windows bulge
        side.append((lean(z3) * 0.45, roof - 0.03 * crown))
    return _glazed(_skin(at, side, base, roof, c), at, len(side), fine, c)


def _glazed(skin: Mesh, at: np.ndarray, points: int, fine: int, c: CarShape) -> Mesh:
    """Return a cabin of ``points`` per half section with glass in both screens, and at the sides as far as they
    go."""
    panels, sections = 2 * points + 2, len(at) - 1
    row = np.arange(2 * sections * panels) // 2
    s, k = row // panels, row % panels
    k = np.minimum(k, panels - 1 - k)  # 0 floor, 1 below the window, 2 .. window, then rail, roof's rim, roof
    rail = 4 if fine == 2 else 3
    middle = (at[s] + at[s + 1]) / 2.0
    pillar = np.zeros(len(row), bool)
    for p in c.pillars if fine == 2 else ():
        pillar |= np.abs(middle - p) < 0.05
    screen = ((middle < c.roof_from) | ((middle > c.roof_to) & c.has_rear_window)) & (k > rail)
    window = (k >= 2) & (k < rail) & (middle < c.glass_end)
    colours = skin.colours.copy()
    colours[: len(row)][screen | (window & ~pillar)] = GLASS
    colours[: len(row)][pillar & window] = BLACK if c.has_rear_window else np.array(c.colour, np.uint8)
    return replace(skin, colours=colours)


def mirrors(c: CarShape, sides: int, rings: int) -> list[Mesh]:
    """Return both wing mirrors with their arms; ``sides``, ``rings``: facets of each."""
    size = 0.6 + 0.28 * c.height
    behind = c.cowl_at + 0.25 * (c.roof_from - c.cowl_at) + 0.12
    x, half = c.length / 2.0 - behind, c.width / 2.0
    y, z = half + 0.05 * size, c.cowl_z + 0.1 * size
    parts = []
    for side in (-1, 1):
        parts.append(sphere((0.06 * size, 0.095 * size, 0.07 * size), (x, side * y, z), c.tag, c.colour, sides, rings))
        if sides > 6:
            glass = box((0.01, 0.13 * size, 0.09 * size), (x - 0.055 * size, side * y, z), c.tag, GLASS)
            arm = box((0.06, 0.16, 0.045), (x, side * (half - 0.03), c.cowl_z + 0.04), c.tag, BLACK)
            parts += [glass, arm]
    return parts


def wheel(radius: float, width: float, tag: int, sides: int, fine: int) -> Mesh:
    """Return a wheel about the y axis, centred at the origin: a tyre with round shoulders and dished rims.

    ``radius``, ``width``: m; ``tag``: semantic tag; ``sides``: of the circle; ``fine`` as in ``lower_body``.
    """
    angle = 2.0 * np.pi * np.arange(sides) / sides
    circle = np.stack([np.cos(angle), np.zeros(sides), np.sin(angle)], 1)
    half = width / 2.0
    tread = [(0.66, 0.94), (0.84, 1.0), (0.96, 0.9), (1.0, 0.7)] if fine == 2 else [(0.9, 1.0), (1.0, 0.8)]
    rings = [(r, -y) for r, y in tread] + [(r, y) for r, y in reversed(tread)]
    parts = [loft([circle * radius * r + [0.0, half * y, 0.0] for r, y in rings], tag, TYRE, caps=False)]
    dish = [(0.68, 0.98), (0.62, 0.88), (0.2, 0.9)] if fine == 2 else [(0.66, 1.01)]
    for side in (-1.0, 1.0):
        sections = [circle * radius * r + [0.0, side * half * y, 0.0] for r, y in dish]
        if len(sections) > 1:
            parts.append(loft(sections, tag, RIM, caps=False))
        corners = np.concatenate([sections[-1], [[0.0, side * half * dish[-1][1], 0.0]]])
        parts.append(Mesh.of(corners, [(k, (k + 1) % sides, sides) for k in range(sides)], tag, RIM))
    return merge(parts)
