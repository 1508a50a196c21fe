"""Loading of scenario files; every mistake is reported with file, line and key."""

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
from scenarios.language.schema import ActorSpec, EgoSpec, ExtraCameraSpec, Scenario, Step
from scenarios.openscenario.reader import translate

#: Names of planes and topics, which are not allowed for cameras.
RESERVED = ("tag", "instance", "depth", "motion", "rgb", "neural", "calibration", "ego", "world", "camera")
#: Keys whose value is an actor's name.
_NAME_KEYS = ("of", "to", "by", "other", "beside", "frame", "no_collision")
#: Steps that walkers, props and vehicles can execute.
_PROP_STEPS = (
    "stop",
    "set_speed",
    "speeds",
    "meet",
    "keep_distance",
    "follow_path",
    "teleport",
    "vanish",
    "set_light",
    "mark",
)
_WALKER_STEPS = ("cross", "follow_trajectory", *_PROP_STEPS)
_VEHICLE_STEPS = tuple(name for name in Step.model_fields if name != "cross")


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario together with its source."""

    path: Path
    scenario: Scenario
    text: str
    town: str  # the town server's argument: a name, or the .xodr file's path
    digest: str  # sha256 of the contents of all its files
    files: Mapping[str, bytes] = field(repr=False)  # further files that belong to it: name -> content
    _lines: Mapping[Key, int] = field(repr=False)

    @property
    def id(self) -> str:
        """The name under which it is recorded."""
        return self.path.stem

    def error(self, message: str, *key: str | int) -> ScenarioError:
        """Return the error for a mistake at the line of ``key`` that is only detected when the scenario is played."""
        return first_error(self.path, [Problem(line_of(self._lines, key), dotted(key), message)])


def check_blueprints(loaded: LoadedScenario, known: Sequence[str]) -> None:
    """Raise ``ScenarioError`` for the first actor whose blueprint is not among a town's ``known`` ones."""
    scenario = loaded.scenario
    named: list[tuple[str, Key]] = [(scenario.ego.blueprint, ("ego",))]
    named += [(actor.blueprint, ("actors", number)) for number, actor in enumerate(scenario.actors)]
    for blueprint, key in named:
        if blueprint not in known:
            alike = [name for name in known if name.partition(".")[0] == blueprint.partition(".")[0]]
            raise loaded.error(unknown("blueprint", blueprint, alike), *key, "blueprint")


def load(path: str | Path) -> LoadedScenario:
    """Load a scenario from a YAML or OpenSCENARIO (.xosc) file. Raises ``ScenarioError``."""
    path = Path(path)
    try:
        names.check_file_name(path.stem, "the scenario")  # recordings use this name
        if path.suffix.lower() == ".xosc":
            raw = files.read_bytes(path, limits.OPENSCENARIO_SIZE)
            text, data, lines = translate(path, raw)
            return _checked(path, text, data, lines, raw + text.encode(), None)  # the text includes catalog entries
        text = files.read_text(path, limits.YAML_SIZE)
    except OSError as error:
        raise ScenarioError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}") from None
    return parse(path, text)


def parse(path: Path, text: str, attached: Mapping[str, bytes] | None = None) -> LoadedScenario:
    """Load a scenario from a YAML text; ``path`` is used in errors. Raises ``ScenarioError``.

    With ``attached`` (name -> content) nothing is read from disk.
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
    mistakes = [Problem(line_of(lines, key), dotted(key), message) for key, message in _check(scenario)]
    try:
        presets.town(scenario.town)
    except ValueError as error:
        mistakes.append(Problem(line_of(lines, ("town",)), "town", str(error)))
    digest = hashlib.sha256(raw)
    town, contents = scenario.town, dict(attached or {})
    if town.lower().endswith(".xodr"):
        file = path.parent / town
        if not os.path.exists(file):  # unlike Path.exists, False for an invalid path
            file = path.parent / Path(town).name  # the map of a recording is in the folder of its scenario
        town = str(file)
        try:
            contents = contents or {file.name: files.read_bytes(file, limits.OPENDRIVE_SIZE)}
            digest.update(contents[file.name])
        except (OSError, KeyError, ValueError) as error:
            reason = getattr(error, "strerror", None) or (
                str(error) if isinstance(error, ValueError) else "does not exist"
            )
            place = names.printable(str(path.parent / scenario.town))[1:-1]
            mistakes.append(Problem(line_of(lines, ("town",)), "town", f"{place}: {reason.lower()}"))
    if mistakes:
        raise first_error(path, mistakes)
    return LoadedScenario(path, scenario, text, town, digest.hexdigest(), contents, lines)


# Checks across models


def _check(scenario: Scenario) -> Iterator[tuple[Key, str]]:
    """Yield references to unknown names, steps that never begin, and steps that do not suit the actor."""
    names = {EGO}
    steps: set[str] = set()
    participants: list[tuple[EgoSpec | ActorSpec, Key]] = [(scenario.ego, ("ego",))]
    participants += [(actor, ("actors", k)) for k, actor in enumerate(scenario.actors)]
    for participant, key in participants:
        for kind, steps_of_kind in (("do", participant.do), ("events", participant.events)):
            for n, step in enumerate(steps_of_kind):
                if step.name is not None and step.name in steps:
                    yield (*key, kind, n, "name"), f"there is another step {step.name!r}"
                steps.update([step.name] if step.name is not None else [])
    for k, actor in enumerate(scenario.actors):
        if actor.name in names:
            yield ("actors", k, "name"), f"there is another {actor.name!r}"
        names.add(actor.name)
        if actor.walks and actor.spawn.speed:
            yield ("actors", k, "spawn", "speed"), "walkers begin standing"
    for participant, key in participants:
        yield from _check_steps(participant, key, names, steps)
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
    yield from taken_names(scenario.cameras)


def taken_names(cameras: Sequence[ExtraCameraSpec]) -> Iterator[tuple[Key, str]]:
    """Yield a mistake for each camera whose name another one, a plane or a topic has."""
    views = [camera.name for camera in cameras]
    for k, name in enumerate(views):
        if name in views[:k] or name in RESERVED:
            yield ("cameras", k, "name"), f"{name!r} is taken"


def _check_steps(actor: ActorSpec | EgoSpec, key: Key, names: set[str], known: set[str]) -> Iterator[tuple[Key, str]]:
    allowed, what = _VEHICLE_STEPS, "vehicles"
    if isinstance(actor, ActorSpec) and (actor.walks or actor.stands):
        allowed, what = (_WALKER_STEPS, "walkers") if actor.walks else (_PROP_STEPS, "static props")
    for list_name, steps in (("do", actor.do), ("events", actor.events)):
        before: Step | None = None
        for k, step in enumerate(steps):
            at, kind = (*key, list_name, k), step.chosen()[0]
            if kind not in allowed:
                yield (*at, kind), f"is not for {what}"
            if kind == "follow_trajectory" and not actor.rails:
                yield (*at, kind), "needs `rails: true` on its actor, so that nothing pushes it off the trajectory"
            if step.when is None and list_name == "events":
                yield at, "never begins: an event needs a `when`"
            elif before is not None and step.when is None and before.chosen()[0] in ("follow_lane", "controls"):
                yield at, f"never begins: the {before.chosen()[0]} before it never ends; add a `when`"
            for name in ("when", "armed_by", kind):
                part = getattr(step, name)
                if isinstance(part, BaseModel):
                    yield from _check_names(part, (*at, name), names, known)
            before = step


def _check_names(model: BaseModel, key: Key, names: set[str], steps: set[str]) -> Iterator[tuple[Key, str]]:
    """Yield references below ``model`` to actors and steps that do not exist."""
    for field_name, info in type(model).model_fields.items():
        value = getattr(model, field_name)
        child = (*key, info.alias or field_name)
        if isinstance(value, BaseModel):
            yield from _check_names(value, child, names, steps)
        elif field_name in ("any_of", "all_of") and value is not None:
            for k, condition in enumerate(value):
                yield from _check_names(condition, (*child, k), names, steps)
        elif isinstance(model, StepState) and field_name == "step" and value not in steps:
            yield child, f"there is no step {value!r}; named ones are {', '.join(sorted(steps)) or 'none'}"
        elif field_name in _NAME_KEYS and value is not None and value not in names:
            yield child, f"there is no actor {value!r}; there are {', '.join(sorted(names))}"
