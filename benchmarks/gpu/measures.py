"""What several checks measure: differences of images in dB, and milliseconds."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx

from neuralsim.runtimes.torch_ import TorchSession
from neuralsim.runtimes.torch_operators import OPERATORS


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two u8 images, dB, 99 for equal ones."""
    error = float(np.mean(np.square(image.astype(np.float32) - reference)))
    return 99.0 if error == 0.0 else round(float(10.0 * np.log10(255.0**2 / error)), 1)


def milliseconds(step: Callable[[], object], steps: int) -> dict[str, float]:
    """Return the milliseconds of a step that is waited for: median and 95th percentile, after a tenth to warm up."""
    for _ in range(max(steps // 10, 2)):
        step()
    times = []
    for _ in range(steps):
        begun = time.perf_counter()
        step()
        times.append(1000.0 * (time.perf_counter() - begun))
    return {"p50": round(float(np.median(times)), 3), "p95": round(float(np.percentile(times, 95)), 3)}


@torch.inference_mode()
def parts(session: TorchSession, steps: int) -> dict[str, Any]:
    """Return the milliseconds of the parts of a step's graph, by themselves, one after the other.

    They are what precedes the first convolution (world points, where the past is sampled), from there to the last one
    (the generator), and what follows (warp, bound, blend). On a GPU each is a CUDA graph of its own.
    """
    module, values = session.module, session.arguments()
    nodes = list(module.graph.nodes)
    convolutions = [k for k, node in enumerate(nodes) if node.target is OPERATORS["Conv"]]
    borders = [0, convolutions[0], convolutions[-1] + 1, len(nodes)]
    interpreter = fx.Interpreter(module, garbage_collect_values=False)

    def run(first: int, last: int) -> None:
        if first == 0:
            interpreter.args_iter = iter(values)
        for node in nodes[first:last]:
            interpreter.env[node] = interpreter.run_node(node)

    times: dict[str, Any] = {}
    for name, first, last in zip(("before", "generator", "after"), borders, borders[1:], strict=False):
        run(first, last)  # its inputs are there, and libraries have chosen
        if values[0].is_cuda:
            torch.cuda.synchronize()
            captured = torch.cuda.CUDAGraph()
            with torch.cuda.graph(captured):
                run(first, last)

            def step(captured: torch.cuda.CUDAGraph = captured) -> None:
                captured.replay()
                torch.cuda.synchronize()
        else:

            def step(first: int = first, last: int = last) -> None:  # type: ignore[misc]
                run(first, last)

        times[name] = milliseconds(step, steps)
    return times
