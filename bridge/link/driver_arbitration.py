"""Arbitration between several drivers: one at a time drives, however many windows are connected.

The sender of the first control drives until it leaves or has been silent for ``SILENCE_TIMEOUT`` seconds (windows send
ten controls per second); then the next sender does. Requests are counted per driver, so that one window's counters are
never compared with another's. Late and duplicate controls are ignored.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from bridge.messages import Control

SILENCE_TIMEOUT = 2.0  # s
MAX_DRIVERS = 32  # whose counters are kept
TAKEN_OVER = "Another driver drives now"
DRIVER_WAITS = "Another window wants to drive: it can when this one has left"


_COUNTED = "respawn", "repair", "weather"  # fields of a control that count requests


@dataclass
class _Counters:
    sequence: int
    requests: tuple[int, ...]  # by field in ``_COUNTED``


class DriverArbiter:
    """Decides whose controls are applied. ``notice``: a message for all drivers, "" for none; the reader clears it."""

    def __init__(self) -> None:
        self.owner = ""  # id of the driver, "" without one
        self.notice = ""
        self._last_control_at = -SILENCE_TIMEOUT  # s, of the owner
        self._had_driver = False  # whether there has ever been a driver
        self._waiting = ""  # id of the sender that was last asked to wait
        self._counters: OrderedDict[str, _Counters] = OrderedDict()  # by driver, least recently active first
        self._requests: dict[str, Any] = dict.fromkeys(_COUNTED, 0)  # of all owners so far

    def accept(self, control: Control, now: float | None = None) -> Control | None:
        """Return the control that the bridge should apply, with its requests counted over all drivers, or None."""
        now = time.monotonic() if now is None else now
        driver = control.driver
        last = self._counters.pop(driver, None) or _Counters(-1, (0,) * len(_COUNTED))
        self._counters[driver] = last
        while len(self._counters) > MAX_DRIVERS:
            self._counters.popitem(last=False)
        if driver and control.sequence <= last.sequence:  # late or duplicate
            return None
        counted = tuple(getattr(control, name) for name in _COUNTED)
        new = [max(count - before, 0) for count, before in zip(counted, last.requests, strict=True)]
        last.sequence, last.requests = control.sequence, counted
        if driver != self.owner or not self._had_driver:
            if self._had_driver and self.owner and now - self._last_control_at < SILENCE_TIMEOUT:
                if driver != self._waiting and not control.leaving:
                    self._waiting, self.notice = driver, DRIVER_WAITS
                return None
            if control.leaving:
                return None
            if self._had_driver:
                self.notice = TAKEN_OVER
                new = [0] * len(_COUNTED)  # keys that were pressed while another driver drove
            self.owner, self._had_driver, self._waiting = driver, True, ""
        self._last_control_at = now
        for name, count in zip(_COUNTED, new, strict=True):
            self._requests[name] += count
        if control.leaving:
            self.owner, self._last_control_at = "", -SILENCE_TIMEOUT
        return replace(control, **self._requests)
