"""Mistakes in scenario files: each with file, line and key; and YAML that remembers its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bridge.process.lifetime import BridgeError
from bridge.untrusted import yaml as untrusted_yaml

MISSING = "is missing"
Key = tuple[str | int, ...]


class ScenarioError(BridgeError):
    """A scenario that cannot be played; one line: file, line, key, and what is wrong."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a scenario file."""

    line: int  # from 1
    key: str  # such as actors[0].spawn.ahead, "" for the whole file
    message: str


def first_error(path: Path, problems: Sequence[Problem]) -> ScenarioError:
    """The one to raise of several mistakes: the first, and how many more there are."""
    # Of a misspelt key both its absence and its presence are wrong; the latter says more.
    first = min(problems, key=lambda problem: (problem.line, problem.message == MISSING))
    key = f"{first.key}: " if first.key else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ScenarioError(f"{path}:{first.line}: {key}{first.message}{more}")


def parse_yaml(path: Path, text: str) -> tuple[Any, dict[Key, int]]:
    """The plain data of a YAML text, and the line of every key in it."""
    try:
        node, data = untrusted_yaml.parse(text)
    except untrusted_yaml.YamlError as error:
        advice = "; see docs/scenarios.md" if str(error) == "empty" else ""
        raise ScenarioError(f"{path}:{error.line}: {error}{advice}") from None
    lines: dict[Key, int] = {}
    _walk(path, node, (), lines)
    return data, lines


def _walk(path: Path, node: yaml.Node, key: Key, lines: dict[Key, int]) -> None:
    """Note the lines of all keys. Refuses what YAML lets pass: keys that come twice."""
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise ScenarioError(f"{path}:{name.start_mark.line + 1}: {dotted(key)}: a key must be a word")
            below = (*key, name.value)
            if below in lines and name.start_mark.line + 1 != lines[below]:
                raise ScenarioError(
                    f"{path}:{name.start_mark.line + 1}: {dotted(below)}: given twice, first in line {lines[below]}"
                )
            lines[below] = name.start_mark.line + 1
            _walk(path, value, below, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(path, value, (*key, index), lines)


def line_of(lines: Mapping[Key, int], key: Key) -> int:
    """The line of a key, or of the nearest thing around it."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 1)


def dotted(key: Key) -> str:
    """A key as people write it: ``actors[0].spawn.ahead``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
