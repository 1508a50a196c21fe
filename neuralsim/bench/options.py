"""The options of ``neuralsim bench``."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
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
    MarkdownFile,
    Positive,
    Rate,
    Town,
    listed,
    several,
)
from bridge.process.options import Arg, Options
from bridge.size import Size
from neuralsim.base.shared_options import DEFAULT_MODEL
from neuralsim.guide import GUIDES, Guide

LOOPS = ("live", "lockstep", "window", "browser")
PARTS = ("drive", "link", "machine", "peers", "check")
#: What helps where there is no display for the loop "window".
NO_DISPLAY = "set DISPLAY, call it with xvfb-run -a, or leave out --loop window"
#: What helps where there is no browser for the loop "browser".
NO_BROWSER = "no Chromium: apt-get install chromium, or leave out --loop browser"
DEFAULT_SIZE = Size(512, 256)
MATRIX = "matrix: lists, separated by commas; every combination is measured"
_LINK = re.compile(r"(ipc|tcp)(?:\+([1-9]\d?))?")


@dataclass(frozen=True)
class Link:
    """How frames travel, and to how many others at the same time."""

    transport: str = "ipc"  # "ipc" | "tcp"; "remote" for a bridge elsewhere
    others: int = 0  # subscribers beside the renderer, 0 .. 30

    def __str__(self) -> str:
        return f"{self.transport}+{self.others}" if self.others else self.transport

    @classmethod
    def parse(cls, text: str | Link) -> Link:
        """``ipc``, ``tcp``, ``ipc+4``, or one that is there already. ``ValueError`` for anything else."""
        if isinstance(text, Link):
            return text
        match = _LINK.fullmatch(text)
        if match is None or int(match[2] or 0) > 30:
            raise ValueError(f"{text!r} is no link: ipc, tcp, or with up to 30 more subscribers, such as ipc+4")
        return cls(match[1], int(match[2] or 0))


@dataclass(frozen=True)
class Cell:
    """One combination of the matrix."""

    model: str = DEFAULT_MODEL
    runtime: str = "auto"
    size: Size = DEFAULT_SIZE
    link: Link = Link()
    loop: str = "live"  # one of LOOPS
    show: Size | None = None  # what is shown, where that is more than what is painted of a frame
    guide: Guide = GUIDES[0]  # whose look of things is painted

    @property
    def name(self) -> str:
        """Short words, unique within a matrix."""
        shown = sizes(self.size, self.show)
        return f"{self.model} {self.runtime} {shown} {self.link} {self.loop}{after(self.guide)}"

    def described(self) -> dict[str, Any]:
        """Ready for JSON."""
        show = None if self.show is None else str(self.show)
        return asdict(self) | {"size": str(self.size), "show": show, "link": str(self.link), "name": self.name}


def sizes(size: Size | str, show: Size | str | None) -> str:
    """``512x256``, or ``512x256>1024x512`` where more is shown than painted."""
    return f"{size}>{show}" if show else str(size)


def after(guide: str | None) -> str:
    """`` surface`` and the like where a drive is not painted after the simulator's picture, as it is by default."""
    return "" if guide in (None, GUIDES[0]) else f" {guide}"


def _budget(value: Any) -> tuple[str, ...]:
    from neuralsim.bench.budget import Budget

    words = value.split(",") if isinstance(value, str) else value
    return tuple(word for word in words if Budget.parse(word))


class BenchOptions(Options):
    """What is measured, how often, and what for."""

    out: Folder = Path("bench")
    """Where report.json and report.html go."""

    models: Annotated[tuple[str, ...], several(str), Arg("LIST", flag="model", group=MATRIX)] = (DEFAULT_MODEL,)
    """Models that paint."""
    runtimes: Annotated[tuple[str, ...], several(str), Arg("LIST", flag="runtime")] = ("auto",)
    """What runs them."""
    sizes: Annotated[tuple[Size, ...], several(Size.parse), Arg("LIST", flag="size")] = (Size(512, 256),)
    """WxH, pixels to paint."""
    show: Size | None = None
    """Show pictures of this size, of which --size's pixels are painted in each frame, as `neuralsim drive` does."""
    guides: Annotated[tuple[Guide, ...], listed(GUIDES), Arg("LIST", flag="guide")] = (GUIDES[0],)
    """Whose look of things is painted, as in `neuralsim drive`: picture, exemplars, surface."""
    links: Annotated[tuple[Link, ...], several(Link.parse), Arg("LIST", flag="link")] = (Link(),)
    """ipc, tcp; ipc+4: to 4 others, too."""
    loops: Annotated[tuple[str, ...], listed(LOOPS), Arg("LIST", flag="loop")] = ("live", "lockstep")
    """live: newest frame wins, as in the window; lockstep: every frame; window: with a real one; browser: in
    headless Chromium, by `neuralsim serve`."""
    matrix: bool = False
    """All runtimes that are here, all models, three sizes, ipc, tcp and ipc+4."""

    parts: Annotated[tuple[str, ...], listed(PARTS), Arg("LIST", group="measurement")] = Field(
        default=("drive", "link", "machine"), description=f"Of {','.join(PARTS)}."
    )
    frames: Positive = 300
    """Frames of each drive."""
    warm_up: Count = 60
    """Frames before them."""
    repeats: Positive = 2
    """Drives of each combination."""
    fps: Rate | None = None
    """Simulated ticks per second (default: as `neuralsim drive`)."""
    town: Town = "oldtown"
    """Town to drive in."""
    seed: Count = 0
    """Of town and traffic."""
    carla: Address | None = None
    """A running CARLA server (default: start embedded towns)."""
    connect: Endpoint | None = None
    """Frames of a bridge elsewhere, tcp://HOST:PORT."""
    keys: Keys | None = None
    """CURVE keys for --connect."""

    against: Annotated[JsonFile, Arg("OLD.json", group="verdict and output")] | None = None
    """A report: what has changed, what is noise."""
    budget: Annotated[tuple[str, ...], BeforeValidator(_budget), Arg("LIST")] = ()
    """Limits, exit code 1 if broken, such as p95=50ms,fps=20; of latency and photon, frame, render and the other
    stages, with --show upscale (photon.p95=90ms; p50, p95 or p99), fps, displayed_fps, dropped, jitter, memory
    (1000MB)."""
    trace: JsonFile | None = None
    """The first drive for ui.perfetto.dev."""
    docs: MarkdownFile | None = None
    """Fill in the tables of this page, too."""

    def check(self) -> None:
        """Raises ``ValueError`` for what cannot be measured so."""
        if self.connect is not None and (self.carla is not None or "lockstep" in self.loops):
            raise ValueError("--connect goes with --loop live or window, and with no --carla")
        if self.keys is not None and self.connect is None:
            raise ValueError("--keys is for --connect; links within one machine need none")
        if self.show is not None and self.connect is not None:
            raise ValueError("--show is for frames of our own bridge, --connect has another one's")
        if self.budget and "drive" not in self.parts:
            raise ValueError("--budget is for drives: name drive among the --parts")

    def cells(self) -> Iterator[Cell]:
        """The matrix, the base cell first."""
        links = self.links if self.connect is None else (Link("remote"),)
        kinds = product(self.models, self.runtimes, self.sizes, links, self.loops, self.guides)
        for model, runtime, size, link, loop, guide in kinds:
            yield Cell(model, runtime, size, link, loop, self.show, guide)


class PeersOptions(Options):
    """Time per frame of the model beside other papers' generators."""

    size: Size = Size(512, 256)
    """Pixels, multiples of 32: the other generators take no other."""
    model: Annotated[str, Arg("NAME")] = DEFAULT_MODEL
    """Ours."""
    runtime: Annotated[str, Arg("NAME")] = "auto"
    """What runs all of them."""
    threads: Positive | None = None
    """Of the processor (default: all cores)."""
    rounds: Positive = 15
    """Turns of each."""

    def check(self) -> None:
        """Raises ``ValueError`` for a size that not all take."""
        _in_steps(self.size)


class GpuOptions(Options):
    """Time per step on an NVIDIA GPU, by runtime."""

    size: Size = Size(1024, 512)
    """Pixels, multiples of 32."""
    model: Annotated[str, Arg("NAME")] = DEFAULT_MODEL
    """Ours."""
    steps: Positive = 300
    """That are measured."""
    peers: bool = False
    """The other generators as well."""

    def check(self) -> None:
        """Raises ``ValueError`` for a size that not all take."""
        _in_steps(self.size)


def browser() -> list[str]:
    """The command that opens a page in a headless Chromium; empty where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        return []
    sandbox = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []  # which root has no use for
    return [found, "--headless=new", "--no-first-run", "--mute-audio", "--window-size=1280,720", *sandbox]


def _in_steps(size: Size) -> None:
    if any(side % 32 for side in size):
        raise ValueError("--size must be multiples of 32: the other generators take no other")


def everything(options: BenchOptions) -> BenchOptions:
    """The whole matrix: what was not asked for otherwise becomes all that there is."""
    from neuralsim import runtimes, zoo

    wide = {
        "models": tuple(zoo.names()),
        "runtimes": tuple(runtimes.available()),
        "sizes": (Size(256, 128), Size(512, 256), Size(1024, 512)),
        "links": (Link("ipc"), Link("tcp"), Link("ipc", 4)),
        "loops": ("live",),
    }
    return options.model_copy(update={name: wide[name] for name in wide.keys() - options.model_fields_set})
