"""An actor's script: which of its steps it executes, when each begins, and when it is done."""

from collections.abc import Sequence
from dataclasses import dataclass

from scenarios.engine.road import RouteProgress
from scenarios.engine.snapshot import STANDING, Snapshot, holds
from scenarios.language.schema import Step

SPEED_TOLERANCE = 0.5  # m/s from the target speed at which a named ``follow_lane`` counts as done
#: What a step controls: steps that control different things run in parallel, others replace each other.
_CONTROLLED = {
    "set_speed": "speed", "meet": "speed", "keep_distance": "speed", "speeds": "speed",
    "change_lane": "way", "shift": "way", "follow_path": "way", "keep_aside": "way",
    "teleport": "place", "vanish": "place", "lamps": "lamps", "set_light": "light", "mark": "mark",
}  # fmt: skip
INSTANT = ("teleport", "vanish", "lamps", "set_light", "mark")  # done as soon as they begin


@dataclass
class _PendingStep:
    """A step that has not begun. It can begin again after it is done and its conditions have ceased to hold."""

    step: Step
    is_armed: bool
    since: float | None = None  # s, since when its conditions hold
    remaining: int = 1  # how often it may still begin
    has_ceased: bool = True  # whether its conditions have not held since it began last


@dataclass(frozen=True)
class _RunningStep:
    """A step that has begun: when, s, and after how many metres."""

    step: Step
    begun: float
    begun_at: float

    def is_parallel_to(self, other: Step) -> bool:
        """Return whether it continues when the other one begins."""
        mine, others = (_CONTROLLED.get(step.chosen()[0]) for step in (self.step, other))
        return mine is not None and others is not None and mine != others


class Script:
    """The sequence of an actor's steps, and which of them it executes.

    The steps of ``do`` run in order; each waits for its ``when``, or for the previous one to be done. Those of
    ``events`` begin as soon as their ``when`` holds. ``log`` records the named steps of all actors. The driver that
    executes the script updates ``progress`` along the route or path being followed, and ``reached``, whether the set
    speed has been reached.
    """

    def __init__(self, name: str, do: Sequence[Step], events: Sequence[Step], log: dict[str, str]) -> None:
        self.name = name
        self.step: Step | None = None
        self.begun = 0.0  # s
        self.begun_at = 0.0  # m travelled
        self.progress: RouteProgress | None = None
        self.reached = False
        self._parallel: list[_RunningStep] = []  # that run in addition to ``step``
        self._log = log
        self._queue = [_PendingStep(step, step.armed_by is None) for step in do]
        self._events = [
            _PendingStep(step, step.armed_by is None, remaining=step.repeats, has_ceased=not step.rising)
            for step in events
        ]

    def advance(self, now: Snapshot) -> bool:
        """Begin another step if its conditions hold; return whether one has begun."""
        for run in self._running():
            name = run.step.name
            if name is not None and self._log[name] == "begun" and self._counts_as_done(run, now):
                self._log[name] = "done"
        for pending in self._queue[:1]:
            if self._is_ready(pending, now):
                self._queue.pop(0)
                self._begin(pending.step, now)
                return True
        for pending in self._events:
            if self._is_ready(pending, now):
                pending.remaining -= 1
                pending.since, pending.has_ceased = None, False
                if not pending.remaining:
                    self._events.remove(pending)
                self._begin(pending.step, now)
                return True
        return False

    def _is_ready(self, pending: _PendingStep, now: Snapshot) -> bool:
        step = pending.step
        if not pending.is_armed:
            assert step.armed_by is not None
            pending.is_armed = holds(step.armed_by, now, self.name, self.begun)
            if not pending.is_armed:
                return False
        if not pending.has_ceased:
            is_running = any(run.step is step for run in self._running())
            is_over = not is_running or self._log.get(step.name or "") == "done"
            still_holds = step.when is not None and holds(step.when, now, self.name, self.begun)
            pending.has_ceased = is_over and not still_holds
            return False
        if pending.since is None:
            if not (holds(step.when, now, self.name, self.begun) if step.when is not None else self._is_done(now)):
                return False
            pending.since = now.time
        return now.time - pending.since >= step.delay - 1e-6

    def _current(self) -> list[_RunningStep]:
        return [_RunningStep(self.step, self.begun, self.begun_at)] if self.step is not None else []

    def _running(self) -> list[_RunningStep]:
        return [*self._parallel, *self._current()]

    def _begin(self, step: Step, now: Snapshot) -> None:
        running = self._running()
        self._parallel = [run for run in running if run.is_parallel_to(step)]
        for run in running:
            if run.step.name is not None and run not in self._parallel:
                self._log[run.step.name] = "done"  # or aborted by the new one
        if step.name is not None:
            self._log[step.name] = "begun"
        self.step = step
        self.begun, self.begun_at = now.time, now.states[self.name].travelled
        if not sets_speed(step):
            self.progress = None

    def _is_done(self, now: Snapshot) -> bool:
        return all(self._is_over(run, now) for run in self._current())

    def _is_over(self, run: _RunningStep, now: Snapshot) -> bool:
        step, me = run.step, now.states[self.name]
        metres = me.travelled - run.begun_at
        if step.chosen()[0] in INSTANT:
            return True
        change = step.change_lane or step.shift
        if change is not None:
            return metres >= change.length if change.over is None else now.time - run.begun >= change.over - 1e-6
        if step.cross is not None:
            return metres >= step.cross.distance
        if step.follow_trajectory is not None:
            return now.time >= step.follow_trajectory.points[-1][0] - 1e-6
        if step.stop is not None:
            return me.speed < STANDING and min(me.stood, now.time - run.begun) >= step.stop.hold - 1e-6
        if sets_speed(step):
            return self.reached
        return self.progress is not None and self.progress.done

    def _counts_as_done(self, run: _RunningStep, now: Snapshot) -> bool:
        """Return whether a named step counts as done, even if it continues."""
        step = run.step
        if step.done_after is not None:
            return now.time - run.begun >= step.done_after - 1e-6
        if step.done_within is not None:
            return now.states[self.name].travelled - run.begun_at >= step.done_within
        if self._is_over(run, now):
            return True
        follow = step.follow_lane
        return follow is not None and abs(now.states[self.name].speed - follow.speed) < SPEED_TOLERANCE


def sets_speed(step: Step) -> bool:
    """Return whether a step controls the speed alone."""
    return _CONTROLLED.get(step.chosen()[0]) == "speed"
