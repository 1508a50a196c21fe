"""Our model's time per frame beside other papers' generators: ``python -m neuralsim.bench.peers --size 512x256``.

Ours is the shipped graph as it is driven (bytes of real town frames in, bytes of the picture out, state inside); theirs
are bare layer lists (:mod:`neuralsim.bench.peer_graphs`). The same runtime, precision and threads for all, measured in
turns, so that a neighbour's noise hits all alike. The last line is one JSON object.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bridge.process.options import parse
from neuralsim import runtimes
from neuralsim.base.log import logger
from neuralsim.base.machine import cores, host
from neuralsim.bench import peer_graphs
from neuralsim.bench.flops import gflop
from neuralsim.bench.options import PeersOptions
from neuralsim.renderer.neural_renderer import ModelError, NeuralRenderer, RuntimeUnavailable
from neuralsim.town.town_drive import TownDrive

_FRAMES = 8  # of the town, painted over and over
_TURN = 0.12  # s that each model runs per round, one run at least, after one that warms its caches


def measure(models: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds per run of each, measured in turns over so many rounds."""
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
    """The report for frames of ``pixels`` (width, height), multiples of 32. Raises ModelError, RuntimeUnavailable.

    Args:
        model: Ours, a shipped model's name or a folder.
        runtime: As for ``neuralsim.runtimes.create``; all generators run in the same one.
        pixels: Width and height.
        threads: CPU threads, None = all.
        rounds: Turns that each generator gets.
    """
    width, height = pixels
    renderer = NeuralRenderer(model, runtime, pixels, threads)
    chosen, precision = renderer.runtime.split()[:2]
    if runtime == "auto" and precision == "int8":  # which the others have no ranges for
        renderer = NeuralRenderer(model, chosen, pixels, threads)
        precision = renderer.runtime.split()[1]
    feeds = _town(renderer, width, height)
    turn = iter(range(sys.maxsize))
    models: dict[str, Callable[[], object]] = {"ours": lambda: renderer.step(feeds[next(turn) % len(feeds)])}
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


def _town(renderer: NeuralRenderer, width: int, height: int) -> list[dict[str, np.ndarray]]:
    town = TownDrive(width, height)
    town.ride()
    return [renderer.feeds(town.next()) for _ in range(_FRAMES)]


def _random_input(session: runtimes.StatelessSession) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    feeds = {name: rng.standard_normal(shape, np.float32) for name, shape in session.inputs.items()}
    return lambda: session.run(feeds)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and one JSON line last."""
    options = parse(PeersOptions, argv, "python -m neuralsim.bench.peers")
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
