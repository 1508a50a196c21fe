"""People: one articulated body, posed for walking, standing and riding, in clothes of several cuts.

The origin is on the ground below the pelvis, x forward; metres. All poses have the same topology, so that vertex i is
the same point of the body in each of them. Clothes, hair and skin take the colours of the placement's palette.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import (
    DISTANT,
    HAIR,
    LOWER,
    MIDDLE,
    NEAR,
    PAINT,
    RGB,
    SHIRT,
    SKIN,
    Mesh,
    box,
    loft,
    merge,
    sphere,
    tube,
)

STRIDE = 1.4  # m, two steps of an adult: one cycle of the gait
PHASES = 16  # 0 is standing, the others are one cycle of walking
SHOES: RGB = (30, 28, 28)
TRAINERS: RGB = (176, 174, 170)
TIGHTS: RGB = (42, 37, 38)
LEATHER: RGB = (70, 50, 38)
CANVAS: RGB = (44, 48, 58)
_EYE, _LIPS = (46, 36, 32), (124, 72, 64)

#: Joint angles of a cycle of walking at 1.4 m/s that begins when the heel strikes, by share of the cycle: hip and knee,
#: flexed forward, and foot, toes up against the ground (after Winter, "Biomechanics and Motor Control of Human
#: Movement", 2009; Perry, "Gait Analysis", 1992).
_CYCLE = np.array([0.0, 0.08, 0.2, 0.35, 0.5, 0.6, 0.72, 0.86, 0.95, 1.0])
_HIP = np.array([27.0, 25.0, 15.0, 0.0, -12.0, -7.0, 12.0, 27.0, 28.0, 27.0])
_KNEE = np.array([5.0, 14.0, 16.0, 8.0, 8.0, 34.0, 60.0, 30.0, 6.0, 5.0])
_FOOT = np.array([18.0, 2.0, 0.0, -1.0, -22.0, -52.0, -40.0, -4.0, 14.0, 18.0])

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
    foot: tuple[float, float] | None = None  # toes up against the ground; None: at right angles to the shanks
    twist: float = 0.0  # of the shoulders, the left one forward; the hips twist the other way by half of it


@dataclass(frozen=True)
class Body:
    """The scale of a body of 1.75 m, its build, and its clothes."""

    scale: float = 1.0
    girth: float = 1.0  # widths over those of a slim body
    top: str = "jacket"  # "jacket" (open over a shirt), "coat" (down to the knees), "pullover" or "shirt" (bare arms)
    lower: str = "trousers"  # "trousers", "skirt" or "shorts"
    hair: str = "short"  # "short", "long", "bun" or "cap"
    bag: str = ""  # "", "backpack", "shoulder" or "case"
    shoes: RGB = SHOES
    helmet: RGB | None = None
    upper: RGB = PAINT
    shirt: RGB = SHIRT
    tag: int = Tag.PEDESTRIAN


def person(body: Body, pose: Posture) -> Mesh:
    """Return the body in a posture, in three levels of detail."""
    return merge(
        [_figure(body, pose, fine).with_level(level) for fine, level in ((2, NEAR), (1, MIDDLE), (0, DISTANT))]
    )


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
    twist = np.sin(np.radians(pose.twist))
    feet = pose.foot or (None, None)
    for side, hip, knee, shoulder, elbow, pitch in zip(
        (-1, 1), pose.hip, pose.knee, pose.shoulder, pose.elbow, feet, strict=True
    ):
        out = np.array([0.0, side * np.sin(np.radians(pose.straddle)), 0.0])
        joint = _off(pelvis, side * 0.045 * twist, side * 0.09, -0.02)
        shank = _swing(hip - knee) + 0.5 * out
        knee_at = joint + 0.43 * (_swing(hip) + out)
        ankle = knee_at + 0.42 * shank
        foot = np.array([np.cos(np.radians(hip - knee)), 0.0, np.sin(np.radians(min(hip - knee, 0.0)))])
        if pitch is not None:
            foot = np.array([np.cos(np.radians(pitch)), 0.0, np.sin(np.radians(pitch))])
        top = _off(chest + 0.115 * up, -side * 0.18 * twist, side * 0.18, 0.0)
        away = np.array([0.0, side * np.sin(np.radians(pose.spread)), 0.0])
        elbow_at = top + 0.29 * (_swing(shoulder) + away)
        fore = _swing(shoulder + elbow) + 0.4 * away
        toe = _off(ankle + 0.2 * foot, 0, 0, -0.045)
        sides.append(Limbs(joint, knee_at, ankle, toe, shank, top, elbow_at, elbow_at + 0.25 * fore, fore))
    head = neck + 0.175 * up + np.array([0.03, 0.0, 0.0])
    return Joints(pelvis, chest, neck, head, up, (sides[0], sides[1]))


def _figure(body: Body, pose: Posture, fine: int) -> Mesh:
    """Return one level of detail of a body: 2 near by, 1 further away, 0 far away."""
    at = joints(pose)
    parts = [*_trunk(body, at, fine), *_head(body, at, fine)]
    for limb in at.sides:
        parts += _leg(body, limb, fine) + _arm(body, limb, fine)
    if body.lower == "skirt":
        parts.append(_hanging(body, at, fine, 0.44, LOWER, 0.05))
    hem = {"coat": _TO_THE_KNEE, "jacket": 0.17}.get(body.top, 0.1)
    parts.append(_hanging(body, at, fine, hem, body.upper, 0.05 if body.top == "coat" else 0.008))
    if body.bag:
        parts += _bag(body, at, fine)
    return merge(parts).moved(scale=body.scale)


_SIDES, _BALLS = (4, 6, 10), (2, 4, 7)  # facets of limbs and of heads, by fineness
_TO_THE_KNEE = 0.52  # m, of a coat from the hips down along the thighs

#: The trunk of a slim body of 1.75 m: metres above the pelvis, half its width and half its depth.
_TRUNK = np.array([
    [-0.08, 0.172, 0.118], [0.03, 0.168, 0.112], [0.13, 0.156, 0.104], [0.25, 0.168, 0.112], [0.36, 0.184, 0.12],
    [0.43, 0.188, 0.114], [0.475, 0.177, 0.102], [0.512, 0.152, 0.088], [0.543, 0.104, 0.074], [0.567, 0.062, 0.062],
])  # fmt: skip
_COARSE_TRUNK = _TRUNK[[0, 2, 5, 9]]
_JACKET = 0.014  # m, that a jacket or coat adds to either half


def _rings(centres: np.ndarray, widths: np.ndarray, depths: np.ndarray, up: np.ndarray, sides: int) -> np.ndarray:
    """Return elliptic cross-sections f64 (S, sides, 3) at right angles to ``up``; the last panel of each is in front.

    Where there are many sides they have folds: waves that turn around the body from one section to the next.
    """
    angle = 2.0 * np.pi * (np.arange(sides) + 0.5) / sides
    forward, aside = np.array([up[2], 0.0, -up[0]]), np.array([0.0, 1.0, 0.0])
    folds = 1.0 + (
        0.02 * np.cos(3.0 * angle + 1.9 * np.arange(len(centres))[:, None]) if sides > _SIDES[1] + 2 else 0.0
    )
    ahead, side = depths[:, None] * np.cos(angle) * folds, widths[:, None] * np.sin(angle) * folds
    return np.asarray(centres[:, None] + ahead[..., None] * forward + side[..., None] * aside)


def _trunk(body: Body, at: Joints, fine: int) -> list[Mesh]:
    """Return waist, hips, chest and shoulders, wider than deep; an open jacket shows the shirt in front."""
    levels, widths, depths = (_TRUNK if fine else _COARSE_TRUNK).T
    stout = np.interp(levels, [-0.13, 0.13, 0.44], [body.girth, body.girth * 1.03, 0.5 + 0.5 * body.girth])
    over = _JACKET * np.interp(levels, [0.36, 0.565], [1.0, 0.0]) if body.top in ("jacket", "coat") else 0.0
    depths = (depths + over) * stout * (0.2 + 0.8 * body.girth)  # who is stout is rounder
    sides = _SIDES[fine] + 2
    rings = _rings(at.pelvis + levels[:, None] * at.up, (widths + over) * stout, depths, at.up, sides)
    trunk = loft(rings, body.tag, body.upper)
    if body.top in ("jacket", "coat") and fine:
        row = np.arange(2 * (len(levels) - 1) * sides) // 2
        front = (row % sides == sides - 1) & (row // sides > (0 if body.top == "jacket" else 4))
        colours = trunk.colours.copy()
        colours[: len(row)][front] = body.shirt
        trunk = replace(trunk, colours=colours)
    return [trunk]


def _hanging(body: Body, at: Joints, fine: int, length: float, colour: RGB, flare: float) -> Mesh:
    """Return what hangs over the thighs, m along them from the hips: the hem of a pullover, a skirt, a coat.

    ``flare``: m that its lower end is wider.
    """
    along = np.array([-0.05, 0.04, 0.55 * length, length] if fine else [-0.05, length])
    share = np.clip(along / length, 0.0, 1.0)
    ways = ((limb.hip, limb.knee - limb.hip) for limb in at.sides)
    thighs = [hip + along[:, None] * way / np.linalg.norm(way) for hip, way in ways]
    centres = (thighs[0] + thighs[1]) / 2.0
    apart = np.abs(thighs[0] - thighs[1])[:, 0] / 2.0
    ease = (_JACKET if body.top in ("jacket", "coat") else 0.006) + flare * share
    widths = (0.18 + ease) * body.girth + np.minimum(along, 0.0)
    thigh = 0.122 * body.girth * (1.0 - 0.1 * share)
    return loft(
        _rings(centres, widths, apart + thigh + ease, np.array([0.0, 0.0, 1.0]), _SIDES[fine] + 2), body.tag, colour
    )


def _head(body: Body, at: Joints, fine: int) -> list[Mesh]:
    """Return neck, head, hair or hat, and near by the face."""
    tag, head, sides, balls = body.tag, at.head, _SIDES[fine] + (2 if fine == 2 else 0), _BALLS[fine]
    parts = [sphere((0.094, 0.077, 0.118), head, tag, SKIN, sides, balls + 1)]
    if fine:
        parts.append(tube([at.neck - 0.05 * at.up, at.neck + 0.1 * at.up], 0.054, tag, SKIN, sides - 2))
    if fine == 2:
        collar = tube([at.neck - 0.03 * at.up, at.neck + 0.035 * at.up], [0.086, 0.068], tag, body.upper, 8)
        jaw = sphere((0.07, 0.058, 0.05), _off(head, 0.022, 0, -0.075), tag, SKIN, 8, 4)
        nose = sphere((0.024, 0.014, 0.03), _off(head, 0.094, 0, -0.012), tag, SKIN, 5, 3)
        mouth = box((0.012, 0.046, 0.012), _off(head, 0.083, 0, -0.066), tag, _LIPS)
        parts += [collar, jaw, nose, mouth]
        for side in (-1, 1):
            parts.append(box((0.012, 0.028, 0.014), _off(head, 0.08, side * 0.033, 0.012), tag, _EYE))
            parts.append(box((0.014, 0.04, 0.01), _off(head, 0.079, side * 0.034, 0.036), tag, HAIR))
            parts.append(sphere((0.022, 0.012, 0.032), _off(head, -0.005, side * 0.079, -0.005), tag, SKIN, 5, 3))
    return parts + _hair(body, at, sides, balls)


def _hair(body: Body, at: Joints, sides: int, balls: int) -> list[Mesh]:
    """Return hair, a cap or a helmet."""
    tag, head = body.tag, at.head
    if body.helmet:
        return [sphere((0.136, 0.114, 0.125), _off(head, -0.015, 0, 0.04), tag, body.helmet, sides, balls + 1)]
    top = _off(head, -0.018, 0, 0.034)
    if body.hair == "cap":
        brim = box((0.09, 0.11, 0.014), _off(head, 0.115, 0, 0.062), tag, CANVAS)
        return [sphere((0.104, 0.088, 0.094), _off(head, -0.006, 0, 0.044), tag, CANVAS, sides, balls), brim]
    parts = [sphere((0.1, 0.087, 0.1), top, tag, HAIR, sides, balls)]
    if body.hair == "long":
        lock = [_off(head, -0.045, 0, 0.05), _off(head, -0.066, 0, -0.1), _off(head, -0.07, 0, -0.25)]
        parts.append(tube(lock, [0.09, 0.095, 0.05], tag, HAIR, sides))
    elif body.hair == "bun":
        parts.append(sphere((0.045, 0.045, 0.045), _off(head, -0.115, 0, 0.06), tag, HAIR, max(sides - 4, 3), 3))
    return parts


def _leg(body: Body, limb: Limbs, fine: int) -> list[Mesh]:
    """Return a leg and its shoe. The trouser leg hangs a little over the shoe."""
    tag, sides, girth = body.tag, _SIDES[fine], 0.4 + 0.6 * body.girth
    hip, knee, ankle = limb.hip, limb.knee, limb.ankle
    thigh = SKIN if body.lower == "shorts" else TIGHTS if body.lower == "skirt" else LOWER
    slim = 0.78 if body.lower in ("skirt", "shorts") else 1.0
    calf = knee + 0.14 * limb.shank
    path = [hip, (hip + knee) / 2, knee, calf, ankle]
    hidden = 0.8 if body.lower == "skirt" or body.top == "coat" else 1.0
    radii = np.array([0.088 * hidden, 0.09 * hidden, 0.07 * slim, 0.068 * slim, 0.054 * slim]) * girth
    if fine == 0:
        path, radii = path[::2], radii[::2]
    parts = [tube(path, radii, tag, thigh, sides)]
    if body.lower == "shorts" and fine:
        parts.append(tube([hip, hip + 0.85 * (knee - hip)], [0.09 * girth, 0.106 * girth], tag, LOWER, sides))
    sole = [_off(ankle, -0.055, 0, -0.03), _off(ankle, 0.05, 0, -0.03), limb.toe]
    parts.append(tube(sole, [0.045, 0.052, 0.034], tag, body.shoes, max(sides - 2, 4)))
    return parts


def _arm(body: Body, limb: Limbs, fine: int) -> list[Mesh]:
    """Return an arm and its hand; a shirt has short sleeves."""
    tag, sides = body.tag, max(_SIDES[fine] - 2, 3)
    top, elbow, wrist = limb.shoulder, limb.elbow, limb.wrist
    if fine == 0:
        return [tube([top, elbow, wrist + 0.1 * limb.fore], [0.06, 0.05, 0.04], tag, body.upper, sides)]
    sleeve = 0.4 + 0.6 * body.girth if body.top == "shirt" else 0.48 + 0.6 * body.girth
    path = [top, top + 0.24 * (elbow - top), elbow, wrist]
    radii = np.array([0.056, 0.057, 0.049, 0.037]) * sleeve
    shoulder = sphere(sleeve * np.array([0.057, 0.057, 0.047]), top, tag, body.upper, sides, 5)
    hand = sphere((0.04, 0.026, 0.07), wrist + 0.07 * limb.fore, tag, SKIN, sides, 3 + (fine == 2))
    if body.top != "shirt":
        return [shoulder, tube(path, radii, tag, body.upper, sides), hand]
    half = top + 0.7 * (elbow - top)
    bare = tube([half - 0.1 * (elbow - top), elbow, wrist], [0.045, 0.042, 0.032], tag, SKIN, sides)
    return [shoulder, tube([*path[:2], half], [*radii[:2], 0.056], tag, body.upper, sides), bare, hand]


def _bag(body: Body, at: Joints, fine: int) -> list[Mesh]:
    """Return a backpack, a shoulder bag or a case."""
    tag, pelvis, chest = body.tag, at.pelvis, at.chest
    if body.bag == "backpack":
        pack = sphere((0.11, 0.16, 0.24), chest - 0.02 * at.up + np.array([-0.2, 0, 0]), tag, CANVAS, _SIDES[fine], 5)
        if fine < 2:
            return [pack]
        straps = [
            tube(
                [_off(chest, -0.1, y, 0.16), _off(chest, 0.115, y, 0.1), _off(chest, 0.09, y, -0.1)],
                0.02,
                tag,
                CANVAS,
                4,
            )
            for y in (-0.11, 0.11)
        ]
        return [pack, *straps]
    if body.bag == "case":
        hand = at.sides[1].wrist + 0.12 * at.sides[1].fore
        return [box((0.4, 0.1, 0.3), _off(hand, 0.0, 0.0, -0.17), tag, SHOES)]
    bag = box((0.3, 0.11, 0.24), _off(pelvis, -0.02, 0.27, -0.02), tag, LEATHER)
    return [bag, tube([_off(pelvis, 0, 0.25, 0.08), _off(chest, 0, 0.12, 0.2)], 0.014, tag, LEATHER, 4)]


def gait(phase: int) -> Posture:
    """Return the posture of a phase: 0 is standing, the others are one cycle of walking, two steps.

    Arms swing against the legs, and the pelvis is as high as the lower foot on the ground lets it be.
    """
    if phase == 0:
        return Posture()
    t = (phase - 1) / (PHASES - 1)
    turns = t, (t + 0.5) % 1.0
    hip, knee, foot = (tuple(float(np.interp(turn, _CYCLE, curve)) for turn in turns) for curve in (_HIP, _KNEE, _FOOT))
    arm = [4.0 - 26.0 * float(np.cos(2.0 * np.pi * turn)) for turn in turns]
    elbow = tuple(14.0 + 0.5 * max(angle, 0.0) for angle in arm)
    pose = Posture(
        (0.0, 0.0, 0.93), 4.0, (hip[0], hip[1]), (knee[0], knee[1]), (arm[0], arm[1]), (elbow[0], elbow[1]), 5.0, 1.0,
        (foot[0], foot[1]), 0.18 * (arm[0] - arm[1]),
    )  # fmt: skip
    lowest = min(min(float(side.ankle[2]) - 0.075, float(side.toe[2]) - 0.034) for side in joints(pose).sides)
    return replace(pose, pelvis=(0.0, 0.0, 0.93 - lowest))


#: Kinds of walkers, which differ in outline.
KINDS: dict[str, Body] = {
    "man": Body(girth=1.05),
    "woman": Body(scale=0.94, girth=0.93, top="pullover", lower="skirt", hair="long", bag="shoulder"),
    "casual": Body(scale=0.98, girth=1.0, top="pullover", bag="backpack", shoes=TRAINERS),
    "child": Body(scale=0.7, girth=0.98, top="pullover", hair="cap", bag="backpack", shoes=TRAINERS),
    "coat": Body(scale=1.02, girth=1.08, top="coat", bag="case"),
    "woman in trousers": Body(scale=0.95, girth=0.95, hair="bun", bag="shoulder"),
    "woman in a coat": Body(scale=0.96, girth=0.98, top="coat", hair="long"),
    "stout man": Body(scale=0.99, girth=1.3, top="jacket", hair="cap"),
    "summer": Body(scale=1.01, girth=1.0, top="shirt", lower="shorts", shoes=TRAINERS),
}
#: Share of each kind in the town's own crowd.
SHARES = (0.17, 0.12, 0.15, 0.08, 0.12, 0.12, 0.1, 0.08, 0.06)


def walker_templates(kind: str = "man") -> list[Mesh]:
    """Return a walker of a kind in ``KINDS`` in each phase of ``gait``. Raises KeyError for an unknown kind."""
    body = KINDS[kind]
    return [person(body, gait(phase)) for phase in range(PHASES)]


def phase_of(walked: float, scale: float) -> int:
    """Return the phase of the gait of somebody of that scale who has walked so far, m."""
    return 1 + int(walked / (STRIDE * scale) * (PHASES - 1)) % (PHASES - 1)
