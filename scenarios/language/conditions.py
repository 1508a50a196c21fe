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


#: Keys that say when or how, not what.
_WHEN = (
    "name", "when", "delay", "armed_by", "done_after", "done_within",
    "lanes", "length", "oncoming", "times", "plus", "keep", "over", "rate", "within", "smooth", "repeats",
    "rising", "most",
)  # fmt: skip


class Model(BaseModel):
    """Nothing unknown, nothing converted: ``speed: "fast"`` and ``sped: 3`` are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)

    def chosen(self) -> list[str]:
        """The keys that were given, those aside that say when or how and not what."""
        return [name for name in self.model_fields_set if name not in _WHEN and getattr(self, name) is not None]


class OneOf(Model):
    """Exactly one of its keys besides those that say when or how."""

    @model_validator(mode="after")
    def _exactly_one(self) -> OneOf:
        if len(self.chosen()) != 1:
            names = ", ".join(name for name in type(self).model_fields if name not in _WHEN)
            raise ValueError(f"needs exactly one of {names}")
        return self


# Where


class Place(Model):
    """A place: a spawn point of the map, a place on a road, in the world, or relative to where the ego begins."""

    point: int | None = Field(None, ge=0)
    """Index among the map's spawn points."""
    road: int | None = Field(None, ge=0)
    """Id of an OpenDRIVE road; with `lane` and `s`."""
    lane: int | None = None
    """Id of a lane of that road (negative: along the road, positive: against it)."""
    s: Distance | None = None
    """Position along that road."""
    t: Annotated[float, Field(ge=-100.0, le=100.0)] | None = None
    """Instead of `lane`: metres to the left of the road's reference line. The nearest lane there is meant."""
    ahead: Metres | None = None
    """Metres along the road in front of where the ego begins (negative: behind it); straight on at junctions."""
    of: Name | None = None
    """With `ahead`: of where this actor is when the place is asked for, not of where the ego begins."""
    x: Metres | None = None
    """With `y`: in the world, CARLA's axes (y is to the right of x)."""
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
    """Where an actor begins."""

    z: Metres | None = None
    """Height of x, y (default: that of the road there)."""
    yaw: Annotated[float, Field(ge=-360.0, le=360.0)] | None = None
    """Heading at x, y, degrees clockwise from the x axis (default: that of the nearest lane)."""
    lanes: int = Field(0, ge=-4, le=4)
    """Lanes to the right of the place (negative: to the left)."""
    across: Annotated[float, Field(ge=-30.0, le=30.0)] = 0.0
    """Metres to the right of the lane's middle (negative: to the left)."""
    turned: Annotated[float, Field(ge=-180.0, le=180.0)] = 0.0
    """Degrees clockwise from the lane's direction."""
    speed: Speed = 0.0
    """Speed at the beginning."""

    @model_validator(mode="after")
    def _only_in_the_world(self) -> Spawn:
        if self.x is None and not (self.z is None and self.yaw is None):
            raise ValueError("z and yaw go with x and y")
        return self


# When


class Near(Model):
    """Distance between two actors."""

    of: Name | None = None
    """One actor (default: whose step it is, or the ego)."""
    to: Name = EGO
    """The other."""
    way: Literal["straight", "ahead", "aside"] = "straight"
    """Straight from one to the other, or only along the first one's axis (ahead or behind), or only across it."""
    outlines: bool = False
    """Between their outlines (default: between their middles)."""
    below: Distance | None = None
    above: Distance | None = None

    @model_validator(mode="after")
    def _bound(self) -> Near:
        return _bounded(self)


class Moving(Model):
    """Speed of an actor, negative backwards."""

    of: Name | None = None
    below: SignedSpeed | None = None
    above: SignedSpeed | None = None

    @model_validator(mode="after")
    def _bound(self) -> Moving:
        return _bounded(self)


class Accelerating(Model):
    """How fast the speed of an actor changes, m/s^2; negative: it brakes."""

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
    """Nobody is on the lane that is so many to the left of an actor's, nor near it along the road."""

    of: Name | None = None
    lanes: Annotated[int, Field(ge=-8, le=8)] = 0
    """How many lanes to the left of its own (negative: to the right)."""
    ahead: Distance = 0.0
    behind: Distance = 0.0
    """Metres between the centres within which no other actor is."""


class Astray(Model):
    """For so long an actor has been beside every lane (`offroad`), or where its road ends (`end_of_road`)."""

    of: Name | None = None
    least: Seconds = 0.0


class At(Model):
    """An actor is within a radius of a place, or anywhere on a road."""

    of: Name | None = None
    place: Place | None = None
    x: Metres | None = None
    y: Metres | None = None
    within: Distance = 5.0
    """Radius round the place, or x, y."""
    beyond: Distance | None = None
    """Instead: further away than so many metres."""
    road: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _one_place(self) -> At:
        if (self.x is None) != (self.y is None):
            raise ValueError("needs x and y together")
        if (self.place is not None) + (self.x is not None) + (self.road is not None) != 1:
            raise ValueError("needs either place, or x and y, or road")
        return self


class Travelled(Model):
    """Metres that an actor has travelled since the beginning."""

    of: Name | None = None
    above: Annotated[float, Field(ge=0.0, le=1e6)]


class CollisionCondition(Model):
    """An actor has touched something, or a certain other actor."""

    of: Name | None = None
    by: Name | None = Field(None, alias="with")
    """The other one (default: anything)."""


class Headway(Model):
    """Seconds until an actor is where another one ahead is now, at its own speed."""

    of: Name | None = None
    to: Name
    outlines: bool = True
    """Between their outlines, or (false) between their middles."""
    below: Seconds | None = None
    above: Seconds | None = None

    @model_validator(mode="after")
    def _bound(self) -> Headway:
        return _bounded(self)


class TimeToCollision(Model):
    """Seconds until an actor would touch another one, both keeping their velocities (never: infinite)."""

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
    """An actor stands still, and has for so long."""

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
    """``time: {above: 4}``, as other conditions are written: the same as ``time: 4``."""

    above: Seconds


def _from_then_on(value: Any) -> Any:
    return value["above"] if isinstance(value, dict) and value.keys() == {"above"} else value


class When(Model):
    """Conditions that must all hold at the same tick."""

    time: Annotated[
        Seconds | None, BeforeValidator(_from_then_on, json_schema_input_type=Seconds | FromThenOn | None)
    ] = None
    """Seconds since the beginning, from which on it holds; `{above: 4}` is the same as `4`."""
    after: Seconds | None = None
    """Seconds since the step before began."""
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
    """All of these too, where there are several of a kind."""
    any_of: Annotated[list[When], Field(min_length=1, max_length=20)] | None = None
    """Of these one is enough."""

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
