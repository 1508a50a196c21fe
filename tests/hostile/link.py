"""Attacks on the links between bridge and window: hostile messages, a million of them.

    python -m tests.hostile.link --messages 1000000      # `make fuzz` runs it; the last line is JSON

Valid frames and controls with some bytes changed, and plain noise, go straight to the decoders. Each is decoded or
refused with a ``ProtocolError``; anything else is counted. A valid frame is decoded from time
to time. The exit code is 1 for any other error, or for memory that has grown by more than ``GROWTH``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from typing import Any

import msgpack
import numpy as np

from bridge.link.frame_header import pack, pack_control, unpack, unpack_control
from bridge.messages import Camera, Control, Frame, ProtocolError

from .port import resident

GROWTH = 0.05  # share of the memory after the first fifth


def _honest() -> tuple[list[bytes], bytes]:
    planes = {"tag": np.zeros((8, 16), np.uint8), "depth": np.zeros((8, 16), np.float32)}
    parts = [bytes(part) for part in pack(Frame(1, 1, 0.1, Camera(16, 8, 70.0, np.eye(4)), planes))]
    return parts, pack_control(Control(1, driver="a"))


def _mutated(dice: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(max(len(changed), 1))
        match dice.randrange(4):
            case 0 if changed:
                changed[at] = dice.randrange(256)
            case 1:
                changed[at:at] = dice.randbytes(dice.randrange(1, 9))
            case 2:
                del changed[at : at + dice.randrange(1, 9)]
            case _:
                del changed[at:]
    return bytes(changed)


def _retyped(dice: random.Random, data: bytes) -> bytes:
    """Return a header with one entry of another type."""
    header: dict[str, Any] = msgpack.unpackb(data)
    values = [None, True, -1, 2**64 - 1, 1e308, float("nan"), "", "x" * 5000, b"", [], {}, [[]] * 5000, {"a": 1}]
    header[dice.choice(list(header))] = dice.choice(values)
    return msgpack.packb(header)


def attack(messages: int, seed: int = 0) -> dict[str, Any]:
    """Decode this many messages; return the counts."""
    dice = random.Random(seed)
    parts, control = _honest()
    decoded = refused = 0
    others: dict[str, str] = {}
    memory: list[float] = []
    for number in range(messages):
        change = _retyped if dice.random() < 0.5 else _mutated
        try:
            if number % 2:
                unpack_control(change(dice, control) if dice.random() < 0.9 else dice.randbytes(dice.randrange(200)))
            else:
                changed = list(parts)
                at = dice.choice([1, 1, 1, 0, 2, 3])
                changed[at] = change(dice, changed[at]) if at == 1 else _mutated(dice, changed[at])
                if dice.random() < 0.05:
                    del changed[dice.randrange(len(changed))]
                unpack(changed)
            decoded += 1
        except ProtocolError:
            refused += 1
        except Exception as error:
            others[type(error).__name__] = str(error)[:200]
        if number % 1000 == 0:
            assert unpack(parts).sequence == 1
            assert unpack_control(control).sequence == 1
        if number == messages // 5:
            memory.append(round(resident(), 1))
    memory.append(round(resident(), 1))
    return {"messages": messages, "decoded": decoded, "refused": refused, "others": others, "memory": memory}


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    begun = time.monotonic()
    report = attack(options.messages, options.seed)
    flat = report["memory"][-1] <= report["memory"][0] * (1.0 + GROWTH)
    print(
        json.dumps({**report, "seconds": round(time.monotonic() - begun, 1), "unharmed": flat and not report["others"]})
    )
    return 0 if flat and not report["others"] else 1


if __name__ == "__main__":
    sys.exit(main())
