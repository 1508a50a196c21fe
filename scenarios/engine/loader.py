"""Scenario files: read, checked, and every mistake reported with file, line and key."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bridge.process import presets
from bridge.untrusted import files, limits, names
from scenarios.language.conditions import EGO, StepState
from scenarios.language.problems import (
    MISSING,
    Key,
    Problem,
    ScenarioError,
    dotted,
    first_error,
    line_of,
    parse_yaml,
)
from scenarios.language.schema import Actor, Camera, Ego, Scenario, Step
from scenarios.openscenario.reader import translate

#: Names of planes and topics: a camera cannot have one of them.
RESERVED = ("tag", "instance", "depth", "motion", "rgb", "neural", "calibration", "ego", "world", "camera")
#: Keys that hold an actor's name.
_NAMES = ("of", "to", "by", "other", "beside", "no_collision")
_WALKERS = ("cross", "stop", "set_speed", "follow_path")
_VEHICLES = tuple(name for name in Step.model_fields if name != "cross")


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
    _lines: Mapping[Key, int] = field(repr=False)

    @property
    def id(self) -> str:
        """The name it is recorded under."""
        return self.path.stem

    def error(self, message: str, *key: str | int) -> ScenarioError:
        """A mistake that only shows when it is played, at the line of ``key``."""
        return first_error(self.path, [Problem(line_of(self._lines, key), dotted(key), message)])


def load(path: str | Path) -> Loaded:
    """The scenario in a YAML file, or in an OpenSCENARIO one (.xosc). Raises ``ScenarioError``."""
    path = Path(path)
    try:
        names.file_name(path.stem, "the scenario")  # it is recorded under
        if path.suffix.lower() == ".xosc":
            raw = files.read_bytes(path, limits.OPENSCENARIO_SIZE)
            text, data, lines = translate(path, raw)
            return _checked(path, text, data, lines, raw + text.encode(), None)  # with what came out of catalogs
        text = files.read_text(path, limits.YAML_SIZE)
    except OSError as error:
        raise ScenarioError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}") from None
    return parse(path, text)


def parse(path: Path, text: str, attached: Mapping[str, bytes] | None = None) -> Loaded:
    """The scenario in a YAML text; ``path`` is what it is called. With ``attached`` (name -> content) nothing is read
    from the disk. Raises ``ScenarioError``."""
    data, lines = parse_yaml(path, text)
    return _checked(path, text, data, lines, text.encode(), attached)


def _checked(
    path: Path, text: str, data: Any, lines: Mapping[Key, int], raw: bytes, attached: Mapping[str, bytes] | None
) -> Loaded:
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        raise first_error(path, [_problem(each, lines) for each in error.errors(include_url=False)]) from None
    problems = [Problem(line_of(lines, key), dotted(key), message) for key, message in _check(scenario)]
    try:
        presets.town(scenario.town)
    except ValueError as error:
        problems.append(Problem(line_of(lines, ("town",)), "town", str(error)))
    digest = hashlib.sha256(raw)
    town, found = scenario.town, dict(attached or {})
    if town.lower().endswith(".xodr"):
        file = path.parent / town
        if not os.path.exists(file):  # no error for what cannot be a path
            file = path.parent / Path(town).name  # the map of a recording lies beside its scenario
        town = str(file)
        try:
            found = found or {file.name: files.read_bytes(file, limits.OPENDRIVE_SIZE)}
            digest.update(found[file.name])
        except (OSError, KeyError, ValueError) as error:
            said = getattr(error, "strerror", None) or (str(error) if isinstance(error, ValueError) else "is not there")
            place = names.shown(str(path.parent / scenario.town))[1:-1]
            problems.append(Problem(line_of(lines, ("town",)), "town", f"{place}: {said.lower()}"))
    if problems:
        raise first_error(path, problems)
    return Loaded(path, scenario, text, town, digest.hexdigest(), found, lines)


# Mistakes in words


def _problem(error: Any, lines: Mapping[Key, int]) -> Problem:
    key: Key = tuple(error["loc"])
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden":
        known = _known(key[:-1])
        close = difflib.get_close_matches(str(key[-1]), known, 1)
        message = f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known are {', '.join(known)}"
    elif kind == "missing":
        message = MISSING
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
    return Problem(line_of(lines, key), dotted(key), message)


def _known(key: Key) -> list[str]:
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


def _check(scenario: Scenario) -> Iterator[tuple[Key, str]]:
    """Names that nobody has, steps that never begin, walkers that should drive."""
    names = {EGO}
    steps: set[str] = set()
    everybody: list[tuple[Ego | Actor, Key]] = [(scenario.ego, ("ego",))]
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
    cameras: list[tuple[Camera, Key]] = [(scenario.camera, ("camera",))]
    cameras += [(camera, ("cameras", k)) for k, camera in enumerate(scenario.cameras)]
    for lens, key in cameras:
        width, height = lens.pixels
        if not (32 <= width <= 4096 and 32 <= height <= 4096):
            yield (*key, "size"), "each side has 32 to 4096 pixels"
    views = [camera.name for camera in scenario.cameras]
    for k, name in enumerate(views):
        if name in views[:k] or name in RESERVED:
            yield ("cameras", k, "name"), f"{name!r} is taken"


def _check_steps(actor: Actor | Ego, key: Key, names: set[str], known: set[str]) -> Iterator[tuple[Key, str]]:
    walks = isinstance(actor, Actor) and actor.walks
    for listed, steps in (("do", actor.do), ("events", actor.events)):
        before: Step | None = None
        for k, step in enumerate(steps):
            at, kind = (*key, listed, k), step.chosen()[0]
            if kind not in (_WALKERS if walks else _VEHICLES):
                yield (*at, kind), f"is not for {'walkers' if walks else 'vehicles'}"
            if step.when is None and listed == "events":
                yield at, "never begins: an event needs a `when`"
            elif before is not None and step.when is None and before.chosen()[0] in ("follow_lane", "controls"):
                yield at, f"never begins: the {before.chosen()[0]} before it goes on for ever; give it a `when`"
            for name in ("when", "armed_by", kind):
                part = getattr(step, name)
                if isinstance(part, BaseModel):
                    yield from _check_names(part, (*at, name), names, known)
            before = step


def _check_names(model: BaseModel, key: Key, names: set[str], steps: set[str]) -> Iterator[tuple[Key, str]]:
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
        elif (
            field_name in ("of", "to", "by", "other", "beside", "no_collision")
            and value is not None
            and value not in names
        ):
            yield below, f"there is no actor {value!r}; there are {', '.join(sorted(names))}"
