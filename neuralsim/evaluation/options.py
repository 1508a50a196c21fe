"""The options of ``neuralsim model evaluate`` and ``neuralsim model quantise``."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bridge.process.option_types import Folder, McapFile, Positive, subset_of
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.shared_options import DEFAULT_MODEL, GpuNumber, Model, Runtime, Style, check_folders

CLIP_PARTS = ("label_fidelity", "realism", "flicker", "sharpness", "classes", "objects")
PARTS = (*CLIP_PARTS, "town", "shift", "drift", "return", "content", "drives", "cost", "upscaling", "steps")
#: Seeds from which on nothing may be chosen: figures that are published are theirs.
PUBLISHED_SEEDS = (101, 102, 103)
LEAST_UPSCALING = 14  # frames; the first 12 are not measured
LEAST_DRIFT = 150  # frames; the last 100 are rendered twice


def _data(value: Any) -> tuple[str, Path]:
    """Return class map and folder of ``CLASSES:DIR``, or of the two."""
    classes, colon, folder = value.partition(":") if isinstance(value, str) else (value[0], ":", value[-1])
    if not (classes and colon and folder):
        raise ValueError(f"{value!r} is not CLASSES:DIR, such as camvid:data/camvid")
    return classes, Path(folder)


def _folders(value: Any) -> tuple[Path, ...]:
    """Return the folders of a comma-separated text or a list."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(Path(part) for part in parts)


def _numbers(value: Any) -> tuple[int, ...]:
    """Return the different numbers from 0 on of a comma-separated text or a list."""
    try:
        numbers = tuple(int(part) for part in (value.split(",") if isinstance(value, str) else value))
    except ValueError:
        raise ValueError(f"{value!r} is not N,N,... such as 101,102,103") from None
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise ValueError("different whole numbers from 0 on, such as 101,102,103")
    return numbers


def _data_sets(value: Any) -> tuple[tuple[str, Path], ...]:
    """Return the labelled sets of a comma-separated text or a list of ``CLASSES:DIR``: none, or two and more."""
    sets = tuple(_data(part) for part in (value.split(",") if isinstance(value, str) else value))
    if len(sets) == 1:
        raise ValueError("compared with two sets: CLASSES:DIR,CLASSES:DIR")
    return sets


class EvaluateOptions(Options):
    """Measure a model, on real clips and in the towns."""

    model: Annotated[Model, Arg("MODEL", positional=True)] = DEFAULT_MODEL
    """A shipped model, or a folder with card.yaml."""
    out: Folder
    """Folder for figures.json, index.html and videos."""
    data: Annotated[tuple[str, Path], BeforeValidator(_data), Arg("CLASSES:DIR")] | None = None
    """A real labelled clip: class map, and a folder with label/ and image/, or with a val/ that has them."""
    real: Folder | None = None
    """The clip's images (default: image/ next to label/)."""
    motion: Folder | None = None
    """The clip's motion by `neuralsim images flow` (default: made)."""
    parts: Annotated[tuple[str, ...], subset_of(PARTS), Arg("LIST", flag="only")] = Field(
        default=PARTS,
        description=f"Measure only these of {','.join(PARTS)}; the first six need --data (classes: or --classes-real), "
        "drives needs --drives-real, steps needs --classes-real (default: all).",
    )
    runtime: Runtime = "auto"
    gpu: GpuNumber = None
    size: Size | None = None
    """Size to render the clip at (default: as `neuralsim render`)."""
    style: Style | None = None
    """Light, such as dusk, for the clip alone; `neuralsim doctor` lists the models' (default: the class map's)."""
    frames: Positive | None = None
    """Number of frames of the clip and of the loop (default: all)."""
    town_frames: Positive = 90
    """Frames of the drive for town and shift."""
    drift_frames: Positive = 2000
    """Frames of the drive for drift."""
    upscaling_frames: Positive = 40
    """Frames of the drive for upscaling."""
    content_frames: Positive = 200
    """Frames in the towns for content."""
    seeds: Annotated[tuple[int, ...], BeforeValidator(_numbers), Arg("N,N,...")] = PUBLISHED_SEEDS
    """Seeds of the drives through the towns: each figure is their mean. Choose by seeds below 100, publish others."""
    drives_real: Annotated[tuple[Path, ...], BeforeValidator(_folders), Arg("DIR,...")] = ()
    """Folders of real images that drives through the towns are compared with."""
    drives_frames: Positive = 200
    """Frames in the towns for drives."""
    classes_real: Annotated[
        tuple[tuple[str, Path], ...], BeforeValidator(_data_sets), Arg("CLASSES:DIR,CLASSES:DIR,...")
    ] = ()
    """Two real labelled sets for classes, such as camvid:DIR,cityscapes:DIR, with image/ and label/ in or below; any
    further ones are measured as the drives are."""
    classes_frames: Positive = 72
    """Frames in the towns for classes and steps."""
    classes_recordings: Annotated[tuple[Path, ...], BeforeValidator(_folders), Arg("DIR,...")] = ()
    """Folders with recordings by `neuralsim record`, for the same measure of their generated images."""
    threads: Positive | None = None
    """CPU threads of the metric networks (default: all)."""

    def check(self) -> None:
        """Raise ``ValueError`` for options that cannot be measured."""
        clip = [part for part in self.parts if part in CLIP_PARTS and not (part == "classes" and self.classes_real)]
        if self.data is None and self.parts != PARTS and clip:
            raise ValueError(f"{', '.join(clip)}: measured on a real clip, which --data CLASSES:DIR names")
        if "drives" in self.parts and self.parts != PARTS and not self.drives_real:
            raise ValueError("drives: compared with real images, whose folders --drives-real names")
        check_folders(self.data[1] if self.data else None, self.real, self.motion, *self.drives_real)
        check_folders(*(folder for _, folder in self.classes_real), *self.classes_recordings)
        if "steps" in self.parts and self.parts != PARTS and not self.classes_real:
            raise ValueError("steps: measured against two real sets, which --classes-real names")
        if "upscaling" in self.parts and self.upscaling_frames < LEAST_UPSCALING:
            raise ValueError(f"--upscaling-frames: {LEAST_UPSCALING} or more; the first ones are not measured")
        if "drift" in self.parts and self.drift_frames < LEAST_DRIFT:
            raise ValueError(f"--drift-frames: {LEAST_DRIFT} or more; the last 100 are rendered twice")


class QuantiseOptions(Options):
    """Measure a model's activation ranges for int8, and the accuracy that they cost."""

    model: Annotated[str, Arg("NAME")] = DEFAULT_MODEL
    """Model to measure."""
    recording: McapFile | None = None
    """Recording whose frames are used (default: frames of the embedded town)."""
    frames: Positive = 24
    """Frames to measure on, and the same number to compare."""
    out: Annotated[Path, Arg("FILE")] | None = None
    """File for the ranges (default: in this machine's cache)."""
