"""The table of classes: a new class takes one line there, and one in the generator's table."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bridge.carla_client.sensor_rigs import SensorRigs
from bridge.carla_client.surroundings import describe_actor
from bridge.image_decoding import split_instance
from bridge.tags import COLOURS, COUNT, MOVERS, Tag, tag_by_name

ROOT = Path(__file__).parents[2]


def with_line(file: str, after: str, line: str) -> ModuleType:
    """Return the module in ``file`` with ``line`` inserted after the line that begins with ``after``."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    at = next(k for k, text in enumerate(lines) if text.strip().startswith(after))
    module = ModuleType(file)
    exec("\n".join([*lines[: at + 1], line, *lines[at + 1 :]]), module.__dict__)
    return module


def test_numbers_are_carlas_and_contiguous() -> None:
    assert [int(tag) for tag in Tag] == list(range(COUNT)) == list(range(29))
    assert (int(Tag.ROAD), int(Tag.CAR), int(Tag.GUARD_RAIL)) == (1, 14, 28)
    assert COLOURS.dtype == np.uint8
    assert COLOURS[Tag.CAR].tolist() == [0, 0, 142]
    assert len({tag.colour for tag in Tag}) == COUNT, "two classes look the same"
    assert {tag.name for tag in MOVERS} == {
        "PEDESTRIAN", "RIDER", "CAR", "TRUCK", "BUS", "TRAIN", "MOTORCYCLE", "BICYCLE",
    }  # fmt: skip


def test_new_class_needs_one_line_in_each_of_two_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = with_line("bridge/tags.py", "GUARD_RAIL", "    TRAM = 29, (1, 2, 3), True")
    assert tags.COUNT == COUNT + 1
    assert tags.COLOURS[29].tolist() == [1, 2, 3]
    assert [*map(int, tags.MOVERS)] == [*map(int, MOVERS), 29]
    assert tags.tag_by_name("Trams") == 29
    with pytest.raises(ValueError, match="unknown tag 'trams'"):
        tag_by_name("trams")
    monkeypatch.setitem(sys.modules, "bridge.tags", tags)
    classes = with_line("neuralsim/models/classes.py", "Tag.GUARD_RAIL", "    Tag.TRAM: Channel.VEHICLE,")
    assert classes.CARLA_TO_CHANNEL[29] == classes.Channel.VEHICLE


def test_tags_of_newer_servers_are_known_or_other() -> None:
    """CARLA 1.0's Rock is terrain; what no table knows is OTHER, and is returned for one line to the driver."""
    raw = np.array([14, 29, 40, 200], np.uint32)
    tag, instance = np.zeros(4, np.uint8), np.zeros(4, np.uint16)
    assert split_instance(raw << 16 | 5 << 8, tag, instance) == 200
    assert tag.tolist() == [Tag.CAR, Tag.TERRAIN, Tag.OTHER, Tag.OTHER]
    assert split_instance(np.array([14 << 16, 29 << 16], np.uint32), tag[:2], instance[:2]) == 0


def test_an_unknown_tag_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rigs: Any = SensorRigs.__new__(SensorRigs)
    rigs._unknown, rig = set(), SimpleNamespace(unknown_tag=40)
    monkeypatch.setattr(SensorRigs, "_rigs", lambda self: {"": rig})
    assert rigs.unknown_tags() == "The server's tag 40 is unknown here: rendered as OTHER"
    assert rigs.unknown_tags() == ""
    rig.unknown_tag = 41
    assert "tag 41" in rigs.unknown_tags()


def test_what_was_hit_may_have_a_newer_tag() -> None:
    """The event comes in a thread of the client, where an exception ends the process."""
    for tags, word in (([14], "car"), ([29], "something"), ([], "car")):
        actor: Any = SimpleNamespace(type_id="vehicle.lincoln.mkz", semantic_tags=tags, attributes={})
        assert describe_actor(actor) == word
