"""ZeroMQ links: frames from the bridge to its receivers, controls back.

Frames go from a ROUTER (publisher, binds) to DEALERs (subscribers, connect). PUB/SUB would do for driving only: it
drops at its high-water mark without telling anybody. Here every subscriber says when it is free for its next frame and
what it took last, and both deliveries are the same socket pair:

* latest wins (driving): the publisher never waits in ``send``; the subscriber drains its queue, hands out the newest
  frame and counts the skipped ones. Since ``motion`` refers to the frame before, it is composed over skipped ones.
  ``free_at`` tells a loop that keeps time (``bridge.link.pacing``) when interactive subscribers can use another frame.
* lock-step (recording): the publisher waits until every subscriber has room, so none is lost. A subscriber asks for
  ``ahead + 1`` frames: with ``ahead=1`` the simulator works on the next frame while this one is painted.

Planes reach subscribers on the same machine through memory (``shared.py``), with the message as the notice; others
get them as parts of it. Controls go over PUSH/PULL, the newest wins.
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
from typing import Any

import msgpack
import zmq

from bridge.link.drivers import Drivers
from bridge.link.durations import Habit
from bridge.link.motion import compose, reproject
from bridge.link.shared import Gone, Slots, Windows, neighbourhood
from bridge.link.sockets import Keys, LinkError, Socket, control_endpoint, generate_keys, is_local, load_keys
from bridge.messages import (
    NOT_MSGPACK,
    PROTOCOL,
    TOPIC,
    Camera,
    Control,
    Frame,
    ProtocolError,
    pack,
    pack_control,
    unpack,
    unpack_control,
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
    "is_local",
    "load_keys",
]

QUEUE = 8  # frames with their planes that may wait for one receiver, about 1.5 MB each at 512x256
NOTICES = 64  # frames that may wait for one that finds the planes in memory
SHARED = b"shared"  # topic of a frame whose planes are to be found in memory
ALIVE = b"alive?"
ASK_AGAIN = 0.25  # s without a frame until a subscriber asks again: heals a publisher's restart
PROBE = 0.5  # s between looks whether a receiver that takes nothing is there at all
MAX_RECEIVERS = 32
FLOOD = 256  # messages that are taken in at once: who sends more than that must not hold up the simulation
CHAIN = 4  # skipped frames whose motion is put together exactly: each costs a pass, and being late must not make later


class LinkTimeout(LinkError):
    """The other side of a lock-step link went silent."""


@dataclass
class _Receiver:
    """What the publisher knows of one."""

    credit: int = 1
    near: bool = False  # it finds planes in memory
    interactive: bool = False
    awaited: bool = True  # until it lets a tick wait in vain
    unacknowledged: deque[int] = field(default_factory=deque)  # sequences
    given: float = 0.0  # s, when the newest of them was sent
    since: float = 0.0  # s, when it began with the oldest of them
    busy: Habit = field(default_factory=Habit)  # with one
    probed: float = 0.0  # s

    def has_room(self) -> bool:
        return len(self.unacknowledged) < (NOTICES if self.near else QUEUE)

    def free_at(self, lead: float) -> float:
        """When to begin a frame that takes ``lead`` seconds to make: s, the past if now, infinity if it will tell."""
        if not self.interactive or not self.awaited or not self.unacknowledged:
            return -math.inf
        told = len(self.unacknowledged) >= self.credit or not self.busy.known
        return math.inf if told else self.since + self.busy.short - lead

    def gave(self, sequence: int) -> None:
        """A frame is on its way."""
        self.given = time.monotonic()
        if not self.unacknowledged:
            self.since = self.given
        self.unacknowledged.append(sequence)

    def took(self, last: int, needed: float = 0.0, just_now: bool = True) -> None:
        """It is free, and ``last`` is the newest frame it has taken; it was busy with that for ``needed`` s, if told.

        A word that comes while the next frame is being made is only heard afterwards, not ``just_now``: what it says
        counts then, not when.
        """
        self.awaited = True
        if last not in self.unacknowledged:
            return
        while self.unacknowledged.popleft() != last:
            pass
        now = time.monotonic()
        needed = needed or now - self.since
        self.busy.took(needed)
        self.since = now if just_now else min(now, max(self.since + needed, self.given))


class FramePublisher(Socket):
    """The bridge's end of the frame link.

    ``lockstep`` makes ``wait`` hold until every receiver (and at least one) has room; ``timeout`` in seconds bounds
    it. Without it nothing here ever blocks: a receiver whose queue is full misses the frame.
    """

    def __init__(
        self, endpoint: str, keys: str | Path | Keys | None = None, lockstep: bool = False, timeout: float = 20.0
    ) -> None:
        self._slots = Slots()
        options = {"SNDHWM": NOTICES, "RCVHWM": 64, "ROUTER_MANDATORY": 1, "MAXMSGSIZE": 4096}
        super().__init__(zmq.ROUTER, endpoint, keys, True, **options)
        self.lockstep, self.timeout = lockstep, timeout
        self.malformed = 0  # messages that were none of ours
        self._receivers: dict[bytes, _Receiver] = {}
        self._here = neighbourhood()

    @property
    def receivers(self) -> int:
        """How many are connected, as far as known."""
        return len(self._receivers)

    def wait(self, stop: Callable[[], bool] = lambda: False) -> None:
        """In lock-step: return when all receivers may get a frame, or as soon as ``stop()`` is true; else at once.

        Raises ``LinkTimeout`` if no receiver comes or one does not acknowledge within ``timeout``.
        """
        self.listen()
        if not self.lockstep:
            return
        begun = time.monotonic()
        while not self._ready() and not stop():
            if time.monotonic() - begun > self.timeout:
                who = "a receiver does not take its frames" if self._receivers else "no receiver came"
                raise LinkTimeout(f"lock-step on {self.endpoint}: {who} for {self.timeout:g} s; start it again")
            for identity, receiver in list(self._receivers.items()):
                self._probe(identity, receiver)
            self.listen(0.05)

    def free_at(self, lead: float) -> float:
        """When a frame that takes ``lead`` seconds to make should be begun, for the slowest interactive receiver.

        Monotonic seconds; in the past if all are free now (or there are none), infinity while only they can tell.
        """
        return max((receiver.free_at(lead) for receiver in self._receivers.values()), default=-math.inf)

    def give_up(self, lead: float) -> None:
        """Time is up: whoever is not free yet is not waited for until it is heard of again."""
        now = time.monotonic()
        for receiver in self._receivers.values():
            receiver.awaited = receiver.awaited and receiver.free_at(lead) <= now

    def send(self, frame: Frame) -> None:
        """Stamp ``frame`` as sent and send it to all receivers; its planes may be reused afterwards."""
        self.listen()
        frame.stamps["sent"] = time.monotonic_ns()
        topic, header, *planes = pack(frame)
        notice = self._share(frame, header, planes)
        whole: list[Any] = []
        for identity, receiver in list(self._receivers.items()):
            if not receiver.has_room():
                self._probe(identity, receiver)
                continue
            if (not receiver.near or notice is None) and not whole:  # one copy for all of them
                whole = [zmq.Frame(part, copy=True) for part in (topic, header, *planes)]
            if self._send(identity, notice if receiver.near and notice else whole):
                receiver.gave(frame.sequence)

    def close(self) -> None:
        """Close at once; what was not sent yet is dropped. May be called again."""
        super().close()
        self._slots.close()

    def _share(self, frame: Frame, header: bytes, planes: list[Any]) -> list[bytes] | None:
        """Put the planes where those who are near find them; None if nobody is, or there is no room."""
        near = [receiver for receiver in self._receivers.values() if receiver.near]
        if not near:
            return None
        done = min((receiver.unacknowledged[0] for receiver in near if receiver.unacknowledged), default=frame.sequence)
        reference = self._slots.put(frame.sequence, planes, done, keep=self.lockstep)
        return None if reference is None else [SHARED, header, reference]

    def _ready(self) -> bool:
        return bool(self._receivers) and all(len(r.unacknowledged) < r.credit for r in self._receivers.values())

    def _probe(self, identity: bytes, receiver: _Receiver) -> None:
        """Find out now and then whether one that takes nothing has gone: sending to it fails."""
        now = time.monotonic()
        if now - receiver.probed > PROBE:
            receiver.probed = now
            self._send(identity, [ALIVE])

    def _send(self, identity: bytes, parts: list[Any]) -> bool:
        try:
            self._socket.send_multipart([identity, *parts], zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        except zmq.ZMQError:  # unreachable: it has gone
            del self._receivers[identity]
            return False
        return True

    def listen(self, timeout: float = 0.0) -> None:
        """Take in what receivers say; with a ``timeout`` in seconds, wait for the first to say something.

        A msgpack array: version, credit, last sequence (-1: none yet), and from those who know: neighbourhood,
        interactive, seconds that the last frame kept it busy.
        """
        waited = not self._socket.poll(0)
        wait = int(1000 * timeout) if waited else 0
        for _ in range(FLOOD):
            if not self._socket.poll(wait):
                break
            wait = 0
            identity, *parts = self._socket.recv_multipart()
            try:
                version, credit, sequence, *more = msgpack.unpackb(b"".join(parts))
                near, interactive, needed = more or ("", False, 0.0)
                known = type(credit) is int and type(sequence) is int and isinstance(needed, float | int)
                if version != PROTOCOL or not known or credit < 1 or not 0.0 <= needed < math.inf:
                    raise ProtocolError("not an acknowledgement")
            except NOT_MSGPACK:
                self.malformed += 1
                continue
            if identity not in self._receivers and len(self._receivers) >= MAX_RECEIVERS:
                continue
            receiver = self._receivers.setdefault(identity, _Receiver())
            if receiver.near and near != self._here:  # it could not find them
                receiver.unacknowledged.clear()
            receiver.credit, receiver.interactive = min(credit, QUEUE), interactive is True
            receiver.near = bool(near) and near == self._here
            receiver.took(sequence, needed, waited)


class FrameSubscriber(Socket):
    """A receiver's end of the frame link.

    Latest wins unless ``lockstep``. ``ahead`` (lock-step or ``interactive``): frames the simulator may work on before
    the next ``recv``; 0 = it waits until the receiver asks again. ``interactive``: somebody drives by these frames, so
    the bridge, as far as it keeps its rate, makes them when this receiver is free. ``shared=False``: no planes through
    memory, though the bridge be on this machine.
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
        super().__init__(zmq.DEALER, endpoint, keys, False, RCVHWM=NOTICES, SNDHWM=QUEUE, MAXMSGSIZE=1 << 28)
        self.lockstep, self.ahead, self.interactive = lockstep, ahead, interactive
        self.received = 0  # frames handed out
        self.skipped = 0  # frames not handed out
        self.malformed = 0  # messages that were none of ours
        self.error = ""  # why the last of them was refused
        self._near = neighbourhood() if shared else ""
        self._windows = Windows()
        self._newest = -1  # sequence of the newest frame that came
        self._delivered: tuple[int, Camera] | None = None  # sequence and camera of the frame handed out last
        self._asked = 0.0
        self._handed_out = time.monotonic()
        self._needed = 0.0  # s that the frame handed out last kept the caller busy
        self._ask()

    def recv(self, timeout: float = 1.0) -> Frame | None:
        """The newest frame (in lock-step: the next), or None if none comes within ``timeout`` seconds.

        ``frame.skipped`` counts the frames since the one handed out before, and ``frame.motion`` reaches back to that
        one. Planes are read-only views, of the message or of memory that stays as it is while they are held. Raises
        ``LinkError`` in lock-step if a frame was lost.
        """
        until = time.monotonic() + timeout
        if not self._asked:
            self._needed = time.monotonic() - self._handed_out
            self._ask()
        frames: list[Frame] = []
        while not frames:
            left = until - time.monotonic()
            if self._socket.poll(max(0, int(1000 * min(left, ASK_AGAIN)))):
                frames = self._drain()
            elif left <= 0:
                return None
            if not frames and time.monotonic() - self._asked > ASK_AGAIN:  # or never, since 0.0
                self._ask()
        return self._deliver(frames)

    def _ask(self) -> None:
        self._asked = time.monotonic()
        ask = PROTOCOL, self.ahead + 1, self._newest, self._near, self.interactive, self._needed
        with contextlib.suppress(zmq.Again):  # not connected yet, earlier asks are waiting
            self._socket.send(msgpack.packb(ask), zmq.NOBLOCK)

    def _drain(self) -> list[Frame]:
        """All waiting frames, oldest first; in lock-step one of them."""
        frames: list[Frame] = []
        while len(frames) < (1 if self.lockstep else 2 * NOTICES) and self._socket.poll(0):
            frame = self._read([part.buffer for part in self._socket.recv_multipart(copy=False)])
            if frame is None:
                continue
            frame.stamps["received"] = time.monotonic_ns()
            frames.append(frame)
            if frame.sequence <= self._newest:
                self._delivered = None  # the bridge began anew
                del frames[:-1]
            self._newest = frame.sequence
        return frames

    def _read(self, parts: list[Any]) -> Frame | None:
        """The frame in a message, None if there is none (any more)."""
        try:
            if len(parts) == 3 and parts[0] == SHARED:
                return self._find(parts[1], parts[2])
            if len(parts) != 1 or parts[0] != ALIVE:
                return unpack(parts)
        except ProtocolError as error:
            self.malformed += 1
            self.error = str(error)
        return None

    def _find(self, header: Any, reference: Any) -> Frame | None:
        """The frame with planes in memory; None if they are no longer there."""
        try:
            return unpack([TOPIC, header, *self._windows.look(reference)])
        except Gone as gone:
            if gone.sequence is None:  # they never were, for this process
                self._near = ""
            else:
                self._newest = gone.sequence
            self._asked = 0.0  # the publisher waits for a word
        return None

    def _deliver(self, frames: list[Frame]) -> Frame:
        newest, before = frames[-1], self._delivered
        if before is not None:
            newest.skipped = newest.sequence - before[0] - 1
            self.skipped += newest.skipped
            if newest.skipped and self.lockstep:
                raise LinkError(f"{newest.skipped} frames were lost: start the bridge with --lockstep as well")
            if newest.skipped and "motion" in newest.planes:
                self._reach_back(newest, frames[:-1], before[1])
        self.received += 1
        self._delivered = newest.sequence, newest.camera
        self._asked, self._handed_out = 0.0, time.monotonic()
        return newest

    def _reach_back(self, newest: Frame, between: list[Frame], before: Camera) -> None:
        """Let the newest frame's motion refer to the frame handed out before."""
        size = newest.camera.width, newest.camera.height
        whole = all((f.camera.width, f.camera.height) == size and "motion" in f.planes for f in between)
        if whole and len(between) == newest.skipped <= CHAIN:
            newest.planes["motion"] = compose(newest, between, before)
        elif "depth" in newest.planes:  # the chain is broken or long: what stands still is right at least
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
        self.malformed = 0  # messages that were none of ours
        self.error = ""  # why the last of them was refused
        self.drivers = Drivers()

    def newest(self, timeout: float = 0.0) -> Control | None:
        """The newest control of the one who drives since the last call, or None after ``timeout`` seconds."""
        control: Control | None = None
        wait = int(1000 * timeout)
        for _ in range(FLOOD):
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
