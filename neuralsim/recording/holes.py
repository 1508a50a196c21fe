"""Holes in a recording: where frames are missing, and how many."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_LEAST = 0.2  # s, shorter gaps are the uneven rhythm of a drive
_TIMES = 3.0  # the usual interval: longer gaps are holes


class Hole(NamedTuple):
    """A gap between two recorded frames, in seconds since the first frame, and the frames that it lacks."""

    begin: float
    end: float
    frames: int


def holes(times: Sequence[float]) -> list[Hole]:
    """Return the holes between frames at ``times`` (s, increasing), judged by their usual interval, the median."""
    steps = np.diff(np.asarray(times, np.float64))
    if not len(steps):
        return []
    usual = max(float(np.median(steps)), 1e-3)
    return [
        Hole(float(times[k] - times[0]), float(times[k + 1] - times[0]), round(steps[k] / usual) - 1)
        for k in np.flatnonzero(steps > max(_LEAST, _TIMES * usual)).tolist()
    ]


def describe(found: Sequence[Hole]) -> str:
    """Return a line about holes, such as "66 frames missing: 0:12.4 to 0:15.7"; "" for none."""
    if not found:
        return ""
    places = [f"{clock(hole.begin)} to {clock(hole.end)}" for hole in found[:3]]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    missing = sum(hole.frames for hole in found)
    return f"{missing} frame{'s' * (missing != 1)} missing: {', '.join(places)}{more}"


def clock(seconds: float) -> str:
    """Return minutes and seconds, such as 1:02.5."""
    minutes, rest = divmod(round(max(seconds, 0.0), 1), 60.0)
    return f"{int(minutes)}:{rest:04.1f}"
