"""Options: the same from a command line, a YAML file and a parent; mistakes are one line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import pytest

from bridge.carla_client.options import BridgeOptions
from bridge.process.option_types import Count, Fov, Port, Rate
from bridge.process.options import Arg, Options, parse
from bridge.process.settings import SettingsError, load
from bridge.size import Size
from neuralsim.town.carla_server.options import TownOptions
from scenarios.engine.loader import parse as parse_scenario
from scenarios.language.problems import ScenarioError


def wrong(model: type[Options], capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one-line error for these arguments."""
    with pytest.raises(SystemExit) as ended:
        parse(model, arguments, "command")
    output = capsys.readouterr()
    assert (ended.value.code, output.out) == (2, "")
    assert output.err.startswith("command: ")
    assert output.err.count("\n") == 1
    return output.err


LINE = (
    "--carla sim:2000 --size 640x320 --fov 90 --fps 20 --seed 7 --weather wetsunset --camera 1,0,2.5,-10 "
    "--planes rgb,tag --scenario a.yaml --autopilot --no-realtime --frames 9"
)
FILE = """
carla: sim:2000
size: 640x320
fov: 90
fps: 20
seed: 7
weather: wetsunset
camera: [1, 0, 2.5, -10]
planes: [rgb, tag]
scenario: a.yaml
autopilot: true
realtime: false
frames: 9
"""


def test_file_and_command_line_give_the_same_options(tmp_path: Path):
    (tmp_path / "bridge.yaml").write_text(FILE, encoding="utf-8")
    by_line = parse(BridgeOptions, LINE.split(), "bridge")
    by_file = parse(BridgeOptions, ["--config", str(tmp_path / "bridge.yaml")], "bridge")
    assert by_line == by_file
    assert by_line.model_fields_set == by_file.model_fields_set
    assert (by_file.size, by_file.planes, by_file.weather) == (Size(640, 320), ("tag", "rgb"), "WetSunset")


def test_child_gets_only_the_options_that_its_parent_has_set():
    options = parse(BridgeOptions, LINE.split(), "bridge")
    child = parse(BridgeOptions, [options.to_json()], "bridge")
    assert child == options
    assert child.model_fields_set == options.model_fields_set, "a scenario sets what is not set"
    assert set(json.loads(options.to_json())) == options.model_fields_set


def test_command_line_overrides_the_file(tmp_path: Path):
    (tmp_path / "bridge.yaml").write_text(FILE, encoding="utf-8")
    more = ["--seed", "8", "--no-autopilot", "--realtime"]
    options = parse(BridgeOptions, ["--config", str(tmp_path / "bridge.yaml"), *more], "bridge")
    assert (options.seed, options.autopilot, options.realtime, options.fps) == (8, False, True, 20.0)


@pytest.mark.parametrize("dashed", ["streaming-port", "streaming_port"])
def test_keys_of_a_file_are_the_options_names(tmp_path: Path, dashed: str):
    (tmp_path / "town.yaml").write_text(f"{dashed}: 2001\n", encoding="utf-8")
    assert parse(TownOptions, ["--config", str(tmp_path / "town.yaml")], "town").streaming_port == 2001


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 3\nvehicels: 2\n", "{file}:2: unknown key 'vehicels'; did you mean vehicles?"),
        ("seed: 3\n\nseed: 4\n", "{file}:3: seed: given twice, first in line 1"),
        ("seed: 3\nvehicles: -2\n", "{file}:2: vehicles: '-2' is not a whole number of 0 or more, at most 1000"),
        ("seed: true\n", "{file}:1: seed: 'True' is not a whole number of 0 or more"),
        ("- 3\n", "{file}:1: must be a mapping"),
        ("a: [\n", "{file}:2: not YAML"),
        ("", "{file}:1: empty"),
        (None, "{file}: no such file or directory"),
    ],
)
def test_mistake_in_a_file_is_reported_with_its_line(tmp_path: Path, capsys, text: str | None, message: str):
    file = tmp_path / "town.yaml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    assert message.format(file=file) in wrong(TownOptions, capsys, "--config", str(file))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--vehicels 3", "unknown option '--vehicels'; did you mean --vehicles? (see command --help)"),
        ("--vehicles", "argument --vehicles: expected one argument"),
        ("--vehicles 1001", "argument --vehicles: '1001' is not a whole number of 0 or more, at most 1000"),
        ("--port 65536", "argument --port: '65536' is not a port, 0 to 65535"),
        ("--seed 1_000", "argument --seed: '1_000' is not a whole number of 0 or more"),
        ("here", "unrecognized arguments: here"),
        ('{"vehicels":3}', "argument vehicels: unknown key; did you mean vehicles?"),
        ("{", "invalid JSON"),
    ],
)
def test_mistake_on_a_command_line_is_one_line(capsys, arguments: str, message: str):
    assert message in wrong(TownOptions, capsys, *arguments.split())


@pytest.mark.parametrize("size", ["31x256", "512x4097", "512", "512x", "x256", "512x256x3", "1e2x64", "", "٣٢x64"])
def test_invalid_size_gives_the_same_message_everywhere(tmp_path: Path, capsys, size: str):
    with pytest.raises(ValueError, match="is not WIDTHxHEIGHT with 32 to 4096 pixels each") as refused:
        Size.parse(size)
    message = str(refused.value)
    assert message in wrong(BridgeOptions, capsys, "--size", size)
    assert message in wrong(BridgeOptions, capsys, json.dumps({"size": size}))
    (tmp_path / "bridge.yaml").write_text(f"size: '{size}'\n", encoding="utf-8")
    assert f"bridge.yaml:1: size: {message}" in wrong(BridgeOptions, capsys, "--config", str(tmp_path / "bridge.yaml"))
    scenario = f"title: a\nduration: 3\ncamera:\n  size: '{size}'\nego: {{spawn: {{point: 0}}, do: []}}\nassert: []\n"
    with pytest.raises(ScenarioError) as played:
        parse_scenario(Path("a.yaml"), scenario)
    assert f"a.yaml:4: camera.size: {message}" in str(played.value)


@pytest.mark.parametrize("value", ["512x256", "512X256", (512, 256), [512, 256], Size(512, 256)])
def test_valid_sizes_are_accepted(value: object):
    size = Size.parse(value)  # type: ignore[arg-type]
    assert size == (512, 256)
    assert (size.width, size.height, str(size)) == (512, 256, "512x256")


class Sample(Options):
    """A sample of options."""

    where: Annotated[Path, Arg("PLACE", positional=True)]
    """Where 100 % of it is."""
    speed: Annotated[Rate, Arg(group="how fast")] = 2.5
    """Hz."""
    quiet: bool = False
    """Say nothing."""
    keep: bool = True
    """Do not throw away."""
    port: Port | None = None
    """Where it listens (default: nowhere)."""
    angle: Fov = 70.0
    """Degrees."""
    count: Annotated[Count, Arg(internal=True)] = 3
    """For other code."""


def test_help_is_generated_from_the_fields(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(Sample, ["--help"], "sample", "About it.")
    text = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    for part in (
        "usage: sample PLACE [options] About it.",
        "PLACE Where 100 % of it is --",
        "how fast: --speed RATE Hz (default: 2.5)",
        "--quiet Say nothing --keep",
        "--keep, --no-keep Do not throw away (default: on)",
        "--port N Where it listens (default: nowhere) --angle",
        "--angle DEGREES Degrees (default: 70)",
    ):
        assert part in text.replace("options: -h, --help show this help message and exit ", "").replace(
            "--config FILE.yaml Read options that are not given here from this file, by their names without dashes",
            "--",
        ), part
    assert "count" not in text


def test_internal_options_are_not_available_to_users(tmp_path: Path, capsys):
    (tmp_path / "sample.yaml").write_text("count: 4\n", encoding="utf-8")
    assert "unknown option '--count'" in wrong(Sample, capsys, "here", "--count", "4")
    assert "unknown key 'count'" in wrong(Sample, capsys, "here", "--config", str(tmp_path / "sample.yaml"))
    assert parse(Sample, [Sample(where=Path("here"), count=4).to_json()], "sample").count == 4
    latin = Sample(where=Path(os.fsdecode(b"Stra\xdfe")), count=4)  # a file name that is not UTF-8
    assert parse(Sample, [latin.to_json()], "sample").where == latin.where


def test_required_options_may_be_in_the_file(tmp_path: Path, capsys):
    assert "the following arguments are required: PLACE" in wrong(Sample, capsys)
    (tmp_path / "sample.yaml").write_text("where: here\n", encoding="utf-8")
    assert parse(Sample, ["--config", str(tmp_path / "sample.yaml")], "sample").where == Path("here")


def test_settings_of_any_model_are_read_with_their_lines(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("where: here\nkepe: false\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"a\.yaml:2: kepe: unknown key; did you mean keep\?"):
        load(tmp_path / "a.yaml", Sample)
