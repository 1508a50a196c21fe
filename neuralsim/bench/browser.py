"""A measured drive in a real browser: headless Chromium opens the page, which presses keys and says what it saw."""

from __future__ import annotations

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
from neuralsim.bench.options import browser
from neuralsim.serve import page_messages
from neuralsim.serve.access import Tokens
from neuralsim.serve.options import ServeOptions
from neuralsim.serve.served_drive import BrowserDrive
from neuralsim.session.painting_loop import DriveError, PaintedFrame

_OPENING = 60.0  # s that the browser may take until the page shows pictures
_END = 3.0  # s


class ServedDrive(MeasuredDrive, BrowserDrive):
    """The drive of ``neuralsim serve`` with a page that is a benchmark; frames count from its first picture on."""

    def __init__(self, job: Job) -> None:
        given = job.drive_options().model_dump(exclude_unset=True)
        BrowserDrive.__init__(self, ServeOptions(**given, port=0), Tokens(secrets.token_urlsafe(24)))
        # The key that the page presses would turn the camera round each time.
        self.settings = self.settings.model_copy(update={"reversing_view": False})
        self.prepare(job, self)
        self.seen = {"shown": 0, "painted": 0, "seconds": 0.0}  # by the page, in what is measured
        self.transport = ""
        self._browser: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self._opened = 0.0  # s, when the browser was started

    def announce(self, lines: list[str]) -> None:
        """Nobody is told where the page is but the browser that is started for it."""
        self._folder = Path(tempfile.mkdtemp(prefix="neuralsim-browser-"))
        address, _, token = lines[0].split()[-1].partition("#")
        self._browser = subprocess.Popen(
            [*browser(), f"--user-data-dir={self._folder}", f"{address}?press#{token}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # with all its processes it can be ended at once
        )
        self._opened = time.monotonic()

    def act(self, command: str) -> None:
        """The key that is pressed goes out with the next control, although the autopilot chooses its gears itself."""
        if command == "reverse":
            self.inputs.wanted = replace(self.inputs.wanted, reverse=not self.inputs.wanted.reverse)
        super().act(command)

    def measured(self, page: str, message: page_messages.Measured) -> None:
        if self.trail.rows:
            now = time.monotonic_ns()
            self.trail.photons += [(now - round(latency * 1e6), now) for latency in message.latency]
            for name in self.seen:
                self.seen[name] += getattr(message, name)
            self.transport = message.transport

    def shown(self, picture: PaintedFrame) -> None:
        if not self.trail.frames and not self.server.watched:
            picture.frame.stamps["displayed"] = time.monotonic_ns()  # nobody has seen it
            if time.monotonic() - self._opened > _OPENING:
                raise DriveError(f"the browser has not opened the page for {_OPENING:.0f} s")
            return
        super().shown(picture)
        self.count()

    def close(self) -> None:
        super().close()
        if self._browser is not None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._browser.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._browser.wait(_END)
        shutil.rmtree(self._folder, ignore_errors=True)

    def found(self) -> dict[str, Any]:
        """What the page saw, ready for JSON."""
        seconds = self.seen["seconds"] or 1.0
        return {
            "shown_fps": round(self.seen["shown"] / seconds, 2),
            "painted_fps": round(self.seen["painted"] / seconds, 2),
            "transport": self.transport,
            "encoder": ", ".join(self.server.encoders()),
        }
