"""The pictures of ``first_drive.md``: ``python tools/first_drive.py`` from the repository's root.

A newcomer's first five minutes, driven in the real window on a virtual screen with synthetic keys: needs Xvfb and
xdotool. Writes docs/img/first_drive/*.jpg.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "img" / "first_drive"


class Visitor:
    """A newcomer at the wheel."""

    def __init__(self, display: str, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log.jsonl"
        self.environment = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"}
        self.environment |= {"DISPLAY": display, "PYTHONPATH": str(ROOT), "NEURALSIM_CONFIG": str(folder / "config")}
        command = [sys.executable, "-m", "neuralsim", "drive", "--log", str(self.log), *sys.argv[1:]]
        self.process = subprocess.Popen(command, cwd=folder, env=self.environment)

    def xdotool(self, *arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env=self.environment, check=True, capture_output=True)

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.xdotool("key", key)
            time.sleep(0.15)

    def hold(self, key: str, seconds: float) -> None:
        self.xdotool("keydown", key)
        time.sleep(seconds)
        self.xdotool("keyup", key)

    def until(self, what: Callable[[dict], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            lines = self.log.read_text(encoding="utf-8").split("\n")[:-1] if self.log.exists() else []
            if lines and what(json.loads(lines[-1])):
                return
            time.sleep(0.05)
        raise TimeoutError("this never happened")

    def picture(self, name: str) -> None:
        """What the window shows, as ``name``.jpg."""
        recordings = self.folder / "recordings"
        before = set(recordings.glob("*.png"))
        time.sleep(0.5)
        self.keys("shift+F12")
        end = time.monotonic() + 10.0
        while not (new := set(recordings.glob("*.png")) - before):
            if time.monotonic() > end:
                raise TimeoutError(f"no picture of {name}")
            time.sleep(0.05)
        OUT.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(OUT / f"{name}.jpg"), cv2.imread(str(new.pop())), [cv2.IMWRITE_JPEG_QUALITY, 82])
        print(name, flush=True)


def main() -> int:
    reading, writing = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x720x24", "-nolisten", "tcp"], pass_fds=[writing]
    )
    os.close(writing)
    with os.fdopen(reading) as pipe, tempfile.TemporaryDirectory() as folder:
        visitor = Visitor(f":{pipe.readline().strip()}", Path(folder))
        try:
            _walk(visitor)
        finally:
            visitor.process.terminate()
            visitor.process.wait(10)
            screen.terminate()
    return 0


def _walk(visitor: Visitor) -> None:
    visitor.until(lambda line: line["sequence"] > 20, 180.0)
    visitor.picture("1_first_steps")
    visitor.xdotool("keydown", "w")
    visitor.until(lambda line: line["speed"] > 4.0)
    visitor.picture("2_driving")
    visitor.xdotool("keyup", "w")
    visitor.hold("s", 0.8)  # parked cars stand on both sides
    visitor.hold("a", 0.1)
    visitor.hold("d", 0.1)
    visitor.hold("s", 2.0)
    visitor.keys("Return", "p")
    visitor.until(lambda line: line["speed"] > 5.0)
    time.sleep(2.5)
    visitor.keys("F3", "F2")
    time.sleep(2.0)
    visitor.picture("3_everything")
    visitor.keys("F3", "F2", "z", "z")
    time.sleep(8.0)  # the wing mirrors' renderers are loaded
    visitor.picture("10_mirror")
    visitor.keys("z", "v", "v")
    time.sleep(3.0)
    visitor.picture("4_chase")
    visitor.keys("m")
    visitor.picture("5_map")
    visitor.xdotool("mousemove", "600", "500", "click", "1")
    time.sleep(3.0)
    visitor.picture("6_navigation")
    visitor.keys("v", "p", "q")
    visitor.hold("Left", 1.0)
    visitor.xdotool("keydown", "Left")
    visitor.picture("7_reversing")
    visitor.xdotool("keyup", "Left")
    visitor.keys("q", "h")
    visitor.picture("8_keys")
    visitor.keys("h")
    time.sleep(0.5)
    visitor.keys("Escape", "Down", "Down", "Return")
    # The menu takes all keys, so this is a picture of the screen.
    time.sleep(0.7)
    _screen(visitor, "9_menu")


def _screen(visitor: Visitor, name: str) -> None:
    """The whole virtual screen's middle, where the window is."""
    from PIL import ImageGrab

    grabbed = ImageGrab.grab(xdisplay=visitor.environment["DISPLAY"])
    grabbed.crop((128, 104, 1152, 616)).save(OUT / f"{name}.jpg", quality=82)
    print(name, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
