"""Property tests of everything that reads what strangers send: any input is read or refused by the reader's own error.

``make fuzz`` runs them with many more examples (``HYPOTHESIS_PROFILE=fuzz``).
"""

from __future__ import annotations

# ruff: noqa: PT017  whether an input is refused is up to the input; how, is what is tested
import os
import tempfile
from pathlib import Path

import pytest
from hostile.attack import SCENARIO
from hostile.corpus import roads
from hostile.hostile_recordings import recording
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from bridge.link.frame_header import unpack, unpack_control
from bridge.messages import ProtocolError
from bridge.untrusted import yaml as untrusted_yaml
from bridge.untrusted.files import FileRefused
from bridge.untrusted.names import path_inside
from neuralsim import classmaps
from neuralsim.recording import RecordingError
from neuralsim.recording.reading import json_messages
from neuralsim.recording.reading.image_decoding import decode
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
from neuralsim.recording.reading.sequential_reader import McapRecording
from neuralsim.town.opendrive import probe
from neuralsim.town.opendrive.dialects import normalise
from neuralsim.zoo import ModelError, load
from scenarios.engine.loader import ScenarioError, parse
from scenarios.openscenario.reader import translate

settings.register_profile("often", max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("fuzz", max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "often"))

_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_edits = some.lists(
    some.tuples(some.integers(0, 10_000), some.integers(0, 12), some.binary(max_size=6)), min_size=1, max_size=5
)


def _edited(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """``data`` with pieces of it replaced."""
    for at, length, new in edits:
        place = at % (len(data) + 1)
        data = data[:place] + new + data[place + length :]
    return data


@pytest.fixture(scope="module")
def whole() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mcap"
        recording(path)
        return path.read_bytes()


@given(some.text())
def test_yaml_is_read_or_refused_with_a_line(text: str) -> None:
    try:
        untrusted_yaml.parse(text)
    except untrusted_yaml.YamlError as error:
        assert error.line >= 1
        assert "\n" not in str(error)


@given(_edits)
def test_a_scenario_is_read_or_refused(edits: list[tuple[int, int, bytes]]) -> None:
    text = _edited(SCENARIO.encode(), edits).decode(errors="replace")
    try:
        parse(Path("a.yaml"), text, {})
    except ScenarioError as error:
        assert str(error).startswith("a.yaml:")


@given(some.sampled_from(["seed", "ego", "camera", "remap", "cameras", "end", "lights", "actors", "weather"]), _values)
def test_a_scenario_with_a_value_of_another_kind_is_refused(key: str, value: object) -> None:
    import yaml

    data = yaml.safe_load(SCENARIO)
    data[key] = value
    try:
        parse(Path("a.yaml"), yaml.safe_dump(data), {})
    except ScenarioError as error:
        assert str(error).startswith("a.yaml:")


@given(_edits)
def test_an_openscenario_file_is_read_or_refused(edits: list[tuple[int, int, bytes]]) -> None:
    from hostile.corpus import _xosc

    try:
        translate(Path("a.xosc"), _edited(_xosc(speed="${1 + round(2.5)}").encode(), edits))
    except ScenarioError as error:
        assert str(error).startswith("a.xosc:")


@given(_edits)
def test_a_map_is_read_or_refused(edits: list[tuple[int, int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.xodr"
        path.write_bytes(_edited(roads(2).encode(), edits))
        try:
            normalise(probe.read("a", path)[1])
        except ValueError as error:
            assert "\n" not in str(error)


@given(edits=_edits)
def test_a_recording_is_read_or_refused(whole: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mcap"
        path.write_bytes(_edited(whole, edits))
        for read in (_read_through, _read_by_number):
            try:
                read(path)
            except RecordingError as error:
                assert "\n" not in str(error)


def _read_through(path: Path) -> None:
    for frame in McapRecording(path).frames():
        assert frame.index >= 0


def _read_by_number(path: Path) -> None:
    with RecordingReader(path) as reader:
        for number in range(min(len(reader), 5)):
            frame_of(reader.read(number))


@given(some.sampled_from(["/ego", "/control", "/scenario", "/objects"]), _values | some.binary())
def test_json_of_a_recording_is_checked(topic: str, value: object) -> None:
    import json

    try:
        json_messages.read(topic, value if isinstance(value, bytes) else json.dumps(value).encode())
    except ValueError as error:
        assert str(error).startswith(topic)


@given(some.binary(max_size=300))
def test_noise_is_no_picture(data: bytes) -> None:
    picture = decode(data)
    assert picture is None or picture.size


@given(some.dictionaries(some.text(max_size=8) | some.just("labels") | some.just("like"), _values, max_size=4))
def test_a_class_map_is_read_or_refused(data: dict[str, object]) -> None:
    import yaml

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        try:
            classmaps.load(str(path))
        except classmaps.ClassMapError as error:
            assert "\n" not in str(error)


@given(some.sampled_from(["name", "file", "sha256", "inputs", "multiple_of", "styles", "default_style"]), _values)
def test_a_card_is_read_or_refused(key: str, value: object) -> None:
    import yaml

    card = {"name": "a", "file": "m", "sha256": "0" * 64, "inputs": ["tag"], "multiple_of": 32}
    card |= {"styles": {"day": [[0.0, 0.0, 0.0]]}, "default_style": "day", key: value}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
        with pytest.raises(ModelError):  # there is no graph, even where the card is well
            load(folder)


@given(some.text(max_size=30))
def test_no_name_leads_out_of_a_folder(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = path_inside(Path(folder), name)
        except ValueError:
            return
        assert path.resolve().is_relative_to(Path(folder).resolve())


@given(some.lists(some.binary(max_size=60), max_size=4), some.binary(max_size=80))
def test_noise_on_the_links_is_refused(parts: list[bytes], control: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack([b"frame", *parts])
    with pytest.raises(ProtocolError):
        unpack_control(control)


@given(some.binary(max_size=100))
def test_noise_is_no_xml(data: bytes) -> None:
    from bridge.untrusted import xml

    try:
        xml.parse(data.decode(errors="replace"), 10, 5)
    except FileRefused as error:
        assert "\n" not in str(error)
