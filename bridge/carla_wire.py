"""CARLA's wire from the client's side: calls, stream tokens and stream messages of a server."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgpack
import numpy as np

MAX_MESSAGE_BYTES = 64 << 20  # bytes of a call; the largest honest one carries an OpenDRIVE file or a batch of commands
TOKEN = struct.Struct(
    "<IHBB16s"
)  # stream id, port, protocol (1 = TCP), address type (0 = the server's address as the client knows it), address
LENGTH = struct.Struct("<I")
SENSOR_HEADER = struct.Struct("<QQd6f")  # type, frame, timestamp (s), location, rotation (pitch, yaw, roll)
IMAGE_HEADER = struct.Struct("<IIf")  # width, height, horizontal field of view (degrees)
EPISODE_HEADER = struct.Struct("<Qdf3iI")  # episode, platform time (s), delta (s), origin of the map, state bits
ACTOR = struct.Struct("<IB6f9f")  # id, state, transform, velocity, angular velocity (degrees/s), acceleration
VEHICLE = struct.Struct(
    "<3f3?ifB?IB"
)  # control, speed limit (km/h), light state, whether at a light, light id, failure
LIGHT = struct.Struct("<32s4fI?B")  # signal, green, yellow, red, elapsed (s), pole, frozen, state
RECORD = 119  # bytes of one actor in a snapshot: the common part and a union as long as that of a traffic light
CALL_TIMEOUT = 20.0  # s
MAX_STREAM_MESSAGE = 256 << 20  # bytes
_IPV4 = 1  # address type of a token
_CHUNK = 1 << 20  # bytes
#: Offset of the first actor in a message of the snapshot stream.
RECORDS = SENSOR_HEADER.size + EPISODE_HEADER.size


class RpcError(RuntimeError):
    """Raised by a function that cannot do what was requested; its text becomes the client's ``RuntimeError``."""


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
    values: dict[str, str]  # of each attribute

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

    def set_timeout(self, seconds: float) -> None:
        """Let a call wait this long."""
        self._sock.settimeout(seconds)

    def send(self, name: str, *args: Any) -> None:
        """Call a function without waiting for its answer."""
        with self._lock:
            self._request(name, args, True)

    def _request(self, name: str, args: tuple[Any, ...], is_sent_only: bool) -> None:
        self._ident += 1
        self._sock.sendall(msgpack.packb([0, self._ident, name, [[is_sent_only], *args]]))

    def call(self, name: str, *args: Any) -> Any:
        """Return the function's result. Raises ``RpcError`` with the server's message."""
        with self._lock:
            self._request(name, args, False)
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
        """Return the definition of a blueprint. Raises ``RpcError`` if there is none."""
        definitions = self.definitions()
        if kind not in definitions:
            raise RpcError(f"the CARLA server at {self.address} has no blueprint {kind}")
        return definitions[kind]

    def definitions(self) -> dict[str, Definition]:
        """Return the definitions of all blueprints by their ids; they are asked for once."""
        if not self._definitions:
            for number, ident, _, attributes in self.call("get_actor_definitions"):
                types = {name: kind for name, kind, *_ in attributes}
                values = {name: value for name, _, value, *_ in attributes}
                self._definitions[ident] = Definition(number, types, values)
        return self._definitions

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
    count = max(len(message) - RECORDS, 0) // RECORD
    records = np.frombuffer(message, np.uint8, count * RECORD, RECORDS).reshape(count, RECORD)
    ids: np.ndarray = np.ascontiguousarray(records[:, :4]).view("<u4").reshape(-1)
    return ids


def without_actors(message: bytearray, hidden: set[int]) -> bytearray:
    """Return a message of the snapshot stream without the actors ``hidden``."""
    ids = snapshot_actors(message)
    kept = ~np.isin(ids, np.fromiter(hidden, np.uint32, len(hidden)))
    if kept.all():
        return message
    records = np.frombuffer(message, np.uint8, len(ids) * RECORD, RECORDS).reshape(-1, RECORD)
    return message[:RECORDS] + bytearray(records[kept].tobytes())
