"""Draw a model's layers under this machine's roofline (Williams, Waterman and Patterson 2009).

    python -m benchmarks.roofline --size 512x256 [--chart roofline.svg]

A layer that does few operations per byte cannot be faster than memory, one that does many cannot be faster than the
arithmetic units. Times are OpenVINO's own counters, layer by layer. Operations are those of convolutions and matrix
products (a multiplication and an addition are two). Bytes are what a layer must read and write at least once: input,
weights and output, in the precision it ran in. The last line is one JSON object: "peaks" and "roofline".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from bridge.process.options import Arg, Options, parse
from bridge.size import Size
from neuralsim import zoo
from neuralsim.base.extras import missing
from neuralsim.base.failure import fail
from neuralsim.base.shared_options import DEFAULT_MODEL
from neuralsim.bench.machine_state import peaks

_RUNS = 12  # of which each layer's fastest counts
_WORTH_SHOWING = 0.005  # share of the whole time


class RooflineOptions(Options):
    """A model's layers under this machine's roofline."""

    size: Size = Size(512, 256)
    """Pixels."""
    model: Annotated[str, Arg("NAME")] = DEFAULT_MODEL
    """A shipped model's name, or a folder."""
    chart: Annotated[Path, Arg("FILE.svg")] | None = None
    """Draw it (bench extra)."""


def profile(model: str, size: tuple[int, int]) -> dict[str, Any] | None:
    """Return the cost of one frame of ``size`` (width, height) by layer; None where OpenVINO cannot run the model.

    {"gflop", "ms": sum over layers, "precision", "kinds": {kind of layer: ms}, "layers": [{"name", "ms", "gflop", "mb",
    "precision"}, ...] of those with operations, the longest first}. Raises ``ModelError``.
    """
    try:
        from benchmarks.flops import operations
        from neuralsim.base.quiet_openvino import ov
        from neuralsim.runtimes.openvino.runtime import fix_size
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
    """Return the layers with operations that took more than ``least`` ms, the slowest first."""
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
    """Return layer -> (operations, elements read and written) for the layers that have operations."""
    work = {}
    for node in graph.get_ordered_ops():
        done = operations(node)
        if done:
            ports = (*node.inputs(), node.output(0))
            work[node.get_friendly_name()] = done, sum(prod(port.get_shape()) for port in ports)
    return work


def plot(roofs: dict[str, float], profile: dict[str, Any], path: Path) -> None:
    """Write the chart: GFLOP/s of each layer over its operations per byte, both logarithmic; areas are times.

    Raises ModuleNotFoundError without matplotlib.
    """
    from matplotlib.figure import Figure

    layers = [layer for layer in profile["layers"] if layer["mb"] and layer["ms"]]
    intensity = [layer["gflop"] / layer["mb"] * 1e3 for layer in layers]
    figure = Figure((8.0, 5.0), layout="constrained")
    axes = figure.subplots()
    axes.scatter(intensity, [layer["gflop"] / layer["ms"] * 1e3 for layer in layers], [40 * la["ms"] for la in layers])
    for precision in ("bf16", "f32"):
        if roof := roofs.get(f"{precision}_gflops"):
            x = np.geomspace(min(intensity) / 2.0, max(*intensity, roof / roofs["copy_gb_per_s"]) * 2.0)
            axes.plot(x, np.minimum(roof, x * roofs["copy_gb_per_s"]), label=f"{precision} {roof:.0f} GFLOP/s")
    title = f"{profile['model']} at {profile['size']}; memory {roofs['copy_gb_per_s']:.1f} GB/s"
    axes.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="GFLOP/s", title=title)
    axes.legend()
    figure.savefig(path, format="svg")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and one JSON line last."""
    options = parse(RooflineOptions, argv, "python -m benchmarks.roofline")
    try:
        # Peaks before the layers and after them: a machine that others use has good seconds and bad ones.
        before, layers, after = peaks(), profile(options.model, options.size), peaks()
        if layers is None:
            return fail(f"OpenVINO cannot run {options.model} here")
        best = {name: max(value, after.get(name, 0.0)) for name, value in before.items()}
        if options.chart is not None:
            plot(best, layers, options.chart)
    except (zoo.ModelError, OSError) as error:
        return fail(error)
    except ModuleNotFoundError as error:
        return fail(missing(error, "bench"))
    for name, value in best.items():
        print(f"{name:<40}{value:>9.1f}")
    for layer in layers["layers"]:
        print(f"{layer['name']:<40}{layer['ms']:>9.3f} ms{layer['gflop'] / layer['ms'] * 1e3:>9.1f} GFLOP/s")
    print(json.dumps({"peaks": best, "roofline": layers}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
