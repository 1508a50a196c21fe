"""A progress line on stderr for anything that takes longer than two seconds."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import tqdm

_DELAY = 2.0  # seconds before the first line
_TERMINAL, _FILE = 0.2, 10.0  # seconds between updates: of a terminal's line, of lines in a log
_COUNT = "{n_fmt} {unit}  {desc}"
_BAR = "[{bar:28}] {n_fmt}/{total_fmt} {unit}  {desc}"


class RunningMeter(Protocol):
    """The measurements of a running drive."""

    frames: int

    def rate(self) -> float:
        """Return the recent frames per second."""

    def recent(self) -> tuple[float, dict[str, float]]:
        """Return the recent latency, and its stages by name, ms."""


class _Log:
    """stderr as a file: a line whenever a terminal's line would be rewritten, unless it is the same."""

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
    text: Callable[[], str] = str  # called only when the line is written

    @property
    def format_dict(self) -> dict[str, Any]:
        return super().format_dict | {"prefix": self.text()}


class ProgressLine:
    """A progress line of ``frames``, or of other units; ``frames`` None: until interrupted."""

    def __init__(self, frames: int | None, unit: str = "frames") -> None:
        terminal = sys.stderr.isatty()
        self._layout = _BAR if frames else _COUNT
        self._total = frames
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
        """Show the steps that are waited for before the first frame."""
        if steps:
            self._show(0, lambda: f"waiting for: {', '.join(steps)}", "{desc}")

    def update(self, meter: RunningMeter) -> None:
        """Show the state of a drive after another frame."""
        self._show(meter.frames, lambda: f"{meter.rate():.1f} FPS  {meter.recent()[0]:.0f} ms")

    def count(self, frames: int, fps: float, doing: str = "") -> None:
        """Show that ``frames`` are done at a rate of ``fps``; ``doing``: concurrent work."""
        left = f"  {_duration((self._total - frames) / fps)} left" if self._total and fps > 0.0 else ""
        self._show(frames, lambda: f"{fps:.1f} FPS{left}{'  ' if doing else ''}{doing}")

    def show(self, frames: int, text: str) -> None:
        """Show that ``frames`` are done, and ``text``."""
        self._show(frames, lambda: text)

    def show_written(self, frames: int) -> None:
        """Show that ``frames`` are written."""
        self.show(frames, "written")

    def _show(self, frames: int, text: Callable[[], str], layout: str = "") -> None:
        self._bar.bar_format, self._bar.text = layout or self._layout, text
        self._bar.update(frames - self._bar.n)


def _duration(seconds: float) -> str:
    """Return a duration in words: "40 s", "12 min", "3.5 h"."""
    if seconds < 100.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 6000.0 else f"{seconds / 3600.0:.1f} h"


@contextmanager
def progress_reporter() -> Iterator[Callable[[str, float], bool]]:
    """Yield a function that shows a step and the share done, 0..1, as a progress line, and returns True."""
    line = ProgressLine(100, "%")

    def report(step: str, share: float) -> bool:
        line.show(round(100 * share), step[:60])
        return True

    try:
        yield report
    finally:
        line.close()
