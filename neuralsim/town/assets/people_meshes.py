"""People: one articulated body, posed for walking, standing and riding.

The origin is on the ground below the pelvis, x forward; metres. All poses have the same topology, so that vertex i is
the same point of the body in each of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import FAR, NEAR, PAINT, RGB, Mesh, box, merge, sphere, tube

PHASES = 8
SKIN: RGB = (205, 160, 132)
HAIR: RGB = (52, 38, 28)
TROUSERS: RGB = (44, 50, 66)
SHOES: RGB = (30, 28, 28)

Vector = tuple[float, float, float]


@dataclass
class Posture:
    """Joint angles in degrees; positive angles swing the limb forward (x); pairs are (left, right)."""

    pelvis: Vector = (0.0, 0.0, 0.93)
    lean: float = 2.0  # trunk, forward
    hip: tuple[float, float] = (0.0, 0.0)
    knee: tuple[float, float] = (3.0, 3.0)  # flexion, shank backwards
    shoulder: tuple[float, float] = (4.0, 4.0)
    elbow: tuple[float, float] = (12.0, 12.0)  # flexion, forearm forwards
    spread: float = 4.0  # arms away from the body
    straddle: float = 1.0  # legs apart, degrees


@dataclass
class Body:
    """The scale of a body of 1.75 m, and its clothes."""

    scale: float = 1.0
    coat: RGB = PAINT
    trousers: RGB = TROUSERS
    hair: RGB = HAIR
    skirt: bool = False
    bag: bool = False
    helmet: RGB | None = None
    tag: int = Tag.PEDESTRIAN
    extras: list[Mesh] = field(default_factory=list)


def person(body: Body, pose: Posture) -> Mesh:
    """Return the body in a posture, with a near and a far level of detail."""
    near = merge(_parts(body, pose, 8)).with_level(NEAR)
    far = merge(_parts(body, pose, 4)).with_level(FAR)
    return merge([near, far])


def _swing(angle: float) -> np.ndarray:
    """Return the unit vector of a hanging limb, swung forward by ``angle`` degrees."""
    a = np.radians(angle)
    return np.array([np.sin(a), 0.0, -np.cos(a)])


def _off(point: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    return point + np.array([x, y, z])


@dataclass(frozen=True)
class Limbs:
    """The joints of one side of a body, f64 (3,) each, m; ``shank`` and ``fore`` point along shank and forearm."""

    hip: np.ndarray
    knee: np.ndarray
    ankle: np.ndarray
    toe: np.ndarray
    shank: np.ndarray
    shoulder: np.ndarray
    elbow: np.ndarray
    wrist: np.ndarray
    fore: np.ndarray


@dataclass(frozen=True)
class Joints:
    """The joints of a body of 1.75 m, f64 (3,) each, m; ``up`` points along its trunk; ``sides``: left, right."""

    pelvis: np.ndarray
    chest: np.ndarray
    neck: np.ndarray
    head: np.ndarray
    up: np.ndarray
    sides: tuple[Limbs, Limbs]


def joints(pose: Posture) -> Joints:
    """Return the joints of a body in a posture."""
    pelvis = np.array(pose.pelvis)
    up = -_swing(-pose.lean)
    up[0] = np.sin(np.radians(pose.lean))
    chest, neck = pelvis + 0.34 * up, pelvis + 0.55 * up
    sides = []
    for side, hip, knee, shoulder, elbow in zip((-1, 1), pose.hip, pose.knee, pose.shoulder, pose.elbow, strict=True):
        out = np.array([0.0, side * np.sin(np.radians(pose.straddle)), 0.0])
        joint = _off(pelvis, 0.0, side * 0.09, -0.02)
        shank = _swing(hip - knee) + 0.5 * out
        knee_at = joint + 0.43 * (_swing(hip) + out)
        ankle = knee_at + 0.42 * shank
        foot = np.array([np.cos(np.radians(hip - knee)), 0.0, np.sin(np.radians(min(hip - knee, 0.0)))])
        top = _off(chest + 0.13 * up, 0.0, side * 0.205, 0.0)
        away = np.array([0.0, side * np.sin(np.radians(pose.spread)), 0.0])
        elbow_at = top + 0.29 * (_swing(shoulder) + away)
        fore = _swing(shoulder + elbow) + 0.4 * away
        toe = _off(ankle + 0.2 * foot, 0, 0, -0.045)
        sides.append(Limbs(joint, knee_at, ankle, toe, shank, top, elbow_at, elbow_at + 0.25 * fore, fore))
    head = neck + 0.175 * up + np.array([0.03, 0.0, 0.0])
    return Joints(pelvis, chest, neck, head, up, (sides[0], sides[1]))


def _parts(body: Body, pose: Posture, sides: int) -> list[Mesh]:
    tag, s = body.tag, body.scale
    balls = 5 if sides > 5 else 3
    at = joints(pose)
    pelvis, chest, neck, head, up = at.pelvis, at.chest, at.neck, at.head, at.up
    parts = []
    # trunk: waist, hips, chest, shoulders; wider than deep
    levels = np.array([-0.09, 0.0, 0.12, 0.34, 0.44, 0.5, 0.56])
    widths = np.array([0.15, 0.182, 0.172, 0.205, 0.218, 0.158, 0.06])
    trunk = tube(pelvis + levels[:, None] * up, widths, tag, body.coat, sides + 2)
    centre = trunk.vertices.copy()
    axis = pelvis + ((centre - pelvis) @ up)[:, None] * up
    parts.append(replace(trunk, vertices=axis + (centre - axis) * _flatten(up)))
    parts.append(tube([neck - 0.03 * up, neck + 0.1 * up], 0.055, tag, SKIN, sides))
    parts.append(sphere((0.095, 0.078, 0.12), head, tag, SKIN, sides, balls))
    cover = body.helmet or body.hair
    grow = 1.3 if body.helmet else 1.0
    parts.append(
        sphere((0.105 * grow, 0.088 * grow, 0.1 * grow), _off(head, -0.015, 0, 0.035), tag, cover, sides, balls)
    )
    for limb in at.sides:
        hip, knee, ankle, top = limb.hip, limb.knee, limb.ankle, limb.shoulder
        legs, sole = body.trousers, [_off(ankle, -0.05, 0, -0.035), _off(ankle, 0.06, 0, -0.02), limb.toe]
        parts.append(tube([hip, (hip + knee) / 2, knee], [0.104, 0.095, 0.07], tag, legs, sides))
        parts.append(tube([knee, knee + 0.14 * limb.shank, ankle], [0.07, 0.07, 0.052], tag, legs, sides))
        parts.append(tube(sole, [0.05, 0.054, 0.036], tag, SHOES, sides))
        arm = [top + 0.03 * up, top - 0.05 * up, limb.elbow]
        parts.append(tube(arm, [0.05, 0.07, 0.052], tag, body.coat, sides))
        parts.append(tube([limb.elbow, limb.wrist], [0.05, 0.038], tag, body.coat, sides))
        parts.append(sphere((0.045, 0.03, 0.06), limb.wrist + 0.06 * limb.fore, tag, SKIN, sides, balls - 1))
    if body.skirt:
        front = 0.43 * np.sin(np.radians(max(pose.hip))) * 0.7
        back = 0.43 * np.sin(np.radians(min(pose.hip))) * 0.7
        hem = _off(pelvis, (front + back) / 2, 0.0, -0.42)
        skirt = tube([_off(pelvis, 0, 0, 0.02), hem], [0.165, 0.17 + (front - back) / 4], tag, body.coat, sides + 2)
        parts.append(skirt)
    if body.bag:
        parts.append(box((0.3, 0.11, 0.24), _off(pelvis, -0.02, 0.33, -0.02), tag, (70, 50, 38)))
        parts.append(tube([_off(pelvis, 0, 0.29, 0.08), _off(chest, 0, 0.1, 0.2)], 0.015, tag, (70, 50, 38), 4))
    return [part.moved(scale=s) for part in parts] + body.extras


def _flatten(up: np.ndarray) -> np.ndarray:
    """Return the scale (3,) of the cross-sections of a trunk, which is 0.62 times as deep as it is wide."""
    return np.array([0.62, 1.0, 1.0]) if abs(up[0]) < 0.4 else np.array([0.75, 1.0, 0.75])


def gait(phase: int) -> Posture:
    """Return the posture of a phase of walking: hips and arms swing in opposition; phase 0 is standing.

    Angles are approximately those of normal gait at 1.4 m/s: hip -18..28, knee 3..58 degrees (Perry, "Gait Analysis",
    1992).
    """
    if phase == 0:
        return Posture()
    t = 2.0 * np.pi * phase / PHASES
    hip, knee, arm = [], [], []
    for turn in (t, t + np.pi):
        hip.append(4.0 + 24.0 * np.sin(turn))
        swing = max(0.0, np.cos(turn)) ** 1.5  # the leg moves forward while cos > 0
        knee.append(4.0 + 52.0 * swing * (1.0 if phase % PHASES else 0.0))
        arm.append(3.0 - 24.0 * np.sin(turn))
    bob = 0.93 - 0.035 * abs(np.sin(t))
    return Posture((0.0, 0.0, bob), 4.0, (hip[0], hip[1]), (knee[0], knee[1]), (arm[0], arm[1]), (18.0, 18.0), 5.0)


#: Kinds of walkers, which differ in outline.
KINDS: dict[str, Body] = {
    "man": Body(),
    "woman": Body(scale=0.94, skirt=True, bag=True, hair=(96, 62, 34), trousers=(60, 48, 50)),
    "casual": Body(scale=0.98, trousers=(96, 88, 76), bag=True),
    "child": Body(scale=0.7, trousers=(40, 70, 110), hair=(120, 86, 48)),
}


def walker_templates(kind: str = "man") -> list[Mesh]:
    """Return the eight gait phases of a walker of a kind in ``KINDS``.

    Phase 0 is standing, 1..7 are the following eighths of the cycle, which 0 also closes. A cycle of two steps is about
    1.4 m for an adult. The coat has the colour of the placement. Raises KeyError for an unknown kind.
    """
    body = KINDS[kind]
    return [person(body, gait(phase)) for phase in range(PHASES)]
