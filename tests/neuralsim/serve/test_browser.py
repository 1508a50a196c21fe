"""A drive in a real browser: Chromium opens the page, and a person's keys drive the car."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import drive_log

from neuralsim.bench.options import browser_command
from neuralsim.session.processes import free_port

ROOT = Path(__file__).resolve().parents[3]
DRIVER = shutil.which("chromedriver")
TOKEN = "a-secret-of-some-length"
pytestmark = [
    pytest.mark.skipif(
        not browser_command() or DRIVER is None, reason="needs Chromium: apt-get install chromium chromium-driver"
    ),
    pytest.mark.timeout(400),
]


class Served:
    """``neuralsim serve`` in its own process, and its log."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.arguments, self.port = folder, arguments, free_port()
        self.log = folder / "log.jsonl"
        token = folder / "token"
        token.write_text(TOKEN, encoding="ascii")
        token.chmod(0o600)
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "neuralsim", "serve", "--port", str(self.port), "--token", "token"]
        self.process = subprocess.Popen(
            [*command, "--log", self.log.name, *self.arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.drive = self.process.stdout.readline().split()[-1]
        self.watch = self.process.stdout.readline().split()[-1]
        assert self.drive.startswith(f"http://127.0.0.1:{self.port}/#")

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(20) is not None

    def newest(self) -> dict[str, Any]:
        return drive_log.newest(self.log)

    def until(self, what: Callable[[dict[str, Any]], bool], timeout: float = 60.0) -> dict[str, Any]:
        return until(lambda: (line := self.newest()) and what(line) and line, lambda: str(self.newest()), timeout)


def until(what: Callable[[], Any], state: Callable[[], str], timeout: float = 60.0) -> Any:
    """Wait until ``what`` returns something true and return it; on failure, report ``state``."""
    end = time.monotonic() + timeout
    while not (result := what()):
        assert time.monotonic() < end, f"never came; at last: {state()}"
        time.sleep(0.05)
    return result


class Browser:
    """Chromium, one page open; with ``udp`` False as behind a firewall that lets no UDP through."""

    def __init__(self, udp: bool = True) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service

        options = Options()
        options.binary_location, *arguments = browser_command()
        for argument in (*arguments, "--force-device-scale-factor=1"):
            options.add_argument(argument)
        if not udp:
            options.add_experimental_option("prefs", {"webrtc.ip_handling_policy": "disable_non_proxied_udp"})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))

    def open(self, address: str) -> None:
        self.driver.get("about:blank")  # a change of the fragment alone would not reload the page
        self.driver.get(address)

    def ask(self, script: str) -> Any:
        return self.driver.execute_script(f"return {script}")

    def until(self, script: str, timeout: float = 60.0) -> Any:
        return until(lambda: self.ask(script), lambda: f"{script}: {self.ask('document.body.innerText')}", timeout)

    def shows(self, timeout: float = 150.0) -> None:
        """Wait until the page shows new pictures, with nothing over them."""
        seen = self.ask("window.neuralsim?.hud.seenRendered ?? 0")
        self.until(f"(window.neuralsim?.hud.seenRendered ?? 0) > {seen + 3}", timeout)
        self.until("document.getElementById('cover').classList.contains('gone')")

    def key(self, kind: str, key: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        actions = ActionChains(self.driver, duration=0)
        {"down": actions.key_down, "up": actions.key_up}[kind](key).perform()

    def hold(self, key: str) -> None:
        """Press a key and keep it down, repeating it as keyboards do until the page has it."""

        def has() -> Any:
            self.key("down", key)
            return self.ask(f"neuralsim.controls.held.has('Key{key.upper()}')")

        until(
            has, lambda: f"{key}: {self.ask('[document.hasFocus(), document.activeElement?.id, neuralsim.status()]')}"
        )

    def press(self, key: str) -> None:
        self.key("down", key)
        self.key("up", key)

    def complaints(self) -> list[str]:
        """Errors on the page's console, but those of connections that were meant to fail."""
        lines = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        return [line for line in lines if "WebSocket" not in line and "ERR_CONNECTION" not in line]

    def close(self) -> None:
        self.driver.quit()


@pytest.fixture
def chromium() -> Iterator[Browser]:
    browser_ = Browser()
    try:
        yield browser_
    finally:
        browser_.close()


@contextlib.contextmanager
def served(folder: Path, *arguments: str) -> Iterator[Served]:
    server = Served(folder, *arguments)
    try:
        yield server
    finally:
        server.stop()


def drive_off_and_turn(page: Browser, drive: Served) -> None:
    """Throttle and steer by keys, and see both in the car and on the page."""
    start = drive.until(lambda line: abs(line["speed"]) < 0.5)
    page.until("neuralsim.status().driver === neuralsim.me().page")
    page.hold("w")
    drive.until(lambda line: line["throttle"] > 0.9 and line["speed"] > 2.0)
    page.until("Number(document.getElementById('speed').textContent) > 5")
    page.hold("d")
    drive.until(lambda line: line["steer"] > 0.1)
    turned = drive.until(lambda line: abs((line["yaw"] - start["yaw"] + 180.0) % 360.0 - 180.0) > 2.0)
    page.key("up", "d")
    page.key("up", "w")
    page.hold("s")
    stopped = drive.until(lambda line: abs(line["speed"]) < 0.3 and line["brake"] > 0.5)
    page.key("up", "s")
    assert max(abs(stopped[axis] - start[axis]) for axis in "xy") > 0.5, (start, turned, stopped)
    page.until("neuralsim.controls.latencies.length >= 4")
    assert all(0.0 < each < 5000.0 for each in page.ask("neuralsim.controls.latencies"))


#: A gamepad of the standard layout, its stick to the right and its right trigger pressed.
GAMEPAD = """(() => {
  const buttons = Array.from({ length: 17 }, (_, n) => ({ value: n === 7 ? 1 : 0, pressed: n === 7 }));
  navigator.getGamepads = () => [{ connected: true, axes: [0.8, 0, 0, 0], buttons }];
  dispatchEvent(new Event("gamepadconnected"));
})()"""


def drive_without_keys(page: Browser, drive: Served) -> None:
    """A gamepad's and a finger's pedals and steering arrive at the car, and end with them."""
    from selenium.webdriver.common.action_chains import ActionChains

    page.ask(GAMEPAD)
    drive.until(lambda line: line["throttle"] > 0.9 and line["steer"] > 0.5)
    page.ask("(navigator.getGamepads = () => []) && null")
    drive.until(lambda line: line["throttle"] < 0.1 and abs(line["steer"]) < 0.1)
    page.open(drive.drive.replace("/#", "/?touch#"))
    page.shows()
    page.until("neuralsim.status().driver === neuralsim.me().page")
    fingers = ActionChains(page.driver, duration=0)
    fingers.move_to_element(page.driver.find_element("id", "gas")).click_and_hold().perform()
    drive.until(lambda line: 0.3 < line["throttle"] < 0.9)  # in the middle of the pedal
    fingers.reset_actions()
    fingers.release().perform()
    drive.until(lambda line: line["throttle"] < 0.1)


def test_a_page_drives_and_a_stranger_does_not(chromium: Browser, tmp_path: Path):
    with served(tmp_path, "--model", "tags", "--size", "256x128", "--town", "hamlet", "--vehicles", "0",
                "--walkers", "0") as drive:  # fmt: skip
        chromium.open(drive.drive)
        chromium.shows()
        drive_off_and_turn(chromium, drive)
        assert chromium.ask("document.getElementById('help').hidden")
        chromium.press("h")
        assert "throttle" in chromium.ask("document.getElementById('help').textContent")
        chromium.press("h")
        chromium.open(drive.drive.replace(TOKEN, "wrong"))
        chromium.until("!document.getElementById('ask').hidden")
        assert chromium.ask("neuralsim.hud.seen") == 0
        assert chromium.complaints() == []


@pytest.mark.slow
def test_an_evening_in_the_browser(chromium: Browser, tmp_path: Path):
    """Drives, looks, chooses, records, is watched, loses the server and finds it again."""
    from selenium.webdriver.common.keys import Keys

    with served(tmp_path, "--size", "256x128", "--runtime", "openvino", "--vehicles", "4", "--walkers", "2") as drive:
        chromium.open(drive.drive)
        chromium.shows()
        assert chromium.until("neuralsim.connection.transport === 'webrtc'")
        agreed = "neuralsim.connection.peer.remoteDescription.sdp.includes('playout-delay')"
        assert chromium.ask(agreed), "images are displayed without delay"
        drive_off_and_turn(chromium, drive)
        drive_without_keys(chromium, drive)

        chromium.press("2")
        chromium.until("neuralsim.status().title === 'Tags'")
        chromium.press("1")
        chromium.press("v")
        drive.until(lambda line: line["camera"] == "bonnet")
        weather = drive.newest()["weather"]
        chromium.press("c")
        drive.until(lambda line: line["weather"] != weather)
        chromium.press("p")
        drive.until(lambda line: line["autopilot"])
        chromium.until("document.getElementById('badges').textContent.includes('AUTOPILOT')")
        chromium.press(Keys.ESCAPE)
        chromium.until("neuralsim.menu.shown && neuralsim.status().paused")
        held = drive.newest()["sequence"]
        chromium.press(Keys.ESCAPE)
        drive.until(lambda line: line["sequence"] > held + 5)

        chromium.press("r")
        chromium.until("document.getElementById('badges').textContent.includes('REC')")
        first = drive.newest()["sequence"]
        drive.until(lambda line: line["sequence"] > first + 30)
        chromium.press("r")
        chromium.until("!document.getElementById('badges').textContent.includes('REC')")
        (video,) = (tmp_path / "recordings").glob("*/video.mp4")
        assert video.stat().st_size > 10_000

        watcher = Browser(udp=False)
        try:
            watcher.open(drive.watch)
            watcher.shows()
            assert watcher.ask("neuralsim.connection.transport") == "websocket"  # by itself
            assert "WATCHING" in watcher.ask("document.getElementById('badges').textContent")
            for key in ("p", "w", "2", Keys.ESCAPE):
                watcher.press(key)
            time.sleep(1.0)
            assert drive.newest()["autopilot"]
            assert watcher.ask("neuralsim.status().view") == 1
            assert not watcher.ask("neuralsim.menu.shown")
            second = watcher.ask("neuralsim.me().page")
            watcher.open(drive.drive)  # with the driver's token: it has to wait for its turn
            watcher.shows()
            watcher.press("p")
            time.sleep(1.0)
            assert watcher.ask("neuralsim.me().page") != second
            assert drive.newest()["autopilot"]
            chromium.driver.get("about:blank")  # the driver leaves
            watcher.until("neuralsim.status().driver === neuralsim.me().page")
            watcher.press("p")
            watcher.press("p")
            drive.until(lambda line: line["control"] > 0)
        finally:
            watcher.close()

        chromium.open(drive.drive.replace("/#", "/?transport=websocket#"))
        chromium.shows()
        assert chromium.ask("neuralsim.connection.transport") == "websocket"  # as requested
        chromium.open(drive.drive)
        chromium.shows()
        drive.stop()
        chromium.until("!document.getElementById('cover').classList.contains('gone')")
        drive.start()
        chromium.shows()  # by itself
        chromium.key("down", "w")
        drive.until(lambda line: line["speed"] > 1.0)
        assert chromium.complaints() == []
