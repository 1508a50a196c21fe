"""Validate the JSON messages of a recording by topic: types, lengths and sizes.

Messages are dictionaries with the keys listed here and any others in the file. Numbers are finite.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import NotRequired, TypedDict

from bridge.untrusted import limits

_Text = Annotated[str, Field(max_length=200)]
_Pose = Annotated[list[float], Field(min_length=16, max_length=16)]  # CARLA's, row-major
_Vector = Annotated[list[float], Field(min_length=3, max_length=3)]
_Box = Annotated[list[float], Field(min_length=4, max_length=4)]
_Count = Annotated[int, Field(ge=-(1 << 62), le=1 << 62)]
_Many = Field(max_length=limits.JSON_ITEMS)
_CHECKED = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


@with_config(_CHECKED)
class EgoMessage(TypedDict, total=False):
    """A message on ``/ego``."""

    frame: _Count
    time: float
    speed: float
    gear: _Count
    road_id: _Count
    lane_id: _Count
    collisions: _Count
    autopilot: bool
    weather: _Text
    weather_parameters: Annotated[dict[_Text, float], _Many]
    scenario: _Text
    seed: _Count
    blueprint: _Text
    color: _Text
    mount: _Text


@with_config(_CHECKED)
class ControlMessage(TypedDict, total=False):
    """A message on ``/control``."""

    frame: _Count
    throttle: float
    brake: float
    steer: float
    hand_brake: bool
    reverse: bool


_Collision = TypedDict("_Collision", {"time": float, "of": _Text, "with": _Text})  # "with" is no Python name
_Collision.__pydantic_config__ = _CHECKED  # type: ignore[attr-defined]


@with_config(_CHECKED)
class _Invasion(TypedDict):
    time: float
    side: _Text
    marking: _Text


@with_config(_CHECKED)
class ScenarioMessage(TypedDict):
    """A message on ``/scenario``."""

    time: float
    actors: Annotated[dict[_Text, Annotated[list[float], Field(min_length=8, max_length=10)]], _Many]
    collisions: Annotated[list[_Collision], _Many]
    lane_invasions: Annotated[list[_Invasion], _Many]
    route: Annotated[list[float], Field(min_length=2, max_length=2)] | None


@with_config(_CHECKED)
class _Object(TypedDict):
    instance: Annotated[int, Field(ge=0, le=65535)]
    tag: Annotated[int, Field(ge=0, le=255)]
    pose: _Pose
    extent: _Vector
    blueprint: NotRequired[Annotated[str, Field(max_length=64)]]
    color: NotRequired[Annotated[str, Field(max_length=64)]]


@with_config(_CHECKED)
class _Lamp(TypedDict):
    kind: _Text
    state: _Text
    box: _Box
    depth: float


@with_config(_CHECKED)
class ObjectsMessage(TypedDict, total=False):
    """A message on ``/objects``."""

    frame: _Count
    objects: Annotated[list[_Object], _Many]
    lamps: Annotated[list[_Lamp], _Many]


_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "/ego": TypeAdapter(EgoMessage),
    "/control": TypeAdapter(ControlMessage),
    "/scenario": TypeAdapter(ScenarioMessage),
    "/objects": TypeAdapter(ObjectsMessage),
}


def read(topic: str, data: bytes) -> dict[str, Any]:
    """Return the validated message on one of ``topics.JSON``. Raises ``ValueError``, one line."""
    if len(data) > limits.JSON_SIZE:
        raise ValueError(f"{topic}: {len(data)} bytes, at most {limits.JSON_SIZE} can be read")
    try:
        message: dict[str, Any] = _ADAPTERS[topic].validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part)[:40] for part in first["loc"][:4])
        raise ValueError(f"{topic}: {where + ': ' if where else ''}{first['msg'].lower()}") from None
    return message
