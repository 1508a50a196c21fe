"""Measure the cost of recording: its rate against that of the same drive without it, and the growth of its memory.

    python -m benchmarks.recording_cost --rounds 3            # 512x256, all planes, MCAP and MP4
    python -m benchmarks.recording_cost --frames 20000 --memory --size 64x32 --model tags

The two drives alternate, so that a machine that becomes slower affects both.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

from pydantic import Field

from bridge.process.option_types import Crowd, Positive
from bridge.process.options import Options, parse
from bridge.size import Size
from neuralsim.base.failure import fail
from neuralsim.base.machine import memory_mb
from neuralsim.base.shared_options import DEFAULT_MODEL
from neuralsim.datagen.options import RecordOptions
from neuralsim.datagen.scripted_drive import EXPECTED, ScenarioRecorder, Shared
from neuralsim.session.options import TAGS
from scenarios.engine.loader import load

_SETTLED = 500  # frames until memory counts as that of the start: caches are warm by then
_INTERVAL = 1.0  # s between measurements of the memory
_SCENARIO = """\
title: Measured
town: oldtown
seed: 3
duration: {seconds}
traffic: {{vehicles: {vehicles}, walkers: {walkers}}}
ego: {{spawn: {{point: 0, speed: 8}}, do: [{{follow_lane: {{speed: 10, turn: any}}}}]}}
assert: [{{no_collision: ego}}]
"""


class MeasureOptions(Options):
    """The cost of recording: its rate against that of the same drive without it, or its memory."""

    frames: Positive = 300
    """Frames of each drive."""
    rounds: Positive = 3
    """Drives with recording, and as many without."""
    size: Size = Size(512, 256)
    """Pixels."""
    model: str = Field(default=DEFAULT_MODEL, description=f"A model, or {TAGS} for none.")
    vehicles: Crowd = 20
    """Moving vehicles."""
    walkers: Crowd = 12
    """Pedestrians."""
    memory: bool = False
    """Measure how far memory grows, once, instead of the rate."""


def main() -> int:
    """Run the command line; return the exit code."""
    arguments = parse(MeasureOptions, None, "benchmarks.recording_cost")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "measured.yaml"
        seconds = min(arguments.frames / 20, 3600.0)
        path.write_text(
            _SCENARIO.format(seconds=seconds, vehicles=arguments.vehicles, walkers=arguments.walkers), encoding="utf-8"
        )
        planes = ("tag", "instance", "depth", "motion", *(() if arguments.model == TAGS else ("neural",)))
        options = RecordOptions(
            scenarios=(path,), out=Path(folder), planes=planes, model=arguments.model, size=arguments.size
        )
        try:
            return _memory(path, options) if arguments.memory else _rate(path, options, arguments.rounds)
        except EXPECTED as error:
            return fail(error)


def _rate(path: Path, options: RecordOptions, rounds: int) -> int:
    plain = options.model_copy(update={"formats": ()})
    rates: dict[str, list[float]] = {"driven": [], "recorded": []}
    for n in range(rounds):
        for name, each in (("driven", plain), ("recorded", options)):
            with Shared() as shared:
                fps = ScenarioRecorder(load(path), each, shared).record()["fps"]
            rates[name].append(fps)
            print(f"round {n + 1}: {name} at {fps:.2f} frames/s", flush=True)
    driven, recorded = (statistics.median(rates[name]) for name in ("driven", "recorded"))
    print(f"median: driven {driven:.2f}, recorded {recorded:.2f}: {100.0 * recorded / driven:.1f} %")
    return 0


def _memory(path: Path, options: RecordOptions) -> int:
    shared, is_over = Shared(), threading.Event()
    begin = highest = 0.0

    def watch() -> None:
        nonlocal begin, highest
        while not is_over.wait(_INTERVAL):
            now = memory_mb([os.getpid()]) or 0.0
            if shared.frames >= _SETTLED:
                begin = begin or now
                highest = max(highest, now)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    began = time.monotonic()
    with shared:
        result = ScenarioRecorder(load(path), options, shared).record()
    is_over.set()
    watcher.join()
    print(f"{result['frames']} frames in {time.monotonic() - began:.0f} s, all processes together:")
    print(f"{begin:.0f} MB after {_SETTLED} frames, at most {highest:.0f} MB later: {highest - begin:+.0f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
