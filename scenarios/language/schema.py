"""The scenario language: one pydantic model per mapping of a scenario's YAML.

Units are SI: metres, seconds, m/s; angles in degrees. Positions along a road are OpenDRIVE's: road id, lane id, s. A
mapping that offers several things of which one must be chosen (a step, an assertion, a place) says so in its error.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bridge.process.presets import Preset
from bridge.size import Size
from bridge.tags import COUNT, named
from scenarios.language.actions import (
    ChangeLane,
    ControlPoint,
    Cross,
    FollowLane,
    FollowPath,
    FollowRoute,
    FollowTrajectory,
    KeepAside,
    KeepDistance,
    Lamps,
    Meet,
    SetSpeed,
    Shift,
    SpeedAt,
    Stop,
)
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
    SignalId,
    SignalShows,
    SignalState,
    Spawn,
    Speed,
    When,
)  # fmt: skip


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
    set_light: SignalShows | None = None
    """Hold a traffic signal in a state from now on."""
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
    """Holds a traffic light in a state from a moment on."""

    at: Place | None = None
    """On a lane that the light stops, up to 80 m before its stop line. The lights of crossing lanes go red when it is
    not."""
    signal: SignalId | None = None
    """Instead: the signal's id in the map. No other light changes."""
    when: When | None = None
    """Default: from the beginning."""
    state: SignalState

    @model_validator(mode="after")
    def _one_light(self) -> LightSpec:
        if (self.at is None) == (self.signal is None):
            raise ValueError("needs either at or signal")
        return self


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
