"""Compare our model's time per frame with that of other papers' generators.

    python -m benchmarks.peers --size 512x256

Ours is the shipped graph as it runs in a drive (bytes of real town frames in, bytes of the image out, state inside);
theirs are bare layer lists (:mod:`benchmarks.peer_graphs`). All run in the same runtime, precision and number of
threads, and are measured in turns, so that noise from other processes hits all alike. The last line is one JSON object.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np

from benchmarks import peer_graphs
from benchmarks.flops import gflop
from bridge.process.option_types import Positive
from bridge.process.options import Arg, Options, parse
from bridge.size import Size
from neuralsim import runtimes
from neuralsim.base.log import logger
from neuralsim.base.machine import cores, host
from neuralsim.base.shared_options import DEFAULT_MODEL
from neuralsim.renderer.neural_renderer import ModelError, NeuralRenderer, RuntimeUnavailable
from neuralsim.town.town_drive import TownDrive

_FRAMES = 8  # of the town, rendered over and over
_TURN = 0.12  # s that each model runs per round, at least one run, after one that warms up its caches


class PeersOptions(Options):
    """Time per frame of the model and of other papers' generators."""

    size: Size = Size(512, 256)
    """Pixels, multiples of 32: the other generators accept nothing else."""
    model: Annotated[str, Arg("NAME")] = DEFAULT_MODEL
    """Our model."""
    runtime: Annotated[str, Arg("NAME")] = "auto"
    """The runtime for all of them."""
    threads: Positive | None = None
    """CPU threads (default: all cores)."""
    rounds: Positive = 15
    """Turns of each."""

    def check(self) -> None:
        """Raise ``ValueError`` for a size that not all generators accept."""
        if any(side % 32 for side in self.size):
            raise ValueError("--size must be multiples of 32: the other generators accept nothing else")


def measure(models: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds per run of each model, measured in turns over ``rounds`` rounds."""
    times: dict[str, list[float]] = {name: [] for name in models}
    for name, run in models.items():
        run()
        begun = time.perf_counter()
        run()
        times[name] = [time.perf_counter() - begun]
    turns = {name: max(1, round(_TURN / first[0])) for name, first in times.items()}
    times = {name: [] for name in models}
    for _ in range(rounds):
        for name, run in models.items():
            run()
            for _ in range(turns[name]):
                begun = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - begun)
    return {name: float(np.median(values)) for name, values in times.items()}


def compare(model: str, runtime: str, pixels: tuple[int, int], threads: int | None, rounds: int) -> dict[str, object]:
    """Return the report for frames of ``pixels``. Raises ModelError, RuntimeUnavailable.

    Args:
        model: Our model: a shipped model's name or a folder.
        runtime: As for ``neuralsim.runtimes.create``; all generators run in the same one.
        pixels: Width and height, multiples of 32.
        threads: CPU threads, None = all.
        rounds: Turns that each generator gets.
    """
    width, height = pixels
    renderer = NeuralRenderer(model, runtime, pixels, threads)
    chosen, precision = renderer.runtime.split()[:2]
    if runtime == "auto" and precision == "int8":  # there are no quantisation ranges for the others
        renderer = NeuralRenderer(model, chosen, pixels, threads)
        precision = renderer.runtime.split()[1]
    inputs = _town_inputs(renderer, width, height)
    turn = iter(range(sys.maxsize))
    models: dict[str, Callable[[], object]] = {"ours": lambda: renderer.run_graph(inputs[next(turn) % len(inputs)])}
    gflops = {"ours": gflop(renderer.card.file, height, width)}
    with tempfile.TemporaryDirectory(prefix="neuralsim-peers-") as folder:
        for name in peer_graphs.PEERS:
            graph = peer_graphs.write(name, Path(folder), height, width)
            gflops[name] = gflop(graph, height, width)
            models[name] = _random_input(runtimes.stateless(chosen, graph, threads, precision))
            graph.unlink()
        seconds = measure(models, rounds)
    return {
        **{f"{name}_ms": round(1000.0 * value, 2) for name, value in seconds.items()},
        "gflop": {name: round(value, 2) for name, value in gflops.items()},
        "model": renderer.model,
        "runtime": chosen,
        "precision": precision,
        "threads": threads or cores(),
        "device": host(),
    }


def _town_inputs(renderer: NeuralRenderer, width: int, height: int) -> list[dict[str, np.ndarray]]:
    town = TownDrive(width, height)
    town.ride()
    return [renderer.encode(town.next_frame()).tensors for _ in range(_FRAMES)]


def _random_input(session: runtimes.StatelessSession) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    inputs = {name: rng.standard_normal(shape, np.float32) for name, shape in session.inputs.items()}
    return lambda: session.run(inputs)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and one JSON line last."""
    options = parse(PeersOptions, argv, "python -m benchmarks.peers")
    try:
        report = compare(options.model, options.runtime, options.size, options.threads, options.rounds)
    except (ModelError, RuntimeUnavailable, OSError) as error:
        logger("peers").error(error)
        return 1
    ours = float(str(report["ours_ms"]))
    gflops = dict(report["gflop"])  # type: ignore[call-overload]
    print(f"{'':<10}{'ms':>9}{'GFLOP':>9}{'times ours':>12}")
    for name in ("ours", *peer_graphs.PEERS):
        taken = float(str(report[f"{name}_ms"]))
        print(f"{name:<10}{taken:>9.1f}{gflops[name]:>9.1f}{taken / ours:>12.1f}")
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
