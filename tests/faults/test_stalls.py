"""Behaviour when a process or the network stalls, goes silent, or comes back; no process is killed here."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.processes import READY, Window, bridge, window, working
from helpers.bridge_processes import STRICT
from hostile.port import Caller, town

STANDSTILL = 5.0  # s
RATE = 30.0  # frames a second, as driven

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Proxy:
    """A TCP connection through which nothing passes while it is ``stalled``."""

    def __init__(self, port: int, to: int) -> None:
        self._to = to
        self.flows = threading.Event()
        self.flows.set()
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:  # closed
                return
            there = socket.create_connection(("127.0.0.1", self._to))
            for pair in ((here, there), (there, here)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                self.flows.wait()
                sink.sendall(data)
        except OSError:
            pass
        for side in (source, sink):
            side.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(params=["kind", "strict"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with town("--vehicles", "0", "--walkers", "0", *(STRICT if request.param == "strict" else ())) as (_, number):
        yield number


def free_pair() -> int:
    """The first of two ports that nobody listens on."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            number: int = first.getsockname()[1]
            with socket.socket() as second:
                if second.connect_ex(("127.0.0.1", number + 1)):
                    return number


def frames(drive: Window) -> list[int]:
    return [json.loads(line)["sim_frame"] for line in drive.log.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("which", ["town", "bridge"])
def test_stopped_process_continues(which: str, tmp_path: Path) -> None:
    """A process stops, for example, when a laptop's lid is closed, or in a debugger."""
    with window(tmp_path, "--town", "hamlet", "--vehicles", "0", "--walkers", "0") as drive:
        drive.shows(20)
        children = working(drive.process.pid)
        stopped = children[which]
        stopped.send_signal(signal.SIGSTOP)
        time.sleep(STANDSTILL)
        before = drive.shown
        time.sleep(1.0)
        assert drive.shown == before, "it did stand still"
        stopped.send_signal(signal.SIGCONT)
        drive.shows(5)
        assert working(drive.process.pid) == children, "no process was restarted"


def test_hanging_bridge_is_replaced(tmp_path: Path) -> None:
    with window(tmp_path, "--town", "hamlet", "--vehicles", "0", "--walkers", "0") as drive:
        drive.shows(20)
        bridge = working(drive.process.pid)["bridge"]
        bridge.send_signal(signal.SIGSTOP)
        drive.shows(40)
        assert not bridge.is_running()


def test_drive_continues_when_remote_bridge_comes_back(port: int, tmp_path: Path) -> None:
    endpoint = f"tcp://127.0.0.1:{free_pair()}"
    first = bridge(port, endpoint)
    with window(tmp_path, "--connect", endpoint) as drive:
        drive.shows(20)
        first.kill()
        first.communicate()
        time.sleep(STANDSTILL)
        assert drive.process.poll() is None
        second = bridge(port, endpoint)
        drive.shows(20)
        drive.process.send_signal(signal.SIGTERM)
        assert "Traceback" not in drive.process.communicate(timeout=READY)[1]
    second.send_signal(signal.SIGTERM)
    assert "Traceback" not in second.communicate(timeout=READY)[1]


def test_after_a_stalled_network_the_newest_frame_is_shown(port: int, tmp_path: Path) -> None:
    """Frames that were buffered meanwhile are not shown one after the other."""
    number, proxied = free_pair(), free_pair()
    served = bridge(port, f"tcp://127.0.0.1:{number}")
    proxies = [Proxy(proxied + k, number + k) for k in (0, 1)]  # frames, controls
    try:
        with window(tmp_path, "--connect", f"tcp://127.0.0.1:{proxied}") as drive:
            drive.shows(20)
            for proxy in proxies:
                proxy.flows.clear()
            time.sleep(STANDSTILL)
            for proxy in proxies:
                proxy.flows.set()
            drive.shows(60)
            seen = frames(drive)
            leaps = [after - before for before, after in itertools.pairwise(seen)]
            assert min(leaps) >= 0, "never backwards"
            assert max(leaps) > 0.4 * STANDSTILL * RATE, "what is old is left out"
    finally:
        for proxy in proxies:
            proxy.close()
        served.kill()
        served.communicate()


def test_a_camera_that_another_client_destroys_is_replaced(port: int) -> None:
    served = bridge(port, f"tcp://127.0.0.1:{free_pair()}")
    client = Caller(port)

    def cameras() -> list[int]:
        answer = client.call("get_actors_by_id", list(range(1, 3000)))
        return [actor[0] for actor in answer[0][1] if "semantic" in actor[2][1] or "instance" in actor[2][1]]

    (camera,) = cameras()
    client.call("destroy_actor", camera)
    deadline = time.monotonic() + READY
    while cameras() in ([], [camera]):
        assert time.monotonic() < deadline
        assert served.poll() is None
        time.sleep(0.1)
    time.sleep(STANDSTILL)
    assert served.poll() is None
    served.send_signal(signal.SIGTERM)
    assert "Traceback" not in served.communicate(timeout=READY)[1]
    assert not cameras()
