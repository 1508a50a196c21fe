"""ZeroMQ links: frames from the bridge to its receivers, controls back.

Frames are sent from a ROUTER (publisher, binds) to DEALERs (subscribers, connect). PUB/SUB would suffice for driving
only, since it drops silently at its high-water mark. Here every subscriber grants credit for its next frame and
acknowledges the last one, and both delivery modes use the same socket pair:

* latest wins (driving): the publisher never waits in ``send``; the subscriber drains its queue, returns the newest
  frame and counts the skipped ones. Since ``motion`` refers to the previous frame, it is composed over skipped ones.
  ``free_at`` tells the pacing loop (``bridge.link.pacing``) when interactive subscribers can use another frame.
* lockstep (recording): the publisher waits until every subscriber has room, so no frame is lost. A subscriber requests
  ``ahead + 1`` frames: with ``ahead=1`` the simulator works on the next frame while this one is rendered.

Subscribers on the same machine get the planes through shared memory (``shared_memory.py``), with a reference in the
message; others get them as message parts. Controls are sent over PUSH/PULL, latest wins.
"""

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
from bridge.link.driver_arbitration import DriverArbiter
from bridge.link.durations import DurationEstimator
from bridge.link.frame_header import pack, pack_control, unpack, unpack_control
from bridge.link.motion import MAX_COMPOSED, refer_to_delivered
from bridge.link.shared_memory import FrameExpired, ShmReader, ShmRing, host_id
from bridge.link.sockets import Socket, control_endpoint, is_local
from bridge.messages import (
    MIRROR_PLANES,
    MIRRORS,
    PROTOCOL,
    TOPIC,
    Camera,
    Control,
    Frame,
    ProtocolError,
    mirror_frame,
)

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
SHARED_QUEUE = 64  # frames queued for one receiver that maps the planes from shared memory
SHARED = b"shared"  # topic of a frame whose planes are in shared memory
PING = b"alive?"
REQUEST_RETRY = 0.25  # s without a frame until a subscriber repeats its request, in case the publisher was restarted
PING_INTERVAL = 0.5  # s between connection checks of a receiver that takes no frames
_LOCKSTEP_LINGER = 1000  # ms for the last frames of a lockstep link to leave the process
MAX_RECEIVERS = 32
MAX_DRAINED = 256  # messages read in one go: a flood must not hold up the simulation


class Request(msgspec.Struct, array_like=True):
    """A receiver's request for its next frames, which acknowledges the last one."""

    protocol: Annotated[int, msgspec.Meta(ge=PROTOCOL, le=PROTOCOL)]
    credit: Annotated[int, msgspec.Meta(ge=1)]
    sequence: int  # of the last frame, -1: none yet
    host: str = ""  # host_id() of a receiver that can map shared memory
    interactive: bool = False
    needed: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] = 0.0  # s that the receiver spent on the last frame


_REQUESTS = msgspec.msgpack.Decoder(Request)


class LinkTimeout(LinkError):
    """The other side of a lockstep link does not respond."""


@dataclass
class _Receiver:
    """The publisher's state of one receiver."""

    credit: int = 1
    same_host: bool = False  # it maps planes from shared memory
    interactive: bool = False
    is_awaited: bool = True  # False once a tick has waited for it in vain, until its next request
    unacknowledged: deque[int] = field(default_factory=deque)  # sequences
    sent_at: float = 0.0  # s, when the newest of them was sent
    busy_since: float = 0.0  # s, when it began to process the oldest of them
    busy: DurationEstimator = field(default_factory=DurationEstimator)  # processing time per frame
    pinged_at: float = 0.0  # s

    def has_room(self) -> bool:
        return len(self.unacknowledged) < (SHARED_QUEUE if self.same_host else QUEUE)

    def free_at(self, lead: float) -> float:
        """Return when (s) to begin a frame that takes ``lead`` s to produce: -inf for now, inf for its next request."""
        if not self.interactive or not self.is_awaited or not self.unacknowledged:
            return -math.inf
        is_unknown = len(self.unacknowledged) >= self.credit or not self.busy.known
        return math.inf if is_unknown else self.busy_since + self.busy.p25 - lead

    def on_sent(self, sequence: int) -> None:
        """Record that a frame has been sent."""
        self.sent_at = time.monotonic()
        if not self.unacknowledged:
            self.busy_since = self.sent_at
        self.unacknowledged.append(sequence)

    def on_request(self, last: int, needed: float = 0.0, just_now: bool = True) -> None:
        """Record a request.

        Args:
            last: The newest frame that the receiver has taken.
            needed: Seconds that the receiver spent on it, 0 if unknown.
            just_now: Whether the request has just arrived. One that arrived while the next frame was being produced is
                read late, so its time of arrival is unknown.
        """
        self.is_awaited = True
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

    Args:
        endpoint: ZeroMQ address to bind.
        keys: CURVE pair or its folder; required for other machines.
        lockstep: Make ``wait`` block until every receiver (and at least one) has room. Otherwise no method ever blocks,
            and a receiver whose queue is full misses the frame.
        timeout: Limit for ``wait``, seconds.
    """

    def __init__(
        self, endpoint: str, keys: str | Path | Keys | None = None, lockstep: bool = False, timeout: float = 20.0
    ) -> None:
        self._ring = ShmRing()
        options = {"SNDHWM": SHARED_QUEUE, "RCVHWM": 64, "ROUTER_MANDATORY": 1, "MAXMSGSIZE": 4096}
        super().__init__(zmq.ROUTER, endpoint, keys, True, observable=True, **options)
        self.lockstep, self.timeout = lockstep, timeout
        self.linger = _LOCKSTEP_LINGER if lockstep else 0
        self.malformed = 0  # messages that violate the protocol
        self._receivers: dict[bytes, _Receiver] = {}
        self._host = host_id()

    @property
    def receivers(self) -> int:
        """The number of receivers that have sent a request and are not known to be disconnected."""
        return len(self._receivers)

    def wait(self, stop: Callable[[], bool] = lambda: False, all_taken: bool = False) -> None:
        """Return when all receivers have credit, or as soon as ``stop()`` is true; at once unless in lockstep.

        ``all_taken``: wait until they have taken every frame, even if they would let more be sent. Raises
        ``LinkTimeout`` if no receiver connects or one does not acknowledge within ``timeout``.
        """
        self.listen()
        if not self.lockstep:
            return
        started = time.monotonic()
        while not self._all_have_credit(all_taken) and not stop():
            if time.monotonic() - started > self.timeout:
                reason = "a receiver has not taken its frames" if self._receivers else "no receiver has connected"
                raise LinkTimeout(f"lockstep on {self.endpoint}: {reason} for {self.timeout:g} s; start it again")
            for identity, receiver in list(self._receivers.items()):
                self._ping(identity, receiver)
            self.listen(0.05)

    def free_at(self, lead: float) -> float:
        """Return when to begin a frame that takes ``lead`` seconds to produce, for the slowest interactive receiver.

        The result is in monotonic seconds: in the past if all are free now (or there are none), infinity until the next
        request.
        """
        return max((receiver.free_at(lead) for receiver in self._receivers.values()), default=-math.inf)

    def ignore_busy_receivers(self, lead: float) -> None:
        """Ignore receivers that are still busy in ``free_at``, until their next request; ``lead`` as there."""
        now = time.monotonic()
        for receiver in self._receivers.values():
            receiver.is_awaited = receiver.is_awaited and receiver.free_at(lead) <= now

    def send(self, frame: Frame, by_value: bool = False) -> None:
        """Stamp ``frame`` as sent and send it to all receivers; its planes may be reused afterwards.

        ``by_value``: not through shared memory, so that it can be received after this process has ended.
        """
        self.listen()
        frame.stamps["sent"] = time.monotonic_ns()
        topic, header, *planes = pack(frame)
        shared = None if by_value else self._share(frame, header, planes)
        complete: list[Any] = []
        for identity, receiver in list(self._receivers.items()):
            if not receiver.has_room():
                self._ping(identity, receiver)
                continue
            if (not receiver.same_host or shared is None) and not complete:  # one copy for all receivers
                complete = [zmq.Frame(part, copy=True) for part in (topic, header, *planes)]
            if self._send(identity, shared if receiver.same_host and shared else complete):
                receiver.on_sent(frame.sequence)

    def close(self) -> None:
        """Close; in lockstep, after the last frame has been sent. May be called again."""
        super().close()
        self._ring.close()

    def _share(self, frame: Frame, header: bytes, planes: list[Any]) -> list[bytes] | None:
        """Return the message that refers to the planes in shared memory; None without local receivers or free slots."""
        local = [receiver for receiver in self._receivers.values() if receiver.same_host]
        if not local:
            return None
        done = min(
            (receiver.unacknowledged[0] for receiver in local if receiver.unacknowledged), default=frame.sequence
        )
        reference = self._ring.put(frame.sequence, planes, done, keep=self.lockstep)
        return None if reference is None else [SHARED, header, reference]

    def _all_have_credit(self, all_taken: bool = False) -> bool:
        return bool(self._receivers) and all(
            len(each.unacknowledged) < (1 if all_taken else each.credit) for each in self._receivers.values()
        )

    def _ping(self, identity: bytes, receiver: _Receiver) -> None:
        """Check at intervals whether a receiver that takes no frames is disconnected, in which case sending fails."""
        now = time.monotonic()
        if now - receiver.pinged_at > PING_INTERVAL:
            receiver.pinged_at = now
            self._send(identity, [PING])

    def _send(self, identity: bytes, parts: list[Any]) -> bool:
        try:
            self._socket.send_multipart([identity, *parts], zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        except zmq.ZMQError:  # disconnected
            del self._receivers[identity]
            return False
        return True

    def listen(self, timeout: float = 0.0) -> None:
        """Read the receivers' requests; wait up to ``timeout`` seconds for the first one."""
        has_waited = not self._socket.poll(0)
        wait = int(1000 * timeout) if has_waited else 0
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
            if receiver.same_host and request.host != self._host:  # it failed to map the planes
                receiver.unacknowledged.clear()
            receiver.credit, receiver.interactive = min(request.credit, QUEUE), request.interactive
            receiver.same_host = bool(request.host) and request.host == self._host
            receiver.on_request(request.sequence, request.needed, has_waited)


@dataclass
class _MirrorPast:
    """What a mirror's motion refers to."""

    camera: Camera | None = None  # of its last image returned
    missed: list[Frame] = field(default_factory=list)  # its frames that have not been returned since
    lost: bool = False  # whether there may have been more of them


class FrameSubscriber(Socket):
    """A receiver's end of the frame link.

    Args:
        endpoint: ZeroMQ address of the publisher.
        keys: CURVE pair or its folder; required for other machines.
        lockstep: Receive every frame; otherwise latest wins.
        ahead: With ``lockstep`` or ``interactive``, frames that the simulator may produce before the next ``recv``;
            0 = it waits for this receiver's next request.
        interactive: A driver watches these frames, so the bridge produces them when this receiver is free, as far as
            its rate allows.
        shared: Whether to use shared memory if the bridge is on this machine.
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
            zmq.DEALER, endpoint, keys, False, observable=True, RCVHWM=SHARED_QUEUE, SNDHWM=QUEUE, MAXMSGSIZE=1 << 28
        )
        self.lockstep, self.ahead, self.interactive = lockstep, ahead, interactive
        self.received = 0  # frames returned by recv
        self.skipped = 0  # frames not returned
        self.malformed = 0  # messages that violate the protocol
        self.error = ""  # why the last of them was rejected
        self._host = host_id() if shared else ""
        self._shm = ShmReader()
        self._newest = -1  # sequence of the newest frame that has arrived
        self._delivered: tuple[int, Camera] | None = None  # sequence and camera of the last frame returned
        self._mirrors = {name: _MirrorPast() for name in MIRRORS}
        self._requested_at = 0.0
        self._delivered_at = time.monotonic()
        self._needed = 0.0  # s that the caller spent on the last frame returned
        self._request()

    def recv(self, timeout: float = 1.0) -> Frame | None:
        """Return the newest frame (in lockstep, the next), or None if none arrives within ``timeout`` seconds.

        ``frame.skipped`` counts the frames since the last one returned, and ``frame.motion`` refers to that one. Planes
        are read-only views, of the message or of shared memory that is not overwritten while they are held. Raises
        ``LinkError`` in lockstep if a frame was lost.
        """
        until = time.monotonic() + timeout
        if not self._requested_at:
            self._needed = time.monotonic() - self._delivered_at
            self._request()
        frames: list[Frame] = []
        while not frames:
            remaining = until - time.monotonic()
            if self._socket.poll(max(0, int(1000 * min(remaining, REQUEST_RETRY)))):
                frames = self._drain()
            elif remaining <= 0:
                return None
            if not frames and time.monotonic() - self._requested_at > REQUEST_RETRY:  # or never requested: 0.0
                self._request()
        return self._deliver(frames)

    def _request(self) -> None:
        self._requested_at = time.monotonic()
        request = Request(PROTOCOL, self.ahead + 1, self._newest, self._host, self.interactive, self._needed)
        with contextlib.suppress(zmq.Again):  # not connected yet, and earlier requests are still queued
            self._socket.send(msgspec.msgpack.encode(request), zmq.NOBLOCK)

    def _drain(self) -> list[Frame]:
        """Return all queued frames, oldest first; in lockstep, only the first."""
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
        """Return the frame in a message, None if it contains none or the frame has expired."""
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
        """Return the frame with planes in shared memory; None if they have been overwritten."""
        try:
            return unpack([TOPIC, header, *self._shm.map(reference)])
        except FrameExpired as expired:
            if expired.sequence is None:  # this process cannot map them at all
                self._host = ""
            else:
                self._newest = expired.sequence
            self._requested_at = 0.0  # send a new request, which the publisher waits for
        return None

    def _deliver(self, frames: list[Frame]) -> Frame:
        newest, before = frames[-1], self._delivered
        if before is not None:
            newest.skipped = newest.sequence - before[0] - 1
            self.skipped += newest.skipped
            if newest.skipped and self.lockstep:
                raise LinkError(f"{newest.skipped} frames were lost: start the bridge with --lockstep as well")
            if newest.skipped:
                refer_to_delivered(newest, frames[:-1], before[1])
        self._deliver_mirror(newest, frames[:-1])
        self.received += 1
        self._delivered = newest.sequence, newest.camera
        self._requested_at, self._delivered_at = 0.0, time.monotonic()
        return newest

    def _deliver_mirror(self, newest: Frame, between: list[Frame]) -> None:
        """Make the motion in the mirror of the newest frame, if it has one, refer to its last image returned."""
        for frame in between:
            own = mirror_frame(frame)
            if frame.mirror is not None and own is not None:
                own.planes = {name: plane.copy() for name, plane in own.planes.items()}  # shared memory is reused
                past = self._mirrors[frame.mirror.name]
                past.missed = [*past.missed, own][-MAX_COMPOSED - 1 :]  # more are not composed
        for past in self._mirrors.values():
            past.lost |= newest.skipped > len(between)
        own = mirror_frame(newest)
        if newest.mirror is None or own is None:
            return
        past = self._mirrors[newest.mirror.name]
        own.skipped = len(past.missed) + past.lost
        if own.skipped and past.camera is not None:
            refer_to_delivered(own, past.missed, past.camera)
            newest.planes |= {name: own.planes[plane] for name, plane in MIRROR_PLANES.items() if plane in own.planes}
        self._mirrors[newest.mirror.name] = _MirrorPast(own.camera)


class ControlSender(Socket):
    """The driver's end of the control link; only the newest control is queued for a slow bridge."""

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
        self.drivers = DriverArbiter()

    def newest(self, timeout: float = 0.0) -> Control | None:
        """Return the driver's newest control since the last call, or None after ``timeout`` seconds."""
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
                control = self.drivers.accept(unpack_control(parts[0])) or control
            except ProtocolError as error:
                self.malformed += 1
                self.error = str(error)
        return control
