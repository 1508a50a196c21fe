"""ZeroMQ links: frames from the bridge to its receivers, controls back.

Frames go from a ROUTER (publisher, binds) to DEALERs (subscribers, connect). PUB/SUB would do for driving only: it
drops silently at its high-water mark. Here every subscriber grants credit for its next frame and acknowledges the last
one, and both delivery modes use the same socket pair:

* latest wins (driving): the publisher never waits in ``send``; the subscriber drains its queue, hands out the newest
  frame and counts the skipped ones. Since ``motion`` refers to the frame before, it is composed over skipped ones.
  ``free_at`` tells a loop that keeps time (``bridge.link.pacing``) when interactive subscribers can use another frame.
* lock-step (recording): the publisher waits until every subscriber has room, so none is lost. A subscriber asks for
  ``ahead + 1`` frames: with ``ahead=1`` the simulator works on the next frame while this one is painted.

Planes reach subscribers on the same machine through shared memory (``shared_memory.py``), with a reference to them in
the message; others get them as message parts. Controls go over PUSH/PULL, the newest wins.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import zmq

from bridge.link import LinkError
from bridge.link.curve_keys import Keys, generate_keys, generate_observer, load_keys
from bridge.link.driver_arbitration import Drivers
from bridge.link.durations import DurationEstimator
from bridge.link.frame_header import pack, pack_control, unpack, unpack_control
from bridge.link.motion import compose, reproject
from bridge.link.shared_memory import FrameExpired, ShmReader, ShmRing, host_id
from bridge.link.sockets import Socket, control_endpoint, is_local
from bridge.messages import PROTOCOL, TOPIC, Camera, Control, Frame, ProtocolError

__all__ = [
    "QUEUE",
    "ControlReceiver",
    "ControlSender",
    "FramePublisher",
    "FrameSubscriber",
    "Keys",
    "LinkError",
    "LinkTimeout",
    "control_endpoint",
    "generate_keys",
    "generate_observer",
    "is_local",
    "load_keys",
]

QUEUE = 8  # frames with their planes queued for one receiver, about 1.5 MB each at 512x256
SHARED_QUEUE = 64  # frames queued for a receiver that maps the planes from shared memory
SHARED = b"shared"  # topic of a frame whose planes are in shared memory
PING = b"alive?"
REQUEST_RETRY = 0.25  # s without a frame until a subscriber repeats its request: recovers from a publisher's restart
PING_INTERVAL = 0.5  # s between connection checks of a receiver that takes no frames
_LAST = 1000  # ms that the last frames of a lock-step have to leave the process
MAX_RECEIVERS = 32
MAX_DRAINED = 256  # messages taken in at once: a flood must not hold up the simulation
MAX_COMPOSED = 4  # skipped frames whose motion is composed exactly: each costs a pass, and lag must not cause more lag


class Request(msgspec.Struct, array_like=True):
    """A receiver's request for its next frames, which acknowledges the last one."""

    protocol: Annotated[int, msgspec.Meta(ge=PROTOCOL, le=PROTOCOL)]
    credit: Annotated[int, msgspec.Meta(ge=1)]
    sequence: int  # of the last frame, -1: none yet
    host: str = ""  # host_id() of a receiver that can map shared memory
    interactive: bool = False
    needed: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] = 0.0  # s that the last frame kept it busy


_REQUESTS = msgspec.msgpack.Decoder(Request)


class LinkTimeout(LinkError):
    """The other side of a lock-step link does not respond."""


@dataclass
class _Receiver:
    """The publisher's state of one receiver."""

    credit: int = 1
    same_host: bool = False  # it maps planes from shared memory
    interactive: bool = False
    waited_for: bool = True  # until a tick has waited for it in vain
    unacknowledged: deque[int] = field(default_factory=deque)  # sequences
    sent_at: float = 0.0  # s, when the newest of them was sent
    busy_since: float = 0.0  # s, when it began processing the oldest of them
    busy: DurationEstimator = field(default_factory=DurationEstimator)  # per frame
    pinged_at: float = 0.0  # s

    def has_room(self) -> bool:
        return len(self.unacknowledged) < (SHARED_QUEUE if self.same_host else QUEUE)

    def free_at(self, lead: float) -> float:
        """When to begin a frame that takes ``lead`` seconds to produce: s, -inf for now, inf until its next request."""
        if not self.interactive or not self.waited_for or not self.unacknowledged:
            return -math.inf
        unknown = len(self.unacknowledged) >= self.credit or not self.busy.known
        return math.inf if unknown else self.busy_since + self.busy.p25 - lead

    def on_sent(self, sequence: int) -> None:
        """Record that a frame has been sent."""
        self.sent_at = time.monotonic()
        if not self.unacknowledged:
            self.busy_since = self.sent_at
        self.unacknowledged.append(sequence)

    def on_request(self, last: int, needed: float = 0.0, just_now: bool = True) -> None:
        """Record a request: ``last`` is the newest frame taken, which kept it busy for ``needed`` s (0 if unknown).

        A request that arrives while the next frame is being produced is read late, not ``just_now``: then its content
        counts, its time of arrival does not.
        """
        self.waited_for = True
        if last not in self.unacknowledged:
            return
        while self.unacknowledged.popleft() != last:
            pass
        now = time.monotonic()
        needed = needed or now - self.busy_since
        self.busy.add(needed)
        self.busy_since = now if just_now else min(now, max(self.busy_since + needed, self.sent_at))


class FramePublisher(Socket):
    """The bridge's end of the frame link.

    ``endpoint``: ZeroMQ address to bind; ``keys``: CURVE pair or its folder, needed off this machine. ``lockstep``
    makes ``wait`` block until every receiver (and at least one) has room; ``timeout`` in seconds bounds it. Without
    ``lockstep`` nothing here ever blocks: a receiver whose queue is full misses the frame.
    """

    def __init__(
        self, endpoint: str, keys: str | Path | Keys | None = None, lockstep: bool = False, timeout: float = 20.0
    ) -> None:
        self._ring = ShmRing()
        options = {"SNDHWM": SHARED_QUEUE, "RCVHWM": 64, "ROUTER_MANDATORY": 1, "MAXMSGSIZE": 4096}
        super().__init__(zmq.ROUTER, endpoint, keys, True, watched=True, **options)
        self.lockstep, self.timeout = lockstep, timeout
        self.linger = _LAST if lockstep else 0
        self.malformed = 0  # messages that violate the protocol
        self._receivers: dict[bytes, _Receiver] = {}
        self._host = host_id()

    @property
    def receivers(self) -> int:
        """The number of receivers that have sent a request and are not known to be disconnected."""
        return len(self._receivers)

    def wait(self, stop: Callable[[], bool] = lambda: False) -> None:
        """In lock-step: return when all receivers have credit, or as soon as ``stop()`` is true; else at once.

        Raises ``LinkTimeout`` if no receiver connects or one does not acknowledge within ``timeout``.
        """
        self.listen()
        if not self.lockstep:
            return
        begun = time.monotonic()
        while not self._ready() and not stop():
            if time.monotonic() - begun > self.timeout:
                reason = "a receiver does not take its frames" if self._receivers else "no receiver came"
                raise LinkTimeout(f"lock-step on {self.endpoint}: {reason} for {self.timeout:g} s; start it again")
            for identity, receiver in list(self._receivers.items()):
                self._ping(identity, receiver)
            self.listen(0.05)

    def free_at(self, lead: float) -> float:
        """When to begin a frame that takes ``lead`` seconds to produce, for the slowest interactive receiver.

        Monotonic seconds; in the past if all are free now (or there are none), infinity until the next request.
        """
        return max((receiver.free_at(lead) for receiver in self._receivers.values()), default=-math.inf)

    def give_up(self, lead: float) -> None:
        """Stop waiting for receivers that are still busy, until their next request; ``lead`` as in ``free_at``."""
        now = time.monotonic()
        for receiver in self._receivers.values():
            receiver.waited_for = receiver.waited_for and receiver.free_at(lead) <= now

    def send(self, frame: Frame) -> None:
        """Stamp ``frame`` as sent and send it to all receivers; its planes may be reused afterwards."""
        self.listen()
        frame.stamps["sent"] = time.monotonic_ns()
        topic, header, *planes = pack(frame)
        shared = self._share(frame, header, planes)
        whole: list[Any] = []
        for identity, receiver in list(self._receivers.items()):
            if not receiver.has_room():
                self._ping(identity, receiver)
                continue
            if (not receiver.same_host or shared is None) and not whole:  # one copy for all of them
                whole = [zmq.Frame(part, copy=True) for part in (topic, header, *planes)]
            if self._send(identity, shared if receiver.same_host and shared else whole):
                receiver.on_sent(frame.sequence)

    def close(self) -> None:
        """Close, in lock-step once the last frame is on its way. May be called again."""
        super().close()
        self._ring.close()

    def _share(self, frame: Frame, header: bytes, planes: list[Any]) -> list[bytes] | None:
        """The message that refers to the planes in shared memory; None without local receivers, or without room."""
        local = [receiver for receiver in self._receivers.values() if receiver.same_host]
        if not local:
            return None
        done = min(
            (receiver.unacknowledged[0] for receiver in local if receiver.unacknowledged), default=frame.sequence
        )
        reference = self._ring.put(frame.sequence, planes, done, keep=self.lockstep)
        return None if reference is None else [SHARED, header, reference]

    def _ready(self) -> bool:
        return bool(self._receivers) and all(len(r.unacknowledged) < r.credit for r in self._receivers.values())

    def _ping(self, identity: bytes, receiver: _Receiver) -> None:
        """Check at intervals whether a receiver that takes no frames is disconnected: sending to it fails then."""
        now = time.monotonic()
        if now - receiver.pinged_at > PING_INTERVAL:
            receiver.pinged_at = now
            self._send(identity, [PING])

    def _send(self, identity: bytes, parts: list[Any]) -> bool:
        try:
            self._socket.send_multipart([identity, *parts], zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        except zmq.ZMQError:  # unreachable: it is disconnected
            del self._receivers[identity]
            return False
        return True

    def listen(self, timeout: float = 0.0) -> None:
        """Read the receivers' requests; with a ``timeout`` in seconds, wait for the first one."""
        waited = not self._socket.poll(0)
        wait = int(1000 * timeout) if waited else 0
        for _ in range(MAX_DRAINED):
            if not self._socket.poll(wait):
                break
            wait = 0
            identity, *parts = self._socket.recv_multipart()
            try:
                request = _REQUESTS.decode(b"".join(parts))
            except (ValueError, RecursionError):
                self.malformed += 1
                continue
            if identity not in self._receivers and len(self._receivers) >= MAX_RECEIVERS:
                continue
            receiver = self._receivers.setdefault(identity, _Receiver())
            if receiver.same_host and request.host != self._host:  # it could not map the planes
                receiver.unacknowledged.clear()
            receiver.credit, receiver.interactive = min(request.credit, QUEUE), request.interactive
            receiver.same_host = bool(request.host) and request.host == self._host
            receiver.on_request(request.sequence, request.needed, waited)


class FrameSubscriber(Socket):
    """A receiver's end of the frame link.

    ``endpoint``: ZeroMQ address of the publisher; ``keys``: CURVE pair or its folder, needed off this machine. Latest
    wins unless ``lockstep``. ``ahead`` (lock-step or ``interactive``): frames the simulator may produce before the next
    ``recv``; 0 = it waits for the receiver's next request. ``interactive``: these frames are driven by, so the bridge,
    as far as it keeps its rate, produces them when this receiver is free. ``shared=False``: no shared memory, even if
    the bridge is on this machine.
    """

    def __init__(
        self,
        endpoint: str,
        keys: str | Path | Keys | None = None,
        lockstep: bool = False,
        ahead: int = 1,
        interactive: bool = False,
        shared: bool = True,
    ) -> None:
        super().__init__(
            zmq.DEALER, endpoint, keys, False, watched=True, RCVHWM=SHARED_QUEUE, SNDHWM=QUEUE, MAXMSGSIZE=1 << 28
        )
        self.lockstep, self.ahead, self.interactive = lockstep, ahead, interactive
        self.received = 0  # frames handed out
        self.skipped = 0  # frames not handed out
        self.malformed = 0  # messages that violate the protocol
        self.error = ""  # why the last of them was rejected
        self._host = host_id() if shared else ""
        self._shm = ShmReader()
        self._newest = -1  # sequence of the newest frame that came
        self._delivered: tuple[int, Camera] | None = None  # sequence and camera of the frame handed out last
        self._requested_at = 0.0
        self._handed_out = time.monotonic()
        self._needed = 0.0  # s that the frame handed out last kept the caller busy
        self._request()

    def recv(self, timeout: float = 1.0) -> Frame | None:
        """The newest frame (in lock-step: the next), or None if none arrives within ``timeout`` seconds.

        ``frame.skipped`` counts the frames since the one handed out before, and ``frame.motion`` reaches back to that
        one. Planes are read-only views, of the message or of shared memory that is not overwritten while they are held.
        Raises ``LinkError`` in lock-step if a frame was lost.
        """
        until = time.monotonic() + timeout
        if not self._requested_at:
            self._needed = time.monotonic() - self._handed_out
            self._request()
        frames: list[Frame] = []
        while not frames:
            left = until - time.monotonic()
            if self._socket.poll(max(0, int(1000 * min(left, REQUEST_RETRY)))):
                frames = self._drain()
            elif left <= 0:
                return None
            if not frames and time.monotonic() - self._requested_at > REQUEST_RETRY:  # or never requested: 0.0
                self._request()
        return self._deliver(frames)

    def _request(self) -> None:
        self._requested_at = time.monotonic()
        request = Request(PROTOCOL, self.ahead + 1, self._newest, self._host, self.interactive, self._needed)
        with contextlib.suppress(zmq.Again):  # not connected yet, earlier requests are queued
            self._socket.send(msgspec.msgpack.encode(request), zmq.NOBLOCK)

    def _drain(self) -> list[Frame]:
        """All waiting frames, oldest first; in lock-step one of them."""
        frames: list[Frame] = []
        while len(frames) < (1 if self.lockstep else 2 * SHARED_QUEUE) and self._socket.poll(0):
            frame = self._read([part.buffer for part in self._socket.recv_multipart(copy=False)])
            if frame is None:
                continue
            frame.stamps["received"] = time.monotonic_ns()
            frames.append(frame)
            if frame.sequence <= self._newest:
                self._delivered = None  # the bridge was restarted
                del frames[:-1]
            self._newest = frame.sequence
        return frames

    def _read(self, parts: list[Any]) -> Frame | None:
        """The frame in a message, None if there is none or it has expired."""
        try:
            if len(parts) == 3 and parts[0] == SHARED:
                return self._map(parts[1], parts[2])
            if len(parts) != 1 or parts[0] != PING:
                return unpack(parts)
        except ProtocolError as error:
            self.malformed += 1
            self.error = str(error)
        return None

    def _map(self, header: Any, reference: Any) -> Frame | None:
        """The frame with planes in shared memory; None if they have been overwritten."""
        try:
            return unpack([TOPIC, header, *self._shm.map(reference)])
        except FrameExpired as expired:
            if expired.sequence is None:  # this process cannot map them at all
                self._host = ""
            else:
                self._newest = expired.sequence
            self._requested_at = 0.0  # the publisher waits for a request
        return None

    def _deliver(self, frames: list[Frame]) -> Frame:
        newest, before = frames[-1], self._delivered
        if before is not None:
            newest.skipped = newest.sequence - before[0] - 1
            self.skipped += newest.skipped
            if newest.skipped and self.lockstep:
                raise LinkError(f"{newest.skipped} frames were lost: start the bridge with --lockstep as well")
            if newest.skipped and "motion" in newest.planes:
                self._compose_motion(newest, frames[:-1], before[1])
        self.received += 1
        self._delivered = newest.sequence, newest.camera
        self._requested_at, self._handed_out = 0.0, time.monotonic()
        return newest

    def _compose_motion(self, newest: Frame, between: list[Frame], before: Camera) -> None:
        """Make the newest frame's motion refer to the frame handed out before."""
        size = newest.camera.width, newest.camera.height
        whole = all((f.camera.width, f.camera.height) == size and "motion" in f.planes for f in between)
        if whole and len(between) == newest.skipped <= MAX_COMPOSED:
            newest.planes["motion"] = compose(newest, between, before)
        elif "depth" in newest.planes:  # the chain is broken or long: static surfaces are right at least
            newest.planes["motion"] = reproject(newest.planes["depth"], newest.camera, before.pose)


class ControlSender(Socket):
    """The driver's end of the control link; only the newest control waits for a slow bridge."""

    def __init__(self, endpoint: str, keys: str | Path | Keys | None = None) -> None:
        super().__init__(zmq.PUSH, endpoint, keys, False, CONFLATE=1)
        self.driver = secrets.token_hex(8)

    def send(self, control: Control) -> None:
        """Stamp and send ``control``; never blocks."""
        control.stamp, control.driver = time.monotonic_ns(), self.driver
        with contextlib.suppress(zmq.Again):  # no bridge yet
            self._socket.send(pack_control(control), zmq.NOBLOCK)


class ControlReceiver(Socket):
    """The bridge's end of the control link."""

    def __init__(self, endpoint: str, keys: str | Path | Keys | None = None) -> None:
        super().__init__(zmq.PULL, endpoint, keys, True, RCVHWM=64, MAXMSGSIZE=1 << 16)
        self.malformed = 0  # messages that violate the protocol
        self.error = ""  # why the last of them was rejected
        self.drivers = Drivers()

    def newest(self, timeout: float = 0.0) -> Control | None:
        """The newest control of the driver since the last call, or None after ``timeout`` seconds."""
        control: Control | None = None
        wait = int(1000 * timeout)
        for _ in range(MAX_DRAINED):
            if not self._socket.poll(wait):
                break
            wait = 0
            parts = self._socket.recv_multipart()
            try:
                if len(parts) != 1:
                    raise ProtocolError(f"a control has one part, not {len(parts)}")
                control = self.drivers.take(unpack_control(parts[0])) or control
            except ProtocolError as error:
                self.malformed += 1
                self.error = str(error)
        return control
