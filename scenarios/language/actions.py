"""What a step of a scenario has an actor do, one model each; units and positions as in ``schema.py``."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from scenarios.language.conditions import Distance, Metres, Model, Name, OneOf, Place, Seconds, Share, Speed


class FollowLane(Model):
    """Drive along the lane. Goes on until the next step."""

    speed: Speed
    """Wanted speed; bends are taken slower."""
    turn: Literal["straight", "left", "right", "any"] = "straight"
    """Where to go at junctions, as far as there is such a way; `any` is drawn by the seed."""
    heed: bool = True
    """Brake for others and for red lights."""


class FollowRoute(Model):
    """Drive to places, one after the other, by the shortest way along lanes. Done when the last one is reached."""

    via: Annotated[list[Place], Field(min_length=1, max_length=50)]
    speed: Speed | None = None
    """Default: as before."""
    heed: bool = True
    """Brake for others and for red lights."""


class ChangeLane(OneOf):
    """Go over to another lane. Done when the vehicle is there."""

    side: Literal["left", "right"] | None = None
    """To the lane on this side."""
    lane: int | None = None
    """To the lane with this id (OpenDRIVE's, of the road that the vehicle is on)."""
    beside: Name | None = None
    """To the lane where this actor is; with `lanes` so many to the left of it (negative: to the right)."""
    lanes: Annotated[int, Field(ge=-8, le=8)] | None = None
    """How many lanes (default with `side`: 1, with `beside`: 0)."""
    length: Annotated[float, Field(ge=6.0, le=500.0)] = 20.0
    """Metres of road that it takes."""
    over: Annotated[float, Field(gt=0.0, le=600.0)] | None = None
    """Seconds that it takes, instead."""
    oncoming: bool = False
    """Also to a lane that leads the other way, or is not for driving."""


class Shift(Model):
    """Drive to the side of the lane's middle from now on. Done when the vehicle is there."""

    across: Annotated[float, Field(ge=-30.0, le=30.0)]
    """Metres to the right of the middle (negative: to the left)."""
    length: Annotated[float, Field(ge=0.0, le=500.0)] = 20.0
    """Metres of road that it takes."""
    over: Annotated[float, Field(gt=0.0, le=600.0)] | None = None
    """Seconds that it takes, instead."""


class SetSpeed(OneOf):
    """Set exactly this speed, regardless of the engine's power and of traffic; the path stays as it was.

    Done when it is reached.
    """

    speed: Annotated[float, Field(ge=-60.0, le=60.0)] | None = None
    """Negative: backwards."""
    beside: Name | None = None
    """As fast as this actor, times `times` plus `plus`."""
    times: Annotated[float, Field(ge=0.0, le=10.0)] | None = None
    plus: Annotated[float, Field(ge=-60.0, le=60.0)] | None = None
    keep: bool = False
    """Go on following that actor's speed."""
    over: Seconds | None = None
    """Seconds that it takes (without any of these three: none)."""
    rate: Annotated[float, Field(gt=0.0, le=1000.0)] | None = None
    """m/s^2."""
    most: Annotated[float, Field(gt=0.0, le=1000.0)] | None = None
    """m/s^2 that it gets faster with at most, whatever `rate` says."""
    within: Distance | None = None
    """Metres that it takes."""
    smooth: bool = False
    """Changes like a cosine, not linearly."""

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
    """Seconds since the step began; all points have one, or none."""


class Curve(Model):
    """A rational B-spline (NURBS) over the points of a path as its control points (Piegl and Tiller 1997, eq. 4.1)."""

    order: Annotated[int, Field(ge=2, le=10)]
    knots: Annotated[list[float], Field(min_length=4, max_length=2000)]
    weights: Annotated[list[float], Field(min_length=2, max_length=1000)]


class FollowPath(Model):
    """Go straight from point to point, wherever that is. Done at the last one."""

    points: Annotated[list[Waymark], Field(min_length=2, max_length=1000)]
    frame: Name | None = None
    """Points with `x` and `y` are metres ahead and to the right of this actor, where it is when the step begins."""
    curve: Curve | None = None
    """Instead of straight lines."""
    absolute: bool = False
    """Times of the points count since the beginning of the scenario."""
    speed: Speed | None = None
    """Default: as before; where points have times, what these ask for."""

    @model_validator(mode="after")
    def _times(self) -> FollowPath:
        times = [point.at for point in self.points if point.at is not None]
        if times and (len(times) < len(self.points) or any(b <= a for a, b in pairwise(times))):
            raise ValueError("all points have a time, each a later one, or none has")
        if self.curve is not None:
            if len(self.curve.weights) != len(self.points):
                raise ValueError("curve has one weight for each point")
            if len(self.curve.knots) != len(self.points) + self.curve.order:
                raise ValueError("curve has as many knots as points and its order together")
        return self


#: Seconds of the scenario, x, y, yaw. YAML has lists where Python has tuples.
TrajectoryPoint = Annotated[
    tuple[Seconds, Metres, Metres, Annotated[float, Field(ge=-360.0, le=360.0)]], Field(strict=False)
]


class FollowTrajectory(Model):
    """Be at each moment exactly where a trajectory says, whatever tyres and feet would do; needs `rails`.

    Done at the last point.
    """

    points: Annotated[list[TrajectoryPoint], Field(min_length=1, max_length=20_000)]
    """[seconds of the scenario, x, y, yaw] each: metres in the world, degrees clockwise from the x axis, both CARLA's.
    In between straight on, turning the shorter way."""

    @model_validator(mode="after")
    def _in_order(self) -> FollowTrajectory:
        if any(after[0] <= before[0] for before, after in pairwise(self.points)):
            raise ValueError("each point of a trajectory is later than the one before")
        return self


class Meet(Model):
    """Choose the speed so as to reach a place at the moment when another actor reaches another one.

    The path stays as it was. Done when either is there.
    """

    at: Place
    other: Name
    there: Place
    """Where the other one is then."""
    speed: Speed | None = None
    """One's own speed there (default: as it comes)."""
    plus: Annotated[float, Field(ge=-60.0, le=60.0)] | None = None
    """Instead of `speed`: what it is above the other one's."""


class Stop(Model):
    """Brake until the vehicle stands. Done after it has stood for `hold` seconds."""

    deceleration: Annotated[float, Field(gt=0.0, le=10.0)] = 3.0
    """m/s^2; above what the tyres hold it is full braking."""
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
    """Where to, degrees clockwise from the x axis (default: over the lane it stands beside)."""


class KeepDistance(Model):
    """Choose the speed so as to keep a distance to an actor ahead on the same path. Done when it is reached."""

    to: Name
    metres: Distance | None = None
    seconds: Seconds | None = None
    """Instead of metres: that many seconds at the own speed."""
    outlines: bool = True
    """Between the outlines, not between the middles."""
    acceleration: Annotated[float, Field(gt=0.0, le=1000.0)] = 5.0
    """m/s^2, at most."""
    deceleration: Annotated[float, Field(gt=0.0, le=1000.0)] = 8.0
    most: Speed = 60.0
    """m/s, at most."""

    @model_validator(mode="after")
    def _one_distance(self) -> KeepDistance:
        if (self.metres is None) == (self.seconds is None):
            raise ValueError("needs either metres or seconds")
        return self


class KeepAside(Model):
    """Keep a distance to the side of another actor, by shifting within or beyond the lane. Lasts until the next way."""

    to: Name
    metres: Distance
    side: Literal["left", "right"] | None = None
    """Which side of the other one to be at (default: where it is)."""
    outlines: bool = True
    """Between the outlines, not between the middles."""


class SpeedAt(Model):
    """A speed that is reached so many seconds after the one before."""

    speed: Speed
    over: Seconds


class Lamps(Model):
    """Lamps of a vehicle, on or off; those that are not named stay as they are."""

    position: bool | None = None
    low_beam: bool | None = None
    high_beam: bool | None = None
    brake: bool | None = None
    right_blinker: bool | None = None
    left_blinker: bool | None = None
    reverse: bool | None = None
    fog: bool | None = None
    interior: bool | None = None
