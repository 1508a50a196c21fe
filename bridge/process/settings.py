"""YAML settings checked by pydantic models: every mistake is reported with its line, in a one-line message.

Options of commands, scenarios and training runs all use this module, so that their messages have the same form.
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
    import yaml  # imported late in `_collect_lines`: only processes that read a file wait for it

Key = tuple[str | int, ...]
Lines = Mapping[Key, int]
MISSING = "is missing"
_M = TypeVar("_M", bound=BaseModel)


class SettingsError(ValueError):
    """Settings are invalid; the message is one line: file, line, key, and what is wrong."""


@dataclass(frozen=True)
class Problem:
    """A mistake in a file."""

    line: int  # from 1
    key: str  # such as actors[0].spawn.ahead, "" for the whole file
    message: str


def load(path: Path, model: type[_M]) -> _M:
    """Load a YAML file as ``model``. Raises :class:`SettingsError`."""
    data, lines = read(path)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SettingsError(first_problem(path, problems(error, model, lines))) from None


def read(path: Path) -> tuple[dict[str, Any], Lines]:
    """Read the mapping in a YAML file, and the line of every key in it. Raises :class:`SettingsError`."""
    try:
        data, lines = parse_yaml(files.read_text(path, limits.YAML_SIZE))
    except OSError as error:
        raise SettingsError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except YamlError as error:
        raise SettingsError(f"{path}:{error.line}: {error}") from None
    except FileRefused as error:
        raise SettingsError(f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise SettingsError(f"{path}:1: must be a mapping of settings, one `key: value` per line")
    return data, lines


def parse_yaml(text: str) -> tuple[Any, dict[Key, int]]:
    """Return the plain data of a YAML text, and the line of every key in it. Raises :class:`YamlError`."""
    node, data = untrusted_yaml.parse(text)
    lines: dict[Key, int] = {}
    _collect_lines(node, (), lines)
    return data, lines


def _collect_lines(node: yaml.Node, key: Key, lines: dict[Key, int]) -> None:
    """Record the lines of all keys, and refuse duplicate keys, which PyYAML accepts."""
    import yaml

    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            line = name.start_mark.line + 1
            if not isinstance(name, yaml.ScalarNode):
                raise YamlError(line, f"{dotted(key)}: a key must be a word")
            child = (*key, name.value)
            if child in lines and line != lines[child]:
                raise YamlError(line, f"{dotted(child)}: given twice, first in line {lines[child]}")
            lines[child] = line
            _collect_lines(value, child, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _collect_lines(value, (*key, index), lines)


def line_of(lines: Lines, key: Key) -> int:
    """Return the line of a key, or of the nearest key that contains it."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 1)


def dotted(key: Key) -> str:
    """Return a key in dotted notation: ``actors[0].spawn.ahead``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")


# Messages


def first_problem(path: Path, problems: Sequence[Problem]) -> str:
    """Return one line about several mistakes: the first one, and how many more there are."""
    # A misspelt key is reported twice, as missing and as unknown; the latter is more helpful.
    first = min(problems, key=lambda problem: (problem.line, problem.message == MISSING))
    same = [first]
    if first.message == MISSING:  # all keys that are missing there at once
        same = [each for each in problems if (each.line, each.message) == (first.line, MISSING)]
    key = f"{', '.join(each.key for each in same)}: " if first.key else ""
    more = f" (and {len(problems) - len(same)} more)" if len(problems) > len(same) else ""
    return f"{path}:{first.line}: {key}{first.message}{more}"


def problems(error: ValidationError, model: type[BaseModel], lines: Lines) -> list[Problem]:
    """Return all mistakes in a ``ValidationError`` of ``model``."""
    messages = [(tuple(each["loc"]), describe_error(each, model)) for each in error.errors(include_url=False)]
    return [Problem(line_of(lines, key), dotted(key), message) for key, message in messages]


def describe_error(error: Any, model: type[BaseModel]) -> str:
    """Return the message for one of a ``ValidationError``'s errors, without its key."""
    key: Key = tuple(error["loc"])
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden":
        renamed = getattr(model, "renamed", {})  # a model may list the former names of its keys
        if key[-1] in renamed:
            return f"unknown key; it is {renamed[key[-1]]} now"
        return unknown("key", str(key[-1]), known_keys(model, key[:-1]), with_word=False)
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


def known_keys(model: type[BaseModel], key: Key) -> list[str]:
    """Return the keys of the mapping at ``key`` of a model."""
    for part in key:
        if isinstance(part, str):
            names = {info.alias or name: info for name, info in model.model_fields.items()}
            model = _model_in(names[part].annotation)
    return [info.alias or name for name, info in model.model_fields.items()]


def _model_in(annotation: Any) -> Any:
    """Return the model inside an annotation such as ``list[Step]`` or ``Spawn | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = (_model_in(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in inside if model is not None), None)
