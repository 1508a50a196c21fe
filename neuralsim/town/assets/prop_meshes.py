"""Street furniture and plants. The origin is the centre of the foot on the ground, and fronts face +x; metres.

The meshes contain their levels of detail, so they can be merged into the static mesh unchanged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import (
    DISTANT,
    FAR,
    MIDDLE,
    NEAR,
    RGB,
    Mesh,
    blob,
    box,
    cylinder,
    flat,
    fringe,
    loft,
    merge,
    prism,
    quad,
    sphere,
    tube,
)

STEEL: RGB = (118, 122, 124)
DARK: RGB = (46, 48, 50)
WOOD: RGB = (122, 88, 58)
BARK: RGB = (86, 70, 54)

#: Props that are a box of about the right size and colour: length, width, height (m), RGB.
BOXES: dict[str, tuple[float, float, float, RGB]] = {
    "advertisement": (0.3, 1.4, 2.4, (196, 198, 200)),
    "atm": (0.8, 0.9, 2.0, (60, 84, 120)),
    "barbeque": (0.6, 1.1, 1.0, (52, 50, 48)),
    "barrel": (0.6, 0.6, 0.9, (160, 70, 40)),
    "bike helmet": (0.3, 0.25, 0.2, (200, 60, 50)),
    "bikeparking": (0.6, 1.8, 0.8, STEEL),
    "box01": (0.6, 0.6, 0.5, (170, 132, 88)),
    "box02": (0.5, 0.7, 0.5, (170, 132, 88)),
    "box03": (0.7, 0.7, 0.7, (170, 132, 88)),
    "briefcase": (0.15, 0.45, 0.35, (70, 48, 34)),
    "brokentile01": (0.4, 0.4, 0.04, (150, 140, 130)),
    "brokentile02": (0.4, 0.4, 0.04, (150, 140, 130)),
    "brokentile03": (0.4, 0.4, 0.04, (150, 140, 130)),
    "brokentile04": (0.4, 0.4, 0.04, (150, 140, 130)),
    "calibrator": (0.1, 1.2, 1.6, (236, 236, 236)),
    "chainbarrier": (0.1, 2.0, 0.9, (190, 60, 50)),
    "chainbarrierend": (0.1, 0.3, 0.9, (190, 60, 50)),
    "clothcontainer": (1.2, 1.2, 1.9, (48, 92, 140)),
    "clothesline": (0.6, 2.2, 1.7, STEEL),
    "colacan": (0.07, 0.07, 0.12, (200, 30, 36)),
    "constructioncone": (0.4, 0.4, 0.75, (226, 96, 36)),
    "container": (1.1, 1.4, 1.2, (52, 96, 64)),
    "creasedbox01": (0.5, 0.6, 0.35, (164, 128, 86)),
    "creasedbox02": (0.5, 0.6, 0.35, (164, 128, 86)),
    "creasedbox03": (0.5, 0.6, 0.35, (164, 128, 86)),
    "dirtdebris01": (1.4, 1.2, 0.06, (112, 98, 82)),
    "dirtdebris02": (1.6, 1.4, 0.06, (112, 98, 82)),
    "dirtdebris03": (1.2, 1.2, 0.06, (112, 98, 82)),
    "doghouse": (1.0, 0.9, 1.0, WOOD),
    "foodcart": (2.6, 1.6, 2.4, (206, 190, 150)),
    "fountain": (4.0, 4.0, 2.2, (170, 168, 162)),
    "garbage01": (0.5, 0.5, 0.15, (96, 96, 92)),
    "garbage02": (0.5, 0.5, 0.15, (96, 96, 92)),
    "garbage03": (0.6, 0.6, 0.18, (96, 96, 92)),
    "garbage04": (0.6, 0.6, 0.18, (96, 96, 92)),
    "garbage05": (0.7, 0.7, 0.18, (96, 96, 92)),
    "garbage06": (0.7, 0.7, 0.18, (96, 96, 92)),
    "glasscontainer": (1.4, 1.4, 1.7, (54, 110, 80)),
    "gnome": (0.25, 0.25, 0.5, (180, 60, 50)),
    "guitarcase": (0.2, 0.45, 1.1, DARK),
    "haybale": (1.3, 1.3, 1.2, (196, 168, 96)),
    "haybalelb": (1.3, 1.3, 1.2, (196, 168, 96)),
    "ironplank": (1.5, 2.4, 0.03, (120, 110, 104)),
    "kiosk_01": (2.8, 2.4, 2.9, (70, 92, 76)),
    "maptable": (0.4, 1.2, 1.8, (92, 104, 112)),
    "mesh": (1.0, 1.0, 1.0, (150, 150, 150)),
    "mobile": (0.08, 0.15, 0.02, DARK),
    "motorhelmet": (0.35, 0.28, 0.28, DARK),
    "pergola": (3.0, 3.0, 2.5, WOOD),
    "plantpot01": (0.6, 0.6, 0.7, (150, 96, 70)),
    "plantpot02": (0.8, 0.8, 0.9, (150, 96, 70)),
    "plantpot03": (0.5, 1.2, 0.6, (150, 96, 70)),
    "plantpot04": (0.4, 0.4, 0.5, (150, 96, 70)),
    "plantpot05": (0.5, 0.5, 0.6, (150, 96, 70)),
    "plantpot06": (0.5, 0.5, 0.6, (150, 96, 70)),
    "plantpot07": (0.6, 0.6, 0.8, (150, 96, 70)),
    "plantpot08": (0.9, 0.9, 1.0, (150, 96, 70)),
    "plasticbag": (0.3, 0.3, 0.3, (210, 210, 206)),
    "plasticchair": (0.6, 0.6, 0.85, (230, 230, 226)),
    "plastictable": (0.9, 0.9, 0.75, (230, 230, 226)),
    "platformgarbage01": (2.2, 1.6, 0.9, (110, 106, 98)),
    "purse": (0.15, 0.3, 0.25, (120, 40, 50)),
    "shop01": (3.0, 2.4, 2.8, (180, 150, 110)),
    "shoppingbag": (0.2, 0.35, 0.4, (200, 170, 120)),
    "shoppingcart": (1.0, 0.6, 1.0, STEEL),
    "shoppingtrolley": (0.4, 0.4, 1.0, (70, 80, 120)),
    "slide": (3.0, 0.9, 2.0, (200, 70, 50)),
    "streetbarrier": (0.5, 1.6, 1.1, (214, 90, 50)),
    "streetfountain": (0.6, 0.6, 1.1, (96, 104, 104)),
    "swing": (2.2, 3.4, 2.4, STEEL),
    "swingcouch": (1.3, 2.0, 1.7, (120, 140, 110)),
    "table": (0.9, 1.6, 0.75, WOOD),
    "trafficcone01": (0.4, 0.4, 0.75, (226, 96, 36)),
    "trafficcone02": (0.35, 0.35, 0.6, (226, 96, 36)),
    "trampoline": (3.0, 3.0, 0.8, (40, 60, 110)),
    "trashbag": (0.6, 0.6, 0.6, (34, 34, 36)),
    "travelcase": (0.3, 0.5, 0.7, (60, 70, 110)),
    "vendingmachine": (0.9, 1.0, 1.9, (170, 40, 44)),
    "warningaccident": (0.4, 0.6, 0.9, (214, 60, 48)),
    "warningconstruction": (0.5, 1.2, 1.2, (226, 160, 40)),
    "wateringcan": (0.4, 0.2, 0.35, (70, 110, 80)),
}


def block(name: str) -> Mesh:
    """Return the box of a prop in `BOXES`, on the ground."""
    length, width, height, colour = BOXES[name]
    return box((length, width, height), (0.0, 0.0, height / 2.0), Tag.DYNAMIC, colour)


STATES = ("red", "yellow", "green")  # of a traffic light
#: z of the lamps of a traffic light, relative to the centre of its head, metres.
LAMPS: dict[str, float] = {"red": 0.29, "yellow": 0.0, "green": -0.29}
HEAD_X, HEAD_Z = 0.19, 2.75


def _head(tag: int) -> Mesh:
    """Return a head with three lamps facing +x, with hoods and backing board; the origin is its centre."""
    parts = [box((0.2, 0.3, 0.92), (0, 0, 0), tag, DARK), box((0.03, 0.5, 1.12), (-0.06, 0, 0), tag, (30, 30, 32))]
    dim = {"red": (96, 24, 20), "yellow": (98, 78, 22), "green": (22, 84, 40)}
    for name, z in LAMPS.items():
        parts.append(sphere((0.02, 0.1, 0.1), (0.105, 0, z), tag, dim[name], 10, 4))
        parts.append(box((0.16, 0.24, 0.02), (0.17, 0, z + 0.125), tag, DARK))
    return merge(parts)


def traffic_light(arm: float = 0.0) -> Mesh:
    """Return a traffic light facing +x: a head at the pole and, if ``arm`` > 0, another one ``arm`` m towards +y.

    For drivers facing it, +y is left: the second head is above the road.
    """
    parts = [
        cylinder(0.06, 0, 3.35 if not arm else 5.6, Tag.POLE, STEEL, 8),
        cylinder(0.12, 0, 0.35, Tag.POLE, DARK, 8),
    ]
    parts.append(_head(Tag.TRAFFIC_LIGHT).moved(HEAD_X, 0, HEAD_Z))
    if arm:
        parts.append(tube([(0, 0, 5.4), (0, 0.3 * arm, 5.65), (0, arm, 5.7)], [0.06, 0.05, 0.04], Tag.POLE, STEEL, 7))
        parts.append(_head(Tag.TRAFFIC_LIGHT).moved(HEAD_X, arm, 5.35))
    return merge(parts)


def traffic_light_bulbs(arm: float = 0.0) -> dict[str, list[tuple[float, float, float]]]:
    """Return the centres of the lamps of ``traffic_light(arm)`` by state, one per head, metres."""
    heads = [(0.0, HEAD_Z)] + ([(arm, 5.35)] if arm else [])
    return {name: [(HEAD_X + 0.125, y, z + dz) for y, z in heads] for name, dz in LAMPS.items()}


def street_lamp(height: float = 7.5, arm: float = 1.6) -> Mesh:
    """Return a street lamp whose arm extends towards +x (the road)."""
    mast = tube(
        [(0, 0, 0), (0, 0, height * 0.9), (arm * 0.3, 0, height), (arm, 0, height + 0.12)],
        [0.09, 0.06, 0.045, 0.04],
        Tag.POLE,
        STEEL,
        8,
    )
    return merge(
        [
            mast,
            cylinder(0.13, 0, 0.9, Tag.POLE, STEEL, 8),
            box((0.7, 0.26, 0.12), (arm + 0.25, 0, height + 0.1), Tag.POLE, (200, 204, 206)),
        ]
    )


#: Centres of the shining heads of ``street_lamp()`` and ``lantern()`` by the names of their templates, metres.
LAMP_HEADS = {"lamp": (1.85, 0.0, 7.6), "lantern": (0.0, 0.0, 4.3)}


def lantern(height: float = 4.0) -> Mesh:
    """Return an old-town lantern: a post with a lamp housing on top."""
    post = tube([(0, 0, 0), (0, 0, 0.8), (0, 0, 0.85), (0, 0, height)], [0.12, 0.1, 0.06, 0.05], Tag.POLE, DARK, 8)
    lamp = tube(
        [(0, 0, height), (0, 0, height + 0.5), (0, 0, height + 0.55), (0, 0, height + 0.72)],
        [0.11, 0.21, 0.24, 0.03],
        Tag.POLE,
        (190, 184, 150),
        6,
    )
    return merge([post, lamp])


_SIGNS: dict[str, tuple[int, float, RGB, RGB]] = {
    "limit": (20, 0.3, (196, 26, 30), (240, 240, 236)), "stop": (8, 0.36, (190, 22, 28), (190, 22, 28)),
    "yield": (3, 0.42, (196, 26, 30), (240, 240, 236)), "warning": (3, 0.42, (196, 26, 30), (240, 240, 236)),
    "parking": (4, 0.42, (24, 78, 168), (240, 240, 240)), "priority": (4, 0.36, (240, 240, 236), (238, 190, 30)),
    "crossing": (4, 0.42, (24, 78, 168), (240, 240, 240)),
}  # fmt: skip


def sign(kind: str = "limit", height: float = 2.5) -> Mesh:
    """Return a sign on a post, facing +x.

    Kinds are limit, stop, yield, warning, parking, priority and crossing. Raises KeyError for others.
    """
    corners, radius, rim, field = _SIGNS[kind]
    start = {
        "yield": -np.pi / 2,
        "warning": np.pi / 2,
        "stop": np.pi / 8,
        "parking": np.pi / 4,
        "crossing": np.pi / 4,
    }.get(kind, 0.0)
    angle = start + 2.0 * np.pi * np.arange(corners) / corners
    plate = np.column_stack([np.cos(angle), np.sin(angle)])
    # rotate the upright prism, z to x
    turn = np.array([[0, 0, 1, 0.05], [1, 0, 0, 0], [0, 1, 0, height - radius], [0, 0, 0, 1.0]])
    board = [
        prism(plate * radius, 0.0, 0.025, Tag.TRAFFIC_SIGN, rim),
        prism(plate * radius * 0.74, 0.02, 0.03, Tag.TRAFFIC_SIGN, field),
    ]
    back = flat(plate * radius, -0.004, Tag.TRAFFIC_SIGN, STEEL)
    return merge(
        [cylinder(0.035, 0, height + 0.05, Tag.POLE, STEEL, 6), *[m.transformed(turn) for m in (*board, back)]]
    )


def direction_sign(width: float = 2.2, tall: float = 1.1, height: float = 3.4) -> Mesh:
    """Return a direction sign on two posts, facing +x."""
    board = box((0.06, width, tall), (0.06, 0, height - tall / 2), Tag.TRAFFIC_SIGN, (28, 84, 170))
    posts = [cylinder(0.05, 0, height, Tag.POLE, STEEL, 6).moved(0, s * width * 0.32) for s in (-1, 1)]
    return merge([board, *posts])


class TreeKind(NamedTuple):
    """The sizes of a kind of tree, metres, and the colour of its crown."""

    height: float
    crown_radius: float
    crown_base: float
    trunk_radius: float
    crown_colour: RGB


TREES = {
    "lime": TreeKind(9.5, 3.0, 2.6, 0.2, (72, 98, 56)),
    "plane": TreeKind(12.5, 4.6, 3.4, 0.3, (90, 112, 70)),
    "birch": TreeKind(8.5, 1.9, 2.2, 0.12, (108, 130, 80)),
    "young": TreeKind(4.6, 1.3, 1.9, 0.06, (86, 116, 64)),
    "poplar": TreeKind(14.0, 1.7, 1.6, 0.22, (64, 92, 54)),
    "bare": TreeKind(8.5, 2.8, 2.4, 0.18, (96, 80, 60)),
}

#: Tag of trunks and boughs, which look like thin upright wood: labelled as vegetation, generators render them green.
TRUNK = Tag.POLE
LEAVES = 28  # per lump of a crown
SPRIGS = 12  # per metre of hedge


def tree(kind: str = "lime", seed: int = 0) -> Mesh:
    """Return a tree of a kind in ``TREES``: a branching trunk and a crown of lumps with ragged edges."""
    height, radius, base, trunk, colour = TREES[kind]
    rng = np.random.default_rng(seed)
    height *= rng.uniform(0.88, 1.12)
    tag = Tag.VEGETATION
    bend = rng.normal(scale=0.12, size=2)
    fork = np.array([bend[0], bend[1], base * rng.uniform(0.95, 1.15)])
    stem = [(0, 0, -0.1), (bend[0] * 0.3, bend[1] * 0.3, fork[2] * 0.5), tuple(fork)]
    near = [tube(stem, [trunk * 1.25, trunk, trunk * 0.85], TRUNK, BARK, 8)]
    wood = tube(stem, [trunk * 1.25, trunk, trunk * 0.85], TRUNK, BARK, 5)
    far, distant = [], []
    middle = np.array([bend[0], bend[1], (base + height) / 2.0])
    half = np.array([radius, radius, (height - base) / 2.0])
    core = int(rng.integers(1 << 30))
    near.append(blob(half * 0.55, middle, tag, colour, core, 7))
    far.append(blob(half * 0.58, middle, tag, colour, core, 4))
    distant.append(blob(half * 0.6, middle, tag, colour, core, 2))
    lumps = 8 if kind in ("young", "birch") else 11
    for k in range(lumps):  # spread evenly over the crown, like the seeds of a sunflower
        level = 1.0 - 2.0 * (k + 0.5 + rng.uniform(-0.3, 0.3)) / lumps
        turn = 2.39996 * k + rng.uniform(-0.4, 0.4)
        out = np.sqrt(max(1.0 - level**2, 0.0))
        at = middle + half * rng.uniform(0.54, 0.8) * np.array([out * np.cos(turn), out * np.sin(turn), level])
        if level < 0.35:  # a branch to it
            path = [tuple(fork), tuple(fork * 0.4 + at * 0.6 - [0, 0, 0.3]), tuple(at)]
            near.append(tube(path, [trunk * 0.6, trunk * 0.35, 0.03], TRUNK, BARK, 4))
        if kind == "bare":  # twigs extend beyond a filled crown, as winter trees are labelled
            for _ in range(5):
                tip = at + rng.normal(scale=radius * 0.3, size=3) + np.array([0.0, 0.0, 0.5])
                near.append(tube([tuple(fork * 0.3 + at * 0.7), tuple(tip)], [0.045, 0.012], TRUNK, BARK, 3))
        size = (0.31 * radius + 0.09 * half) * rng.uniform(0.7, 1.15)
        one = int(rng.integers(1 << 30))
        lump = blob(size, at, tag, colour, one, 5)
        near += [lump, fringe(lump, LEAVES, 0.3 + 0.1 * radius, rng)]
        coarse = blob(size, at, tag, colour, one, 3)
        far += [coarse, fringe(coarse, 7, 0.3 + 0.08 * radius, rng)]
        if k % 2 == 0:
            distant.append(blob(1.3 * size, at, tag, colour, one, 2))
    levels = (NEAR, near), (FAR, [wood]), (MIDDLE, far), (DISTANT, distant)
    return merge([merge(parts).with_level(level) for level, parts in levels])


def hedge(length: float, height: float = 1.3, depth: float = 0.7, seed: int = 0) -> Mesh:
    """Return a hedge along x, centred, with uneven top and sides and, near the camera, protruding leaves."""
    rng = np.random.default_rng(seed)
    count = max(int(length / 0.4), 2)
    x = np.linspace(-length / 2, length / 2, count)
    wobble = rng.uniform(0.88, 1.1, (count, 5))
    half = depth / 2.0
    profile = [(-half, 0.0), (-half, 0.62), (-half * 0.5, 1.0), (half * 0.5, 1.0), (half, 0.62), (half, 0.0)]
    sections = np.stack(
        [
            np.stack([x, y * wobble[:, k % 5], height * z * wobble[:, (k + 2) % 5]], -1)
            for k, (y, z) in enumerate(profile)
        ],
        1,
    )
    body = loft(sections, Tag.VEGETATION, (62, 86, 50), closed=False)
    return merge([body, fringe(body, int(SPRIGS * length), 0.2, rng).with_level(NEAR)])


def bush(radius: float = 0.8, seed: int = 0) -> Mesh:
    """Return a shrub: lumps on the ground with ragged edges."""
    rng = np.random.default_rng(seed)
    near, far = [], []
    for k in range(4):
        turn = 1.57 * k + rng.uniform(-0.5, 0.5)
        at = np.array([np.cos(turn), np.sin(turn), 0.0]) * radius * rng.uniform(0.3, 0.5)
        size = np.array([1.0, 1.0, rng.uniform(0.8, 1.3)]) * radius * rng.uniform(0.5, 0.7)
        at[2] = 0.75 * size[2]
        one = int(rng.integers(1 << 30))
        lump = blob(size, at, Tag.VEGETATION, (76, 102, 58), one, 5)
        near += [lump, fringe(lump, 24, 0.22, rng)]
        far.append(blob(size, at, Tag.VEGETATION, (76, 102, 58), one, 3))
    return merge([merge(near).with_level(NEAR), merge(far).with_level(FAR)])


def bollard() -> Mesh:
    """Return a bollard with a light band."""
    body = tube([(0, 0, 0), (0, 0, 0.85), (0, 0, 0.95)], [0.085, 0.075, 0.03], Tag.STATIC, DARK, 8)
    return merge([body, cylinder(0.082, 0.68, 0.76, Tag.STATIC, (220, 220, 214), 8)])


def delineator() -> Mesh:
    """Return a delineator of a country road: a white post with a black band and a reflector facing +x."""
    return merge(
        [
            box((0.1, 0.12, 1.0), (0, 0, 0.5), Tag.STATIC, (226, 226, 222)),
            box((0.104, 0.124, 0.22), (0, 0, 0.82), Tag.STATIC, DARK),
            box((0.11, 0.05, 0.16), (0, 0, 0.82), Tag.STATIC, (214, 214, 206)),
        ]
    )


def bench() -> Mesh:
    """Return a bench facing +x."""
    parts = [box((0.13, 1.7, 0.035), (x, 0, 0.45), Tag.STATIC, WOOD) for x in (-0.16, 0.0, 0.16)]
    parts += [box((0.035, 1.7, 0.12), (-0.26 - 0.03 * k, 0, 0.6 + 0.16 * k), Tag.STATIC, WOOD) for k in (0, 1)]
    for y in (-0.7, 0.7):
        parts.append(box((0.45, 0.05, 0.05), (0, y, 0.41), Tag.STATIC, DARK))
        parts += [box((0.05, 0.05, 0.42), (x, y, 0.21), Tag.STATIC, DARK) for x in (-0.18, 0.18)]
        parts.append(tube([(-0.2, y, 0.42), (-0.31, y, 0.85)], 0.025, Tag.STATIC, DARK, 4))
    return merge(parts)


def litter_bin() -> Mesh:
    """Return a round litter bin on a short foot."""
    body = tube([(0, 0, 0.1), (0, 0, 0.85)], [0.19, 0.23], Tag.STATIC, (62, 82, 66), 10)
    return merge(
        [
            body,
            cylinder(0.05, 0, 0.12, Tag.STATIC, DARK, 6),
            tube([(0, 0, 0.85), (0, 0, 0.98)], [0.24, 0.1], Tag.STATIC, DARK, 10),
        ]
    )


def wheeled_bin(colour: RGB = (40, 62, 48)) -> Mesh:
    """Return a household bin with a lid, facing +x."""
    body = tube([(0, 0, 0.06), (0.02, 0, 0.95)], [0.3, 0.36], Tag.STATIC, colour, 4)
    return merge(
        [
            body,
            box((0.62, 0.56, 0.08), (0, 0, 1.0), Tag.STATIC, colour),
            box((0.14, 0.5, 0.16), (-0.24, 0, 0.09), Tag.STATIC, DARK),
        ]
    )


def cabinet() -> Mesh:
    """Return a grey electricity or telephone cabinet."""
    return merge(
        [
            box((0.4, 1.1, 1.2), (0, 0, 0.65), Tag.STATIC, (128, 132, 124)),
            box((0.46, 1.16, 0.06), (0, 0, 1.27), Tag.STATIC, (100, 104, 98)),
        ]
    )


def post_box() -> Mesh:
    """Return a yellow post box on a post."""
    return merge(
        [
            box((0.38, 0.46, 0.7), (0, 0, 1.05), Tag.STATIC, (224, 184, 30)),
            box((0.1, 0.1, 0.75), (0, 0, 0.37), Tag.STATIC, DARK),
        ]
    )


def bus_stop() -> Mesh:
    """Return a bus shelter open towards +x, with roof, glass, bench and a sign on a post."""
    tag = Tag.STATIC
    parts = [box((1.5, 3.9, 0.1), (0, 0, 2.45), tag, (90, 94, 98))]
    parts += [box((0.07, 0.07, 2.4), (x, y, 1.2), tag, STEEL) for x in (-0.65, 0.6) for y in (-1.85, 1.85)]
    parts += [
        box((0.03, 3.6, 1.8), (-0.65, 0, 1.35), tag, (120, 140, 150)),
        box((1.1, 0.03, 1.8), (-0.05, -1.85, 1.35), tag, (120, 140, 150)),
    ]
    parts.append(box((0.35, 2.6, 0.05), (-0.42, 0, 0.48), tag, WOOD))
    parts += [box((0.3, 0.05, 0.46), (-0.42, y, 0.23), tag, STEEL) for y in (-1, 1)]
    pole = merge(
        [
            cylinder(0.035, 0, 2.7, Tag.POLE, STEEL, 6),
            box((0.03, 0.42, 0.5), (0.05, 0, 2.4), Tag.TRAFFIC_SIGN, (226, 190, 40)),
        ]
    )
    return merge([*parts, pole.moved(0.5, 2.5)])


def fence(length: float, height: float = 1.1, pickets: bool = True) -> Mesh:
    """Return a fence along x, centred: rails on posts, with pickets.

    A darker sheet closes the gaps between the pickets, as labels of real images do.
    """
    tag = Tag.FENCE
    parts = [box((length, 0.04, 0.07), (0, 0, height * z), tag, WOOD) for z in (0.3, 0.85)]
    parts += [box((0.08, 0.08, height), (x, 0, height / 2), tag, WOOD) for x in _posts(length)]
    if pickets:
        at = np.arange(-length / 2 + 0.1, length / 2, 0.2).tolist()
        slats = merge([box((0.1, 0.025, height * 0.95), (x, 0.03, height / 2), tag, WOOD) for x in at])
        parts += [slats.with_level(NEAR), _sheet(length, 0.05, height * 0.9, (84, 62, 42))]
    return merge(parts)


def railing(length: float, height: float = 1.0) -> Mesh:
    """Return a metal railing along x, centred, of thin bars in front of a sheet (see ``fence``)."""
    tag = Tag.FENCE
    parts = [box((length, 0.05, 0.05), (0, 0, z), tag, DARK) for z in (0.15, height)]
    parts += [box((0.06, 0.06, height), (x, 0, height / 2), tag, DARK) for x in _posts(length)]
    at = np.arange(-length / 2, length / 2 + 1e-6, 0.16).tolist()
    bars = merge([box((0.02, 0.02, height - 0.1), (x, 0, height / 2), tag, DARK) for x in at])
    return merge([*parts, bars.with_level(NEAR), _sheet(length, 0.15, height, (98, 100, 100))])


def _posts(length: float) -> list[float]:
    """Return the positions of posts along x, about two metres apart."""
    ends: list[float] = np.linspace(-length / 2, length / 2, max(int(length / 2.0), 1) + 1).tolist()
    return ends


def _sheet(length: float, low: float, high: float, colour: RGB) -> Mesh:
    half = length / 2
    return quad([(-half, 0, low), (half, 0, low), (half, 0, high), (-half, 0, high)], Tag.FENCE, colour)
