"""The skeleton of a walker, with CARLA's names of the bones."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from neuralsim.town.assets.people_meshes import KINDS, Joints, Limbs, gait, joints

#: Fingers of a hand: metres from its middle towards the thumb, from the wrist to the first joint, and per bone.
FINGERS = {
    "Thumb": (0.03, 0.02, 0.02),
    "Index": (0.022, 0.06, 0.02),
    "Middle": (0.008, 0.062, 0.021),
    "Ring": (-0.008, 0.06, 0.02),
    "Pinky": (-0.022, 0.055, 0.016),
}
_EYE = (0.085, 0.032, 0.025)  # m in front of, to the side of and above the centre of the head


class Bone(NamedTuple):
    """A bone: its name, its parent's ("" for none), and its start f64 (3,), m, in the frame of the walker."""

    name: str
    parent: str
    at: np.ndarray


@lru_cache(maxsize=64)
def bones(kind: str, phase: int) -> tuple[Bone, ...]:
    """Return the bones of a walker of a kind in ``KINDS`` in a phase of its gait, parents first; forward, right, up."""
    at, scale = joints(gait(phase)), KINDS[kind].scale
    bones = [
        Bone("crl_root", "", np.zeros(3)),
        Bone("crl_hips__C", "crl_root", at.pelvis),
        Bone("crl_spine__C", "crl_hips__C", at.pelvis + 0.12 * at.up),
        Bone("crl_spine01__C", "crl_spine__C", at.chest),
        Bone("crl_neck__C", "crl_spine01__C", at.neck),
        Bone("crl_Head__C", "crl_neck__C", at.head),
    ]
    for side, name, limbs in zip((-1.0, 1.0), "LR", at.sides, strict=True):
        bones += _side(at, limbs, side, name)
    return tuple(Bone(bone.name, bone.parent, scale * bone.at) for bone in bones)


def _side(at: Joints, limbs: Limbs, side: float, name: str) -> list[Bone]:
    """Return eye, arm and leg of the left (-1, "L") or the right side (1, "R")."""
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
    bones = [Bone(f"crl_{part}__{name}", parent, place) for part, parent, place in chain]
    for finger, (aside, to_first, length) in FINGERS.items():
        parent = hand
        for number, part in enumerate(("", "01", "02", "End")):
            # thumbs point forwards when the arms hang down
            place = limbs.wrist + (to_first + number * length) * limbs.fore + np.array([aside, 0.0, 0.0])
            bones.append(Bone(f"crl_hand{finger}{part}__{name}", parent, place))
            parent = bones[-1].name
    return bones
