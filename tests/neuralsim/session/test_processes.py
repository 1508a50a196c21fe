"""Processes that wait to replace others: the town's, which is given its options later."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from bridge.process.spare import Unhurried
from neuralsim.session.processes import Processes

TOWN = ("town server", "bridge.town.carla_server")
READY = 60.0  # s on a machine that is busy


@pytest.fixture
def processes() -> Iterator[Processes]:
    found = Processes()
    yield found
    found.stop()


def _started(before: set[int]) -> list[int]:
    return [child.pid for child in psutil.Process(os.getpid()).children() if child.pid not in before]


@pytest.mark.parametrize("soon", [True, False])
def test_a_spare_is_what_starts_next_and_does_not_count_before(processes: Processes, soon: bool) -> None:
    before = {child.pid for child in psutil.Process(os.getpid()).children()}
    processes.prepare(*TOWN, soon=soon)
    processes.prepare(*TOWN, soon=soon)  # there is one
    (spare,) = _started(before)
    assert processes.pids == []
    child = processes.start(*TOWN, "-", later=True)
    assert child.pid == spare
    child.begin('{"town": ["hamlet"], "port": 0, "vehicles": 0, "walkers": 0, "json_lines": true}')
    assert child.wait_ready(READY, lambda: False)["town"] == "hamlet"


def test_who_loads_a_little_at_a_time_hurries_when_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two modules it sleeps for a multiple of the time it has worked, until a line waits for it."""
    read, write = os.pipe()
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    with open(read) as stdin, open(write, "w") as parent:
        monkeypatch.setattr(sys, "stdin", stdin)
        finder = Unhurried()
        sys.meta_path.insert(0, finder)

        def waited() -> float:
            until = time.process_time() + 0.05
            while time.process_time() < until:
                pass
            begun = time.monotonic()
            assert finder.find_spec("any.module") is None
            return time.monotonic() - begun

        assert waited() > 0.2
        assert finder in sys.meta_path
        parent.write("{}\n")
        parent.flush()
        assert waited() < 0.2
        assert finder not in sys.meta_path


def test_a_spare_that_has_died_is_not_taken(processes: Processes) -> None:
    before = {child.pid for child in psutil.Process(os.getpid()).children()}
    processes.prepare(*TOWN, soon=True)
    (spare,) = _started(before)
    psutil.Process(spare).kill()
    psutil.Process(spare).wait(READY)
    assert processes.start(*TOWN, "-", later=True).pid != spare


def test_one_may_be_left_when_the_others_are_ended(processes: Processes) -> None:
    town, other = (processes.start(name, TOWN[1], "-", later=True) for name in ("town", "other"))
    processes.end_children(grace=0.0, but=town)
    assert processes.children == [town]
    assert processes.pids == [town.pid]
    assert not psutil.pid_exists(other.pid)


def test_nothing_waits_when_all_is_stopped(processes: Processes) -> None:
    before = {child.pid for child in psutil.Process(os.getpid()).children()}
    processes.prepare(*TOWN, soon=True)
    processes.stop()
    processes.prepare(*TOWN, soon=True)  # by a timer that came too late
    assert _started(before) == []
