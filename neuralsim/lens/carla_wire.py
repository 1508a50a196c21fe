"""CARLA's wire from the client's side: calls, stream tokens and stream messages of a server."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgpack
import numpy as np

from neuralsim.town.carla_server import structs
from neuralsim.town.carla_server.rpc import MAX_MESSAGE_BYTES, RpcError
from neuralsim.town.carla_server.streams import LENGTH, TOKEN

CALL_TIMEOUT = 20.0  # s
MAX_STREAM_MESSAGE = 256 << 20  # bytes
_IPV4 = 1  # address type of a token
_CHUNK = 1 << 20  # bytes
#: Offset of the first actor in a message of the snapshot stream.
RECORDS = structs.SENSOR_HEADER.size + structs.EPISODE_HEADER.size


class Address(NamedTuple):
    """Where a server is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Token(NamedTuple):
    """A stream's id, and where it is served."""

    stream: int
    address: Address

    @classmethod
    def read(cls, data: bytes, server: Address) -> Token:
        """Read the 24 bytes of a token that came from ``server``. Raises ValueError."""
        if len(data) != TOKEN.size:
            raise ValueError(f"a stream token has {TOKEN.size} bytes, not {len(data)}")
        stream, port, _, kind, raw = TOKEN.unpack(data)
        host = socket.inet_ntoa(raw[:4]) if kind == _IPV4 and any(raw[:4]) else server.host
        return cls(stream, Address(host, port))

    def at(self, port: int) -> bytes:
        """Return the token of the same stream at ``port`` of the server that the client called."""
        return TOKEN.pack(self.stream, port, 1, 0, b"")


class Definition(NamedTuple):
    """What a server needs to be told of a blueprint; another server, or another build, may have other numbers."""

    number: int  # the server's own, by which it chooses what to spawn
    types: dict[str, int]  # ``carla.ActorAttributeType`` of each attribute by its id

    def describe(self, kind: str, attributes: Mapping[str, str]) -> list[Any]:
        """Return the ``ActorDescription`` of an actor of blueprint ``kind``, with those attributes that it has."""
        values = [[name, self.types[name], value] for name, value in attributes.items() if name in self.types]
        return [self.number, kind, values]


def connect(address: Address) -> socket.socket:
    """Return a connection. Raises OSError, whose text names the address."""
    try:
        sock = socket.create_connection(address, timeout=CALL_TIMEOUT)
    except OSError as error:
        raise OSError(
            f"no CARLA server at {address}: {error.strerror or error}".lower().replace("carla", "CARLA")
        ) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def close(*sockets: socket.socket) -> None:
    """Close sockets, and wake up the threads that wait for them."""
    for sock in sockets:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


def unpacker() -> msgpack.Unpacker:
    """Return a decoder of CARLA's messages, which have no limits but that of their size."""
    return msgpack.Unpacker(max_buffer_size=MAX_MESSAGE_BYTES, strict_map_key=False, unicode_errors="surrogateescape")


def decode(message: bytes | memoryview) -> Any:
    """Return the content of one whole message. Raises ValueError."""
    return msgpack.unpackb(message, strict_map_key=False, unicode_errors="surrogateescape")


class RpcClient:
    """Calls a server's functions, one at a time, from any thread. Raises OSError if the server is gone."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._sock, self._unpacker = connect(address), unpacker()
        self._lock, self._ident = threading.Lock(), 0
        self._definitions: dict[str, Definition] = {}  # by the id of the blueprint; empty: not asked for yet

    def call(self, name: str, *args: Any) -> Any:
        """Return the function's result. Raises ``RpcError`` with the server's message."""
        with self._lock:
            self._ident += 1
            self._sock.sendall(msgpack.packb([0, self._ident, name, [[False], *args]]))
            while True:
                for message in self._unpacker:
                    if message[1] == self._ident:
                        return unwrap(message[3])
                data = self._sock.recv(_CHUNK)
                if not data:
                    raise OSError(f"the CARLA server at {self.address} has closed the connection")
                self._unpacker.feed(data)

    @property
    def is_open(self) -> bool:
        """Whether the server still holds the connection, as far as this machine knows."""
        poll = select.poll()
        poll.register(self._sock, select.POLLRDHUP)
        return not poll.poll(0)

    def token(self, stream: int) -> Token:
        """Return the token of a stream."""
        return Token.read(self.call("get_sensor_token", stream)[0], self.address)

    def snapshots(self) -> StreamReader:
        """Subscribe to the snapshots of all ticks."""
        _, (token,) = self.call("get_episode_info")
        return StreamReader(self.token(int.from_bytes(token[:4], "little")))

    def definition(self, kind: str) -> Definition:
        """Return the definition of a blueprint; all are asked for once. Raises ``RpcError`` if there is none."""
        definitions = self._definitions
        if not definitions:
            definitions = self._definitions = {
                ident: Definition(number, {name: type_ for name, type_, *_ in attributes})
                for number, ident, _, attributes in self.call("get_actor_definitions")
            }
        if kind not in definitions:
            raise RpcError(f"the CARLA server at {self.address} has no blueprint {kind}")
        return definitions[kind]

    def forget_definitions(self) -> None:
        """Ask for the definitions again when one is needed: a new episode may have others."""
        self._definitions = {}

    def close(self) -> None:
        """Disconnect."""
        self._sock.close()


def unwrap(result: Any) -> Any:
    """Return the value in CARLA's ``Response<T>``. Raises ``RpcError`` for an error."""
    inner = result[0] if isinstance(result, list) and len(result) == 1 else [1, result]
    if is_error(result):
        raise RpcError(str(inner[1][0]))
    return None if inner[0] is False else inner[1]


def is_error(result: Any) -> bool:
    """Return whether a ``Response<T>`` is an error: [[0, [text]]], or [[True, [text]]] of a function without result."""
    inner = result[0] if isinstance(result, list) and len(result) == 1 else None
    return (
        isinstance(inner, list) and len(inner) == 2 and (inner[0] is True or (inner[0] == 0 and inner[0] is not False))
    )


class StreamReader:
    """The messages of one stream, read one after another."""

    def __init__(self, token: Token) -> None:
        self.sock = connect(token.address)
        self.sock.settimeout(None)
        self.sock.sendall(LENGTH.pack(token.stream))

    def wait(self, timeout: float) -> bool:
        """Return whether ``read`` finds something within ``timeout`` seconds. Raises OSError once it is closed."""
        poll = select.poll()
        try:
            poll.register(self.sock, select.POLLIN)
        except ValueError:  # it has no descriptor any more
            raise OSError("the stream is closed") from None
        return bool(poll.poll(1000.0 * timeout))

    def read(self) -> bytearray:
        """Wait for the next message. Raises OSError when the server closes the stream, or ``close`` was called."""
        (length,) = LENGTH.unpack(self.receive(LENGTH.size))
        if length > MAX_STREAM_MESSAGE:
            raise OSError(f"a stream's message of {length} bytes")
        return self.receive(length)

    def receive(self, length: int) -> bytearray:
        """Wait for ``length`` bytes. Raises OSError as ``read`` does."""
        data = bytearray(length)
        view, received = memoryview(data), 0
        while received < length:
            count = self.sock.recv_into(view[received:])
            if not count:
                raise OSError("the server has closed the stream")
            received += count
        return data

    def close(self) -> None:
        """Wake up ``read`` and disconnect."""
        close(self.sock)


def snapshot_actors(message: bytes | bytearray) -> np.ndarray:
    """Return the ids u32 (N,) of the actors in a message of the snapshot stream."""
    count = max(len(message) - RECORDS, 0) // structs.RECORD
    records = np.frombuffer(message, np.uint8, count * structs.RECORD, RECORDS).reshape(count, structs.RECORD)
    ids: np.ndarray = np.ascontiguousarray(records[:, :4]).view("<u4").reshape(-1)
    return ids


def without_actors(message: bytearray, hidden: set[int]) -> bytearray:
    """Return a message of the snapshot stream without the actors ``hidden``."""
    ids = snapshot_actors(message)
    kept = ~np.isin(ids, np.fromiter(hidden, np.uint32, len(hidden)))
    if kept.all():
        return message
    records = np.frombuffer(message, np.uint8, len(ids) * structs.RECORD, RECORDS).reshape(-1, structs.RECORD)
    return message[:RECORDS] + bytearray(records[kept].tobytes())
