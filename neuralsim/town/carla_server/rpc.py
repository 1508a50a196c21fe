"""msgpack-rpc over TCP as used by CARLA's client (rpclib): framing, dispatch, one thread per connection.

A request is ``[0, id, function, [[fire_and_forget], *arguments]]``, its response ``[1, id, nil, result]``. This module
knows nothing about towns: a dispatcher receives a ``Call`` and answers it. Input is bounded (message size, decoded
size, arrival time, number of connections). A client that breaks the protocol or never reads its answers is dropped.
When the server is full, the client that has been silent for longest gives way to a new one.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgpack

from bridge.carla_wire import MAX_MESSAGE_BYTES, RpcError

MAX_PENDING_BYTES = 128 << 20  # bytes of unfinished messages of all clients together
MAX_ITEMS = 200_000  # numbers, strings and lists in one message: a batch of some 8,000 commands
MAX_CONNECTIONS = 64
FIRST_CALL_TIMEOUT = 60.0  # s that a client may stay connected without calling anything
IDLE_BEFORE_EVICTION = 10.0  # s without a call after which a client may have to give way to a new one
MESSAGE_TIMEOUT = 30.0  # s for a whole message to arrive, however steadily
SEND_TIMEOUT = 5.0  # s without progress until a client that does not read its answers is dropped
PARTIAL_MESSAGE_TIMEOUT = 5.0  # s without progress within a message until its client is dropped
DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0)


class Raw:
    """A result that is sent unwrapped, without CARLA's ``Response`` around it."""

    def __init__(self, value: Any) -> None:
        self.value = value


def wrap(result: Any) -> Any:
    """Return CARLA's ``Response<T>``: ``[[1, value]]``, or ``[[False]]`` for functions without a result (``None``)."""
    if isinstance(result, Raw):
        return result.value
    return [[False]] if result is None else [[1, result]]


def wrap_error(text: str) -> Any:
    """Return CARLA's ``Response<T>`` with an error.

    The client reads the same bytes as variant (T) and as optional (void).
    """
    return [[0, [text]]]


class Call:
    """A request. ``answer`` may be called once before the dispatcher returns, to let the client continue early."""

    __slots__ = ("answered", "args", "connection", "ident", "name")

    def __init__(self, connection: Connection, ident: int | None, name: str, args: list[Any]) -> None:
        self.connection = connection
        self.ident = ident  # None: a notification, which is not answered
        self.name = name
        self.args = args
        self.answered = False

    def answer(self, result: Any, patient: bool = False) -> None:
        """Send ``result`` (already wrapped), once.

        A client that is disconnected or does not read is dropped: at once, or after ``SEND_TIMEOUT`` if ``patient``.
        """
        if not self.answered and self.ident is not None:
            data = msgpack.packb([1, self.ident, None, result])
            self.answered = True
            try:
                self.connection.send(data, patient)
            except OSError:
                self.connection.close()


Dispatch = Callable[[Call], Any]


class Connection:
    """The TCP connection of one client, served by its own thread: requests are executed in order of arrival."""

    def __init__(self, server: RpcServer, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.calls = 0
        self.names: set[str] = set()  # of the functions that its client has called
        self.last = time.monotonic()  # when it last called, or connected
        self.pending = 0  # bytes received of an incomplete message
        self._items = 0  # in the message that is being decoded
        self.thread = threading.Thread(target=self._serve, name="rpc", daemon=True)

    def send(self, data: bytes, patient: bool) -> None:
        """Send all of ``data``. Raise ``OSError`` if the client is disconnected or does not read."""
        sent = 0
        if DONTWAIT:
            try:
                sent = self.sock.send(data, DONTWAIT)
            except BlockingIOError:
                sent = 0
        if sent == len(data):
            return
        if DONTWAIT and not patient:
            raise OSError("client does not read its answers")
        self.sock.sendall(memoryview(data)[sent:])

    def close(self) -> None:
        """Close the connection; its thread notices and ends."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def _serve(self) -> None:
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._set_timeout(socket.SO_SNDTIMEO, SEND_TIMEOUT)
            self._set_timeout(socket.SO_RCVTIMEO, FIRST_CALL_TIMEOUT)
            self._read()
        except (OSError, ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException):
            pass  # disconnected, or breaking the protocol: this client is dropped without affecting others
        finally:
            self.close()
            self.server.forget(self)

    def _read(self) -> None:
        unpacker = msgpack.Unpacker(
            max_buffer_size=MAX_MESSAGE_BYTES,
            max_array_len=MAX_ITEMS,
            max_map_len=1 << 12,
            max_ext_len=1 << 12,
            list_hook=self._count_items,
            object_pairs_hook=self._count_items,  # no client sends maps; hostile ones may have lists as keys
            unicode_errors="replace",
        )
        buffer = bytearray(1 << 16)
        view = memoryview(buffer)
        received = decoded = 0
        started = 0.0  # when the incomplete message began to arrive, 0 if there is none
        while count := self.sock.recv_into(buffer):
            unpacker.feed(view[:count])
            received += count
            for message in unpacker:
                decoded, self._items = unpacker.tell(), 0
                self.calls, self.last, started = self.calls + 1, time.monotonic(), 0.0
                self._execute(self._parse(message))
                self.last = time.monotonic()
            self._set_pending(received - decoded)
            started = started or time.monotonic()
            if self.pending and time.monotonic() - started > MESSAGE_TIMEOUT:
                raise ValueError("message takes too long to arrive")

    def _set_pending(self, pending: int) -> None:
        """Record the bytes received of an incomplete message, and set the timeout for its rest or the next message."""
        before, self.pending = self.pending, pending
        if self.server.pending() > MAX_PENDING_BYTES:
            raise ValueError("too many bytes of incomplete messages")
        if bool(before) != bool(pending) or self.calls == 1:
            self._set_timeout(
                socket.SO_RCVTIMEO, PARTIAL_MESSAGE_TIMEOUT if pending else 0 if self.calls else FIRST_CALL_TIMEOUT
            )

    def _count_items(self, items: list[Any]) -> list[Any]:
        """Return ``items``. Raise ``ValueError`` if the message decodes to more items than any honest one."""
        self._items += len(items)
        if self._items > MAX_ITEMS:
            raise ValueError("too many items in a message")
        return items

    def _set_timeout(self, option: int, seconds: float) -> None:
        """Set the kernel's timeout for one direction; Python's own would apply to both."""
        with suppress(OSError):  # not every system has this option
            self.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6)))

    def _parse(self, message: Any) -> Call:
        ident: int | None
        match message:
            case [0, int(ident), str(name), [*args]]:
                pass
            case [2, str(name), [*args]]:
                ident = None
            case _:
                raise ValueError("not a msgpack-rpc request")
        if args and isinstance(args[0], list) and len(args[0]) == 1 and isinstance(args[0][0], bool):
            args = args[1:]  # CARLA's metadata: whether the client will wait. It reads the answer in either case.
        return Call(self, ident, name, args)

    def _execute(self, call: Call) -> None:
        try:
            call.answer(wrap(self.server.dispatch(call)), patient=True)
        except RpcError as error:
            call.answer(wrap_error(str(error)), patient=True)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket (port 0: any free port). Raise an ``OSError`` that names the address."""
    try:
        return socket.create_server((host, port), backlog=64)
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while")[0].lower()
        raise OSError(error.errno, f"cannot listen on {host}:{port}, {reason}") from None


class RpcServer:
    """Listens on ``host:port`` and hands every request to ``dispatch``, in the thread of its connection.

    ``dispatch`` returns the function's result (``None`` for void, ``Raw`` for the few that are not wrapped) or raises
    ``RpcError``. ``on_close`` is called with every ended connection. Raises ``OSError`` when the port is taken.
    """

    def __init__(
        self, host: str, port: int, dispatch: Dispatch, on_close: Callable[[Connection], None] = lambda _: None
    ) -> None:
        self.dispatch = dispatch
        self.on_close = on_close
        self._listener = listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        self._connections: set[Connection] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="rpc-accept", daemon=True)

    def start(self) -> None:
        """Begin to accept clients."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening and drop every client."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()

    def wait_until_left(self, timeout: float) -> None:
        """Return once all clients have closed their connections, after ``timeout`` seconds in any case."""
        until = time.monotonic() + timeout
        while self._connections and time.monotonic() < until:
            time.sleep(0.02)

    def forget(self, connection: Connection) -> None:
        """Remove an ended connection; called by the connection itself."""
        with self._lock:
            self._connections.discard(connection)
        self.on_close(connection)

    def pending(self) -> int:
        """Return the bytes of incomplete messages of all clients."""
        return sum(connection.pending for connection in tuple(self._connections))

    def _make_room(self) -> bool:
        """Return whether another client fits; call with the lock held.

        If there are too many, one is dropped: the oldest that has never called anything, else the one that has been
        silent for longest.
        """
        if len(self._connections) < MAX_CONNECTIONS:
            return True
        now = time.monotonic()
        idle = [connection for connection in self._connections if not connection.calls]
        idle = idle or [connection for connection in self._connections if now - connection.last > IDLE_BEFORE_EVICTION]
        if not idle:
            return False
        evicted = min(idle, key=lambda connection: connection.last)
        self._connections.discard(evicted)
        evicted.close()
        return True

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                if self._listener.fileno() < 0:
                    return
                continue
            connection = Connection(self, sock)
            with self._lock:
                accepted = self._make_room()
                if accepted:
                    self._connections.add(connection)
            if accepted:
                connection.thread.start()
            else:
                sock.close()
