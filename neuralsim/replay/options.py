"""What ``neuralsim replay`` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuralsim.renderer.remap import Remap  # for a type alone: the help should be there at once

RECORDED = "recorded"  # as a model: the pictures as they were recorded


@dataclass(frozen=True)
class ReplayOptions:
    """The options of one replay."""

    file: Path  # .mcap
    model: str | None = None  # that paints; None: the recorded pictures, unless style or remap ask for others
    compare: str | None = None  # a second model, beside it in the split view
    style: str | None = None  # of the model; None: what fits the recorded weather
    remap: Remap | None = None  # what is painted as something else; None: as it was recorded
    runtime: str = "auto"
    speed: float = 1.0
    begin: float = 0.0  # s
    end: float | None = None  # s; None: to the end
    view: str = ""  # which of several cameras; "" the first
    headless: bool = False
    record: Path | None = None  # .mp4
    screenshots: Path = Path("recordings")
