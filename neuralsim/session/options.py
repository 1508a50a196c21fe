"""The options of ``neuralsim drive``."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, WrapValidator

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
    Vehicle,
)
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.shared_options import BEST_MODEL, DEFAULT_MODEL, GpuNumber, Runtime, Style
from neuralsim.guide import GUIDES, Guide
from neuralsim.renderer.options import RemapText

TAGS = "tags"  # as a model: show every pixel in its class's colour, without a network
AUTO = "auto"  # as a model: the best one that runs in real time on this machine


class AutoSize(Size):
    """512x256, the size of ``auto`` until it is resolved (``size_choice.py``), and where it is not."""

    __slots__ = ()

    def __str__(self) -> str:
        return "auto"


AUTO_SIZE = AutoSize(512, 256)
DriveSize = Annotated[
    Size,
    WrapValidator(lambda value, parse: AUTO_SIZE if value == AUTO or isinstance(value, AutoSize) else parse(value)),
    Arg("WxH|auto"),
]
Task = Annotated[Literal["place", "smooth", "junction", "merge", "night"], Arg("place|smooth|junction|merge|night")]
_TOWN_ONLY = ("town", "vehicles", "walkers", "strict")


class DriveOptions(Options):
    """One drive. None stands for the default of the part that uses the value."""

    town: Annotated[Town, Arg(group="where to drive")] = Field(
        default="oldtown", description=f"One of {', '.join(presets.TOWNS)}, or any OpenDRIVE file."
    )
    carla: Address | None = None
    """A running CARLA server (default: start the embedded town)."""
    connect: Endpoint | None = None
    """Use the frames of a bridge that runs elsewhere, tcp://HOST:PORT."""
    replay: McapFile | None = None
    """Play a recording, and drive on from any of its frames."""
    from_frame: Count | None = None
    """With --replay: start driving at this frame."""
    sumo: SumoFile | None = None
    """A SUMO configuration: use its network as the town and its traffic (needs the sumo extra)."""
    keys: Keys | None = None
    """CURVE keys for --connect (`neuralsim link keys new`)."""
    weather: Annotated[str, Arg("PRESET")] | None = None
    """CARLA's weather preset, such as WetSunset (default: the town's)."""
    seed: Count = 0
    """Seed of town and traffic."""
    vehicles: Crowd = 20
    """Number of moving vehicles."""
    walkers: Crowd = 24
    """Number of pedestrians."""
    strict: bool = False
    """Let the embedded town be no kinder to its clients than a CARLA server."""
    vehicle: Vehicle = "vehicle.tesla.model3"
    """The car to drive, such as mini.cooper_s."""
    damage: bool = True
    """Let collisions dent bodies, break lamps and glass, and weaken the car, until Y repairs it."""
    autopilot: bool = False
    """Start with the autopilot on."""

    task: Task | None = None
    """With a window: begin with a task: reach a marked place, smooth driving, or a lesson."""

    model: Annotated[str, Arg("NAME", group="picture")] = AUTO
    """Name of the model, or a folder with card.yaml; auto picks the best that runs in real time here."""
    runtime: Runtime = "auto"
    gpu: GpuNumber = None
    style: Style | None = None
    """Style of the light, such as dusk; `neuralsim doctor` lists them (default: what fits the weather)."""
    remap: RemapText | None = None
    """Render some of CARLA's classes as others, such as buildings=vegetation (default: none)."""
    guide: Annotated[Guide, Arg("|".join(GUIDES))] = "picture"
    """Take the appearance of objects from the simulator image, from real exemplars, or from the surfaces alone."""
    dashcam: bool = False
    """Film like a dashboard camera: exposed for the street, over the own bonnet, with date, time and speed, in rain
    through drops and a wiper."""
    size: DriveSize = AUTO_SIZE
    """Resolution to render at; auto measures once what holds 30 frames a second here (384x192 to 2048x1024)."""
    show: Size | None = None
    """Resolution to display; each frame renders --size's share of its pixels and reuses the rest."""
    fps: Rate | None = None
    """Simulated ticks per second (default: 30; with a window, as many as this machine can render)."""
    late_warp: bool = True
    """With a window: display at 60 Hz, warping the last frame while the next one is rendered."""

    headless: Annotated[bool, Arg(group="output")] = False
    """Open no window: render every frame once, in lockstep with the simulator."""
    frames: Positive | None = None
    """Stop after this many frames."""
    record: Mp4File | None = None
    """Record the rendered frames as MP4."""
    report: JsonFile | None = None
    """Write the measurements as JSON."""
    log: JsonLinesFile | None = None
    """Write the car's state for every frame, as JSON lines."""

    scenario: Annotated[Path | None, Arg(internal=True)] = None
    """The scenario file, .yaml or .xosc, that the bridge plays."""
    rig: Annotated[Path | None, Arg(internal=True)] = None
    """File with cameras in place of the scenario's."""
    hand_over_at: Annotated[int | None, Arg(internal=True)] = None
    """Frame of the scenario at which the driver takes over the ego; None: never."""
    at_rest: Annotated[bool, Arg(internal=True)] = False
    """Stop the scenario's ego before its first frame, so that the driver begins at rest."""
    hand_over_place: Annotated[tuple[float, float, float] | None, Arg(internal=True)] = None
    """Expected camera position at that frame: world x, y, z, m."""
    planes: Annotated[Planes | None, Arg(internal=True)] = None
    """Planes that the bridge sends; None: those that rendering needs."""
    recordings: Annotated[Path, Arg(internal=True)] = Path("recordings")
    """Folder that R and F12 write to."""

    @property
    def is_scripted(self) -> bool:
        """Whether nobody watches or drives: frames are the same however far the simulation is ahead."""
        return self.headless and self.scenario is not None and self.hand_over_at is None

    @property
    def shown(self) -> Size:
        """Size of the frames that are displayed."""
        return self.show or Size(*self.size)

    @property
    def pixels(self) -> int | None:
        """Pixels of each frame that are rendered; None: all, with the model's own memory."""
        return self.size.pixels if self.show else None

    @property
    def picture_plane(self) -> Literal["rgb", "rgb_half"]:
        """Plane with the simulator image for interactive use: half size if only a part of each frame is rendered.

        Offline rendering always uses the full size.
        """
        return "rgb_half" if self.shown.pixels > self.size.pixels else "rgb"

    def check(self) -> None:
        """Check that the options fit together. Raises ``ValueError``."""
        given = self.model_fields_set
        simulator_options = [name for name in ("carla", *_TOWN_ONLY, "weather", "fps") if name in given]
        if self.connect is not None and simulator_options:
            raise ValueError(
                f"--{simulator_options[0]} belongs on the machine that runs the bridge; it cannot go with --connect"
            )
        if self.carla is not None and (town_options := [name for name in (*_TOWN_ONLY, "damage") if name in given]):
            raise ValueError(f"--{town_options[0]} is for the embedded town; a CARLA server has its own")
        if self.sumo is not None:
            conflicts = [name for name in ("carla", "connect", "replay", *_TOWN_ONLY) if name in given - {"strict"}]
            if conflicts:
                raise ValueError(f"--{conflicts[0]} cannot go with --sumo: network and traffic come from SUMO")
        if self.task is not None and (self.headless or self.replay is not None):
            raise ValueError("--task is for a drive in a window")
        if self.task in ("junction", "merge", "night"):
            conflicts = [name for name in ("carla", "connect", "sumo", "seed", *_TOWN_ONLY) if name in given]
            if conflicts:
                raise ValueError(f"--{conflicts[0]} cannot go with --task {self.task}: the lesson determines it")
        if self.keys is not None and self.connect is None:
            raise ValueError("--keys is for --connect; links within one machine need none")
        if self.model == BEST_MODEL and self.show is not None and self.show.pixels > self.size.pixels:
            raise ValueError(
                f"upscaling with {BEST_MODEL} leaves seams: leave out --show, or use --model {DEFAULT_MODEL}"
            )
        if self.replay is None:
            if self.from_frame is not None:
                raise ValueError("--from-frame is for --replay")
        elif conflicts := [name for name in ("connect", *simulator_options) if name in given]:
            raise ValueError(f"--{conflicts[0]} cannot go with --replay: the recording determines it")
        elif self.headless and self.from_frame is None:
            raise ValueError(
                "--replay without a window needs --from-frame; to render again: neuralsim replay --headless"
            )
