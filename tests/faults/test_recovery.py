"""Recovery of real processes that are killed, over and over.

``FAULT_CYCLES`` sets how often; ``make test-faults`` sets it to 100. ``FAULT_LOAD`` sets how many other processes keep
the CPU busy meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import psutil
import pytest
from faults.processes import READY, ROOT, bridge, report, window, working
from helpers.bridge_processes import STRICT
from hostile.port import Caller, town

from neuralsim.recording.export import examine
from neuralsim.session.drive_session import MAX_RESTARTS

EMPTY = ("--vehicles", "0", "--walkers", "0")
CYCLES = int(os.environ.get("FAULT_CYCLES", "2"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 30 * CYCLES)]


@pytest.fixture(params=["kind", "strict"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """Start a town without traffic, kind or as strict as a CARLA server; yield its port."""
    with town(*EMPTY, *(STRICT if request.param == "strict" else ())) as (_, number):
        yield number


def _actors(port: int) -> list[str]:
    """Return the types of all actors spawned by clients; there is no other client than the bridge."""
    client = Caller(port)
    answer = client.call("get_actors_by_id", list(range(1, 3000)))
    kinds = [actor[2][1] for actor in answer[0][1]]
    return [kind for kind in kinds if kind.startswith(("vehicle.", "sensor."))]


def _settings(port: int) -> object:
    return Caller(port).call("get_episode_settings")


def test_leftovers_of_a_killed_bridge_are_removed_by_the_next(port: int, tmp_path: Path) -> None:
    """Whether it is killed as well or ends normally: then the server has its settings of before."""
    publish = f"ipc://{tmp_path}/frames"
    settings = _settings(port)
    process = bridge(port, publish)
    usual = sorted(_actors(port))
    assert len(usual) > 3, "a car, a sensor of collisions, cameras"
    for cycle in range(CYCLES):
        process.kill()
        process.communicate()
        process = bridge(port, publish)
        assert sorted(_actors(port)) == usual
        assert _settings(port) != settings
        if cycle % 2 or cycle == CYCLES - 1:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=READY)
            assert (_actors(port), _settings(port)) == ([], settings)
            process = bridge(port, publish)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=READY)
    assert (_actors(port), _settings(port)) == ([], settings)


@pytest.fixture(autouse=True)
def _load() -> Iterator[None]:
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command) for _ in range(int(os.environ.get("FAULT_LOAD", "0")))]
    yield
    for process in busy:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("which", "options"),
    [("town", ()), ("bridge", ()), ("town", ("--strict",)), ("bridge", ("--strict",))],
    ids=["town", "bridge", "town-strict", "bridge-strict"],
)
def test_windowed_drive_restarts_killed_processes(which: str, options: tuple[str, ...], tmp_path: Path) -> None:
    took: list[float] = []
    for first in range(0, CYCLES, MAX_RESTARTS):  # more within a minute are too many, by rule
        folder = tmp_path / str(first)
        folder.mkdir()
        with window(folder, "--town", "hamlet", *EMPTY, *options) as drive:
            drive.shows(120)
            for _ in range(min(CYCLES - first, MAX_RESTARTS)):
                victim = working(drive.process.pid)[which]
                killed = time.monotonic()
                victim.kill()
                drive.shows(120)
                took.append(drive.recovered(killed))
            children = psutil.Process(drive.process.pid).children(recursive=True)
            drive.process.send_signal(signal.SIGTERM)
            assert "Traceback" not in drive.process.communicate(timeout=READY)[1]
            gone, alive = psutil.wait_procs(children, 3.0)
            assert not alive, gone
    report(" ".join((f"a killed {which} under a drive in a window", *options)), took)


@pytest.mark.parametrize("options", [(), STRICT], ids=["kind", "strict"])
def test_drive_waits_for_a_server_that_comes_back(options: tuple[str, ...], tmp_path: Path) -> None:
    """A CARLA server that is killed and restarted on its port by its owner."""
    took: list[float] = []
    with contextlib.ExitStack() as servers:
        server, number = servers.enter_context(town(*EMPTY, *options))
        drive = servers.enter_context(window(tmp_path, "--carla", f"127.0.0.1:{number}"))
        drive.shows(60)
        for _ in range(CYCLES):
            server.kill()
            server.wait()
            time.sleep(3.0)
            assert drive.process.poll() is None
            server, _ = servers.enter_context(town(*EMPTY, *options, "--port", str(number)))
            ready = time.monotonic()
            drive.shows(60)
            took.append(drive.recovered(ready))
        drive.process.send_signal(signal.SIGTERM)
        assert "Traceback" not in drive.process.communicate(timeout=READY)[1]
    report(" ".join(("a server that came back under a drive in a window", *options)), took)


def test_killed_window_leaves_no_process_and_a_readable_recording(port: int, tmp_path: Path) -> None:
    """On the simulator it leaves nothing: its bridge ends as after a request."""
    took: list[float] = []
    settings = _settings(port)
    for cycle in range(CYCLES):
        folder = tmp_path / str(cycle)
        folder.mkdir()
        file = folder / "drive.mp4"
        with window(folder, "--carla", f"127.0.0.1:{port}", "--record", str(file)) as drive:
            drive.shows(60)  # a fragment of the recording, and more
            children = psutil.Process(drive.process.pid).children(recursive=True)
            killed = time.monotonic()
            drive.process.kill()
            drive.process.wait()
            gone, alive = psutil.wait_procs(children, READY)
            took.append(time.monotonic() - killed)
            assert not alive, gone
        with av.open(str(file), "r") as recording:
            assert sum(1 for _ in recording.decode(video=0)) > 0
        assert (_actors(port), _settings(port)) == ([], settings)
    with window(tmp_path, "--carla", f"127.0.0.1:{port}") as drive:
        drive.shows(10)
        drive.process.send_signal(signal.SIGTERM)
        assert "Traceback" not in drive.process.communicate(timeout=READY)[1]
    assert (_actors(port), _settings(port)) == ([], settings)
    report("processes of a killed window that end", took)


def test_killed_recorder_leaves_a_readable_recording(tmp_path: Path) -> None:
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        "title: Kill\nduration: 60\ntown: hamlet\nego:\n  spawn: {point: 0}\n  do:\n  - follow_lane: {speed: 5}\n"
        "camera: {size: 64x32}\nassert: []\n",
        encoding="utf-8",
    )
    for cycle in range(CYCLES):
        out = tmp_path / f"out{cycle}"
        command = [sys.executable, "-m", "neuralsim", "record", str(scenario), "--out", str(out), "--model", "tags"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [*command, "--format", "mcap"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        file = out / "s" / "recording.mcap"
        until = time.monotonic() + READY
        while not file.exists() or file.stat().st_size < 2_000_000:  # some chunks, the map and the lanes apart
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
        process.wait()
        health = examine(file)
        assert health.frames > 5
        assert health.problem == "the file is truncated"
