"""The reward of a step: progress less collisions, lane departure and jerk."""

from dataclasses import dataclass

import numpy as np

from bridge.messages import Ego
from neuralsim.gym.route import Route


@dataclass(frozen=True)
class RewardWeights:
    """The weights of the reward's terms, all of them 0 or more."""

    progress: float = 1.0
    """Per metre along the route; metres backwards count against it."""
    collision: float = 30.0
    """Per collision."""
    departure: float = 2.0
    """Per second and metre by which the vehicle's side is beyond the edge of its lane."""
    jerk: float = 0.02
    """Per m/s^2 of change of the acceleration (along and across), which is jerk times time: smooth driving at 10 m/s
    for 300 m costs about one metre of progress."""


class Reward:
    """The terms of one episode's steps.

    Args:
        weights: Weights of the terms.
        half_width: Half the vehicle's width, m.
        delta: Duration of a step, s.
    """

    def __init__(self, weights: RewardWeights, half_width: float, delta: float) -> None:
        self._weights, self._half_width, self._delta = weights, half_width, delta
        self._metres = 0.0
        self._collisions = 0
        self._speed, self._yaw = 0.0, 0.0
        self._acceleration: np.ndarray = np.zeros(2)

    def begin(self, ego: Ego, route: Route) -> None:
        """Start an episode with its first frame."""
        self._metres, self._collisions = route.metres, ego.collisions
        self._speed, self._yaw = ego.speed, _yaw(ego)
        self._acceleration = np.zeros(2)

    def step(self, ego: Ego, route: Route) -> dict[str, float]:
        """Return the weighted terms of the step that led to this ``ego`` and ``route``; their sum is the reward."""
        weights = self._weights
        turned = (_yaw(ego) - self._yaw + np.pi) % (2.0 * np.pi) - np.pi
        acceleration = np.array([ego.speed - self._speed, ego.speed * turned]) / self._delta
        beyond = max(abs(route.offset) + self._half_width - route.half_lane, 0.0)
        terms = {
            "progress": weights.progress * (route.metres - self._metres),
            "collision": -weights.collision * (ego.collisions - self._collisions),
            "departure": -weights.departure * beyond * self._delta,
            "jerk": -weights.jerk * float(np.linalg.norm(acceleration - self._acceleration)),
        }
        self._metres, self._collisions = route.metres, ego.collisions
        self._speed, self._yaw, self._acceleration = ego.speed, _yaw(ego), acceleration
        return terms


def _yaw(ego: Ego) -> float:
    """Return the heading, radians."""
    return float(np.arctan2(ego.pose[1, 0], ego.pose[0, 0]))
