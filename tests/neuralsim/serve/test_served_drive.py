"""The drive behind the pages: who controls it, when it pauses, and what it sends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from bridge.messages import Camera, Chart, Ego, Frame, Impact
from neuralsim.renderer.views import View
from neuralsim.serve import picture_stamp
from neuralsim.serve import served_drive as module
from neuralsim.serve.access import Role, Tokens
from neuralsim.serve.driver_lock import COMMANDS
from neuralsim.serve.encoding import PageImage
from neuralsim.serve.options import ServeOptions
from neuralsim.serve.page_messages import Apply, Choose, Divide, Driving, Go, MenuOpen, ViewOf
from neuralsim.serve.served_drive import BrowserDrive
from neuralsim.serve.server import Arrived, Left
from neuralsim.session.render_loop import RenderedFrame


class Drive(BrowserDrive):
    """A drive without processes that keeps what it would send."""

    def __init__(self, **options: Any) -> None:
        self.received: list[Any] = []
        super().__init__(ServeOptions(model="tags", size="256x64", **options), Tokens("a-secret-of-some-length"))
        self.sent: list[dict[str, Any]] = []
        self.pictures: list[PageImage] = []
        self.pages = 0

        class Server:
            watched = True
            count = property(lambda _: self.pages)

            @staticmethod
            def send(message: dict[str, Any], page: str = "") -> None:
                self.sent.append(msgspec.json.decode(msgspec.json.encode(message)))

            send_lossy = send
            show = self.pictures.append
            encoders = dict

            @staticmethod
            def next_event() -> Any:
                return self.received.pop(0) if self.received else None

        self.server = Server()  # type: ignore[assignment]

    def hear(self, page: str, *messages: Any) -> None:
        self.received += [(page, message) for message in messages]
        self.events(0.0)

    def see(self, number: int, control: int = 0, **more: Any) -> None:
        """Show a rendered frame."""
        planes = {"tag": np.ones((64, 256), np.uint8), "depth": np.full((64, 256), 9.0, np.float32)}
        frame = Frame(number, number, number / 30.0, Camera(256, 64, 90.0, np.eye(4)), planes, control_seq=control)
        for name, value in more.items():
            setattr(frame, name, value)
        frame.stamps = {"capture": time.monotonic_ns()}
        self._show(RenderedFrame(frame, np.full((64, 256, 3), number, np.uint8)))

    def messages(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["t"] == kind]


@pytest.fixture
def drive() -> Iterator[Drive]:
    browser_drive = Drive(autopilot=True)
    yield browser_drive
    browser_drive.session.stop()


def test_only_the_driver_has_control(drive: Drive):
    drive.pages = 2
    drive.hear("a", Arrived(Role.DRIVE), Driving(n=1))
    drive.hear("b", Arrived(Role.DRIVE), Driving(n=1), ViewOf(2), MenuOpen(True), Go((1.0, 2.0)), Choose("units", 1))
    assert drive.canvas.view is View.NEURAL
    assert not drive.inputs.requested.paused
    assert not drive.inputs.requested.goal
    assert drive.settings.units == "km/h"
    drive.hear(
        "a", ViewOf(6), Divide(0.3), Go((1.0, 2.0)), Choose("units", 1), Choose("nothing", 0), Choose("units", 9)
    )
    assert (drive.canvas.view, drive.canvas.divider) == (View.SPLIT, 0.3)
    assert (drive.inputs.requested.goal, drive.inputs.requested.goal_x, drive.settings.units) == (True, 1.0, "mph")
    assert drive.messages("status")[-1]["driver"] == "a"
    names = [item["name"] for item in drive.messages("choices")[-1]["items"]]
    assert {"town", "weather", "minutes", "model", "quality", "guide", "units"} <= set(names)


def test_the_simulation_pauses_while_the_drivers_menu_is_open(drive: Drive):
    drive.pages = 1
    drive.hear("a", Arrived(Role.DRIVE), Driving(n=1), MenuOpen(True))
    assert drive.inputs.requested.paused
    drive.hear("a", Choose("weather", 3), Apply())
    assert not drive.inputs.requested.paused
    assert drive.inputs.requested.preset == drive.settings.weather != ""
    drive.hear("a", MenuOpen(True), Left())  # and resumes when that page has left
    drive.hear("b", Arrived(Role.DRIVE), Driving(n=1))
    assert not drive.inputs.requested.paused


def test_the_simulation_pauses_without_pages(drive: Drive, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_LONELY", 0.0)
    drive.hear("a")
    assert not drive.inputs.requested.paused  # it has not started yet
    drive.see(1)
    for _ in range(3):
        drive.hear("a")
    assert drive.inputs.requested.paused
    drive.pages = 1
    drive.hear("a", Arrived(Role.WATCH))
    assert not drive.inputs.requested.paused
    drive.pages, drive._record_path = 0, drive.options.recordings
    for _ in range(3):
        drive.hear("a")
    assert not drive.inputs.requested.paused  # a recording continues


def test_images_are_stamped_with_their_control(drive: Drive):
    drive.pages = 1
    drive.hear("a", Arrived(Role.DRIVE), Driving(n=41))
    drive.after_send(7)
    drive.hear("a", Driving(n=42, held=("throttle",)))
    drive.after_send(8)
    drive.see(1, control=7)
    drive.show_again(lambda pixels, out: False)
    drive.see(2, control=8)
    stamps = [picture_stamp.read(each.pixels[: picture_stamp.ROWS]) for each in drive.pictures]
    assert stamps == [picture_stamp.Stamp(1, 41, 1), picture_stamp.Stamp(2, 41, 1), picture_stamp.Stamp(3, 42, 2)]
    drive.hear("a", Left())
    drive.hear("b", Driving(n=3))  # numbers of its own
    drive.see(3, control=9)
    assert drive.pictures[-1].control == 0


def test_pages_receive_the_map_and_impacts(drive: Drive):
    lines = [np.array([[0.0, 0.0], [10.04, 5.0]], np.float32)]
    drive.see(1, chart=Chart("oldtown", lines, np.array([[3.5]], np.float32)))
    assert drive.chart == "oldtown"
    assert drive.messages("chart")[0]["lines"] == [[0.0, 0.0, 10.0, 5.0]]
    drive.see(2, ego=Ego(speed=3.0, collisions=1), impact=Impact("car", 4.0))
    assert drive.messages("impact") == [{"t": "impact", "speed": 4.0}]
    assert "a car" in drive.messages("notice")[-1]["text"]
    assert drive.messages("hud")[-1]["speed"] == 3.0
    before = len(drive.sent)
    drive.hear("late", Arrived(Role.WATCH))
    assert {"chart", "choices", "status"} <= {message["t"] for message in drive.sent[before:]}


def test_every_command_of_a_page_is_one_of_the_drive(drive: Drive):
    assert drive.commands.keys() >= COMMANDS
