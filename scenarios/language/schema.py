"""The scenario language: one pydantic model per mapping of a scenario's YAML.

Units are SI: metres, seconds, m/s; angles in degrees. Positions along a road are OpenDRIVE's: road id, lane id, s. A
mapping that requires exactly one of several keys (a step, an assertion, a place) lists them in its error.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bridge.ego_camera import EGO_CAMERA
from bridge.process.presets import Preset
from bridge.size import Size
from bridge.tags import COUNT, tag_by_name
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
from scenarios.language.assertions import Assertion
from scenarios.language.conditions import (
    Distance,
    Model,
    Name,
    OneOf,
    Percent,
    Place,
    Seconds,
    SignalId,
    SignalShows,
    SignalState,
    Spawn,
    When,
)


class Step(OneOf):
    """One action of an actor. Without `when` it begins as soon as the previous step is done."""

    name: Name | None = None
    """For conditions that refer to the step; unique in the file."""
    when: When | None = None
    delay: Seconds = 0.0
    """Seconds between its conditions and its beginning."""
    done_after: Seconds | None = None
    """Counts as done after this many seconds, for conditions that refer to it by name."""
    done_within: Distance | None = None
    """Counts as done after this many metres."""
    armed_by: When | None = None
    """Must have held once before `when` takes effect."""
    rising: bool = False
    """Begins when `when` becomes true, not if it is true from the first tick on which it is evaluated."""
    repeats: Annotated[int, Field(ge=1, le=100_000)] = 1
    """How often it may begin, in `events`; again once it is done and its conditions have been false in between."""
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
    """Move to another place at once, at unchanged speed."""
    vanish: Literal[True] | None = None
    """Disappear until a `teleport`."""
    keep_aside: KeepAside | None = None
    speeds: Annotated[list[SpeedAt], Field(min_length=1, max_length=1000)] | None = None
    """Exactly these speeds, one after the other. Done at the last one."""
    lamps: Lamps | None = None
    set_light: SignalShows | None = None
    """Hold a traffic signal in a state from now on."""
    mark: Literal[True] | None = None
    """Do nothing; for conditions that ask whether the step has begun."""
    controls: Annotated[list[ControlPoint], Field(min_length=1, max_length=10_000)] | None = None
    """Pedals and steering by time. Continues until the next step."""


class EgoSpec(Model):
    """The vehicle with the camera."""

    blueprint: str = Field("vehicle.tesla.model3", pattern=r"^vehicle\.[\w.-]+$")
    color: str | None = Field(None, pattern=r"^\d{1,3},\d{1,3},\d{1,3}$")
    """R,G,B, 0 to 255."""
    spawn: Spawn
    rails: bool = False
    """While its speed is set, it follows its path exactly, regardless of tyre grip, and passes through obstacles."""
    do: list[Step] = Field(default_factory=list, max_length=100)
    events: list[Step] = Field(default_factory=list, max_length=100)
    """Steps in any order: each begins once, as soon as its `when` holds, and replaces the current step."""

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
    """While its speed is set, it follows its path exactly, regardless of tyre grip, and passes through obstacles. A
    walker continues straight on at the end of a path."""
    do: list[Step] = Field(default_factory=list, max_length=100)
    """Without steps it stands still."""
    events: list[Step] = Field(default_factory=list, max_length=100)
    """Steps in any order: each begins once, as soon as its `when` holds, and replaces the current step."""

    @property
    def walks(self) -> bool:
        """Whether it is a walker."""
        return self.blueprint.startswith("walker.")

    @property
    def stands(self) -> bool:
        """Whether it is a static prop."""
        return self.blueprint.startswith("static.")


class End(When):
    """Conditions that end the scenario."""

    delay: Seconds = 0.0
    """Seconds between these conditions and the end."""
    rising: bool = False
    """Only when they become true, not if they are true from the beginning."""


class LightSpec(Model):
    """A traffic light that is held in a state from a moment on."""

    at: Place | None = None
    """On a lane that the light controls, up to 80 m before its stop line. The lights of crossing lanes turn red unless
    this one is red."""
    signal: SignalId | None = None
    """Instead: the signal's id in the map. No other light changes."""
    when: When | None = None
    """When to switch (default: from the beginning)."""
    state: SignalState

    @model_validator(mode="after")
    def _one_light(self) -> LightSpec:
        if (self.at is None) == (self.signal is None):
            raise ValueError("needs either at or signal")
        return self


# Scenario


class MountSpec(Model):
    """The camera's pose on the ego, relative to the middle of the vehicle at road level."""

    x: Annotated[float, Field(ge=-30.0, le=30.0)] = EGO_CAMERA.x
    """Forward."""
    y: Annotated[float, Field(ge=-30.0, le=30.0)] = EGO_CAMERA.y
    """To the right."""
    z: Annotated[float, Field(ge=0.0, le=50.0)] = EGO_CAMERA.z
    """Up."""
    pitch: Annotated[float, Field(ge=-90.0, le=90.0)] = 0.0
    """Degrees, up is positive."""
    yaw: Annotated[float, Field(ge=-180.0, le=180.0)] = 0.0
    """Degrees, to the right is positive."""


class CameraSpec(Model):
    """A camera on the ego."""

    size: Size = Size(512, 256)
    """Pixels, width x height; each 32 to 4096."""
    fov: Annotated[float, Field(ge=5.0, le=170.0)] = 70.0
    """Horizontal, degrees."""
    mount: MountSpec = Field(default_factory=lambda: MountSpec())


class ExtraCameraSpec(CameraSpec):
    """An additional camera on the ego."""

    name: Name


class Rig(Model):
    """A rig file: the cameras of a vehicle, to be used with any scenario."""

    camera: CameraSpec | None = None
    """The first camera (default: the scenario's)."""
    cameras: list[ExtraCameraSpec] = Field(min_length=1, max_length=7)
    """Additional cameras."""


class WeatherSpec(Model):
    """A CARLA preset and parameters that override it. The sun's altitude sets the time of day."""

    preset: Preset | None = None
    """Default: the town's current weather."""
    sun_altitude_angle: Annotated[float, Field(ge=-90.0, le=90.0)] | None = None
    """Degrees above the horizon: 45 day, 5 dusk, below 0 night."""
    sun_azimuth_angle: Annotated[float, Field(ge=0.0, le=360.0)] | None = None
    cloudiness: Percent | None = None
    precipitation: Percent | None = None
    precipitation_deposits: Percent | None = None
    wetness: Percent | None = None
    wind_intensity: Percent | None = None
    fog_density: Percent | None = None


class Change(Model):
    """A change of the weather."""

    when: When
    weather: WeatherSpec


class TrafficSpec(Model):
    """The embedded town's own traffic around the ego; a CARLA server has its own."""

    vehicles: Annotated[int, Field(ge=0, le=200)] = 0
    walkers: Annotated[int, Field(ge=0, le=200)] = 0


class Scenario(Model):
    """A scenario file."""

    title: str = Field(min_length=1, max_length=80, pattern=r"^[^\n]+$")
    description: str = ""
    town: str = "oldtown"
    """Name of a town, or an .xodr file in the scenario's folder. The seed determines the layout of generated towns."""
    seed: int = Field(0, ge=0, le=2**31)
    """Seed of the town, its traffic and every random choice."""
    weather: WeatherSpec = Field(default_factory=lambda: WeatherSpec())
    duration: Annotated[float, Field(gt=0.0, le=3600.0)]
    """Maximum duration, seconds."""
    fps: Annotated[float, Field(ge=5.0, le=120.0)] = 20.0
    """Ticks and frames per simulated second."""
    traffic: TrafficSpec = Field(default_factory=lambda: TrafficSpec())
    camera: CameraSpec = Field(default_factory=lambda: CameraSpec())
    cameras: list[ExtraCameraSpec] = Field(default_factory=list, max_length=7)
    """Additional cameras, recorded together with the first one."""
    lights: list[LightSpec] = Field(default_factory=list, max_length=50)
    """Traffic lights that deviate from their cycles."""
    changes: list[Change] = Field(default_factory=list, max_length=50)
    """Changes of the weather."""
    remap: dict[str, str] = Field(default_factory=dict, max_length=COUNT)
    """Tags to be rendered as other tags, such as `buildings: vegetation`. Recorded tags are unchanged."""
    ego: EgoSpec
    actors: list[ActorSpec] = Field(default_factory=list, max_length=100)
    end: list[End] = Field(default_factory=list, max_length=20)
    """The scenario ends when one of these holds."""
    asserts: list[Assertion] = Field(max_length=100, alias="assert")
    """Assertions; an empty list means that nothing is judged."""

    @field_validator("remap")
    @classmethod
    def _tags(cls, remap: dict[str, str]) -> dict[str, str]:
        for name in (*remap, *remap.values()):
            tag_by_name(name)
        if len({tag_by_name(name) for name in remap}) < len(remap):
            raise ValueError("names one tag twice")
        return remap

    @property
    def frames(self) -> int:
        """The maximum number of frames."""
        return max(1, round(self.duration * self.fps))


def json_schema() -> str:
    """Return the language as JSON Schema, for editors; stored in ``scenarios/language/schema.json``."""
    schema: dict[str, Any] = Scenario.model_json_schema()
    return json.dumps(schema, indent=1) + "\n"
