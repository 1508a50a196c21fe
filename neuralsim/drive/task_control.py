"""Tasks within a drive: they begin by menu or command line, take its frames, and their results are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from bridge.messages import Chart, Frame
from neuralsim.challenge.ghost import Run, RunRecorder
from neuralsim.challenge.lessons import LESSONS, options_of
from neuralsim.challenge.records import Records
from neuralsim.challenge.tasks import PLACE, SMOOTH, DriveToPlace, LessonTask, Outcome, Task, clock
from neuralsim.drive.drive_state import DriveState
from neuralsim.drive.driver_input import DriverInput
from neuralsim.drive.settings import CockpitSettings
from neuralsim.session.options import DriveOptions
from scenarios.engine.loader import ScenarioError

#: Commands of tasks besides their names.
COMMANDS = ("end_task", "leave_lesson", "close_card")
#: What can be done, with a title and a sentence each.
TASKS: dict[str, tuple[str, str]] = {
    PLACE: ("Drive to a marked place", "A destination appears on the map; time and smooth driving count. At once."),
    SMOOTH: ("Smooth driving", "Points for jerk, lane, speed and lights until you end it. At once."),
    **{
        name: (f"Lesson: {lesson.title.lower()}", f"{lesson.about} Restarts the town.")
        for name, lesson in LESSONS.items()
    },
}


class TaskDrive(Protocol):
    """What a task needs of an ``InteractiveDrive``."""

    chosen: DriveState
    tasks: TaskControl

    @property
    def options(self) -> DriveOptions:
        """Those in effect."""

    @property
    def inputs(self) -> DriverInput:
        """The driver's."""

    @property
    def has_own_town(self) -> bool:
        """Whether it may start another town."""

    @property
    def settings(self) -> CockpitSettings:
        """The driver's settings."""

    @property
    def town(self) -> str:
        """Name of the town."""

    def notify(self, text: str) -> None:
        """Show ``text`` for a moment."""

    def resolved(self, options: DriveOptions) -> DriveOptions:
        """Return ``options`` with what "auto" stands for here."""

    def restart(self, options: DriveOptions) -> None:
        """Replace the drive by one with these options."""


@dataclass
class Card:
    """The result of a task, to be shown until it is closed."""

    title: str
    lines: list[str]
    achieved: bool


class TaskControl:
    """The task of a drive, if any. ``card`` is the result of the last one; ``ghost`` the run that is raced."""

    def __init__(self, drive: TaskDrive, folder: Path | None) -> None:
        self._drive = drive
        self.records = Records(folder)
        self.task: Task | None = None
        self.card: Card | None = None
        self.ghost: Run | None = None
        self._recorder = RunRecorder()
        self._free: DriveOptions | None = None  # of the drive before the lessons
        self._sent: tuple[float, float] | None = None  # the destination

    @property
    def town(self) -> str:
        """The town that the records are kept for."""
        return self._drive.town

    @property
    def in_lesson(self) -> bool:
        """Whether the drive is in the town of a lesson."""
        return self._free is not None

    def start(self, name: str) -> None:
        """Begin a task of ``TASKS``."""
        self.stop()
        self.card = None
        if name not in LESSONS:
            self._begin(DriveToPlace(self.town) if name == PLACE else Task())
            return
        lesson = LESSONS[name]
        drive = self._drive
        try:
            options = options_of(lesson, drive.options)
        except ScenarioError as error:
            drive.notify(str(error))
            return
        self._free = self._free or drive.chosen.command_line
        drive.chosen.command_line = options
        drive.restart(options)
        self._begin(lesson.task(name))
        drive.notify(f"{lesson.title}: {lesson.about}")

    def adopt(self, name: str) -> None:
        """Begin with a task before there is anything to restart: change the command line to what it needs."""
        chosen = self._drive.chosen
        if name in LESSONS:
            self._free = chosen.command_line.model_copy(update={"task": None})
            chosen.command_line = options_of(LESSONS[name], chosen.command_line)
            self.task = LESSONS[name].task(name)
        else:
            self.task = DriveToPlace(Path(chosen.options().town).stem) if name == PLACE else Task()

    def stop(self) -> None:
        """End the task, if any, and show its result."""
        if self.task is not None and self.task.seconds > 0.0:
            self._finish(self.task.end())
        self.task = None

    def leave(self) -> None:
        """Return from the lessons to the drive before them."""
        self.stop()
        if self._free is not None:
            self._drive.chosen.command_line, self._free = self._free, None
            self._drive.restart(self._drive.resolved(self._drive.chosen.options()))

    def _begin(self, task: Task) -> None:
        self.task, self._recorder, self._sent = task, RunRecorder(), None
        self.ghost = None  # found with the first frame

    def _last(self, name: str) -> Run | None:
        return None if name == SMOOTH else self.records.last_run(self.town, name)

    def update(self, frame: Frame, chart: Chart | None) -> None:
        """Take the next frame of the drive."""
        task = self.task
        if task is None:
            return
        if isinstance(task, LessonTask) and self.ghost is None and task.seconds == 0.0:
            self.ghost = self._last(task.name)
        task.update(frame, chart)
        self._recorder.update(frame)
        if isinstance(task, DriveToPlace) and task.goal is not None and self._sent is None:
            self._sent = task.goal
            self.ghost = self._last(task.name)
            self._drive.inputs.navigate_to(task.goal)
            self._drive.notify("To the marked place: follow the line on the map")
        if frame.ego.autopilot:
            self.task = None
            self._drive.notify(f"{task.title} has ended: the autopilot is driving")
        elif task.outcome is not None:
            self._finish(task.outcome)
            self.task = None

    def _finish(self, outcome: Outcome) -> None:
        """Keep the result and show it."""
        task = self.task
        assert task is not None
        name, lesson = task.name, isinstance(task, LessonTask)
        before = self.records.of(self.town).best_times.get(name)
        points = outcome.score.points
        if outcome.achieved:
            news = self.records.add(
                self.town,
                points,
                task=name if task.timed else "",
                seconds=outcome.seconds,
                lesson=name if lesson else "",
            )
            if name != SMOOTH:
                self.records.keep_run(self.town, name, self._recorder.run)
        else:
            news = []
        lines = [str(outcome.score), *outcome.lines]
        if before is not None:
            lines.append(f"best time so far: {clock(before)}")
        lines += [f"New: {text}" for text in news]
        title = f"{outcome.title}: {'done' if outcome.achieved else 'not done'}"
        self.card = Card(title, lines, outcome.achieved)
        self._drive.notify(f"{title}, {outcome.score}")
        if isinstance(task, DriveToPlace):
            self._drive.inputs.navigate_to(None)

    # What is shown

    def status(self) -> str:
        """Return how the task stands, "" without one."""
        return "" if self.task is None else self.task.status()

    def ghost_place(self) -> np.ndarray | None:
        """Return where the last run was at this moment of the task: x, y, z (m), yaw (radians); None for nowhere."""
        if self.ghost is None or self.task is None or not self._drive.settings.ghost:
            return None
        return self.ghost.at(self.task.seconds)

    def summary(self) -> str:
        """Return the town's records in a few words."""
        record = self.records.of(self.town)
        if not record.runs:
            return f"nothing yet in {self.town}"
        best = "" if record.best_score is None else f", best score {record.best_score:.0f}"
        passed = f", lessons: {', '.join(record.lessons)}" if record.lessons else ""
        return f"{self.town}: {record.runs} finished{best}{passed}"


def task_items(drive: TaskDrive) -> list[tuple[str, str, str]]:
    """Return what there is to do now: command, title and a sentence of each; lessons need a town of one's own."""
    tasks = drive.tasks
    may_restart = tasks.in_lesson or drive.has_own_town
    items = [(name, *texts) for name, texts in TASKS.items() if may_restart or name not in LESSONS]
    if tasks.task is not None:
        items.insert(0, ("end_task", "End the task", "Shows how well you did."))
    if tasks.in_lesson:
        items.append(("leave_lesson", "Leave the lessons", "Restarts the town."))
    return items
