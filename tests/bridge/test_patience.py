"""A thread that computes for too long on what a stranger made is told to end; one that waits is not."""

from __future__ import annotations

import threading
import time

import pytest

from bridge.untrusted.patience import PatienceError, patient


def _compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_who_computes_for_too_long_is_told() -> None:
    with pytest.raises(PatienceError), patient(0.1):
        _compute(20.0)
    _compute(0.2)  # and not once more afterwards


def test_in_other_threads_than_the_first() -> None:
    told: list[bool] = []

    def work() -> None:
        try:
            with patient(0.1):
                _compute(20.0)
        except PatienceError:
            told.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == [True]


def test_waiting_does_not_count() -> None:
    with patient(0.2):
        time.sleep(0.5)
