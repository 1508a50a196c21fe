"""Types of options: each checks a value, however it comes, and says how it is written. Nothing heavy is imported."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from bridge.process import presets
from bridge.process.options import Arg

_LARGEST = 999_999_999


def whole(least: int, most: int = _LARGEST, words: str = "") -> BeforeValidator:
    """A whole number from ``least`` to ``most``, which is ``words``."""
    words = words or f"a whole number of {least} or more" + (f", at most {most}" if most < _LARGEST else "")

    def check(value: Any) -> int:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,10}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(f"{text!r} is not {words}")
        return int(text)

    return BeforeValidator(check)


def number(least: float, most: float, words: str) -> BeforeValidator:
    """A number from ``least`` to ``most``, which is ``words``."""

    def check(value: Any) -> float:
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            found = math.nan
        if not least <= found <= most:
            raise ValueError(f"{str(value)!r} is not {words}")
        return found

    return BeforeValidator(check)


def several(item: Callable[[Any], Any]) -> BeforeValidator:
    """A list, or a text with commas: each ``item`` once, in the order given."""
    return BeforeValidator(lambda value: tuple(dict.fromkeys(map(item, _split(value)))))


def listed(known: Sequence[str]) -> BeforeValidator:
    """A list, or a text with commas, of words out of ``known``: each once, in their order there."""

    def check(value: Any) -> tuple[str, ...]:
        given = _split(value)
        wrong = [word for word in given if word not in known]
        if wrong:
            raise ValueError(f"unknown {wrong[0]!r}; there are {', '.join(known)}")
        return tuple(word for word in known if word in given)

    return BeforeValidator(check)


def _split(value: Any) -> list[Any]:
    parts = value.split(",") if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
    if not parts or "" in parts:
        raise ValueError(f"{value!r} is no list, separated by commas")
    return parts


def _text(pattern: str, example: str) -> BeforeValidator:
    """A text of this form, with a port where the pattern has a group."""

    def check(value: Any) -> str:
        match = re.fullmatch(pattern, str(value), re.ASCII)
        if not match or (match[1] and not 0 < int(match[1]) < 65536):
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


Count = Annotated[int, whole(0), Arg("N")]
Positive = Annotated[int, whole(1), Arg("N")]
#: Of the town's own vehicles or pedestrians: more would find no room.
Crowd = Annotated[int, whole(0, 1000), Arg("N")]
#: A TCP port to listen on, 0 = any free one.
Port = Annotated[int, whole(0, 65535, "a port, 0 to 65535"), Arg("N")]
#: Ticks or frames per second.
Rate = Annotated[float, number(1.0, 240.0, "a rate from 1 to 240 per second"), Arg("RATE")]
#: Times real time.
Speed = Annotated[float, number(0.1, 8.0, "0.1 to 8"), Arg("X")]
Seconds = Annotated[float, number(0.0, 1e6, "a number of seconds"), Arg("S")]
#: Horizontal angle of view.
Fov = Annotated[float, number(5.0, 170.0, "an angle from 5 to 170 degrees"), Arg("DEGREES")]
#: Where a camera is at the vehicle: metres forward, to the right and up; degrees up.
Mount = Annotated[tuple[float, float, float, float], BeforeValidator(_mount), Arg("X,Y,Z,PITCH")]

#: A CARLA server.
Address = Annotated[str, _text(r"[^\s:/]+:(\d{1,5})", "HOST:PORT, such as localhost:2000"), Arg("HOST:PORT")]
#: A ZeroMQ endpoint to connect to.
Endpoint = Annotated[
    str, _text(r"tcp://\S+:(\d{1,5})|ipc://\S+", "an endpoint, such as tcp://192.168.1.5:5555"), Arg("ENDPOINT")
]
Planes = Annotated[tuple[str, ...], listed(presets.PLANES), Arg("LIST")]
Weather = Annotated[str, AfterValidator(lambda text: presets.weather(text) if text else ""), Arg("PRESET")]
Town = Annotated[str, Arg("NAME|FILE.xodr")]

Folder = Annotated[Path, Arg("DIR")]
Keys = Annotated[Path, Arg("FOLDER")]
JsonFile = Annotated[Path, _ends(".json"), Arg("FILE.json")]
JsonLinesFile = Annotated[Path, _ends(".jsonl"), Arg("FILE.jsonl")]
MarkdownFile = Annotated[Path, _ends(".md"), Arg("FILE.md")]
McapFile = Annotated[Path, _ends(".mcap"), Arg("FILE.mcap")]
Mp4File = Annotated[Path, _ends(".mp4"), Arg("FILE.mp4")]
SumoFile = Annotated[Path, _ends(".sumocfg"), Arg("FILE.sumocfg")]
XmlFile = Annotated[Path, _ends(".xml"), Arg("FILE.xml")]
