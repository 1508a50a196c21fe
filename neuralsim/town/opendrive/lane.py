"""A lane of the map as arrays, and the paint on its edges."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Marking:
    """The paint on one edge of a lane: kind ("solid", "broken", ...), width (m) and whether it is yellow."""

    kind: str
    width: float
    yellow: bool


@dataclass
class Lane:
    """One lane of one lane section, sampled in its direction of travel.

    ``centre``, ``left`` and ``right`` f64 (N, 3), metres; ``width`` f64 (N,); ``length`` m along the centre;
    ``junction`` is the OpenDRIVE junction it lies in, -1 outside; ``next`` are indices of the lanes it leads to.
    """

    road: int
    section: int
    id: int
    kind: str
    junction: int
    centre: np.ndarray
    left: np.ndarray
    right: np.ndarray
    width: np.ndarray
    left_marking: Marking | None
    right_marking: Marking | None
    speed: float  # limit, m/s
    setting: str = "town"  # what the road leads through: "town", "rural" or "motorway"
    next: list[int] = field(default_factory=list)

    @property
    def length(self) -> float:
        """Metres along the centre."""
        return float(np.linalg.norm(np.diff(self.centre, axis=0), axis=1).sum())
