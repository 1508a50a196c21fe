"""What ``neuralsim drive`` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np  # for types alone: the help should be there at once

    from neuralsim.renderer.remap import Remap

TAGS = "tags"  # as a model: paint every pixel in its class's colour, without a network


@dataclass(frozen=True)
class DriveOptions:
    """The options of one drive; None means that the default of whoever acts on it holds."""

    carla: str | None = None  # HOST:PORT of a running server; None: the embedded town
    connect: str | None = None  # frame endpoint of a bridge elsewhere
    keys: Path | None = None  # folder with CURVE keys
    model: str = "street-rt"
    runtime: str = "auto"
    style: str | None = None  # of the model; None: the weather chooses
    remap: Remap | None = None  # what is painted as something else; None: nothing, or what a recording says
    size: tuple[int, int] = (512, 256)  # width, height, pixels
    town: str = "oldtown"  # name or .xodr file
    weather: str | None = None  # preset
    seed: int = 0
    vehicles: int = 20
    walkers: int = 12
    late_warp: bool = True  # with a window: move the last picture while the next is painted
    fps: float | None = None  # simulated ticks per second; None: 30, or with a window what the renderer can follow
    autopilot: bool = False
    headless: bool = False
    frames: int | None = None  # end after so many
    record: Path | None = None  # .mp4
    report: Path | None = None  # .json
    log: Path | None = None  # .jsonl, one line per frame
    scenario: Path | None = None  # .yaml or .xosc that the bridge plays
    hand_over_at: int | None = None  # frame of the scenario from which on the driver has the ego; None: the scenario
    hand_over_pose: np.ndarray | None = None  # where the camera has to be at that frame
    planes: tuple[str, ...] | None = None  # that the bridge sends; None: what painting needs
    recordings: Path = Path("recordings")  # where R and F12 write to
