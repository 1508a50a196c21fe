"""Options of ``neuralsim bench``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

LOOPS = ("live", "lockstep", "window")
PARTS = ("drive", "link", "machine", "peers", "check")
#: What helps where there is no display for the loop "window".
NO_DISPLAY = "set DISPLAY, call it with xvfb-run -a, or leave out --loop window"
_LINK = re.compile(r"(ipc|tcp)(?:\+([1-9]\d?))?")


@dataclass(frozen=True)
class Link:
    """How frames travel, and to how many others at the same time."""

    transport: str = "ipc"  # "ipc" | "tcp"; "remote" for a bridge elsewhere
    others: int = 0  # subscribers beside the renderer, 0 .. 30

    def __str__(self) -> str:
        return f"{self.transport}+{self.others}" if self.others else self.transport

    @classmethod
    def parse(cls, text: str) -> Link:
        """``ipc``, ``tcp``, ``ipc+4``. ``ValueError`` for anything else."""
        match = _LINK.fullmatch(text)
        if match is None or int(match[2] or 0) > 30:
            raise ValueError(f"{text!r} is no link: ipc, tcp, or with up to 30 more subscribers, such as ipc+4")
        return cls(match[1], int(match[2] or 0))


@dataclass(frozen=True)
class Cell:
    """One combination of the matrix."""

    model: str = "street-rt"
    runtime: str = "auto"
    size: tuple[int, int] = (512, 256)  # width, height, pixels
    link: Link = Link()
    loop: str = "live"  # one of LOOPS

    @property
    def name(self) -> str:
        """Short words, unique within a matrix."""
        return f"{self.model} {self.runtime} {self.size[0]}x{self.size[1]} {self.link} {self.loop}"

    def described(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self) | {"size": f"{self.size[0]}x{self.size[1]}", "link": str(self.link), "name": self.name}


@dataclass(frozen=True)
class BenchOptions:
    """The options of one call."""

    out: Path = Path("bench")
    models: tuple[str, ...] = ("street-rt",)
    runtimes: tuple[str, ...] = ("auto",)
    sizes: tuple[tuple[int, int], ...] = ((512, 256),)  # width, height, pixels
    links: tuple[Link, ...] = (Link(),)
    loops: tuple[str, ...] = ("live", "lockstep")
    matrix: bool = False  # everything that there is was asked for
    frames: int = 300  # measured per repeat
    warm_up: int = 60  # frames before them
    repeats: int = 2
    parts: tuple[str, ...] = ("drive", "link", "machine")
    fps: float | None = None  # simulated ticks per second; None: what the drive chooses
    town: str = "oldtown"
    seed: int = 0
    carla: str | None = None  # HOST:PORT of a running server; None: the embedded town
    connect: str | None = None  # frame endpoint of a bridge elsewhere
    keys: Path | None = None  # folder with CURVE keys
    against: Path | None = None  # report.json of before
    budget: tuple[str, ...] = ()  # NAME=LIMIT each
    trace: Path | None = None  # .json
    docs: Path | None = None  # .md with blocks to fill in

    def cells(self) -> Iterator[Cell]:
        """The matrix, the base cell first."""
        links = self.links if self.connect is None else (Link("remote"),)
        for model, runtime, size, link, loop in product(self.models, self.runtimes, self.sizes, links, self.loops):
            yield Cell(model, runtime, size, link, loop)


def everything(options: BenchOptions) -> BenchOptions:
    """The whole matrix: what was not asked for otherwise becomes all that there is."""
    from neuralsim import runtimes, zoo

    default = BenchOptions()

    def wide(name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        given: tuple[Any, ...] = getattr(options, name)
        return values if given == getattr(default, name) else given

    return replace(
        options,
        models=wide("models", tuple(zoo.names())),
        runtimes=wide("runtimes", tuple(runtimes.available())),
        sizes=wide("sizes", ((256, 128), (512, 256), (1024, 512))),
        links=wide("links", (Link("ipc"), Link("tcp"), Link("ipc", 4))),
        loops=wide("loops", ("live",)),
    )
