"""Who of several drivers drives: one at a time, by rule, however many windows are connected.

Whoever sends the first control drives, until it leaves or has been silent for ``SILENT`` seconds (windows send ten
times a second); then the next sender does. Requests are counted per driver, so that a second window's numbers are
never compared with the first one's, and controls that come late or twice are passed over.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from bridge.messages import Control

SILENT = 2.0  # s
MOST = 32  # drivers that are remembered
TAKEN_OVER = "Another driver drives now"
WAITS = "Another window wants to drive: it can when this one has left"


@dataclass
class _Seen:
    """What a driver has sent so far."""

    sequence: int
    respawn: int
    weather: int


class Drivers:
    """Decides whose controls count. ``notice``: message for both, since it was last taken, "" if nothing."""

    def __init__(self) -> None:
        self.owner = ""  # id of the driver, "" without one
        self.notice = ""
        self._heard = -SILENT  # s, when the owner was last heard of
        self._had = False  # whether there has ever been a driver
        self._waiting = ""  # id that was last asked to wait
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._respawn = self._weather = 0  # requests of all owners so far

    def take(self, control: Control, now: float | None = None) -> Control | None:
        """The control as the bridge is to obey it, its requests counted over all drivers; None if it does not count."""
        now = time.monotonic() if now is None else now
        who = control.driver
        seen = self._seen.pop(who, None) or _Seen(-1, 0, 0)
        self._seen[who] = seen
        while len(self._seen) > MOST:
            self._seen.popitem(last=False)
        if who and control.sequence <= seen.sequence:  # late, or a second time
            return None
        asked = max(control.respawn - seen.respawn, 0), max(control.weather - seen.weather, 0)
        seen.sequence, seen.respawn, seen.weather = control.sequence, control.respawn, control.weather
        if who != self.owner or not self._had:
            if self._had and self.owner and now - self._heard < SILENT:
                if who != self._waiting and not control.leaving:
                    self._waiting, self.notice = who, WAITS
                return None
            if control.leaving:
                return None
            if self._had:
                self.notice = TAKEN_OVER
                asked = 0, 0  # what was pressed while another one drove
            self.owner, self._had, self._waiting = who, True, ""
        self._heard = now
        self._respawn += asked[0]
        self._weather += asked[1]
        if control.leaving:
            self.owner, self._heard = "", -SILENT
        return replace(control, respawn=self._respawn, weather=self._weather)
