"""Interpolation of scenario trajectories."""

from bisect import bisect_right
from math import radians

from scenarios.language.actions import FollowTrajectory


def pose_at(trajectory: FollowTrajectory, time: float) -> tuple[float, float, float]:
    """Return x, y (m) and yaw (radians) of a trajectory at a scenario time (s), constant before its first and after its
    last point."""
    points = trajectory.points
    after = bisect_right(points, time, key=lambda point: point[0])
    if after in (0, len(points)):
        _, x, y, yaw = points[min(after, len(points) - 1)]
        return x, y, radians(yaw)
    (t0, x0, y0, yaw0), (t1, x1, y1, yaw1) = points[after - 1], points[after]
    t = (time - t0) / (t1 - t0)
    turn = (yaw1 - yaw0 + 180.0) % 360.0 - 180.0
    return x0 + t * (x1 - x0), y0 + t * (y1 - y0), radians(yaw0 + t * turn)
