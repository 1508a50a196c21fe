"""Sensor streaming as CARLA's client reads it: TCP; the client sends a stream's id, then gets length-prefixed messages.

One thread receives subscribers and notices when they leave; one thread per subscriber writes. Queues are bounded and
drop their oldest message, so that a slow or stalled subscriber does not affect the others. Large pixel
buffers are lent from a pool and come back when the last subscriber has sent them.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from neuralsim.town.carla_server.rpc import listen

TOKEN = struct.Struct("<IHBB16s")  # stream id, port, protocol (1 = TCP), address type (0 = the client's own), address
LENGTH = struct.Struct("<I")
SMALL = 1 << 16  # bytes; smaller messages are sent by the caller itself when the socket takes them at once
MAX_LARGE, MAX_SMALL = 8, 512  # messages waiting for one subscriber
MAX_BYTES = 32 << 20  # bytes waiting for one subscriber
MAX_SIZES = 16  # different sizes of pixel buffers that are kept for another frame
MAX_SUBSCRIBERS = 512
MAX_IDLE = 64  # connections that hold no live stream
SEND_TIMEOUT = 10  # s without progress until a subscriber that does not read is dropped
HANDSHAKE_TIMEOUT = 5.0  # s for a new connection to say which stream it wants
SUBSCRIBE_TIMEOUT = 0.5  # s that a tick waits for a subscriber that was given a token a moment ago
DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0)


class Message:
    """Bytes on their way to any number of subscribers. ``pixels`` returns to ``pool`` when all have been served."""

    __slots__ = ("_pool", "parts", "pixels", "size")

    def __init__(
        self, parts: Sequence[bytes], pixels: np.ndarray | None = None, pool: deque[np.ndarray] | None = None
    ) -> None:
        self.parts: list[Any] = [b"", *parts]
        if pixels is not None:
            self.parts.append(pixels.data)
        self.pixels = pixels
        self._pool = pool
        length = sum(len(part) for part in self.parts)
        self.parts[0] = LENGTH.pack(length)
        self.size = length + LENGTH.size

    def __del__(self) -> None:
        # References are counted: this runs when the last queue has let go, and saves an allocation a frame.
        if self._pool is not None and self.pixels is not None:
            self._pool.append(self.pixels)

    def rest(self, offset: int) -> list[memoryview]:
        """What is left to send after ``offset`` bytes."""
        left = []
        for part in self.parts:
            if offset < len(part):
                left.append(memoryview(part)[offset:])
            offset = max(0, offset - len(part))
        return left


class StreamSubscriber:
    """One subscriber: its socket, its bounded queue and the thread that writes."""

    def __init__(self, sock: socket.socket, stream: int) -> None:
        self.sock = sock
        self.stream = stream
        self._queue: deque[tuple[Message, int]] = deque()  # and how many bytes of the message are sent already
        self._bytes = 0
        self._writing = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name=f"stream-{stream}", daemon=True)
        self._thread.start()

    def offer(self, message: Message) -> None:
        """Queue ``message``, dropping the oldest waiting one when full; small ones leave at once if nothing waits."""
        sent = 0
        with self._changed:
            if self._closed:
                return
            if DONTWAIT and message.size <= SMALL and not self._queue and not self._writing:
                try:
                    sent = self.sock.sendmsg(message.parts, [], DONTWAIT)
                except BlockingIOError:
                    pass
                except OSError:
                    self._shut()
                    return
                if sent == message.size:
                    return
            most = MAX_SMALL if message.size <= SMALL else MAX_LARGE
            while self._queue and (len(self._queue) >= most or self._bytes + message.size > MAX_BYTES):
                begun = self._queue[0][1] > 0  # half of it is on the wire: the one behind it is the oldest to drop
                if begun and len(self._queue) == 1:
                    break
                self._bytes -= self._queue[int(begun)][0].size
                del self._queue[int(begun)]
            self._queue.append((message, sent))
            self._bytes += message.size
            self._changed.notify()

    def close(self) -> None:
        """End the session: the writer leaves, the receiving thread sees the end and closes the socket."""
        with self._changed:
            self._shut()

    def join(self) -> None:
        """Wait for the writer after ``close``: no thread may hold a socket whose number is about to be used again."""
        self._thread.join(1.0)

    def _shut(self) -> None:
        self._closed = True
        self._queue.clear()
        self._changed.notify()
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def _write(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                message, offset = self._queue.popleft()
                self._bytes -= message.size
                self._writing = True
            try:
                while offset < message.size:
                    offset += self.sock.sendmsg(message.rest(offset))
            except OSError:  # disconnected, or stalled for longer than SO_SNDTIMEO
                self.close()
                return
            del message  # its pixels return to the pool now, not when the next message comes
            with self._changed:
                self._writing = False


class StreamServer:
    """Listens on ``host:port`` (0: any free one) and sends what is published on a stream to its subscribers.

    Raises ``OSError`` when the port is taken.
    """

    def __init__(self, host: str, port: int = 0) -> None:
        self._listener = listen(host, port)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._sessions: dict[
            int, tuple[StreamSubscriber, ...]
        ] = {}  # by stream; the tuples are replaced, never changed
        self._welcome: dict[int, Message] = {}
        self._expected: dict[int, list[tuple[object, float]]] = {}  # by stream: who asked for its token, until when
        self._next_stream = 1
        self._pools: dict[int, deque[np.ndarray]] = {}
        self._wake_in, self._wake_out = socket.socketpair()
        self._closing = False
        self._thread = threading.Thread(target=self._receive, name="streams", daemon=True)

    def start(self) -> None:
        """Begin to accept subscribers."""
        self._thread.start()

    def close(self) -> None:
        """Drop every subscriber and stop listening."""
        self._closing = True
        self._wake_out.send(b"x")
        if self._thread.ident is not None:
            self._thread.join(1.0)

    def open(self) -> int:
        """A new stream; its id is never used again."""
        with self._lock:
            stream = self._next_stream
            self._next_stream += 1
            self._sessions[stream] = ()
        return stream

    def drop(self, stream: int) -> None:
        """Close a stream whose sensor was destroyed. Its connections stay silent: CARLA's client would reconnect."""
        with self._lock:
            self._sessions.pop(stream, None)
            self._welcome.pop(stream, None)
            self._expected.pop(stream, None)

    def token(self, stream: int, asker: object = None) -> bytes:
        """24 bytes that tell a client where ``stream`` is. ``asker``: who will subscribe to it now, see ``settle``."""
        if asker is not None:
            with self._lock:
                if stream in self._sessions:
                    self._expected.setdefault(stream, []).append((asker, time.monotonic() + SUBSCRIBE_TIMEOUT))
        return TOKEN.pack(stream, self.port, 1, 0, b"")

    def settle(self, asker: object) -> None:
        """Wait until ``asker`` has subscribed to the streams it got tokens for, at most ``SUBSCRIBE_TIMEOUT`` seconds.

        ``listen()`` followed by ``tick()`` thereby loses no frame, though CARLA's client connects in the background.
        """
        if not self._expected:
            return
        with self._arrived:
            while True:
                now = time.monotonic()
                for stream, asked in list(self._expected.items()):
                    asked[:] = [each for each in asked if each[1] > now]
                    if not asked:
                        del self._expected[stream]
                mine = [deadline for asked in self._expected.values() for who, deadline in asked if who is asker]
                if not mine:
                    return
                self._arrived.wait(max(mine) - now)

    def listeners(self, stream: int) -> int:
        """How many subscribe to ``stream`` now."""
        return len(self._sessions.get(stream, ()))

    def borrow(self, size: int) -> np.ndarray:
        """A u8 array of ``size`` bytes for ``publish``. Its content is left over from an earlier frame."""
        pool = self._pools.get(size)
        if pool is None:
            if len(self._pools) >= MAX_SIZES:
                self._pools.clear()
            pool = self._pools[size] = deque(maxlen=16)
        try:
            return pool.popleft()
        except IndexError:
            return np.empty(size, np.uint8)

    def publish(self, stream: int, parts: Sequence[bytes], pixels: np.ndarray | None = None) -> None:
        """Send one message, ``parts`` then ``pixels`` (from ``borrow``), to all who subscribe to ``stream``."""
        message = Message(parts, pixels, None if pixels is None else self._pools[pixels.nbytes])
        for session in self._sessions.get(stream, ()):
            session.offer(message)

    def welcome(self, stream: int, parts: Sequence[bytes]) -> None:
        """What a new subscriber of ``stream`` gets first, until further notice."""
        self._welcome[stream] = Message(parts)

    def _receive(self) -> None:
        """Accept, read stream ids, notice who has left. Only this thread closes sockets: no number is reused unseen."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_in, selectors.EVENT_READ)
            waiting: dict[socket.socket, tuple[bytes, float]] = {}
            sessions: dict[socket.socket, StreamSubscriber] = {}
            while not self._closing:
                for key, _ in selector.select(1.0 if waiting else None):
                    sock = key.fileobj
                    if not isinstance(sock, socket.socket) or sock is self._wake_in:
                        continue
                    if sock is self._listener:
                        self._accept(selector, waiting, len(sessions))
                    elif not self._hear(sock, waiting, sessions):
                        selector.unregister(sock)
                        self._part(sock, waiting, sessions)
                now = time.monotonic()
                for sock in [sock for sock, (_, deadline) in waiting.items() if deadline < now]:
                    selector.unregister(sock)
                    self._part(sock, waiting, sessions)
            for sock in [*waiting, *sessions]:
                self._part(sock, waiting, sessions)
            self._listener.close()

    def _accept(self, selector: selectors.BaseSelector, waiting: dict[socket.socket, Any], count: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if count + len(waiting) >= MAX_SUBSCRIBERS:
            if not waiting:
                sock.close()
                return
            longest = next(iter(waiting))  # who has not said for longest which stream it wants gives way
            selector.unregister(longest)
            self._part(longest, waiting, {})
        sock.setblocking(True)  # some systems hand on the listener's mode
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting[sock] = (b"", time.monotonic() + HANDSHAKE_TIMEOUT)
        selector.register(sock, selectors.EVENT_READ)

    def _hear(
        self,
        sock: socket.socket,
        waiting: dict[socket.socket, tuple[bytes, float]],
        sessions: dict[socket.socket, StreamSubscriber],
    ) -> bool:
        """Read from a subscriber. False when it has left, or says more than the id of a stream."""
        try:
            data = sock.recv(64)
        except OSError:
            return False
        if not data or sock not in waiting:
            return False
        said, deadline = waiting[sock]
        said += data
        if len(said) < LENGTH.size:
            waiting[sock] = (said, deadline)
            return True
        if len(said) > LENGTH.size:
            return False
        (stream,) = LENGTH.unpack(said)
        with self._lock:
            live = stream in self._sessions
            idle = sum(session.stream not in self._sessions for session in sessions.values())
        if not live and idle >= MAX_IDLE:
            return False
        del waiting[sock]
        with suppress(OSError):  # where there is no such option, a stalled subscriber keeps its thread until it leaves
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_TIMEOUT, 0))
        sessions[sock] = session = StreamSubscriber(sock, stream)
        with self._arrived:
            if stream in self._sessions:
                if stream in self._welcome:
                    session.offer(self._welcome[stream])
                self._sessions[stream] += (session,)
            asked = self._expected.get(stream, [])
            if asked:
                asked.pop(0)
            if not asked:
                self._expected.pop(stream, None)
            self._arrived.notify_all()
        return True

    def _part(
        self,
        sock: socket.socket,
        waiting: dict[socket.socket, tuple[bytes, float]],
        sessions: dict[socket.socket, StreamSubscriber],
    ) -> None:
        waiting.pop(sock, None)
        session = sessions.pop(sock, None)
        if session is not None:
            session.close()
            session.join()
            with self._lock:
                if session.stream in self._sessions:
                    left = tuple(other for other in self._sessions[session.stream] if other is not session)
                    self._sessions[session.stream] = left
        sock.close()
