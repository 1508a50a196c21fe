"""Places and conditions of the scenario language, and the base of all its models."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

EGO = "ego"
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,40}$")]
Metres = Annotated[float, Field(ge=-10_000.0, le=10_000.0)]
Distance = Annotated[float, Field(ge=0.0, le=10_000.0)]
Seconds = Annotated[float, Field(ge=0.0, le=3600.0)]
Speed = Annotated[float, Field(ge=0.0, le=60.0)]
SignedSpeed = Annotated[float, Field(ge=-60.0, le=60.0)]
Acceleration = Annotated[float, Field(ge=-1000.0, le=1000.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
SignalId = Annotated[str, Field(min_length=1, max_length=80)]
SignalState = Literal["red", "yellow", "green", "off"]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]


#: Keys that define when or how, not what.
_MODIFIERS = (
    "name", "when", "delay", "armed_by", "done_after", "done_within",
    "lanes", "length", "oncoming", "times", "plus", "keep", "over", "rate", "within", "smooth", "repeats",
    "rising", "most",
)  # fmt: skip


class Model(BaseModel):
    """A strict mapping: no unknown keys, no conversions; ``speed: "fast"`` and ``sped: 3`` are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)

    def chosen(self) -> list[str]:
        """Return the keys that were given, except those that define when or how."""
        return [name for name in self.model_fields_set if name not in _MODIFIERS and getattr(self, name) is not None]


class OneOf(Model):
    """A mapping with exactly one key, in addition to those that define when or how."""

    @model_validator(mode="after")
    def _exactly_one(self) -> OneOf:
        if len(self.chosen()) != 1:
            names = ", ".join(name for name in type(self).model_fields if name not in _MODIFIERS)
            raise ValueError(f"needs exactly one of {names}")
        return self


# Places


class Place(Model):
    """A place: a spawn point of the map, a position on a road or in the world, or relative to the ego's start."""

    point: int | None = Field(None, ge=0)
    """Index among the map's spawn points."""
    road: int | None = Field(None, ge=0)
    """Id of an OpenDRIVE road; requires `lane` and `s`."""
    lane: int | None = None
    """Id of a lane of that road (negative: along the road, positive: against it)."""
    s: Distance | None = None
    """Position along that road."""
    t: Annotated[float, Field(ge=-100.0, le=100.0)] | None = None
    """Instead of `lane`: metres to the left of the road's reference line; selects the nearest lane there."""
    ahead: Metres | None = None
    """Metres along the road in front of the ego's start (negative: behind it); straight on at junctions."""
    of: Name | None = None
    """With `ahead`: relative to this actor's position when the place is needed, not to the ego's start."""
    x: Metres | None = None
    """With `y`: world coordinates, CARLA's axes (y is to the right of x)."""
    y: Metres | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Place:
        on_road = [self.road is not None, (self.lane is not None) != (self.t is not None), self.s is not None]
        if any((*on_road, self.lane is not None, self.t is not None)) and not all(on_road):
            raise ValueError("needs road, lane and s together")
        if (self.x is None) != (self.y is None):
            raise ValueError("needs x and y together")
        if self.of is not None and self.ahead is None:
            raise ValueError("of goes with ahead")
        ways = (self.point is not None, self.road is not None, self.ahead is not None, self.x is not None)
        if sum(ways) != 1:
            raise ValueError("needs exactly one of point, road (with lane and s), ahead, x (with y)")
        return self


class Spawn(Place):
    """The start of an actor."""

    z: Metres | None = None
    """Height at x, y (default: the road's)."""
    yaw: Annotated[float, Field(ge=-360.0, le=360.0)] | None = None
    """Heading at x, y, degrees clockwise from the x axis (default: the nearest lane's)."""
    lanes: int = Field(0, ge=-4, le=4)
    """Lanes to the right of the place (negative: to the left)."""
    across: Annotated[float, Field(ge=-30.0, le=30.0)] = 0.0
    """Metres to the right of the lane's middle (negative: to the left)."""
    turned: Annotated[float, Field(ge=-180.0, le=180.0)] = 0.0
    """Degrees clockwise from the lane's direction."""
    speed: Speed = 0.0
    """Initial speed."""

    @model_validator(mode="after")
    def _only_in_the_world(self) -> Spawn:
        if self.x is None and not (self.z is None and self.yaw is None):
            raise ValueError("z and yaw go with x and y")
        return self


# Conditions


class Near(Model):
    """The distance between two actors."""

    of: Name | None = None
    """The first actor (default: the one whose step it is, or the ego)."""
    to: Name = EGO
    """The second actor."""
    way: Literal["straight", "ahead", "aside"] = "straight"
    """Straight-line distance, or only along the first actor's axis (ahead or behind), or only across it."""
    outlines: bool = False
    """Between their outlines (default: between their centres)."""
    below: Distance | None = None
    above: Distance | None = None

    @model_validator(mode="after")
    def _bound(self) -> Near:
        return _bounded(self)


class Moving(Model):
    """The speed of an actor, negative backwards."""

    of: Name | None = None
    below: SignedSpeed | None = None
    above: SignedSpeed | None = None

    @model_validator(mode="after")
    def _bound(self) -> Moving:
        return _bounded(self)


class Accelerating(Model):
    """The rate of change of an actor's speed, m/s^2; negative: it brakes."""

    of: Name | None = None
    below: Acceleration | None = None
    above: Acceleration | None = None

    @model_validator(mode="after")
    def _bound(self) -> Accelerating:
        return _bounded(self)


class Faster(Model):
    """How much faster an actor is than another one, m/s; negative: slower."""

    of: Name | None = None
    to: Name
    below: Acceleration | None = None
    above: Acceleration | None = None

    @model_validator(mode="after")
    def _bound(self) -> Faster:
        return _bounded(self)


class Clear(Model):
    """A lane next to an actor, or its own, is free of other actors near it along the road."""

    of: Name | None = None
    lanes: Annotated[int, Field(ge=-8, le=8)] = 0
    """Number of lanes to the left of its own (negative: to the right)."""
    ahead: Distance = 0.0
    behind: Distance = 0.0
    """Metres between centres within which there must be no other actor."""


class Astray(Model):
    """An actor has been outside all lanes (`offroad`) or at the end of its road (`end_of_road`) for `least` seconds."""

    of: Name | None = None
    least: Seconds = 0.0


class At(Model):
    """An actor is within a radius of a place, or anywhere on a road."""

    of: Name | None = None
    place: Place | None = None
    x: Metres | None = None
    y: Metres | None = None
    within: Distance = 5.0
    """Radius around the place, or x, y."""
    beyond: Distance | None = None
    """Instead: further away than this, metres."""
    road: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _one_place(self) -> At:
        if (self.x is None) != (self.y is None):
            raise ValueError("needs x and y together")
        if (self.place is not None) + (self.x is not None) + (self.road is not None) != 1:
            raise ValueError("needs either place, or x and y, or road")
        return self


class Travelled(Model):
    """The metres that an actor has travelled since the beginning."""

    of: Name | None = None
    above: Annotated[float, Field(ge=0.0, le=1e6)]


class CollisionCondition(Model):
    """An actor has collided with something, or with a certain other actor."""

    of: Name | None = None
    by: Name | None = Field(None, alias="with")
    """The other actor (default: anything)."""


class Headway(Model):
    """The seconds until an actor, at its own speed, reaches the present position of another one ahead."""

    of: Name | None = None
    to: Name
    outlines: bool = True
    """Between their outlines, or (false) between their centres."""
    below: Seconds | None = None
    above: Seconds | None = None

    @model_validator(mode="after")
    def _bound(self) -> Headway:
        return _bounded(self)


class TimeToCollision(Model):
    """The seconds until an actor would collide with another one if both kept their velocities (infinite if never)."""

    of: Name | None = None
    to: Name | None = None
    there: At | None = None
    """Instead of another actor, a place."""
    below: Seconds | None = None
    above: Seconds | None = None

    @model_validator(mode="after")
    def _bound(self) -> TimeToCollision:
        if (self.to is None) == (self.there is None):
            raise ValueError("needs either to or there")
        return _bounded(self)


class Standing(Model):
    """An actor has been standing for at least this long."""

    of: Name | None = None
    least: Seconds = 0.0


class SignalShows(Model):
    """A traffic signal shows a state."""

    signal: SignalId
    state: SignalState


class StepState(Model):
    """A named step of any actor has begun, or is done."""

    step: Name
    state: Literal["begun", "done"] = "done"


class FromThenOn(Model):
    """``time: {above: 4}``, in the notation of other conditions: the same as ``time: 4``."""

    above: Seconds


def _from_then_on(value: Any) -> Any:
    return value["above"] if isinstance(value, dict) and value.keys() == {"above"} else value


class When(Model):
    """Conditions that must all hold at the same tick."""

    time: Annotated[
        Seconds | None, BeforeValidator(_from_then_on, json_schema_input_type=Seconds | FromThenOn | None)
    ] = None
    """Seconds since the beginning, from which it holds; `{above: 4}` is the same as `4`."""
    after: Seconds | None = None
    """Seconds since the previous step began."""
    distance: Near | None = None
    speed: Moving | None = None
    position: At | None = None
    travelled: Travelled | None = None
    collision: CollisionCondition | None = None
    headway: Headway | None = None
    time_to_collision: TimeToCollision | None = None
    standing: Standing | None = None
    acceleration: Accelerating | None = None
    faster: Faster | None = None
    clear: Clear | None = None
    offroad: Astray | None = None
    end_of_road: Astray | None = None
    step: StepState | None = None
    light: SignalShows | None = None
    all_of: Annotated[list[When], Field(min_length=1, max_length=200)] | None = None
    """Further conditions that must all hold, for several of one kind."""
    any_of: Annotated[list[When], Field(min_length=1, max_length=20)] | None = None
    """Conditions of which at least one must hold."""

    @model_validator(mode="after")
    def _something(self) -> When:
        if not self.chosen():
            raise ValueError(f"needs at least one of {', '.join(type(self).model_fields)}")
        return self


_Between = TypeVar("_Between", Near, Moving, Headway, Accelerating, Faster, TimeToCollision)


def _bounded(model: _Between) -> _Between:
    if model.below is None and model.above is None:
        raise ValueError("needs below or above")
    return model
