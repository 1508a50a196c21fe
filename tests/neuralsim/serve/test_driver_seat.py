"""One page drives: what it holds, what it pressed, when it is gone."""

from __future__ import annotations

import pytest

from bridge.link.driver_arbitration import SILENT, TAKEN_OVER
from neuralsim.serve.driver_seat import Ledger, PageInput, Seats
from neuralsim.serve.page_messages import Driving, MessageError, decode


class Drive:
    """Seats with an input, and what it was asked for."""

    def __init__(self, autopilot: bool = False) -> None:
        self.commands: list[str] = []
        self.input = PageInput(self.commands.append, autopilot=autopilot)
        self.seats = Seats(self.input)


def test_the_first_page_drives_and_the_second_waits():
    drive = Drive()
    assert drive.seats.take("a", Driving(n=1, held=("throttle",)), 0.0)
    assert not drive.seats.take("b", Driving(n=1, held=("brake",), pressed={"autopilot": 1}), 0.1)
    assert drive.seats.driver == "a"
    assert "it can when you leave" in drive.seats.notice()[1]
    assert drive.seats.notice() == ("", "")
    wanted = drive.input.control(0.3, 0.0)
    assert (wanted.throttle, wanted.brake, wanted.autopilot) == (1.0, 0.0, False)
    drive.seats.left("a")
    assert drive.seats.driver == ""
    assert drive.seats.take("b", Driving(n=2, held=("brake",), pressed={"autopilot": 1}), 0.3)
    assert drive.seats.notice() == (TAKEN_OVER, "You drive")
    assert not drive.input.wanted.autopilot  # pressed while another one drove
    assert drive.input.control(0.3, 5.0).brake == 1.0


def test_presses_are_counted_so_that_a_lost_message_loses_none():
    drive = Drive()
    drive.seats.take("a", Driving(n=1), 0.0)
    drive.seats.take("a", Driving(n=3, pressed={"weather": 2, "camera": 1}), 0.1)
    drive.seats.take("a", Driving(n=2, pressed={"weather": 1}), 0.2)  # came late
    drive.seats.take("a", Driving(n=4, pressed={"weather": 2, "camera": 1, "quit": 1, "menu": 1}), 0.3)
    assert drive.input.wanted.weather == 2
    assert drive.commands == ["weather", "weather", "camera"]  # and nothing that is not a page's to ask for
    drive.seats.take("a", Driving(n=5, pressed={"respawn": 10**6}), 0.4)
    assert drive.input.wanted.respawn <= 4


def test_a_page_out_of_touch_lets_go_and_one_that_is_gone_leaves_the_car_standing():
    drive = Drive()
    drive.seats.take("a", Driving(n=1, held=("throttle",)), 0.0)
    assert drive.input.control(0.3, 0.0).throttle == 1.0
    drive.seats.look(0.4)
    assert drive.input.holds("throttle")
    drive.seats.look(0.7)
    assert drive.input.control(0.3, 0.0).throttle == 0.0
    drive.seats.take("a", Driving(n=2, held=("throttle",)), 0.8)  # back again
    assert drive.input.control(0.3, 0.0).throttle == 1.0
    drive.seats.look(0.9 + SILENT)
    assert drive.seats.driver == ""
    drive.seats.look(0.9 + SILENT)
    wanted = drive.input.control(0.3, 3.0)
    assert (wanted.throttle, wanted.brake, wanted.hand_brake) == (0.0, 1.0, True)
    assert drive.seats.take("b", Driving(n=1, held=("throttle",)), 1.0 + SILENT)
    wanted = drive.input.control(0.3, 0.0)
    assert (wanted.throttle, wanted.brake, wanted.hand_brake) == (1.0, 0.0, False)


def test_the_autopilot_drives_on_without_a_driver_until_a_pedal_is_touched():
    drive = Drive(autopilot=True)
    drive.seats.look(10.0)
    assert drive.input.control(0.1, 0.0).autopilot
    assert drive.input.control(0.1, 0.0).brake == 0.0
    drive.seats.take("a", Driving(n=1, held=("horn", "left")), 11.0)
    assert not drive.input.wanted.autopilot
    assert drive.commands == ["take_over"]
    drive = Drive(autopilot=True)
    drive.seats.take("a", Driving(n=1, analogue=True, steer=0.4, throttle=0.1), 11.0)  # a resting foot
    assert drive.input.wanted.autopilot
    drive.seats.take("a", Driving(n=2, analogue=True, steer=0.4, throttle=0.8), 11.1)
    wanted = drive.input.control(0.1, 0.0)
    assert (wanted.autopilot, wanted.throttle, wanted.steer) == (False, 0.8, 0.4)


def test_a_picture_says_which_of_the_pages_controls_it_contains():
    ledger = Ledger()
    ledger.sent(10, 5)
    ledger.sent(11, 6)
    ledger.sent(11, 7)  # a heartbeat: the same as before
    assert ledger.shown(9) == 0
    assert ledger.shown(10) == 5
    assert ledger.shown(11) == 7
    for number in range(100_000):  # while the simulation stands
        ledger.sent(12 + number, 8 + number)
    assert ledger.shown(12 + number) == 8 + number
    ledger.sent(number + 13, 8)
    ledger.forget()  # another page drives
    assert ledger.shown(number + 13) == 0


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
def test_what_no_page_says_is_refused(text: str | bytes):
    with pytest.raises(MessageError):
        decode(text)


def test_what_pages_say_is_understood():
    said = decode('{"t":"drive","n":7,"held":["throttle"],"pressed":{"camera":2},"analogue":true,"steer":-0.5}')
    assert said == Driving(n=7, held=("throttle",), pressed={"camera": 2}, analogue=True, steer=-0.5)
