"""Start and stop the town and the bridge as processes."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bridge.carla_client.ego_bridge import CarlaBridge
from bridge.messages import Frame

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(*arguments: str, ready: bool = True) -> subprocess.Popen[str]:
    """Start Python with these arguments; with ``ready``, wait for the line that says so."""
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if ready:
        _ready_line(process)
    return process


def _ready_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "ready" in line, line + process.communicate(timeout=10)[1]
    return line


#: Options of a town that is as strict as CARLA's server, except that it loads another world in half a second.
STRICT = ("--strict", "--loading", "0.5")
TRUE_FLOW = str(ROOT / "tests" / "helpers" / "true_flow_town.py")


def start_town(
    seed: int = 5,
    vehicles: int = 40,
    walkers: int = 24,
    strict: bool = False,
    program: tuple[str, ...] = (),
    more: tuple[str, ...] = (),
) -> tuple[subprocess.Popen[str], str]:
    """Start a town on a port of its own choice; return it and its address."""
    numbers = {"--port": 0, "--seed": seed, "--vehicles": vehicles, "--walkers": walkers}
    arguments = [str(part) for pair in numbers.items() for part in pair] + list(STRICT if strict else ())
    program = program or ("-m", "neuralsim.town.carla_server")
    process = start(*program, *arguments, *more, "--with-parent", ready=False)
    return process, _ready_line(process).split()[-1]


def end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
    process.kill()
    process.communicate()


def advance(bridge: CarlaBridge, ticks: int = 1) -> Frame:
    for _ in range(ticks):
        bridge.drive()
        frame = bridge.tick()
    frame.planes = {name: plane.copy() for name, plane in frame.planes.items()}
    return frame


@dataclass
class Ended:
    code: int
    output: str
    errors: str
    seconds: float


def wait_for(process: subprocess.Popen[str], timeout: float = 20.0) -> Ended:
    begun = time.monotonic()
    output, errors = process.communicate(timeout=timeout)
    return Ended(process.returncode, output, errors, time.monotonic() - begun)


def start_bridge(address: str, endpoint: str, *more: str, ready: bool = True) -> subprocess.Popen[str]:
    arguments = ["-m", "bridge.carla_bridge", "--carla", address, "--publish", endpoint, "--size", "256x128", *more]
    return start(*arguments, ready=ready)
