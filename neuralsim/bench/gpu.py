"""A model's time per step on an NVIDIA GPU, by every runtime found there: ``python -m neuralsim.bench.gpu``.

PyTorch with CUDA graphs, plain and compiled; TensorRT, its engine built first, where its packages are installed; ONNX
Runtime where its GPU package is. Whole steps as driven: a town frame's bytes up, the picture down, state on the device.
With ``--peers`` the generators of :mod:`neuralsim.bench.peer_graphs` as well. The last line is one JSON object.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bridge.process.options import parse
from neuralsim import runtimes
from neuralsim.base.log import logger
from neuralsim.bench import peer_graphs
from neuralsim.bench.options import GpuOptions
from neuralsim.renderer.neural_renderer import ModelError, NeuralRenderer
from neuralsim.runtimes import RuntimeUnavailable, cuda_driver
from neuralsim.town.town_drive import TownDrive

RUNTIMES = ("torch:fp16", "torch:fp16-compiled", "torch:bf16", "tensorrt:fp16", "tensorrt:int8", "onnxruntime:fp16")
_FRAMES = 8  # of the town, painted over and over
_WARM = 50  # steps before measuring


def measure(step: Callable[[int], object], steps: int) -> dict[str, float]:
    """Milliseconds of a step, each waited for: median and 95th percentile."""
    for number in range(_WARM):
        step(number)
    times = []
    for number in range(steps):
        begun = time.perf_counter()
        step(number)
        times.append(1000.0 * (time.perf_counter() - begun))
    return {"p50": round(float(np.median(times)), 3), "p95": round(float(np.percentile(times, 95)), 3)}


def compare(model: str, pixels: tuple[int, int], steps: int, peers: bool) -> dict[str, object]:
    """Milliseconds by runtime, and why the others are missing. Raises ModelError, NoGpu."""
    gpu = cuda_driver.check(cuda_driver.gpu())
    town = TownDrive(*pixels)
    town.ride()
    frames = [town.next() for _ in range(_FRAMES)]
    ours: dict[str, object] = {}
    theirs: dict[str, dict[str, object]] = {}
    missing: dict[str, str] = {}
    for wanted in RUNTIMES:
        try:
            renderer = NeuralRenderer(model, wanted, pixels)
            feeds = [renderer.feeds(frame) for frame in frames]
            ours[renderer.runtime] = measure(_stepper(renderer, feeds), steps)
            if peers and not wanted.endswith("int8"):  # which the others have no ranges for
                theirs[renderer.runtime] = _peers(wanted, pixels, steps)
        except RuntimeUnavailable as error:
            missing[wanted] = str(error)
    size_text = f"{pixels[0]}x{pixels[1]}"
    facts = {"model": model, "size": size_text, "device": gpu.name, "driver": gpu.driver}
    return {**facts, "ms": ours, "peers_ms": theirs, "missing": missing}


def _stepper(renderer: NeuralRenderer, feeds: list[dict[str, np.ndarray]]) -> Callable[[int], object]:
    return lambda number: renderer.step(feeds[number % len(feeds)])


def _runner(session: runtimes.StatelessSession, feeds: dict[str, np.ndarray]) -> Callable[[int], object]:
    return lambda number: session.run(feeds)


def _peers(wanted: str, pixels: tuple[int, int], steps: int) -> dict[str, object]:
    runtime, _, precision = wanted.partition(":")
    rng = np.random.default_rng(0)
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="neuralsim-peers-") as folder:
        for name in peer_graphs.PEERS:
            graph = peer_graphs.write(name, Path(folder), pixels[1], pixels[0])
            session = runtimes.stateless(runtime, graph, precision=precision)
            feeds = {key: rng.standard_normal(shape, np.float32) for key, shape in session.inputs.items()}
            found[name] = measure(_runner(session, feeds), steps)
            graph.unlink()
    return found


def main() -> int:
    """Measure, print a table, and one JSON line last."""
    options = parse(GpuOptions, None, "python -m neuralsim.bench.gpu")
    try:
        report = compare(options.model, options.size, options.steps, options.peers)
    except (ModelError, cuda_driver.NoGpu) as error:
        logger("gpu").error(error)
        return 1
    for kind in ("ms", "missing"):
        for name, value in dict(report[kind]).items():  # type: ignore[call-overload]
            print(f"{name:<24}{value}")
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
