"""The link's JSON Schema is what the decoders check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bridge import messages
from bridge.link import frame_header
from tools import header_schema

COMMITTED = Path(frame_header.__file__).with_name("header.schema.json")
TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", list: "array", dict: "object"}


def test_the_committed_schema_is_current() -> None:
    command = "python -m tools.header_schema > bridge/link/header.schema.json"
    assert header_schema.json_schema() == COMMITTED.read_text(encoding="utf-8"), command


def conforms(value: Any, part: dict[str, Any], defs: dict[str, Any]) -> None:
    """Check ``value`` by as much of JSON Schema as msgspec writes."""
    if "$ref" in part:
        part = defs[part["$ref"].rpartition("/")[2]]
    if "anyOf" in part:
        assert any(one.get("type") == "null" for one in part["anyOf"]) or value is not None
        return
    if part.get("x-msgpack") == "bin":
        assert isinstance(value, bytes)
        sides = [side for side in part["x-shape"] if side != "N"]
        assert len(value) % (np.dtype(part["x-dtype"]).itemsize * int(np.prod(sides))) == 0
        return
    if "const" in part or "enum" in part:
        assert value in part.get("enum", [part.get("const")])
        return
    kind = part["type"]
    assert TYPES[type(value)] == kind or (kind == "number" and isinstance(value, int)), (value, part)
    if kind == "object" and "properties" in part:
        assert set(value) == set(part["properties"])
        for name, one in value.items():
            conforms(one, part["properties"][name], defs)
    elif kind == "array" and isinstance(part.get("items"), dict):
        for one in value:
            conforms(one, part["items"], defs)


@pytest.mark.parametrize("what", ["header", "control"])
def test_sent_messages_conform_to_the_schema(what: str) -> None:
    whole = msgspec.json.decode(COMMITTED.read_bytes())
    planes = {"tag": np.zeros((2, 4), np.uint8), "motion": np.zeros((2, 4, 2), np.float16)}
    moving = messages.MovingObject(3, 14, np.eye(4), (2.0, 1.0, 0.7))
    frame = messages.Frame(1, 2, 0.5, messages.Camera(4, 2, 70.0, np.eye(4)), planes, objects=[moving])
    packed = frame_header.pack(frame)[1] if what == "header" else frame_header.pack_control(messages.Control(7))
    conforms(msgspec.msgpack.decode(packed), whole["properties"][what], whole["$defs"])
    assert whole["x-planes"]["motion"] == {"dtype": "<f2", "shape": ["H", "W", 2]}
