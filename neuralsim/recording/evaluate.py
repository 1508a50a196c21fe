"""Evaluate a recording: its scenario's assertions, collisions, lane invasions, the route, comfort.

Everything is computed from the recording alone, so that it can be evaluated with other limits than those it was made
with, and a truncated one as far as it goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neuralsim.recording import RecordingError
from neuralsim.recording.reading.sequential_reader import McapRecording
from scenarios.engine.assertion_monitor import AssertionMonitor
from scenarios.engine.loader import LoadedScenario, ScenarioError, parse
from scenarios.engine.snapshot import ActorState, CollisionRecord, Invasion, Snapshot

#: Limits of comfort (unit, lowest, highest): those of nuPlan's metric ``ego_is_comfortable`` (Caesar et al. 2021,
#: nuplan-devkit, which took them from drives of its safety drivers).
COMFORT: dict[str, tuple[str, float, float]] = {
    "longitudinal_acceleration": ("m/s^2", -4.05, 2.40),
    "lateral_acceleration": ("m/s^2", -4.89, 4.89),
    "longitudinal_jerk": ("m/s^3", -4.13, 4.13),
    "jerk": ("m/s^3", -8.37, 8.37),
    "yaw_rate": ("rad/s", -0.95, 0.95),
    "yaw_acceleration": ("rad/s^2", -1.93, 1.93),
}
WINDOW = 0.75  # s of smoothing before speed and heading are differentiated (nuPlan: 8 to 15 steps of 0.1 s)
TOPICS = ("/ego", "/tf", "/scenario")


@dataclass(frozen=True)
class Check:
    """One evaluated figure; ``passed`` is None where there is no requirement and ``value`` is for information."""

    name: str
    passed: bool | None
    value: float | None
    limit: float | None = None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the check ready for JSON."""
        values = {k: round(v, 4) if isinstance(v, float) else v for k, v in vars(self).items() if k != "note"}
        return values | {"words": self.note}


@dataclass
class Evaluation:
    """The evaluation of one recording."""

    recording: str
    scenario: str
    seconds: float
    frames: int
    complete: bool
    checks: list[Check] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(check.passed is not False for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return the evaluation ready for JSON."""
        return {
            "recording": self.recording,
            "scenario": self.scenario,
            "passed": self.passed,
            "seconds": round(self.seconds, 3),
            "frames": self.frames,
            "complete": self.complete,
            "checks": [check.as_json() for check in self.checks],
        }


def evaluate(path: Path, scenario: LoadedScenario | None = None, comfortable: bool = False) -> Evaluation:
    """Evaluate a recording by its own scenario, or by the assertions of another one.

    ``comfortable``: discomfort fails, too. Raises RecordingError for an invalid recording, ScenarioError where the
    assertions refer to actors that it does not have.
    """
    recording = McapRecording(path)
    ego = _ComfortTrack()
    watchers: list[AssertionMonitor] = []
    touches: list[CollisionRecord] = []
    invasions: list[Invasion] = []
    collisions = frames = 0
    now: Snapshot | None = None
    for frame in recording.frames(TOPICS):
        state = frame.json.get("ego", {})
        ego.add(frame.time, state.get("speed", 0.0), frame.pose("ego"))
        collisions = max(collisions, int(state.get("collisions", 0)))
        message = frame.json.get("scenario")
        if message is not None:
            touches += [CollisionRecord(each["time"], each["of"], each["with"]) for each in message["collisions"]]
            invasions += [Invasion(each["time"], each["side"], each["marking"]) for each in message["lane_invasions"]]
            states = {name: ActorState(*numbers) for name, numbers in message["actors"].items()}
            route = tuple(message["route"]) if message["route"] else None
            now = Snapshot(message["time"], states, touches, lambda name: -1, invasions, route)
            if not frames:
                watchers = _watchers(recording, scenario, states)
            for watcher in watchers:
                watcher.watch(now)
        frames += 1
    if not frames:
        raise RecordingError(f"{path} holds no complete frame")
    result = Evaluation(str(path), recording.scenario, ego.seconds, frames, not recording.problem)
    for watcher in watchers:
        outcome = watcher.result()
        name = f"{outcome['assertion']} of {outcome['of']}"
        result.checks.append(Check(name, bool(outcome["passed"]), outcome["value"], outcome["limit"]))
    of_ego = [touch for touch in touches if "ego" in (touch.of, touch.by)]
    with_ = ", ".join(sorted({t.by if t.of == "ego" else t.of for t in of_ego}))
    count = max(collisions, len(of_ego))
    result.checks.append(Check("collisions", None, float(count), note=f"with {with_}" if with_ else ""))
    result.checks.append(Check("lane_invasions", None, float(len(invasions)), note=_markings(invasions)))
    done = None if now is None or now.route is None else now.route[0] / max(now.route[1], 1.0)
    result.checks.append(Check("route_completion", None, done, note="" if done is not None else "no route"))
    result.checks += ego.comfort(comfortable)
    return result


def _watchers(
    recording: McapRecording, scenario: LoadedScenario | None, states: dict[str, ActorState]
) -> list[AssertionMonitor]:
    loaded = scenario
    if loaded is None:
        text = recording.about.get("scenario_yaml", "")
        if not text:
            return []
        loaded = parse(Path(f"{recording.path} (its scenario)"), text, recording.files)
    required = {"ego", *(actor.name for actor in loaded.scenario.actors)}
    if missing := sorted(required - states.keys()):
        raise ScenarioError(f"{loaded.path}: {recording.path} has no actor {missing[0]!r}")
    return [AssertionMonitor(assertion) for assertion in loaded.scenario.asserts]


def _markings(invasions: Sequence[Invasion]) -> str:
    kinds = [invasion.marking for invasion in invasions]
    return ", ".join(f"{kinds.count(kind)} x {kind}" for kind in sorted(set(kinds)))


class _ComfortTrack:
    """The time, speed and heading of the ego, frame by frame."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._speeds: list[float] = []  # m/s along the vehicle
        self._yaws: list[float] = []  # rad, to the left is positive

    @property
    def seconds(self) -> float:
        return self._times[-1] - self._times[0] if self._times else 0.0

    def add(self, time: float, speed: float, pose: np.ndarray) -> None:
        self._times.append(time)
        self._speeds.append(speed)
        self._yaws.append(float(np.arctan2(pose[1, 0], pose[0, 0])))

    def comfort(self, is_required: bool) -> list[Check]:
        """Return the worst value of each of ``COMFORT``; [] for a track that is too short."""
        series = motion(np.array(self._times), np.array(self._speeds), np.unwrap(self._yaws))
        checks = []
        for name, values in series.items():
            unit, low, high = COMFORT[name]
            worst = float(values[np.argmax(np.maximum(values / high, values / low))])
            is_within = low <= worst <= high
            limit = high if worst >= 0.0 else low
            note = unit if is_within else f"{unit}, beyond nuPlan's limit of comfort"
            checks.append(Check(name, is_within if is_required else None, worst, limit, note))
        return checks


def motion(times: np.ndarray, speeds: np.ndarray, yaws: np.ndarray) -> dict[str, np.ndarray]:
    """Return accelerations, jerks and turning, f64 (N,), of times (s, evenly spaced), speeds (m/s) and headings (rad).

    They are derivatives of a Savitzky-Golay fit (second order over ``WINDOW``), as in nuPlan; {} where there is less
    than one window.
    """
    from scipy.signal import savgol_filter  # its import takes half a second, which `neuralsim record` need not spend

    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    window = max(round(WINDOW / step) | 1, 5) if step > 0.0 else 0
    if not window or len(times) < window:
        return {}

    def derivative(values: np.ndarray, order: int = 1) -> np.ndarray:
        fitted: np.ndarray = savgol_filter(values, window, 2, deriv=order, delta=step)
        return fitted

    rate = derivative(yaws)
    along, across = derivative(speeds), speeds * rate
    return {
        "longitudinal_acceleration": along,
        "lateral_acceleration": across,
        "longitudinal_jerk": derivative(along),
        "jerk": np.hypot(derivative(along), derivative(across)),
        "yaw_rate": rate,
        "yaw_acceleration": derivative(rate),
    }
