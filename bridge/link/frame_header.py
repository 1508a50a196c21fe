"""The wire format of the messages in ``bridge.messages``.

A frame is a ZeroMQ multipart message ``[topic, header, plane, plane, ...]``. The header is a msgpack map: ``protocol``,
the fields of ``Frame`` by name, and instead of its planes a list of ``[name, dtype, shape, codec]`` that describes the
raw C-order little-endian planes that follow, in the same order. A control is a message of one part, with the fields of
``Control`` and ``protocol``. Dataclasses are encoded as maps, a pose as the 128 bytes of its matrix.

``unpack`` copies no plane: the arrays are views of the received buffers.
"""

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
    MIRROR_PLANES,
    MIRRORS,
    PLANES,
    PROTOCOL,
    TOPIC,
    Camera,
    Control,
    Frame,
    ProtocolError,
    RearView,
    plane_shape,
)

Buffer = bytes | bytearray | memoryview


def pack(frame: Frame) -> list[Any]:
    """Return the parts of the multipart message ``[topic, header, plane...]``; the planes are not copied.

    Raises ``ValueError`` if a plane is unknown, not C-contiguous, or not of the dtype and shape given in ``Frame``.
    """
    descriptions, parts = [], []
    for name, plane in frame.planes.items():
        if name not in PLANES:
            raise ValueError(f"unknown plane {name!r}; the protocol knows {', '.join(PLANES)}")
        dtype, shape = PLANES[name][0], _shape(name, frame.camera, frame.mirror)
        if plane.dtype != dtype or plane.shape != shape:
            raise ValueError(f"plane {name!r} is {plane.dtype} {plane.shape}, not {np.dtype(dtype)} {shape}")
        if not plane.flags.c_contiguous:
            raise ValueError(f"plane {name!r} is not C-contiguous")
        descriptions.append((name, dtype, plane.shape, "raw"))
        parts.append(plane)
    header = {"protocol": PROTOCOL, **{name: getattr(frame, name) for name in _HEADER}, "planes": descriptions}
    return [TOPIC, _ENCODER.encode(header), *parts]


def unpack(parts: Sequence[Buffer]) -> Frame:
    """Decode a multipart message; the frame's planes are views of ``parts``, not copies (read-only if those are).

    ``parts`` are bytes or buffers as ZeroMQ delivers them. Raises ``ProtocolError`` if they are not a frame.
    """
    if len(parts) < 2 or bytes(parts[0][:16]) != TOPIC:
        raise ProtocolError("not a frame: topic missing")
    header = _decode(_FRAMES, parts[1], "frame")
    if not np.isfinite([header.camera.pose, header.ego.pose, *(moving.pose for moving in header.objects)]).all():
        raise ProtocolError("frame: a pose is not finite")
    values = {name: getattr(header, name) for name in _HEADER}
    return Frame(**values, planes=_planes(header, parts[2:]))


def pack_control(control: Control) -> bytes:
    """Return the single part of a control message."""
    return _ENCODER.encode({"protocol": PROTOCOL, **asdict(control)})


def unpack_control(part: Buffer) -> Control:
    """Decode a control, with pedals and steering clipped to their ranges. Raises ``ProtocolError``."""
    control: Control = _decode(_CONTROLS, part, "control")
    control.throttle = min(max(control.throttle, 0.0), 1.0)
    control.brake = min(max(control.brake, 0.0), 1.0)
    control.steer = min(max(control.steer, -1.0), 1.0)
    return control


def _encode_array(value: Any) -> Any:
    """Encode types that msgpack lacks: poses, rows of f32, and numpy scalars."""
    if not isinstance(value, np.ndarray):
        return value.item()
    return np.ascontiguousarray(value, "<f4" if value.dtype == np.float32 else "<f8").tobytes()


def _decode_array(kind: type, value: Any) -> np.ndarray:
    """Decode the 128 bytes of a matrix, or rows of finite numbers, as a view."""
    if kind in COLUMNS:
        if type(value) is not bytes or len(value) % (4 * COLUMNS[kind]):
            raise ValueError(f"{kind.__name__} are rows of {COLUMNS[kind]} numbers")
        rows = np.frombuffer(value, "<f4").reshape(-1, COLUMNS[kind])
        if not np.isfinite(rows).all():
            raise ValueError(f"{kind.__name__} must be finite")
        return rows.view(kind)
    if type(value) is not bytes or len(value) != 128:
        raise ValueError("A pose is 128 bytes")
    return np.frombuffer(value, "<f8").reshape(4, 4)


class _Version(msgspec.Struct):
    protocol: Any


_PlaneDescriptions = Annotated[list[tuple[str, str, list[int], Literal["raw"]]], Meta(max_length=len(PLANES))]
_HEADER = {
    name: kind for name, kind in get_type_hints(Frame, include_extras=True).items() if name not in ("planes", "skipped")
}
_ENCODER = msgspec.msgpack.Encoder(enc_hook=_encode_array)
_VERSIONS = msgspec.msgpack.Decoder(_Version)
#: A frame's header without the version: the fields of ``Frame``, with a description instead of each plane.
Header = msgspec.defstruct("Header", [*_HEADER.items(), ("planes", _PlaneDescriptions)])
_FRAMES = msgspec.msgpack.Decoder(Header, dec_hook=_decode_array)
_CONTROLS = msgspec.msgpack.Decoder(Control)


def _decode(decoder: msgspec.msgpack.Decoder[Any], part: Buffer, what: str) -> Any:
    """Decode a message of this protocol version. Raises ``ProtocolError``."""
    if len(part) > MAX_HEADER:
        raise ProtocolError(f"{what} header of {len(part)} bytes is over {MAX_HEADER}")
    try:
        version = _VERSIONS.decode(part).protocol
        if type(version) is not int or version != PROTOCOL:
            name = version if type(version) is int else "unknown"
            raise ProtocolError(f"protocol version {name}, this side uses {PROTOCOL}: update the older side")
        return decoder.decode(part)
    except ProtocolError:
        raise
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"{what}: {error}") from None


def _shape(name: str, camera: Camera, mirror: RearView | None) -> tuple[int, ...] | None:
    """Return the shape of a plane of the frame's ``camera`` or of its ``mirror``; None if that has none."""
    if name not in MIRROR_PLANES:
        return plane_shape(name, camera.height, camera.width)
    if mirror is None or (mirror.camera.width, mirror.camera.height) != MIRRORS[mirror.name]:
        return None
    return plane_shape(name, mirror.camera.height, mirror.camera.width)


def _planes(header: Any, parts: Sequence[Buffer]) -> dict[str, np.ndarray]:
    descriptions = header.planes
    if len(descriptions) != len(parts):
        raise ProtocolError(f"{len(parts)} planes were received, {len(descriptions)} are described")
    planes: dict[str, np.ndarray] = {}
    for (name, dtype, shape, _), part in zip(descriptions, parts, strict=True):
        expected = "" if name not in PLANES or name in planes else PLANES[name][0]
        if not expected or dtype != expected or tuple(shape) != _shape(name, header.camera, header.mirror):
            raise ProtocolError(f"plane {name!r} is unknown, duplicate, or of the wrong dtype or shape")
        size, received = np.dtype(expected).itemsize * math.prod(shape), memoryview(part).nbytes
        if received != size:
            raise ProtocolError(f"plane {name!r} has {received} bytes, not {size}")
        planes[name] = np.frombuffer(part, expected).reshape(shape)
    return planes
