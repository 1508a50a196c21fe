"""Scenarios from recorded drives, which play as recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.writer import Writer as McapFile

from bridge.messages import Camera, Ego, Frame, MovingObject
from bridge.tags import Tag
from neuralsim.cli.app import main
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.sequential_reader import McapRecording
from neuralsim.recording.scenario_from_recording import scenario_from
from neuralsim.recording.writing.mcap_writer import McapWriter
from scenarios.engine.loader import load
from scenarios.engine.trajectories import pose_at

ABOUT = {"town": "hamlet", "seed": "3", "fps": "20"}


def turned(x: float, y: float, yaw: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:2, 3] = x, y
    return pose


def frame(k: int) -> Frame:
    """Of a drive round a bend, past the south at -180 degrees, then back in reverse; a van is in view now and then."""
    now = 0.05 * k
    along = now if now < 3.0 else 6.0 - now
    ego = turned(20.0 * np.sin(along / 2.0), 20.0 * (1.0 - np.cos(along / 2.0)), 2.6 + along / 2.0)
    camera = Camera(32, 32, 70.0, ego @ turned(1.2, 0.0, 0.0))
    frame = Frame(k, k, 100.0 + now, camera, {"tag": np.zeros((32, 32), np.uint8)}, Ego(pose=ego))
    frame.weather, frame.weather_name = (
        {"cloudiness": 40.0 if k < 50 else 80.0},
        "ClearNoon" if k < 50 else "CloudyNoon",
    )
    if k < 20 or k > 70:
        box = turned(30.0 + 4.0 * now, 3.0, 0.0)
        box[2, 3] = 1.0
        frame.objects = [MovingObject(7, Tag.CAR, box, (2.2, 0.9, 1.0), "vehicle.volkswagen.t2", "24,25,28")]
    return frame


def recorded(path: Path, frames: list[Frame], about: dict[str, str]) -> Path:
    writer = McapWriter(path, ("tag",), about)
    for each in frames:
        writer.write(each, None)
    writer.close()
    return path


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drive") / "drive-1"
    return recorded(folder / "recording.mcap", [frame(k) for k in range(110)], ABOUT)


def test_ego_and_others_are_where_they_were_recorded(drive: Path, tmp_path: Path):
    assert main(["recording", "to-scenario", str(drive), "--out", str(tmp_path / "new")]) == 0
    loaded = load(tmp_path / "new" / "drive-1.yaml")
    scenario = loaded.scenario
    assert (scenario.town, scenario.seed, scenario.fps, scenario.weather.preset) == ("hamlet", 3, 20.0, "ClearNoon")
    assert [(change.when.time, change.weather.preset) for change in scenario.changes] == [(2.5, "CloudyNoon")]
    assert scenario.camera.mount.x == pytest.approx(1.2)
    (step,) = scenario.ego.do
    assert step.follow_trajectory is not None
    assert 4 < len(step.follow_trajectory.points) < 60
    for k in range(110):
        x, y, yaw = pose_at(step.follow_trajectory, 0.05 * k)
        pose = frame(k).ego.pose
        assert np.hypot(x - pose[0, 3], y - pose[1, 3]) < 0.025
        assert abs(np.sin(yaw) - pose[1, 0]) < 0.02
        assert abs(np.cos(yaw) - pose[0, 0]) < 0.02
    (van,) = scenario.actors
    assert (van.blueprint, van.color, van.spawn.x, van.spawn.z) == ("vehicle.volkswagen.t2", "24,25,28", 30.0, 0.0)
    assert [each.chosen()[0] for each in van.do] == ["follow_trajectory", "vanish", "teleport", "follow_trajectory"]
    assert van.do[2].when is not None
    assert van.do[2].when.time == pytest.approx(0.05 * 71)


def test_the_ego_drives_across_a_hole_and_the_hole_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = recorded(tmp_path / "hole.mcap", [frame(k) for k in range(110) if not 10 < k < 77], ABOUT)
    assert main(["recording", "to-scenario", str(file), "--out", str(tmp_path / "mine.yaml")]) == 0
    assert "66 frames missing: 0:00.5 to 0:03.9" in capsys.readouterr().err
    scenario = load(tmp_path / "mine.yaml").scenario
    assert [each.chosen()[0] for each in scenario.ego.do] == ["follow_trajectory"]  # it neither vanishes nor leaps
    (limit,) = scenario.asserts
    assert limit.travels is not None
    assert limit.travels.most < 45.0  # an ego that is taken elsewhere on the way fails


@pytest.mark.parametrize("town", ["../../evil.xodr", "/etc/evil.xodr", "nowhere", "a\nb: c"])
def test_hostile_recording_writes_nothing_outside_of_the_folder(tmp_path: Path, town: str):
    bad = frame(3)
    bad.objects = [MovingObject(7, 200, np.eye(4), (1.0, 1.0, 1.0), "vehicle.x: [\n../..", "1,2,3\n- a")] * 2
    frames = [replace(bad, sequence=k, sim_time=0.1 * k) for k in range(4)]
    file = recorded(tmp_path / "in" / "evil.mcap", frames, {**ABOUT, "town": town, "seed": "../9"})
    (tmp_path / "in" / "evil.xodr").write_text("<OpenDRIVE/>", encoding="utf-8")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(RecordingError, match="cannot be turned into a scenario"):
        scenario_from(file, tmp_path / "out")
    assert set(tmp_path.rglob("*")) == before
    target, others, _ = scenario_from(recorded(tmp_path / "in" / "good.mcap", frames, ABOUT), tmp_path / "out")
    assert others == 1
    assert load(target).scenario.actors[0].blueprint == "vehicle.tesla.model3"


@pytest.mark.parametrize("name", ["../evil.xodr", "C:\\evil.xodr"])
def test_map_named_by_a_path_is_not_written(tmp_path: Path, name: str):
    path = tmp_path / "recording.mcap"
    writer = McapWriter(path, ("tag",), {**ABOUT, "town": "evil.xodr"}, {name: b"<OpenDRIVE/>"})
    writer.write(frame(0), None)
    writer.close()
    with pytest.raises(RecordingError, match="not a file name"):
        scenario_from(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_invalid_recording_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    empty = tmp_path / "empty.mcap"
    with empty.open("wb") as file:
        McapFile(file).start()
    assert main(["recording", "to-scenario", str(empty), "--out", str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


SCENARIO = """\
title: Once more
town: hamlet
seed: 4
duration: 2.5
camera: {size: 64x32}
traffic: {vehicles: 4, walkers: 4}
ego:
  spawn: {point: 1, speed: 6}
  do:
    - controls: [{at: 0, throttle: 0.6, steer: 0.1}, {at: 1.2, brake: 0.8, steer: -0.2}]
actors:
  - name: lead
    blueprint: vehicle.audi.tt
    color: 186,60,36
    spawn: {ahead: 15, speed: 6}
    do:
      - follow_lane: {speed: 9}
assert: []
"""


@pytest.mark.slow
def test_scenario_is_recorded_again_as_before(tmp_path: Path):
    """Through the real town twice: driven by pedals, then on the trajectory that came of it."""
    (tmp_path / "once.yaml").write_text(SCENARIO, encoding="utf-8")
    options = ["--planes", "tag,instance,depth", "--format", "mcap", "--out"]
    assert main(["record", str(tmp_path / "once.yaml"), *options, str(tmp_path / "first")]) == 0
    file, others, _ = scenario_from(tmp_path / "first" / "once" / "recording.mcap", tmp_path / "again")
    assert others >= 1
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["town"] == "hamlet"
    assert main(["record", str(file), *options, str(tmp_path / "second")]) == 0
    first, second = (
        {round(each.time - first_time(path), 3): each for each in McapRecording(path).frames()}
        for path in (tmp_path / "first/once/recording.mcap", tmp_path / "second" / file.stem / "recording.mcap")
    )
    # The first frame is one tick after the beginning.
    pairs = [(first[round(now + 0.05, 3)], each) for now, each in second.items() if round(now + 0.05, 3) in first]
    assert len(pairs) > 40
    off = [np.linalg.norm(a.pose("ego")[:3, 3] - b.pose("ego")[:3, 3]) for a, b in pairs]
    turned_off = [np.abs(a.pose("ego")[:3, :3] - b.pose("ego")[:3, :3]).max() for a, b in pairs]
    assert max(off) < 0.06
    assert max(turned_off) < 0.03
    cars = [
        [np.array(o["pose"])[[3, 7]] for o in each.json["objects"]["objects"] if o["blueprint"] == "vehicle.audi.tt"]
        for pair in pairs
        for each in pair
    ]
    assert all(abs(a[0] - b[0]).max() < 0.1 for a, b in zip(cars[::2], cars[1::2], strict=True) if a and b)
    assert sum(bool(seen) for seen in cars[1::2]) > 30


def first_time(path: Path) -> float:
    return next(McapRecording(path).frames()).time
