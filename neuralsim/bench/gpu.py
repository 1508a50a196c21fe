"""Measure a model's time per step on an NVIDIA GPU in every available runtime: ``python -m neuralsim.bench.gpu``.

These are PyTorch with CUDA graphs, plain and compiled; TensorRT where its packages are installed, its engine built
first; ONNX Runtime where its GPU package is. Steps are whole, as in a drive: a town frame's bytes go up, the image
comes down, the state stays on the device. In a checkout, ``--peers`` adds the generators of
:mod:`benchmarks.peer_graphs`. The last line is one JSON object.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np

from bridge.process.option_types import Positive
from bridge.process.options import Arg, Options, parse
from bridge.size import Size
from neuralsim import runtimes
from neuralsim.base.log import logger
from neuralsim.base.shared_options import DEFAULT_MODEL
from neuralsim.renderer.neural_renderer import ModelError, NeuralRenderer
from neuralsim.runtimes import RuntimeUnavailable, cuda_driver
from neuralsim.town.town_drive import TownDrive

RUNTIMES = ("torch:fp16", "torch:fp16-compiled", "torch:bf16", "tensorrt:fp16", "tensorrt:int8", "onnxruntime:fp16")
_FRAMES = 8  # of the town, rendered over and over
_WARM_UP = 50  # steps before measuring


class GpuOptions(Options):
    """Time per step on an NVIDIA GPU, by runtime."""

    size: Size = Size(1024, 512)
    """Pixels, multiples of 32."""
    model: Annotated[str, Arg("NAME")] = DEFAULT_MODEL
    """Our model."""
    steps: Positive = 300
    """Steps to measure."""
    peers: bool = False
    """Also measure other papers' generators; only in a checkout."""

    def check(self) -> None:
        """Raise ``ValueError`` for a size that not all generators accept."""
        if any(side % 32 for side in self.size):
            raise ValueError("--size must be multiples of 32: the other generators accept nothing else")


def measure(step: Callable[[int], object], steps: int) -> dict[str, float]:
    """Return the milliseconds of a step, each waited for: median and 95th percentile."""
    for number in range(_WARM_UP):
        step(number)
    times = []
    for number in range(steps):
        begun = time.perf_counter()
        step(number)
        times.append(1000.0 * (time.perf_counter() - begun))
    return {"p50": round(float(np.median(times)), 3), "p95": round(float(np.percentile(times, 95)), 3)}


def compare(model: str, pixels: tuple[int, int], steps: int, peers: bool) -> dict[str, object]:
    """Return the milliseconds by runtime, and why the others are missing. Raises ModelError, NoGpu."""
    gpu = cuda_driver.check(cuda_driver.gpu())
    town = TownDrive(*pixels)
    town.ride()
    frames = [town.next_frame() for _ in range(_FRAMES)]
    ours: dict[str, object] = {}
    theirs: dict[str, dict[str, object]] = {}
    missing: dict[str, str] = {}
    for requested in RUNTIMES:
        try:
            renderer = NeuralRenderer(model, requested, pixels)
            inputs = [renderer.encode(frame).tensors for frame in frames]
            ours[renderer.runtime] = measure(_stepper(renderer, inputs), steps)
            if peers and not requested.endswith("int8"):  # there are no quantisation ranges for the others
                theirs[renderer.runtime] = _measure_peers(requested, pixels, steps)
        except RuntimeUnavailable as error:
            missing[requested] = str(error)
    size_text = f"{pixels[0]}x{pixels[1]}"
    facts = {"model": model, "size": size_text, "device": gpu.name, "driver": gpu.driver}
    return {**facts, "ms": ours, "peers_ms": theirs, "missing": missing}


def _stepper(renderer: NeuralRenderer, inputs: list[dict[str, np.ndarray]]) -> Callable[[int], object]:
    return lambda number: renderer.run_graph(inputs[number % len(inputs)])


def _runner(session: runtimes.StatelessSession, feeds: dict[str, np.ndarray]) -> Callable[[int], object]:
    return lambda number: session.run(feeds)


def _measure_peers(requested: str, pixels: tuple[int, int], steps: int) -> dict[str, object]:
    from benchmarks import peer_graphs

    runtime, _, precision = requested.partition(":")
    rng = np.random.default_rng(0)
    times: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="neuralsim-peers-") as folder:
        for name in peer_graphs.PEERS:
            graph = peer_graphs.write(name, Path(folder), pixels[1], pixels[0])
            session = runtimes.stateless(runtime, graph, precision=precision)
            feeds = {key: rng.standard_normal(shape, np.float32) for key, shape in session.inputs.items()}
            times[name] = measure(_runner(session, feeds), steps)
            graph.unlink()
    return times


def main() -> int:
    """Measure, print a table, and one JSON line last."""
    options = parse(GpuOptions, None, "python -m neuralsim.bench.gpu")
    has_peers = find_spec("benchmarks") is not None
    if options.peers and not has_peers:
        logger("gpu").warning("--peers is left out: it needs benchmarks/ of a checkout, started from its folder")
    try:
        report = compare(options.model, options.size, options.steps, options.peers and has_peers)
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
