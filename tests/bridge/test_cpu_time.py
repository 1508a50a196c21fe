"""The limit on CPU time interrupts a thread that computes for too long, but not one that waits."""

from __future__ import annotations

import threading
import time

import pytest

from bridge.untrusted.cpu_time import CpuTimeExceeded, cpu_time_limit, uncounted


def _compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_exceeding_the_limit_raises() -> None:
    with pytest.raises(CpuTimeExceeded), cpu_time_limit(0.1):
        _compute(20.0)
    _compute(0.2)  # and it is not raised again afterwards


def test_limit_works_in_other_threads() -> None:
    raised: list[bool] = []

    def work() -> None:
        try:
            with cpu_time_limit(0.1):
                _compute(20.0)
        except CpuTimeExceeded:
            raised.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert raised == [True]


def test_waiting_does_not_count() -> None:
    with cpu_time_limit(0.2):
        time.sleep(0.5)


def test_what_is_uncounted_is_not_interrupted_and_the_rest_still_counts() -> None:
    done = []

    def work() -> None:
        with uncounted(), uncounted():
            _compute(0.6)
        done.append("uncounted")
        _compute(20.0)

    with pytest.raises(CpuTimeExceeded), cpu_time_limit(0.2):
        work()
    assert done == ["uncounted"]
