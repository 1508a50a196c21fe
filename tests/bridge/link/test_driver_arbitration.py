"""One driver at a time: whose controls are applied, how requests are counted, and who may end the bridge."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from bridge.link.driver_arbitration import DRIVER_WAITS, SILENCE_TIMEOUT, TAKEN_OVER, DriverArbiter
from bridge.link.transport import ControlReceiver, ControlSender
from bridge.messages import Control


def control(driver: str, sequence: int, **more: object) -> Control:
    return replace(Control(sequence, driver=driver), **more)  # type: ignore[arg-type]


def test_first_driver_drives_and_second_waits() -> None:
    drivers = DriverArbiter()
    assert drivers.accept(control("a", 1, throttle=0.5), 0.0) is not None
    assert drivers.accept(control("b", 1, throttle=1.0), 0.1) is None
    assert drivers.notice == DRIVER_WAITS
    drivers.notice = ""
    assert drivers.accept(control("b", 2), 0.2) is None
    assert drivers.notice == "", "a waiting driver is notified once"
    assert drivers.owner == "a"


def test_request_counters_of_two_windows_are_independent() -> None:
    drivers = DriverArbiter()
    respawns, repairs, weathers = set(), set(), set()
    for k in range(1, 200):
        taken = [drivers.accept(control("a", k, respawn=3, repair=2, weather=1), 0.025 * k)]
        taken.append(drivers.accept(control("b", k, respawn=50 * (k % 2), weather=24), 0.025 * k))
        for one in taken:
            if one is not None:
                respawns.add(one.respawn)
                repairs.add(one.repair)
                weathers.add(one.weather)
    assert (respawns, repairs, weathers) == ({3}, {2}, {1})


def test_silent_driver_is_replaced_and_pending_requests_are_dropped() -> None:
    drivers = DriverArbiter()
    drivers.accept(control("a", 1, respawn=1), 0.0)
    assert drivers.accept(control("b", 1, respawn=7), SILENCE_TIMEOUT - 0.1) is None
    taken = drivers.accept(control("b", 2, respawn=8, throttle=1.0), SILENCE_TIMEOUT + 0.1)
    assert taken is not None
    assert (taken.throttle, taken.respawn) == (1.0, 1)
    assert drivers.notice == TAKEN_OVER
    taken = drivers.accept(control("b", 3, respawn=9), SILENCE_TIMEOUT + 0.2)
    assert taken is not None
    assert taken.respawn == 2
    assert drivers.accept(control("a", 2), SILENCE_TIMEOUT + 0.3) is None


def test_leaving_driver_is_replaced_at_once() -> None:
    drivers = DriverArbiter()
    drivers.accept(control("a", 1), 0.0)
    last = drivers.accept(control("a", 2, leaving=True, brake=1.0), 0.1)
    assert last is not None
    assert last.brake == 1.0
    assert drivers.accept(control("b", 1), 0.11) is not None


def test_late_and_duplicate_controls_are_ignored() -> None:
    drivers = DriverArbiter()
    assert drivers.accept(control("a", 5), 0.0) is not None
    assert drivers.accept(control("a", 5), 0.1) is None
    assert drivers.accept(control("a", 4, brake=1.0), 0.2) is None
    assert drivers.accept(control("a", 6), 0.3) is not None


def test_only_the_driver_may_end_the_bridge(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/controls"
    with ControlReceiver(endpoint) as receiver, ControlSender(endpoint) as mine, ControlSender(endpoint) as other:
        mine.send(Control(1, throttle=0.5))
        first = receiver.newest(2.0)
        assert first is not None
        for k in range(1, 6):
            other.send(Control(k, quit=True, leaving=True))
            assert receiver.newest(0.1) is None
        mine.send(Control(2, quit=True))
        last = receiver.newest(2.0)
        assert last is not None
        assert last.quit


def test_flood_of_controls_does_not_delay_the_simulation(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/controls"
    with ControlReceiver(endpoint) as receiver, ControlSender(endpoint) as flooder:
        for k in range(20_000):
            flooder.send(Control(k + 1))
        begun = time.monotonic()
        receiver.newest()
        assert time.monotonic() - begun < 0.5
