"""The options of ``neuralsim render``, ``flow`` and ``label``."""

from __future__ import annotations

from typing import Annotated, Literal

from bridge.process.option_types import Folder, Fov, Positive, Rate
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.shared_options import DEFAULT_MODEL, ClassMap, Model, Quality, Runtime, Style, is_folder, model_of
from neuralsim.renderer.options import RemapText

_Rgb = float | tuple[float, float, float]

#: How networks want their pixels -> (mean, deviation) of bytes: what is taken away, and what is divided by.
SCALES: dict[str, tuple[_Rgb, _Rgb]] = {
    "bytes": (0.0, 1.0),
    "unit": (0.0, 255.0),  # 0 to 1
    "symmetric": (127.5, 127.5),  # -1 to 1
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


class RenderOptions(Options):
    """A folder of label maps and how it is painted."""

    labels: Annotated[Folder, Arg("LABELDIR", positional=True)]
    """Folder of label maps: one channel of ids, 8 or 16 bit."""
    classes: ClassMap
    """What ids mean, such as camvid, cityscapes, carla."""
    out: Folder
    """Folder for pictures of the same names and sizes."""
    instances: Folder | None = None
    """Instance maps of the same names, 8 or 16 bit, 0 = none (default: movers are followed)."""
    sequence: bool = False
    """The maps are one clip: kept stable, and a video made of them."""
    motion: Folder | None = None
    """Motion of the clip, as `neuralsim flow` makes it; with --sequence."""
    model: Model = DEFAULT_MODEL
    quality: Quality = "fast"
    runtime: Runtime = "auto"
    size: Size | None = None
    """Pixels to paint at (default: the maps', within 384 to 1024 wide; of small ones 1.5 times as wide, up to 640)."""
    paint: Size | None = None
    """With --sequence: of each map paint so many pixels, WxH, and remember the rest (default: paint all of it)."""
    style: Style | None = None
    """Light, such as dusk; `neuralsim doctor` lists the models' (default: the class map's, else the model's)."""
    remap: RemapText | None = None
    """Paint things as others, by CARLA's tags, such as buildings=vegetation (default: nothing)."""
    fov: Fov = 55.0
    """Of the clip's camera, horizontal."""
    fps: Rate = 15.0
    """Of the video."""
    frame_by_frame: bool = False
    """Forget the past at each frame, to compare with."""

    def check(self) -> None:
        """Raises ``ValueError`` for folders that are not there, and motion of what is no clip."""
        model_of(self.model, self.quality)
        if self.paint is not None and (not self.sequence or self.frame_by_frame):
            raise ValueError("--paint remembers what it does not paint: it needs --sequence, and no --frame-by-frame")
        if self.motion is not None and not self.sequence:
            raise ValueError("--motion belongs to a clip: it needs --sequence")
        is_folder(self.labels, self.instances, self.motion)


class FlowOptions(Options):
    """The motion of a real clip."""

    images: Annotated[Folder, Arg("IMAGES", positional=True)]
    """Folder with the pictures of one clip."""
    out: Folder
    """Folder for one KITTI flow PNG per picture."""


class LabelOptions(Options):
    """Pictures without labels and the network that labels them."""

    images: Annotated[Folder, Arg("IMAGES", positional=True)]
    """Folder of pictures, or a video."""
    segmenter: Annotated[Folder, Arg("MODEL.onnx")]
    """Network: classes, or a score for each."""
    classes: ClassMap
    """What the network's classes mean."""
    out: Folder
    """Folder for label maps; of a video, for images/ and labels/."""
    scale: Annotated[Literal["", "bytes", "unit", "symmetric", "imagenet"], Arg("bytes|unit|symmetric|imagenet")] = ""
    """Pixels as the network wants them (default: by its input)."""
    bgr: bool = False
    """The network wants blue first."""
    size: Size | None = None
    """Pixels to look at, where the network leaves it free."""
    output: Annotated[str, Arg("NAME")] = ""
    """The network's output (default: its first)."""
    every: Positive = 1
    """Of a video, only each N-th frame."""
