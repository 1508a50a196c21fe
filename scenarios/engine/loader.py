"""Loading of scenario files: every mistake is reported with file, line and key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bridge.process import presets
from bridge.process.parser import unknown
from bridge.process.settings import Key, Problem, dotted, line_of, problems
from bridge.untrusted import files, limits, names
from scenarios.language.conditions import EGO, StepState
from scenarios.language.problems import ScenarioError, first_error, parse_yaml
from scenarios.language.schema import ActorSpec, EgoSpec, Scenario, Step
from scenarios.openscenario.reader import translate

#: Names of planes and topics: a camera cannot have one of them.
RESERVED = ("tag", "instance", "depth", "motion", "rgb", "neural", "calibration", "ego", "world", "camera")
#: Keys that hold an actor's name.
_NAMES = ("of", "to", "by", "other", "beside", "no_collision")
_WALKERS = (
    "cross",
    "stop",
    "set_speed",
    "speeds",
    "meet",
    "keep_distance",
    "follow_path",
    "follow_trajectory",
    "teleport",
    "vanish",
    "set_light",
    "mark",
)
_THINGS = ("teleport", "vanish", "set_light", "mark")
_VEHICLES = tuple(name for name in Step.model_fields if name != "cross")


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario with where it came from."""

    path: Path
    scenario: Scenario
    text: str
    town: str  # the town server's argument: a name, or the .xodr file's path
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


def check_blueprints(loaded: LoadedScenario, known: Sequence[str]) -> None:
    """Raise ``ScenarioError`` for the first actor whose blueprint is not among the ``known`` ones of a town."""
    scenario = loaded.scenario
    named: list[tuple[str, Key]] = [(scenario.ego.blueprint, ("ego",))]
    named += [(actor.blueprint, ("actors", number)) for number, actor in enumerate(scenario.actors)]
    for blueprint, key in named:
        if blueprint not in known:
            alike = [name for name in known if name.partition(".")[0] == blueprint.partition(".")[0]]
            raise loaded.error(unknown("blueprint", blueprint, alike), *key, "blueprint")


def load(path: str | Path) -> LoadedScenario:
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


def parse(path: Path, text: str, attached: Mapping[str, bytes] | None = None) -> LoadedScenario:
    """The scenario in a YAML text; ``path`` names it in errors.

    With ``attached`` (name -> content) nothing is read from the disk. Raises ``ScenarioError``.
    """
    data, lines = parse_yaml(path, text)
    return _checked(path, text, data, lines, text.encode(), attached)


def _checked(
    path: Path, text: str, data: Any, lines: Mapping[Key, int], raw: bytes, attached: Mapping[str, bytes] | None
) -> LoadedScenario:
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        raise first_error(path, problems(error, Scenario, lines)) from None
    found = [Problem(line_of(lines, key), dotted(key), message) for key, message in _check(scenario)]
    try:
        presets.town(scenario.town)
    except ValueError as error:
        found.append(Problem(line_of(lines, ("town",)), "town", str(error)))
    digest = hashlib.sha256(raw)
    town, contents = scenario.town, dict(attached or {})
    if town.lower().endswith(".xodr"):
        file = path.parent / town
        if not os.path.exists(file):  # no error for what cannot be a path
            file = path.parent / Path(town).name  # the map of a recording lies beside its scenario
        town = str(file)
        try:
            contents = contents or {file.name: files.read_bytes(file, limits.OPENDRIVE_SIZE)}
            digest.update(contents[file.name])
        except (OSError, KeyError, ValueError) as error:
            reason = getattr(error, "strerror", None) or (
                str(error) if isinstance(error, ValueError) else "is not there"
            )
            place = names.shown(str(path.parent / scenario.town))[1:-1]
            found.append(Problem(line_of(lines, ("town",)), "town", f"{place}: {reason.lower()}"))
    if found:
        raise first_error(path, found)
    return LoadedScenario(path, scenario, text, town, digest.hexdigest(), contents, lines)


# What single models cannot know


def _check(scenario: Scenario) -> Iterator[tuple[Key, str]]:
    """Check across models: references to unknown names, steps that never begin, steps unsuited to the actor."""
    names = {EGO}
    steps: set[str] = set()
    participants: list[tuple[EgoSpec | ActorSpec, Key]] = [(scenario.ego, ("ego",))]
    participants += [(actor, ("actors", k)) for k, actor in enumerate(scenario.actors)]
    for who, key in participants:
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
    for who, key in participants:
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
    for k, change in enumerate(scenario.changes):
        yield from _check_names(change.when, ("changes", k, "when"), names, steps)
    views = [camera.name for camera in scenario.cameras]
    for k, name in enumerate(views):
        if name in views[:k] or name in RESERVED:
            yield ("cameras", k, "name"), f"{name!r} is taken"


def _check_steps(actor: ActorSpec | EgoSpec, key: Key, names: set[str], known: set[str]) -> Iterator[tuple[Key, str]]:
    known_kinds, what = _VEHICLES, "vehicles"
    if isinstance(actor, ActorSpec) and (actor.walks or actor.stands):
        known_kinds, what = (_WALKERS, "walkers") if actor.walks else (_THINGS, "things that stand")
    for listed, steps in (("do", actor.do), ("events", actor.events)):
        before: Step | None = None
        for k, step in enumerate(steps):
            at, kind = (*key, listed, k), step.chosen()[0]
            if kind not in known_kinds:
                yield (*at, kind), f"is not for {what}"
            if kind == "follow_trajectory" and not actor.rails:
                yield (*at, kind), "needs rails: true of its actor, which nothing pushes off it then"
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
        elif field_name in ("any_of", "all_of") and value is not None:
            for k, one in enumerate(value):
                yield from _check_names(one, (*below, k), names, steps)
        elif isinstance(model, StepState) and field_name == "step" and value not in steps:
            yield below, f"there is no step {value!r}; named ones are {', '.join(sorted(steps)) or 'none'}"
        elif (
            field_name in ("of", "to", "by", "other", "beside", "frame", "no_collision")
            and value is not None
            and value not in names
        ):
            yield below, f"there is no actor {value!r}; there are {', '.join(sorted(names))}"
