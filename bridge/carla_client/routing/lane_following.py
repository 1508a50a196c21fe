"""Following a lane by CARLA's waypoints."""

from __future__ import annotations

from typing import Any

MOST = 10_000  # waypoints of one lane


def until_lane_end(way: Any, step: float) -> list[Any]:
    """The waypoints every ``step`` metres after ``way`` on its lane and road, to the last one on it.

    ``carla.Waypoint.next_until_lane_end`` without its ends: that one does not return from a road that leads into itself
    (a velodrome), and takes the process with it where a lane ends without a successor (``LibCarla``'s
    ``client/Waypoint.cpp``).
    """
    found: list[Any] = []
    here = way
    while len(found) < MOST:
        following = here.next(step)
        if len(following) != 1 or (following[0].road_id, following[0].lane_id) != (way.road_id, way.lane_id):
            return found
        # Along a road the distance grows, against it it falls; where that turns round the road has begun anew.
        onward = following[0].s - here.s
        if onward == 0.0 or (found and (found[0].s - way.s) * onward < 0.0):
            return found
        here = following[0]
        found.append(here)
    return found
