"""The offset between two hosts' clocks, estimated from frames and controls alone."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bridge.link.clock import ClockOffset
from bridge.messages import Camera, Frame

MS = 1_000_000


def frame(control: int, **stamps: int) -> Frame:
    return Frame(0, 0, 0.0, Camera(64, 32, 70.0, np.eye(4)), {}, control_seq=control, stamps=stamps)


class Traffic:
    """A bridge whose clock is ``ahead`` (ns, growing by ``drift``), and a receiver, exchanging messages that wait."""

    def __init__(self, ahead: int, drift: float = 0.0, seed: int = 0) -> None:
        self.ahead, self.drift, self.now = ahead, drift, 1_000_000 * MS
        self.begun = self.now
        self.random = random.Random(seed)
        self.clock = ClockOffset()
        self.sequence = self.contained = 0
        self.last = frame(0)

    def true_offset(self) -> float:
        return -(self.ahead + self.drift * (self.now - self.begun))

    def bridge_clock(self, now: int) -> int:
        return now + self.ahead + round(self.drift * (now - self.begun))

    def tick(self, transit: tuple[float, float] = (0.3, 6.0)) -> None:
        """Send a control some time before a tick, and receive the frame that contains it after a random delay."""
        self.now += 33 * MS
        self.sequence += 1
        left = self.now - round(self.random.uniform(0.4, 30.0) * MS)
        self.clock.control_sent(self.sequence, left)
        sent = self.now + round(self.random.uniform(2.0, 4.0) * MS)
        came = sent + round(self.random.uniform(*transit) * MS)
        stamps = {"capture": self.bridge_clock(self.now), "sent": self.bridge_clock(sent), "received": came}
        self.last = frame(self.sequence, **stamps)
        self.clock.frame_received(self.last)


@pytest.mark.parametrize("ahead", [3_700 * MS, -250 * MS, 86_400_000 * MS])
def test_offset_is_estimated_within_its_uncertainty(ahead: int):
    traffic = Traffic(ahead)
    for _ in range(300):
        traffic.tick()
    clock = traffic.clock
    assert clock.known
    assert abs(clock.offset - traffic.true_offset()) <= clock.uncertainty
    assert clock.uncertainty < 2.0 * MS
    stamps = dict(traffic.last.stamps)
    clock.correct(stamps)
    assert stamps["received"] == traffic.last.stamps["received"]
    assert 0 < stamps["received"] - stamps["sent"] < 9 * MS  # what it took, not hours
    assert clock.report()["uncertainty_ms"] == pytest.approx(clock.uncertainty / MS, abs=1e-3)


def test_asymmetric_delays_stay_within_the_uncertainty():
    traffic = Traffic(500 * MS)
    for _ in range(300):
        traffic.tick(transit=(12.0, 20.0))  # frames take long, controls do not
    clock = traffic.clock
    assert abs(clock.offset - traffic.true_offset()) <= clock.uncertainty
    assert 5 * MS < clock.uncertainty < 9 * MS  # and it says that it knows less


def test_drift_is_followed():
    traffic = Traffic(0, drift=50e-6)
    traffic.ahead = 2_000 * MS
    for _ in range(3_600):  # two minutes: six milliseconds
        traffic.tick()
    clock = traffic.clock
    assert abs(clock.offset - traffic.true_offset()) <= clock.uncertainty < 4 * MS


def test_common_clock_is_not_corrected():
    traffic = Traffic(0)
    for _ in range(100):
        traffic.tick()
    assert traffic.clock.known
    assert traffic.clock.offset == 0
    stamps = dict(traffic.last.stamps)
    traffic.clock.correct(stamps)
    assert stamps == traffic.last.stamps


def test_offset_is_unknown_without_own_controls():
    clock = ClockOffset()
    clock.control_sent(1, 5 * MS)
    clock.frame_received(frame(0))  # no stamps
    for sequence in (7, 7, 7):  # somebody else's control
        clock.frame_received(frame(sequence, capture=10 * MS, sent=11 * MS, received=12 * MS))
    assert not clock.known
    assert clock.report() == {"offset_ms": 0.0, "uncertainty_ms": None}


def test_equal_sequence_number_of_an_earlier_driver_is_ignored():
    clock = ClockOffset()
    clock.control_sent(2, 50 * MS)  # ours, not there yet; the frames still contain number 2 of the driver before
    for now in (51, 52):
        clock.frame_received(frame(2, capture=now * MS - 40 * MS, sent=now * MS - 1 * MS, received=now * MS))
    assert not clock.known
