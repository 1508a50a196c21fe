"""The driver lock of the pages: one page drives at a time, by the same rules as for windows."""

import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from bridge.link.driver_arbitration import DRIVER_WAITS, SILENCE_TIMEOUT, TAKEN_OVER, DriverArbiter
from bridge.messages import Control
from neuralsim.drive.driver_input import Analogue, DriverInput
from neuralsim.drive.key_bindings import ACTIONS, HELD, PEDALS
from neuralsim.drive.task_control import COMMANDS as TASK_COMMANDS
from neuralsim.drive.task_control import TASKS
from neuralsim.serve.page_messages import Driving

#: Commands that a page may send in ``Driving.pressed``; it handles those that only concern its display.
COMMANDS = frozenset({*ACTIONS, *TASKS, *TASK_COMMANDS}) - PEDALS - HELD - {"map", "hud"}
#: Notices of the bridge's driver lock, reworded for pages: for all others, and for the driver's.
_PAGE_NOTICES = {
    TAKEN_OVER: (TAKEN_OVER, "You are driving"),
    DRIVER_WAITS: (
        "Another page is driving. You can drive when it has left",
        "Another page wants to drive. It can when you leave",
    ),
}
_TIMEOUT = 0.5  # s without a message after which the pedals are released
_MOST = 4  # maximum repetitions of a command per message, for key presses while messages were lost
_KEPT = 4096  # maximum number of controls that no frame contains yet
_PRESSED = 0.5  # position from which a pedal takes over from the autopilot, above the noise at rest


@dataclass
class PagePedals:
    """The pedals of a page's gamepad, wheel or touch controls; an ``Analogue``."""

    throttle: float = 0.0  # 0 to 1
    brake: float = 0.0  # 0 to 1
    steer: float = 0.0  # -1 to 1
    hand_brake: bool = False


class PageInput(DriverInput):
    """The input of the page that drives."""

    def __init__(self, act: Callable[[str], None], *, autopilot: bool = False) -> None:
        super().__init__(act, autopilot=autopilot)
        self.pedals: PagePedals | None = None

    @property
    def analogue(self) -> Analogue | None:
        return self.pedals

    def apply(self, driving: Driving) -> None:
        """Apply the state of keys and pedals of the page."""
        held: set[Hashable] = {action for action in driving.held if action in PEDALS | HELD}
        pressed_keys = held - self._held.keys()
        self._held = {action: str(action) for action in held}
        self.pedals = None
        if driving.analogue:
            self.pedals = PagePedals(driving.throttle, driving.brake, driving.steer, driving.hand_brake)
        pressed = bool(pressed_keys & PEDALS) or (
            self.pedals is not None and max(self.pedals.throttle, self.pedals.brake) > _PRESSED
        )
        if pressed and self.requested.autopilot:
            self.take_over()

    def release_all(self) -> None:
        super().release_all()
        self.pedals = None

    def stop_car(self) -> None:
        """Release everything and brake, since nobody drives. The autopilot continues."""
        self.release_all()
        if not self.requested.autopilot:
            self.pedals = PagePedals(brake=1.0, hand_brake=True)


class PageDriverLock:
    """Passes the messages of the driver's page, and of no other, on to ``inputs``."""

    def __init__(self, inputs: PageInput) -> None:
        self.inputs = inputs
        self.control = 0  # number of the newest message of the driver that was applied
        self._drivers = DriverArbiter()
        self._owner = ""
        self._pressed: dict[str, dict[str, int]] = {}  # number of presses of each command so far, by page
        self._received = 0.0  # s, time of the driver's last message
        self._is_stopped = False

    @property
    def driver(self) -> str:
        """The page that drives, "" for none."""
        return self._owner

    def receive(self, page: str, driving: Driving, now: float | None = None) -> bool:
        """Take a page's message; return whether it drives. Commands from before it took over are ignored."""
        now = time.monotonic() if now is None else now
        control = Control(sequence=driving.n, driver=page, leaving=driving.leaving)
        is_accepted = self._drivers.accept(control, now) is not None
        previous, self._owner = self._owner, self._drivers.owner
        counts = self._pressed.setdefault(page, {})
        commands = {name: driving.pressed[name] - counts.get(name, 0) for name in driving.pressed}
        counts.update((name, max(count, counts.get(name, 0))) for name, count in driving.pressed.items())
        if not is_accepted or driving.leaving:
            if previous and not self._owner:
                self.inputs.stop_car()
            return False
        if page != previous:
            self.inputs.release_all()
            self._is_stopped = False
            if previous:
                commands = {}
        self._received, self.control, self._is_stopped = now, driving.n, False
        self.inputs.apply(driving)
        for name, times in commands.items():
            for _ in range(min(times, _MOST) if name in COMMANDS else 0):
                self.inputs.command(name)
        return True

    def remove(self, page: str) -> None:
        """Remove a page that has disconnected."""
        if page == self._owner:
            self.receive(page, Driving(n=self.control + 1, leaving=True))
        self._pressed.pop(page, None)

    def check_timeout(self, now: float | None = None) -> None:
        """Release the pedals if the driver has gone silent, and stop the car if nobody drives it."""
        now = time.monotonic() if now is None else now
        silent = now - self._received
        if self._owner and silent > SILENCE_TIMEOUT:
            self._owner = ""  # the next page to send drives
        if self._owner and silent > _TIMEOUT:
            self.inputs.release_all()
        elif not self._owner and not self._is_stopped:
            self.inputs.stop_car()
            self._is_stopped = True

    def take_notice(self) -> tuple[str, str]:
        """Return the notices since the last call, for the other pages and for the driver's; "" for none."""
        notice, self._drivers.notice = self._drivers.notice, ""
        return _PAGE_NOTICES.get(notice, (notice, notice))


class ControlTracker:
    """Tracks which of the page's controls a frame contains, since the link numbers controls differently."""

    def __init__(self) -> None:
        # (number on the link, number of the page), both ascending; bounded, since a paused simulation consumes none
        self._sent: deque[tuple[int, int]] = deque(maxlen=_KEPT)
        self.contained = 0

    def sent(self, sequence: int, control: int) -> None:
        """Record that the page's ``control`` was sent over the link as ``sequence``."""
        if self._sent and self._sent[-1][1] == control:
            return
        self._sent.append((sequence, control))

    def contained_in(self, sequence: int) -> int:
        """Return the page's newest control in a frame that contains the link's ``sequence``."""
        while self._sent and self._sent[0][0] <= sequence:
            self.contained = self._sent.popleft()[1]
        return self.contained

    def reset(self) -> None:
        """Forget all numbers, for another page or another simulation."""
        self._sent.clear()
        self.contained = 0
