"""The progress line: rewritten on a terminal and erased, lines of a log elsewhere, silent in the first seconds."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios
import time
from contextlib import suppress

import pytest

from neuralsim.base import progress


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_DELAY", "_TERMINAL", "_FILE"):
        monkeypatch.setattr(progress, name, 0.05)


def some_frames() -> None:
    line = progress.ProgressLine(40)
    line.waiting(["Town"])
    time.sleep(0.06)
    for _ in range(2):
        line.waiting(["Town", "Model"])
        time.sleep(0.06)
    line.count(10, 15.0)
    line.close()


def test_a_log_has_whole_lines_without_repetition(soon: None, capsys: pytest.CaptureFixture[str]) -> None:
    some_frames()
    assert capsys.readouterr().err.splitlines() == [
        "waiting for: Town, Model",
        "[#######.....................] 10/40 frames  15.0 FPS  2 s left",
    ]


def test_quick_work_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    some_frames()
    assert capsys.readouterr().err == ""


def test_a_terminal_keeps_one_line_which_is_erased(soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with os.fdopen(end, "w") as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", file)
        some_frames()
    written = ""
    with suppress(OSError):  # EIO: all of it has been read
        while part := os.read(terminal, 4096):
            written += part.decode()
    os.close(terminal)
    assert "\n" not in written
    assert "10/40 frames  15.0 FPS  2 s left" in written
    assert written.rstrip("\r").rpartition("\r")[2].strip() == "", "nothing is left of it"
