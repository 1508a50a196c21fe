"""A model's layers under this machine's roofline (Williams, Waterman and Patterson 2009).

A layer that does few operations per byte cannot be faster than memory, one that does many cannot be faster than the
arithmetic units. Times are OpenVINO's own counters, layer by layer; operations are those of convolutions and matrix
products (a multiplication and an addition are two); bytes are what a layer must at least read and write once: input,
weights and output, in the precision it ran in.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from neuralsim import zoo

_RUNS = 12  # of which each layer's fastest counts
_WORTH_SHOWING = 0.005  # of the whole time


def profile(model: str, size: tuple[int, int]) -> dict[str, Any] | None:
    """What one frame of ``size`` (width, height) costs, layer by layer; None where OpenVINO cannot run the model.

    {"gflop", "ms": sum over layers, "precision", "kinds": {kind of layer: ms}, "layers": [{"name", "ms", "gflop", "mb",
    "precision"}, ...] of those with operations, the longest first}. Raises ``ModelError``.
    """
    try:
        import openvino as ov

        from neuralsim.bench.flops import operations
        from neuralsim.runtimes.openvino_ import fix_size
    except ModuleNotFoundError:
        return None
    card = zoo.load(model)
    width, height = (-(-side // card.multiple_of) * card.multiple_of for side in size)
    try:
        core = ov.Core()
        graph = core.read_model(card.file)
        fix_size(graph, height, width)
        precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision, "PERF_COUNT": True}
        request = core.compile_model(graph, "CPU", options | {"ENABLE_CPU_PINNING": False}).create_infer_request()
        for port in graph.inputs:
            empty = np.zeros(tuple(port.get_shape()), port.get_element_type().to_dtype())
            request.set_tensor(port.any_name, ov.Tensor(empty))
        work = _work(graph, operations)
        fastest: dict[str, tuple[float, str, str]] = {}
        for _ in range(_RUNS):
            request.infer()
            for node in request.profiling_info:
                spent = node.real_time.total_seconds() * 1e3
                if spent <= fastest.get(node.node_name, (np.inf,))[0]:
                    fastest[node.node_name] = spent, node.node_type, node.exec_type
    except RuntimeError:
        return None
    kinds: dict[str, float] = {}
    for spent, kind, _ in fastest.values():
        kinds[kind] = kinds.get(kind, 0.0) + spent
    total = sum(spent for spent, *_ in fastest.values())
    return {
        "model": card.name,
        "size": f"{size[0]}x{size[1]}",
        "precision": precision,
        "gflop": round(sum(done for done, _ in work.values()) / 1e9, 3),
        "ms": round(total, 2),
        "kinds": {kind: round(spent, 3) for kind, spent in sorted(kinds.items(), key=lambda item: -item[1]) if spent},
        "layers": _layers(fastest, work, _WORTH_SHOWING * total),
    }


def _layers(
    fastest: dict[str, tuple[float, str, str]], work: dict[str, tuple[int, int]], least: float
) -> list[dict[str, Any]]:
    """Those with operations that took more than ``least`` ms, the longest first."""
    layers = []
    for name, (spent, _, executed) in fastest.items():
        if name in work and spent > least:
            done, elements = work[name]
            ran_in = "bf16" if executed.endswith("bf16") else "f32"
            layers.append(
                {
                    "name": name.removesuffix("/WithoutBiases").removesuffix("/Conv").strip("/"),
                    "ms": round(spent, 3),
                    "gflop": round(done / 1e9, 4),
                    "mb": round(elements * (2 if ran_in == "bf16" else 4) / 1e6, 3),
                    "precision": ran_in,
                }
            )
    return sorted(layers, key=lambda layer: -layer["ms"])


def _work(graph: Any, operations: Callable[[Any], int]) -> dict[str, tuple[int, int]]:
    """Layer -> (operations, elements read and written), of those that have operations worth counting."""
    work = {}
    for node in graph.get_ordered_ops():
        done = operations(node)
        if done:
            ports = (*node.inputs(), node.output(0))
            work[node.get_friendly_name()] = done, sum(prod(port.get_shape()) for port in ports)
    return work
