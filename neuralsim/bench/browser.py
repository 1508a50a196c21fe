"""A measured drive in a real browser: headless Chromium opens the page, which presses keys and reports what it saw."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from neuralsim.bench.measurement import Job, MeasuredDrive
from neuralsim.bench.options import browser_command
from neuralsim.serve import page_messages
from neuralsim.serve.access import Tokens
from neuralsim.serve.options import ServeOptions
from neuralsim.serve.served_drive import BrowserDrive
from neuralsim.session.render_loop import DriveError, RenderedFrame

_OPENING_TIMEOUT = 60.0  # s until the page must show images
_END_TIMEOUT = 3.0  # s


class ServedDrive(MeasuredDrive, BrowserDrive):
    """The drive of ``neuralsim serve`` with a page in benchmark mode; frames count from its first image on."""

    def __init__(self, job: Job) -> None:
        options = job.drive_options().model_dump(exclude_unset=True)
        BrowserDrive.__init__(self, ServeOptions(**options, port=0), Tokens(secrets.token_urlsafe(24)))
        # The key that the page presses would turn the camera around each time.
        self.choose("reversing_view", False)
        self.prepare(job, self)
        self.seen = {"shown": 0, "rendered": 0, "seconds": 0.0}  # by the page, during the measurement
        self.transport = ""
        self._browser: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self._opened = 0.0  # s, when the browser was started

    def announce(self, lines: list[str]) -> None:
        """Start the browser at the page's address, which is not printed."""
        self._folder = Path(tempfile.mkdtemp(prefix="neuralsim-browser-"))
        address, _, token = lines[0].split()[-1].partition("#")
        self._browser = subprocess.Popen(
            [*browser_command(), f"--user-data-dir={self._folder}", f"{address}?press#{token}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a group of its own, to end it with all its processes
        )
        self._opened = time.monotonic()

    def carry_out(self, command: str) -> None:
        """Let the pressed key go out with the next control, although the autopilot chooses its gears itself."""
        if command == "reverse":
            self.inputs.requested = replace(self.inputs.requested, reverse=not self.inputs.requested.reverse)
        super().carry_out(command)

    def measured(self, page: str, message: page_messages.Measured) -> None:
        if self.trail.rows:
            now = time.monotonic_ns()
            self.trail.input_latencies += [(now - round(latency * 1e6), now) for latency in message.latency]
            for name in self.seen:
                self.seen[name] += getattr(message, name)
            self.transport = message.transport

    def shown(self, rendered: RenderedFrame) -> None:
        if not self.trail.frames and not self.server.watched:
            rendered.frame.stamps["displayed"] = time.monotonic_ns()  # no page has shown it
            if time.monotonic() - self._opened > _OPENING_TIMEOUT:
                raise DriveError(f"the browser has not opened the page for {_OPENING_TIMEOUT:.0f} s")
            return
        super().shown(rendered)
        self.count()

    def close(self) -> None:
        super().close()
        if self._browser is not None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._browser.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._browser.wait(_END_TIMEOUT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def page_report(self) -> dict[str, Any]:
        """Return what the page measured, ready for JSON."""
        seconds = self.seen["seconds"] or 1.0
        return {
            "shown_fps": round(self.seen["shown"] / seconds, 2),
            "painted_fps": round(self.seen["rendered"] / seconds, 2),
            "transport": self.transport,
            "encoder": ", ".join(self.server.encoders()),
        }
