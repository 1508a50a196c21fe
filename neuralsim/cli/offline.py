"""``neuralsim render``, ``flow`` and ``label`` on the command line. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from neuralsim.offline.options import SCALES, LabelOptions, RenderOptions


def add_render(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``neuralsim render``."""
    from bridge.process.arguments import fov, rate, size
    from neuralsim.cli.arguments import add_model, add_remap, add_runtime, add_style

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


def add_label(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``neuralsim label``."""
    from bridge.process.arguments import positive, size

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
    from neuralsim.offline.label import run

    return run(LabelOptions(**{field.name: getattr(options, field.name) for field in fields(LabelOptions)}))
