"""Tasks: the score says what was done wrong, places and lessons end as they should, records and ghosts are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import cos, pi, sin
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bridge.messages import Camera, Chart, Control, Ego, Frame, Lights
from neuralsim.challenge import ghost, lessons
from neuralsim.challenge.ghost import Run, RunRecorder
from neuralsim.challenge.records import Records
from neuralsim.challenge.smoothness import LaneFinder, SmoothDriving
from neuralsim.challenge.tasks import destination
from neuralsim.drive.drive_state import DriveState
from neuralsim.drive.settings import CockpitSettings
from neuralsim.drive.task_control import TASKS, TaskControl
from neuralsim.session.options import DriveOptions

STEP = 1.0 / 30.0
NIGHT = {"sun_altitude_angle": -20.0, "cloudiness": 0.0}


def road(length: float = 900.0) -> Chart:
    """A straight road along x with a lane each way."""
    x = np.arange(0.0, length, 10.0, dtype=np.float32)
    lines = [np.stack([x, 0.0 * x], 1), np.stack([x[::-1], 0.0 * x - 3.5], 1)]
    return Chart("road", lines, np.full((2, 1), 3.5, np.float32))


def frame(x: float, y: float = 0.0, yaw: float = 0.0, time: float = 0.0, **ego: Any) -> Frame:
    pose = np.eye(4)
    pose[:2, :2] = [[cos(yaw), -sin(yaw)], [sin(yaw), cos(yaw)]]
    pose[:2, 3] = x, y
    return Frame(1, 1, time, Camera(512, 256, 70.0, np.eye(4)), {}, Ego(pose=pose, **ego))


def straight(seconds: float = 20.0, speed: float = 10.0, y: float = 0.0, **ego: Any) -> Iterator[Frame]:
    for k in range(round(seconds / STEP)):
        yield frame(speed * k * STEP, y, time=k * STEP, speed=speed, **ego)


def weaving() -> Iterator[Frame]:
    for each in straight():
        yield frame(each.ego.pose[0, 3], 0.5 * sin(9.0 * each.sim_time), time=each.sim_time, speed=10.0)


def judged(frames: Iterator[Frame], weather: dict[str, float] | None = None) -> SmoothDriving:
    driving, chart = SmoothDriving(), road()
    for each in frames:
        each.weather = weather or {}
        driving.update(each, chart)
    return driving


def test_a_steady_drive_in_the_middle_of_the_lane_has_all_points():
    score = judged(straight(speed_limit=14.0)).score()
    assert score.points == pytest.approx(100.0)
    assert [part.name for part in score.parts] == ["smoothness", "lane", "speed", "lights"]


@pytest.mark.parametrize(
    ("part", "frames", "weather"),
    [
        ("lane", straight(y=1.2), {}),
        ("lane", straight(y=-3.5), {}),  # against the traffic
        ("speed", straight(speed_limit=8.0), {}),
        ("lights", straight(), NIGHT),
        ("smoothness", weaving(), {}),
    ],
)  # fmt: skip
def test_each_fault_costs_its_part(part: str, frames: Iterator[Frame], weather: dict[str, float]):
    parts = {each.name: each.points for each in judged(frames, weather).score().parts}
    assert parts[part] < 40.0
    assert min(points for name, points in parts.items() if name != part) > 60.0


def test_lamps_that_are_on_cost_nothing_in_the_dark():
    assert judged(straight(lights=int(Lights.LOW_BEAM)), NIGHT).score().points == pytest.approx(100.0)


def test_a_red_light_that_is_passed_counts_and_one_that_turns_green_does_not():
    def lit(states: list[str]) -> Iterator[Frame]:
        each = list(straight(12.0))
        for k, state in enumerate(states):
            each[100 + k].ego.light = state
        return iter(each)

    assert judged(lit(["red"] * 30)).reds == 1
    assert judged(lit(["red"] * 20 + ["green"] * 10)).reds == 0


def test_a_collision_costs_thirty_points_and_a_short_drive_has_no_score():
    frames = list(straight())
    for each in frames[300:]:
        each.ego.collisions = 1
    assert judged(iter(frames)).score().points == pytest.approx(70.0)
    assert judged(straight(2.0)).score().points is None


def test_a_respawn_is_neither_distance_nor_jerk():
    frames = [*straight(10.0), *(replace(each, sim_time=each.sim_time + 10.0) for each in straight(10.0))]
    driving = judged(iter(frames))
    assert driving.distance == pytest.approx(199.0, abs=2.0)
    assert driving.score().points == pytest.approx(100.0)


def test_the_lane_is_that_of_ones_direction():
    lanes = LaneFinder(road())
    assert lanes.offset(100.0, 0.4, 0.0) == pytest.approx(0.4)
    assert lanes.offset(100.0, 0.4, pi) == pytest.approx(3.9)
    assert lanes.offset(100.0, 0.4, pi / 2) is None
    assert lanes.offset(100.0, 90.0, 0.0) is None


def test_a_place_is_far_enough_and_the_same_for_the_same_start():
    places = [(x, y) for x in range(0, 900, 30) for y in range(0, 900, 50)]
    lines = [np.array([[x, y], [x + 20.0, y]], np.float32) for x, y in places]
    chart = Chart("grid", lines, np.full((len(lines), 1), 3.0, np.float32))
    (x, y), start = destination(chart, 405.0, 405.0, "oldtown")
    assert 180.0 < np.hypot(x - 405.0, y - 405.0) < 450.0
    assert destination(chart, 407.0, 402.0, "oldtown") == ((x, y), start)
    assert destination(chart, 407.0, 402.0, "suburb")[0] != (x, y)


class FakeDrive:
    """What a task needs of a drive."""

    def __init__(self, options: DriveOptions | None = None) -> None:
        self.options = options or DriveOptions(model="tags")
        self.chosen = DriveState(CockpitSettings(), self.options)
        self.settings = CockpitSettings()
        self.town, self.notices, self.restarted, self.goals = "road", [], [], []
        self.inputs = SimpleNamespace(navigate_to=self.goals.append, requested=Control(0), pause=lambda paused: None)
        self.notify = self.notices.append
        self.resolved = lambda options: options

    def restart(self, options: DriveOptions) -> None:
        self.options = options
        self.restarted.append(options)


def to_the_place(tasks: TaskControl, speed: float) -> None:
    tasks.start("place")
    for each in straight(120.0, speed):
        tasks.update(each, road())
        if tasks.card is not None:
            return


def test_a_drive_to_a_place_keeps_its_time_and_the_next_one_has_a_ghost(tmp_path: Path):
    drive = FakeDrive()
    tasks = TaskControl(drive, tmp_path)  # type: ignore[arg-type]
    to_the_place(tasks, 9.0)
    assert tasks.card is not None
    assert tasks.card.achieved
    assert "New: best time" in tasks.card.lines
    assert "New: best score" in tasks.card.lines
    assert drive.goals[0] is not None
    assert drive.goals[-1] is None
    kept = Records(tmp_path).of("road")
    assert kept.runs == 1
    assert kept.best_score == 100.0
    (seconds,) = kept.best_times.values()
    to_the_place(tasks, 8.0)  # slower
    assert "New: best time" not in tasks.card.lines
    assert Records(tmp_path).of("road").best_times == kept.best_times
    tasks.start("place")
    for each in straight(20.0, 8.0):
        tasks.update(each, road())
    place = tasks.ghost_place()
    assert place is not None
    assert place[0] == pytest.approx(8.0 * (20.0 - STEP), abs=1.0)  # the last run, at the same moment
    drive.settings.ghost = False
    assert tasks.ghost_place() is None
    assert seconds == pytest.approx((drive.goals[0][0] - 14.0) / 9.0, abs=1.0)


def test_the_autopilot_ends_a_task_without_a_record(tmp_path: Path):
    tasks = TaskControl(FakeDrive(), tmp_path)  # type: ignore[arg-type]
    tasks.start("smooth")
    for each in straight(20.0, autopilot=True):
        tasks.update(each, road())
    assert tasks.task is None
    assert tasks.card is None
    assert not Records(tmp_path).of("road").runs


@pytest.mark.parametrize("name", list(lessons.LESSONS))
def test_a_lesson_plays_its_scenario_and_leaving_it_returns(name: str, tmp_path: Path):
    before = DriveOptions(model="tags", town="hamlet")
    drive = FakeDrive(before)
    tasks = TaskControl(drive, tmp_path)  # type: ignore[arg-type]
    tasks.start(name)
    (options,) = drive.restarted
    assert options.scenario is not None
    assert options.scenario.exists()
    assert (options.hand_over_at, options.model) == (0, "tags")
    assert tasks.in_lesson
    assert TASKS[name][1].endswith("Restarts the town.")
    for each in straight(200.0, 0.0):  # nothing done
        tasks.update(each, road())
    assert tasks.card is not None
    assert not tasks.card.achieved
    assert any(line.startswith("missed") for line in tasks.card.lines)
    tasks.leave()
    assert drive.restarted[-1] == before
    assert not tasks.in_lesson


def test_the_lesson_at_the_junction_is_passed_by_stopping_and_going_on(tmp_path: Path):
    tasks = TaskControl(FakeDrive(), tmp_path)  # type: ignore[arg-type]
    tasks.start("junction")
    time, x = 0.0, 0.0
    for speed, seconds in ((8.0, 6.0), (0.0, 3.0), (8.0, 8.0)):
        for _ in range(round(seconds / STEP)):
            time, x = time + STEP, x + speed * STEP
            tasks.update(frame(x, time=time, speed=speed), road())
    assert tasks.card is not None
    assert tasks.card.achieved, tasks.card
    assert Records(tmp_path).of("road").lessons == ["junction"]


def test_damaged_records_and_runs_are_no_obstacle(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (tmp_path / "records.yaml").write_text("towns: {road: {runs: -3}}", encoding="utf-8")
    records = Records(tmp_path)
    records.add("road", 50.0)
    assert "runs: -3" in (tmp_path / "records.yaml").read_text(encoding="utf-8")  # not overwritten
    file = tmp_path / "run.npy"
    file.write_bytes(b"\x93NUMPY nonsense")
    assert ghost.load(file) is None
    np.save(file, np.full((4, 5), np.nan))
    assert ghost.load(file) is None
    ghost.save(file, Run(np.arange(10.0).reshape(2, 5)))
    assert ghost.load(file) is not None


def test_the_ghost_turns_the_short_way_and_is_drawn_where_it_is():
    run = Run(np.array([[0.0, 0.0, 0.0, 0.0, pi - 0.1], [1.0, 10.0, 0.0, 0.0, -pi + 0.1]]))
    place = run.at(0.5)
    assert place is not None
    assert abs(abs(place[3]) - pi) < 1e-6
    assert place[0] == pytest.approx(5.0)
    assert run.at(1.5) is None
    camera = Camera(512, 256, 70.0, np.eye(4))
    seen = ghost.outline(camera, np.array([20.0, 0.0, -1.4, 0.0]))
    assert seen is not None
    pixels, distance = seen
    assert distance == pytest.approx(20.0 - ghost.BOX[0])
    assert pytest.approx(pixels[:, 0].mean(), abs=1.0) == 256.0
    assert pixels[:4, 1].min() > 128.0 > pixels[4:, 1].max() - 3.0
    assert ghost.outline(camera, np.array([-20.0, 0.0, -1.4, 0.0])) is None
    recorder = RunRecorder()
    for each in straight(2.0):
        recorder.update(each)
    assert 15 <= len(recorder.run.samples) <= 21


@pytest.mark.parametrize("arguments", [{"seed": 4}, {"town": "suburb"}])
def test_a_lesson_determines_its_town(arguments: dict[str, Any]):
    with pytest.raises(ValueError, match="the lesson determines it"):
        DriveOptions(task="night", **arguments).check()
