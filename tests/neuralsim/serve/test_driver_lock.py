"""The driver lock: one page drives, and its keys, commands and absence are handled."""

from __future__ import annotations

import pytest

from bridge.link.driver_arbitration import SILENCE_TIMEOUT, TAKEN_OVER
from neuralsim.serve.driver_lock import ControlTracker, PageDriverLock, PageInput
from neuralsim.serve.page_messages import Driving, MessageError, decode


class Drive:
    """A driver lock with an input, and the commands it received."""

    def __init__(self, autopilot: bool = False) -> None:
        self.commands: list[str] = []
        self.input = PageInput(self.commands.append, autopilot=autopilot)
        self.lock = PageDriverLock(self.input)


def test_the_first_page_drives_and_the_second_waits():
    drive = Drive()
    assert drive.lock.receive("a", Driving(n=1, held=("throttle",)), 0.0)
    assert not drive.lock.receive("b", Driving(n=1, held=("brake",), pressed={"autopilot": 1}), 0.1)
    assert drive.lock.driver == "a"
    assert "It can when you leave" in drive.lock.take_notice()[1]
    assert drive.lock.take_notice() == ("", "")
    requested = drive.input.control(0.3, 0.0)
    assert (requested.throttle, requested.brake, requested.autopilot) == (1.0, 0.0, False)
    drive.lock.remove("a")
    assert drive.lock.driver == ""
    assert drive.lock.receive("b", Driving(n=2, held=("brake",), pressed={"autopilot": 1}), 0.3)
    assert drive.lock.take_notice() == (TAKEN_OVER, "You are driving")
    assert not drive.input.requested.autopilot  # pressed while another page was driving
    assert drive.input.control(0.3, 5.0).brake == 1.0


def test_presses_are_counted_so_that_lost_messages_do_no_harm():
    drive = Drive()
    drive.lock.receive("a", Driving(n=1), 0.0)
    drive.lock.receive("a", Driving(n=3, pressed={"weather": 2, "camera": 1}), 0.1)
    drive.lock.receive("a", Driving(n=2, pressed={"weather": 1}), 0.2)  # came late
    drive.lock.receive("a", Driving(n=4, pressed={"weather": 2, "camera": 1, "quit": 1, "menu": 1}), 0.3)
    assert drive.commands == ["weather", "weather", "camera"]  # and no command that pages may not send
    drive.lock.receive("a", Driving(n=5, pressed={"respawn": 10**6}), 0.4)
    assert drive.input.requested.respawn <= 4


def test_a_silent_page_releases_the_pedals_and_a_lost_one_stops_the_car():
    drive = Drive()
    drive.lock.receive("a", Driving(n=1, held=("throttle",)), 0.0)
    assert drive.input.control(0.3, 0.0).throttle == 1.0
    drive.lock.check_timeout(0.4)
    assert drive.input.is_held("throttle")
    drive.lock.check_timeout(0.7)
    assert drive.input.control(0.3, 0.0).throttle == 0.0
    drive.lock.receive("a", Driving(n=2, held=("throttle",)), 0.8)  # back again
    assert drive.input.control(0.3, 0.0).throttle == 1.0
    drive.lock.check_timeout(0.9 + SILENCE_TIMEOUT)
    assert drive.lock.driver == ""
    drive.lock.check_timeout(0.9 + SILENCE_TIMEOUT)
    requested = drive.input.control(0.3, 3.0)
    assert (requested.throttle, requested.brake, requested.hand_brake) == (0.0, 1.0, True)
    assert drive.lock.receive("b", Driving(n=1, held=("throttle",)), 1.0 + SILENCE_TIMEOUT)
    requested = drive.input.control(0.3, 0.0)
    assert (requested.throttle, requested.brake, requested.hand_brake) == (1.0, 0.0, False)


def test_the_autopilot_continues_without_a_driver_until_a_pedal_is_touched():
    drive = Drive(autopilot=True)
    drive.lock.check_timeout(10.0)
    assert drive.input.control(0.1, 0.0).autopilot
    assert drive.input.control(0.1, 0.0).brake == 0.0
    drive.lock.receive("a", Driving(n=1, held=("horn", "left")), 11.0)
    assert not drive.input.requested.autopilot
    assert drive.commands == ["take_over"]
    drive = Drive(autopilot=True)
    drive.lock.receive("a", Driving(n=1, analogue=True, steer=0.4, throttle=0.1), 11.0)  # a resting foot
    assert drive.input.requested.autopilot
    drive.lock.receive("a", Driving(n=2, analogue=True, steer=0.4, throttle=0.8), 11.1)
    requested = drive.input.control(0.1, 0.0)
    assert (requested.autopilot, requested.throttle, requested.steer) == (False, 0.8, 0.4)


def test_an_image_knows_which_of_the_pages_controls_it_contains():
    tracker = ControlTracker()
    tracker.sent(10, 5)
    tracker.sent(11, 6)
    tracker.sent(11, 7)  # a heartbeat: the same as before
    assert tracker.contained_in(9) == 0
    assert tracker.contained_in(10) == 5
    assert tracker.contained_in(11) == 7
    for number in range(100_000):  # while the simulation is paused
        tracker.sent(12 + number, 8 + number)
    assert tracker.contained_in(12 + number) == 8 + number
    tracker.sent(number + 13, 8)
    tracker.reset()  # another page drives
    assert tracker.contained_in(number + 13) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"t":"drive"}',
        '{"t":"drive","n":-1}',
        '{"t":"drive","n":1,"steer":2.0}',
        '{"t":"drive","n":1,"throttle":NaN}',
        '{"t":"drive","n":1,"more":1}',
        '{"t":"view","view":7}',
        '{"t":"go","place":[1e9,0]}',
        '{"t":"hello","token":"' + "x" * 300 + '"}',
        '{"t":"quit"}',
        "[" * 5000,
        '{"t":"drive","n":1,"held":[' + ",".join(['"a"'] * 17) + "]}",
        b"\xff\xfe",
        " " * 70000,
    ],
)
def test_invalid_messages_are_refused(text: str | bytes):
    with pytest.raises(MessageError):
        decode(text)


def test_valid_messages_are_decoded():
    message = decode('{"t":"drive","n":7,"held":["throttle"],"pressed":{"camera":2},"analogue":true,"steer":-0.5}')
    assert message == Driving(n=7, held=("throttle",), pressed={"camera": 2}, analogue=True, steer=-0.5)
