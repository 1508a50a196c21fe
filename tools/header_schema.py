"""The link's messages as JSON Schema, derived from the types that decode them.

The result is stored in ``bridge/link/header.schema.json``. Messages are msgpack, which has a bytes type; JSON has none.
Such fields have ``x-msgpack: bin``, and ``x-dtype`` and ``x-shape`` describe the array, C-order and little-endian.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from bridge.link.frame_header import Header
from bridge.link.transport import QUEUE, Request
from bridge.messages import (
    COLUMNS,
    HALF_SIZE_PLANES,
    MAX_HEADER,
    MIRROR_PLANES,
    PLANES,
    PROTOCOL,
    TOPIC,
    Control,
)

_FULL, _HALF, _MIRROR = ["H", "W"], ["(H + 1) / 2", "(W + 1) / 2"], ["H of mirror", "W of mirror"]


def _array(kind: type) -> dict[str, Any]:
    """Return the schema of an array as the decoder's hook accepts it: a pose matrix, or rows of f32."""
    if kind in COLUMNS:
        return _bytes("<f4", ["N", COLUMNS[kind]], f"Rows of finite numbers: {(kind.__doc__ or '').rstrip('.')}.")
    if issubclass(kind, np.ndarray):
        return _bytes("<f8", [4, 4], "A pose, world <- local, 128 bytes: x forward, y right, z up, metres.")
    raise NotImplementedError(f"no schema for {kind}")


def _bytes(dtype: str, shape: list[Any], description: str) -> dict[str, Any]:
    return {"description": description, "x-msgpack": "bin", "x-dtype": dtype, "x-shape": shape}


def _sides(plane: str) -> Sequence[Any]:
    """Return height and width of a plane, or what they depend on."""
    if plane in MIRROR_PLANES:
        return _MIRROR
    return _HALF if plane in HALF_SIZE_PLANES else _FULL


def json_schema() -> str:
    """Return the JSON Schema of a frame's header, a control and a receiver's request, with the protocol's constants."""
    kinds = {"header": Header, "control": Control, "request": Request}
    _, parts = msgspec.json.schema_components(kinds.values(), schema_hook=_array)
    for kind in (Header, Control):  # the version is sent in addition to the fields of the types
        part = parts[kind.__name__]
        part["properties"] = {"protocol": {"const": PROTOCOL}, **part["properties"]}
        part["required"] = ["protocol", *part["required"]]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"NeuralSim's link, protocol {PROTOCOL}",
        "x-protocol": PROTOCOL,
        "x-topic": TOPIC.decode(),
        "x-planes": {name: {"dtype": dtype, "shape": [*_sides(name), *tail]} for name, (dtype, tail) in PLANES.items()},
        "x-limits": {"header_bytes": MAX_HEADER, "credit": QUEUE},
        "properties": {name: {"$ref": f"#/$defs/{kind.__name__}"} for name, kind in kinds.items()},
        "$defs": parts,
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
