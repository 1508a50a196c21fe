"""A walker's skeleton, under the names that CARLA's walkers give its bones."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from neuralsim.town.assets.people_meshes import KINDS, Joints, Limbs, gait, joints

#: A hand's fingers: metres to the thumb's side of its middle, from the wrist to the first joint, and of each bone.
FINGERS = {
    "Thumb": (0.03, 0.02, 0.02), "Index": (0.022, 0.06, 0.02), "Middle": (0.008, 0.062, 0.021),
    "Ring": (-0.008, 0.06, 0.02), "Pinky": (-0.022, 0.055, 0.016),
}  # fmt: skip
_EYE = (0.085, 0.032, 0.025)  # m before, beside and above the middle of the head


class Bone(NamedTuple):
    """One bone: its name, that of the one it hangs on ("" for none), where it begins: f64 (3,), m, in the walker."""

    name: str
    parent: str
    at: np.ndarray


@lru_cache(maxsize=64)
def bones(kind: str, phase: int) -> tuple[Bone, ...]:
    """The bones of a walker of a kind in ``KINDS`` in a phase of its gait, parents first; forward, right, up."""
    at, scale = joints(gait(phase)), KINDS[kind].scale
    found = [
        Bone("crl_root", "", np.zeros(3)),
        Bone("crl_hips__C", "crl_root", at.pelvis),
        Bone("crl_spine__C", "crl_hips__C", at.pelvis + 0.12 * at.up),
        Bone("crl_spine01__C", "crl_spine__C", at.chest),
        Bone("crl_neck__C", "crl_spine01__C", at.neck),
        Bone("crl_Head__C", "crl_neck__C", at.head),
    ]
    for side, name, limbs in zip((-1.0, 1.0), "LR", at.sides, strict=True):
        found += _side(at, limbs, side, name)
    return tuple(Bone(bone.name, bone.parent, scale * bone.at) for bone in found)


def _side(at: Joints, limbs: Limbs, side: float, name: str) -> list[Bone]:
    """Eye, arm and leg of the left (-1, "L") or the right side (1, "R")."""
    hand, end = f"crl_hand__{name}", limbs.toe + (limbs.toe - limbs.ankle) * 0.1
    collar = at.neck - 0.06 * at.up + np.array([0.0, side * 0.05, 0.0])
    chain = [
        ("eye", "crl_Head__C", at.head + np.array([_EYE[0], side * _EYE[1], _EYE[2]])),
        ("shoulder", "crl_spine01__C", collar),
        ("arm", f"crl_shoulder__{name}", limbs.shoulder),
        ("foreArm", f"crl_arm__{name}", limbs.elbow),
        ("hand", f"crl_foreArm__{name}", limbs.wrist),
        ("thigh", "crl_hips__C", limbs.hip),
        ("leg", f"crl_thigh__{name}", limbs.knee),
        ("foot", f"crl_leg__{name}", limbs.ankle),
        ("toe", f"crl_foot__{name}", limbs.toe),
        ("toeEnd", f"crl_toe__{name}", end),
    ]
    found = [Bone(f"crl_{part}__{name}", parent, place) for part, parent, place in chain]
    for finger, (aside, to_first, length) in FINGERS.items():
        parent = hand
        for number, part in enumerate(("", "01", "02", "End")):
            # Thumbs point forwards where arms hang down.
            place = limbs.wrist + (to_first + number * length) * limbs.fore + np.array([aside, 0.0, 0.0])
            found.append(Bone(f"crl_hand{finger}{part}__{name}", parent, place))
            parent = found[-1].name
    return found
