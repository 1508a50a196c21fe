"""The scenario language: one pydantic model per mapping of a scenario's YAML.

Units are SI: metres, seconds, m/s; angles in degrees. Positions along a road are OpenDRIVE's: road id, lane id, s. A
mapping that offers several things of which one must be chosen (a step, an assertion, a place) says so in its error.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bridge.process.presets import Preset
from bridge.size import Size
from bridge.tags import COUNT, named
from scenarios.language.conditions import (
    EGO,
    Distance,
    Metres,
    Model,
    Name,
    OneOf,
    Percent,
    Place,
    Seconds,
    Share,
    Spawn,
    Speed,
    When,
)  # fmt: skip

# What


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


class Step(OneOf):
    """One thing to do. Without `when` it begins as soon as the step before is done."""

    name: Name | None = None
    """For conditions that ask for it; of all steps in the file no two have the same."""
    when: When | None = None
    delay: Seconds = 0.0
    """Seconds between its conditions and its beginning."""
    done_after: Seconds | None = None
    """Counts as done after so many seconds, for conditions that ask for it by its name."""
    done_within: Distance | None = None
    """Counts as done after so many metres."""
    armed_by: When | None = None
    """Has to have held once before `when` counts."""
    rising: bool = False
    """Begins when `when` comes to hold: not with what holds from the first moment that it is looked at."""
    repeats: Annotated[int, Field(ge=1, le=100_000)] = 1
    """How often it may begin, in `events`; again when it is done and its conditions have not held in between."""
    follow_lane: FollowLane | None = None
    follow_route: FollowRoute | None = None
    change_lane: ChangeLane | None = None
    shift: Shift | None = None
    set_speed: SetSpeed | None = None
    follow_path: FollowPath | None = None
    follow_trajectory: FollowTrajectory | None = None
    meet: Meet | None = None
    keep_distance: KeepDistance | None = None
    stop: Stop | None = None
    cross: Cross | None = None
    teleport: Spawn | None = None
    """Be somewhere else at once, with the speed as it was."""
    vanish: Literal[True] | None = None
    """Be nowhere from now on, until a `teleport`."""
    keep_aside: KeepAside | None = None
    speeds: Annotated[list[SpeedAt], Field(min_length=1, max_length=1000)] | None = None
    """Exactly these speeds one after the other. Done at the last one."""
    lamps: Lamps | None = None
    mark: Literal[True] | None = None
    """Nothing, for conditions that ask whether it has begun."""
    controls: Annotated[list[ControlPoint], Field(min_length=1, max_length=10_000)] | None = None
    """Pedals by time. Goes on until the next step."""


class EgoSpec(Model):
    """The vehicle with the camera."""

    blueprint: str = Field("vehicle.tesla.model3", pattern=r"^vehicle\.[\w.-]+$")
    color: str | None = Field(None, pattern=r"^\d{1,3},\d{1,3},\d{1,3}$")
    """R,G,B, 0 to 255."""
    spawn: Spawn
    rails: bool = False
    """While its speed is set it keeps exactly to its path, whatever tyres would hold, and passes through what it
    meets."""
    do: list[Step] = Field(default_factory=list, max_length=100)
    events: list[Step] = Field(default_factory=list, max_length=100)
    """Steps that need not come in order: each begins once, whenever its `when` holds, instead of what is being done."""

    @model_validator(mode="after")
    def _something(self) -> EgoSpec:
        if not self.do and not self.events:
            raise ValueError("needs at least one step in do or events")
        return self


class ActorSpec(Model):
    """A scripted vehicle or walker other than the ego."""

    name: Name
    blueprint: str = Field(pattern=r"^(vehicle|walker|static\.prop)\.[\w. -]+$")
    color: str | None = Field(None, pattern=r"^\d{1,3},\d{1,3},\d{1,3}$")
    spawn: Spawn
    rails: bool = False
    """While its speed is set it keeps exactly to its path, whatever tyres would hold, and passes through what it meets.
    Who walks goes straight on where a path ends."""
    do: list[Step] = Field(default_factory=list, max_length=100)
    """Without steps it stands still."""
    events: list[Step] = Field(default_factory=list, max_length=100)
    """Steps that need not come in order: each begins once, whenever its `when` holds, instead of what is being done."""

    @property
    def walks(self) -> bool:
        """Whether it is a walker."""
        return self.blueprint.startswith("walker.")

    @property
    def stands(self) -> bool:
        """Whether it is a thing, which does not move by itself."""
        return self.blueprint.startswith("static.")


# What must come of it


class SpeedLimit(Model):
    """A bound of an actor's speed within a span of time."""

    of: Name = EGO
    value: Speed
    since: Seconds = 0.0
    until: Seconds = 3600.0


class Travels(Model):
    """Metres that an actor must have travelled in the end."""

    of: Name = EGO
    least: Distance = 0.0
    most: Distance = 10_000.0


class Keeps(Model):
    """Metres of free space between the outlines of two actors, at all times."""

    of: Name = EGO
    to: Name
    least: Distance


class StopsBefore(Model):
    """An actor comes to a stand with another one in front of it, and never nearer than `least` metres."""

    of: Name = EGO
    to: Name
    least: Distance = 0.5


class Passes(Model):
    """In the end, an actor that began behind another one is in front of it on the road."""

    of: Name = EGO
    other: Name


class Stands(Model):
    """An actor stands still at some time for so long."""

    of: Name = EGO
    least: Seconds = 0.5


class LaneInvasions(Model):
    """How often the ego may cross a marking of its lane (a lane change is once)."""

    most: int = Field(0, ge=0)


class CompletesRoute(Model):
    """How much of its `follow_route` the ego must have done in the end."""

    least: Share = 0.95


class Assertion(OneOf):
    """Something that must be true of the whole scenario."""

    no_collision: Name | None = None
    """Of this actor with anything."""
    max_speed: SpeedLimit | None = None
    """It is never exceeded."""
    min_speed: SpeedLimit | None = None
    """It is kept or exceeded at all times of the span."""
    reaches_speed: SpeedLimit | None = None
    """It is reached at some time of the span."""
    travels: Travels | None = None
    keeps_distance: Keeps | None = None
    stops_before: StopsBefore | None = None
    stands: Stands | None = None
    passes: Passes | None = None
    lane_invasions: LaneInvasions | None = None
    completes_route: CompletesRoute | None = None


class End(When):
    """What ends the scenario."""

    delay: Seconds = 0.0
    """Seconds between these conditions and the end."""
    rising: bool = False
    """Only when they come to hold: not what holds from the beginning."""


class LightSpec(Model):
    """Holds a traffic light in a state from a moment on; those of the crossing lanes go red when it is not."""

    at: Place
    """On a lane that the light stops, up to 80 m before its stop line."""
    when: When | None = None
    """Default: from the beginning."""
    state: Literal["red", "yellow", "green"]


# The whole


class MountSpec(Model):
    """The camera's place at the ego, from the middle of the vehicle at road level."""

    x: Annotated[float, Field(ge=-30.0, le=30.0)] = 1.2
    """Forward."""
    y: Annotated[float, Field(ge=-30.0, le=30.0)] = 0.0
    """To the right."""
    z: Annotated[float, Field(ge=0.0, le=50.0)] = 1.45
    """Up."""
    pitch: Annotated[float, Field(ge=-90.0, le=90.0)] = 0.0
    """Degrees, up is positive."""
    yaw: Annotated[float, Field(ge=-180.0, le=180.0)] = 0.0
    """Degrees, to the right is positive."""


class CameraSpec(Model):
    """The camera at the ego."""

    size: Size = Size(512, 256)
    """Pixels, width x height; each 32 to 4096."""
    fov: Annotated[float, Field(ge=5.0, le=170.0)] = 70.0
    """Horizontal, degrees."""
    mount: MountSpec = Field(default_factory=lambda: MountSpec())


class ExtraCameraSpec(CameraSpec):
    """A further camera at the ego, beside the first one."""

    name: Name


class WeatherSpec(Model):
    """A CARLA preset and what differs from it. The sun's altitude is the time of day."""

    preset: Preset | None = None
    """Default: as the town is."""
    sun_altitude_angle: Annotated[float, Field(ge=-90.0, le=90.0)] | None = None
    """Degrees over the horizon: 45 day, 5 dusk, below 0 night."""
    sun_azimuth_angle: Annotated[float, Field(ge=0.0, le=360.0)] | None = None
    cloudiness: Percent | None = None
    precipitation: Percent | None = None
    precipitation_deposits: Percent | None = None
    wetness: Percent | None = None
    wind_intensity: Percent | None = None
    fog_density: Percent | None = None


class Change(Model):
    """Other weather from a moment on."""

    when: When
    weather: WeatherSpec


class TrafficSpec(Model):
    """The embedded town's own traffic round the ego; a CARLA server has its own."""

    vehicles: Annotated[int, Field(ge=0, le=200)] = 0
    walkers: Annotated[int, Field(ge=0, le=200)] = 0


class Scenario(Model):
    """A scenario file."""

    title: str = Field(min_length=1, max_length=80, pattern=r"^[^\n]+$")
    description: str = ""
    town: str = "oldtown"
    """Name of a town, or an .xodr file beside the scenario. Generated towns are laid out by the seed."""
    seed: int = Field(0, ge=0, le=2**31)
    """Of the town, its traffic and every choice."""
    weather: WeatherSpec = Field(default_factory=lambda: WeatherSpec())
    duration: Annotated[float, Field(gt=0.0, le=3600.0)]
    """Seconds until it ends, if it does not end before."""
    fps: Annotated[float, Field(ge=5.0, le=120.0)] = 20.0
    """Ticks and frames per simulated second."""
    traffic: TrafficSpec = Field(default_factory=lambda: TrafficSpec())
    camera: CameraSpec = Field(default_factory=lambda: CameraSpec())
    cameras: list[ExtraCameraSpec] = Field(default_factory=list, max_length=7)
    """Further ones. What they see is recorded beside the first one's."""
    lights: list[LightSpec] = Field(default_factory=list, max_length=50)
    """What traffic lights do other than by their cycles."""
    changes: list[Change] = Field(default_factory=list, max_length=50)
    """Changes of the weather."""
    remap: dict[str, str] = Field(default_factory=dict, max_length=COUNT)
    """What is painted as something else, tag by tag, such as `buildings: vegetation`. Recorded tags stay."""
    ego: EgoSpec
    actors: list[ActorSpec] = Field(default_factory=list, max_length=100)
    end: list[End] = Field(default_factory=list, max_length=20)
    """Ends when one of these holds."""
    asserts: list[Assertion] = Field(max_length=100, alias="assert")
    """What must be true; an empty list judges nothing."""

    @field_validator("remap")
    @classmethod
    def _tags(cls, remap: dict[str, str]) -> dict[str, str]:
        for name in (*remap, *remap.values()):
            named(name)
        if len({named(name) for name in remap}) < len(remap):
            raise ValueError("names one tag twice")
        return remap

    @property
    def frames(self) -> int:
        """Frames until it ends at the latest."""
        return max(1, round(self.duration * self.fps))


def json_schema() -> str:
    """The language as JSON Schema, for editors; ``scenarios/language/schema.json`` holds it."""
    schema: dict[str, Any] = Scenario.model_json_schema()
    return json.dumps(schema, indent=1) + "\n"
