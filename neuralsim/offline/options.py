"""The options of ``neuralsim render``, ``flow`` and ``label``."""

from __future__ import annotations

from typing import Annotated, Literal

from bridge.process.option_types import Folder, Fov, Positive, Rate
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.shared_options import (
    DEFAULT_MODEL,
    ClassMap,
    GpuNumber,
    Model,
    Quality,
    Runtime,
    Style,
    check_folders,
    model_of,
)
from neuralsim.renderer.options import RemapText

_Rgb = float | tuple[float, float, float]

#: (mean, deviation) of bytes by the scale of a network's input: subtracted, and divided by.
SCALES: dict[str, tuple[_Rgb, _Rgb]] = {
    "bytes": (0.0, 1.0),
    "unit": (0.0, 255.0),  # 0 to 1
    "symmetric": (127.5, 127.5),  # -1 to 1
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


class RenderOptions(Options):
    """A folder of label maps and how to render it."""

    labels: Annotated[Folder, Arg("LABELDIR", positional=True)]
    """Folder of label maps: one channel of ids, 8 or 16 bit."""
    classes: ClassMap
    """Meaning of the ids, such as camvid, cityscapes, carla."""
    out: Folder
    """Folder for images of the same names and sizes."""
    instances: Folder | None = None
    """Instance maps of the same names, 8 or 16 bit, 0 = none (default: movers are tracked)."""
    sequence: bool = False
    """The maps are one clip: render it temporally stable, and write a video."""
    motion: Folder | None = None
    """Motion of the clip, from `neuralsim flow`; with --sequence."""
    model: Model = DEFAULT_MODEL
    quality: Quality = "fast"
    runtime: Runtime = "auto"
    gpu: GpuNumber = None
    size: Size | None = None
    """Size to render at (default: the maps', within 384 to 1024 wide; of small ones 1.5 times as wide, up to 640)."""
    paint: Size | None = None
    """With --sequence: generate only WxH pixels of each map and reproject the rest (default: generate all of it)."""
    style: Style | None = None
    """Light, such as dusk; `neuralsim doctor` lists the models' (default: the class map's, else the model's)."""
    remap: RemapText | None = None
    """Render classes as others, by CARLA's tags, such as buildings=vegetation (default: none)."""
    fov: Fov = 55.0
    """Horizontal field of view of the clip's camera."""
    fps: Rate = 15.0
    """Frame rate of the video."""
    frame_by_frame: bool = False
    """Reset the state at each frame, for comparison."""

    def check(self) -> None:
        """Raise ``ValueError`` for missing folders and for options that need a clip."""
        model_of(self.model, self.quality)
        if self.paint is not None and (not self.sequence or self.frame_by_frame):
            raise ValueError("--paint reprojects the last frame: it needs --sequence and excludes --frame-by-frame")
        if self.motion is not None and not self.sequence:
            raise ValueError("--motion belongs to a clip: it needs --sequence")
        check_folders(self.labels, self.instances, self.motion)


class FlowOptions(Options):
    """The optical flow of a real clip."""

    images: Annotated[Folder, Arg("IMAGES", positional=True)]
    """Folder with the images of one clip."""
    out: Folder
    """Folder for one KITTI flow PNG per image."""


class LabelOptions(Options):
    """Images without labels and the network that labels them."""

    images: Annotated[Folder, Arg("IMAGES", positional=True)]
    """Folder of images, or a video."""
    segmenter: Annotated[Folder, Arg("MODEL.onnx")]
    """Segmentation network that returns classes, or a score for each class."""
    classes: ClassMap
    """Meaning of the network's classes."""
    out: Folder
    """Folder for label maps; for a video, for images/ and labels/."""
    scale: Annotated[Literal["", "bytes", "unit", "symmetric", "imagenet"], Arg("bytes|unit|symmetric|imagenet")] = ""
    """Scale of the network's input (default: by its type)."""
    bgr: bool = False
    """The network expects BGR."""
    size: Size | None = None
    """Size of the network's input, where it is free."""
    output: Annotated[str, Arg("NAME")] = ""
    """Output of the network (default: the first)."""
    every: Positive = 1
    """Use only every N-th frame of a video."""
