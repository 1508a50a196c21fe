"""Mistakes in scenario files: each with file, line and key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.process import settings
from bridge.process.lifetime import BridgeError
from bridge.process.settings import Key, Problem

#: The shortest valid scenario.
SHORTEST = "{title: Mine, duration: 9, ego: {spawn: {point: 0}, do: [{follow_lane: {speed: 8}}]}, assert: []}"


class ScenarioError(BridgeError):
    """A scenario cannot be played; the message is one line: file, line, key, and what is wrong."""


def first_error(path: Path, problems: Sequence[Problem]) -> ScenarioError:
    """Return the error for several mistakes: the first one, and how many more there are."""
    text = settings.first_problem(path, problems)
    is_incomplete = any(problem.message == settings.MISSING and "." not in problem.key for problem in problems)
    return ScenarioError(f"{text}; the shortest scenario: {SHORTEST}" if is_incomplete else text)


def parse_yaml(path: Path, text: str) -> tuple[Any, dict[Key, int]]:
    """Return the plain data of a YAML text, and the line of every key in it."""
    try:
        return settings.parse_yaml(text)
    except settings.YamlError as error:
        advice = "; see docs/guide/scenarios.md" if str(error) == "empty" else ""
        raise ScenarioError(f"{path}:{error.line}: {error}{advice}") from None
