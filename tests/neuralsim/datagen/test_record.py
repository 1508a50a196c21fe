"""``neuralsim record`` with real processes, and its files when it ends early."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from helpers.command import neuralsim
from mcap.exceptions import McapError
from mcap.reader import make_reader

from bridge.tags import Tag
from neuralsim.cli import main
from neuralsim.datagen import run as datagen_run
from neuralsim.datagen import scripted_drive
from neuralsim.datagen.options import RecordOptions
from neuralsim.recording.export import examine
from neuralsim.recording.image_folder import DEPTH_STEPS
from neuralsim.recording.labels import TRAIN_IDS
from neuralsim.recording.reading.sequential_reader import McapRecording
from neuralsim.session.forks import alive
from scenarios.engine.loader import load

ROOT = Path(__file__).resolve().parents[3]
SHORT = """\
title: Short
town: hamlet
seed: 4
duration: 2
camera: {size: 128x64, fov: 80}
traffic: {vehicles: 3, walkers: 2}
ego:
  spawn: {point: 1, speed: 6}
  do:
    - follow_lane: {speed: 8}
    - when: {time: 0.6}
      stop: {deceleration: 8}
actors:
  - name: lead
    blueprint: vehicle.audi.tt
    spawn: {ahead: 15, speed: 6}
    do:
      - follow_lane: {speed: 9}
assert:
  - no_collision: ego
  - stands: {least: 0.2}
  - travels: {least: 5, most: 15}
"""


# The whole command


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Two scenarios recorded side by side, one of which fails an assertion."""
    folder = tmp_path_factory.mktemp("scenarios")
    (folder / "short.yaml").write_text(SHORT, encoding="utf-8")
    (folder / "wrong.yaml").write_text(SHORT.replace("least: 5, most: 15", "least: 90"), encoding="utf-8")
    done = neuralsim(
        "record", folder / "short.yaml", folder / "wrong.yaml", "--out", folder / "out", "--jobs", "2",
        "--planes", "tag,instance,depth,motion", "--format", "mcap,mp4,frames",
    )  # fmt: skip
    return folder, done


def result(folder: Path, name: str) -> dict:
    return json.loads((folder / "out" / name / "result.json").read_text(encoding="utf-8"))


def test_every_frame_is_recorded_once_and_assertions_are_evaluated(recorded):
    folder, done = recorded
    assert done.returncode == 1, done.stderr  # one of the two has failed
    assert "pass  short" in done.stdout
    assert "FAIL  wrong" in done.stdout
    assert "travels of ego" in done.stdout
    good, wrong = result(folder, "short"), result(folder, "wrong")
    assert good["passed"]
    assert not wrong["passed"]
    assert good["frames"] == 40
    assert good["sim_seconds"] == pytest.approx(2.0)
    assert [each["passed"] for each in wrong["assertions"]] == [True, True, False]
    assert 5.0 < good["distance"] < 15.0
    assert good["collisions"] == []
    assert good["tag_sha256"] == wrong["tag_sha256"]  # the same drive, in two towns
    video = [frame.pts for frame in av.open(str(folder / "out/short/video.mp4")).decode(video=0)]
    assert len(video) == 40


def test_indexed_reader_reads_every_message_with_its_schema(recorded):
    with (recorded[0] / "out/short/recording.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        counts = {summary.channels[k].topic: n for k, n in summary.statistics.channel_message_counts.items()}
        assert counts.pop("/tf") == 80
        assert counts.pop("/scene/lanes") == 1
        assert set(counts.values()) == {40}
        assert {"/camera/tag", "/camera/motion", "/camera/calibration", "/ego", "/ego/pose"} <= counts.keys()
        assert "/camera/neural" not in counts
        for schema, _, message in reader.iter_messages():
            if schema.encoding == "protobuf":
                pool = descriptor_pool.DescriptorPool()
                for described in descriptor_pb2.FileDescriptorSet.FromString(schema.data).file:
                    pool.Add(described)
                kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(schema.name))
                said = kind.FromString(message.data)
                if "timestamp" in kind.DESCRIPTOR.fields_by_name:  # else its parts have theirs
                    assert said.HasField("timestamp")
            else:
                content, definition = json.loads(message.data), json.loads(schema.data)
                assert content.keys() == definition["properties"].keys()
            if message.sequence > 1:
                break
        about = {m.name: m.metadata for m in reader.iter_metadata()}["recording"]
        assert about["scenario"] == "short"
        assert about["scenario_yaml"] == SHORT


def test_exported_frames_match_the_mcap(recorded):
    folder = recorded[0] / "out/short"
    lines = [json.loads(line) for line in (folder / "frames/index.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["frame"] for line in lines] == list(range(40))
    frame = list(McapRecording(folder / "recording.mcap").frames())[30]
    files = {name: cv2.imread(str(folder / "frames" / path), -1) for name, path in lines[30]["files"].items()}
    assert (files["tag"] == frame.planes["tag"]).all()
    assert (files["trainId"] == TRAIN_IDS[frame.planes["tag"]]).all()
    assert (files["instance"] == frame.planes["instance"]).all()
    assert files["depth"].dtype == np.uint16
    assert np.abs(files["depth"] / DEPTH_STEPS - frame.planes["depth"]).max() <= 0.5 / DEPTH_STEPS + 1e-3
    assert lines[30]["ego"]["scenario"] == "short"
    assert lines[30]["control"]["throttle"] >= 0.0
    assert len({line["camera"][3] for line in lines}) > 20  # it moves


def test_cityscapes_loaders_find_images_and_labels(recorded):
    """By the rule of torchvision's: each of leftImg8bit has its ..._gtFine_labelIds.png, instanceIds.png next to it."""
    frames = recorded[0] / "out/short/frames"
    labels = sorted((frames / "cityscapes/gtFine/train/short").glob("*_gtFine_labelIds.png"))
    assert len(labels) == 40
    for path in labels[::20]:
        label, train, instance = (
            cv2.imread(str(path).replace("labelIds", kind), -1) for kind in ("labelIds", "labelTrainIds", "instanceIds")
        )
        assert {7, 23} <= set(np.unique(label)) <= {*range(34)}
        assert ((train == 0) == (label == 7)).all()  # the road
        assert instance.dtype == np.uint16
        assert (np.where(instance >= 1000, instance // 1000, instance) == label).all()


def test_coco_boxes_and_masks_match_the_planes(recorded):
    frames = recorded[0] / "out/short/frames"
    coco = json.loads((frames / "coco.json").read_text(encoding="utf-8"))
    assert [image["id"] for image in coco["images"]] == list(range(40))
    assert {one["image_id"] for one in coco["annotations"]} == set(range(40))  # the lead is always in view
    assert len({one["id"] for one in coco["annotations"]}) == len(coco["annotations"])
    image = coco["images"][30]
    tag, instance = (cv2.imread(str(frames / f"{name}/000030.png"), -1) for name in ("tag", "instance"))
    assert (image["height"], image["width"]) == tag.shape
    for one in (one for one in coco["annotations"] if one["image_id"] == 30):
        mask = (tag == one["category_id"]) & (instance == one["instance"])
        rows, columns = np.nonzero(mask)
        x, y, width, height = one["bbox"]
        assert one["area"] == mask.sum()
        assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert (decoded(one["segmentation"]["counts"], tag.shape) == mask).all()


def decoded(text: str, shape: tuple[int, int]) -> np.ndarray:
    """A mask out of COCO's compressed run lengths, as ``rleFrString`` of its API reads them."""
    counts: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[at]) - 48
            value |= (bits & 0x1F) << shift
            more, at, shift = bool(bits & 0x20), at + 1, shift + 5
            if not more and bits & 0x10:
                value |= -1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    return np.repeat(np.arange(len(counts)) % 2, counts).reshape(shape[::-1]).T.astype(bool)


def test_index_is_a_table_and_poses_are_in_kittis_format(recorded):
    frames = recorded[0] / "out/short/frames"
    table = pq.read_table(frames / "index.parquet")
    assert table.num_rows == 40
    row = table.slice(30, 1).to_pylist()[0]
    line = json.loads((frames / "index.jsonl").read_text(encoding="utf-8").splitlines()[30])
    assert (row["frame"], row["speed"], row["camera"]) == (30, line["ego"]["speed"], line["camera"])
    assert (frames / row["depth_file"]).is_file()
    poses = np.loadtxt(frames / "poses.txt")
    assert poses.shape == (40, 12)
    assert np.allclose(poses[30], line["camera"][:12], atol=1e-5)
    calibration = json.loads((frames / "calibration.json").read_text(encoding="utf-8"))
    assert (calibration["camera"]["width"], len(calibration["camera"]["K"])) == (128, 9)


@pytest.mark.slow
def test_the_renderer_follows_changes_of_the_weather(tmp_path: Path):
    """After a change to night, sky, road and houses are as dark as in the same drive that began at night.

    The road is not much darker than at noon: the own headlamps are on.
    """
    night = SHORT.replace("seed: 4", "seed: 4\nweather: {preset: ClearNight}")
    change = "weather: {preset: ClearNoon}\nchanges: [{when: {time: 0.5}, weather: {preset: ClearNight}}]"
    (tmp_path / "night.yaml").write_text(night, encoding="utf-8")
    (tmp_path / "change.yaml").write_text(night.replace("weather: {preset: ClearNight}", change), encoding="utf-8")
    scenarios, out = (tmp_path / "night.yaml", tmp_path / "change.yaml"), tmp_path / "out"
    done = neuralsim("record", *scenarios, "--out", out, "--planes", "tag,neural", timeout=600)
    assert done.returncode == 0, done.stderr
    begin, changed = (_brightness(out / "change/recording.mcap", k) for k in (0, -1))
    dark = _brightness(out / "night/recording.mcap", -1)
    for tag in (Tag.SKY, Tag.ROAD, Tag.BUILDING):
        assert tag == Tag.ROAD or changed[tag] < 0.7 * begin[tag]
        assert changed[tag] == pytest.approx(dark[tag], rel=0.2)


def _brightness(path: Path, number: int) -> dict[int, float]:
    """Return the mean of the generated image, 0 to 255, over the pixels of each tag in one frame of a recording."""
    frame = list(McapRecording(path).frames())[number]
    image = frame.image("neural")
    return {int(tag): float(image[frame.planes["tag"] == tag].mean()) for tag in np.unique(frame.planes["tag"])}


def test_filmed_like_a_dashcam_it_is_another_recording(tmp_path: Path):
    loaded = load(ROOT / "scenarios/library/following.yaml")
    with scripted_drive.Shared() as shared:
        digests = {
            scripted_drive.ScenarioRecorder(loaded, options, shared).digest
            for options in (
                RecordOptions(scenarios=(loaded.path,), out=tmp_path, dashcam=each) for each in (False, True)
            )
        }
    assert len(digests) == 2


@pytest.mark.slow
def test_recorded_scenarios_are_skipped_and_again_reproduces_them(recorded):
    folder = recorded[0]
    arguments = (
        "record", folder / "short.yaml", "--out", folder / "out",
        "--planes", "tag,instance,depth,motion", "--format", "mcap,mp4,frames",
    )  # fmt: skip
    before = result(folder, "short")
    written = (folder / "out/short/recording.mcap").stat().st_mtime_ns
    done = neuralsim(*arguments)
    assert done.returncode == 0, done.stderr
    assert "already recorded" in done.stdout
    assert (folder / "out/short/recording.mcap").stat().st_mtime_ns == written
    assert neuralsim(*arguments, "--again").returncode == 0
    after = result(folder, "short")
    assert after["tag_sha256"] == before["tag_sha256"]
    assert after["seconds"] != before["seconds"]


@pytest.mark.slow
def test_killed_recorder_ends_its_processes_and_leaves_a_readable_file(tmp_path: Path):
    (tmp_path / "long.yaml").write_text(SHORT.replace("duration: 2", "duration: 600"), encoding="utf-8")
    command = [sys.executable, "-m", "neuralsim", "record", "long.yaml", "--out", "out", "--planes", "tag,instance"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    )
    path = tmp_path / "out/long/recording.mcap"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (path.exists() and path.stat().st_size > 100_000):
        time.sleep(0.1)
    pids = [int(entry.parent.name) for entry in Path("/proc").glob("[0-9]*/stat") if _parent(entry) == process.pid]
    assert len(pids) == 2  # town and bridge
    process.kill()
    process.wait()
    with path.open("rb") as file, pytest.raises(McapError):
        make_reader(file).get_summary()
    health = examine(path)
    assert health.frames > 20
    assert health.problem == "the file is truncated"
    while time.monotonic() < until and any(map(alive, pids)):
        time.sleep(0.1)
    assert not any(map(alive, pids))
    assert not (tmp_path / "out/long/result.json").exists()


def _parent(entry: Path) -> int:
    try:
        return int(entry.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["none.yaml", "--out", "o"], 1, "none.yaml: no such file"),
        (["bad.yaml", "--out", "o"], 1, "bad.yaml:5: camera.size"),
        (["bad.yaml"], 2, "--out"),
        (["bad.txt", "--out", "o"], 2, "must end with .yaml"),
        (["bad.yaml", "--out", "o", "--planes", "tag,smell"], 2, "unknown 'smell'"),
        (["bad.yaml", "--out", "o", "--jobs", "0"], 2, "1 or more"),
        (["bad.yaml", "--out", "o", "--jobs", "2", "--carla", "localhost:2000"], 2, "--jobs"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, monkeypatch, capsys, arguments: list[str], code: int, text: str):
    (tmp_path / "bad.yaml").write_text(SHORT.replace("128x64", "8x64"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["record", *arguments]) == code
    errors = capsys.readouterr().err
    assert text in errors
    assert len(errors.strip().splitlines()) == 1


def test_progress_line_shows_the_phase_before_and_after_the_frames(monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []

    class Line:
        def __init__(self, frames: int) -> None:
            assert frames == 7

        def waiting(self, steps: list[str]) -> None:
            said.append(f"waiting {steps}")

        def count(self, frames: int, fps: float, doing: str) -> None:
            said.append(f"{frames} {doing}")

        def close(self) -> None: ...

    shared = scripted_drive.Shared()

    class Recorder:
        loaded = SimpleNamespace(id="one", scenario=SimpleNamespace(frames=7))
        phase = ""

        def record(self) -> dict[str, object]:
            for frames, phase in ((0, "Town oldtown"), (3, ""), (7, "exporting images")):
                shared.frames, self.phase = frames, phase
                until = time.monotonic() + 30.0
                before = len(said)
                while len(said) < before + 2 and time.monotonic() < until:  # the first one may be of before
                    time.sleep(0.01)
            return {"passed": True, "frames": 7, "fps": 1.0, "distance": 0.0, "scenario": "one", "assertions": []}

    monkeypatch.setattr(datagen_run, "ProgressLine", Line)
    assert datagen_run._record_all([Recorder()], shared, 1) == 0  # type: ignore[list-item]
    assert {"waiting ['one: Town oldtown']", "3 ", "7 one: exporting images"} <= set(said)
