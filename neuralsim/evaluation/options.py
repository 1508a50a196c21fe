"""The options of ``neuralsim evaluate`` and ``neuralsim quantise``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bridge.process.option_types import Count, Folder, McapFile, Positive, listed
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.shared_options import DEFAULT_MODEL, Model, Runtime, Style, is_folder

CLIP_PARTS = ("obedience", "realism", "flicker", "sharpness", "classes", "objects")
PARTS = (*CLIP_PARTS, "town", "shift", "drift", "return", "content", "drives", "cost", "upscaling")
LEAST_UPSCALING = 14  # frames; measured is from the 13th on
LEAST_DRIFT = 150  # frames; the last 100 are painted twice


def _data(value: Any) -> tuple[str, Path]:
    """``CLASSES:DIR``, or the two."""
    classes, colon, folder = value.partition(":") if isinstance(value, str) else (value[0], ":", value[-1])
    if not (classes and colon and folder):
        raise ValueError(f"{value!r} is not CLASSES:DIR, such as camvid:data/camvid")
    return classes, Path(folder)


def _folders(value: Any) -> tuple[Path, ...]:
    """Separated by commas, or a list of them."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(Path(part) for part in parts)


class EvaluateOptions(Options):
    """What is measured of a model, and on what."""

    model: Annotated[Model, Arg("MODEL", positional=True)] = DEFAULT_MODEL
    """A shipped model, or a folder with card.yaml."""
    out: Folder
    """Folder for figures.json, index.html and videos."""
    data: Annotated[tuple[str, Path], BeforeValidator(_data), Arg("CLASSES:DIR")] | None = None
    """A real labelled clip: class map, and a folder with label/ and image/, or with a val/ that has them."""
    real: Folder | None = None
    """The clip's pictures (default: image/ beside label/)."""
    motion: Folder | None = None
    """The clip's motion by `neuralsim flow` (default: made)."""
    parts: Annotated[tuple[str, ...], listed(PARTS), Arg("LIST", flag="only")] = Field(
        default=PARTS,
        description=f"Of {','.join(PARTS)}; the first six need --data, drives needs --drives-real (default: all).",
    )
    runtime: Runtime = "auto"
    size: Size | None = None
    """Pixels to paint the clip at (default: as `neuralsim render`)."""
    style: Style | None = None
    """Light, such as dusk, for the clip alone; `neuralsim doctor` lists the models' (default: the class map's)."""
    frames: Positive | None = None
    """Only so many of the clip and of the loop."""
    town_frames: Positive = 90
    """Of the drive for town, shift."""
    drift_frames: Positive = 2000
    """Of the drive for drift."""
    upscaling_frames: Positive = 40
    """Of the drive for upscaling."""
    content_frames: Positive = 200
    """Of the towns for content."""
    seed: Count = 0
    """Of the town's drives."""
    drives_real: Annotated[tuple[Path, ...], BeforeValidator(_folders), Arg("DIR,...")] = ()
    """Folders of real pictures, which drives of the towns are compared with."""
    drives_frames: Positive = 200
    """Of the towns for drives."""
    threads: Positive | None = None
    """CPU threads of the judging networks (default: all)."""

    def check(self) -> None:
        """Raises ``ValueError`` for what cannot be measured."""
        clip = [part for part in self.parts if part in CLIP_PARTS]
        if self.data is None and self.parts != PARTS and clip:
            raise ValueError(f"{', '.join(clip)}: measured on a real clip, which --data CLASSES:DIR names")
        if "drives" in self.parts and self.parts != PARTS and not self.drives_real:
            raise ValueError("drives: compared with real pictures, whose folders --drives-real names")
        is_folder(self.data[1] if self.data else None, self.real, self.motion, *self.drives_real)
        if "upscaling" in self.parts and self.upscaling_frames < LEAST_UPSCALING:
            raise ValueError(f"--upscaling-frames: {LEAST_UPSCALING} or more; the first ones are not measured")
        if "drift" in self.parts and self.drift_frames < LEAST_DRIFT:
            raise ValueError(f"--drift-frames: {LEAST_DRIFT} or more; the last 100 are painted twice")


class QuantiseOptions(Options):
    """A model's ranges for int8, and what they cost."""

    model: Annotated[str, Arg("NAME")] = DEFAULT_MODEL
    """Model to measure."""
    recording: McapFile | None = None
    """With its frames (default: the embedded town's)."""
    frames: Positive = 24
    """To measure on, and as many to compare."""
    out: Annotated[Path, Arg("FILE")] | None = None
    """For the ranges (default: this machine's cache)."""
