"""A progress line on stderr for what takes longer than two seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import tqdm

_DELAY = 2.0  # seconds before the first line
_TERMINAL, _FILE = 0.2, 10.0  # seconds between updates: a line that is rewritten, lines that pile up in a log
_COUNT = "{n_fmt} {unit}  {desc}"
_BAR = "[{bar:28}] {n_fmt}/{total_fmt} {unit}  {desc}"


class RunningMeter(Protocol):
    """What has been measured so far of a drive."""

    frames: int

    def rate(self) -> float:
        """Frames per second of late."""

    def recent(self) -> tuple[float, dict[str, float]]:
        """Latency of late, and its stages, milliseconds."""


class _Log:
    """stderr where it is a file: a line for each time that a terminal's line would be rewritten, once if it is the
    same."""

    def __init__(self) -> None:
        self._last = ""

    def write(self, text: str) -> None:
        line = text.strip()
        if line and line != self._last:
            sys.stderr.write(line + "\n")
            self._last = line

    def flush(self) -> None:
        sys.stderr.flush()


class _Bar(tqdm):  # type: ignore[type-arg]
    monitor_interval = 0  # no thread that redraws
    words: Callable[[], str] = str  # asked for only when the line is written

    @property
    def format_dict(self) -> dict[str, Any]:
        return super().format_dict | {"prefix": self.words()}


class ProgressLine:
    """``frames``: how many are wanted, None = until interrupted; ``unit``: what they are called."""

    def __init__(self, frames: int | None, unit: str = "frames") -> None:
        terminal = sys.stderr.isatty()
        self._layout = _BAR if frames else _COUNT
        self._wanted = frames
        self._bar = _Bar(
            total=frames,
            unit=unit,
            file=sys.stderr if terminal else _Log(),
            delay=_DELAY,
            mininterval=_TERMINAL if terminal else _FILE,
            miniters=0,
            leave=False,
            ascii=".#",
        )
        self._bar.last_print_t -= _FILE  # so that the first line comes right after the delay

    def close(self) -> None:
        """Erase the line; the next update writes it again."""
        self._bar.clear()

    def waiting(self, steps: list[str]) -> None:
        """Nothing is done yet: say what is being waited for."""
        if steps:
            self._show(0, lambda: f"waiting for: {', '.join(steps)}", "{desc}")

    def update(self, meter: RunningMeter) -> None:
        """Another frame has been shown."""
        self._show(meter.frames, lambda: f"{meter.rate():.1f} FPS  {meter.recent()[0]:.0f} ms")

    def count(self, frames: int, fps: float, doing: str = "") -> None:
        """So many are done, at this rate; ``doing``: what is being done beside them."""
        left = f"  {(self._wanted - frames) / fps:.0f} s left" if self._wanted and fps > 0.0 else ""
        self._show(frames, lambda: f"{fps:.1f} FPS{left}{'  ' if doing else ''}{doing}")

    def measured(self, frames: int, words: str) -> None:
        """So many are done; ``words`` say what is being done."""
        self._show(frames, lambda: words)

    def exported(self, frames: int) -> None:
        """So many are written."""
        self.measured(frames, "written")

    def _show(self, frames: int, words: Callable[[], str], layout: str = "") -> None:
        self._bar.bar_format, self._bar.words = layout or self._layout, words
        self._bar.update(frames - self._bar.n)


@contextmanager
def reporting() -> Iterator[Callable[[str, float], bool]]:
    """A progress line for what reports its step and the share, 0 .. 1, that is done; the report returns True."""
    line = ProgressLine(100, "%")

    def report(step: str, share: float) -> bool:
        line.measured(round(100 * share), step[:60])
        return True

    try:
        yield report
    finally:
        line.close()
