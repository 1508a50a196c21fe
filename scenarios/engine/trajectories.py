"""Trajectories of scenarios: where one is at a moment."""

from __future__ import annotations

from bisect import bisect_right
from math import radians

from scenarios.language.actions import FollowTrajectory


def pose_at(trajectory: FollowTrajectory, time: float) -> tuple[float, float, float]:
    """Where a trajectory is at a time (s, of the scenario): x, y (m), yaw (radians). Before its first point and after
    its last one it stands there."""
    points = trajectory.points
    after = bisect_right(points, time, key=lambda point: point[0])
    if after in (0, len(points)):
        _, x, y, yaw = points[min(after, len(points) - 1)]
        return x, y, radians(yaw)
    (t0, x0, y0, yaw0), (t1, x1, y1, yaw1) = points[after - 1], points[after]
    share = (time - t0) / (t1 - t0)
    turn = (yaw1 - yaw0 + 180.0) % 360.0 - 180.0
    return x0 + share * (x1 - x0), y0 + share * (y1 - y0), radians(yaw0 + share * turn)
