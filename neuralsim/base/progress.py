"""A progress line on stderr for whoever waits longer than two seconds."""

from __future__ import annotations

import sys
import time
from typing import Protocol

_PATIENCE = 2.0  # seconds before the first word
_TERMINAL, _FILE = 0.2, 10.0  # seconds between updates: a line that is rewritten, lines that pile up in a log
_WIDTH = 28  # characters of the bar


class Measured(Protocol):
    """What has been measured so far of a drive."""

    frames: int

    def rate(self) -> float:
        """Frames per second of late."""

    def recent(self) -> tuple[float, dict[str, float]]:
        """Latency of late, and its stages, milliseconds."""


class Progress:
    """``frames`` is how many are wanted, None = until somebody stops it; ``unit`` what they are called."""

    def __init__(self, frames: int | None, unit: str = "frames") -> None:
        self._wanted, self._unit = frames, unit
        self._terminal = sys.stderr.isatty()
        self._next = time.monotonic() + _PATIENCE
        self._length = 0  # of the line on the terminal
        self._waited = ""  # what was said last about waiting

    def close(self) -> None:
        """Take the line off the terminal."""
        if self._length:
            sys.stderr.write("\r" + " " * self._length + "\r")
            sys.stderr.flush()
            self._length = 0

    def waiting(self, steps: list[str]) -> None:
        """Nothing yet: say what is being waited for; where that stays in a file, only when it has changed."""
        line = f"waiting for: {', '.join(steps)}"
        if self._due() and steps and (self._terminal or line != self._waited):
            self._say(line)
            self._waited = line

    def update(self, meter: Measured) -> None:
        """Another frame has been shown."""
        if self._due():
            self._show(meter.frames, f"{meter.rate():.1f} FPS  {meter.recent()[0]:.0f} ms")

    def count(self, frames: int, fps: float) -> None:
        """So many are done, at this rate."""
        if self._due():
            left = f"  {(self._wanted - frames) / fps:.0f} s left" if self._wanted and fps > 0.0 else ""
            self._show(frames, f"{fps:.1f} FPS{left}")

    def measured(self, frames: int, words: str) -> None:
        """So many are done, and this is being done."""
        if self._due():
            self._show(frames, words)

    def exported(self, frames: int) -> None:
        """So many are done."""
        if self._due():
            self._show(frames, "written")

    def _show(self, frames: int, words: str) -> None:
        count = f"{frames} {self._unit}"
        if self._wanted:
            full = round(_WIDTH * min(frames / self._wanted, 1.0))
            count = f"[{'#' * full}{'.' * (_WIDTH - full)}] {frames}/{self._wanted} {self._unit}"
        self._say(f"{count}  {words}")

    def _due(self) -> bool:
        return time.monotonic() >= self._next

    def _say(self, line: str) -> None:
        self._next = time.monotonic() + (_TERMINAL if self._terminal else _FILE)
        if self._terminal:
            sys.stderr.write("\r" + line.ljust(self._length))
            self._length = len(line)
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()
