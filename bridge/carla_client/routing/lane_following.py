"""Following a lane along CARLA's waypoints."""

from typing import Any

MAX_WAYPOINTS = 10_000  # of one lane
ROAD_AHEAD = (150.0, 80.0, 40.0, 20.0)  # m of road ahead of a spawn point, in order of preference


def until_lane_end(way: Any, step: float) -> list[Any]:
    """Return the waypoints every ``step`` metres after ``way`` on its lane and road, up to the last one on it.

    Like ``carla.Waypoint.next_until_lane_end``, which has two defects: it does not return on a road that leads into
    itself (a velodrome), and it crashes the process where a lane ends without a successor (``LibCarla``'s
    ``client/Waypoint.cpp``).
    """
    waypoints: list[Any] = []
    here = way
    while len(waypoints) < MAX_WAYPOINTS:
        following = here.next(step)
        if len(following) != 1 or (following[0].road_id, following[0].lane_id) != (way.road_id, way.lane_id):
            return waypoints
        # s grows along a road and falls against it; where its direction changes, the road has started over.
        onward = following[0].s - here.s
        if onward == 0.0 or (waypoints and (waypoints[0].s - way.s) * onward < 0.0):
            return waypoints
        here = following[0]
        waypoints.append(here)
    return waypoints
