"""Who of the pages drives, and what they want: one driver, by the rule that holds for windows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from bridge.link.driver_arbitration import SILENT, TAKEN_OVER, WAITS, Drivers
from bridge.messages import Control
from neuralsim.drive.driver_input import Analogue, DriverInput
from neuralsim.drive.keys import ACTIONS, HELD, PEDALS
from neuralsim.serve.page_messages import Driving

#: Commands that a page may ask for by ``Driving.pressed``; what only concerns what it draws, it does itself.
COMMANDS = frozenset(ACTIONS) - PEDALS - HELD - {"map", "hud"}
#: What the rule says to windows, to pages: all but the driver's, and the driver's.
_PAGES_WORDS = {
    TAKEN_OVER: (TAKEN_OVER, "You drive"),
    WAITS: ("Another page drives: you can when it has left", "Another page waits to drive: it can when you leave"),
}
_OUT_OF_TOUCH = 0.5  # s without a word after which the pedals are let go of
_MOST = 4  # times that one command is carried out for one message: what was pressed while nothing came through
_KEPT = 4096  # controls that no picture contains yet
_PRESSED = 0.5  # of a pedal, which takes over from the autopilot: one at rest trembles


@dataclass
class PagePedals:
    """A page's gamepad, wheel or touch; an ``Analogue``."""

    throttle: float = 0.0  # 0 .. 1
    brake: float = 0.0  # 0 .. 1
    steer: float = 0.0  # -1 .. 1
    hand_brake: bool = False


class PageInput(DriverInput):
    """What the page that drives holds."""

    def __init__(self, act: Callable[[str], None], *, autopilot: bool = False) -> None:
        super().__init__(act, autopilot=autopilot)
        self.pedals: PagePedals | None = None

    @property
    def analogue(self) -> Analogue | None:
        return self.pedals

    def follow(self, driving: Driving) -> None:
        """Hold what the page holds."""
        held: set[Hashable] = {action for action in driving.held if action in PEDALS | HELD}
        new = held - self._held.keys()
        self._held = {action: str(action) for action in held}
        self.pedals = None
        if driving.analogue:
            self.pedals = PagePedals(driving.throttle, driving.brake, driving.steer, driving.hand_brake)
        pressed = bool(new & PEDALS) or (
            self.pedals is not None and max(self.pedals.throttle, self.pedals.brake) > _PRESSED
        )
        if pressed and self.wanted.autopilot:
            self.take_over()

    def release(self) -> None:
        super().release()
        self.pedals = None

    def stand(self) -> None:
        """Let go of everything and brake: nobody drives. The autopilot drives on."""
        self.release()
        if not self.wanted.autopilot:
            self.pedals = PagePedals(brake=1.0, hand_brake=True)


class Seats:
    """Feeds ``inputs`` with what the driver's page says, and nobody else's."""

    def __init__(self, inputs: PageInput) -> None:
        self.inputs = inputs
        self.control = 0  # number of the newest message of the driver that was followed
        self._drivers = Drivers()
        self._owner = ""
        self._pressed: dict[str, dict[str, int]] = {}  # by page: how often, so far
        self._heard = 0.0  # s, when the driver was heard of last
        self._standing = False

    @property
    def driver(self) -> str:
        """The page that drives, "" for none."""
        return self._owner

    def take(self, page: str, driving: Driving, now: float | None = None) -> bool:
        """A page says what it wants; True if it drives. What it asked for while another one did is passed over."""
        now = time.monotonic() if now is None else now
        control = Control(sequence=driving.n, driver=page, leaving=driving.leaving)
        counted = self._drivers.take(control, now) is not None
        before, self._owner = self._owner, self._drivers.owner
        seen = self._pressed.setdefault(page, {})
        asked = {name: driving.pressed[name] - seen.get(name, 0) for name in driving.pressed}
        seen.update((name, max(count, seen.get(name, 0))) for name, count in driving.pressed.items())
        if not counted or driving.leaving:
            if before and not self._owner:
                self.inputs.stand()
            return False
        if page != before:
            self.inputs.release()
            self._standing = False
            if before:
                asked = {}
        self._heard, self.control, self._standing = now, driving.n, False
        self.inputs.follow(driving)
        for name, times in asked.items():
            for _ in range(min(times, _MOST) if name in COMMANDS else 0):
                self.inputs.command(name)
        return True

    def left(self, page: str) -> None:
        """A page has gone."""
        if page == self._owner:
            self.take(page, Driving(n=self.control + 1, leaving=True))
        self._pressed.pop(page, None)

    def look(self, now: float | None = None) -> None:
        """Let go of the pedals where the driver is out of touch, and stop the car where nobody drives it."""
        now = time.monotonic() if now is None else now
        silent = now - self._heard
        if self._owner and silent > SILENT:
            self._owner = ""  # the next one to send drives
        if self._owner and silent > _OUT_OF_TOUCH:
            self.inputs.release()
        elif not self._owner and not self._standing:
            self.inputs.stand()
            self._standing = True

    def notice(self) -> tuple[str, str]:
        """What there is to say since this was asked last, to all and to the driver; "" if nothing."""
        said, self._drivers.notice = self._drivers.notice, ""
        return _PAGES_WORDS.get(said, (said, said))


class Ledger:
    """Which of the page's controls a picture contains: the link numbers what it sends otherwise."""

    def __init__(self) -> None:
        # (number on the link, the page's), both ascending; bounded, for while the simulation stands none is taken out
        self._sent: deque[tuple[int, int]] = deque(maxlen=_KEPT)
        self.contained = 0

    def sent(self, sequence: int, control: int) -> None:
        """The page's ``control`` is in the one that went over the link as ``sequence``."""
        if self._sent and self._sent[-1][1] == control:
            return
        self._sent.append((sequence, control))

    def shown(self, sequence: int) -> int:
        """The newest of the page's controls in a picture whose frame contains the link's ``sequence``."""
        while self._sent and self._sent[0][0] <= sequence:
            self.contained = self._sent.popleft()[1]
        return self.contained

    def forget(self) -> None:
        """Another page drives, or another simulation: their numbers are compared with none of before."""
        self._sent.clear()
        self.contained = 0
