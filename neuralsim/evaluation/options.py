"""What ``neuralsim evaluate`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_MODEL = "street-rt"
CLIP_PARTS = ("obedience", "realism", "flicker", "sharpness", "classes")
PARTS = (*CLIP_PARTS, "town", "shift", "drift", "return", "cost")


@dataclass(frozen=True)
class EvaluateOptions:
    """What ``neuralsim evaluate`` was asked for."""

    out: Path
    model: str = DEFAULT_MODEL
    runtime: str = "auto"
    data: tuple[str, Path] | None = None  # class map and folder of a real labelled clip
    real: Path | None = None  # its pictures, where they are not in the folder's image/
    motion: Path | None = None  # of `neuralsim flow`; made where it is not given
    size: tuple[int, int] | None = None  # px to paint the clip at
    style: str | None = None
    parts: tuple[str, ...] = PARTS
    frames: int | None = None  # of the clip and of the loop, None = all
    town_frames: int = 90
    drift_frames: int = 2000
    seed: int = 0
    threads: int | None = None  # of the judging networks
