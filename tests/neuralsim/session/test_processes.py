"""Processes that are forked to replace others: the town's, which receives its options later."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import msgpack
import psutil
import pytest
from helpers.processes import gone

from neuralsim.base import machine
from neuralsim.session import forks
from neuralsim.session.processes import Child, ProcessError, Processes

TOWN = ("town server", "neuralsim.town.carla_server")
READY = 60.0  # s on a busy machine
OPTIONS = '{"town": ["hamlet"], "port": 0, "vehicles": 0, "walkers": 0, "json_lines": true, "with_parent": true}'

needs_forks = pytest.mark.skipif(not forks.AVAILABLE, reason="this system has no pidfd")


@pytest.fixture
def processes() -> Iterator[Processes]:
    children = Processes()
    yield children
    children.stop()


def _started(child: Child) -> Child:
    child.begin(OPTIONS)
    assert child.wait_ready(READY, lambda: False)["town"] == "hamlet"
    return child


def _restartable(processes: Processes) -> Child:
    return processes.start(*TOWN, "-", deferred=True, restartable=True)


def _template(child: Child) -> subprocess.Popen[str]:
    assert isinstance(child.process, forks.Fork)
    return child.process.template.process


@needs_forks
def test_a_replacement_is_forked_and_needs_no_imports(processes: Processes) -> None:
    first = _started(_restartable(processes))
    first.process.kill()
    assert first.process.wait(READY) == -signal.SIGKILL
    with pytest.raises(ProcessError, match="exit code -9"):
        first.check()
    second = _started(_restartable(processes))
    assert second.pid != first.pid
    process = psutil.Process(second.pid)
    assert process.ppid() == _template(first).pid
    assert os.getpgid(second.pid) == second.pid, "processes that it starts can be ended with it"
    cpu = machine.cpu_seconds(second.pid)
    assert cpu is not None
    third = _restartable(processes)
    third.process.terminate()  # before it has options
    assert third.process.wait(READY) == -signal.SIGTERM
    second.process.terminate()
    assert second.process.wait(READY) == 0


@needs_forks
def test_a_template_that_has_died_is_replaced(processes: Processes) -> None:
    first = _started(_restartable(processes))
    template = _template(first)
    template.kill()
    template.wait(READY)
    assert first.process.wait(READY) is not None, "a fork ends with its parent"
    second = _started(_restartable(processes))
    assert _template(second).pid != template.pid


def _parent_of_a_town(restartable: bool, printed: str) -> subprocess.Popen[str]:
    """Return a process that has a town as ``child`` and, once it is ``ready``, prints what ``printed`` says of it."""
    program = (
        "import time; from neuralsim.session.processes import Processes; p = Processes()\n"
        f"child = p.start(*{TOWN!r}, '-', deferred=True, restartable={restartable})\n"
        f"child.begin({OPTIONS!r})\n"
        f"ready = child.wait_ready({READY}, lambda: False)\nprint({printed}, flush=True)\ntime.sleep(60.0)"
    )
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


@needs_forks
def test_no_process_is_left_when_the_parent_is_killed() -> None:
    with _parent_of_a_town(True, "child.pid, child.process.template.process.pid") as parent:
        assert parent.stdout is not None
        left = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(left) == 2
        parent.kill()
    _, alive = psutil.wait_procs(left, timeout=10.0)
    assert not alive


def test_a_town_whose_parent_was_killed_answers_until_its_clients_have_left() -> None:
    with _parent_of_a_town(False, "child.pid, ready['server']") as parent:
        assert parent.stdout is not None
        pid, server = parent.stdout.readline().split()
        host, port = server.split(":")
        with socket.create_connection((host, int(port)), 5.0) as client:
            parent.kill()
            time.sleep(0.8)  # the town notices within .25 s
            client.sendall(msgpack.packb([0, 0, "version", [[False]]]))
            assert client.recv(64), "the bridge says goodbye to it at this time"
    assert gone([int(pid)], within=1.0)


@needs_forks
def test_a_template_that_cannot_be_loaded_reports_why(processes: Processes) -> None:
    child = processes.start("town server", "bridge.no_such_module", "-", deferred=True, restartable=True)
    with pytest.raises(ProcessError, match="No module named"):
        child.wait_ready(READY, lambda: False)


def test_one_process_may_be_kept_when_the_others_are_ended(processes: Processes) -> None:
    town, other = (processes.start(name, TOWN[1], "-", deferred=True) for name in ("town", "other"))
    processes.end_children(grace=0.0, keep=town)
    assert processes.children == [town]
    assert processes.pids == [town.pid]
    assert not psutil.pid_exists(other.pid)


@needs_forks
def test_no_process_is_left_after_stop(processes: Processes) -> None:
    child = _started(_restartable(processes))
    pids = child.pid, _template(child).pid
    importing = processes.start("bridge", "bridge.carla_bridge", "-", deferred=True, restartable=True)
    processes.stop()
    assert not any(psutil.pid_exists(pid) for pid in (*pids, importing.pid))
