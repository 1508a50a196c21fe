"""The link's messages as JSON Schema, from the types that decode them; ``bridge/link/header.schema.json`` holds it.

Messages are msgpack, which has bytes where JSON has none: of those, ``x-msgpack`` says ``bin``, and ``x-dtype`` and
``x-shape`` what array they are, C-order and little-endian.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np

from bridge.link.frame_header import Header
from bridge.link.transport import QUEUE, Request
from bridge.messages import COLUMNS, HALVES, MAX_HEADER, MIRROR, PLANES, PROTOCOL, TOPIC, Control

_WHOLE, _HALF = ["H", "W"], ["(H + 1) / 2", "(W + 1) / 2"]


def _array(kind: type) -> dict[str, Any]:
    """What the decoder's hook takes for an array: the matrix of a pose, or rows of f32."""
    if kind in COLUMNS:
        return _bytes("<f4", ["N", COLUMNS[kind]], f"Rows of finite numbers: {(kind.__doc__ or '').rstrip('.')}.")
    if issubclass(kind, np.ndarray):
        return _bytes("<f8", [4, 4], "A pose, world <- local, 128 bytes: x forward, y right, z up, metres.")
    raise NotImplementedError(f"no schema for {kind}")


def _bytes(dtype: str, shape: list[Any], description: str) -> dict[str, Any]:
    return {"description": description, "x-msgpack": "bin", "x-dtype": dtype, "x-shape": shape}


def json_schema() -> str:
    """The header of a frame, a control and a receiver's request as JSON Schema, with the protocol's constants."""
    kinds = {"header": Header, "control": Control, "request": Request}
    _, parts = msgspec.json.schema_components(kinds.values(), schema_hook=_array)
    for kind in (Header, Control):  # the version stands beside the fields of the types
        part = parts[kind.__name__]
        part["properties"] = {"protocol": {"const": PROTOCOL}, **part["properties"]}
        part["required"] = ["protocol", *part["required"]]
    parts[Header.__name__]["properties"]["mirror"] = _bytes(
        "u1", [MIRROR[1], MIRROR[0], 3], "The rear mirror's picture, RGB, left and right exchanged; none: no new one."
    )
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"NeuralSim's link, protocol {PROTOCOL}",
        "x-protocol": PROTOCOL,
        "x-topic": TOPIC.decode(),
        "x-planes": {
            name: {"dtype": dtype, "shape": [*(_HALF if name in HALVES else _WHOLE), *tail]}
            for name, (dtype, tail) in PLANES.items()
        },
        "x-limits": {"header_bytes": MAX_HEADER, "credit": QUEUE},
        "properties": {name: {"$ref": f"#/$defs/{kind.__name__}"} for name, kind in kinds.items()},
        "$defs": parts,
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
