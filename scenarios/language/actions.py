"""The actions that a scenario's steps can perform, one model each; units and positions as in ``schema.py``."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from scenarios.language.conditions import Distance, Metres, Model, Name, OneOf, Place, Seconds, Share, Speed


class FollowLane(Model):
    """Drive along the lane. Continues until the next step."""

    speed: Speed
    """Target speed; bends are taken more slowly."""
    turn: Literal["straight", "left", "right", "any"] = "straight"
    """Direction at junctions, if available; `any` is drawn by the seed."""
    heed: bool = True
    """Brake for other road users and for red lights."""


class FollowRoute(Model):
    """Drive to places, one after the other, by the shortest route along lanes. Done when the last one is reached."""

    via: Annotated[list[Place], Field(min_length=1, max_length=50)]
    speed: Speed | None = None
    """Target speed (default: unchanged)."""
    heed: bool = True
    """Brake for other road users and for red lights."""


class ChangeLane(OneOf):
    """Change to another lane. Done when the vehicle is there."""

    side: Literal["left", "right"] | None = None
    """To the lane on this side."""
    lane: int | None = None
    """To the lane with this id (OpenDRIVE's, of the road that the vehicle is on)."""
    beside: Name | None = None
    """To the lane of this actor; with `lanes`, that many to the left of it (negative: to the right)."""
    lanes: Annotated[int, Field(ge=-8, le=8)] | None = None
    """Number of lanes (default with `side`: 1, with `beside`: 0)."""
    length: Annotated[float, Field(ge=6.0, le=500.0)] = 20.0
    """Length of the change, metres."""
    over: Annotated[float, Field(gt=0.0, le=600.0)] | None = None
    """Instead: duration of the change, seconds."""
    oncoming: bool = False
    """Allow a lane of the opposite direction, or one that is not for driving."""


class Shift(Model):
    """Drive with an offset from the lane's middle from now on. Done when the vehicle is there."""

    across: Annotated[float, Field(ge=-30.0, le=30.0)]
    """Metres to the right of the middle (negative: to the left)."""
    length: Annotated[float, Field(ge=0.0, le=500.0)] = 20.0
    """Length of the shift, metres."""
    over: Annotated[float, Field(gt=0.0, le=600.0)] | None = None
    """Instead: duration of the shift, seconds."""


class SetSpeed(OneOf):
    """Set exactly this speed, regardless of engine power and traffic; the path is unchanged.

    Done when it is reached.
    """

    speed: Annotated[float, Field(ge=-60.0, le=60.0)] | None = None
    """Negative: backwards."""
    beside: Name | None = None
    """The speed of this actor, times `times` plus `plus`."""
    times: Annotated[float, Field(ge=0.0, le=10.0)] | None = None
    plus: Annotated[float, Field(ge=-60.0, le=60.0)] | None = None
    keep: bool = False
    """Keep following that actor's speed."""
    over: Seconds | None = None
    """Duration of the change, seconds (with none of `over`, `rate` and `within`: immediate)."""
    rate: Annotated[float, Field(gt=0.0, le=1000.0)] | None = None
    """Rate of the change, m/s^2."""
    most: Annotated[float, Field(gt=0.0, le=1000.0)] | None = None
    """Maximum acceleration, m/s^2, even if `rate` is higher."""
    within: Distance | None = None
    """Length of the change, metres."""
    smooth: bool = False
    """Change along a cosine, not linearly."""

    @model_validator(mode="after")
    def _one_way(self) -> SetSpeed:
        if sum(each is not None for each in (self.over, self.rate, self.within)) > 1:
            raise ValueError("has one of over, rate, within")
        return self


class Waymark(Place):
    """A point of a path."""

    lanes: int = Field(0, ge=-8, le=8)
    """Lanes to the right of the place (negative: to the left)."""
    across: Annotated[float, Field(ge=-30.0, le=30.0)] = 0.0
    """Metres to the right of the lane's middle."""
    at: Seconds | None = None
    """Seconds since the step began; either all points have a time, or none."""


class Curve(Model):
    """A rational B-spline (NURBS) over the points of a path as its control points (Piegl and Tiller 1997, eq. 4.1)."""

    order: Annotated[int, Field(ge=2, le=10)]
    knots: Annotated[list[float], Field(min_length=4, max_length=2000)]
    weights: Annotated[list[float], Field(min_length=2, max_length=1000)]


class FollowPath(Model):
    """Go in straight lines from point to point, on or off the road. Done at the last one."""

    points: Annotated[list[Waymark], Field(min_length=2, max_length=1000)]
    frame: Name | None = None
    """`x` and `y` of the points are metres ahead and to the right of this actor's pose when the step begins."""
    curve: Curve | None = None
    """A curve instead of straight lines."""
    absolute: bool = False
    """Times of the points are relative to the beginning of the scenario."""
    speed: Speed | None = None
    """Default: unchanged, or determined by the times of the points."""

    @model_validator(mode="after")
    def _times(self) -> FollowPath:
        times = [point.at for point in self.points if point.at is not None]
        if times and (len(times) < len(self.points) or any(b <= a for a, b in pairwise(times))):
            raise ValueError("either all points must have increasing times, or none may have one")
        if self.curve is not None:
            if len(self.curve.weights) != len(self.points):
                raise ValueError("curve needs one weight per point")
            if len(self.curve.knots) != len(self.points) + self.curve.order:
                raise ValueError("curve needs as many knots as the number of points plus its order")
        return self


#: Seconds of the scenario, x, y, yaw. YAML has lists where Python has tuples.
TrajectoryPoint = Annotated[
    tuple[Seconds, Metres, Metres, Annotated[float, Field(ge=-360.0, le=360.0)]], Field(strict=False)
]


class FollowTrajectory(Model):
    """Follow a trajectory exactly in space and time, regardless of physics; needs `rails`.

    Done at the last point.
    """

    points: Annotated[list[TrajectoryPoint], Field(min_length=1, max_length=20_000)]
    """[seconds of the scenario, x, y, yaw] each: world coordinates in metres, degrees clockwise from the x axis, both
    CARLA's. Interpolated linearly, turning the shorter way."""

    @model_validator(mode="after")
    def _in_order(self) -> FollowTrajectory:
        if any(after[0] <= before[0] for before, after in pairwise(self.points)):
            raise ValueError("each point of a trajectory must be later than the previous one")
        return self


class Meet(Model):
    """Choose the speed so as to reach a place at the moment when another actor reaches another place.

    The path is unchanged. Done when either actor has arrived.
    """

    at: Place
    other: Name
    there: Place
    """Where the other actor is at that moment."""
    speed: Speed | None = None
    """Speed on arrival (default: not controlled)."""
    plus: Annotated[float, Field(ge=-60.0, le=60.0)] | None = None
    """Instead of `speed`: relative to the other actor's speed."""


class Stop(Model):
    """Brake until the vehicle stands. Done after it has stood for `hold` seconds."""

    deceleration: Annotated[float, Field(gt=0.0, le=10.0)] = 3.0
    """m/s^2; a value beyond the grip of the tyres means full braking."""
    hold: Seconds = 0.0


class ControlPoint(Model):
    """Pedals and steering from a moment on."""

    at: Seconds = 0.0
    """Seconds since the step began."""
    throttle: Share = 0.0
    brake: Share = 0.0
    steer: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.0
    hand_brake: bool = False
    reverse: bool = False


class Cross(Model):
    """A walker walks straight across the road from its position. Done after `distance`."""

    speed: Annotated[float, Field(gt=0.0, le=6.0)] = 1.4
    distance: Annotated[float, Field(gt=0.0, le=1000.0)] = 8.0
    yaw: Annotated[float, Field(ge=-360.0, le=360.0)] | None = None
    """Direction, degrees clockwise from the x axis (default: across the lane next to it)."""


class KeepDistance(Model):
    """Choose the speed so as to keep a distance to another actor on the same path. Done when it is reached."""

    to: Name
    side: Literal["behind", "ahead", "nearest"] = "behind"
    """Where to keep it: behind the other actor, ahead of it, or on the present side."""
    at_once: bool = False
    """Begin with a jump along the road to that distance."""
    once: bool = False
    """Keep the speed as it is once the distance is reached."""
    metres: Distance | None = None
    seconds: Seconds | None = None
    """Instead of metres: seconds at the speed of the one behind."""
    outlines: bool = True
    """Between the outlines, not between the centres."""
    acceleration: Annotated[float, Field(gt=0.0, le=1000.0)] = 5.0
    """Maximum, m/s^2."""
    deceleration: Annotated[float, Field(gt=0.0, le=1000.0)] = 8.0
    """Maximum, m/s^2."""
    most: Speed = 60.0
    """Maximum speed, m/s."""

    @model_validator(mode="after")
    def _one_distance(self) -> KeepDistance:
        if (self.metres is None) == (self.seconds is None):
            raise ValueError("needs either metres or seconds")
        return self


class KeepAside(Model):
    """Keep a lateral distance to another actor by shifting within or beyond the lane, until the next change of path."""

    to: Name
    metres: Distance
    side: Literal["left", "right"] | None = None
    """Side of the other actor to stay on (default: the present one)."""
    outlines: bool = True
    """Between the outlines, not between the centres."""


class SpeedAt(Model):
    """A speed that is reached `over` seconds after the previous one."""

    speed: Speed
    over: Seconds


class Lamps(Model):
    """Lamps of a vehicle, on or off; those that are not mentioned are unchanged."""

    position: bool | None = None
    low_beam: bool | None = None
    high_beam: bool | None = None
    brake: bool | None = None
    right_blinker: bool | None = None
    left_blinker: bool | None = None
    reverse: bool | None = None
    fog: bool | None = None
    interior: bool | None = None
