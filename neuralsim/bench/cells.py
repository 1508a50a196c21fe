"""The cells of the benchmark matrix: each is one combination of model, runtime, size, link, loop and guide."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from bridge.size import Size
from neuralsim.base.shared_options import DEFAULT_MODEL
from neuralsim.guide import GUIDES, Guide

#: Groups of stages of a frame (``ledger.py``).
GROUPS = ("simulator", "bridge", "link", "renderer", "postprocessing", "recording", "display")
LOOPS = ("live", "lockstep", "window", "browser")
DEFAULT_SIZE = Size(512, 256)
_LINK = re.compile(r"(ipc|tcp)(?:\+([1-9]\d?))?")


@dataclass(frozen=True)
class Link:
    """How frames travel, and to how many further subscribers at the same time."""

    transport: str = "ipc"  # "ipc" | "tcp"; "remote" for a bridge on another machine
    others: int = 0  # subscribers in addition to the renderer, 0 .. 30

    def __str__(self) -> str:
        return f"{self.transport}+{self.others}" if self.others else self.transport

    @classmethod
    def parse(cls, text: str | Link) -> Link:
        """Return the link that ``ipc``, ``tcp`` or ``ipc+4`` names; a link is returned unchanged.

        Raises ``ValueError`` for anything else.
        """
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
    size: Size = DEFAULT_SIZE  # rendered
    link: Link = Link()
    loop: str = "live"  # one of LOOPS
    show: Size | None = None  # size of the display, where that is more than what is rendered of a frame
    guide: Guide = GUIDES[0]

    @property
    def name(self) -> str:
        """A short description, unique within a matrix."""
        shown = format_sizes(self.size, self.show)
        return f"{self.model} {self.runtime} {shown} {self.link} {self.loop}{format_guide(self.guide)}"

    def as_json(self) -> dict[str, Any]:
        """Return the cell ready for JSON."""
        show = None if self.show is None else str(self.show)
        return asdict(self) | {"size": str(self.size), "show": show, "link": str(self.link), "name": self.name}


def format_sizes(size: Size | str, show: Size | str | None) -> str:
    """Return ``512x256``, or ``512x256>1024x512`` where more is shown than rendered."""
    return f"{size}>{show}" if show else str(size)


def format_guide(guide: str | None) -> str:
    """Return the guide's name behind a space, as in `` surface``; "" for the default one."""
    return "" if guide in (None, GUIDES[0]) else f" {guide}"
