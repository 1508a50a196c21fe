"""Scenario files: read, checked, and every mistake reported with file, line and key."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from bridge.lifetime import BridgeError
from scenarios.conditions import EGO, StepState
from scenarios.schema import Actor, Camera, Ego, Scenario, Step

MAX_BYTES = 1 << 20
#: Names of planes and topics: a camera cannot have one of them.
RESERVED = ("tag", "instance", "depth", "motion", "rgb", "neural", "calibration", "ego", "world", "camera")
_MISSING = "is missing"
_Key = tuple[str | int, ...]


class ScenarioError(BridgeError):
    """A scenario that cannot be played; one line: file, line, key, and what is wrong."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a scenario file."""

    line: int  # from 1
    key: str  # such as actors[0].spawn.ahead, "" for the whole file
    message: str


@dataclass(frozen=True)
class Loaded:
    """A scenario with where it came from."""

    path: Path
    scenario: Scenario
    text: str
    town: str  # what the town server is told: a name, or the .xodr file's path
    #: sha256 of everything that the files say
    digest: str
    files: Mapping[str, bytes] = field(repr=False)  # what belongs to it beside its text: name -> content
    _lines: Mapping[_Key, int] = field(repr=False)

    @property
    def id(self) -> str:
        """The name it is recorded under."""
        return self.path.stem

    def error(self, message: str, *key: str | int) -> ScenarioError:
        """A mistake that only shows when it is played, at the line of ``key``."""
        return _error(self.path, [Problem(_line(self._lines, key), _dotted(key), message)])


def load(path: str | Path) -> Loaded:
    """The scenario in a YAML file. Raises ``ScenarioError``."""
    path = Path(path)
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            raise ScenarioError(f"{path}: over {MAX_BYTES >> 20} MiB; that is no scenario")
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ScenarioError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: not a text file (UTF-8)") from None
    data, lines = _parse(path, text)
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        raise _error(path, [_problem(each, lines) for each in error.errors(include_url=False)]) from None
    problems = [Problem(_line(lines, key), _dotted(key), message) for key, message in _check(scenario)]
    digest = hashlib.sha256(raw)
    town, files = scenario.town, {}
    if town.lower().endswith(".xodr"):
        file = path.parent / town
        town = str(file)
        try:
            files[file.name] = file.read_bytes()
            digest.update(files[file.name])
        except OSError as error:
            reason = (error.strerror or "cannot be read").lower()
            problems.append(Problem(_line(lines, ("town",)), "town", f"{file}: {reason}"))
    if problems:
        raise _error(path, problems)
    return Loaded(path, scenario, text, town, digest.hexdigest(), files, lines)


def _error(path: Path, problems: list[Problem]) -> ScenarioError:
    # Of a misspelt key both its absence and its presence are wrong; the latter says more.
    first = min(problems, key=lambda problem: (problem.line, problem.message == _MISSING))
    key = f"{first.key}: " if first.key else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ScenarioError(f"{path}:{first.line}: {key}{first.message}{more}")


# YAML with line numbers


def _parse(path: Path, text: str) -> tuple[Any, dict[_Key, int]]:
    """The plain data of a YAML text, and the line of every key in it."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise ScenarioError(f"{path}:1: empty; see docs/scenarios.md")
        lines: dict[_Key, int] = {}
        _walk(path, node, (), lines)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ScenarioError(f"{path}:{line}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}:1: not YAML: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()


def _walk(path: Path, node: yaml.Node, key: _Key, lines: dict[_Key, int]) -> None:
    """Note the lines of all keys. Refuses what YAML lets pass: keys that come twice, things that contain themselves."""
    if len(key) > 12 or len(lines) > 100_000:
        raise ScenarioError(f"{path}:{node.start_mark.line + 1}: {_dotted(key[:3])}: nested too deeply")
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise ScenarioError(f"{path}:{name.start_mark.line + 1}: {_dotted(key)}: a key must be a word")
            below = (*key, name.value)
            if below in lines and name.start_mark.line + 1 != lines[below]:
                raise ScenarioError(
                    f"{path}:{name.start_mark.line + 1}: {_dotted(below)}: given twice, first in line {lines[below]}"
                )
            lines[below] = name.start_mark.line + 1
            _walk(path, value, below, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(path, value, (*key, index), lines)


def _line(lines: Mapping[_Key, int], key: _Key) -> int:
    """The line of a key, or of the nearest thing around it."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 1)


def _dotted(key: _Key) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")


# Mistakes in words


def _problem(error: Any, lines: Mapping[_Key, int]) -> Problem:
    key: _Key = tuple(error["loc"])
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden":
        known = _known(key[:-1])
        close = difflib.get_close_matches(str(key[-1]), known, 1)
        message = f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known are {', '.join(known)}"
    elif kind == "missing":
        message = _MISSING
    elif kind == "value_error":
        message = str(error["ctx"]["error"])
    elif kind == "string_pattern_mismatch":
        message = f"{error['input']!r} is not of the form {error['ctx']['pattern']}"
    elif kind in ("model_type", "dict_type"):
        message = "must be a mapping"
    else:
        message = message[0].lower() + message[1:]
        if isinstance(error["input"], str | int | float | bool):
            message += f", not {error['input']!r}"
    return Problem(_line(lines, key), _dotted(key), message)


def _known(key: _Key) -> list[str]:
    """The keys of the mapping at ``key``."""
    model: Any = Scenario
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


# What single models cannot know


def _check(scenario: Scenario) -> Iterator[tuple[_Key, str]]:
    """Names that nobody has, steps that never begin, walkers that should drive."""
    names = {EGO}
    steps: set[str] = set()
    everybody: list[tuple[Ego | Actor, _Key]] = [(scenario.ego, ("ego",))]
    everybody += [(actor, ("actors", k)) for k, actor in enumerate(scenario.actors)]
    for who, key in everybody:
        for kind, listed in (("do", who.do), ("events", who.events)):
            for n, step in enumerate(listed):
                if step.name is not None and step.name in steps:
                    yield (*key, kind, n, "name"), f"there is another step {step.name!r}"
                steps.update([step.name] if step.name is not None else [])
    for k, actor in enumerate(scenario.actors):
        if actor.name in names:
            yield ("actors", k, "name"), f"there is another {actor.name!r}"
        names.add(actor.name)
        if actor.walks and actor.spawn.speed:
            yield ("actors", k, "spawn", "speed"), "walkers begin standing"
    for who, key in everybody:
        yield from _check_steps(who, key, names, steps)
    if scenario.ego.spawn.ahead is not None:
        yield ("ego", "spawn", "ahead"), "is relative to the ego itself; use point or road"
    for k, when in enumerate(scenario.end):
        yield from _check_names(when, ("end", k), names, steps)
        if when.after is not None:
            yield ("end", k, "after"), "is for steps; use time"
    for k, assertion in enumerate(scenario.asserts):
        yield from _check_names(assertion, ("assert", k), names, steps)
        if assertion.completes_route is not None and not any(step.follow_route for step in scenario.ego.do):
            yield ("assert", k, "completes_route"), "the ego has no follow_route"
    for k, light in enumerate(scenario.lights):
        if light.when is not None:
            yield from _check_names(light.when, ("lights", k, "when"), names, steps)
    cameras: list[tuple[Camera, _Key]] = [(scenario.camera, ("camera",))]
    cameras += [(camera, ("cameras", k)) for k, camera in enumerate(scenario.cameras)]
    for lens, key in cameras:
        width, height = lens.pixels
        if not (32 <= width <= 4096 and 32 <= height <= 4096):
            yield (*key, "size"), "each side has 32 to 4096 pixels"
    views = [camera.name for camera in scenario.cameras]
    for k, name in enumerate(views):
        if name in views[:k] or name in RESERVED:
            yield ("cameras", k, "name"), f"{name!r} is taken"


def _check_steps(actor: Actor | Ego, key: _Key, names: set[str], known: set[str]) -> Iterator[tuple[_Key, str]]:
    walks = isinstance(actor, Actor) and actor.walks
    for listed, steps in (("do", actor.do), ("events", actor.events)):
        before: Step | None = None
        for k, step in enumerate(steps):
            at, kind = (*key, listed, k), step.chosen()[0]
            if walks != (kind == "cross") and not (walks and kind == "stop"):
                yield (*at, kind), f"is not for {'walkers' if walks else 'vehicles'}"
            if step.when is None and listed == "events":
                yield at, "never begins: an event needs a `when`"
            elif before is not None and step.when is None and before.chosen()[0] in ("follow_lane", "controls"):
                yield at, f"never begins: the {before.chosen()[0]} before it goes on for ever; give it a `when`"
            for name, when in (("when", step.when), ("armed_by", step.armed_by)):
                if when is not None:
                    yield from _check_names(when, (*at, name), names, known)
            before = step


def _check_names(model: BaseModel, key: _Key, names: set[str], steps: set[str]) -> Iterator[tuple[_Key, str]]:
    """All references to actors and to steps below ``model``."""
    for field_name, info in type(model).model_fields.items():
        value = getattr(model, field_name)
        below = (*key, info.alias or field_name)
        if isinstance(value, BaseModel):
            yield from _check_names(value, below, names, steps)
        elif field_name == "any_of" and value is not None:
            for k, one in enumerate(value):
                yield from _check_names(one, (*below, k), names, steps)
        elif isinstance(model, StepState) and field_name == "step" and value not in steps:
            yield below, f"there is no step {value!r}; named ones are {', '.join(sorted(steps)) or 'none'}"
        elif field_name in ("of", "to", "by", "other", "no_collision") and value is not None and value not in names:
            yield below, f"there is no actor {value!r}; there are {', '.join(sorted(names))}"
