"""What ``neuralsim replay`` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RECORDED = "recorded"  # as a model: the pictures as they were recorded


@dataclass(frozen=True)
class ReplayOptions:
    """The options of one replay."""

    file: Path  # .mcap
    model: str | None = None  # that paints; None: the recorded pictures, or tags where there are none
    compare: str | None = None  # a second model, beside it in the split view
    style: str | None = None  # of the model; None: what fits the recorded weather
    runtime: str = "auto"
    speed: float = 1.0
    begin: float = 0.0  # s
    end: float | None = None  # s; None: to the end
    view: str = ""  # which of several cameras; "" the first
    headless: bool = False
    record: Path | None = None  # .mp4
    screenshots: Path = Path("recordings")
