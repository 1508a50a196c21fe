"""What the names of folders and files say: which plane they hold, of which camera, which frame."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: The planes of a recording, each the name of its option. ``motion`` is our own export's: backward, in pixels.
KINDS = ("rgb", "tags", "depth", "instances", "flow", "motion")
#: Words by the plane that they name. The first plane with a word in a name is meant: "instance_segmentation".
_WORDS: dict[str, frozenset[str]] = {
    "instances": frozenset({"instance", "instances", "inst", "insts", "instseg", "iss"}),
    "motion": frozenset({"motion"}),
    "flow": frozenset({"flow", "flows", "optical", "opticalflow"}),
    "depth": frozenset({"depth", "depths", "depthmap", "logdepth"}),
    "tags": frozenset(
        {"tag", "tags", "semantic", "semantics", "semseg", "sem", "seg", "segmentation", "ss", "label", "labels"}
    ),
    "rgb": frozenset({"rgb", "color", "colour", "rgbs"}),
}
#: Words that hint at pictures, unless the names of the files say more.
_PICTURES = frozenset({"image", "images", "img", "imgs", "camera", "cameras", "cam", "picture", "pictures"})
#: Words that say nothing about which camera it was.
_GENERIC = _PICTURES | {
    "raw", "palette", "cityscapes", "log", "logarithmic", "gray", "grey", "png", "jpg", "new", "out", "output", "data",
    "sensor", "frame", "frames", "gt", "mp4", "samples", "sweeps", "map", "maps", "carla", "video",
}  # fmt: skip
#: Folders of exports that hold no plane, or the planes a second time.
IGNORED = frozenset(
    {
        "trainid", "neural", "cityscapes", "coco", "yolo", "kitti", "gtfine", "leftimg8bit", "compare", "can_bus",
        "lidar_top", "normals", "dvs",
    }
)  # fmt: skip
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_NUMBER = re.compile(r"\d+")
_TOWN = re.compile(r"town\d+[a-z]*", re.IGNORECASE)


@dataclass(frozen=True)
class Meaning:
    """What a name says.

    Attributes:
        kind: One of ``KINDS``, "" if none is named.
        rest: What is left of the name: a camera's name, or a frame's.
        is_picture: Whether the name hints at pictures, where no plane is named.
    """

    kind: str
    rest: str
    is_picture: bool


def meaning_of(name: str) -> Meaning:
    """Return what the name of a folder, or of a file without its suffix, says."""
    words = [word.lower() for word in _WORD.findall(name)]
    kind = next((kind for kind, known in _WORDS.items() if known.intersection(words)), "")
    # "semantic" of an instance_segmentation_camera is no camera's name, either
    spoken = frozenset().union(*_WORDS.values()) if kind else frozenset()
    rest = "_".join(word for word in words if word not in spoken | _GENERIC)
    return Meaning(kind, rest, bool(_PICTURES.intersection(words)))


@dataclass(frozen=True, order=True)
class FrameName:
    """Place of a file in a clip: its scene (town, camera, weather: all of the name that is no number), its numbers."""

    scene: str
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, stem: str) -> FrameName:
        """Return the place that a file's name without its suffix gives."""
        towns = "".join(_TOWN.findall(stem)).lower()
        text = _TOWN.sub("", stem)
        words = [word.lower() for word in _WORD.findall(text) if not word.isdigit()]
        spoken = frozenset().union(*_WORDS.values()) | _GENERIC
        scene = "_".join([towns, *(word for word in words if word not in spoken)]).strip("_")
        # 18 digits: a time in nanoseconds fits, a hash does not
        return cls(scene, tuple(int(digits[-18:]) for digits in _NUMBER.findall(text)))
