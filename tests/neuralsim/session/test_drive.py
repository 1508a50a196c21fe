"""The drive without a window: its parts, and the whole loop with real processes."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.processes import gone
from helpers.videos import decoded, street

from bridge import tags
from bridge.messages import STAMPS, Camera, Frame
from bridge.size import Size
from neuralsim.base import machine
from neuralsim.recording.reading.random_access_reader import RecordingReader
from neuralsim.recording.writing.mcap_writer import McapWriter
from neuralsim.renderer import views
from neuralsim.session import metrics
from neuralsim.session.child_options import town_options
from neuralsim.session.drive_recording import DriveRecording
from neuralsim.session.drive_session import DriveSession
from neuralsim.session.forks import child_process
from neuralsim.session.options import DriveOptions
from neuralsim.session.processes import Child, ProcessError, Processes, free_port
from neuralsim.session.render_loop import RenderedFrame
from neuralsim.session.renderer_loading import render_threads, seconds_per_frame, sustainable_rate

ROOT = Path(__file__).resolve().parents[3]


# Views


def test_views_show_every_plane_in_the_frames_size():
    height, width = 40, 72
    motion = np.zeros((height, width, 2), np.float16)
    motion[:, : width // 2] = (12.0, 0.0)
    motion[0, 0] = (np.inf, np.nan)
    planes = {
        "tag": np.full((height, width), tags.Tag.CAR, np.uint8),
        "depth": np.linspace(0.0, 1000.0, height * width, dtype=np.float32).reshape(height, width),
        "motion": motion,
        "rgb": street(width, height),
    }
    frame = Frame(0, 0, 0.0, Camera(width, height, 90.0, np.eye(4)), planes)
    neural = street(width, height) // 2
    for view in views.View:
        if view != views.View.SPLIT:
            picture = views.view_image(view, frame, neural)
            assert picture is not None
            assert (picture.shape, picture.dtype) == ((height, width, 3), np.uint8)
    assert (views.tag_image(planes["tag"]) == tags.COLOURS[tags.Tag.CAR]).all()
    brightness = views.depth_image(planes["depth"]).sum(axis=-1, dtype=int).ravel()
    assert (np.diff(brightness) <= 0).mean() > 0.99  # near is bright
    shown = views.motion_image(motion)
    assert shown[5, 5].max() > 100 > 40 > shown[5, -1].max(), (shown[5, 5], shown[5, -1])


# Report


def test_meter_reports_rate_latency_and_bottleneck():
    meter = metrics.Meter()
    ms = 1_000_000
    begin = 10_000 * ms
    for n in range(51):
        capture = begin + n * 40 * ms
        stamps = [capture + after * ms for after in (0, 10, 11, 15, 53, 55)]
        frame = Frame(n, n, n * 0.05, Camera(64, 32, 90.0, np.eye(4)), {}, control_seq=n)
        frame.stamps = dict(zip(STAMPS, stamps, strict=True))
        frame.skipped = int(n == 7)
        if n == 0:
            meter.start(capture + 15 * ms)
        meter.sent(n, capture - 20 * ms)
        meter.shown(frame)
    written = meter.report(runtime="r", model="m", size=(64, 32), target_fps=None, memory_mb=1.0)
    assert (written["frames"], written["dropped"], written["size"]) == (51, 1, "64x32")
    assert written["fps"] == pytest.approx(51 / (0.04 * 50 + 0.04), rel=1e-3)
    assert written["latency_ms"] == {"p50": 55.0, "p95": 55.0, "p99": 55.0}
    assert written["input_to_photon_ms"]["p50"] == 75.0  # type: ignore[index]
    assert written["stage_ms"]["render"]["p95"] == 38.0  # type: ignore[index]
    assert written["bound_by"] == "render"
    assert meter.bound_by(25.0) == "pace"
    assert meter.rate() == pytest.approx(25.0)
    assert meter.stages(3) == [(10.0, 1.0, 4.0, 38.0, 2.0)] * 3
    assert (written["displayed_fps"], meter.displayed_rate()) == (written["fps"], pytest.approx(25.0))
    for n in range(51):  # each is shown again after 20 ms: more displays, but no more frames
        meter.warped(begin + n * 40 * ms + 75 * ms, 3 * ms)
    again = meter.report(runtime="r", model="m", size=(64, 32), target_fps=None, memory_mb=1.0)
    assert (again["frames"], again["fps"]) == (written["frames"], written["fps"])
    assert again["displayed_fps"] == pytest.approx(2 * 51 / (0.04 * 50 + 0.04), rel=1e-3)
    assert again["late_warp_ms"]["p95"] == 3.0  # type: ignore[index]
    seconds = meter.seconds
    meter.exclude_pause(1_000 * ms)
    assert meter.seconds == pytest.approx(seconds - 1.0)


def test_memory_counts_this_process_and_its_children():
    code = "x = bytearray(64 << 20); print('made', flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"made\n"
        both, alone = machine.memory_mb([os.getpid()]), machine.memory_mb([child.pid])
        assert both is not None
        assert alone is not None
        assert alone > 60.0
        assert both > alone + 20.0
    finally:
        child.communicate(b"\n")


# The whole loop


class Driven:
    """`neuralsim drive --headless` in its own process."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / "log.jsonl"
        command = [sys.executable, "-m", "neuralsim", "drive", "--headless", "--autopilot", "--log", str(self.log)]
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def telemetry(self) -> list[dict]:
        return (
            [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
            if self.log.exists()
            else []
        )

    def wait_for_frames(self, count: int, timeout: float = 60.0) -> None:
        until = time.monotonic() + timeout
        while len(self.telemetry()) < count:
            if self.process.poll() is not None:
                raise AssertionError(f"ended too early: {self.process.communicate()[1]}")
            assert time.monotonic() < until, "no frames"
            time.sleep(0.1)

    def wait_for_children(self) -> None:
        until = time.monotonic() + 30.0
        while not self.children():
            assert time.monotonic() < until, "no process was started"
            time.sleep(0.05)

    def children(self) -> list[int]:
        lists = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return sorted(int(pid) for text in lists for pid in text.read_text(encoding="utf-8").split())


def test_a_failing_process_reports_its_error_and_its_session_is_ended():
    code = (
        "import os, subprocess, sys, time; subprocess.Popen(['sleep', '60'], stdout=-3, stderr=-3); os.close(1); "
        "time.sleep(0.15); sys.exit('no such town: choose another')"
    )
    processes = Processes()
    child = Child("town", child_process([sys.executable, "-c", code]))
    processes.children.append(child)
    with pytest.raises(ProcessError, match="no such town: choose another"):
        child.wait_ready(20.0, lambda: False)
    os.killpg(child.pid, 0)  # a process of its session is left
    processes.stop()
    end = time.monotonic() + 5.0
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(child.pid, 0)
            assert time.monotonic() < end, "a process was left behind"
            time.sleep(0.02)


@pytest.mark.slow
def test_same_seed_gives_the_same_video_to_the_byte(tmp_path: Path):
    both = []
    for name in ("first", "second"):  # concurrently, so that they disturb each other
        (folder := tmp_path / name).mkdir()
        options = ("--size", "128x64", "--seed", "4", "--runtime", "openvino")
        both.append((folder, Driven(folder, "--frames", "25", *options, "--record", "d.mp4")))
    videos = []
    for folder, driven in both:
        errors = driven.process.communicate(timeout=120)[1]
        assert driven.process.returncode == 0, errors
        videos.append((folder / "d.mp4").read_bytes())
    assert len(videos[0]) > 5_000
    assert videos[0] == videos[1]


@pytest.mark.parametrize("options", [(), pytest.param(("--strict",), marks=pytest.mark.slow)])
def test_headless_drive_follows_the_road_and_writes_everything(tmp_path: Path, options: tuple[str, ...]):
    files = "--record", "d.mp4", "--report", "new/r.json"
    driven = Driven(tmp_path, "--frames", "60", "--size", "256x128", *files, *options)
    output, errors = driven.process.communicate(timeout=120)
    assert driven.process.returncode == 0, errors
    created, summary = output.splitlines()
    assert created == "created the folder new"
    assert re.fullmatch(
        r"60 frames, \d+\.\d per second, latency \d+ ms \(p95 \d+\); wrote d.mp4, new/r.json, .*", summary
    ), summary
    written = json.loads((tmp_path / "new" / "r.json").read_text(encoding="utf-8"))
    assert {"frames", "seconds", "fps", "dropped", "latency_ms", "input_to_photon_ms", "stage_ms"} <= written.keys()
    assert {"runtime", "model", "size", "host", "bound_by", "memory_mb"} <= written.keys()
    assert (written["frames"], written["dropped"], written["size"]) == (60, 0, "256x128")
    assert set(written["stage_ms"]) == {"simulate", "pack", "transport", "render", "display"}
    assert all(set(times) == {"p50", "p95", "p99"} for times in (written["latency_ms"], *written["stage_ms"].values()))
    assert written["fps"] == pytest.approx(written["frames"] / written["seconds"], rel=0.01)
    assert 0.0 < written["latency_ms"]["p50"] < 2000.0
    assert written["memory_mb"] < 2000.0
    lines = driven.telemetry()
    assert len(lines) == 60
    assert [line["sequence"] for line in lines] == list(range(lines[0]["sequence"], lines[0]["sequence"] + 60))
    assert lines[-1]["speed"] > 1.0
    assert math.dist((lines[0]["x"], lines[0]["y"]), (lines[-1]["x"], lines[-1]["y"])) > 1.0
    assert lines[-1]["collisions"] == 0
    frames = decoded(tmp_path / "d.mp4")
    assert len(frames) == 60
    assert float(frames[-1].time or 0) == pytest.approx(lines[-1]["sim_time"] - lines[0]["sim_time"], abs=0.01)
    assert frames[-1].to_ndarray(format="rgb24").std() > 12.0  # a street, not a blank
    assert not list(Path(tempfile.gettempdir()).glob(f"neuralsim-{driven.process.pid}-*"))


def test_a_drives_town_is_strict_on_request():
    assert [town_options(DriveOptions(strict=each)).strict for each in (False, True)] == [False, True]


@pytest.mark.alone
def test_kill_9_leaves_a_playable_recording_and_no_orphans(tmp_path: Path):
    driven = Driven(tmp_path, "--size", "256x128", "--record", "d.mp4")
    driven.wait_for_frames(75)
    children = driven.children()
    assert len(children) == 2
    driven.process.kill()
    driven.process.communicate()
    assert gone(children, within=3.0)
    assert len(decoded(tmp_path / "d.mp4")) >= 30


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_within_two_seconds(tmp_path: Path, number: signal.Signals):
    driven = Driven(tmp_path, "--size", "256x128", "--record", "d.mp4", "--report", "r.json")
    if number == signal.SIGINT:
        driven.wait_for_frames(5)
    else:
        driven.wait_for_children()  # still starting
    children = driven.children()
    driven.process.send_signal(number)
    begun = time.monotonic()
    errors = driven.process.communicate(timeout=10)[1]
    assert time.monotonic() - begun < 2.0
    assert driven.process.returncode == 0
    assert "Traceback" not in errors
    assert gone(children, within=0.1)
    if number == signal.SIGINT:
        assert decoded(tmp_path / "d.mp4")
        assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["frames"] >= 5


@pytest.mark.slow
def test_a_dying_simulator_ends_the_drive_with_one_line(tmp_path: Path):
    driven = Driven(tmp_path, "--size", "256x128")
    driven.wait_for_frames(5)
    children = driven.children()
    os.kill(children[0], signal.SIGKILL)
    errors = driven.process.communicate(timeout=30)[1]
    assert driven.process.returncode == 1
    usual = ("waiting", " FPS ", "is the fastest here")  # at a first start
    lines = [line for line in errors.splitlines() if not any(text in line for text in usual)]
    assert len(lines) == 1, errors
    assert gone(children, within=0.1)


def started(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start one of our processes; return it and the line that it prints when ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "neuralsim", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@pytest.mark.slow
def test_processes_can_run_separately_as_on_several_machines(tmp_path: Path):
    keys, port = str(tmp_path / "keys"), free_port()
    subprocess.run(
        [sys.executable, "-m", "neuralsim", "link", "keys", "new", keys], cwd=ROOT, check=True, capture_output=True
    )
    town, line = started("town", "--port", "0", "--vehicles", "2", "--walkers", "1")
    bridge, _ = started(
        *("link", "bridge", "--carla", line.split()[-1], "--publish", f"tcp://0.0.0.0:{port}", "--keys", keys),
        *("--size", "128x64", "--lockstep"),
    )
    try:
        options = ("--frames", "12", "--size", "128x64", "--connect", f"tcp://127.0.0.1:{port}", "--keys", keys)
        driven = Driven(tmp_path, *options)
        errors = driven.process.communicate(timeout=60)[1]
        assert driven.process.returncode == 0, errors
        assert len(driven.telemetry()) == 12
        assert bridge.poll() is None  # the drive did not start it, so it must not end it
    finally:
        for process in (bridge, town):
            process.terminate()
            process.communicate(timeout=10)


def test_the_town_ticks_no_faster_than_the_renderer():
    def rate(step, cores=2, threads=None, pixels=512 * 256):
        return sustainable_rate(seconds_per_frame(step, cores, threads, pixels))

    assert rate(0.020) == 31.0  # 20 ms of rendering, 12 ms of everything else on the same cores
    assert rate(0.015) == 37.0
    assert rate(0.019, pixels=1024 * 512) == 25.0  # 19 ms of rendering, 21 ms of everything else
    assert rate(0.031, threads=1) == 31.0  # 31 ms of rendering, everything else in parallel
    assert rate(0.030, cores=8) == 33.0
    assert rate(0.005, cores=8) == 40.0
    assert rate(0.5) == 20.0  # never slower: it skips frames instead


@pytest.mark.parametrize(
    ("show", "apart", "in_turns", "threads", "rate"),
    [
        (None, 0.031, 0.001, 1, 31.0),  # fluent: nothing else is tried
        (None, 0.060, 0.030, None, 24.0),  # all cores, alternating with the tick, are faster
        (None, 0.045, 0.040, 1, 22.0),  # they are not
        ("1024x512", 0.043, 0.024, 1, 23.0),  # with large frames, the tick takes longer
        ("1024x512", 0.060, 0.024, None, 22.0),
    ],
)
def test_the_cores_are_shared_so_that_driving_is_fluent(monkeypatch, show, apart, in_turns, threads, rate):
    class Generator:
        def __init__(self, threads):
            self.threads = threads

        def seconds_per_step(self):
            return in_turns if self.threads is None else apart

    monkeypatch.setattr("neuralsim.session.drive_session.cores", lambda: 2)
    made = "neuralsim.session.renderer_loading.make_renderer"
    monkeypatch.setattr(made, lambda model, runtime, size, threads, *_: Generator(threads))
    session = DriveSession(DriveOptions(show=show and Size.parse(show)))
    seen = []  # what the start screen shows of the model, after each change
    monkeypatch.setattr(session, "_wake", lambda: seen.append(dict(session.steps)))
    session._loader.start()
    assert session._loader.finished.wait(10.0)
    assert session._settle_rate() == rate
    shown = [steps["Model"] for steps in seen]
    assert shown == sorted(shown), "what is done stays done"
    assert session._threads == session._loader.result().threads == threads


def test_on_few_cores_one_is_left_to_the_simulation():
    assert [render_threads(cores) for cores in (1, 2, 3, 4, 16)] == [None, 1, 2, None, None]
    alone = DriveOptions(connect="tcp://127.0.0.1:5600")  # the simulation is on another machine
    scripted = DriveOptions(headless=True, scenario=Path("scenario.yaml"))
    for options, cores, threads in (
        (DriveOptions(), 2, 1), (DriveOptions(headless=True), 2, None), (scripted, 2, 1), (alone, 2, None),
    ):  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("neuralsim.session.drive_session.cores", lambda cores=cores: cores)
            assert DriveSession(options)._threads == threads


def test_waiting_for_a_process_times_out_only_if_it_is_idle():
    busy = "import time, json\nend = time.time() + 2.5\nwhile time.time() < end: sum(range(10000))\n"
    busy += "print(json.dumps({'ready': 1}), flush=True); time.sleep(60)"
    child = Child("worker", child_process([sys.executable, "-c", busy]))
    try:
        assert child.wait_ready(1.8, lambda: False) == 1
    finally:
        child.process.kill()
    child = Child("sleeper", child_process([sys.executable, "-c", "import time; time.sleep(60)"]))
    try:
        with pytest.raises(ProcessError, match="the sleeper has done nothing for"):
            child.wait_ready(0.9, lambda: False)
    finally:
        child.process.kill()


def test_a_deferred_process_reports_its_progress():
    code = (
        "from bridge.process.json_lines import ProcessOptions\nfrom bridge.process.options import parse\n"
        "options = parse(ProcessOptions, ['-'], 'child')\n"
        "options.announce_step('Building')\noptions.announce('ready', 3, '')"
    )
    child, steps = Child("child", child_process([sys.executable, "-c", code], deferred=True)), []
    child.begin('{"json_lines": true}')
    assert child.wait_ready(20.0, lambda: False, steps.append) == 3
    assert steps == ["Building", ""]
    child.process.wait(10)


def test_a_recording_on_request_can_be_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begin = McapWriter._begin

    def begin_late(writer: McapWriter) -> None:  # as on a busy machine: by then all frames are waiting
        time.sleep(0.5)
        begin(writer)

    monkeypatch.setattr(McapWriter, "_begin", begin_late)
    session = DriveSession(DriveOptions(model="tags", town="hamlet"))
    planes = {
        "tag": np.ones((32, 64), np.uint8),
        "instance": np.zeros((32, 64), np.uint16),
        "depth": np.full((32, 64), 9.0, np.float32),
        "motion": np.zeros((32, 64, 2), np.float16),
        "rgb": np.zeros((32, 64, 3), np.uint8),  # displayed in the window, but not recorded
    }
    recording = None
    for n in range(12):
        frame = Frame(n, n, n / 30.0, Camera(64, 32, 70.0, np.eye(4)), planes)
        rendered = RenderedFrame(frame, np.full((32, 64, 3), 20 * n, np.uint8))
        recording = recording or DriveRecording(tmp_path / "drive-1", rendered, session)
        recording.write(rendered)
        planes["tag"][:] = n  # the bridge reuses the memory
    assert recording is not None
    recording.close()
    assert recording.error is None
    assert recording.missing == ""
    with RecordingReader(tmp_path / "drive-1" / "recording.mcap") as reader:
        assert len(reader) == 12
        assert reader.about["town"] == "hamlet"
        first = reader.read(0)
        assert (first.planes["tag"] == 1).all()
        assert {"tag", "instance", "depth", "motion"} == set(first.planes)
    with av.open(str(tmp_path / "drive-1" / "video.mp4")) as video:
        assert len(list(video.decode(video=0))) >= 6
