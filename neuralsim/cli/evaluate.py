"""``neuralsim evaluate`` on the command line. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from neuralsim.evaluation.options import CLIP_PARTS, PARTS, EvaluateOptions


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``neuralsim evaluate``."""
    from bridge.process.arguments import count, listed, positive, size
    from neuralsim.cli.arguments import add_runtime, add_style

    default = EvaluateOptions(Path())
    add = parser.add_argument
    add("model", metavar="MODEL", nargs="?", default=default.model, help="a shipped model, or a folder with card.yaml")
    add("--out", metavar="DIR", type=Path, required=True, help="figures.json, index.html and videos go here")
    add(
        "--data",
        metavar="CLASSES:DIR",
        type=_data,
        help="a real labelled clip: class map, and a folder with label/ and image/, or with a val/ that has them",
    )
    add("--real", metavar="DIR", type=Path, help="the clip's pictures (default: image/ beside label/)")
    add("--motion", metavar="DIR", type=Path, help="the clip's motion by `neuralsim flow` (default: made)")
    add(
        "--only",
        metavar="LIST",
        dest="parts",
        type=listed(PARTS),
        default=",".join(PARTS),
        help=f"of {','.join(PARTS)}; the first five need --data (default: all)",
    )
    add_runtime(parser, default.runtime)
    add("--size", metavar="WxH", type=size, help="pixels to paint the clip at (default: as `neuralsim render`)")
    add_style(parser, "the class map's; for the clip alone")
    add("--frames", metavar="N", type=positive, help="only so many of the clip and of the loop")
    add("--town-frames", metavar="N", type=positive, default=default.town_frames, help="of the drive for town, shift")
    add("--drift-frames", metavar="N", type=positive, default=default.drift_frames, help="of the drive for drift")
    add("--seed", metavar="N", type=count, default=default.seed, help="of the town's drives")
    add("--threads", metavar="N", type=positive, help="CPU threads of the judging networks (default: all)")


def chosen(options: argparse.Namespace) -> EvaluateOptions | str:
    """The parsed options, or one line that says what is wrong with them."""
    named = options.parts != PARTS
    if options.data is None and named and set(options.parts) & set(CLIP_PARTS):
        wanted = [part for part in options.parts if part in CLIP_PARTS]
        return f"{', '.join(wanted)}: measured on a real clip, which --data CLASSES:DIR names"
    for folder in (options.data[1] if options.data else None, options.real, options.motion):
        if folder is not None and not folder.is_dir():
            return f"{folder} is not a folder"
    if "drift" in options.parts and options.drift_frames < 150:
        return "--drift-frames: 150 or more; the last 100 are painted twice"
    return EvaluateOptions(**{field.name: getattr(options, field.name) for field in fields(EvaluateOptions)})


def _data(text: str) -> tuple[str, Path]:
    """``CLASSES:DIR``."""
    classes, colon, folder = text.partition(":")
    if not (classes and colon and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not CLASSES:DIR, such as camvid:data/camvid")
    return classes, Path(folder)
