"""Processes that wait to replace others: the town's, which is given its options later."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psutil
import pytest

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


def test_a_spare_is_what_starts_next_and_does_not_count_before(processes: Processes) -> None:
    before = {child.pid for child in psutil.Process(os.getpid()).children()}
    processes.prepare(*TOWN)
    processes.prepare(*TOWN)  # there is one
    (spare,) = _started(before)
    assert processes.pids == []
    child = processes.start(*TOWN, "-", later=True)
    assert child.pid == spare
    child.begin('{"town": ["hamlet"], "port": 0, "vehicles": 0, "walkers": 0, "json_lines": true}')
    assert child.wait_ready(READY, lambda: False)["town"] == "hamlet"


def test_a_spare_that_has_died_is_not_taken(processes: Processes) -> None:
    before = {child.pid for child in psutil.Process(os.getpid()).children()}
    processes.prepare(*TOWN)
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
    processes.prepare(*TOWN)
    processes.stop()
    processes.prepare(*TOWN)  # by a timer that came too late
    assert _started(before) == []
