"""Settings in YAML files that are checked by pydantic models: every mistake with its line, in one line of words.

Options of commands, scenarios and training runs are read by what is here, so that they complain alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from bridge.process.parser import unknown
from bridge.untrusted import files, limits
from bridge.untrusted import yaml as untrusted_yaml
from bridge.untrusted.files import FileRefused
from bridge.untrusted.yaml import YamlError

if TYPE_CHECKING:
    import yaml  # as in `parse_yaml`: only who reads a file waits for it

Key = tuple[str | int, ...]
Lines = Mapping[Key, int]
MISSING = "is missing"
_M = TypeVar("_M", bound=BaseModel)


class SettingsError(ValueError):
    """Settings that cannot be used; one line: file, line, key, and what is wrong."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a file."""

    line: int  # from 1
    key: str  # such as actors[0].spawn.ahead, "" for the whole file
    message: str


def load(path: Path, model: type[_M]) -> _M:
    """The ``model`` in a YAML file. Raises :class:`SettingsError`."""
    data, lines = read(path)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SettingsError(first(path, problems(error, model, lines))) from None


def read(path: Path) -> tuple[dict[str, Any], Lines]:
    """The mapping in a YAML file, and the line of every key in it. Raises :class:`SettingsError`."""
    try:
        data, lines = parse_yaml(files.read_text(path, limits.YAML_SIZE))
    except OSError as error:
        raise SettingsError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except YamlError as error:
        raise SettingsError(f"{path}:{error.line}: {error}") from None
    except FileRefused as error:
        raise SettingsError(f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise SettingsError(f"{path}:1: must be a mapping of settings, `key: value` line by line")
    return data, lines


def parse_yaml(text: str) -> tuple[Any, dict[Key, int]]:
    """The plain data of a YAML text, and the line of every key in it. Raises :class:`YamlError`."""
    node, data = untrusted_yaml.parse(text)
    lines: dict[Key, int] = {}
    _walk(node, (), lines)
    return data, lines


def _walk(node: yaml.Node, key: Key, lines: dict[Key, int]) -> None:
    """Note the lines of all keys. Refuses what YAML lets pass: keys that come twice."""
    import yaml

    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            line = name.start_mark.line + 1
            if not isinstance(name, yaml.ScalarNode):
                raise YamlError(line, f"{dotted(key)}: a key must be a word")
            below = (*key, name.value)
            if below in lines and line != lines[below]:
                raise YamlError(line, f"{dotted(below)}: given twice, first in line {lines[below]}")
            lines[below] = line
            _walk(value, below, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*key, index), lines)


def line_of(lines: Lines, key: Key) -> int:
    """The line of a key, or of the nearest thing around it."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 1)


def dotted(key: Key) -> str:
    """A key as people write it: ``actors[0].spawn.ahead``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")


# Mistakes in words


def first(path: Path, problems: Sequence[Problem]) -> str:
    """One line about several mistakes: the first, and how many more there are."""
    # Of a misspelt key both its absence and its presence are wrong; the latter says more.
    first = min(problems, key=lambda problem: (problem.line, problem.message == MISSING))
    key = f"{first.key}: " if first.key else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{path}:{first.line}: {key}{first.message}{more}"


def problems(error: ValidationError, model: type[BaseModel], lines: Lines) -> list[Problem]:
    """All mistakes that ``model`` found, in words."""
    found = [(tuple(each["loc"]), in_words(each, model)) for each in error.errors(include_url=False)]
    return [Problem(line_of(lines, key), dotted(key), message) for key, message in found]


def in_words(error: Any, model: type[BaseModel]) -> str:
    """What one of a ``ValidationError``'s errors says, without its key."""
    key: Key = tuple(error["loc"])
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden":
        renamed = getattr(model, "renamed", {})  # a model may say what its keys were called before
        if key[-1] in renamed:
            return f"unknown key; it is {renamed[key[-1]]} now"
        return unknown("key", str(key[-1]), known(model, key[:-1]), named=False)
    if kind == "missing":
        return MISSING
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "literal_error":
        choices = [word.strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return unknown("value", str(error["input"]), choices)
    if kind == "string_pattern_mismatch":
        return f"{error['input']!r} is not of the form {error['ctx']['pattern']}"
    if kind in ("model_type", "dict_type"):
        return "must be a mapping"
    message = message[0].lower() + message[1:]
    return f"{message}, not {error['input']!r}" if isinstance(error["input"], str | int | float | bool) else message


def known(model: type[BaseModel], key: Key) -> list[str]:
    """The keys of the mapping at ``key`` of a model."""
    for part in key:
        if isinstance(part, str):
            names = {info.alias or name: info for name, info in model.model_fields.items()}
            model = _model_in(names[part].annotation)
    return [info.alias or name for name, info in model.model_fields.items()]


def _model_in(annotation: Any) -> Any:
    """The model inside an annotation such as ``list[Step]`` or ``Spawn | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = (_model_in(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in inside if model is not None), None)
