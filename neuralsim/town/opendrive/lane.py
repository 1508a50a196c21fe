"""A lane of the map as arrays, with the markings on its edges."""

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
    keeps_left: bool = False  # its road's traffic does

    @property
    def is_along(self) -> bool:
        """Whether it runs along its road's reference line, not against it."""
        return (self.id < 0) != self.keeps_left

    @property
    def outer(self) -> np.ndarray:
        """Its edge away from the oncoming lanes, f64 (N, 3): the right one where traffic keeps right."""
        return self.left if self.keeps_left else self.right

    @property
    def outer_marking(self) -> Marking | None:
        """The marking on that edge."""
        return self.left_marking if self.keeps_left else self.right_marking

    @property
    def inner_marking(self) -> Marking | None:
        """The marking on the other edge."""
        return self.right_marking if self.keeps_left else self.left_marking

    @property
    def outwards(self) -> np.ndarray:
        """From its inner to its outer edge, f64 (N, 3), metres."""
        return self.left - self.right if self.keeps_left else self.right - self.left

    @property
    def length(self) -> float:
        """Length of the centre line, metres."""
        return float(np.linalg.norm(np.diff(self.centre, axis=0), axis=1).sum())
