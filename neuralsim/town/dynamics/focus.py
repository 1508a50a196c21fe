"""The driver around whom background actors are kept: where they may reappear."""

from typing import NamedTuple

import numpy as np

_IN_SIGHT = 0.7  # cosine of the angle to the direction of view within which a place is seen


class Focus(NamedTuple):
    """A driver's place f64 (2,), m, and direction f64 (2,), a unit vector; and where actors may appear around him."""

    place: np.ndarray
    forward: np.ndarray
    least: float  # m, their least distance
    is_hidden: bool  # whether they may appear only where he does not see it

    def allowed(self, points: np.ndarray, farthest: float, sight: float) -> np.ndarray:
        """Return at which of ``points`` f64 (N, 2 or more), m, actors may appear, bool (N,).

        That is up to ``farthest`` m away, and what is ahead within ``sight`` m is seen.
        """
        away = points[:, :2] - self.place
        distance = np.hypot(away[:, 0], away[:, 1])
        seen = self.is_hidden & (away @ self.forward > _IN_SIGHT * distance) & (distance < sight)
        return np.asarray((distance > self.least) & (distance < farthest) & ~seen)

    def is_ahead(self, points: np.ndarray, aside: float) -> np.ndarray:
        """Return which of ``points`` f64 (N, 2 or more) are ahead, up to ``aside`` m from his line, bool (N,)."""
        away = points[:, :2] - self.place
        across = np.abs(away @ (self.forward[::-1] * (-1.0, 1.0)))
        return np.asarray((away @ self.forward > 0.0) & (across < aside))
