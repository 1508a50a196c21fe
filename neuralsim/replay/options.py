"""The options of ``neuralsim replay``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from bridge.process.option_types import McapFile, Mp4File, Seconds, Speed
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.shared_options import Runtime, Style
from neuralsim.renderer.options import RemapText

RECORDED = "recorded"  # as a model: the pictures as they were recorded


class ReplayOptions(Options):
    """One replay."""

    file: Annotated[McapFile, Arg(positional=True)]
    """A recording, whole or cut short."""
    model: Annotated[str, Arg("NAME")] | None = None
    """Paint anew with this model (default: as it was recorded, unless style or remap ask for something else)."""
    compare: Annotated[str, Arg("NAME")] | None = None
    """Another model, on the right of the split view."""
    style: Style | None = None
    """Light, such as dusk; `neuralsim doctor` lists the models' (default: what fits the weather)."""
    remap: RemapText | None = None
    """Paint things as others, by CARLA's tags, such as buildings=vegetation (default: as recorded)."""
    runtime: Runtime = "auto"
    paint: Size | None = None
    """Of each frame paint so many pixels, WxH, and remember the rest (default: paint all of it)."""
    view: Annotated[str, Arg("NAME", flag="camera")] = ""
    """One of several (default: the first)."""
    speed: Speed = 1.0
    """0.1 to 8 times real time."""
    begin: Seconds = 0.0
    """Seconds to begin at."""
    end: Seconds | None = None
    """Seconds to end at (default: the recording's)."""
    headless: bool = False
    """No window: write --record and end."""
    record: Mp4File | None = None
    """With --headless: where to."""

    screenshots: Annotated[Path, Arg(internal=True)] = Path("recordings")
    """Folder that F12 writes to."""

    def check(self) -> None:
        """Raises ``ValueError`` for a video without a place to write it to, and for a place without a video."""
        if self.headless != (self.record is not None):
            raise ValueError("--headless and --record go together")
