"""One driver at a time: whose controls count, what others may ask for, who may end the bridge."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from bridge.link.driver_arbitration import SILENT, TAKEN_OVER, WAITS, Drivers
from bridge.link.transport import ControlReceiver, ControlSender
from bridge.messages import Control


def control(driver: str, sequence: int, **more: object) -> Control:
    return replace(Control(sequence, driver=driver), **more)  # type: ignore[arg-type]


def test_the_first_one_drives_and_the_second_waits() -> None:
    drivers = Drivers()
    assert drivers.take(control("a", 1, throttle=0.5), 0.0) is not None
    assert drivers.take(control("b", 1, throttle=1.0), 0.1) is None
    assert drivers.notice == WAITS
    drivers.notice = ""
    assert drivers.take(control("b", 2), 0.2) is None
    assert drivers.notice == "", "it was told"
    assert drivers.owner == "a"


def test_two_windows_do_not_ask_with_each_others_numbers() -> None:
    drivers = Drivers()
    respawns, weathers = set(), set()
    for k in range(1, 200):
        taken = [drivers.take(control("a", k, respawn=3, weather=1), 0.025 * k)]
        taken.append(drivers.take(control("b", k, respawn=50 * (k % 2), weather=24), 0.025 * k))
        for one in taken:
            if one is not None:
                respawns.add(one.respawn)
                weathers.add(one.weather)
    assert (respawns, weathers) == ({3}, {1})


def test_who_is_silent_gives_way_and_nothing_pressed_meanwhile_is_done() -> None:
    drivers = Drivers()
    drivers.take(control("a", 1, respawn=1), 0.0)
    assert drivers.take(control("b", 1, respawn=7), SILENT - 0.1) is None
    taken = drivers.take(control("b", 2, respawn=8, throttle=1.0), SILENT + 0.1)
    assert taken is not None
    assert (taken.throttle, taken.respawn) == (1.0, 1)
    assert drivers.notice == TAKEN_OVER
    taken = drivers.take(control("b", 3, respawn=9), SILENT + 0.2)
    assert taken is not None
    assert taken.respawn == 2
    assert drivers.take(control("a", 2), SILENT + 0.3) is None


def test_who_leaves_makes_room_at_once() -> None:
    drivers = Drivers()
    drivers.take(control("a", 1), 0.0)
    last = drivers.take(control("a", 2, leaving=True, brake=1.0), 0.1)
    assert last is not None
    assert last.brake == 1.0
    assert drivers.take(control("b", 1), 0.11) is not None


def test_late_and_double_controls_are_passed_over() -> None:
    drivers = Drivers()
    assert drivers.take(control("a", 5), 0.0) is not None
    assert drivers.take(control("a", 5), 0.1) is None
    assert drivers.take(control("a", 4, brake=1.0), 0.2) is None
    assert drivers.take(control("a", 6), 0.3) is not None


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


def test_a_flood_of_controls_does_not_hold_up_the_simulation(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/controls"
    with ControlReceiver(endpoint) as receiver, ControlSender(endpoint) as flooder:
        for k in range(20_000):
            flooder.send(Control(k + 1))
        begun = time.monotonic()
        receiver.newest()
        assert time.monotonic() - begun < 0.5
