"""The options of ``neuralsim replay``."""

from pathlib import Path
from typing import Annotated

from bridge.process.option_types import McapFile, Mp4File, Seconds, Speed
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.shared_options import GpuNumber, Runtime, Style
from neuralsim.renderer.options import RemapText

RECORDED = "recorded"  # as a model: the recorded images


class ReplayOptions(Options):
    """Options of one replay."""

    file: Annotated[McapFile, Arg(positional=True)]
    """A recording, complete or truncated."""
    model: Annotated[str, Arg("NAME")] | None = None
    """Render again with this model (default: show the recorded images, unless style, remap or dashcam are given)."""
    compare: Annotated[str, Arg("NAME")] | None = None
    """Another model, shown on the right of the split view."""
    ghost: McapFile | None = None
    """Another recording of the same place: its car is shown as a ghost, at the same second."""
    style: Style | None = None
    """Lighting style, such as dusk; `neuralsim doctor` lists those of each model (default: by the weather)."""
    remap: RemapText | None = None
    """Render classes as others, by CARLA's tags, such as buildings=vegetation (default: as recorded)."""
    runtime: Runtime = "auto"
    gpu: GpuNumber = None
    paint: Size | None = None
    """Render only this number of pixels of each frame, WxH, and reuse the rest (default: render all of it)."""
    dashcam: bool = False
    """Rendering again, film like a dashboard camera: exposed for the street, over the own bonnet, with date, time and
    speed, in rain through drops and a wiper."""
    view: Annotated[str, Arg("NAME", flag="camera")] = ""
    """Camera to show (default: the first)."""
    speed: Speed = 1.0
    """Speed, 0.1 to 8 times real time."""
    begin: Seconds = 0.0
    """Second to begin at."""
    end: Seconds | None = None
    """Second to end at (default: the end of the recording)."""
    headless: bool = False
    """Open no window: write --record and end."""
    record: Mp4File | None = None
    """With --headless: video to write."""

    screenshots: Annotated[Path, Arg(internal=True)] = Path("recordings")
    """Folder that F12 writes to."""

    def check(self) -> None:
        """Raise ``ValueError`` for --headless without --record, and for the reverse."""
        if self.headless != (self.record is not None):
            raise ValueError("--headless and --record go together")
