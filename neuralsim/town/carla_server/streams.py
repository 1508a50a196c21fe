"""Sensor streaming as CARLA's client expects it: it sends a stream's id over TCP, then reads length-prefixed messages.

One thread accepts subscribers and notices when they leave; one thread per subscriber writes. Queues are bounded and
drop their oldest message, so that a slow or stalled subscriber does not affect the others. Large pixel buffers are
borrowed from a pool and returned once they have been sent to the last subscriber.
"""

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

from bridge.carla_wire import LENGTH, TOKEN
from neuralsim.town.carla_server.message_hold import MessageHold
from neuralsim.town.carla_server.rpc import listen

SMALL = 1 << 16  # bytes; up to this size the publishing thread sends itself if the socket accepts it at once
MAX_LARGE, MAX_SMALL = 8, 512  # messages waiting for one subscriber
MAX_BYTES = 32 << 20  # bytes waiting for one subscriber
MAX_SIZES = 16  # different sizes of pixel buffers that are kept for reuse
MAX_SUBSCRIBERS = 512
MAX_IDLE = 64  # connections without a live stream
SEND_TIMEOUT = 10  # s without progress until a subscriber that does not read is dropped
HANDSHAKE_TIMEOUT = 5.0  # s for a new connection to name its stream
SUBSCRIBE_TIMEOUT = 0.5  # s that a tick waits for the subscriber to a stream whose token was just issued
READING = 0.01  # s in which a client on this machine reads what was sent
DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0)


class Message:
    """A message to any number of subscribers. ``pixels`` returns to ``pool`` when all of them have been served."""

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
        # Reference counting runs this when the last queue drops the message, which saves one allocation per frame.
        if self._pool is not None and self.pixels is not None:
            self._pool.append(self.pixels)

    def remainder(self, offset: int) -> list[memoryview]:
        """Return what is left to send after ``offset`` bytes."""
        views = []
        for part in self.parts:
            if offset < len(part):
                views.append(memoryview(part)[offset:])
            offset = max(0, offset - len(part))
        return views


class StreamSubscriber:
    """A subscriber: its socket, its bounded queue and the thread that writes to it."""

    def __init__(self, sock: socket.socket, stream: int) -> None:
        self.sock = sock
        self.stream = stream
        self._queue: deque[tuple[Message, int]] = deque()  # messages and how many bytes of each are already sent
        self._bytes = 0
        self._writing = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name=f"stream-{stream}", daemon=True)
        self._thread.start()

    def offer(self, message: Message) -> None:
        """Queue ``message``, dropping the oldest one if full; send small ones at once if the queue is empty."""
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
            limit = MAX_SMALL if message.size <= SMALL else MAX_LARGE
            while self._queue and (len(self._queue) >= limit or self._bytes + message.size > MAX_BYTES):
                is_partly_sent = self._queue[0][1] > 0  # then the next one is the oldest that can be dropped
                if is_partly_sent and len(self._queue) == 1:
                    break
                self._bytes -= self._queue[int(is_partly_sent)][0].size
                del self._queue[int(is_partly_sent)]
            self._queue.append((message, sent))
            self._bytes += message.size
            self._changed.notify()

    @property
    def is_idle(self) -> bool:
        """Whether everything is sent."""
        with self._changed:
            return self._closed or not (self._queue or self._writing)

    def close(self) -> None:
        """End the subscription: the writer stops; the receiving thread notices and closes the socket."""
        with self._changed:
            self._shut()

    def join(self) -> None:
        """Wait for the writer after ``close``: no thread may hold a socket whose descriptor is about to be reused."""
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
                    offset += self.sock.sendmsg(message.remainder(offset))
            except OSError:  # disconnected, or stalled for longer than SO_SNDTIMEO
                self.close()
                return
            del message  # returns its pixels to the pool now rather than with the next message
            with self._changed:
                self._writing = False


class StreamServer:
    """A server on ``host:port`` (0: any free port) that sends what is published on a stream to its subscribers.

    Raises ``OSError`` if the port is taken.
    """

    def __init__(self, host: str, port: int = 0) -> None:
        self._listener = listen(host, port)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        # By stream; the tuples are replaced, never modified, so that they can be iterated without the lock.
        self._subscribers: dict[int, tuple[StreamSubscriber, ...]] = {}
        self._welcome: dict[int, Message] = {}
        self._expected: dict[
            int, list[tuple[object, float]]
        ] = {}  # by stream: who requested its token, and until when to wait
        self.hold = MessageHold()
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
        """Open a stream; return its id, which is never reused."""
        with self._lock:
            stream = self._next_stream
            self._next_stream += 1
            self._subscribers[stream] = ()
        return stream

    def drop(self, stream: int) -> None:
        """Close a stream whose sensor was destroyed. Its connections stay open: CARLA's client would reconnect."""
        with self._lock:
            self._subscribers.pop(stream, None)
            self._welcome.pop(stream, None)
            self._expected.pop(stream, None)

    def token(self, stream: int, requester: object = None) -> bytes:
        """Return the 24 bytes that tell a client where ``stream`` is.

        ``requester``: the client that is about to subscribe, see ``await_subscriptions``.
        """
        if requester is not None:
            with self._lock:
                if stream in self._subscribers:
                    self._expected.setdefault(stream, []).append((requester, time.monotonic() + SUBSCRIBE_TIMEOUT))
        return TOKEN.pack(stream, self.port, 1, 0, b"")

    @staticmethod
    def name_of(stream: int) -> bytes:
        """Return a token without a port: today's clients take the stream's number from it and ask for its token."""
        return TOKEN.pack(stream, 0, 1, 0, b"")

    def await_subscriptions(self, requester: object) -> None:
        """Wait until ``requester`` has subscribed to the streams it got tokens for, at most ``SUBSCRIBE_TIMEOUT`` s.

        ``listen()`` followed by ``tick()`` thereby loses no frame, although CARLA's client connects in the background.
        """
        if not self._expected:
            return
        with self._arrived:
            while True:
                now = time.monotonic()
                for stream, waiting in list(self._expected.items()):
                    waiting[:] = [entry for entry in waiting if entry[1] > now]
                    if not waiting:
                        del self._expected[stream]
                entries = [entry for waiting in self._expected.values() for entry in waiting]
                deadlines = [deadline for client, deadline in entries if client is requester]
                if not deadlines:
                    return
                self._arrived.wait(max(deadlines) - now)

    def subscriber_count(self, stream: int) -> int:
        """Return the number of current subscribers to ``stream``."""
        return len(self._subscribers.get(stream, ()))

    def borrow(self, size: int) -> np.ndarray:
        """Return a u8 array of ``size`` bytes for ``publish``; it holds the data of an earlier frame."""
        pool = self._pools.get(size)
        if pool is None:
            if len(self._pools) >= MAX_SIZES:
                self._pools.clear()
            pool = self._pools[size] = deque(maxlen=16)
        try:
            return pool.popleft()
        except IndexError:
            return np.empty(size, np.uint8)

    def publish(
        self,
        stream: int,
        parts: Sequence[bytes],
        pixels: np.ndarray | None = None,
        welcome: Sequence[bytes] | None = None,
        urgent: bool = False,
    ) -> None:
        """Send one message, ``parts`` then ``pixels`` (from ``borrow``), to all subscribers to ``stream``.

        ``welcome``: from now on the first message for every new subscriber. ``urgent``: whatever ``hold`` holds back.
        """
        message = Message(parts, pixels, None if pixels is None else self._pools[pixels.nbytes])
        with self._lock:  # a subscriber that is just being added gets the new welcome or this message, never neither
            if welcome is not None:
                self._welcome[stream] = Message(welcome)
            subscribers = self._subscribers.get(stream, ())

        def send() -> None:
            for subscriber in subscribers:
                subscriber.offer(message)

        if urgent:
            send()
        elif subscribers:
            self.hold.pass_on(send)

    def await_read(self, timeout: float) -> None:
        """Wait until all subscribers have what was published, ``timeout`` seconds at most."""
        deadline = time.monotonic() + timeout
        for subscriber in [one for group in list(self._subscribers.values()) for one in group]:
            while not subscriber.is_idle and time.monotonic() < deadline:
                time.sleep(0.001)
        time.sleep(READING)

    def _receive(self) -> None:
        """Accept connections, read stream ids, notice disconnections.

        Only this thread closes sockets, so that no descriptor is reused while another thread holds it.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_in, selectors.EVENT_READ)
            waiting: dict[socket.socket, tuple[bytes, float]] = {}
            subscribers: dict[socket.socket, StreamSubscriber] = {}
            while not self._closing:
                for key, _ in selector.select(1.0 if waiting else None):
                    sock = key.fileobj
                    if not isinstance(sock, socket.socket) or sock is self._wake_in:
                        continue
                    if sock is self._listener:
                        self._accept(selector, waiting, len(subscribers))
                    elif not self._read(sock, waiting, subscribers):
                        selector.unregister(sock)
                        self._disconnect(sock, waiting, subscribers)
                now = time.monotonic()
                for sock in [sock for sock, (_, deadline) in waiting.items() if deadline < now]:
                    selector.unregister(sock)
                    self._disconnect(sock, waiting, subscribers)
            for sock in [*waiting, *subscribers]:
                self._disconnect(sock, waiting, subscribers)
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
            oldest = next(iter(waiting))  # the connection that has taken longest to name its stream gives way
            selector.unregister(oldest)
            self._disconnect(oldest, waiting, {})
        sock.setblocking(True)  # on some systems it inherits the listener's mode
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting[sock] = (b"", time.monotonic() + HANDSHAKE_TIMEOUT)
        selector.register(sock, selectors.EVENT_READ)

    def _read(
        self,
        sock: socket.socket,
        waiting: dict[socket.socket, tuple[bytes, float]],
        subscribers: dict[socket.socket, StreamSubscriber],
    ) -> bool:
        """Read from a connection; return False if it has ended or sends more than the id of a stream."""
        try:
            data = sock.recv(64)
        except OSError:
            return False
        if not data or sock not in waiting:
            return False
        received, deadline = waiting[sock]
        received += data
        if len(received) < LENGTH.size:
            waiting[sock] = (received, deadline)
            return True
        if len(received) > LENGTH.size:
            return False
        (stream,) = LENGTH.unpack(received)
        with self._lock:
            is_live = stream in self._subscribers
            idle = sum(subscriber.stream not in self._subscribers for subscriber in subscribers.values())
        if not is_live and idle >= MAX_IDLE:
            return False
        del waiting[sock]
        with suppress(OSError):  # without this option a stalled subscriber keeps its thread until it disconnects
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_TIMEOUT, 0))
        subscribers[sock] = subscriber = StreamSubscriber(sock, stream)
        with self._arrived:
            if stream in self._subscribers:
                if stream in self._welcome:
                    subscriber.offer(self._welcome[stream])
                self._subscribers[stream] += (subscriber,)
            expected = self._expected.get(stream, [])
            if expected:
                expected.pop(0)
            if not expected:
                self._expected.pop(stream, None)
            self._arrived.notify_all()
        return True

    def _disconnect(
        self,
        sock: socket.socket,
        waiting: dict[socket.socket, tuple[bytes, float]],
        subscribers: dict[socket.socket, StreamSubscriber],
    ) -> None:
        waiting.pop(sock, None)
        subscriber = subscribers.pop(sock, None)
        if subscriber is not None:
            subscriber.close()
            subscriber.join()
            with self._lock:
                if subscriber.stream in self._subscribers:
                    others = tuple(one for one in self._subscribers[subscriber.stream] if one is not subscriber)
                    self._subscribers[subscriber.stream] = others
        sock.close()
