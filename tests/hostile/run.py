"""Run a command line in its own process and return the result: exit code, lines, seconds, memory.

Each process is forked from a server that has loaded all modules and, unlike the test process, has no threads: those
would be missing in a fork, which may then wait for them.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

CRASHED = 70  # exit code of a command that ended with a traceback


@dataclass(frozen=True)
class Outcome:
    """The result of a command. ``memory``: peak memory above that at its start, MB, children included."""

    code: int
    lines: list[str]  # on stderr
    seconds: float
    memory: float


def run(command: str, seconds: int = 60) -> Outcome:
    """Run ``neuralsim COMMAND`` in its own process."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps({"command": command, "seconds": seconds}) + "\n")
    server.stdin.flush()
    return Outcome(**json.loads(server.stdout.readline()))


@cache
def _server() -> subprocess.Popen[str]:
    """Return the process that commands are forked from; it has this process's environment."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.run"],
        cwd=Path(__file__).resolve().parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    atexit.register(process.kill)
    return process


def serve() -> None:
    """Run commands, one line of JSON each, until the input ends."""
    import neuralsim.datagen.scripted_drive
    import neuralsim.offline.render_folder
    import neuralsim.recording.evaluate
    import neuralsim.replay.run  # noqa: F401  loaded once here, so that no command has to import them

    for line in sys.stdin:
        print(json.dumps(asdict(_run(**json.loads(line)))), flush=True)


def _run(command: str, seconds: int) -> Outcome:
    from neuralsim import cli

    with tempfile.TemporaryFile() as errors, open(os.devnull, "wb") as null:
        begun = time.monotonic()
        before = _resident()
        pid = os.fork()
        if not pid:
            code = CRASHED
            try:
                os.setsid()
                os.dup2(null.fileno(), 1)
                os.dup2(errors.fileno(), 2)
                sys.stdout, sys.stderr = _stream(1), _stream(2)  # pytest replaces these
                signal.alarm(seconds)
                code = cli.main(shlex.split(command))
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
                os.write(2, f"\n=children {children}\n".encode())
                os._exit(code)
        _, status, usage = os.wait4(pid, 0)
        took = time.monotonic() - begun
        errors.seek(0)
        *lines, last = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()] or [""]
        children = float(last.removeprefix("=children ")) if last.startswith("=children ") else 0.0
    code = os.waitstatus_to_exitcode(status)
    return Outcome(code, lines, took, max(usage.ru_maxrss / 1024 - before, children))


def _stream(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(descriptor, "w", closefd=False), encoding="utf-8", write_through=True)


def _resident() -> float:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS:"))


if __name__ == "__main__":
    serve()
