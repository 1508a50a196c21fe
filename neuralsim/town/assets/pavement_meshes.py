"""Small objects on pavements: boards, planters, café tables, racks, refuse, weeds.

As in ``prop_meshes``, the origin is the centre of the foot on the ground, and fronts face +x; metres.
"""

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import NEAR, RGB, Mesh, box, cylinder, loft, merge, prism, quad, tube
from neuralsim.town.assets.plant_meshes import bush
from neuralsim.town.assets.posters import bent, poster
from neuralsim.town.assets.prop_meshes import DARK, STEEL, WOOD, cabinet
from neuralsim.town.assets.vehicles.two_wheelers import bicycle

TERRACOTTA: RGB = (168, 96, 66)
WEED: RGB = (96, 118, 54)
DRESSED_WOOD: RGB = (86, 70, 54)  # of a mast without bark
#: Of the writing on a sandwich board: shares of the height, lower and upper, and half of the width, m.
_LINES = ((0.74, 0.84, 0.2), (0.58, 0.63, 0.12), (0.46, 0.5, 0.22), (0.34, 0.38, 0.16), (0.2, 0.25, 0.2))


def signboard(colour: RGB = (44, 62, 54), ink: RGB = (206, 204, 190)) -> Mesh:
    """Return a sandwich board of a shop, visible from both directions along the street, with lines of writing."""
    parts = []
    for side in (-1, 1):
        parts.append(_on_board(side, 0.0, 1.0, 0.35, 0.0, colour))
        for low, high, half in _LINES:
            parts.append(_on_board(side, low, high, half, 0.008, ink).with_level(NEAR))
    return merge(parts)


def _on_board(side: int, low: float, high: float, half: float, proud: float, colour: RGB) -> Mesh:
    """Return a strip across a leaf of a sandwich board.

    ``side``: -1 or 1; ``low``, ``high``: shares of the leaf's height; ``half``: half of its width at the foot, m;
    ``proud``: m that it stands out of the leaf.
    """
    corners = [(-1, low), (1, low), (1, high), (-1, high)]
    place = [(sign * half * (1.0 - 0.14 * up), side * (0.3 * (1.0 - up) + proud), 1.05 * up) for sign, up in corners]
    return quad(place, Tag.STATIC, colour)


def planter() -> Mesh:
    """Return a tub with a shrub."""
    square = [(-0.45, -0.45), (0.45, -0.45), (0.45, 0.45), (-0.45, 0.45)]
    return merge([prism(square, 0.0, 0.55, Tag.STATIC, TERRACOTTA), bush(0.55, 4).moved(z=0.45)])


def ticket_machine() -> Mesh:
    """Return a parking ticket machine."""
    return merge(
        [
            box((0.22, 0.3, 1.0), (0, 0, 1.05), Tag.STATIC, (58, 74, 96)),
            cylinder(0.07, 0.0, 0.6, Tag.STATIC, DARK, 6),
            box((0.06, 0.34, 0.34), (0, 0, 1.75), Tag.TRAFFIC_SIGN, (24, 78, 168)),
        ]
    )


def cafe_table() -> Mesh:
    """Return a round table and two chairs, in a row along y."""
    tag = Tag.STATIC
    parts = [cylinder(0.36, 0.7, 0.74, tag, WOOD, 8), cylinder(0.04, 0.0, 0.7, tag, DARK, 5)]
    for side in (-1, 1):
        y = side * 0.75
        parts += [
            box((0.42, 0.42, 0.05), (0, y, 0.45), tag, WOOD),
            box((0.42, 0.04, 0.42), (0, y + side * 0.2, 0.68), tag, WOOD),
        ]
        parts += [box((0.04, 0.04, 0.45), (x, y + d, 0.22), tag, DARK) for x in (-0.18, 0.18) for d in (-0.18, 0.18)]
    return merge(parts)


def parasol() -> Mesh:
    """Return a parasol over a café table."""
    angle = 2.0 * np.pi * np.arange(8) / 8
    rim = np.stack([1.3 * np.cos(angle), 1.3 * np.sin(angle), np.full(8, 2.05)], 1)
    canopy = loft(np.stack([rim, 0.05 * rim + [0.0, 0.0, 2.5]]), Tag.STATIC, (196, 176, 138), caps=False)
    return merge([canopy, cylinder(0.025, 0.0, 2.5, Tag.POLE, STEEL, 5), cafe_table()])


def advertising_column() -> Mesh:
    """Return a round advertising column with two rows of posters, on a base and under a roof."""
    radius = 0.58
    parts = [
        cylinder(radius, 0.0, 2.7, Tag.STATIC, (138, 132, 120), 18),
        cylinder(radius + 0.05, 0.0, 0.3, Tag.STATIC, (92, 90, 84), 18),
        tube([(0, 0, 2.7), (0, 0, 2.8), (0, 0, 3.1)], [0.66, 0.66, 0.08], Tag.STATIC, (52, 66, 60), 18),
    ]
    for row, (foot, high) in enumerate(((0.4, 1.15), (1.6, 1.02))):
        for place in range(4):
            sheet = poster(4 * row + place, 0.82 if row else 0.86, high)
            parts.append(bent(sheet, radius + 0.012, (place + 0.3 * row) * np.pi / 2).moved(z=foot))
    return merge(parts)


def bicycle_rack(count: int = 3, seed: int = 0) -> Mesh:
    """Return bicycle stands across the pavement (along x), 0.8 m apart, most of them with a bicycle."""
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(count):
        y = 0.8 * (k - (count - 1) / 2)
        hoop = [(-0.4, y, 0.0), (-0.4, y, 0.72), (-0.3, y, 0.8), (0.3, y, 0.8), (0.4, y, 0.72), (0.4, y, 0.0)]
        parts.append(tube(hoop, 0.025, Tag.STATIC, STEEL, 4))
        if rng.random() < 0.8:
            paint: RGB = ((30, 34, 38), (120, 30, 32), (38, 70, 116), (96, 104, 98))[int(rng.integers(4))]
            machine = bicycle(0.34, 1.06, 0.92).whole().with_paint(paint)
            lean = np.radians(rng.uniform(3.0, 8.0))
            c, s = np.cos(lean), np.sin(lean)
            turned = machine.transformed(np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1.0]]))
            parts.append(turned.moved(float(rng.normal(0.0, 0.08)), y + 0.13, 0.0, 180.0 * (rng.random() < 0.5)))
    return merge(parts)


def sacks(seed: int = 0) -> Mesh:
    """Return refuse put out for collection: a heap of sacks and a box."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(int(rng.integers(2, 5))):
        x, y, size = rng.normal(0, 0.25), rng.normal(0, 0.4), rng.uniform(0.22, 0.32)
        path = [(x, y, 0.0), (x, y, size), (x, y, 1.7 * size), (x, y, 2.1 * size)]
        parts.append(tube(path, [0.8 * size, size, 0.5 * size, 0.08], Tag.STATIC, DARK, 6))
    parts.append(box((0.4, 0.5, 0.35), (0.3, 0.7, 0.18), Tag.STATIC, (150, 118, 84)))
    return merge(parts)


def weeds(length: float, high: float, seed: int = 0) -> Mesh:
    """Return weeds along x at the foot of a wall or at the edge of a road: tufts of narrow blades."""
    rng = np.random.default_rng(seed)
    end = length / 2
    strip = quad([(-end, -0.08, 0.0), (end, -0.08, 0.0), (end, 0.08, 0.02), (-end, 0.08, 0.02)], Tag.TERRAIN, WEED)
    tufts = rng.uniform(-length / 2, length / 2, int(5 * length))
    heights = high * rng.uniform(0.25, 1.0, len(tufts))
    tuft = np.repeat(np.arange(len(tufts)), 9)
    count = len(tuft)
    x, y = tufts[tuft] + rng.normal(0.0, 0.05, count), rng.normal(0.0, 0.05, count)
    tall = heights[tuft] * rng.uniform(0.5, 1.0, count)
    wide = rng.uniform(0.012, 0.03, count)
    feet = np.stack([x - wide, y - 0.01, np.zeros(count)], 1), np.stack([x + wide, y + 0.01, np.zeros(count)], 1)
    lean = 0.4 * tall[:, None] * rng.normal(0.0, 1.0, (count, 2))
    tips = np.stack([x + lean[:, 0], y + lean[:, 1], tall], 1)
    blades = Mesh.of(np.stack([*feet, tips], 1).reshape(-1, 3), np.arange(3 * count).reshape(-1, 3), Tag.TERRAIN, WEED)
    return merge([strip, blades]).with_level(NEAR)


def utility_pole(height: float = 8.5) -> Mesh:
    """Return the wooden pole of a power line that crosses it along x, with its crossarm along y."""
    return merge(
        [
            tube([(0, 0, -0.5), (0, 0, height)], [0.14, 0.1], Tag.POLE, DRESSED_WOOD, 7),
            box((0.12, 1.7, 0.12), (0.1, 0, height - 0.5), Tag.POLE, DRESSED_WOOD),
            *[
                cylinder(0.05, height - 0.44, height - 0.22, Tag.POLE, DARK, 5).moved(0.1, y)
                for y in (-0.75, 0.0, 0.75)
            ],
        ]
    )


def pavement_templates() -> dict[str, Mesh]:
    """Return all meshes of this module by name."""
    meshes = {
        "board": signboard(),
        "board pale": signboard((206, 198, 178), DARK),
        "planter": planter(),
        "ticket": ticket_machine(),
        "table": cafe_table(),
        "parasol": parasol(),
        "column": advertising_column(),
        "sacks": sacks(),
        "utility": utility_pole(),
        "control": merge([cabinet(), cabinet().moved(0.0, 0.95)]),
    }
    for seed in range(2):
        meshes[f"bikes {seed}"] = bicycle_rack(2 + 2 * seed, seed)
    for seed in range(3):
        meshes[f"weeds {seed}"] = weeds(1.6, 0.34, seed).moved(0.0, 0.3)  # towards the wall
        meshes[f"verge {seed}"] = weeds(2.6, 0.3, seed + 3)
    return meshes
