"""Types of options: each validates a value from any source and defines its notation. Nothing heavy is imported."""

import difflib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from bridge.process import presets
from bridge.process.options import Arg

_LARGEST = 999_999_999


def integer(minimum: int, maximum: int = _LARGEST, description: str = "") -> BeforeValidator:
    """Return a validator for integers from ``minimum`` to ``maximum``, called ``description`` in messages."""
    limit = f", at most {maximum}" if maximum < _LARGEST else ""
    description = description or f"a whole number of {minimum} or more{limit}"

    def check(value: Any) -> int:
        text = str(value)
        is_integer = not isinstance(value, bool) and re.fullmatch(r"-?\d{1,10}", text, re.ASCII)
        if not is_integer or not minimum <= int(text) <= maximum:
            raise ValueError(f"{text!r} is not {description}")
        return int(text)

    return BeforeValidator(check)


def number(minimum: float, maximum: float, description: str) -> BeforeValidator:
    """Return a validator for numbers from ``minimum`` to ``maximum``, called ``description`` in messages."""

    def check(value: Any) -> float:
        try:
            result = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            result = math.nan
        if not minimum <= result <= maximum:
            raise ValueError(f"{str(value)!r} is not {description}")
        return result

    return BeforeValidator(check)


def unique_list(item: Callable[[Any], Any]) -> BeforeValidator:
    """Return a validator for lists and comma-separated texts: each part converted by ``item``, without duplicates."""
    return BeforeValidator(lambda value: tuple(dict.fromkeys(map(item, _split(value)))))


def subset_of(choices: Sequence[str]) -> BeforeValidator:
    """Return a validator for lists and comma-separated texts of ``choices``; the result is in their order."""

    def check(value: Any) -> tuple[str, ...]:
        parts = _split(value)
        wrong = [part for part in parts if part not in choices]
        if wrong:
            close = difflib.get_close_matches(wrong[0], choices, 1)
            advice = f"did you mean {close[0]}?" if close else f"choose {', '.join(choices)}"
            raise ValueError(f"unknown {wrong[0]!r}; {advice}")
        return tuple(choice for choice in choices if choice in parts)

    return BeforeValidator(check)


def _split(value: Any) -> list[Any]:
    parts = value.split(",") if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
    if not parts or "" in parts:
        raise ValueError(f"{value!r} is not a comma-separated list")
    return parts


def matching(pattern: str, example: str) -> BeforeValidator:
    """Return a validator for texts that match ``pattern``; a group in it is a port."""

    def check(value: Any) -> str:
        match = re.fullmatch(pattern, str(value), re.ASCII)
        if not match or (match.re.groups and match[1] and not 0 < int(match[1]) < 65536):
            raise ValueError(f"{str(value)!r} is not {example}")
        return str(value)

    return BeforeValidator(check)


def _ends(suffix: str) -> AfterValidator:
    def check(path: Path) -> Path:
        if path.suffix.lower() != suffix:
            raise ValueError(f"{str(path)!r} must end with {suffix}")
        return path

    return AfterValidator(check)


def _mount(value: Any) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in (value.split(",") if isinstance(value, str) else value))
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{value!r} is not X,Y,Z,PITCH")
    return numbers


Count = Annotated[int, integer(0), Arg("N")]
Positive = Annotated[int, integer(1), Arg("N")]
#: Number of the town's own vehicles or pedestrians; there is no space for more.
Crowd = Annotated[int, integer(0, 1000), Arg("N")]
#: A TCP port to listen on, 0 = any free one.
Port = Annotated[int, integer(0, 65535, "a port, 0 to 65535"), Arg("N")]
#: Ticks or frames per second.
Rate = Annotated[float, number(1.0, 240.0, "a rate from 1 to 240 per second"), Arg("RATE")]
#: Times real time.
Speed = Annotated[float, number(0.1, 8.0, "0.1 to 8"), Arg("X")]
Seconds = Annotated[float, number(0.0, 1e6, "a number of seconds"), Arg("S")]
#: Horizontal angle of view.
Fov = Annotated[float, number(5.0, 170.0, "an angle from 5 to 170 degrees"), Arg("DEGREES")]
#: A camera's pose on the vehicle: metres forward, right and up; pitch in degrees, up positive.
Mount = Annotated[tuple[float, float, float, float], BeforeValidator(_mount), Arg("X,Y,Z,PITCH")]

#: A CARLA server.
Address = Annotated[str, matching(r"[^\s:/]+:(\d{1,5})", "HOST:PORT, such as localhost:2000"), Arg("HOST:PORT")]
#: A ZeroMQ endpoint to connect to.
Endpoint = Annotated[
    str, matching(r"tcp://\S+:(\d{1,5})|ipc://\S+", "an endpoint, such as tcp://192.168.1.5:5555"), Arg("ENDPOINT")
]
Planes = Annotated[tuple[str, ...], subset_of(presets.PLANES), Arg("LIST")]
Weather = Annotated[str, AfterValidator(lambda text: presets.weather(text) if text else ""), Arg("PRESET")]
Vehicle = Annotated[str, AfterValidator(presets.vehicle), Arg("NAME")]
Town = Annotated[str, Arg("NAME|FILE.xodr")]

Folder = Annotated[Path, Arg("DIR")]
Keys = Annotated[Path, Arg("FOLDER")]
JsonFile = Annotated[Path, _ends(".json"), Arg("FILE.json")]
JsonLinesFile = Annotated[Path, _ends(".jsonl"), Arg("FILE.jsonl")]
McapFile = Annotated[Path, _ends(".mcap"), Arg("FILE.mcap")]
Mp4File = Annotated[Path, _ends(".mp4"), Arg("FILE.mp4")]
SumoFile = Annotated[Path, _ends(".sumocfg"), Arg("FILE.sumocfg")]
XmlFile = Annotated[Path, _ends(".xml"), Arg("FILE.xml")]
