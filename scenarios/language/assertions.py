"""The assertions of the scenario language: what must be true of a whole scenario; units as in ``schema.py``.

``scenarios/engine/assertion_monitor.py`` judges them.
"""

from pydantic import Field

from scenarios.language.conditions import EGO, Distance, Model, Name, OneOf, Seconds, Share, Speed


class SpeedLimit(Model):
    """A limit on an actor's speed during a span of time."""

    of: Name = EGO
    value: Speed
    since: Seconds = 0.0
    until: Seconds = 3600.0


class Travels(Model):
    """The distance that an actor must have travelled at the end, metres."""

    of: Name = EGO
    least: Distance = 0.0
    most: Distance = 10_000.0


class Keeps(Model):
    """The free space between the outlines of two actors at all times, metres."""

    of: Name = EGO
    to: Name
    least: Distance


class StopsBefore(Model):
    """An actor stops behind another one, and is never closer than `least` metres."""

    of: Name = EGO
    to: Name
    least: Distance = 0.5


class Passes(Model):
    """At the end, an actor that began behind another one is in front of it on the road."""

    of: Name = EGO
    other: Name


class Stands(Model):
    """An actor stands still for at least this long at some time."""

    of: Name = EGO
    least: Seconds = 0.5


class LaneInvasions(Model):
    """How often the ego may cross a marking of its lane (a lane change counts once)."""

    most: int = Field(0, ge=0)


class CompletesRoute(Model):
    """The share of its `follow_route` that the ego must have completed at the end."""

    least: Share = 0.95


class Assertion(OneOf):
    """Something that must be true of the whole scenario."""

    no_collision: Name | None = None
    """This actor collides with nothing."""
    max_speed: SpeedLimit | None = None
    """The speed is never exceeded during the span."""
    min_speed: SpeedLimit | None = None
    """The speed is never fallen short of during the span."""
    reaches_speed: SpeedLimit | None = None
    """The speed is reached at some time during the span."""
    travels: Travels | None = None
    keeps_distance: Keeps | None = None
    stops_before: StopsBefore | None = None
    stands: Stands | None = None
    passes: Passes | None = None
    lane_invasions: LaneInvasions | None = None
    completes_route: CompletesRoute | None = None
