"""The options of ``neuralsim record`` and ``neuralsim dataset``."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bridge.process.option_types import Address, Folder, Positive, XmlFile, subset_of
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.machine import cores
from neuralsim.base.shared_options import DEFAULT_MODEL, GpuNumber, Model, Quality, Runtime, Style, model_of
from neuralsim.guide import Guide
from neuralsim.renderer.options import RemapText

PLANES = ("tag", "instance", "depth", "motion", "rgb", "neural")
FORMATS = ("mcap", "mp4", "frames")


def _scenario(value: Any) -> Path:
    from scenarios import library

    return library.find(str(value))


#: A scenario file, or the name of a shipped one.
ScenarioFile = Annotated[Path, BeforeValidator(_scenario), Arg("SCENARIO")]


class RecordOptions(Options):
    """Options of one call, for all its scenarios."""

    scenarios: Annotated[tuple[ScenarioFile, ...], Arg(positional=True)]
    """Scenario files, or names of shipped ones."""
    rig: Annotated[Path, Arg("RIG.yaml")] | None = None
    """Cameras in place of each scenario's own."""
    out: Folder
    """Folder; each scenario goes into DIR/<stem of its file>/."""
    planes: Annotated[tuple[str, ...], subset_of(PLANES), Arg("LIST")] = Field(
        default=("tag", "instance", "depth", "motion", "rgb", "neural"),
        description=f"Planes to record, of {','.join(PLANES)}.",
    )
    formats: Annotated[tuple[str, ...], subset_of(FORMATS), Arg("LIST", flag="format")] = Field(
        default=("mcap", "mp4"), description=f"Formats, of {','.join(FORMATS)}."
    )
    jobs: Positive = 1
    """Number of scenarios at the same time."""
    ray: Annotated[str, Arg("ADDRESS")] | None = None
    """Record on a Ray cluster, one scenario per task (cluster extra)."""
    junit: XmlFile | None = None
    """Evaluate all of them and write JUnit XML."""
    variations: Positive = 10
    """Most variations of an OpenSCENARIO parameter distribution; of more, that many are drawn, always the same."""
    again: bool = False
    """Also record scenarios that have been recorded already."""
    carla: Address | None = None
    """A running CARLA server (default: start embedded towns)."""
    model: Model = DEFAULT_MODEL
    quality: Quality = "fast"
    runtime: Runtime = "auto"
    gpu: GpuNumber = None
    style: Style | None = None
    """Lighting style, such as dusk; `neuralsim doctor` lists those of each model (default: by the weather)."""
    remap: RemapText | None = None
    """Render classes as others, by CARLA's tags, such as buildings=vegetation (default: the scenario's)."""
    size: Size | None = None
    """Pixels (default: the scenario's)."""
    dashcam: bool = False
    """Film like a dashboard camera: exposed for the street, over the own bonnet, with date, time and speed, in rain
    through drops and a wiper."""

    @property
    def guide(self) -> Guide:
        """What the model follows: the simulator image, as a drive does."""
        return "picture"

    @property
    def model_path(self) -> str:
        """Name or folder of the model."""
        return model_of(self.model, self.quality)

    @property
    def has_neural(self) -> bool:
        """Whether the network is needed; without it a video shows the tags in colour."""
        return "neural" in self.planes

    def check(self) -> None:
        """Raise ``ValueError`` for options that exclude each other."""
        if not self.scenarios:
            raise ValueError("name at least one SCENARIO")
        model_of(self.model, self.quality)
        if self.carla is not None and self.jobs > 1:
            raise ValueError("one CARLA server plays one scenario at a time: --jobs cannot go with --carla")
        if self.ray is not None and (self.carla is not None or self.jobs > 1):
            raise ValueError("--ray cannot go with --carla or --jobs: each task has a town of its own")
        if self.junit is not None and "mcap" not in self.formats:
            raise ValueError("--junit needs the format mcap")


class DatasetOptions(Options):
    """A data set to make."""

    spec: Annotated[Path, Arg("SPEC.yaml", positional=True)]
    """Its specification."""
    out: Folder
    """Folder of the data set."""
    jobs: Positive = max(1, cores() // 2)
    """Number of drives at the same time; each keeps two cores busy."""
    ray: Annotated[str, Arg("ADDRESS")] | None = None
    """Record on a Ray cluster, one drive per task (cluster extra)."""
    model: Model = DEFAULT_MODEL
    runtime: Runtime = "openvino"
    gpu: GpuNumber = None
    plan: bool = False
    """Only write the plan, and say what it contains."""
