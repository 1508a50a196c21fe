"""The header of a frame: how the messages of ``bridge.messages`` are on the wire.

A frame is a ZeroMQ multipart message ``[topic, header, plane, plane, ...]``. The header is a msgpack map: ``protocol``,
the fields of ``Frame`` by name, and in the place of its planes ``[name, dtype, shape, codec]`` of the raw C-order
little-endian planes that follow, in their order. A control is a message of one part, the fields of ``Control`` and
``protocol``. Dataclasses are maps, a pose is the 128 bytes of its matrix.

``unpack`` copies no plane: the arrays are views of the received buffers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
import numpy as np
from msgspec import Meta

from bridge.messages import (
    COLUMNS,
    MAX_HEADER,
    PLANES,
    PROTOCOL,
    TOPIC,
    Camera,
    Control,
    Frame,
    ProtocolError,
    plane_shape,
)

Buffer = bytes | bytearray | memoryview


def pack(frame: Frame) -> list[Any]:
    """Parts of the multipart message ``[topic, header, plane...]``; the planes are the arrays themselves, not copies.

    Raises ``ValueError`` if a plane is unknown, not C-contiguous, or not of the dtype and shape given in ``Frame``.
    """
    camera = frame.camera
    described, parts = [], []
    for name, plane in frame.planes.items():
        if name not in PLANES:
            raise ValueError(f"unknown plane {name!r}; the protocol knows {', '.join(PLANES)}")
        dtype, shape = PLANES[name][0], plane_shape(name, camera.height, camera.width)
        if plane.dtype != dtype or plane.shape != shape:
            raise ValueError(f"plane {name!r} is {plane.dtype} {plane.shape}, not {np.dtype(dtype)} {shape}")
        if not plane.flags.c_contiguous:
            raise ValueError(f"plane {name!r} is not C-contiguous")
        described.append((name, dtype, plane.shape, "raw"))
        parts.append(plane)
    header = {"protocol": PROTOCOL, **{name: getattr(frame, name) for name in _HEADER}, "planes": described}
    return [TOPIC, _ENCODER.encode(header), *parts]


def unpack(parts: Sequence[Buffer]) -> Frame:
    """The frame in a multipart message; its planes are views of ``parts``, not copies (read-only if those are).

    ``parts`` are bytes or buffers as ZeroMQ delivers them. Raises ``ProtocolError`` for anything but a frame.
    """
    if len(parts) < 2 or bytes(parts[0][:16]) != TOPIC:
        raise ProtocolError("not a frame: topic missing")
    header = _decoded(_FRAMES, parts[1], "frame")
    if not np.isfinite([header.camera.pose, header.ego.pose, *(moving.pose for moving in header.objects)]).all():
        raise ProtocolError("frame: a pose is not finite")
    values = {name: getattr(header, name) for name in _HEADER}
    return Frame(**values, planes=_planes(header.planes, parts[2:], header.camera))


def pack_control(control: Control) -> bytes:
    """The single part of a control message."""
    return _ENCODER.encode({"protocol": PROTOCOL, **asdict(control)})


def unpack_control(part: Buffer) -> Control:
    """The control in a message part, pedals and steering clipped to their range. Raises ``ProtocolError``."""
    control: Control = _decoded(_CONTROLS, part, "control")
    control.throttle = min(max(control.throttle, 0.0), 1.0)
    control.brake = min(max(control.brake, 0.0), 1.0)
    control.steer = min(max(control.steer, -1.0), 1.0)
    return control


def _plain(value: Any) -> Any:
    """What msgpack has no type for: poses, columns, and numbers of numpy."""
    if not isinstance(value, np.ndarray):
        return value.item()
    return np.ascontiguousarray(value, "<f4" if value.dtype == np.float32 else "<f8").tobytes()


def _array(kind: type, value: Any) -> np.ndarray:
    """The matrix in 128 bytes, or rows of finite numbers, as a view of them."""
    if kind in COLUMNS:
        if type(value) is not bytes or len(value) % (4 * COLUMNS[kind]):
            raise ValueError(f"{kind.__name__} are rows of {COLUMNS[kind]} numbers")
        rows = np.frombuffer(value, "<f4").reshape(-1, COLUMNS[kind])
        if not np.isfinite(rows).all():
            raise ValueError(f"{kind.__name__} are finite")
        return rows.view(kind)
    if type(value) is not bytes or len(value) != 128:
        raise ValueError("A pose is 128 bytes")
    return np.frombuffer(value, "<f8").reshape(4, 4)


class _Version(msgspec.Struct):
    protocol: Any


_Described = Annotated[list[tuple[str, str, list[int], Literal["raw"]]], Meta(max_length=len(PLANES))]
_HEADER = {
    name: kind for name, kind in get_type_hints(Frame, include_extras=True).items() if name not in ("planes", "skipped")
}
_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)
_VERSIONS = msgspec.msgpack.Decoder(_Version)
#: A frame's header without the version: the fields of ``Frame``, and a description of each plane in the place of it.
Header = msgspec.defstruct("Header", [*_HEADER.items(), ("planes", _Described)])
_FRAMES = msgspec.msgpack.Decoder(Header, dec_hook=_array)
_CONTROLS = msgspec.msgpack.Decoder(Control)


def _decoded(decoder: msgspec.msgpack.Decoder[Any], part: Buffer, what: str) -> Any:
    """The message in ``part``, of our version. Raises ``ProtocolError``."""
    if len(part) > MAX_HEADER:
        raise ProtocolError(f"{what} header of {len(part)} bytes is over {MAX_HEADER}")
    try:
        version = _VERSIONS.decode(part).protocol
        if type(version) is not int or version != PROTOCOL:
            shown = version if type(version) is int else "unknown"
            raise ProtocolError(f"protocol version {shown}, this side speaks {PROTOCOL}: update the older side")
        return decoder.decode(part)
    except ProtocolError:
        raise
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"{what}: {error}") from None


def _planes(described: list[Any], parts: Sequence[Buffer], camera: Camera) -> dict[str, np.ndarray]:
    if len(described) != len(parts):
        raise ProtocolError(f"{len(parts)} planes came, {len(described)} are described")
    planes: dict[str, np.ndarray] = {}
    for (name, dtype, shape, _), part in zip(described, parts, strict=True):
        known = "" if name not in PLANES or name in planes else PLANES[name][0]
        if not known or dtype != known or tuple(shape) != plane_shape(name, camera.height, camera.width):
            raise ProtocolError(f"plane {name!r} is not known, or not of the camera's size and its own dtype, once")
        size, came = np.dtype(known).itemsize * math.prod(shape), memoryview(part).nbytes
        if came != size:
            raise ProtocolError(f"plane {name!r} has {came} bytes, not {size}")
        planes[name] = np.frombuffer(part, known).reshape(shape)
    return planes
