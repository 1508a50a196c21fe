"""What was achieved, by town: kept in a YAML file next to the cockpit's settings, with the last run of each task."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bridge.process import settings
from bridge.process.settings import SettingsError
from neuralsim.base.log import logger
from neuralsim.challenge import ghost
from neuralsim.runtimes import cache

_HEAD = "# What you have achieved in each town. Written when a task ends; delete a part to start again.\n"
Count = Annotated[int, Field(ge=0)]
Points = Annotated[float, Field(ge=0.0, le=100.0)]
Seconds = Annotated[float, Field(gt=0.0)]


class TownRecord(BaseModel):
    """The records of one town."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    runs: Count = 0
    """Tasks that were finished."""
    best_score: Points | None = None
    """Most points for smooth driving."""
    best_times: dict[str, Seconds] = Field(default_factory=dict)
    """Shortest time of each task, s, simulated."""
    lessons: list[str] = Field(default_factory=list)
    """Lessons that were passed."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    towns: dict[str, TownRecord] = Field(default_factory=dict)


class Records:
    """The records in a folder; without one they last as long as the process."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file = _File()
        if folder is not None and self._path.exists():
            try:
                self._file = settings.load(self._path, _File)
            except SettingsError as error:
                logger().warning(f"the records are not used: {error}")
                self._folder = None  # and not overwritten

    @property
    def _path(self) -> Path:
        assert self._folder is not None
        return self._folder / "records.yaml"

    def of(self, town: str) -> TownRecord:
        """Return the records of a town."""
        return self._file.towns.get(town, TownRecord())

    def add(
        self, town: str, points: float | None, *, task: str = "", seconds: float | None = None, lesson: str = ""
    ) -> list[str]:
        """Keep a result; return which records it sets, such as "best score"."""
        record = self._file.towns.setdefault(town, TownRecord())
        record.runs += 1
        news = []
        if points is not None and points > (-1.0 if record.best_score is None else record.best_score):
            record.best_score = round(points, 1)
            news.append("best score")
        if task and seconds and seconds < record.best_times.get(task, float("inf")):
            record.best_times[task] = round(seconds, 2)
            news.append("best time")
        if lesson and lesson not in record.lessons:
            record.lessons.append(lesson)
            news.append("lesson passed")
        self._save()
        return news

    def last_run(self, town: str, task: str) -> ghost.Run | None:
        """Return the last run of a task."""
        return None if self._folder is None else ghost.load(self._run_path(town, task))

    def keep_run(self, town: str, task: str, run: ghost.Run) -> None:
        """Keep a run in place of the last one of its task."""
        if self._folder is not None:
            try:
                ghost.save(self._run_path(town, task), run)
            except OSError as error:
                logger().warning(f"cannot keep this run: {error}")

    def _run_path(self, town: str, task: str) -> Path:
        assert self._folder is not None
        return self._folder / "runs" / f"{re.sub(r'[^A-Za-z0-9_-]', '_', f'{town} {task}')[:80]}.npy"

    def _save(self) -> None:
        if self._folder is None:
            return
        import yaml

        try:
            text = _HEAD + yaml.safe_dump(self._file.model_dump(), sort_keys=False)
            cache.write(self._path, text.encode(), durable=False)
        except OSError as error:
            logger().warning(f"cannot keep the records: {error}")
