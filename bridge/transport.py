"""ZeroMQ links: frames from the bridge to its receivers, controls back.

Frames go from a ROUTER (publisher, binds) to DEALERs (subscribers, connect). PUB/SUB would do for driving only: it
drops at its high-water mark without telling anybody. Here every subscriber acknowledges what it took, and both
deliveries are the same socket pair:

* latest wins (driving): the publisher sends and never waits; the subscriber drains its queue, hands out the newest
  frame and counts the skipped ones. Since ``motion`` refers to the frame before, it is composed over skipped ones.
* lock-step (recording): the publisher waits until every subscriber has room, so none is lost. A subscriber asks for
  ``ahead + 1`` frames: with ``ahead=1`` the simulator works on the next frame while this one is painted.

Controls go over PUSH/PULL, the newest wins. Addresses other than loopback and ``ipc://`` need CURVE keys: one pair made
by ``generate_keys``, its folder copied to both machines; only who has the secret may watch or drive.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgpack
import zmq
from zmq.auth.thread import ThreadAuthenticator

from bridge.messages import (
    NOT_MSGPACK,
    PROTOCOL,
    Control,
    Frame,
    ProtocolError,
    pack,
    pack_control,
    unpack,
    unpack_control,
)
from bridge.motion import compose, reproject

if TYPE_CHECKING:
    from typing_extensions import Self

QUEUE = 8  # frames that may wait on each side of a link, about 1.5 MB each at 512x256
ASK_AGAIN = 0.25  # s without a frame until a subscriber asks again: heals a publisher's restart
MAX_RECEIVERS = 32


class LinkError(RuntimeError):
    """A link cannot be made or kept; one line says what to do."""


class LinkTimeout(LinkError):
    """The other side of a lock-step link went silent."""


@dataclass(frozen=True)
class Keys:
    """A CURVE key pair, z85 text of 40 characters each."""

    public: bytes
    secret: bytes


def generate_keys(folder: str | Path) -> Path:
    """Write a new CURVE pair as ``folder/public`` and ``folder/secret`` (mode 0600), for both ends of a link.

    Raises ``LinkError`` if the folder holds keys already or cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, key in zip(("public", "secret"), zmq.curve_keypair(), strict=True):
            with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(key + b"\n")
    except FileExistsError:
        raise LinkError(f"{folder} holds keys already; name another folder") from None
    except OSError as error:
        raise LinkError(f"cannot write keys to {folder}: {error.strerror}") from None
    return folder


def load_keys(folder: str | Path) -> Keys:
    """The pair in ``folder``. Raises ``LinkError`` if it is missing or damaged."""
    try:
        public, secret = ((Path(folder) / name).read_bytes().strip() for name in ("public", "secret"))
        whole = zmq.curve_public(secret) == public
    except OSError:
        raise LinkError(f"no keys in {folder}; make some with `neuralsim keys new`") from None
    except (zmq.ZMQError, ValueError):
        whole = False
    if not whole:
        raise LinkError(f"the keys in {folder} are damaged; copy both files again")
    return Keys(public, secret)


def control_endpoint(endpoint: str) -> str:
    """Where controls go when only the frames' endpoint was named: the next TCP port, or the path + ``.control``."""
    match = re.fullmatch(r"(tcp://.*):(\d+)", endpoint)
    return f"{match[1]}:{int(match[2]) + 1}" if match else endpoint + ".control"


def is_local(endpoint: str) -> bool:
    """True for ``ipc://`` and loopback addresses. Raises ``LinkError`` for anything that is not an endpoint."""
    if endpoint.startswith("ipc://") and len(endpoint) > len("ipc://"):
        return True
    match = re.fullmatch(r"tcp://(?:\[(.+)\]|([^:]+)):(\d+|\*)", endpoint)
    if not match or (match[3] != "*" and int(match[3]) > 65535):
        raise LinkError(f"{endpoint!r} is no endpoint; use tcp://HOST:PORT or ipc://PATH")
    host = match[1] or match[2]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "lo")


class _Socket:
    """One ZeroMQ socket with its context: bound or connected, encrypted when there are keys, closed without linger."""

    def __init__(self, kind: int, endpoint: str, keys: str | Path | Keys | None, bind: bool, **options: int) -> None:
        if not is_local(endpoint) and keys is None:
            raise LinkError(f"{endpoint} is not on this machine: encrypted links only, give the keys' folder (--keys)")
        pair = keys if isinstance(keys, Keys) or keys is None else load_keys(keys)
        if bind and endpoint.startswith("ipc://"):
            _refuse_taken(endpoint)
        self._context = zmq.Context()
        self._guard: ThreadAuthenticator | None = None
        self._socket: zmq.Socket[bytes] = self._context.socket(kind)
        try:
            # No ZMTP heartbeats: libzmq 4.3.5 aborts when one meets a full queue whose peer has gone.
            keepalive = {"TCP_KEEPALIVE": 1, "TCP_KEEPALIVE_IDLE": 5, "TCP_KEEPALIVE_INTVL": 2, "TCP_KEEPALIVE_CNT": 3}
            settings = {"LINGER": 0, "IPV6": int("[" in endpoint), **keepalive}
            for name, value in {**settings, **options}.items():
                self._socket.setsockopt(getattr(zmq, name), value)
            if pair is not None:
                self._encrypt(pair, bind)
            if bind:
                self._socket.bind(re.sub(r"^(tcp://.*):0$", r"\1:*", endpoint))
            else:
                self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            verb, advice = ("bind", "choose another address") if bind else ("connect to", "check the address")
            reason = zmq.strerror(error.errno or 0).lower()
            raise LinkError(f"cannot {verb} {endpoint}: {reason}; {advice}") from None
        #: The endpoint with its real port.
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def _encrypt(self, pair: Keys, server: bool) -> None:
        self._socket.curve_publickey, self._socket.curve_secretkey = pair.public, pair.secret
        if not server:
            self._socket.curve_serverkey = pair.public
            return
        self._socket.curve_server = True
        self._guard = ThreadAuthenticator(self._context)
        self._guard.start()
        self._guard.configure_curve_callback("*", credentials_provider=_OnlyHolders(pair))

    def close(self) -> None:
        """Close at once; what was not sent yet is dropped. May be called again."""
        self._socket.close(linger=0)
        if self._guard is not None:
            self._guard.stop()
            self._guard = None
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _OnlyHolders:
    """Lets in who proves to hold the same pair (ZeroMQ's authentication callback)."""

    def __init__(self, pair: Keys) -> None:
        self._public = pair.public

    def callback(self, domain: str, key: bytes) -> bool:
        return key == self._public


def _refuse_taken(endpoint: str) -> None:
    """ZeroMQ would take an ``ipc`` path away from a living process without a word."""
    path = endpoint.removeprefix("ipc://")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect("\0" + path[1:] if path.startswith("@") else path)
        except OSError:
            return
    raise LinkError(f"cannot bind {endpoint}: address already in use; choose another address")


@dataclass
class _Receiver:
    credit: int
    unacknowledged: deque[int] = field(default_factory=deque)  # sequences


class FramePublisher(_Socket):
    """The bridge's end of the frame link.

    ``lockstep`` makes ``wait`` hold until every receiver (and at least one) has room; ``timeout`` in seconds bounds
    it. Without it nothing here ever blocks: a receiver whose queue is full misses the frame.
    """

    def __init__(
        self, endpoint: str, keys: str | Path | Keys | None = None, lockstep: bool = False, timeout: float = 20.0
    ) -> None:
        super().__init__(zmq.ROUTER, endpoint, keys, True, SNDHWM=QUEUE, RCVHWM=64, ROUTER_MANDATORY=1, MAXMSGSIZE=4096)
        self.lockstep, self.timeout = lockstep, timeout
        self.malformed = 0  # messages that were none of ours
        self._receivers: dict[bytes, _Receiver] = {}

    @property
    def receivers(self) -> int:
        """How many are connected, as far as known."""
        return len(self._receivers)

    def wait(self, stop: Callable[[], bool] = lambda: False) -> None:
        """In lock-step: return when all receivers may get a frame, or as soon as ``stop()`` is true; else at once.

        Raises ``LinkTimeout`` if no receiver comes or one does not acknowledge within ``timeout``.
        """
        self._listen()
        if not self.lockstep:
            return
        begun = probed = time.monotonic()
        while not self._ready() and not stop():
            now = time.monotonic()
            if now - begun > self.timeout:
                who = "a receiver does not take its frames" if self._receivers else "no receiver came"
                raise LinkTimeout(f"lock-step on {self.endpoint}: {who} for {self.timeout:g} s; start it again")
            if now - probed > 0.5:
                probed = now
                for identity in list(self._receivers):
                    self._send(identity, [b"alive?"])
            self._socket.poll(50)
            self._listen()

    def send(self, frame: Frame) -> None:
        """Stamp ``frame`` as sent and send it to all receivers; its planes may be reused afterwards."""
        self._listen()
        frame.stamps["sent"] = time.monotonic_ns()
        parts = pack(frame)
        for identity, receiver in list(self._receivers.items()):
            if self._send(identity, parts):
                receiver.unacknowledged.append(frame.sequence)
                if len(receiver.unacknowledged) > 4 * QUEUE:
                    receiver.unacknowledged.popleft()

    def _ready(self) -> bool:
        return bool(self._receivers) and all(len(r.unacknowledged) < r.credit for r in self._receivers.values())

    def _send(self, identity: bytes, parts: list[Any]) -> bool:
        try:
            self._socket.send_multipart([identity, *parts], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError:  # unreachable: it has gone
            del self._receivers[identity]
            return False
        return True

    def _listen(self) -> None:
        """Take in all acknowledgements: a msgpack array of version, credit, last sequence (-1: none yet)."""
        while self._socket.poll(0):
            identity, *parts = self._socket.recv_multipart()
            try:
                version, credit, sequence = msgpack.unpackb(b"".join(parts))
                if version != PROTOCOL or type(credit) is not int or type(sequence) is not int or credit < 1:
                    raise ProtocolError("not an acknowledgement")
            except NOT_MSGPACK:
                self.malformed += 1
                continue
            if identity not in self._receivers and len(self._receivers) >= MAX_RECEIVERS:
                continue
            receiver = self._receivers.setdefault(identity, _Receiver(min(credit, QUEUE)))
            if sequence in receiver.unacknowledged:
                while receiver.unacknowledged.popleft() != sequence:
                    pass


class FrameSubscriber(_Socket):
    """A receiver's end of the frame link.

    Latest wins unless ``lockstep``. ``ahead`` (lock-step): frames the simulator may work on before the next ``recv``;
    0 = it waits until the receiver asks again.
    """

    def __init__(
        self, endpoint: str, keys: str | Path | Keys | None = None, lockstep: bool = False, ahead: int = 1
    ) -> None:
        super().__init__(zmq.DEALER, endpoint, keys, False, RCVHWM=QUEUE, SNDHWM=QUEUE, MAXMSGSIZE=1 << 28)
        self.lockstep, self.ahead = lockstep, ahead
        self.received = 0  # frames handed out
        self.skipped = 0  # frames not handed out
        self.malformed = 0  # messages that were none of ours
        self.error = ""  # why the last of them was refused
        self._last: Frame | None = None  # newest that came
        self._delivered: Frame | None = None
        self._asked = 0.0
        self._ask()

    def recv(self, timeout: float = 1.0) -> Frame | None:
        """The newest frame (in lock-step: the next), or None if none comes within ``timeout`` seconds.

        ``frame.skipped`` counts the frames since the one handed out before, and ``frame.motion`` reaches back to that
        one. Planes are read-only views into the message. Raises ``LinkError`` in lock-step if a frame was lost.
        """
        until = time.monotonic() + timeout
        if self.lockstep and self._delivered is not None:
            self._ask()
        frames: list[Frame] = []
        while not frames:
            left = until - time.monotonic()
            if self._socket.poll(max(0, int(1000 * min(left, ASK_AGAIN)))):
                frames = self._drain()
            elif left <= 0:
                return None
            if not frames and time.monotonic() - self._asked > ASK_AGAIN:
                self._ask()
        return self._deliver(frames)

    def _ask(self) -> None:
        last = self._last.sequence if self._last is not None else -1
        self._asked = time.monotonic()
        with contextlib.suppress(zmq.Again):  # not connected yet, earlier asks are waiting
            self._socket.send(msgpack.packb((PROTOCOL, self.ahead + 1, last)), zmq.NOBLOCK)

    def _drain(self) -> list[Frame]:
        """All waiting frames, oldest first; in lock-step one of them."""
        frames: list[Frame] = []
        while len(frames) < (1 if self.lockstep else 2 * QUEUE) and self._socket.poll(0):
            parts = self._socket.recv_multipart(copy=False)
            if len(parts) == 1 and parts[0].bytes == b"alive?":
                continue
            try:
                frames.append(unpack([part.buffer for part in parts]))
            except ProtocolError as error:
                self.malformed += 1
                self.error = str(error)
                continue
            frames[-1].stamps["received"] = time.monotonic_ns()
            if frames[-1].sequence <= (self._last.sequence if self._last else -1):
                self._delivered = None  # the bridge began anew
                del frames[:-1]
            self._last = frames[-1]
        return frames

    def _deliver(self, frames: list[Frame]) -> Frame:
        newest, before = frames[-1], self._delivered
        if before is not None:
            newest.skipped = newest.sequence - before.sequence - 1
            self.skipped += newest.skipped
            if newest.skipped and self.lockstep:
                raise LinkError(f"{newest.skipped} frames were lost: start the bridge with --lockstep as well")
            if newest.skipped and "motion" in newest.planes:
                self._reach_back(newest, frames[:-1], before)
        if not self.lockstep:
            self._ask()
        self.received += 1
        self._delivered = newest
        return newest

    def _reach_back(self, newest: Frame, between: list[Frame], before: Frame) -> None:
        """Let the newest frame's motion refer to the frame handed out before."""
        size = newest.camera.width, newest.camera.height
        whole = all((f.camera.width, f.camera.height) == size and "motion" in f.planes for f in between)
        if whole and len(between) == newest.skipped:
            newest.planes["motion"] = compose(newest, between, before.camera)
        elif "depth" in newest.planes:  # a link of the chain is missing: what stands still is right at least
            newest.planes["motion"] = reproject(newest.planes["depth"], newest.camera, before.camera.pose)


class ControlSender(_Socket):
    """The driver's end of the control link; only the newest control waits for a slow bridge."""

    def __init__(self, endpoint: str, keys: str | Path | Keys | None = None) -> None:
        super().__init__(zmq.PUSH, endpoint, keys, False, CONFLATE=1)

    def send(self, control: Control) -> None:
        """Stamp and send ``control``; never blocks."""
        control.stamp = time.monotonic_ns()
        with contextlib.suppress(zmq.Again):  # no bridge yet
            self._socket.send(pack_control(control), zmq.NOBLOCK)


class ControlReceiver(_Socket):
    """The bridge's end of the control link."""

    def __init__(self, endpoint: str, keys: str | Path | Keys | None = None) -> None:
        super().__init__(zmq.PULL, endpoint, keys, True, RCVHWM=64, MAXMSGSIZE=1 << 16)
        self.malformed = 0  # messages that were none of ours
        self.error = ""  # why the last of them was refused

    def newest(self, timeout: float = 0.0) -> Control | None:
        """The newest control that came since the last call, or None after ``timeout`` seconds."""
        control: Control | None = None
        wait = int(1000 * timeout)
        while self._socket.poll(wait):
            wait = 0
            parts = self._socket.recv_multipart()
            try:
                if len(parts) != 1:
                    raise ProtocolError(f"a control has one part, not {len(parts)}")
                control = unpack_control(parts[0])
            except ProtocolError as error:
                self.malformed += 1
                self.error = str(error)
        return control
