"""The options of ``neuralsim bench``."""

import os
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bridge.process.option_types import (
    Address,
    Count,
    Endpoint,
    Folder,
    JsonFile,
    Keys,
    Positive,
    Rate,
    Town,
    subset_of,
    unique_list,
)
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.shared_options import DEFAULT_MODEL, GpuNumber
from neuralsim.bench.cells import DEFAULT_SIZE, GROUPS, LOOPS, Cell, Link
from neuralsim.guide import GUIDES, Guide

PARTS = ("drive", "link", "machine", "check")
#: Remedies where there is no display for the loop "window", and no browser for the loop "browser".
NO_DISPLAY = "set DISPLAY, call it with xvfb-run -a, or leave out --loop window"
NO_BROWSER = "no Chromium: apt-get install chromium, or leave out --loop browser"
MATRIX = "matrix: lists, separated by commas; every combination is measured"


def _budget(value: Any) -> tuple[str, ...]:
    from neuralsim.bench.report.budget import Budget  # numpy: not needed for the help

    texts = value.split(",") if isinstance(value, str) else value
    return tuple(text for text in texts if Budget.parse(text))


class BenchOptions(Options):
    """What is measured, how often, and how it is judged."""

    out: Folder = Path("bench")
    """Folder for report.json and report.html."""

    models: Annotated[tuple[str, ...], unique_list(str), Arg("LIST", flag="model", group=MATRIX)] = (DEFAULT_MODEL,)
    """Models to render with."""
    runtimes: Annotated[tuple[str, ...], unique_list(str), Arg("LIST", flag="runtime")] = ("auto",)
    """Runtimes to run them in."""
    gpu: GpuNumber = None
    sizes: Annotated[tuple[Size, ...], unique_list(Size.parse), Arg("LIST", flag="size")] = (Size(512, 256),)
    """WxH, pixels to render."""
    show: Size | None = None
    """Show images of this size, of which --size's pixels are rendered in each frame, as `neuralsim drive` does."""
    guides: Annotated[tuple[Guide, ...], subset_of(GUIDES), Arg("LIST", flag="guide")] = (GUIDES[0],)
    """What the model follows, as in `neuralsim drive`: picture, exemplars, surface."""
    links: Annotated[tuple[Link, ...], unique_list(Link.parse), Arg("LIST", flag="link")] = (Link(),)
    """ipc, tcp; ipc+4: with 4 further subscribers."""
    loops: Annotated[tuple[str, ...], subset_of(LOOPS), Arg("LIST", flag="loop")] = ("live", "lockstep")
    """live: the latest frame wins, as in the window; lockstep: every frame; window: in a real window; browser: in
    headless Chromium, by `neuralsim serve`."""
    matrix: bool = False
    """All runtimes available here, all models, three sizes, ipc, tcp and ipc+4."""

    parts: Annotated[tuple[str, ...], subset_of(PARTS), Arg("LIST", group="measurement")] = Field(
        default=("drive", "link", "machine"), description=f"Of {','.join(PARTS)}."
    )
    ledger: Annotated[tuple[str, ...], subset_of(GROUPS), Arg("LIST", otherwise=",".join(GROUPS))] = ()
    """Instead, print what a frame costs, by stage: processor time, waiting and bytes moved, in drives without a window
    that record. Of which stages: all, or of simulator, bridge, link, renderer, postprocessing, recording, display."""
    frames: Positive = 300
    """Frames to measure in each drive."""
    warm_up: Count = 60
    """Frames before them that do not count."""
    repeats: Positive = 2
    """Drives of each combination."""
    fps: Rate | None = None
    """Simulated ticks per second (default: as `neuralsim drive`)."""
    town: Town = "oldtown"
    """Town to drive in."""
    seed: Count = 0
    """Seed of town and traffic."""
    carla: Address | None = None
    """A running CARLA server (default: start embedded towns)."""
    connect: Endpoint | None = None
    """Take the frames of a bridge on another machine, tcp://HOST:PORT."""
    keys: Keys | None = None
    """CURVE keys for --connect."""

    against: Annotated[JsonFile, Arg("OLD.json", group="verdict and output")] | None = None
    """Compare with this report: what has changed, what is noise."""
    budget: Annotated[tuple[str, ...], BeforeValidator(_budget), Arg("LIST")] = ()
    """Limits, exit code 1 if one is exceeded, such as p95=50ms,fps=20: p50, p95 or p99 of the latency, photon (input
    latency), frame, render and the other stages, and with --show of upscale, such as photon.p95=90ms; fps,
    displayed_fps, dropped, jitter, memory (1000MB)."""
    trace: JsonFile | None = None
    """Write a trace of the first drive for ui.perfetto.dev."""

    def check(self) -> None:
        """Raise ``ValueError`` for combinations that cannot be measured."""
        if self.connect is not None and (self.carla is not None or "lockstep" in self.loops):
            raise ValueError("--connect goes with --loop live or window, and with no --carla")
        if self.keys is not None and self.connect is None:
            raise ValueError("--keys is for --connect; links within one machine need none")
        if self.show is not None and self.connect is not None:
            raise ValueError("--show is for frames of our own bridge; with --connect they come from another")
        if self.ledger and (self.carla is not None or self.connect is not None or self.matrix):
            raise ValueError("--ledger is for drives in towns of our own: not with --carla, --connect or --matrix")
        if self.budget and "drive" not in self.parts:
            raise ValueError("--budget is for drives: include drive in --parts")

    def cells(self) -> Iterator[Cell]:
        """Yield all cells of the matrix, the base cell first."""
        links = self.links if self.connect is None else (Link("remote"),)
        kinds = product(self.models, self.runtimes, self.sizes, links, self.loops, self.guides)
        for model, runtime, size, link, loop, guide in kinds:
            yield Cell(model, runtime, size, link, loop, self.show, guide)


class ResolveOptions(Options):
    """The model and size for which ``auto`` is resolved to a runtime."""

    model: Annotated[str, Arg("NAME")] = DEFAULT_MODEL
    """A shipped model's name, or a folder."""
    size: Size = DEFAULT_SIZE
    """Pixels."""


def browser_command() -> list[str]:
    """Return the command that opens a page in a headless Chromium; [] where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        return []
    is_root = os.name == "posix" and os.geteuid() == 0  # Chromium refuses to run as root with its sandbox
    sandbox = ["--no-sandbox"] if is_root else []
    return [path, "--headless=new", "--no-first-run", "--mute-audio", "--window-size=1280,720", *sandbox]


def whole_matrix(options: BenchOptions) -> BenchOptions:
    """Return ``options`` with every list that was not set explicitly replaced by all there is."""
    from neuralsim import runtimes, zoo

    all_values = {
        "models": tuple(zoo.names()),
        "runtimes": tuple(runtimes.available()),
        "sizes": (Size(256, 128), Size(512, 256), Size(1024, 512)),
        "links": (Link("ipc"), Link("tcp"), Link("ipc", 4)),
        "loops": ("live",),
    }
    return options.model_copy(update={name: all_values[name] for name in all_values.keys() - options.model_fields_set})
