"""Rig files: the cameras of a vehicle, to be used with any scenario."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bridge.process.settings import Key, Problem, dotted, line_of, problems
from bridge.untrusted import files, limits
from scenarios.engine.loader import LoadedScenario, load, parse, taken_names
from scenarios.language.problems import ScenarioError, first_error, parse_yaml
from scenarios.language.schema import Rig


def read_rig(path: Path) -> Rig:
    """Return the cameras in a rig file. Raises ``ScenarioError``, with file, line and key."""
    return _read(path)[0]


def _read(path: Path) -> tuple[Rig, dict[str, Any]]:
    try:
        text = files.read_text(path, limits.YAML_SIZE)
    except OSError as error:
        raise ScenarioError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}") from None
    data, lines = parse_yaml(path, text)
    try:
        rig = Rig.model_validate(data)
    except ValidationError as error:
        raise first_error(path, problems(error, Rig, lines)) from None
    mistakes: list[tuple[Key, str]] = list(taken_names(rig.cameras))
    if mistakes:
        raise first_error(path, [Problem(line_of(lines, key), dotted(key), what) for key, what in mistakes])
    return rig, data


def load_with_rig(path: str | Path, rig: Path | None) -> LoadedScenario:
    """Load a scenario with the cameras of a rig file in place of its own; None: with its own.

    Its text is that of the scenario with these cameras. Raises ``ScenarioError`` for a mistake in either file.
    """
    loaded = load(path)
    if rig is None:
        return loaded
    cameras = _read(rig)[1]
    data, _ = parse_yaml(loaded.path, loaded.text)
    return parse(loaded.path, yaml.safe_dump(data | cameras, sort_keys=False), loaded.files)
