"""The options of ``neuralsim render`` and ``neuralsim images``."""

from pathlib import Path
from typing import Annotated, Literal

from bridge.process.option_types import Folder, Fov, Positive, Rate, Weather, number, subset_of
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


#: Options that label maps have not, by their names and, where it differs, their flags.
_OF_RECORDINGS = {"rgb", "tags", "depth", "flow", "poses", "ids", "depth_step", "weather", "formats", "compare"}
_FLAGS = {"formats": "format", "depth_step": "depth-step"}

_Place = Annotated[Path, Arg("DIR|VIDEO")]


class RenderOptions(Options):
    """A folder of recordings of CARLA's cameras, or of a data set's label maps, and how to render it.

    With ``classes`` it is one of label maps, and the options of a recording are refused; without, a recording.
    """

    labels: Annotated[Folder, Arg("FOLDER", positional=True)]
    """Folder with what CARLA's cameras have recorded; with --classes, of label maps: one channel, 8 or 16 bit."""
    out: Folder
    """Folder for images of the same names and sizes; the same command goes on where it stopped."""
    rgb: Annotated[_Place | None, Arg(group="recordings of CARLA, where they are not found by themselves")] = None
    """Pictures of the RGB camera."""
    tags: _Place | None = None
    """Semantic tags: in the red channel, or in CARLA's palette."""
    depth: _Place | None = None
    """Depths: 24 bit, logarithmic, 16 bit, or .npy in metres."""
    instances: _Place | None = None
    """Instances: the tag in red, the id in green and blue; or one channel, 0 = none (default: movers are tracked)."""
    flow: _Place | None = None
    """Optical flow: PNG of get_color_coded_flow, or .npy."""
    poses: Annotated[Path | None, Arg("FILE")] = None
    """The camera's transforms: CSV or JSON with x, y, z, pitch, yaw, roll, or a matrix, per frame; and fov."""
    ids: Annotated[Literal["auto", "0.9.13", "0.9.14"], Arg("auto|0.9.13|0.9.14")] = "auto"
    """Whose tags: those of CARLA 0.9.13 and before, or of 0.9.14 on."""
    depth_step: Annotated[float | None, number(1e-5, 1.0, "metres from 0.00001 to 1"), Arg("METRES")] = None
    """Metres per step of 16-bit depths (default: by our own export's mark, else by the road's distance)."""
    weather: Weather = ""
    """Weather of the recording, such as WetSunset (default: a fair day; our own export says it)."""
    formats: Annotated[tuple[str, ...], subset_of(("png", "mp4")), Arg("LIST", flag="format")] = ("png",)
    """What to write: png, mp4."""
    compare: bool = False
    """Write both side by side, too: the recording and the rendered image."""
    classes: Annotated[ClassMap | None, Arg(group="label maps of a data set")] = None
    """Meaning of the ids, such as camvid, cityscapes, carla."""
    sequence: bool = False
    """The maps are one clip: render it temporally stable, and write a video. A recording always is one."""
    motion: Annotated[Folder | None, Arg(group="both")] = None
    """Motion of the clip, from `neuralsim images flow`; of label maps with --sequence."""
    model: Model = DEFAULT_MODEL
    quality: Quality = "fast"
    runtime: Runtime = "auto"
    gpu: GpuNumber = None
    size: Size | None = None
    """Size to render at (default: the recording's; maps', within 384 to 1024 wide, small ones 1.5 times as wide)."""
    paint: Size | None = None
    """Of a clip: generate only WxH pixels of each frame and reproject the rest (default: generate all of it)."""
    style: Style | None = None
    """Light, such as dusk; `neuralsim doctor` lists the models' (default: the class map's, else the model's)."""
    remap: RemapText | None = None
    """Render classes as others, by CARLA's tags, such as buildings=vegetation (default: none)."""
    fov: Fov = 55.0
    """Horizontal field of view of the clip's camera (default: 55; of a recording, the poses', else 90)."""
    fps: Rate = 15.0
    """Frame rate of the video (default: 15; of a recording, the poses', else 20)."""
    frame_by_frame: bool = False
    """Reset the state at each frame, for comparison."""

    def check(self) -> None:
        """Raise ``ValueError`` for missing folders and for options that need a clip."""
        model_of(self.model, self.quality)
        if self.classes is None:
            if self.paint is not None and self.frame_by_frame:
                raise ValueError("--paint reprojects the last frame: it excludes --frame-by-frame")
            return
        for name in sorted(_OF_RECORDINGS & self.model_fields_set):
            raise ValueError(f"--{_FLAGS.get(name, name)} belongs to a recording: it cannot go with --classes")
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
