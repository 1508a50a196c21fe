"""People: one articulated body, posed for walking, standing and riding, in clothes of several cuts.

The origin is on the ground below the pelvis, x forward; metres. All poses have the same topology, so that vertex i is
the same point of the body in each of them. Clothes, hair and skin take the colours of the placement's palette.
"""

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
    SKIN,
    SLEEVE,
    UMBRELLA,
    Mesh,
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
VISOR: RGB = (18, 20, 24)
_SHAFT: RGB = (70, 71, 74)

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
    wrists: tuple[Vector | None, Vector | None] = (None, None)  # m; None: where ``shoulder`` and ``elbow`` say


@dataclass(frozen=True)
class Body:
    """The scale of a body of 1.75 m, its build, and its clothes."""

    scale: float = 1.0
    girth: float = 1.0  # widths over those of a slim body
    top: str = "jacket"  # "coat" (down to the knees), "jacket" (over a shirt), "pullover" or "shirt" (bare arms)
    lower: str = "trousers"  # "trousers", "skirt" or "shorts"
    hair: str = "short"  # "short", "long", "bun" or "cap"
    bag: str = ""  # "", "backpack", "shoulder" or "case"
    shoes: RGB = SHOES
    helmet: RGB | None = None  # of a helmet that covers the whole head, with a dark visor
    gloves: RGB | None = None
    chest: RGB | None = None  # of a band around the chest
    upper: RGB = PAINT
    umbrella: Vector | None = None  # m from the pelvis to the tip of an open umbrella in the left hand
    is_man: bool = True
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
        wrist = pose.wrists[max(side, 0)]
        if wrist:
            elbow_at, fore = _reached(top, np.array(wrist), side)
        toe = _off(ankle + 0.2 * foot, 0, 0, -0.045)
        sides.append(Limbs(joint, knee_at, ankle, toe, shank, top, elbow_at, elbow_at + 0.25 * fore, fore))
    head = neck + 0.175 * up + np.array([0.03, 0.0, 0.0])
    return Joints(pelvis, chest, neck, head, up, (sides[0], sides[1]))


def _reached(shoulder: np.ndarray, wrist: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the elbow of an arm that reaches to ``wrist``, or as far as it can, and the direction of its forearm.

    The elbow points down and outwards; ``side``: -1 left, 1 right.
    """
    upper, lower = 0.29, 0.25
    way = wrist - shoulder
    distance = min(float(np.linalg.norm(way)), 0.998 * (upper + lower))
    way = way / np.linalg.norm(way)
    along = (upper**2 - lower**2 + distance**2) / (2.0 * distance)
    bend = np.array([-0.25, 0.6 * side, -0.75])
    bend -= (bend @ way) * way
    elbow = shoulder + along * way + np.sqrt(max(upper**2 - along**2, 0.0)) * bend / np.linalg.norm(bend)
    return elbow, (shoulder + distance * way - elbow) / lower


def _figure(body: Body, pose: Posture, fine: int) -> Mesh:
    """Return one level of detail of a body: 2 near by, 1 further away, 0 far away."""
    at = joints(pose)
    parts = [_garment(body, at, fine), *_head(body, at, fine)]
    for limb in at.sides:
        parts += _leg(body, limb, fine) + _arm(body, limb, fine)
    if body.lower == "skirt":
        centres, widths, depths = _hanging(body, at, fine, 0.44, 0.05)
        inside = np.linspace(0.78, 1.0, len(widths))  # of the top
        parts.append(
            loft(_rings(centres, inside * widths, inside * depths, _UPRIGHT, _LIMB_FACETS[fine] + 2), body.tag, LOWER)
        )
    if body.bag:
        parts += _bag(body, at, fine)
    if body.umbrella:
        parts += _umbrella(body.tag, at, at.pelvis + np.array(body.umbrella), fine)
    return merge(parts).moved(scale=body.scale)


_LIMB_FACETS = 4, 6, 10  # by fineness
_HEAD_FACETS = 2, 4, 7  # by fineness
_UPRIGHT = np.array([0.0, 0.0, 1.0])
_ASIDE = np.array([0.0, 1.0, 0.0])
#: Length of a top, m from the hips down along the thighs.
_HEMS = {"coat": 0.52, "jacket": 0.17, "pullover": 0.1, "shirt": 0.1}
TOPS = tuple(_HEMS)

#: The trunk of a slim body of 1.75 m: metres above the pelvis, half its width and half its depth.
_TRUNK = np.array(
    [
        [0.567, 0.062, 0.062],
        [0.543, 0.104, 0.074],
        [0.512, 0.152, 0.088],
        [0.475, 0.177, 0.102],
        [0.43, 0.188, 0.114],
        [0.36, 0.184, 0.12],
        [0.25, 0.168, 0.112],
        [0.13, 0.158, 0.106],
        [0.04, 0.168, 0.112],
    ]
)
_COARSE_TRUNK = _TRUNK[[0, 4, 7]]
_JACKET = 0.014  # m, that a jacket or coat adds to either half

#: A head: metres above its centre, of the middle of the cross-section ahead of it, half its depth and half its width.
_HEAD = np.array(
    [
        [-0.118, 0.05, 0.02, 0.018],
        [-0.108, 0.043, 0.04, 0.033],
        [-0.086, 0.028, 0.062, 0.047],
        [-0.058, 0.014, 0.078, 0.058],
        [-0.026, 0.004, 0.09, 0.067],
        [0.006, 0.0, 0.094, 0.073],
        [0.036, -0.003, 0.096, 0.076],
        [0.064, -0.008, 0.093, 0.074],
        [0.09, -0.012, 0.079, 0.064],
        [0.109, -0.014, 0.053, 0.043],
        [0.118, -0.015, 0.02, 0.017],
    ]
)
#: A helmet around it: the same columns.
_HELMET = np.array(
    [
        [-0.14, 0.01, 0.05, 0.05],
        [-0.136, 0.02, 0.112, 0.092],
        [-0.1, 0.024, 0.132, 0.108],
        [-0.045, 0.012, 0.139, 0.119],
        [0.01, 0.0, 0.139, 0.123],
        [0.065, -0.008, 0.132, 0.117],
        [0.108, -0.015, 0.11, 0.098],
        [0.138, -0.02, 0.07, 0.064],
        [0.152, -0.022, 0.02, 0.018],
    ]
)
#: Where hair begins, m above the centre of the head: at the forehead, by 30 degrees around it, to the nape.
_HAIRLINES = {
    "short": [0.084, 0.08, 0.055, 0.0, -0.03, -0.055, -0.07],
    "long": [0.088, 0.08, 0.03, -0.3, -0.3, -0.3, -0.3],
    "bun": [0.088, 0.082, 0.05, 0.01, -0.03, -0.06, -0.08],
    "cap": [0.05, 0.05, 0.048, 0.042, 0.036, 0.032, 0.03],
}


def _rings(centres: np.ndarray, widths: np.ndarray, depths: np.ndarray, up: np.ndarray, sides: int) -> np.ndarray:
    """Return elliptic cross-sections f64 (S, sides, 3) at right angles to ``up``; the last panel of each is in front.

    Where there are many sides they have folds: waves that turn around the body from one section to the next.
    """
    angle = 2.0 * np.pi * (np.arange(sides) + 0.5) / sides
    forward, aside = np.array([up[2], 0.0, -up[0]]), np.array([0.0, 1.0, 0.0])
    folds = 1.0 + (
        0.02 * np.cos(3.0 * angle + 1.9 * np.arange(len(centres))[:, None]) if sides > _LIMB_FACETS[1] + 2 else 0.0
    )
    ahead, side = depths[:, None] * np.cos(angle) * folds, widths[:, None] * np.sin(angle) * folds
    return np.asarray(centres[:, None] + ahead[..., None] * forward + side[..., None] * aside)


def _garment(body: Body, at: Joints, fine: int) -> Mesh:
    """Return what covers the trunk, from the neck down to its hem, wider than deep."""
    levels, widths, depths = (_TRUNK if fine else _COARSE_TRUNK).T
    stout = np.interp(levels, [-0.13, 0.13, 0.44], [body.girth, body.girth * 1.03, 0.5 + 0.5 * body.girth])
    over = _JACKET * np.interp(levels, [0.36, 0.565], [1.0, 0.0]) if body.top in ("jacket", "coat") else 0.0
    depths = (depths + over) * stout * (0.2 + 0.8 * body.girth)  # who is stout is rounder
    sides = _LIMB_FACETS[fine] + 2
    upper = _rings(at.pelvis + levels[:, None] * at.up, (widths + over) * stout, depths, at.up, sides)
    below = _hanging(body, at, fine, _HEMS[body.top], 0.05 if body.top == "coat" else 0.008)
    lower = _rings(*below, _UPRIGHT, sides)[1 if fine else -1 :]
    garment = loft(np.concatenate([upper, lower]), body.tag, body.upper)
    if body.chest and fine:
        rows = (levels[:-1] < 0.45) & (levels[1:] > 0.35)
        garment.colours[np.flatnonzero(np.repeat(rows, 2 * sides))] = body.chest
    return garment


def _hanging(
    body: Body, at: Joints, fine: int, length: float, flare: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centres, half widths and half depths of what hangs over the thighs: the hem of a top, a skirt.

    ``length``: m along them from the hips; ``flare``: m that its lower end is wider.
    """
    along = np.array([-0.05, 0.04, 0.55 * length, length] if fine else [-0.05, length])
    share = np.clip(along / length, 0.0, 1.0)
    ways = ((limb.hip, limb.knee - limb.hip) for limb in at.sides)
    thighs = [hip + along[:, None] * way / np.linalg.norm(way) for hip, way in ways]
    centres = (thighs[0] + thighs[1]) / 2.0
    apart = np.abs(thighs[0] - thighs[1])[:, 0] / 2.0
    ease = (_JACKET if body.top in ("jacket", "coat") else 0.006) + flare * share
    widths = (0.176 + 0.025 * share + ease) * body.girth + np.minimum(along, 0.0)
    thigh = 0.13 * body.girth * (1.0 - 0.1 * share)
    return centres, widths, apart + thigh + ease


def _around(profile: np.ndarray, head: np.ndarray, sides: int) -> np.ndarray:
    """Return the cross-sections f64 (S, sides, 3) of a ``profile`` with the columns of ``_HEAD``."""
    angle = 2.0 * np.pi * (np.arange(sides) + 0.5) / sides
    z, ahead, deep, wide = profile.T[..., None]
    rings = [ahead + deep * np.cos(angle), wide * np.sin(angle), np.broadcast_to(z, (len(profile), sides))]
    return np.stack(rings, -1) + head


def _head(body: Body, at: Joints, fine: int) -> list[Mesh]:
    """Return neck, head, hair or hat; eyes, brows and mouth are drawn on it (``person_kernels``)."""
    tag, head, sides = body.tag, at.head, _LIMB_FACETS[fine] + (4 if fine == 2 else 0)
    if body.helmet:
        neck = tube([at.neck - 0.05 * at.up, at.neck + 0.1 * at.up], 0.068, tag, body.upper, sides - 2)
        return [_helmet(head, tag, body.helmet, sides, fine), neck]
    if not fine:
        parts = [sphere((0.094, 0.077, 0.118), head, tag, SKIN, sides, _HEAD_FACETS[0] + 1)]
    else:
        parts = [loft(_around(_HEAD[:: 1 if fine == 2 else 2], head, sides), tag, SKIN)]
        parts.append(tube([at.neck - 0.05 * at.up, at.neck + 0.1 * at.up], 0.054, tag, SKIN, sides - 2))
    if fine == 2:
        collar = tube([at.neck - 0.03 * at.up, at.neck + 0.035 * at.up], [0.086, 0.066], tag, body.upper, 10)
        nose = [_off(head, 0.084, 0, 0.016), _off(head, 0.1, 0, -0.022), _off(head, 0.084, 0, -0.036)]
        parts += [collar, tube(nose, [0.009, 0.016, 0.013], tag, SKIN, 6)]
        for side in (-1, 1):
            parts.append(sphere((0.02, 0.012, 0.032), _off(head, -0.008, side * 0.077, -0.008), tag, SKIN, 6, 4))
    return parts + _hair(body, at, sides, fine)


def _helmet(head: np.ndarray, tag: int, colour: RGB, sides: int, fine: int) -> Mesh:
    """Return a helmet that covers the whole head, with a dark visor."""
    profile = _HELMET if fine else _HELMET[::2]
    mesh = loft(_around(profile, head, sides), tag, colour)
    middle = (profile[1:, 0] + profile[:-1, 0]) / 2.0
    around = (np.degrees(2.0 * np.pi * (np.arange(sides) + 1.0) / sides) + 180.0) % 360.0 - 180.0
    visor = ((middle > -0.045) & (middle < 0.065))[:, None] & (np.abs(around) < 80.0)
    mesh.colours[np.flatnonzero(np.repeat(visor.ravel(), 2))] = VISOR
    return mesh


def _hair(body: Body, at: Joints, sides: int, fine: int) -> list[Mesh]:
    """Return hair or a cap: a shell around the head, which is inside it below the hairline."""
    tag, head = body.tag, at.head
    colour = CANVAS if body.hair == "cap" else HAIR
    if not fine:
        parts = [sphere((0.1, 0.087, 0.1), _off(head, -0.018, 0, 0.034), tag, colour, sides, _HEAD_FACETS[0])]
    else:
        profile = _HEAD[2 :: 1 if fine == 2 else 2]
        if body.hair == "long":  # it falls over the nape
            falls = np.array([[-0.24, -0.05, 0.05, 0.08], [-0.15, -0.03, 0.066, 0.083]])
            profile = np.concatenate([falls, profile])
        rings = _around(profile, head, sides)
        around = 2.0 * np.pi * (np.arange(sides) + 0.5) / sides
        turn = np.degrees(np.abs((around + np.pi) % (2.0 * np.pi) - np.pi))
        line = np.interp(turn, 30.0 * np.arange(7), _HAIRLINES[body.hair])
        thick = 0.004 if body.hair == "cap" else np.interp(turn, [0.0, 90.0], [0.007, 0.014])
        out = np.clip((profile[:, :1] - line) / 0.02 + 0.5, 0.0, 1.0) * (0.02 + thick) - 0.02
        rings[..., 0] += out * np.cos(around)
        rings[..., 1] += out * np.sin(around)
        rings[..., 2] += 0.014 * (profile[:, :1] > 0.1)
        falling = profile[:, 0] < -0.1
        rings[falling, :, 0] = np.minimum(rings[falling, :, 0], head[0] - 0.02)  # behind the middle of the neck
        parts = [loft(rings, tag, colour)]
    if body.hair == "cap":
        parts.append(sphere((0.075, 0.068, 0.012), _off(head, 0.1, 0, 0.05), tag, CANVAS, sides, 3))
    elif body.hair == "bun":
        parts.append(sphere((0.045, 0.045, 0.045), _off(head, -0.115, 0, 0.06), tag, HAIR, max(sides - 4, 3), 4))
    return parts


def _leg(body: Body, limb: Limbs, fine: int) -> list[Mesh]:
    """Return a leg and its shoe. The trouser leg hangs a little over the shoe."""
    tag, sides, girth = body.tag, _LIMB_FACETS[fine], 0.4 + 0.6 * body.girth
    hip, knee, ankle = limb.hip, limb.knee, limb.ankle
    thigh = SKIN if body.lower == "shorts" else TIGHTS if body.lower == "skirt" else LOWER
    slim = 0.78 if body.lower in ("skirt", "shorts") else 1.0
    calf = knee + 0.14 * limb.shank
    path = [hip, (hip + knee) / 2, knee, calf, ankle]
    hidden = 0.8 if body.lower == "skirt" or body.top == "coat" else 1.0
    hem = 0.034 if slim < 1.0 else 0.058
    radii = np.array([0.088 * hidden, 0.09 * hidden, 0.07 * slim, 0.068 * slim, hem]) * girth
    if fine == 0:
        path, radii = path[::2], radii[::2]
    parts = [tube(path, radii, tag, thigh, sides, _ASIDE)]
    if body.lower == "shorts" and fine:
        parts.append(tube([hip, hip + 0.85 * (knee - hip)], [0.09 * girth, 0.106 * girth], tag, LOWER, sides, _ASIDE))
    if fine == 0:
        sole = [_off(ankle, -0.055, 0, -0.03), _off(ankle, 0.05, 0, -0.03), limb.toe]
        return [*parts, tube(sole, [0.045, 0.052, 0.034], tag, body.shoes, 4, _ASIDE)]
    return [*parts, loft(_shoe(limb, sides), tag, body.shoes)]


#: Cross-sections of a shoe: metres ahead of the ankle, half its width, and the heights of its sole and top.
_SHOE = np.array(
    [
        [-0.066, 0.018, -0.066, -0.02],
        [-0.05, 0.032, -0.074, 0.0],
        [0.0, 0.037, -0.074, 0.03],
        [0.055, 0.04, -0.072, -0.012],
        [0.115, 0.047, -0.072, -0.032],
        [0.165, 0.042, -0.07, -0.042],
        [0.2, 0.02, -0.064, -0.048],
    ]
)


def _shoe(limb: Limbs, sides: int) -> np.ndarray:
    """Return the cross-sections of a shoe, f64 (S, sides, 3); its sole is flat."""
    ahead = _off(limb.toe - limb.ankle, 0.0, 0.0, 0.045) / 0.2
    up = np.array([-ahead[2], 0.0, ahead[0]])
    along, wide, low, high = _SHOE.T[..., None]
    angle = 2.0 * np.pi * (np.arange(sides) + 0.5) / sides
    aside, rise = np.cos(angle), np.sin(angle)
    height = np.where(
        rise < 0.0, low + 0.02 * (1.0 + np.maximum(rise * 2.5, -1.0)), 0.02 + low + rise * (high - low - 0.02)
    )
    square = wide * np.sign(aside) * np.abs(aside) ** 0.6
    return np.asarray(
        limb.ankle + along[..., None] * ahead + height[..., None] * up + square[..., None] * np.array([0.0, 1.0, 0.0])
    )


def _arm(body: Body, limb: Limbs, fine: int) -> list[Mesh]:
    """Return an arm and its hand; a shirt has short sleeves."""
    tag, sides, colour = body.tag, max(_LIMB_FACETS[fine] - 2, 3), SLEEVE if body.upper == PAINT else body.upper
    top, elbow, wrist = limb.shoulder, limb.elbow, limb.wrist
    if fine == 0:
        return [tube([top, elbow, wrist + 0.1 * limb.fore], [0.06, 0.05, 0.04], tag, colour, sides, _ASIDE)]
    sleeve = 0.4 + 0.6 * body.girth if body.top == "shirt" else 0.48 + 0.6 * body.girth
    path = [_off(top, 0.0, -0.012 * np.sign(top[1]), -0.02), top + 0.24 * (elbow - top), elbow, wrist]
    radii = np.array([0.056, 0.057, 0.049, 0.038]) * sleeve
    inner = _off(top, 0.0, -0.045 * np.sign(top[1]), -0.006)
    yoke = sphere(sleeve * np.array([0.062, 0.085, 0.05]), inner, tag, colour, sides + 2, 6)
    parts = [yoke, *_hand(limb, tag, fine, body.gloves or SKIN)]
    if body.top != "shirt":
        return [*parts, tube(path, radii, tag, colour, sides, _ASIDE)]
    half = top + 0.7 * (elbow - top)
    bare = tube([half - 0.1 * (elbow - top), elbow, wrist], [0.045, 0.042, 0.03], tag, SKIN, sides, _ASIDE)
    return [*parts, tube([*path[:2], half], [*radii[:2], 0.056], tag, colour, sides, _ASIDE), bare]


def _hand(limb: Limbs, tag: int, fine: int, colour: RGB) -> list[Mesh]:
    """Return a hand with half-closed fingers, flat, and near by its thumb."""
    fore = limb.fore / np.linalg.norm(limb.fore)
    curl = np.array([0.015, 0.0, 0.0])
    path = np.array(
        [
            limb.wrist - 0.01 * fore,
            limb.wrist + 0.055 * fore,
            limb.wrist + 0.1 * fore + curl,
            limb.wrist + 0.14 * fore + 2.2 * curl,
        ]
    )
    hand = tube(path, [0.026, 0.04, 0.037, 0.018], tag, colour, 4 + 2 * fine, _ASIDE)
    vertices = hand.vertices.copy()
    vertices[:, 1] = limb.wrist[1] + 0.6 * (vertices[:, 1] - limb.wrist[1])
    parts = [replace(hand, vertices=vertices)]
    if fine == 2:
        thumb = [limb.wrist + 0.03 * fore + 1.5 * curl, limb.wrist + 0.09 * fore + 3.4 * curl]
        parts.append(tube(thumb, [0.016, 0.011], tag, colour, 5, _ASIDE))
    return parts


def _pouch(size: Vector, centre: np.ndarray, tag: int, colour: RGB, fine: int) -> Mesh:
    """Return a bag with rounded edges; ``size`` (x, y, z) and ``centre`` in metres."""
    sides = 4 * (1 + fine)
    angle = 2.0 * np.pi * (np.arange(sides) + 0.5) / sides
    x, y = (np.sign(wave) * np.abs(wave) ** 0.45 for wave in (np.cos(angle), np.sin(angle)))
    levels = np.array([-0.5, -0.44, -0.1, 0.35, 0.5] if fine else [-0.5, 0.5])
    shrink = np.interp(levels, [-0.5, -0.44, -0.1, 0.35, 0.5], [0.8, 0.98, 1.0, 0.9, 0.62])[:, None]
    rings = [0.5 * size[0] * np.sqrt(shrink) * x, 0.5 * size[1] * shrink * y, np.tile(size[2] * levels[:, None], sides)]
    return loft(np.stack(rings, -1) + centre, tag, colour)


def _bag(body: Body, at: Joints, fine: int) -> list[Mesh]:
    """Return a backpack, a shoulder bag or a case."""
    tag, pelvis, chest = body.tag, at.pelvis, at.chest
    if body.bag == "backpack":
        pack = _pouch((0.2, 0.29, 0.42), chest - 0.02 * at.up + np.array([-0.19, 0, 0]), tag, CANVAS, fine)
        if fine < 2:
            return [pack]
        pocket = _pouch((0.08, 0.2, 0.2), chest - 0.1 * at.up + np.array([-0.27, 0, 0]), tag, CANVAS, 1)
        straps = [
            tube(
                [
                    _off(chest, -0.1, y, 0.16),
                    _off(chest, 0.05, y, 0.19),
                    _off(chest, 0.118, y, 0.1),
                    _off(chest, 0.09, y, -0.1),
                ],
                0.018,
                tag,
                CANVAS,
                5,
            )
            for y in (-0.11, 0.11)
        ]
        return [pack, pocket, *straps]
    if body.bag == "case":
        hand = at.sides[1].wrist + 0.12 * at.sides[1].fore
        case = _pouch((0.36, 0.09, 0.26), _off(hand, 0.01, 0.0, -0.17), tag, LEATHER, fine)
        grip = [
            _off(hand, -0.06, 0, -0.06),
            _off(hand, -0.04, 0, -0.01),
            _off(hand, 0.06, 0, -0.01),
            _off(hand, 0.08, 0, -0.06),
        ]
        return [case, tube(grip, 0.01, tag, SHOES, 4)] if fine else [case]
    bag = _pouch((0.3, 0.11, 0.23), _off(pelvis, -0.02, 0.26, -0.02), tag, LEATHER, fine)
    strap = [_off(pelvis, 0, 0.25, 0.08), _off(chest, -0.02, 0.2, 0.12), _off(chest, -0.01, 0.12, 0.215)]
    return [bag, tube(strap, 0.012, tag, LEATHER, 4)]


_CANOPY = np.array([[0.0, 0.012], [0.02, 0.14], [0.075, 0.3], [0.155, 0.42], [0.225, 0.49]])  # m below the tip; radius


def _umbrella(tag: int, at: Joints, tip: np.ndarray, fine: int) -> list[Mesh]:
    """Return an open umbrella in the left hand, with its ``tip`` above the head."""
    hand = at.sides[0].wrist + 0.07 * at.sides[0].fore
    along = (tip - hand) / np.linalg.norm(tip - hand)
    ahead = np.cross(_ASIDE, along)
    ahead /= np.linalg.norm(ahead)
    aside = np.cross(along, ahead)
    ribs = (6, 8, 8)[fine]
    count = ribs * (2 if fine == 2 else 1)  # points around: at the ribs, and near by where cloth sags between them
    sagging = np.arange(count) % 2 * (1 if fine == 2 else 0)
    low, wide = (_CANOPY if fine else _CANOPY[::2]).T[..., None]
    low, wide = low * (1.0 - 0.1 * sagging), wide * (1.0 - 0.07 * sagging)
    angle = 2.0 * np.pi * np.arange(count) / count
    rings = tip - low[..., None] * along + (wide * np.cos(angle))[..., None] * ahead
    canopy = loft(rings + (wide * np.sin(angle))[..., None] * aside, tag, UMBRELLA, caps=False)
    shaft = tube([hand - 0.1 * along, tip + 0.05 * along], 0.008, tag, _SHAFT, 3 + fine)
    if fine < 2:
        return [canopy, shaft]
    return [canopy, shaft, tube([hand - 0.14 * along, hand - 0.02 * along], 0.016, tag, SHOES, 6)]


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
        (0.0, 0.0, 0.93),
        4.0,
        (hip[0], hip[1]),
        (knee[0], knee[1]),
        (arm[0], arm[1]),
        (elbow[0], elbow[1]),
        5.0,
        1.0,
        (foot[0], foot[1]),
        0.18 * (arm[0] - arm[1]),
    )
    lowest = min(float(_shoe(side, _LIMB_FACETS[2])[..., 2].min()) for side in joints(pose).sides)
    return replace(pose, pelvis=(0.0, 0.0, 0.93 - lowest))


#: Kinds of walkers, which differ in outline.
KINDS: dict[str, Body] = {
    "man": Body(girth=1.05),
    "woman": Body(scale=0.94, girth=0.93, top="pullover", lower="skirt", hair="long", bag="shoulder", is_man=False),
    "casual": Body(scale=0.98, girth=1.0, top="pullover", bag="backpack", shoes=TRAINERS),
    "child": Body(scale=0.7, girth=0.98, top="pullover", hair="cap", bag="backpack", shoes=TRAINERS, is_man=False),
    "coat": Body(scale=1.02, girth=1.08, top="coat", bag="case"),
    "woman in trousers": Body(scale=0.95, girth=0.95, hair="bun", bag="shoulder", is_man=False),
    "woman in a coat": Body(scale=0.96, girth=0.98, top="coat", hair="long", is_man=False),
    "stout man": Body(scale=0.99, girth=1.3, top="jacket", hair="cap"),
    "summer": Body(scale=1.01, girth=1.0, top="shirt", lower="shorts", shoes=TRAINERS),
}
#: Share of each kind in the town's own crowd.
SHARES = (0.17, 0.12, 0.15, 0.08, 0.12, 0.12, 0.1, 0.08, 0.06)


def walker_templates(kind: str = "man", has_umbrella: bool = False) -> list[Mesh]:
    """Return a walker of a kind in ``KINDS`` in each phase of ``gait``. Raises KeyError for an unknown kind."""
    body, postures = KINDS[kind], [gait(phase) for phase in range(PHASES)]
    if has_umbrella:
        number = list(KINDS).index(kind)  # not everybody holds it the same way
        body = replace(body, umbrella=(0.06 + 0.05 * (number % 3), -0.09 + 0.07 * (number % 2), 1.17))
        postures = [replace(pose, wrists=(_shifted(pose.pelvis, (0.2, -0.13, 0.3)), None)) for pose in postures]
    return [person(body, pose) for pose in postures]


def _shifted(point: Vector, by: Vector) -> Vector:
    return point[0] + by[0], point[1] + by[1], point[2] + by[2]


def phase_of(walked: float, scale: float) -> int:
    """Return the phase of the gait of somebody of that scale who has walked so far, m."""
    return 1 + int(walked / (STRIDE * scale) * (PHASES - 1)) % (PHASES - 1)
