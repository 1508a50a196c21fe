"""Trees, hedges and bushes. The origin is the centre of the foot on the ground; metres.

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
    fringe,
    loft,
    merge,
    quad,
    tube,
)

TRUNK_COLOUR: RGB = (72, 65, 57)


class TreeKind(NamedTuple):
    """The sizes of a kind of tree, metres, and the colour of its crown."""

    height: float
    crown_radius: float
    crown_base: float
    trunk_radius: float
    crown_colour: RGB


TREES = {
    "lime": TreeKind(height=9.5, crown_radius=3.0, crown_base=2.6, trunk_radius=0.2, crown_colour=(72, 98, 56)),
    "plane": TreeKind(height=12.5, crown_radius=4.6, crown_base=3.4, trunk_radius=0.3, crown_colour=(90, 112, 70)),
    "birch": TreeKind(height=8.5, crown_radius=1.9, crown_base=2.2, trunk_radius=0.12, crown_colour=(108, 130, 80)),
    "young": TreeKind(height=4.6, crown_radius=1.3, crown_base=1.9, trunk_radius=0.06, crown_colour=(86, 116, 64)),
    "poplar": TreeKind(height=11.5, crown_radius=2.3, crown_base=2.2, trunk_radius=0.22, crown_colour=(64, 92, 54)),
    "bare": TreeKind(height=8.5, crown_radius=2.8, crown_base=2.4, trunk_radius=0.18, crown_colour=(96, 80, 60)),
}

#: Tag of trunks and boughs, which look like thin upright wood: labelled as vegetation, generators render them green.
TRUNK = Tag.POLE
INSIDE: RGB = (26, 36, 20)  # of a hedge: has no leaves
LEAVES = 80  # per lump of a crown
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
    near = [tube(stem, [trunk * 1.25, trunk, trunk * 0.85], TRUNK, TRUNK_COLOUR, 8)]
    wood = tube(stem, [trunk * 1.25, trunk, trunk * 0.85], TRUNK, TRUNK_COLOUR, 5)
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
            near.append(tube(path, [trunk * 0.6, trunk * 0.35, 0.03], TRUNK, TRUNK_COLOUR, 4))
        if kind == "bare":  # twigs extend beyond a filled crown, as winter trees are labelled
            for _ in range(5):
                tip = at + rng.normal(scale=radius * 0.3, size=3) + np.array([0.0, 0.0, 0.5])
                near.append(tube([tuple(fork * 0.3 + at * 0.7), tuple(tip)], [0.045, 0.012], TRUNK, TRUNK_COLOUR, 3))
        size = (0.31 * radius + 0.09 * half) * rng.uniform(0.7, 1.15)
        one = int(rng.integers(1 << 30))
        lump, twigs = blob(size, at, tag, colour, one, 8), np.random.default_rng(one)
        near += [lump, fringe(lump, LEAVES, 0.2 + 0.06 * radius, twigs)]
        coarse = blob(size, at, tag, colour, one, 4)
        far += [coarse, fringe(coarse, 14, 0.25 + 0.06 * radius, twigs)]
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
    end, top = 0.49 * length, 0.85 * height
    core = quad([(-end, 0.0, 0.0), (end, 0.0, 0.0), (end, 0.0, top), (-end, 0.0, top)], Tag.VEGETATION, INSIDE)
    return merge([body, core, fringe(body, int(SPRIGS * length), 0.2, rng).with_level(NEAR)])


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
