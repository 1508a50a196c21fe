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
from bridge.tags import named
from scenarios.language.conditions import (
    EGO,
    Distance,
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
    """How many lanes (with `side`: 1 unless told; with `beside`: 0)."""
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
    """Exactly this speed, whatever the engine could and whoever is in the way; where to go stays as it was. Done when
    it is reached."""

    speed: Speed | None = None
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

    across: Annotated[float, Field(ge=-30.0, le=30.0)] = 0.0
    """Metres to the right of the lane's middle."""
    at: Seconds | None = None
    """Seconds since the step began; all points have one, or none."""


class FollowPath(Model):
    """Go straight from point to point, wherever that is. Done at the last one."""

    points: Annotated[list[Waymark], Field(min_length=2, max_length=1000)]
    speed: Speed | None = None
    """Default: as before; where points have times, what these ask for."""

    @model_validator(mode="after")
    def _times(self) -> FollowPath:
        times = [point.at for point in self.points if point.at is not None]
        if times and (len(times) < len(self.points) or any(b <= a for a, b in pairwise(times))):
            raise ValueError("all points have a time, each a later one, or none has")
        return self


class Meet(Model):
    """Choose the speed so as to be at a place at the moment when somebody else is at another one; where to go stays as
    it was. Done when either is there."""

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


class Pedals(Model):
    """Pedals and steering from a moment on."""

    at: Seconds = 0.0
    """Seconds since the step began."""
    throttle: Share = 0.0
    brake: Share = 0.0
    steer: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.0
    hand_brake: bool = False
    reverse: bool = False


class Cross(Model):
    """A walker goes straight over the road, from where it stands. Done when it has gone so far."""

    speed: Annotated[float, Field(gt=0.0, le=6.0)] = 1.4
    distance: Annotated[float, Field(gt=0.0, le=1000.0)] = 8.0
    yaw: Annotated[float, Field(ge=-360.0, le=360.0)] | None = None
    """Where to, degrees clockwise from the x axis (default: over the lane it stands beside)."""


class KeepDistance(Model):
    """Choose the speed so as to keep a distance from somebody ahead on the same way. Done when it is reached."""

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
    follow_lane: FollowLane | None = None
    follow_route: FollowRoute | None = None
    change_lane: ChangeLane | None = None
    shift: Shift | None = None
    set_speed: SetSpeed | None = None
    follow_path: FollowPath | None = None
    meet: Meet | None = None
    keep_distance: KeepDistance | None = None
    stop: Stop | None = None
    cross: Cross | None = None
    controls: Annotated[list[Pedals], Field(min_length=1, max_length=10_000)] | None = None
    """Pedals by time. Goes on until the next step."""


class Ego(Model):
    """The vehicle with the camera."""

    blueprint: str = Field("vehicle.tesla.model3", pattern=r"^vehicle\.[\w.-]+$")
    color: str | None = Field(None, pattern=r"^\d{1,3},\d{1,3},\d{1,3}$")
    """R,G,B, 0 to 255."""
    spawn: Spawn
    do: list[Step] = Field(default_factory=list, max_length=100)
    events: list[Step] = Field(default_factory=list, max_length=100)
    """Steps that need not come in order: each begins once, whenever its `when` holds, instead of what is being done."""

    @model_validator(mode="after")
    def _something(self) -> Ego:
        if not self.do and not self.events:
            raise ValueError("needs at least one step in do or events")
        return self


class Actor(Model):
    """Somebody else."""

    name: Name
    blueprint: str = Field(pattern=r"^(vehicle|walker)\.[\w.-]+$")
    color: str | None = Field(None, pattern=r"^\d{1,3},\d{1,3},\d{1,3}$")
    spawn: Spawn
    do: list[Step] = Field(default_factory=list, max_length=100)
    """Without steps it stands still."""
    events: list[Step] = Field(default_factory=list, max_length=100)
    """Steps that need not come in order: each begins once, whenever its `when` holds, instead of what is being done."""

    @property
    def walks(self) -> bool:
        return self.blueprint.startswith("walker.")


# What must come of it


class SpeedLimit(Model):
    """A bound of an actor's speed within a span of time."""

    of: Name = EGO
    value: Speed
    since: Seconds = 0.0
    until: Seconds = 3600.0


class Travels(Model):
    """Metres that an actor must have gone in the end."""

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


class Light(Model):
    """Holds a traffic light in a state from a moment on; those of the crossing lanes go red when it is not."""

    at: Place
    """On a lane that the light stops, up to 80 m before its stop line."""
    when: When | None = None
    """Default: from the beginning."""
    state: Literal["red", "yellow", "green"]


# The whole


class Mount(Model):
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


class Camera(Model):
    size: Annotated[str, Field(pattern=r"^[1-9]\d{1,3}x[1-9]\d{1,3}$")] = "512x256"
    """Pixels, width x height."""
    fov: Annotated[float, Field(ge=5.0, le=170.0)] = 70.0
    """Horizontal, degrees."""
    mount: Mount = Field(default_factory=lambda: Mount())

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height."""
        width, height = self.size.split("x")
        return int(width), int(height)


class OtherCamera(Camera):
    """A further camera at the ego, beside the first one."""

    name: Name


class Weather(Model):
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


class Traffic(Model):
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
    weather: Weather = Field(default_factory=lambda: Weather())
    duration: Annotated[float, Field(gt=0.0, le=3600.0)]
    """Seconds until it ends, if it does not end before."""
    fps: Annotated[float, Field(ge=5.0, le=120.0)] = 20.0
    """Ticks and frames per simulated second."""
    traffic: Traffic = Field(default_factory=lambda: Traffic())
    camera: Camera = Field(default_factory=lambda: Camera())
    cameras: list[OtherCamera] = Field(default_factory=list, max_length=7)
    """Further ones. What they see is recorded beside the first one's."""
    lights: list[Light] = Field(default_factory=list, max_length=50)
    """What traffic lights do other than by their cycles."""
    remap: dict[str, str] = Field(default_factory=dict, max_length=29)
    """What is painted as something else, tag by tag, such as `buildings: vegetation`. Recorded tags stay."""
    ego: Ego
    actors: list[Actor] = Field(default_factory=list, max_length=100)
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
