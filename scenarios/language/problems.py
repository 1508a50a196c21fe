"""Mistakes in scenario files: each with file, line and key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.process import settings
from bridge.process.lifetime import BridgeError
from bridge.process.settings import Key, Problem


class ScenarioError(BridgeError):
    """A scenario that cannot be played; one line: file, line, key, and what is wrong."""


def first_error(path: Path, problems: Sequence[Problem]) -> ScenarioError:
    """The one to raise of several mistakes: the first, and how many more there are."""
    return ScenarioError(settings.first(path, problems))


def parse_yaml(path: Path, text: str) -> tuple[Any, dict[Key, int]]:
    """The plain data of a YAML text, and the line of every key in it."""
    try:
        return settings.parse_yaml(text)
    except settings.YamlError as error:
        advice = "; see docs/scenarios.md" if str(error) == "empty" else ""
        raise ScenarioError(f"{path}:{error.line}: {error}{advice}") from None
