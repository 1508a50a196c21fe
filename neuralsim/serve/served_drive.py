"""A drive whose pictures go to pages and whose keys come from one of them: the loop of the window, other eyes."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from bridge.messages import Frame
from neuralsim.base.machine import cores
from neuralsim.drive.collision_messages import FELT, said
from neuralsim.drive.interactive_drive import REFRESH, InteractiveDrive, Move
from neuralsim.drive.menu_choices import REVERSING_VIEW, UNITS, Choice, picture_choices
from neuralsim.drive.settings import CockpitSettings
from neuralsim.renderer.views import View
from neuralsim.serve import page_messages
from neuralsim.serve.access import Tokens
from neuralsim.serve.canvas import Canvas
from neuralsim.serve.driver_seat import Ledger, PageInput, Seats
from neuralsim.serve.encoding import PagePicture
from neuralsim.serve.options import ServeOptions
from neuralsim.serve.picture_stamp import ROWS, Stamp, write
from neuralsim.serve.server import Arrived, Left, PageServer
from neuralsim.session.options import DriveOptions
from neuralsim.session.painting_loop import PaintedFrame
from neuralsim.session.renderer_loading import MANY_CORES

_STATUS = 0.25  # s between two reports of what is not a matter of pictures
_REFRESH_ON_FEW = 1.0 / 30.0  # s between two pictures where painting and encoding share few cores
_LONELY = 10.0  # s without a page after which the simulation stands: a machine need not heat an empty room
_AROUND = 0.2  # s between two of what is on the map


class BrowserDrive(InteractiveDrive):
    """Serves until it is interrupted. ``tokens`` are what pages have to know.

    Settings begin at their defaults and last as long as the process: the driver's file is that of the window.
    """

    inputs: PageInput
    options: ServeOptions

    def __init__(self, options: ServeOptions, tokens: Tokens) -> None:
        self._woken = threading.Event()
        super().__init__(options, CockpitSettings(), self._woken.set)
        self.inputs = PageInput(self.act, autopilot=options.autopilot)
        self.seats, self._ledger = Seats(self.inputs), Ledger()
        self.canvas = Canvas()
        self.server = PageServer(options, tokens, self._woken.set)
        self.refresh = REFRESH if cores() >= MANY_CORES else _REFRESH_ON_FEW
        self._chart: dict[str, Any] | None = None
        self._driver = ""  # page that drove when it was looked last
        self._pictures = self._painted = 0  # shown so far; of which those that are not one moved
        self._contained = 0
        self._status_due = self._around_due = 0.0
        self._menu_open = False
        self._was_paused = False  # before the menu was opened, or the last page left
        self._alone = math.inf  # s, since when there has been no page
        self._resting_alone = False
        self._collisions: Frame | None = None  # newest frame whose collisions were told
        self.follow_settings()

    def drive(self) -> None:
        self.announce(self.server.open())
        super().drive()

    def announce(self, lines: list[str]) -> None:
        """Tell the user where the page is."""
        for line in lines:
            print(line, flush=True)

    def close(self) -> None:
        super().close()
        self.server.close()

    # What pages ask for

    @property
    def needs_rgb(self) -> bool:
        return self.canvas.needs_rgb

    @property
    def chart(self) -> str:
        return str(self._chart["name"]) if self._chart else "?"

    def events(self, pause: float) -> bool:
        self._woken.wait(max(pause, 0.001))
        self._woken.clear()
        redraw = False
        while (event := self.server.next_event()) is not None:
            page, message = event
            redraw = self._handle(page, message) or redraw
        self.seats.look()
        self._follow_driver()
        self._rest_alone()
        notice, own = self.seats.notice()
        if notice:
            self.server.tell({"t": "notice", "text": notice, "driver": self.seats.driver, "own": own})
        if time.monotonic() >= self._status_due:
            self._tell_status()
        return redraw

    def _handle(self, page: str, message: page_messages.Message | Arrived | Left) -> bool:
        """Take what a page says; True if the picture has to be drawn again."""
        if isinstance(message, page_messages.Driving):
            self.seats.take(page, message)
            self._follow_driver()
            return False
        if isinstance(message, Arrived):
            self._welcome(page)
        elif isinstance(message, Left):
            self.seats.left(page)
            self._follow_driver()
            self._tell_status()
        elif isinstance(message, page_messages.Measured):
            self.measured(page, message)
        elif page == self.seats.driver:
            self._obey(message)
            self._tell_status()
        return True

    def _obey(self, message: page_messages.Message) -> None:
        """Do what the driver's page asks for beside driving."""
        if isinstance(message, page_messages.ViewOf):
            self.canvas.choose(View(message.view))
        elif isinstance(message, page_messages.Divide):
            self.canvas.divider = min(max(message.share, 0.02), 0.98)
        elif isinstance(message, page_messages.Go):
            self.go(message.place)
        elif isinstance(message, page_messages.MenuOpen):
            self._open_menu(message.shown)
        elif isinstance(message, page_messages.Choose):
            choice = next((each for each in self._choices() if each.name == message.name), None)
            if choice is not None and message.index < len(choice.values):
                self.choose(choice.name, choice.values[message.index])
                self._tell_menu()
        elif isinstance(message, page_messages.Apply):
            self._open_menu(False)
            self.apply_choices()

    def measured(self, page: str, message: page_messages.Measured) -> None:
        """A page says what it has measured: for those who measure."""

    def _follow_driver(self) -> None:
        """Begin anew with another driver: its controls are numbered by itself."""
        driver = self.seats.driver
        if driver != self._driver:
            self._driver = driver
            self._ledger.forget()
            self._contained = 0
            self._open_menu(False)
            self._tell_status()

    def _rest_alone(self) -> None:
        """The simulation stands while nobody looks, unless it is recorded or counted."""
        now = time.monotonic()
        wanted = self.options.frames is not None or self._last is None
        if self.server.count or wanted or self._recording or self.recorder or self._record_path:
            self._alone = math.inf
            if self._resting_alone:
                self._resting_alone = False
                self.inputs.pause(self._was_paused)
        elif self._alone == math.inf:
            self._alone = now
        elif now - self._alone > _LONELY and not self._resting_alone:
            self._resting_alone, self._was_paused = True, self.inputs.wanted.paused
            self.inputs.pause(True)

    def _open_menu(self, shown: bool) -> None:
        """The simulation stands while the driver's menu is open."""
        if shown == self._menu_open:
            return
        self._menu_open = shown
        if shown:
            self._was_paused = self.inputs.wanted.paused
            self.inputs.release()
            self._tell_menu()
        self.inputs.pause(shown or self._was_paused)

    def start_anew(self, options: DriveOptions) -> None:
        self._chart = None
        self._ledger.forget()
        super().start_anew(options)

    # What pages are told

    def notify(self, text: str) -> None:
        self.server.tell({"t": "notice", "text": text})

    def _welcome(self, page: str) -> None:
        if self._chart is not None:
            self.server.tell(self._chart, page)
        self._tell_menu(page)
        self._tell_status()

    def _choices(self) -> list[Choice]:
        return [*picture_choices(self), REVERSING_VIEW, UNITS]

    def _tell_menu(self, page: str = "") -> None:
        items = [
            {
                "name": each.name,
                "label": each.label,
                "shown": list(each.shown),
                "at": each.at(self.settings),
                "hint": each.hint,
            }
            for each in self._choices()
        ]
        self.server.tell({"t": "choices", "items": items}, page)

    def _tell_status(self) -> None:
        self._status_due = time.monotonic() + _STATUS
        state, session = self.state, self.session
        self.fill_state()
        self.server.tell(
            {
                "t": "status",
                "driving": self._last is not None,
                "steps": list(session.steps.items()),
                "doing": session.doing or session.trouble,
                "seconds": round(time.monotonic() - self.begun, 1),
                "driver": self.seats.driver,
                "pages": self.server.count,
                "view": int(self.canvas.view),
                "divider": self.canvas.divider,
                "title": self.canvas.title_of_view,
                "place": state.place,
                "painted": state.painted,
                "model": state.model,
                "runtime": state.runtime,
                "warning": state.warning,
                "fps": round(state.fps, 1),
                "displayed_fps": round(state.displayed_fps, 1),
                "latency": round(state.latency, 1),
                "latency_p95": round(state.latency_p95, 1),
                "stages": {name: round(value, 1) for name, value in state.stages.items()},
                "late_warp": state.warping,
                "late_warp_ms": round(state.late_warp, 1),
                "encoder": self.server.encoders(),
                "paused": state.paused,
                "reverse": state.reverse,
                "recording": None if state.recording is None else int(state.recording),
                "recorded_to": state.recorded_to,
                "units": state.units,
            }
        )

    def _tell_hud(self, frame: Frame) -> None:
        """What belongs to a picture: its numbers, and now and then what is around."""
        ego, pose = frame.ego, frame.ego.pose
        message: dict[str, Any] = {
            "t": "hud",
            "n": self._pictures,
            "speed": round(ego.speed, 2),
            "gear": ego.gear,
            "throttle": round(ego.throttle, 2),
            "brake": round(ego.brake, 2),
            "steer": round(ego.steer, 3),
            "hand_brake": ego.hand_brake,
            "autopilot": ego.autopilot,
            "collisions": ego.collisions,
            "x": round(float(pose[0, 3]), 2),
            "y": round(float(pose[1, 3]), 2),
            "heading": round(math.atan2(pose[1, 0], pose[0, 0]), 3),
            "mount": frame.mount,
        }
        if time.monotonic() >= self._around_due:
            self._around_due = time.monotonic() + _AROUND
            message["traffic"] = frame.traffic[:64].round(1).tolist()
            message["route"] = frame.route[:: max(len(frame.route) // 64, 1)].round(1).tolist()
            message["route_left"] = round(frame.route_left, 1)
        self.server.tell_fast(message)

    def first_picture(self) -> None:
        if self.controls.observes:
            self.notify("Watching: an observer's keys may not drive")
        super().first_picture()

    # What pages are shown

    def show_waiting(self) -> None:
        self._tell_status()

    def show_new(self, picture: PaintedFrame) -> None:
        frame = picture.frame
        if frame.chart is not None:
            self._chart = _chart(frame)
            self.server.tell(self._chart)
        self._tell_collision(frame)
        self._contained = self._ledger.shown(frame.control_seq)
        self.canvas.remap = picture.remap
        self.canvas.frame(frame, picture.neural)
        self._painted += 1
        self._stream(None)
        self._tell_hud(frame)

    def show_again(self, move: Move | None = None) -> None:
        self._stream(move)

    def _tell_collision(self, frame: Frame) -> None:
        before, self._collisions = self._collisions, frame
        if before is None or frame.ego.collisions <= before.ego.collisions:
            return
        self.notify(said(frame))
        if self.settings.jolts and frame.impact.speed > FELT:
            self.server.tell({"t": "blow", "speed": round(frame.impact.speed, 1)})

    def _stream(self, move: Move | None) -> None:
        if not self.server.watched:
            return
        pixels = self.canvas.draw(move)
        if pixels is None:
            return
        self._pictures += 1
        write(Stamp(self._pictures, self._contained, self._painted), pixels[:ROWS])
        self.server.show(PagePicture(pixels, self._pictures, self._contained, self._painted, time.monotonic()))

    def sent(self, sequence: int) -> None:
        self._ledger.sent(sequence, self.seats.control)


def _chart(frame: Frame) -> dict[str, Any]:
    """The map's lanes as pages draw them: each a row of x, y, x, y ... in m."""
    assert frame.chart is not None
    lines = [line.round(1).ravel().tolist() for line in frame.chart.lines]
    widths = frame.chart.widths[:, 0].round(1).tolist()
    return {"t": "chart", "name": frame.chart.name, "lines": lines, "widths": widths}
