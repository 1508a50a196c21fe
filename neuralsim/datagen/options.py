"""What ``neuralsim record`` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuralsim.renderer.remap import Remap  # for a type alone: the help should be there at once

PLANES = ("tag", "instance", "depth", "motion", "rgb", "neural")
FORMATS = ("mcap", "mp4", "frames")


@dataclass(frozen=True)
class RecordOptions:
    """The options of one call, for all its scenarios."""

    out: Path
    planes: tuple[str, ...] = ("tag", "instance", "depth", "motion", "neural")
    formats: tuple[str, ...] = ("mcap", "mp4")
    model: str = "street-rt"
    runtime: str = "auto"
    style: str | None = None  # of the model; None: the scenario's weather chooses
    remap: Remap | None = None  # what is painted as something else; None: what the scenario says
    size: tuple[int, int] | None = None  # width, height, pixels; None: the scenario's
    carla: str | None = None  # HOST:PORT of a running server; None: an embedded town for each scenario
    jobs: int = 1  # scenarios at the same time
    ray: str | None = None  # address of a Ray cluster; None: on this machine
    junit: Path | None = None  # where evaluations go
    again: bool = False  # record what has been recorded, too

    @property
    def paints(self) -> bool:
        """Whether the network is needed; without it a video shows the tags' colours."""
        return "neural" in self.planes
