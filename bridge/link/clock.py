"""The offset between the monotonic clocks of two hosts, from the traffic that is there anyway.

A frame says, on the bridge's clock, when it was captured and sent, and which control it already contains; its receiver
knows, on its own clock, when that control left and when the frame came. Nothing arrives before it was sent, so

    control sent - frame captured  <=  offset  <=  frame received - frame sent       (offset = receiver's - bridge's)

These are the two legs of NTP's exchange (RFC 5905, section 8), and as there the messages that waited least say most.
Unlike NTP's, the bounds hold however unequal the two ways are: the offset lies between them for certain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import MutableMapping
from typing import NamedTuple

from bridge.messages import Frame

_WINDOW = 20_000_000_000  # ns that a bound is remembered
_BUCKET = 500_000_000  # ns of traffic that one remembered pair of bounds stands for
_DRIFT = 100e-6  # by how much two quartz clocks may run apart: bounds widen as they age
_CONTROLS = 256  # newest controls whose stamps are kept
_FAR = 1 << 62

#: Stamps that are made on the bridge's host.
BRIDGE_STAMPS = ("capture", "simulated", "sent")


class _Bounds(NamedTuple):
    at: int  # ns, receiver's clock
    low: int  # ns
    high: int  # ns


class ClockOffset:
    """How far the receiver's clock is ahead of the bridge's, with the uncertainty of that.

    Tell it of every control that leaves (:meth:`sent`) and of every frame that comes (:meth:`heard`). Where one clock
    for both is possible, and so on one host, the offset is exactly 0.
    """

    def __init__(self) -> None:
        self._controls: dict[int, int] = {}
        self._foreign: int | None = None  # control_seq of frames before ours was heard: somebody else's
        self._bounds: deque[_Bounds] = deque()
        self._offset, self._uncertainty = 0, _FAR

    @property
    def known(self) -> bool:
        """Whether a control has come back in a frame: before, only one side is bounded."""
        return self._uncertainty < _FAR

    @property
    def offset(self) -> int:
        """Receiver's clock minus bridge's clock, ns; 0 while unknown."""
        return self._offset

    @property
    def uncertainty(self) -> int:
        """The true offset is at most this many ns from ``offset`` while the clocks drift by less than 100 ppm."""
        return self._uncertainty

    def sent(self, sequence: int, stamp: int) -> None:
        """A control left at ``stamp``, ns."""
        self._controls[sequence] = stamp
        if len(self._controls) > _CONTROLS:
            del self._controls[next(iter(self._controls))]

    def heard(self, frame: Frame) -> None:
        """A frame came, with the stamps ``capture``, ``sent`` and ``received``; without them it says nothing."""
        stamps = frame.stamps
        if not {"capture", "sent", "received"} <= stamps.keys():
            return
        now, low = stamps["received"], -_FAR
        if self._foreign is None:
            self._foreign = frame.control_seq
        elif frame.control_seq != self._foreign:
            self._foreign = -1
            if frame.control_seq in self._controls:
                low = self._controls[frame.control_seq] - stamps["capture"]
        self._remember(_Bounds(now, low, now - stamps["sent"]))
        aged = [(b, int(_DRIFT * (now - b.at))) for b in self._bounds]
        low = max((b.low - age for b, age in aged if b.low > -_FAR), default=-_FAR)
        high = min(b.high + age for b, age in aged)
        if low > -_FAR:
            middle, half = (low + high) // 2, max((high - low) // 2, 0)
            one_clock = low <= 0 <= high
            self._offset, self._uncertainty = (0, 0) if one_clock else (middle, half)

    def correct(self, stamps: MutableMapping[str, int]) -> None:
        """Put the bridge's stamps on the receiver's clock."""
        if self._offset:
            for name in BRIDGE_STAMPS:
                if name in stamps:
                    stamps[name] += self._offset

    def report(self) -> dict[str, float | None]:
        """{"offset_ms", "uncertainty_ms"}, ready for JSON; the uncertainty is None while unknown, 0 on one clock."""
        return {
            "offset_ms": round(self._offset / 1e6, 3),
            "uncertainty_ms": round(self._uncertainty / 1e6, 3) if self.known else None,
        }

    def _remember(self, new: _Bounds) -> None:
        last = self._bounds[-1] if self._bounds else None
        if last is not None and 0 <= new.at - last.at < _BUCKET:
            self._bounds[-1] = _Bounds(last.at, max(last.low, new.low), min(last.high, new.high))
        else:
            self._bounds.append(new)
        while new.at - self._bounds[0].at > _WINDOW:
            self._bounds.popleft()
