"""The tasks of a drive: reach a marked place, drive smoothly, pass a lesson."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bridge.messages import Chart, Frame
from neuralsim.challenge.smoothness import Score, SmoothDriving

PLACE = "place"
SMOOTH = "smooth"
ARRIVED = 14.0  # m from the destination
_DISTANCE_LEAST = 180.0  # m as the crow flies to a destination
_DISTANCE_MOST = 450.0  # m
_MOVING = 0.3  # m/s
_CELL = 40.0  # m: who starts in the same square is sent to the same place
_LANE_WIDTH = 2.5  # m, least of a lane with a destination
_LANE_LENGTH = 15.0  # m, the same


@dataclass
class Outcome:
    """How a task ended: a title, whether it was achieved, and an explanation in lines."""

    title: str
    achieved: bool
    score: Score
    seconds: float
    lines: list[str] = field(default_factory=list)


class Task:
    """A task: takes frames until ``outcome`` is there. ``seconds`` are simulated ones since its beginning."""

    name = SMOOTH  # also of its records
    title = "Smooth driving"
    timed = False  # whether the least time counts
    begins_moving = False  # whether time begins when the car does

    def __init__(self) -> None:
        self.driving = SmoothDriving()
        self.outcome: Outcome | None = None
        self.seconds = 0.0
        self._begin: float | None = None

    def update(self, frame: Frame, chart: Chart | None) -> None:
        """Take the next frame."""
        if self.outcome is not None:
            return
        if self._begin is None and (abs(frame.ego.speed) > _MOVING or not self.begins_moving):
            self._begin = frame.sim_time
        self.seconds = 0.0 if self._begin is None else frame.sim_time - self._begin
        self.driving.update(frame, chart)
        self._judge(frame, chart)

    def _judge(self, frame: Frame, chart: Chart | None) -> None:
        """Set ``outcome`` where the task has ended."""

    def status(self) -> str:
        """Return how it stands, in a few words."""
        score = self.driving.score()
        return f"{self.title}: {score}" if score.points is not None else self.title

    def end(self) -> Outcome:
        """End it now; return the outcome."""
        if self.outcome is None:
            self._finish(self.driving.score().points is not None, [])
        assert self.outcome is not None
        return self.outcome

    def _finish(self, achieved: bool, lines: list[str]) -> None:
        score = self.driving.score()
        self.outcome = Outcome(self.title, achieved, score, self.seconds, [*lines, *score.lines])


class DriveToPlace(Task):
    """Reach a marked place. ``goal`` is (x, y) in m once the chart is known, the same for each start."""

    title = "To the marked place"
    timed = begins_moving = True

    def __init__(self, town: str) -> None:
        super().__init__()
        self._town = town
        self.goal: tuple[float, float] | None = None
        self.left = 0.0  # m, along the route where that is known

    def _judge(self, frame: Frame, chart: Chart | None) -> None:
        x, y = float(frame.ego.pose[0, 3]), float(frame.ego.pose[1, 3])
        if self.goal is None:
            if chart is None:
                return
            self.goal, start = destination(chart, x, y, self._town)
            self.name = f"{PLACE} {start}"
        away = float(np.hypot(x - self.goal[0], y - self.goal[1]))
        self.left = max(frame.route_left, away)
        if away < ARRIVED:
            pace = 3.6 * self.driving.distance / max(self.seconds, 1e-3)
            self._finish(True, [f"{self.driving.distance:.0f} m in {clock(self.seconds)}, {pace:.0f} km/h on average"])

    def status(self) -> str:
        return f"{self.title}: {self.left:.0f} m, {clock(self.seconds)}"


@dataclass(frozen=True)
class Goal:
    """A condition of a lesson: a sentence, and whether it is met. A ``must`` that is broken ends the lesson."""

    text: str
    met: Callable[[SmoothDriving], bool]
    must: bool = False


class LessonTask(Task):
    """A lesson: all goals have to be met within ``limit`` seconds, none of those that must hold may be broken."""

    timed = True

    def __init__(self, name: str, title: str, goals: tuple[Goal, ...], limit: float) -> None:
        super().__init__()
        self.name, self.title, self._goals, self._limit = name, title, goals, limit

    @property
    def goals(self) -> list[str]:
        """What has to be done, a sentence each."""
        return [goal.text for goal in self._goals]

    def _judge(self, frame: Frame, chart: Chart | None) -> None:
        met = [goal.met(self.driving) for goal in self._goals]
        broken = any(goal.must and not good for goal, good in zip(self._goals, met, strict=True))
        if all(met) or broken or self.seconds > self._limit:
            lines = [
                f"{'done' if good else 'missed'}: {goal.text}" for goal, good in zip(self._goals, met, strict=True)
            ]
            self._finish(all(met), lines)

    def status(self) -> str:
        open_ = [goal.text for goal in self._goals if not goal.met(self.driving)]
        return f"{self.title}: {open_[0] if open_ else 'done'} ({clock(max(self._limit - self.seconds, 0.0))} left)"


def destination(chart: Chart, x: float, y: float, town: str) -> tuple[tuple[float, float], str]:
    """Return a place (m) on a lane some hundred metres from (x, y), and a name for the start: both always the same.

    Raises ``ValueError`` for a chart without lanes.
    """
    column, row = int(x // _CELL), int(y // _CELL)
    start = f"{column} {row}"
    x, y = (column + 0.5) * _CELL, (row + 0.5) * _CELL
    middles = np.array([line[len(line) // 2] for line in chart.lines], np.float64).reshape(-1, 2)
    if not len(middles):
        raise ValueError("this map has no lanes")
    long_ = np.array([float(np.hypot(*np.diff(line, axis=0).T).sum()) for line in chart.lines])
    away = np.hypot(middles[:, 0] - x, middles[:, 1] - y)
    fits = (
        (away > _DISTANCE_LEAST) & (away < _DISTANCE_MOST) & (chart.widths[:, 0] > _LANE_WIDTH) & (long_ > _LANE_LENGTH)
    )
    spots = np.flatnonzero(fits)
    if not len(spots):
        spots = np.array([int(away.argmax())])
    chosen = spots[zlib.crc32(f"{town} {start}".encode()) % len(spots)]
    return (float(middles[chosen, 0]), float(middles[chosen, 1])), start


def clock(seconds: float) -> str:
    """Return minutes and seconds, such as 1:05."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
