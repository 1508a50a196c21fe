"""The scenario language: one pydantic model per mapping of a scenario's YAML.

Units are SI: metres, seconds, m/s; angles in degrees. Positions along a road are OpenDRIVE's: road id, lane id, s. A
mapping that offers several things of which one must be chosen (a step, an assertion, a place) says so in its error.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

EGO = "ego"
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,40}$")]
Metres = Annotated[float, Field(ge=-10_000.0, le=10_000.0)]
Distance = Annotated[float, Field(ge=0.0, le=10_000.0)]
Seconds = Annotated[float, Field(ge=0.0, le=3600.0)]
Speed = Annotated[float, Field(ge=0.0, le=60.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]

Preset = Literal[
    "Default", "ClearNoon", "CloudyNoon", "WetNoon", "WetCloudyNoon", "SoftRainNoon", "MidRainyNoon", "HardRainNoon",
    "ClearSunset", "CloudySunset", "WetSunset", "WetCloudySunset", "SoftRainSunset", "MidRainSunset", "HardRainSunset",
    "ClearNight", "CloudyNight", "WetNight", "WetCloudyNight", "SoftRainNight", "MidRainyNight", "HardRainNight",
    "DustStorm",
]  # fmt: skip


class _Model(BaseModel):
    """Nothing unknown, nothing converted: ``speed: "fast"`` and ``sped: 3`` are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)

    def chosen(self) -> list[str]:
        """The keys that were given, ``when`` aside."""
        return [name for name in self.model_fields_set if name != "when" and getattr(self, name) is not None]


class _OneOf(_Model):
    """Exactly one of its keys besides ``when``."""

    @model_validator(mode="after")
    def _exactly_one(self) -> _OneOf:
        if len(self.chosen()) != 1:
            names = ", ".join(name for name in type(self).model_fields if name != "when")
            raise ValueError(f"needs exactly one of {names}")
        return self


# Where


class Spawn(_Model):
    """Where an actor begins: a spawn point of the map, a place on a road, or a place relative to the ego."""

    point: int | None = Field(None, ge=0)
    """Index among the map's spawn points."""
    road: int | None = Field(None, ge=0)
    """Id of an OpenDRIVE road; with `lane` and `s`."""
    lane: int | None = None
    """Id of a lane of that road (negative: along the road, positive: against it)."""
    s: Distance | None = None
    """Position along that road."""
    ahead: Metres | None = None
    """Metres along the road in front of the ego (negative: behind it); straight on at junctions."""
    lanes: int = Field(0, ge=-4, le=4)
    """Lanes to the right of the place (negative: to the left)."""
    across: Annotated[float, Field(ge=-30.0, le=30.0)] = 0.0
    """Metres to the right of the lane's middle (negative: to the left)."""
    turned: Annotated[float, Field(ge=-180.0, le=180.0)] = 0.0
    """Degrees clockwise from the lane's direction."""
    speed: Speed = 0.0
    """Speed at the beginning."""

    @model_validator(mode="after")
    def _one_place(self) -> Spawn:
        on_road = [self.road is not None, self.lane is not None, self.s is not None]
        if any(on_road) and not all(on_road):
            raise ValueError("needs road, lane and s together")
        if (self.point is not None) + (self.road is not None) + (self.ahead is not None) != 1:
            raise ValueError("needs exactly one of point, road (with lane and s), ahead")
        return self


# When


class Near(_Model):
    """Distance between the middles of two actors."""

    of: Name | None = None
    """One actor (default: whose step it is, or the ego)."""
    to: Name = EGO
    """The other."""
    below: Distance | None = None
    above: Distance | None = None

    @model_validator(mode="after")
    def _bound(self) -> Near:
        return _bounded(self)


class Moving(_Model):
    """Speed of an actor."""

    of: Name | None = None
    below: Speed | None = None
    above: Speed | None = None

    @model_validator(mode="after")
    def _bound(self) -> Moving:
        return _bounded(self)


class At(_Model):
    """An actor is within a radius of a place in the world, or anywhere on a road."""

    of: Name | None = None
    x: Metres | None = None
    y: Metres | None = None
    within: Distance = 5.0
    """Radius round x, y."""
    road: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _one_place(self) -> At:
        point = (self.x is not None) + (self.y is not None)
        if point == 1 or (point == 0) == (self.road is None):
            raise ValueError("needs either x and y, or road")
        return self


class Travelled(_Model):
    """Metres that an actor has gone since the beginning."""

    of: Name | None = None
    above: Distance


class Collision(_Model):
    """An actor has touched something, or a certain other actor."""

    of: Name | None = None
    by: Name | None = Field(None, alias="with")
    """The other one (default: anything)."""


class When(_Model):
    """Conditions that must all hold at the same tick."""

    time: Seconds | None = None
    """Seconds since the beginning."""
    after: Seconds | None = None
    """Seconds since the step before began."""
    distance: Near | None = None
    speed: Moving | None = None
    position: At | None = None
    travelled: Travelled | None = None
    collision: Collision | None = None

    @model_validator(mode="after")
    def _something(self) -> When:
        if not self.chosen():
            raise ValueError(f"needs at least one of {', '.join(type(self).model_fields)}")
        return self


# What


class FollowLane(_Model):
    """Drive along the lane. Goes on until the next step."""

    speed: Speed
    """Wanted speed; bends are taken slower."""
    turn: Literal["straight", "left", "right", "any"] = "straight"
    """Where to go at junctions, as far as there is such a way; `any` is drawn by the seed."""
    heed: bool = True
    """Brake for others and for red lights."""


class ChangeLane(_Model):
    """Go over to the neighbouring lane of the same direction. Done when the vehicle is there."""

    side: Literal["left", "right"]
    length: Annotated[float, Field(ge=6.0, le=50.0)] = 20.0
    """Metres of road that it takes."""


class Stop(_Model):
    """Brake until the vehicle stands. Done after it has stood for `hold` seconds."""

    deceleration: Annotated[float, Field(gt=0.0, le=10.0)] = 3.0
    """m/s^2; above what the tyres hold it is full braking."""
    hold: Seconds = 0.0


class Pedals(_Model):
    """Pedals and steering from a moment on."""

    at: Seconds = 0.0
    """Seconds since the step began."""
    throttle: Share = 0.0
    brake: Share = 0.0
    steer: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.0
    hand_brake: bool = False
    reverse: bool = False


class Cross(_Model):
    """A walker goes straight over the road, from where it stands. Done when it has gone so far."""

    speed: Annotated[float, Field(gt=0.0, le=6.0)] = 1.4
    distance: Annotated[float, Field(gt=0.0, le=100.0)] = 8.0


class Step(_OneOf):
    """One thing to do. Without `when` it begins as soon as the step before is done."""

    when: When | None = None
    follow_lane: FollowLane | None = None
    change_lane: ChangeLane | None = None
    stop: Stop | None = None
    cross: Cross | None = None
    controls: Annotated[list[Pedals], Field(min_length=1, max_length=10_000)] | None = None
    """Pedals by time. Goes on until the next step."""


class Ego(_Model):
    """The vehicle with the camera."""

    blueprint: str = Field("vehicle.tesla.model3", pattern=r"^vehicle\.[\w.-]+$")
    color: str | None = Field(None, pattern=r"^\d{1,3},\d{1,3},\d{1,3}$")
    """R,G,B, 0 to 255."""
    spawn: Spawn
    do: list[Step] = Field(min_length=1, max_length=100)


class Actor(_Model):
    """Somebody else."""

    name: Name
    blueprint: str = Field(pattern=r"^(vehicle|walker)\.[\w.-]+$")
    color: str | None = Field(None, pattern=r"^\d{1,3},\d{1,3},\d{1,3}$")
    spawn: Spawn
    do: list[Step] = Field(default_factory=list, max_length=100)
    """Without steps it stands still."""

    @property
    def walks(self) -> bool:
        return self.blueprint.startswith("walker.")


# What must come of it


class SpeedLimit(_Model):
    """A bound of an actor's speed within a span of time."""

    of: Name = EGO
    value: Speed
    since: Seconds = 0.0
    until: Seconds = 3600.0


class Travels(_Model):
    """Metres that an actor must have gone in the end."""

    of: Name = EGO
    least: Distance = 0.0
    most: Distance = 10_000.0


class Keeps(_Model):
    """Metres of free space between the outlines of two actors, at all times."""

    of: Name = EGO
    to: Name
    least: Distance


class StopsBefore(_Model):
    """An actor comes to a stand with another one in front of it, and never nearer than `least` metres."""

    of: Name = EGO
    to: Name
    least: Distance = 0.5


class Passes(_Model):
    """In the end, an actor that began behind another one is in front of it on the road."""

    of: Name = EGO
    other: Name


class Stands(_Model):
    """An actor stands still at some time for so long."""

    of: Name = EGO
    least: Seconds = 0.5


class Assertion(_OneOf):
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


# The whole


class Mount(_Model):
    """The camera's place at the ego, from the middle of the vehicle at road level."""

    x: Annotated[float, Field(ge=-30.0, le=30.0)] = 1.2
    """Forward."""
    y: Annotated[float, Field(ge=-30.0, le=30.0)] = 0.0
    """To the right."""
    z: Annotated[float, Field(ge=0.0, le=50.0)] = 1.45
    """Up."""
    pitch: Annotated[float, Field(ge=-90.0, le=90.0)] = 0.0
    """Degrees, up is positive."""


class Camera(_Model):
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


class Weather(_Model):
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


class Traffic(_Model):
    """The embedded town's own traffic round the ego; a CARLA server has its own."""

    vehicles: Annotated[int, Field(ge=0, le=200)] = 0
    walkers: Annotated[int, Field(ge=0, le=200)] = 0


class Scenario(_Model):
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
    ego: Ego
    actors: list[Actor] = Field(default_factory=list, max_length=100)
    end: list[When] = Field(default_factory=list, max_length=20)
    """Ends when one of these holds."""
    asserts: list[Assertion] = Field(min_length=1, max_length=100, alias="assert")

    @property
    def frames(self) -> int:
        """Frames until it ends at the latest."""
        return max(1, round(self.duration * self.fps))


def json_schema() -> str:
    """The language as JSON Schema, for editors; ``scenarios/schema.json`` holds it."""
    schema: dict[str, Any] = Scenario.model_json_schema()
    return json.dumps(schema, indent=1) + "\n"


def _bounded(model: Any) -> Any:
    if model.below is None and model.above is None:
        raise ValueError("needs below or above")
    return model
