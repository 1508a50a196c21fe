"""Tasks within a drive: they begin by menu or command line, take its frames, and their results are kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import ceil
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
COMMANDS = ("again", "next_lesson", "end_task", "leave_lesson", "close_card")
_COUNT_DOWN = 3.0  # s, real, before a lesson begins
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
    """What a lesson is about, or the result of a task, to be shown until it is closed."""

    title: str
    lines: list[str]
    achieved: bool
    keys: str = "Enter closes this; Esc, Something to do: once more"


class TaskControl:
    """The task of a drive, if any. ``card`` is what is said about it; ``ghost`` the run that is raced.

    The simulation stands while a lesson's card is shown, and until the count-down after the first one is over.
    """

    def __init__(self, drive: TaskDrive, folder: Path | None) -> None:
        self._drive = drive
        self.records = Records(folder)
        self.task: Task | None = None
        self.card: Card | None = None
        self.ghost: Run | None = None
        self._recorder = RunRecorder()
        self._free: DriveOptions | None = None  # of the drive before the lessons
        self._sent: tuple[float, float] | None = None  # the destination
        self._name = SMOOTH  # of the newest task
        self._is_new = False  # whether the lesson is still to be introduced
        self._holds = False  # whether the simulation stands for a lesson's card
        self._go_at: float | None = None  # end of the count-down, s, real
        self._left = 0  # s of it

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
        self._release()
        self._name = name
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
        drive.chosen.begin(options)
        drive.inputs.requested = replace(drive.inputs.requested, autopilot=False)
        drive.restart(options)
        self._begin(lesson.task(name))

    def adopt(self, name: str) -> None:
        """Begin with a task before there is anything to restart: change the command line to what it needs."""
        chosen, self._name = self._drive.chosen, name
        if name in LESSONS:
            self._free = chosen.command_line.model_copy(update={"task": None})
            chosen.begin(options_of(LESSONS[name], chosen.command_line))
            self.task, self._is_new = LESSONS[name].task(name), True
        else:
            self.task = DriveToPlace(Path(chosen.options().town).stem) if name == PLACE else Task()

    def again(self) -> None:
        """Begin the newest task once more."""
        self.start(self._name)

    @property
    def next_name(self) -> str:
        """Name of the lesson after this one; the first one follows the last."""
        names = list(LESSONS)
        return names[(names.index(self._name) + 1) % len(names) if self._name in names else 0]

    def next_lesson(self) -> None:
        """Begin the lesson after this one."""
        self.start(self.next_name)

    def stop(self) -> None:
        """End the task, if any, and show its result."""
        if self.task is not None and self.task.seconds > 0.0:
            self._finish(self.task.end())
        self.task = None

    def leave(self) -> None:
        """Return from the lessons to the drive before them."""
        self.stop()
        self._release()
        if self._free is not None:
            free, self._free = self._free, None
            self._drive.chosen.begin(free)
            self._drive.restart(self._drive.resolved(self._drive.chosen.options()))

    def close_card(self) -> None:
        """Close the card: a lesson then begins in three seconds, and after its end the next one, or the same again."""
        card, self.card = self.card, None
        if card is None or not self._holds:
            return
        if self.task is not None:
            self._go_at = time.monotonic() + _COUNT_DOWN
        elif card.achieved:
            self.next_lesson()
        else:
            self.again()

    def count_down(self, now: float) -> None:
        """Let the lesson begin once the count-down is over at ``now`` (s, real), or as soon as the driver resumes."""
        if not self._holds:
            return
        self._left = 0 if self._go_at is None else ceil(self._go_at - now)
        if not self._drive.inputs.requested.paused or (self._go_at is not None and self._left <= 0):
            self._release()

    def _hold(self, card: Card) -> None:
        """Show a lesson's card over the simulation at a standstill."""
        self.card, self._holds = card, True
        self._drive.inputs.pause(True)

    def _release(self) -> None:
        """Close the card, and let the simulation go on if it stands for one."""
        if self._holds:
            self._drive.inputs.pause(False)
        self.card, self._holds, self._go_at, self._left = None, False, None, 0

    def _begin(self, task: Task) -> None:
        self.task, self._recorder, self._sent = task, RunRecorder(), None
        self._is_new = isinstance(task, LessonTask)
        self.ghost = None  # found with the first frame

    def _last(self, name: str) -> Run | None:
        return None if name == SMOOTH else self.records.last_run(self.town, name)

    def update(self, frame: Frame, chart: Chart | None) -> None:
        """Take the next frame of the drive."""
        task = self.task
        if task is None:
            return
        if self._is_new and isinstance(task, LessonTask):
            self._is_new = False
            best = self.records.of(self.town).best_times.get(task.name)
            lines = [LESSONS[task.name].about, *task.goals]
            lines += [] if best is None else [f"time to beat: {clock(best)}"]
            self._hold(Card(task.title, lines, True, "Enter begins, in three seconds"))
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
            if isinstance(task, LessonTask) and self.card is not None:
                self._hold(self.card)

    def _finish(self, outcome: Outcome) -> None:
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
        if lesson:
            following = LESSONS[self.next_name].title if outcome.achieved else "again"
            self.card.keys = f"Enter: {following}; Backspace: again; F: drive on here; Esc: something else"
        self._drive.notify(f"{title}, {outcome.score}")
        if isinstance(task, DriveToPlace):
            self._drive.inputs.navigate_to(None)

    # What is shown

    def status(self) -> str:
        """Return how the task stands, "" without one."""
        if self._left:
            return f"{self._left} ..."
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
        title = LESSONS[tasks.next_name].title
        items.insert(0, ("next_lesson", f"Next lesson: {title.lower()}", "Restarts the town."))
        items.insert(0, ("again", "Once more", "From the beginning. Restarts the town. Also: Backspace."))
        items.append(("leave_lesson", "Leave the lessons", "Restarts the town."))
    return items
