"""The interactive drive on web pages: all of them display it, and one of them drives."""

import math
import threading
import time
from base64 import b64encode
from dataclasses import asdict
from typing import Any

from bridge.messages import Frame
from neuralsim.base.machine import cores
from neuralsim.drive.collision_messages import NOTICEABLE, collision_message
from neuralsim.drive.interactive_drive import REFRESH, InteractiveDrive, Warp
from neuralsim.drive.menu_choices import LATE_WARP, REVERSING_VIEW, UNITS, Choice, picture_choices
from neuralsim.drive.settings import CockpitSettings
from neuralsim.drive.task_control import task_items
from neuralsim.renderer.views import View
from neuralsim.serve import page_messages
from neuralsim.serve.access import Tokens
from neuralsim.serve.canvas import Canvas
from neuralsim.serve.driver_lock import ControlTracker, PageDriverLock, PageInput
from neuralsim.serve.encoding import PageImage
from neuralsim.serve.options import ServeOptions
from neuralsim.serve.picture_stamp import ROWS, Stamp, write
from neuralsim.serve.server import Arrived, Left, PageServer
from neuralsim.session.options import DriveOptions
from neuralsim.session.render_loop import RenderedFrame
from neuralsim.session.renderer_loading import MANY_CORES

_COCKPIT = (UNITS, REVERSING_VIEW, LATE_WARP)  # choices of the page "Cockpit"
_STATUS = 0.25  # s between two status messages
_REFRESH_ON_FEW = 1.0 / 30.0  # s between two images if rendering and encoding share few cores
_LONELY = 10.0  # s without a page after which the simulation pauses, to save energy
_SURROUNDINGS = 0.2  # s between two updates of traffic and route


class BrowserDrive(InteractiveDrive):
    """Serves until it is interrupted, to pages that know one of ``tokens``.

    Settings start at their defaults and last as long as the process; the settings file belongs to the window.
    """

    inputs: PageInput
    options: ServeOptions

    def __init__(self, options: ServeOptions, tokens: Tokens) -> None:
        self._woken = threading.Event()
        super().__init__(options, CockpitSettings(), self._woken.set)
        self.inputs = PageInput(self.carry_out, autopilot=options.autopilot)
        self.driver_lock, self._tracker = PageDriverLock(self.inputs), ControlTracker()
        self.canvas = Canvas()
        self.server = PageServer(options, tokens, self._woken.set)
        self.refresh = REFRESH if cores() >= MANY_CORES else _REFRESH_ON_FEW
        self._chart: dict[str, Any] | None = None
        self._driver = ""  # the page that drove at the last check
        self._images = self._rendered = 0  # displayed images so far, and rendered frames among them
        self._contained = 0
        self._status_due = self._around_due = 0.0
        self._menu_open = False
        self._was_paused = False  # before the menu was opened or the last page left
        self._alone = math.inf  # s, time since which there has been no page
        self._is_resting = False  # paused because there is no page
        self._collisions: Frame | None = None  # newest frame whose collisions were reported
        self.follow_settings()

    def drive(self) -> None:
        self.announce(self.server.open())
        super().drive()

    def announce(self, lines: list[str]) -> None:
        """Print the addresses of the page."""
        for line in lines:
            print(line, flush=True)

    def close(self) -> None:
        super().close()
        self.server.close()

    # Requests of pages

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
        self.driver_lock.check_timeout()
        self._follow_driver()
        self._rest_without_pages()
        notice, own = self.driver_lock.take_notice()
        if notice:
            self.server.send({"t": "notice", "text": notice, "driver": self.driver_lock.driver, "own": own})
        if time.monotonic() >= self._status_due:
            self._send_status()
        return redraw

    def _handle(self, page: str, message: page_messages.Message | Arrived | Left) -> bool:
        """Handle a page's message; return whether to redraw."""
        if isinstance(message, page_messages.Driving):
            self.driver_lock.receive(page, message)
            self._follow_driver()
            return False
        if isinstance(message, Arrived):
            self._welcome(page)
        elif isinstance(message, Left):
            self.driver_lock.remove(page)
            self._follow_driver()
            self._send_status()
        elif isinstance(message, page_messages.Measured):
            self.measured(page, message)
        elif page == self.driver_lock.driver:
            self._obey(message)
            self._send_status()
        return True

    def _obey(self, message: page_messages.Message) -> None:
        if isinstance(message, page_messages.ViewOf):
            self.canvas.choose(View(message.view))
        elif isinstance(message, page_messages.Divide):
            self.canvas.divider = min(max(message.share, 0.02), 0.98)
        elif isinstance(message, page_messages.Go):
            self.navigate_to(message.place)
        elif isinstance(message, page_messages.MenuOpen):
            self._open_menu(message.shown)
        elif isinstance(message, page_messages.Choose):
            choice = next((each for each in self._choices() if each.name == message.name), None)
            if choice is not None and message.index < len(choice.values):
                self.choose(choice.name, choice.values[message.index])
                self._send_menu()
        elif isinstance(message, page_messages.Apply):
            self._open_menu(False)
            self.apply_choices()

    def measured(self, page: str, message: page_messages.Measured) -> None:
        """Take a page's measurements; for subclasses."""

    def _follow_driver(self) -> None:
        """Reset the state for a new driver, who numbers controls independently."""
        driver = self.driver_lock.driver
        if driver != self._driver:
            self._driver = driver
            self._tracker.reset()
            self._contained = 0
            self._open_menu(False)
            self._send_status()

    def _rest_without_pages(self) -> None:
        """Pause the simulation while there is no page, unless it is recorded or its frames are counted."""
        now = time.monotonic()
        is_needed = self.options.frames is not None or self._last is None
        if self.server.count or is_needed or self._recording or self.recorder or self._record_path:
            self._alone = math.inf
            if self._is_resting:
                self._is_resting = False
                self.inputs.pause(self._was_paused)
        elif self._alone == math.inf:
            self._alone = now
        elif now - self._alone > _LONELY and not self._is_resting:
            self._is_resting, self._was_paused = True, self.inputs.requested.paused
            self.inputs.pause(True)

    def _open_menu(self, shown: bool) -> None:
        """Pause the simulation while the driver's menu is open."""
        if shown == self._menu_open:
            return
        self._menu_open = shown
        if shown:
            self._was_paused = self.inputs.requested.paused
            self.inputs.release_all()
            self._send_menu()
        self.inputs.pause(shown or self._was_paused)

    def restart(self, options: DriveOptions) -> None:
        self._chart = None
        self._tracker.reset()
        super().restart(options)

    # Messages to pages

    def notify(self, text: str) -> None:
        self.server.send({"t": "notice", "text": text})

    def _welcome(self, page: str) -> None:
        if self._chart is not None:
            self.server.send(self._chart, page)
        self._send_menu(page)
        self._send_status()

    def _choices(self) -> list[Choice]:
        return [*picture_choices(self), *_COCKPIT]

    def _send_menu(self, page: str = "") -> None:
        items = [
            {
                "name": each.name,
                "page": "Cockpit" if each in _COCKPIT else "Place and picture",
                "label": each.label,
                "shown": list(each.shown),
                "at": each.at(self.chosen),
                "hint": each.hint,
                "picture": b64encode(each.picture.read_bytes()).decode() if each.picture else "",
            }
            for each in self._choices()
        ]
        tasks = [{"command": name, "label": label, "hint": hint} for name, label, hint in task_items(self)]
        self.server.send({"t": "choices", "items": items, "tasks": tasks, "records": self.tasks.summary()}, page)

    def _send_status(self) -> None:
        self._status_due = time.monotonic() + _STATUS
        state, session = self.state, self.session
        self.fill_state()
        self.server.send(
            {
                "t": "status",
                "driving": self._last is not None,
                "steps": list(session.steps.items()),
                "doing": session.doing or session.trouble,
                "seconds": round(time.monotonic() - self.begun, 1),
                "driver": self.driver_lock.driver,
                "pages": self.server.count,
                "view": int(self.canvas.view),
                "divider": self.canvas.divider,
                "title": self.canvas.title_of_view,
                "place": state.place,
                "appearance": state.appearance,
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
                "task": state.task,
                "card": None if state.card is None else asdict(state.card),
            }
        )

    def _send_hud(self, frame: Frame) -> None:
        """Send the ego's state of a frame, and at intervals traffic and route."""
        ego, pose = frame.ego, frame.ego.pose
        message: dict[str, Any] = {
            "t": "hud",
            "n": self._images,
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
            self._around_due = time.monotonic() + _SURROUNDINGS
            message["traffic"] = frame.traffic[:64].round(1).tolist()
            message["route"] = frame.route[:: max(len(frame.route) // 64, 1)].round(1).tolist()
            message["route_left"] = round(frame.route_left, 1)
        self.server.send_lossy(message)

    def first_frame(self) -> None:
        if self.controls.observes:
            self.notify("Watching only: these keys do not permit driving")
        super().first_frame()

    # Display

    def show_waiting(self) -> None:
        self._send_status()

    def show_new(self, rendered: RenderedFrame) -> None:
        frame = rendered.frame
        if frame.chart is not None:
            self._chart = _chart(frame)
            self.server.send(self._chart)
        self._send_collision(frame)
        self._contained = self._tracker.contained_in(frame.control_seq)
        self.canvas.remap = rendered.remap
        self.canvas.set_frame(frame, rendered.neural)
        self._rendered += 1
        self._stream(None)
        self._send_hud(frame)

    def show_again(self, warp: Warp | None = None) -> None:
        self._stream(warp)

    def _send_collision(self, frame: Frame) -> None:
        previous, self._collisions = self._collisions, frame
        if previous is None or frame.ego.collisions <= previous.ego.collisions:
            return
        self.notify(collision_message(frame))
        if self.settings.jolts and frame.impact.speed > NOTICEABLE:
            self.server.send({"t": "impact", "speed": round(frame.impact.speed, 1)})

    def _stream(self, warp: Warp | None) -> None:
        if not self.server.watched:
            return
        pixels = self.canvas.draw(warp)
        if pixels is None:
            return
        self._images += 1
        write(Stamp(self._images, self._contained, self._rendered), pixels[:ROWS])
        self.server.show(PageImage(pixels, self._images, self._contained, self._rendered, time.monotonic()))

    def after_send(self, sequence: int) -> None:
        self._tracker.sent(sequence, self.driver_lock.control)


def _chart(frame: Frame) -> dict[str, Any]:
    """Return the map's lanes for the pages, each as x, y, x, y ... in m."""
    assert frame.chart is not None
    lines = [line.round(1).ravel().tolist() for line in frame.chart.lines]
    widths = frame.chart.widths[:, 0].round(1).tolist()
    return {"t": "chart", "name": frame.chart.name, "lines": lines, "widths": widths}
