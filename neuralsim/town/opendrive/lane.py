"""A lane of the map as arrays, with the markings on its edges."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Marking:
    """The marking on one edge of a lane: kind ("solid", "broken", ...), width (m) and whether it is yellow."""

    kind: str
    width: float
    is_yellow: bool


@dataclass
class Lane:
    """One lane of one lane section, sampled in its direction of travel.

    ``kind`` is the OpenDRIVE lane type; ``junction`` the OpenDRIVE junction it lies in, -1 outside; ``centre``,
    ``left`` and ``right`` are f64 (N, 3), metres; ``width`` f64 (N,), metres; ``next`` are indices of its successors.
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
    road_type: str = "town"  # "town", "rural" or "motorway"
    next: list[int] = field(default_factory=list)

    @property
    def length(self) -> float:
        """Length of the centre line, metres."""
        return float(np.linalg.norm(np.diff(self.centre, axis=0), axis=1).sum())
