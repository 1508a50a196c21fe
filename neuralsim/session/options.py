"""The options of ``neuralsim drive``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bridge.process import presets
from bridge.process.option_types import (
    Address,
    Count,
    Crowd,
    Endpoint,
    JsonFile,
    JsonLinesFile,
    Keys,
    McapFile,
    Mp4File,
    Planes,
    Positive,
    Rate,
    SumoFile,
    Town,
)
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.shared_options import Runtime, Style
from neuralsim.guide import GUIDES, Guide
from neuralsim.renderer.options import RemapText

TAGS = "tags"  # as a model: paint every pixel in its class's colour, without a network
AUTO = "auto"  # as a model: the best that this machine paints in time
_TOWN_ONLY = ("town", "vehicles", "walkers")


class DriveOptions(Options):
    """One drive; None stands for the default of the part that uses the value."""

    town: Annotated[Town, Arg(group="where to drive")] = Field(
        default="oldtown", description=f"One of {', '.join(presets.TOWNS)}, or any OpenDRIVE file."
    )
    carla: Address | None = None
    """A running CARLA server (default: start the embedded town)."""
    connect: Endpoint | None = None
    """Frames of a bridge elsewhere, tcp://HOST:PORT."""
    replay: McapFile | None = None
    """Look at a recording, drive on."""
    from_frame: Count | None = None
    """With --replay: drive on from this frame at once."""
    sumo: SumoFile | None = None
    """A SUMO configuration: its network is the town, its traffic drives there (needs the sumo extra)."""
    keys: Keys | None = None
    """CURVE keys for --connect (`neuralsim keys new`)."""
    weather: Annotated[str, Arg("PRESET")] | None = None
    """CARLA's, such as WetSunset (default: the town's)."""
    seed: Count = 0
    """Of town and traffic."""
    vehicles: Crowd = 20
    """Moving vehicles."""
    walkers: Crowd = 12
    """Pedestrians."""
    autopilot: bool = False
    """Begin with the autopilot on."""

    model: Annotated[str, Arg("NAME", group="picture")] = AUTO
    """Model that paints, or a folder with card.yaml; auto takes the best that this machine paints in time."""
    runtime: Runtime = "auto"
    style: Style | None = None
    """Light, such as dusk; `neuralsim doctor` lists the models' (default: what fits the weather)."""
    remap: RemapText | None = None
    """Paint things as others, by CARLA's tags, such as buildings=vegetation (default: nothing)."""
    guide: Annotated[Guide, Arg("|".join(GUIDES))] = "picture"
    """Whose look of things is painted: the simulator's picture's, real objects', or that of the surfaces alone."""
    size: Size = Size(512, 256)
    """Pixels to paint."""
    show: Size | None = None
    """Show pictures of this size, of which --size's pixels are painted in each frame and the rest remembered."""
    fps: Rate | None = None
    """Simulated ticks per second (default: 30; with a window as many of them as this machine can paint)."""
    late_warp: bool = True
    """With a window: 60 displays a second, the last picture moved while the next is painted."""

    headless: Annotated[bool, Arg(group="output")] = False
    """No window: paint every frame once, in lock-step."""
    frames: Positive | None = None
    """End after so many frames."""
    record: Mp4File | None = None
    """Record what is painted."""
    report: JsonFile | None = None
    """Write what was measured."""
    log: JsonLinesFile | None = None
    """Write the car's state, per frame."""

    scenario: Annotated[Path | None, Arg(internal=True)] = None
    """File, .yaml or .xosc, that the bridge plays."""
    hand_over_at: Annotated[int | None, Arg(internal=True)] = None
    """Frame of the scenario from which on the driver has the ego; None: the scenario has it."""
    hand_over_place: Annotated[tuple[float, float, float] | None, Arg(internal=True)] = None
    """Where the camera has to be at that frame: world x, y, z, m."""
    planes: Annotated[Planes | None, Arg(internal=True)] = None
    """What the bridge sends; None: what painting needs."""
    recordings: Annotated[Path, Arg(internal=True)] = Path("recordings")
    """Folder that R and F12 write to."""

    @property
    def shown(self) -> Size:
        """Of frames and pictures."""
        return self.show or self.size

    @property
    def pixels(self) -> int | None:
        """Of each frame that are painted; None: all, with the model's own memory."""
        return self.size.pixels if self.show else None

    @property
    def picture_plane(self) -> Literal["rgb", "rgb_half"]:
        """The simulator's picture as a window follows it: half its size will do where a part of each frame is painted.
        Where nobody waits it is followed as it is."""
        return "rgb_half" if self.shown.pixels > self.size.pixels else "rgb"

    def check(self) -> None:
        """Raises ``ValueError`` for options of a place to drive that is not the one chosen."""
        given = self.model_fields_set
        elsewhere = [name for name in ("carla", *_TOWN_ONLY, "weather", "fps") if name in given]
        if self.connect is not None and elsewhere:
            raise ValueError(f"--{elsewhere[0]} is for the machine where the bridge runs; it cannot go with --connect")
        if self.carla is not None and (of_town := [name for name in _TOWN_ONLY if name in given]):
            raise ValueError(f"--{of_town[0]} is for the embedded town; a CARLA server has its own")
        if self.sumo is not None:
            asked = [name for name in ("carla", "connect", "replay", *_TOWN_ONLY) if name in given]
            if asked:
                raise ValueError(f"--{asked[0]} cannot go with --sumo: its network and its traffic are SUMO's")
        if self.keys is not None and self.connect is None:
            raise ValueError("--keys is for --connect; links within one machine need none")
        if self.replay is None:
            if self.from_frame is not None:
                raise ValueError("--from-frame is for --replay")
        elif set_by_it := [name for name in ("connect", *elsewhere) if name in given]:
            raise ValueError(f"--{set_by_it[0]} cannot go with --replay: the recording says it")
        elif self.headless and self.from_frame is None:
            raise ValueError("--replay without a window needs --from-frame; to paint anew: neuralsim replay --headless")
