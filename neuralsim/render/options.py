"""What ``neuralsim render``, ``flow`` and ``label`` can be asked for. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuralsim.remap import Remap  # for a type alone: the help should be there at once

DEFAULT_MODEL = "street-rt"

_Rgb = float | tuple[float, float, float]

#: How networks want their pixels -> (mean, deviation) of bytes: what is taken away, and what is divided by.
SCALES: dict[str, tuple[_Rgb, _Rgb]] = {
    "bytes": (0.0, 1.0),
    "unit": (0.0, 255.0),  # 0 to 1
    "symmetric": (127.5, 127.5),  # -1 to 1
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


@dataclass(frozen=True)
class RenderOptions:
    """What ``neuralsim render`` was asked for."""

    labels: Path  # folder of label maps, one channel, 8 or 16 bit
    classes: str  # class map: a shipped one's name or a .yaml file
    out: Path
    instances: Path | None = None  # folder of instance maps of the same names, 8 or 16 bit, 0 = none
    sequence: bool = False  # the maps are neighbouring frames of one clip
    motion: Path | None = None  # folder of `neuralsim flow`
    model: str = DEFAULT_MODEL
    runtime: str = "auto"
    size: tuple[int, int] | None = None  # px to paint at; pictures are written at the labels' size
    style: str | None = None
    remap: Remap | None = None  # what is painted as something else
    fov: float = 55.0  # degrees, horizontal
    fps: float = 15.0  # of the video
    frame_by_frame: bool = False  # no state, to compare with


def add_render(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``neuralsim render``."""
    from bridge.arguments import fov, rate, size
    from neuralsim.arguments import add_model, add_remap, add_runtime, add_style

    default = RenderOptions(Path(), "", Path())
    add = parser.add_argument
    add("labels", metavar="LABELDIR", type=Path, help="folder of label maps: one channel of ids, 8 or 16 bit")
    add(
        "--classes",
        metavar="NAME|FILE.yaml",
        required=True,
        help="what ids mean, such as camvid, cityscapes, carla",
    )
    add("--out", metavar="DIR", type=Path, required=True, help="pictures of the same names and sizes go here")
    add("--instances", metavar="DIR", type=Path, help="instance maps of the same names (default: movers are followed)")
    add("--sequence", action="store_true", help="the maps are one clip: kept stable, and a video made of them")
    add("--motion", metavar="DIR", type=Path, help="motion of the clip, as `neuralsim flow` makes it; with --sequence")
    add_model(parser, default.model)
    add_runtime(parser, default.runtime)
    add("--size", metavar="WxH", type=size, help="pixels to paint at (default: the maps', within 384 to 1024 wide)")
    add_style(parser, "the class map's, else the model's")
    add_remap(parser)
    add("--fov", metavar="DEGREES", type=fov, default=default.fov, help="of the clip's camera, horizontal")
    add("--fps", metavar="RATE", type=rate, default=default.fps, help="of the video")
    add("--frame-by-frame", action="store_true", help="forget the past at each frame, to compare with")


def render_options(options: argparse.Namespace) -> RenderOptions | str:
    """The parsed options, or one line that says what is wrong with them."""
    if options.motion is not None and not options.sequence:
        return "--motion belongs to a clip: it needs --sequence"
    for name in ("labels", "instances", "motion"):
        folder = getattr(options, name)
        if folder is not None and not folder.is_dir():
            return f"{folder} is not a folder"
    return RenderOptions(**{field.name: getattr(options, field.name) for field in fields(RenderOptions)})


def add_flow(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``neuralsim flow``."""
    parser.add_argument("images", metavar="IMAGES", type=Path, help="folder with the pictures of one clip")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="one KITTI flow PNG per picture")


@dataclass(frozen=True)
class LabelOptions:
    """What ``neuralsim label`` was asked for."""

    images: Path  # folder of pictures, or a video
    segmenter: Path  # ONNX graph
    classes: str  # class map of what the segmenter says
    out: Path
    scale: str = ""  # one of SCALES; "": by the type of the graph's input
    bgr: bool = False
    size: tuple[int, int] | None = None  # px that pictures are brought to
    output: str = ""  # name of the graph's output, "": its first
    every: int = 1  # of a video's frames


def add_label(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``neuralsim label``."""
    from bridge.arguments import positive, size

    add = parser.add_argument
    add("images", metavar="IMAGES", type=Path, help="folder of pictures, or a video")
    add("--segmenter", metavar="MODEL.onnx", type=Path, required=True, help="network: classes, or a score for each")
    add("--classes", metavar="NAME|FILE.yaml", required=True, help="what the network's classes mean")
    add("--out", metavar="DIR", type=Path, required=True, help="label maps; of a video, images/ and labels/")
    add("--scale", choices=tuple(SCALES), default="", help="pixels as the network wants them (default: by its input)")
    add("--bgr", action="store_true", help="the network wants blue first")
    add("--size", metavar="WxH", type=size, help="pixels to look at, where the network leaves it free")
    add("--output", metavar="NAME", default="", help="the network's output (default: its first)")
    add("--every", metavar="N", type=positive, default=1, help="of a video, only each N-th frame")


def run_label(options: argparse.Namespace) -> int:
    """Do what the command line says; the exit code."""
    from neuralsim.render.label import run

    return run(LabelOptions(**{field.name: getattr(options, field.name) for field in fields(LabelOptions)}))
