"""A simulated person drives in a real window on a virtual screen."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pygame
import pytest
from helpers import drive_log
from helpers.command import ROOT

from neuralsim.drive import settings
from neuralsim.recording.reading.random_access_reader import RecordingReader
from neuralsim.window import sound

pytestmark = pytest.mark.alone

MISSING = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
needs_display = pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)}: apt-get install xvfb xdotool")


@pytest.fixture
def display() -> Iterator[str]:
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [
            "Xvfb",
            "-displayfd",
            str(writing),
            "-screen",
            "0",
            "1280x720x24",
            "-nolisten",
            "tcp",
            "-noreset",
        ],  # no reset between windows
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait(5)


class Person:
    """A person in front of the window, who also reads the log."""

    def __init__(self, display: str, folder: Path, *arguments: str) -> None:
        self.log = folder / "log.jsonl"
        self.environment = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"}
        self.environment |= {"DISPLAY": display, "PYTHONPATH": str(ROOT), "NEURALSIM_CONFIG": str(folder / "config")}
        self.environment.pop("SDL_VIDEODRIVER", None)
        self.audio = folder / "audio.raw"  # what it plays, s16
        self.environment |= {"SDL_AUDIODRIVER": "disk", "SDL_DISKAUDIOFILE": str(self.audio)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "neuralsim", "drive", "--runtime", "openvino", "--log", str(self.log), *arguments],
            cwd=folder,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def xdotool(self, *arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env=self.environment, check=True, capture_output=True)

    def press(self, key: str) -> None:
        self.xdotool("key", key)

    def in_windows(self, *arguments: str) -> None:
        """Call xdotool for each window of the process: helper windows that nothing can be done to may be among them."""
        search = ["xdotool", "search", "--pid", str(self.process.pid)]
        windows = subprocess.run(
            search, env=self.environment, capture_output=True, text=True, check=True
        ).stdout.split()
        for window in windows:
            command = ["xdotool", *(each.format(window) for each in arguments)]
            subprocess.run(command, env=self.environment, capture_output=True, check=False)

    def resize(self, width: int, height: int) -> None:
        self.in_windows("windowsize", "{}", str(width), str(height))

    def newest(self) -> dict:
        return drive_log.newest(self.log)

    def until(self, what: Callable[[dict], bool], timeout: float = 20.0) -> dict:
        """Wait until the newest line of the log satisfies ``what``, and return that line."""
        end = time.monotonic() + timeout
        while True:
            line = self.newest()
            if line and what(line):
                return line
            if self.process.poll() is not None:
                raise AssertionError(f"ended: {self.process.communicate()[1]}")
            assert time.monotonic() < end, f"never came; at last: {line}"
            time.sleep(0.05)

    def drive_until(self, what: Callable[[dict], bool], speed: float, timeout: float = 90.0) -> dict:
        """Hold W below ``speed`` (m/s) until the newest line of the log satisfies ``what``, and return that line."""
        end, held = time.monotonic() + timeout, False
        try:
            while not what(line := self.newest()):
                assert time.monotonic() < end, f"never came; at last: {line}"
                slow = line["speed"] < speed
                if slow != held:
                    self.xdotool("keydown" if slow else "keyup", "w")
                    held = slow
                time.sleep(0.05)
        finally:
            self.xdotool("keyup", "w")
        return line

    def picture(self, folder: Path, key: str = "shift+F12") -> np.ndarray:
        """Press F12 and read the file: u8 (H, W, 3); with shift what the window shows, HUD and all."""
        before = set(folder.glob("*.png"))
        self.press(key)
        end = time.monotonic() + 10.0
        while True:
            for file in set(folder.glob("*.png")) - before:
                with contextlib.suppress(pygame.error):  # still being written
                    return pygame.surfarray.array3d(pygame.image.load(str(file))).swapaxes(0, 1)
            assert time.monotonic() < end, "no screenshot"
            time.sleep(0.05)

    def other_picture(self, folder: Path, than: np.ndarray, least: float = 0.0) -> np.ndarray:
        """The first picture of which more than a share of ``least`` differs from ``than``."""
        end = time.monotonic() + 20.0
        while ((new := self.picture(folder)) != than).any(axis=-1).mean() <= least:
            assert time.monotonic() < end, "the picture did not change"
        return new

    def loudness(self, seconds: float = 0.4) -> float:
        """Of what is played from now on: deviation of samples, 0 .. 1."""
        begin, count = self.audio.stat().st_size // 2 * 2, int(2 * seconds * sound.RATE)
        end = time.monotonic() + 30.0
        while self.audio.stat().st_size < begin + count:
            assert time.monotonic() < end, "nothing is played"
            time.sleep(0.05)
        with self.audio.open("rb") as file:
            file.seek(begin)
            return float(np.frombuffer(file.read(count), "<i2").std()) / 32768.0

    def held(self) -> int:
        """Wait until frames have stopped coming for a second; the last one's sequence."""
        end = time.monotonic() + 20.0
        while True:
            before = self.newest()["sequence"]
            time.sleep(1.0)
            if self.newest()["sequence"] == before:
                return int(before)
            assert time.monotonic() < end, "it goes on"


@needs_display
@pytest.mark.timeout(900)  # on a machine that is busy with other things as well
def test_a_person_drives(display: str, tmp_path: Path):
    person = Person(display, tmp_path, "--size", "256x128", "--report", "r.json")
    try:
        start = person.until(lambda line: True, timeout=300.0)
        assert start["speed"] == pytest.approx(0.0, abs=0.5)

        person.xdotool("keydown", "w")
        person.until(lambda line: line["throttle"] == 1.0 and line["speed"] > 3.0)
        person.xdotool("keydown", "d")
        turning = person.until(lambda line: line["steer"] > 0.2)
        person.xdotool("keyup", "d", "keyup", "w", "keydown", "s")
        stopped = person.until(lambda line: abs(line["speed"]) < 0.3 and line["brake"] > 0.5)
        person.xdotool("keyup", "s")
        assert abs((stopped["yaw"] - start["yaw"] + 180.0) % 360.0 - 180.0) > 0.5, (start, turning, stopped)
        assert max(abs(stopped[axis] - start[axis]) for axis in "xy") > 1.0

        person.press("Return")  # skips the rest of the tutorial
        person.press("q")
        person.xdotool("keydown", "Up")
        person.until(lambda line: line["speed"] < -0.5 and line["gear"] == -1)
        person.xdotool("keyup", "Up", "keydown", "space")
        person.until(lambda line: line["hand_brake"] and abs(line["speed"]) < 0.3)
        person.xdotool("keyup", "space")
        weather = person.newest()["weather"]
        person.press("c")
        person.until(lambda line: line["weather"] != weather)
        person.press("p")
        person.until(lambda line: line["autopilot"])

        recordings = tmp_path / "recordings"
        person.press("r")
        end = time.monotonic() + 10.0
        while not list(recordings.glob("*/video.mp4")):
            assert time.monotonic() < end, "no recording"
            time.sleep(0.05)
        first = person.newest()["sequence"]
        person.until(lambda line: line["sequence"] > first + 10)
        person.press("r")

        person.press("f")
        held = person.held()
        time.sleep(2.0)  # until the notices have gone
        dressed = person.picture(recordings)
        person.press("Tab")
        plain = person.other_picture(recordings, dressed, 0.01)
        assert dressed.shape == plain.shape == (256, 512, 3)
        differs = (dressed != plain).any(axis=-1)
        height, width = differs.shape
        assert differs[: height // 8, -width // 4 :].mean() > 0.2  # rate and latency
        assert differs[-height // 4 :, -width // 5 :].mean() > 0.2  # the instruments
        assert not differs[: height * 4 // 5, width // 3 : width * 3 // 4].any()  # the road, and what hangs over it
        person.press("Tab")
        person.press("F3")
        full = person.other_picture(recordings, plain, 0.15)
        assert (full != dressed).any(axis=-1).mean() > 0.1
        bare = person.picture(recordings, "F12")
        over = (bare != plain).any(axis=-1)  # a screenshot has no HUD, neither badges nor notices
        assert 0.002 < over.mean() < 0.12
        assert not over[height // 8 : height * 4 // 5].any()
        person.press("F3")
        person.press("Tab")
        assert plain.std() > 12.0
        person.press("2")
        person.other_picture(recordings, plain, 0.5)  # tags
        person.press("f")
        person.until(lambda line: line["sequence"] > held)

        person.press("F11")
        end = time.monotonic() + 10.0
        while (whole := person.picture(recordings)).shape != (720, 1280, 3):
            assert time.monotonic() < end, whole.shape
        assert not whole[:40].any()  # black above the picture, which keeps its shape
        person.press("alt+Return")
        end = time.monotonic() + 20.0
        person.resize(640, 320)
        while (again := person.picture(recordings)).shape != (320, 640, 3):
            assert time.monotonic() < end, again.shape
            person.resize(640, 320)  # again: without a window manager the first one may be overtaken
        before = person.newest()["collisions"]
        quiet = person.loudness()
        person.xdotool("keydown", "n")
        end = time.monotonic() + 10.0
        while person.loudness() <= 1.4 * quiet:  # the horn
            assert time.monotonic() < end, "no horn"
        person.xdotool("keyup", "n")
        # straight ahead at a moderate speed, however few the frames, until something is there
        hit = person.drive_until(lambda line: line["collisions"] > before and not line["autopilot"], speed=9.0)
        assert hit["speed"] < 20.0
        person.press("Escape")
        held = person.held()  # the menu is open, and the simulation stands
        for key in ("Down", "Down", "Down", "Down", "Return", "Right", "Escape"):  # Cockpit: other units
            person.press(key)
        person.press("Escape")
        person.until(lambda line: line["sequence"] > held)
        person.press("v")
        person.until(lambda line: line["camera"] == "bonnet")
        person.xdotool("keydown", "u")
        person.until(lambda line: line["camera"] == "left")
        person.xdotool("keyup", "u")
        person.until(lambda line: line["camera"] == "bonnet")
        person.press("m")  # the map, over the whole window
        person.in_windows("mousemove", "--window", "{}", "300", "120")
        person.xdotool("click", "1")
        person.until(lambda line: line["route_left"] > 10.0)
        person.press("Escape")
        person.press("End")
        person.press("Return")
        begun = time.monotonic()
        errors = person.process.communicate(timeout=30)[1]
        crowd = max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0)  # other load on the machine
        assert time.monotonic() - begun < 2.0 * crowd
        assert person.process.returncode == 0
        said = [line for line in errors.splitlines() if not line.startswith("CRITICAL: ")]  # SDL's, of its disk
        assert said == [f"neuralsim: Saved {next(recordings.glob('*/video.mp4')).parent.relative_to(tmp_path)}"]
        kept = settings.load(tmp_path / "config" / "cockpit.yaml")
        assert (kept.window, kept.fullscreen, kept.full_hud) == ((640, 320), False, False)
        assert (kept.units, kept.tutorial) == ("mph", False)  # the tutorial was completed or skipped
        with av.open(str(next(recordings.glob("*/video.mp4")))) as file:
            assert len(list(file.decode(video=0))) >= 5
        with RecordingReader(next(recordings.glob("*/recording.mcap"))) as reader:
            assert len(reader) >= 5
            assert {"tag", "depth", "motion"} <= set(reader.read(0).planes)
        written = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
        assert written["input_to_photon_ms"]["p50"] > 0.0
    finally:
        if person.process.poll() is None:
            person.process.send_signal(signal.SIGTERM)
            person.process.communicate(timeout=10)


@needs_display
@pytest.mark.slow
def test_another_town_is_chosen_in_the_menu(display: str, tmp_path: Path):
    person = Person(display, tmp_path, "--size", "128x64", "--model", "tags", "--vehicles", "0", "--walkers", "0")
    try:
        before = person.until(lambda line: line["sequence"] > 5, timeout=120.0)
        for key in ("Escape", "Down", "Down", "Return", "Right", "Escape"):
            person.press(key)
        after = person.until(lambda line: line["sequence"] < before["sequence"], timeout=120.0)
        assert (after["x"], after["y"]) != (before["x"], before["y"])
        assert settings.load(tmp_path / "config" / "cockpit.yaml").town == "hamlet"
        person.xdotool("keydown", "w")
        person.until(lambda line: line["speed"] > 1.0)
    finally:
        person.process.send_signal(signal.SIGTERM)
        person.process.communicate(timeout=10)


@needs_display
def test_closing_the_window_while_it_loads_ends_everything(display: str, tmp_path: Path):
    person = Person(display, tmp_path, "--size", "256x128")
    end = time.monotonic() + 20.0
    search = ["xdotool", "search", "--pid", str(person.process.pid)]
    while subprocess.run(search, env=person.environment, capture_output=True, check=False).returncode:
        assert person.process.poll() is None, person.process.communicate()[1]
        assert time.monotonic() < end, "no window"
        time.sleep(0.1)
    time.sleep(0.3)
    person.press("Escape")
    person.press("Escape")  # the question comes and goes: Esc alone never ends a drive
    time.sleep(0.7)
    assert person.process.poll() is None
    for key in ("Escape", "Down", "Return"):
        person.press(key)
    begun = time.monotonic()
    errors = person.process.communicate(timeout=10)[1]
    assert time.monotonic() - begun < 2.0
    assert (person.process.returncode, errors) == (0, "")
