"""The command line: processes, exit codes and one-line messages."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import carla
import pytest

from bridge.carla_client.camera_rig import SENSORS
from bridge.messages import MIRROR_PLANES, PLANES
from bridge.process import presets
from neuralsim.base import extras
from neuralsim.cli import main
from neuralsim.cli.app import COMMANDS, GROUPS, RENAMED
from neuralsim.session.drive_session import DriveSession
from neuralsim.town.opendrive.towns import TOWNS

ROOT = Path(__file__).resolve().parents[3]


def neuralsim(*arguments: str, display: str | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment["PYTHONPATH"] = str(ROOT)
    if display:
        environment["DISPLAY"] = display
    command = [sys.executable, "-m", "neuralsim", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd=cwd, check=False)


def test_help_is_fast_and_names_every_command():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = neuralsim("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # CPU time, independent of other load: 0.06 s.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3
    assert done.returncode == 0
    assert all(f"    {name} " in done.stdout for name in ("drive", "town", "link", "doctor"))


@pytest.mark.parametrize("kind", ["daemon", "thread", "model"])
def test_a_process_ends_without_the_teardown_unless_a_thread_is_waited_for(kind: str):
    code = """
import atexit, os, sys, threading, time
from neuralsim.cli import app
class Torn:
    def __del__(self, write=os.write):
        write(1, b"torn down\\n")
def work():
    time.sleep(0.3)
    os.write(1, b"thread done\\n")
def main():
    atexit.register(print, "exit function")
    name, daemon = sys.argv[1], sys.argv[1] != "thread"
    threading.Thread(target=work, name=name, daemon=daemon).start()
    print("output")
    return 3
app.main, kept = main, Torn()
app.run_process()
"""
    command = [sys.executable, "-c", code, kind]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    lines = {
        "daemon": {"output", "exit function"},
        "thread": {"output", "thread done", "exit function", "torn down"},
        "model": {"output"},  # a compiler is running
    }
    assert (set(done.stdout.splitlines()), done.returncode) == (lines[kind], 3), done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_cannot_be_written_is_a_failure():
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "neuralsim", "--version"]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, cwd=ROOT, env=buffered, timeout=60, check=False)
    assert done.returncode != 0


def test_help_of_every_command_imports_nothing_heavy():
    code = """
import contextlib, io, sys
from neuralsim.cli.app import COMMANDS, main
for command in (name.split() for name in COMMANDS):
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.suppress(SystemExit):
        main([*command, "--help"])
    assert output.getvalue().startswith(f"usage: neuralsim {' '.join(command)} "), command
    assert not {"numpy", "torch", "carla", "zmq", "cv2", "pygame"} & sys.modules.keys(), command
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_of_one_subject_are_a_group_with_a_help_of_its_own(capsys) -> None:
    for name, summary in GROUPS.items():
        members = [each.partition(" ")[2] for each in COMMANDS if each.startswith(f"{name} ")]
        assert main([name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert members
        assert all(f"\n    {each} " in shown or f"\n    {each}\n" in shown for each in members)
        assert main(["--help"]) == 0
        assert summary in " ".join(capsys.readouterr().out.split())
        assert main([name, "none-such"]) == 2
        assert "none-such" in capsys.readouterr().err
    assert main(["recording"]) == 2
    assert {name.partition(" ")[0] for name in COMMANDS if " " in name} == GROUPS.keys()
    assert len([name for name in COMMANDS if " " not in name]) == 11


def test_names_of_the_last_release_work_and_say_their_new_one(capsys) -> None:
    assert set(RENAMED.values()) <= COMMANDS.keys()
    assert not RENAMED.keys() & COMMANDS.keys()
    assert main(["keys", "--none-such"]) == 2
    first, second = capsys.readouterr().err.splitlines()[:2]
    assert first == "neuralsim: `keys` is `link keys` now; the old name works for one more release"
    assert "none-such" in second
    assert main(["link", "keys", "--none-such"]) == 2
    assert "is now" not in capsys.readouterr().err


def test_choices_match_what_exists():
    assert set(presets.WEATHERS) == {name for name in dir(carla.WeatherParameters) if name[0].isupper()}
    assert set(presets.TOWNS) == set(TOWNS)
    assert presets.PLANES == tuple(name for name in PLANES if name not in MIRROR_PLANES) == tuple(SENSORS)


def test_commands_let_threads_alternate_faster_than_python_does(capsys) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    try:
        main(["--version"])
        assert sys.getswitchinterval() < 0.001
    finally:
        sys.setswitchinterval(before)


def test_help_of_drive_shows_defaults():
    text = neuralsim("drive", "--help").stdout
    for default in ("oldtown", "auto", "20", "24"):
        assert f"default: {default})" in text, default
    assert "--size WxH|auto" in text


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "COMMAND"),
        (("fly",), "fly"),
        (("drive", "--size", "big"), "512x256"),
        (("drive", "--size", "8x8"), "512x256"),
        (("drive", "--frames", "0"), "1 or more"),
        (("drive", "--seed", "-1"), "--seed"),
        (("drive", "--fps", "nan"), "rate"),
        (("drive", "--record", "drive.avi"), ".mp4"),
        (("drive", "--report", "report.txt"), ".json"),
        (("drive", "--carla", "localhost"), "HOST:PORT"),
        (("drive", "--connect", "localhost:5555"), "tcp://"),
        (("drive", "--connect", "tcp://host:5555", "--town", "oldtown"), "--town"),
        (("drive", "--carla", "host:2000", "--vehicles", "3"), "--vehicles"),
        (("drive", "--connect", "tcp://host:5555", "--fps", "20"), "--fps"),
        (("drive", "--vehicles", "100000"), "at most 1000"),
        (("drive", "--keys", "keys"), "--connect"),
        (("drive", "--nonsense"), "neuralsim drive --help"),
        (("link", "keys"), "ACTION"),
        (("town", "--seed", "-1"), "whole number"),
        (("town", "--port", "99999"), "0 to 65535"),
        (("link", "bridge", "--seed", "-1"), "whole number"),
        (("link", "bridge", "--size", "5x"), "WIDTHxHEIGHT"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...], word: str, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert word in captured.err


def test_wrong_usage_of_the_process_is_exit_code_2():
    done = neuralsim("drive", "--fly")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def test_a_python_that_is_not_supported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever package is missing: pip refuses to install NeuralSim there."""
    error = ModuleNotFoundError("No module named 'pydantic'", name="pydantic")
    assert extras.missing(error, "drive") == 'pydantic is missing: pip install "neuralsim[drive]"'
    monkeypatch.setattr(extras, "PYTHONS", ((3, 8), (3, 9)))
    here = ".".join(map(str, sys.version_info[:2]))
    assert extras.missing(error, "drive") == f"NeuralSim needs Python 3.8 to 3.9, this is {here}"


def test_missing_display_is_reported_before_anything_starts(monkeypatch, capsys):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    started: list[str] = []
    monkeypatch.setattr(DriveSession, "start", lambda self: started.append("session"))
    assert main(["drive"]) == 1
    assert (
        capsys.readouterr().err
        == "neuralsim: no display: set DISPLAY, use --headless, or drive in a browser with `make serve`\n"
    )
    assert not started


def test_unreachable_display_is_one_line():
    done = neuralsim("drive", display=":4567")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "--headless" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("--model", "no-such"), ("no-such", "street-rt")),
        (("--runtime", "no-such"), ("no-such", "onnxruntime")),
        (("--town", "no-such.xodr"), ("no-such.xodr",)),
        pytest.param(("--carla", "127.0.0.1:9"), ("127.0.0.1:9",), marks=pytest.mark.slow),
        (("--connect", "tcp://10.1.2.3:5555"), ("--keys",)),
        pytest.param(("--report", "/proc/r.json"), ("cannot write /proc/r.json",), marks=pytest.mark.slow),
        (("--record", "/proc/r.mp4"), ("cannot write /proc/r.mp4",)),
    ],
)
def test_unknown_or_missing_resources_are_one_line_and_exit_code_1(arguments: tuple[str, ...], texts: tuple[str, ...]):
    done = neuralsim("drive", "--headless", "--frames", "1", *arguments)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if not line.startswith("waiting for")]
    assert len(lines) == 1, done.stderr
    assert all(text in lines[0] for text in texts), lines[0]


@pytest.mark.parametrize("option", ["--town", "--weather"])
def test_unknown_name_is_reported_before_anything_starts(option: str, monkeypatch, capsys):
    started: list[str] = []
    monkeypatch.setattr(DriveSession, "start", lambda self: started.append("session"))
    assert main(["drive", "--headless", "--frames", "1", option, "no-such"]) == 1
    assert "'no-such'; expected one of " in capsys.readouterr().err
    assert not started


def test_keys_are_not_overwritten(tmp_path: Path):
    first = neuralsim("link", "keys", "new", str(tmp_path / "k"))
    assert first.returncode == 0
    assert (tmp_path / "k" / "secret").stat().st_mode & 0o777 == 0o600
    again = neuralsim("link", "keys", "new", str(tmp_path / "k"))
    assert again.returncode == 1
    assert len(again.stderr.splitlines()) == 1


def test_doctor_examines_everything():
    done = neuralsim("doctor")
    assert done.returncode == 0, done.stdout
    for word in ("Python", "carla", "street-rt", "openvino", "xvfb", "A drive is possible"):
        assert word in done.stdout
