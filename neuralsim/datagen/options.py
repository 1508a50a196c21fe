"""The options of ``neuralsim record``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bridge.process.option_types import Address, Folder, Positive, XmlFile, listed
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.shared_options import DEFAULT_MODEL, Model, Quality, Runtime, Style, model_of
from neuralsim.guide import Guide
from neuralsim.renderer.options import RemapText

PLANES = ("tag", "instance", "depth", "motion", "rgb", "neural")
FORMATS = ("mcap", "mp4", "frames")


def _scenario(value: Any) -> Path:
    from scenarios import library

    return library.find(str(value))


#: A scenario's file, or the name of a shipped one.
ScenarioFile = Annotated[Path, BeforeValidator(_scenario), Arg("SCENARIO")]


class RecordOptions(Options):
    """One call, for all its scenarios."""

    scenarios: Annotated[tuple[ScenarioFile, ...], Arg(positional=True)]
    """Scenario files, or names of shipped ones."""
    out: Folder
    """Each goes into DIR/<its file's stem>/."""
    planes: Annotated[tuple[str, ...], listed(PLANES), Arg("LIST")] = Field(
        default=("tag", "instance", "depth", "motion", "neural"), description=f"Of {','.join(PLANES)}."
    )
    formats: Annotated[tuple[str, ...], listed(FORMATS), Arg("LIST", flag="format")] = Field(
        default=("mcap", "mp4"), description=f"Of {','.join(FORMATS)}."
    )
    jobs: Positive = 1
    """Scenarios at the same time."""
    ray: Annotated[str, Arg("ADDRESS")] | None = None
    """On a Ray cluster, one scenario a task (cluster extra)."""
    junit: XmlFile | None = None
    """Judge all of them, as JUnit XML."""
    again: bool = False
    """Record what has been recorded already, too."""
    carla: Address | None = None
    """A running CARLA server (default: start embedded towns)."""
    model: Model = DEFAULT_MODEL
    quality: Quality = "fast"
    runtime: Runtime = "auto"
    style: Style | None = None
    """Light, such as dusk; `neuralsim doctor` lists the models' (default: what fits the weather)."""
    remap: RemapText | None = None
    """Paint things as others, by CARLA's tags, such as buildings=vegetation (default: the scenario's)."""
    size: Size | None = None
    """Pixels (default: the scenario's)."""

    @property
    def guide(self) -> Guide:
        """What painting follows: the simulator's picture only where that is recorded too, so that a replay can paint
        anew what was painted."""
        return "picture" if "rgb" in self.planes else "surface"

    @property
    def painter(self) -> str:
        """Name or folder of the model."""
        return model_of(self.model, self.quality)

    @property
    def paints(self) -> bool:
        """Whether the network is needed; without it a video shows the tags' colours."""
        return "neural" in self.planes

    def check(self) -> None:
        """Raises ``ValueError`` for what cannot be done at the same time."""
        if not self.scenarios:
            raise ValueError("name a SCENARIO at least")
        model_of(self.model, self.quality)
        if self.carla is not None and self.jobs > 1:
            raise ValueError("one CARLA server plays one scenario at a time: --jobs cannot go with --carla")
        if self.ray is not None and (self.carla is not None or self.jobs > 1):
            raise ValueError("--ray cannot go with --carla or --jobs: each task has a town of its own")
        if self.junit is not None and "mcap" not in self.formats:
            raise ValueError("--junit needs the format mcap")
