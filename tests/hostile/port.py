"""Attacks on the town's port: hostile calls and silent sockets next to a client that only wants to drive.

    python -m tests.hostile.port --calls 100000 --silent 200      # `make fuzz` runs it; the last line is JSON

A town in its own process, a good client that ticks and reads settings and actors all the time, sockets that never send
anything, and calls of every function with noise as arguments. The exit code is 1 if the good client was affected: by an
error, by a call that took longer than ``PATIENCE``, or by a town whose memory has grown by more than ``GROWTH``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgpack

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 5.0  # s that a call of the good client may take; of the official client's timeouts it is the shortest
FIRST = 120.0  # s for its first one: kernels may be compiled
GROWTH = 0.05  # share of the memory after the first fifth of the calls
#: Calls that end or change what the good client needs, if one may: loading another town is a right of every client.
ALLOWED = {"load_new_episode", "copy_opendrive_to_file"}
SETTINGS = [True, False, [True, 0.05], True, 0.01, 10, 0.0, True, 3e3, 2e3, True]


@dataclass
class Report:
    """The result. ``slowest`` in seconds, memory in MB."""

    calls: int = 0
    silent: int = 0
    good_calls: int = 0
    slowest: float = 0.0
    memory: list[float] = field(default_factory=list)  # after the first fifth, at the end
    errors: list[str] = field(default_factory=list)  # of the good client

    @property
    def unharmed(self) -> bool:
        grown = len(self.memory) == 2 and self.memory[1] > self.memory[0] * (1.0 + GROWTH)
        return not self.errors and self.slowest < PATIENCE and not grown


@contextlib.contextmanager
def town(*options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a town in its own process; yield the process and its port."""
    command = [
        sys.executable,
        "-m",
        "neuralsim.town.carla_server",
        "--port",
        "0",
        "--town",
        "hamlet",
        "--with-parent",
        *options,
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield process, int(line.rpartition(":")[2])
        finally:
            process.kill()


class Caller:
    """A client by hand."""

    def __init__(self, port: int, timeout: float = PATIENCE) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._unpacker = msgpack.Unpacker(strict_map_key=False)
        self._number = 0

    def call(self, name: str, *arguments: object) -> Any:
        """Return the result; CARLA's errors are raised."""
        self._number += 1
        self.sock.sendall(msgpack.packb([0, self._number, name, [[False], *arguments]]))
        while True:
            for _, number, _, result in self._unpacker:
                if number != self._number:
                    continue
                match result:
                    case [[0, [str(text)]]]:
                        raise RuntimeError(f"{name}: {text}")
                return result
            data = self.sock.recv(1 << 16)
            if not data:
                raise ConnectionError(f"{name}: dropped")
            self._unpacker.feed(data)


def resident(pid: int | str = "self") -> float:
    """Return the resident memory of a process, MB."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS:"))


def attack(calls: int, silent: int, seed: int = 0, flooders: int = 3) -> Report:
    """Run the attack: ``calls`` hostile calls by ``flooders`` clients, ``silent`` sockets on both ports."""
    report = Report(calls, silent)
    over = threading.Event()
    with town("--vehicles", "4", "--walkers", "2") as (process, port):
        settled = Caller(port, FIRST)
        settled.call("set_episode_settings", SETTINGS)
        settled.call("tick_cue")
        settled.sock.settimeout(PATIENCE)
        streams = _streaming_port(settled)
        guests: list[socket.socket] = []
        for k in range(silent):
            with contextlib.suppress(OSError):
                guests.append(socket.create_connection(("127.0.0.1", streams if k % 2 else port), timeout=5.0))
        good = threading.Thread(target=_drive, args=(port, settled, over, report), daemon=True)
        good.start()
        begun = _Progress(calls, process.pid, report)
        threads = [
            threading.Thread(target=_flood, args=(port, seed + k, calls // flooders, begun), daemon=True)
            for k in range(flooders)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        good.join(PATIENCE)
        report.memory.append(round(resident(process.pid), 1))
        if process.poll() is not None:
            report.errors.append(f"the town ended with {process.returncode}")
        for guest in guests:
            guest.close()
    return report


class _Progress:
    """Counts calls, and takes the memory once the first fifth is done."""

    def __init__(self, calls: int, pid: int, report: Report) -> None:
        self._lock = threading.Lock()
        self._left = calls // 5
        self._pid, self._report = pid, report

    def one(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._report.memory.append(round(resident(self._pid), 1))


def _streaming_port(client: Caller) -> int:
    name = bytes(client.call("get_episode_info")[0][1][1][0])
    token = client.call("get_sensor_token", int.from_bytes(name[:4], "little"))[0][1][0]
    data = token if isinstance(token, bytes) else bytes(token)
    return int(struct.unpack("<IH", data[:6])[1])


def _drive(port: int, clock: Caller, over: threading.Event, report: Report) -> None:
    """Run the good client: tick, and make the usual requests."""
    try:
        other = Caller(port)
        while not over.is_set():
            for client, name, arguments in (
                (clock, "tick_cue", ()),
                (other, "get_episode_settings", ()),
                (other, "get_actors_by_id", ([1, 2, 3],)),
                (other, "get_weather_parameters", ()),
            ):
                begun = time.monotonic()
                client.call(name, *arguments)
                report.slowest = max(report.slowest, round(time.monotonic() - begun, 3))
                report.good_calls += 1
            time.sleep(0.02)
    except Exception as error:
        report.errors.append(f"{type(error).__name__}: {error}")


def _flood(port: int, seed: int, calls: int, progress: _Progress) -> None:
    """Make hostile calls back to back, from a new socket if dropped."""
    dice = random.Random(seed)
    client: Caller | None = None
    for number in range(calls):
        try:
            client = client or Caller(port)
            if number % 50 == 49:
                client.sock.sendall(noise(dice))
                client.sock.close()
                client = None
            else:
                client.call(*_call(dice))
        except (OSError, RuntimeError, ValueError):
            if client is not None and not isinstance(sys.exc_info()[1], RuntimeError):
                client.sock.close()
                client = None
        progress.one()


def names() -> list[str]:
    """Return every function of the port that an untrusted client may call without legitimate effect."""
    from neuralsim.town.carla_server.handlers import FUNCTIONS

    harmless = [name for name in FUNCTIONS if name not in ALLOWED]
    # Every client has the right to set the clock or to destroy a car.
    return [name for name in harmless if name not in ("set_episode_settings", "tick_cue", "apply_batch")]


def value(dice: random.Random, depth: int = 0) -> Any:
    """Return a value that no function expects."""
    kinds = 12 if depth < 3 else 9
    match dice.randrange(kinds):
        case 0:
            return dice.choice([0, 1, -1, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1])
        case 1:
            return dice.choice([0.0, float("nan"), float("inf"), -float("inf"), 1e308, -1e-308])
        case 2:
            return dice.choice([True, False, None])
        case 3:
            return dice.choice(["", "x" * 1000, "vehicle.tesla.model3", "\0", "../../etc/passwd", "sensor.camera.rgb"])
        case 4:
            return dice.randbytes(dice.randrange(40))
        case 5 | 6 | 7 | 8:
            return dice.randrange(40)
        case 9:
            return {dice.randrange(5): value(dice, depth + 1)}
        case _:
            return [value(dice, depth + 1) for _ in range(dice.randrange(8))]


def _call(dice: random.Random) -> tuple[Any, ...]:
    name = dice.choice(_NAMES) if dice.random() < 0.98 else dice.choice(["", "__class__", "no_such_function" * 99])
    if dice.random() < 0.02:
        return name, [0] * 50_000
    if dice.random() < 0.05:
        return "set_episode_settings", [value(dice) for _ in range(11)]
    if dice.random() < 0.05:
        return "apply_batch", [[[dice.randrange(25), [value(dice) for _ in range(4)]]] for _ in range(20)], False
    return (name, *(value(dice) for _ in range(dice.randrange(5))))


def noise(dice: random.Random) -> bytes:
    """Return bytes that are not a valid call."""
    return dice.choice(
        [
            dice.randbytes(200),
            b"\x94\x00\x01\xa7version" + b"\x91" * 3000,
            b"\xdd\xff\xff\xff\xff" + bytes(64),
            b"\x94\x00\x01\xa7version\xc6\xff\xff\xff\xff",
            msgpack.packb([0, 1, "get_actors_by_id", [[False], [{(1, 2): 3}] * 10]]),
            b"\x94\x00\x01\xa7version\x81\x91\x01\x02",  # a map with a list for a key
            msgpack.packb([0, 1, "version", [[False], [[]] * 150_000]]),
            msgpack.packb([0, 1, "version", [[False], [[[]] * 1000] * 1000]]),  # a million lists
        ]
    )


_NAMES = names()


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--silent", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    begun = time.monotonic()
    report = attack(options.calls, options.silent, options.seed)
    seconds = round(time.monotonic() - begun, 1)
    print(json.dumps({**asdict(report), "seconds": seconds, "unharmed": report.unharmed, "cores": os.cpu_count()}))
    return 0 if report.unharmed else 1


if __name__ == "__main__":
    sys.exit(main())
