"""What ``neuralsim render``, ``flow`` and ``label`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuralsim.renderer.remap import Remap  # for a type alone: the help should be there at once

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
