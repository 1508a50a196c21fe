"""The offset between the monotonic clocks of two hosts, estimated from the regular traffic.

A frame carries the times, on the bridge's clock, at which it was captured and sent, and the number of the newest
control that it contains. Its receiver knows, on its own clock, when it sent that control and when the frame arrived.
Nothing arrives before it was sent, so

    control sent - frame captured  <=  offset  <=  frame received - frame sent       (offset = receiver's - bridge's)

These are the two legs of NTP's exchange (RFC 5905, section 8); as there, the messages with the shortest delay give the
tightest bounds. Unlike NTP's estimate, the bounds hold even if the delays of the two directions differ.
"""

from collections import deque
from collections.abc import MutableMapping
from typing import NamedTuple

from bridge.messages import Frame

_WINDOW = 20_000_000_000  # ns for which a bound is kept
_BUCKET = 500_000_000  # ns of traffic that are merged into one pair of bounds
_DRIFT = 100e-6  # relative drift of two quartz clocks: bounds widen as they age
_CONTROLS = 256  # newest controls whose stamps are kept
_FAR = 1 << 62

#: Stamps that are taken on the bridge's host.
BRIDGE_STAMPS = ("capture", "simulated", "sent")


class _Bounds(NamedTuple):
    at: int  # ns, receiver's clock
    low: int  # ns
    high: int  # ns


class ClockOffset:
    """An estimate of how far the receiver's clock is ahead of the bridge's, with its uncertainty.

    Report every sent control (``control_sent``) and every received frame (``frame_received``). If the bounds allow a
    common clock, as on one host, the offset is exactly 0.
    """

    def __init__(self) -> None:
        self._controls: dict[int, int] = {}
        self._foreign: int | None = None  # control_seq of another sender, seen before our first control arrived
        self._bounds: deque[_Bounds] = deque()
        self._offset, self._uncertainty = 0, _FAR

    @property
    def known(self) -> bool:
        """Whether a control has come back in a frame; until then the offset is bounded on one side only."""
        return self._uncertainty < _FAR

    @property
    def offset(self) -> int:
        """Receiver's clock minus bridge's clock, ns; 0 while unknown."""
        return self._offset

    @property
    def uncertainty(self) -> int:
        """The maximum error of ``offset``, ns, as long as the clocks drift by less than 100 ppm."""
        return self._uncertainty

    def control_sent(self, sequence: int, stamp: int) -> None:
        """Record that control ``sequence`` was sent at ``stamp``, ns."""
        self._controls[sequence] = stamp
        if len(self._controls) > _CONTROLS:
            del self._controls[next(iter(self._controls))]

    def frame_received(self, frame: Frame) -> None:
        """Update from the stamps ``capture``, ``sent`` and ``received`` of a frame; without them it is ignored."""
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
            same_clock = low <= 0 <= high
            self._offset, self._uncertainty = (0, 0) if same_clock else (middle, half)

    def correct(self, stamps: MutableMapping[str, int]) -> None:
        """Convert the bridge's stamps to the receiver's clock, in place."""
        if self._offset:
            for name in BRIDGE_STAMPS:
                if name in stamps:
                    stamps[name] += self._offset

    def report(self) -> dict[str, float | None]:
        """Return {"offset_ms", "uncertainty_ms"} for JSON; the uncertainty is None while unknown, 0 on one clock."""
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
