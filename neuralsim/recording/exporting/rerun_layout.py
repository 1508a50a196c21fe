"""The layout of an exported recording in Rerun's viewer: what the replay shows.

Pictures of the cameras on the left; the scene, curves of speed, pedals and steering with marks of events, and a list of
events on the right.
"""

from collections.abc import Sequence

import rerun.blueprint as rrb

TIMELINE = "simulated"
#: Entity of each curve -> its colour (RGB) and name.
CURVES: dict[str, tuple[tuple[int, int, int], str]] = {
    "speed": ((235, 235, 240), "speed, m/s"),
    "controls/throttle": ((80, 200, 120), "throttle"),
    "controls/brake": ((235, 80, 70), "brake"),
    "controls/steer": ((90, 160, 250), "steering, right is positive"),
}
#: Colour of each kind of event, as in the replay.
MARKS: dict[str, tuple[int, int, int]] = {
    "collision": (235, 80, 70),
    "lane": (250, 180, 60),
    "weather": (90, 160, 250),
    "hole": (150, 150, 160),
}


def layout(cameras: Sequence[str]) -> rrb.Blueprint:
    """Return the layout for a recording with these cameras, the first one largest."""

    def image(camera: str, kind: str) -> rrb.Spatial2DView:
        origin = f"/world/ego/{camera}"
        return rrb.Spatial2DView(origin=origin, contents=[f"$origin/{kind}"], name=f"{camera}: {kind}")

    first, *others = cameras
    small = [image(first, "tag"), image(first, "depth"), *(image(camera, "image") for camera in others)]
    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Vertical(image(first, "image"), rrb.Tabs(*small, active_tab=0), row_shares=[3, 2]),
            rrb.Vertical(
                rrb.Spatial3DView(origin="/world", name="Scene"),
                rrb.TimeSeriesView(origin="/", contents=["/speed", "/events/**"], name="Speed and events"),
                rrb.TimeSeriesView(
                    origin="/controls", contents=["$origin/throttle", "$origin/brake"], name="Throttle, brake"
                ),
                rrb.TimeSeriesView(origin="/controls", contents=["$origin/steer"], name="Steering"),
                rrb.TextLogView(origin="/events", name="Collisions, lanes left, weather, holes"),
                row_shares=[3, 2, 2, 2, 2],
            ),
            column_shares=[3, 2],
        ),
        rrb.TimePanel(timeline=TIMELINE, state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        rrb.BlueprintPanel(state="collapsed"),
    )
