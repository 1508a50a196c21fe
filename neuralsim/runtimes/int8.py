"""The graph with its coarse convolutions in int8: QuantizeLinear and DequantizeLinear around them, all else untouched.

Symmetric, as TensorRT wants it: one scale for an activation, one for each output channel of a weight, zero points zero,
biases in floating point (Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018). Only
3x3 convolutions at a quarter of the frame's width or below are quantised: there most of the arithmetic is. In all
others rounding adds more to the error, and its conversions cost as much as it saves (docs/runtimes.md has the figures).
Scales are rounded to half precision, so that the graph can be halved as well (TensorRT) and still says the same.

The scales come from :mod:`ranges <neuralsim.runtimes.activation_ranges>` measured on frames of the town.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from neuralsim.runtimes import cache, graph_variants
from neuralsim.runtimes.activation_ranges import Ranges, recall
from neuralsim.runtimes.interface import NEXT, RuntimeUnavailable, state_shapes
from neuralsim.runtimes.onnxruntime_session import quiet_session

COARSE = 4  # times narrower than the frame: from here on convolutions are quantised
_LEVELS = 127  # on each side of zero
_SAMPLED = 1 << 14  # values of each activation that one frame contributes
_SHARES = np.linspace(0.3, 1.0, 36)  # of the largest value, tried as the range

Feeds = dict[str, np.ndarray]


def calibrate(graph: Path, stretches: Iterable[Sequence[Feeds]], source: str, threads: int | None = None) -> Ranges:
    """Measure the activations that enter coarse convolutions, in fp32.

    ``stretches``: inputs of consecutive frames, all but the state, each stretch beginning without a past. An
    activation's range is the one of least squared rounding error. Raises ValueError where there is none.
    """
    model = onnx.load(str(graph))
    names = sorted({node.input[0] for node in _convolutions(graph_variants.Editor(model))})
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = quiet_session(model.SerializeToString(), threads)
    outputs = [*NEXT.values(), *names]
    past = next((port.shape[1] for port in session.get_inputs() if port.name == "past_label"), 0)
    samples: dict[str, list[np.ndarray]] = {}
    largest: dict[str, float] = {}
    frames = 0
    for stretch in stretches:
        state: Feeds = {}
        for feeds in stretch:
            height, width = feeds["tag"].shape
            state = state or {key: np.full(shape, no, np.float32) for key, (shape, no) in _state(height, width, past)}
            found = dict(zip(outputs, session.run(outputs, feeds | state), strict=True))
            state = {key: found[output] for key, output in NEXT.items()}
            frames += 1
            for name in names:
                values = np.abs(found[name])
                if values.ndim == 4 and values.shape[-1] * COARSE <= width:
                    largest[name] = max(largest.get(name, 0.0), float(values.max()))
                    samples.setdefault(name, []).append(values.ravel()[:: values.size // _SAMPLED | 1])
    if not samples:
        raise ValueError(f"{graph} has no convolution that is worth int8")
    ranges = {name: _best(np.concatenate(parts), largest[name]) for name, parts in samples.items()}
    return Ranges(cache.sha256(graph), frames, source, ranges)


def quantise(model: onnx.ModelProto, ranges: dict[str, float]) -> onnx.ModelProto:
    """A copy of ``model`` that computes in int8 each convolution whose input is among ``ranges``."""
    graph = graph_variants.Editor(model)
    zero = graph.constant(np.zeros((), np.int8))
    rounded: dict[str, str] = {}
    for node in _convolutions(graph):
        name, weight = node.input[0], np.asarray(graph.constant_value(node.input[1]), np.float32)
        if name not in ranges:
            continue
        if name not in rounded:
            scale = graph.constant(_scale(np.asarray(ranges[name])))
            integers = graph.add("QuantizeLinear", [name, scale, zero], node)
            rounded[name] = graph.add("DequantizeLinear", [integers, scale, zero], node)
        scales = _scale(np.abs(weight).max(axis=(1, 2, 3)))
        steps = np.rint(weight / scales.astype(np.float32)[:, None, None, None])
        integers = graph.constant(steps.clip(-_LEVELS, _LEVELS).astype(np.int8))
        zeros = graph.constant(np.zeros(scales.shape, np.int8))
        node.input[1] = graph.add("DequantizeLinear", [integers, graph.constant(scales), zeros], node, axis=0)
        node.input[0] = rounded[name]
    return graph.finish()


def path(graph: Path) -> Path:
    """The file of ``graph`` in int8, made on the first call and kept. Raises NotCalibrated, OSError."""
    ranges = recall(graph)
    made = cache.form(graph, f"int8-{ranges.key}.onnx")
    if not made.is_file():
        cache.write(made, quantise(onnx.load(str(graph)), ranges.range).SerializeToString())
    return made


def _convolutions(graph: graph_variants.Editor) -> list[onnx.NodeProto]:
    """Those larger than 1x1, and not of each channel by itself, that work on what depends on the graph's inputs."""
    alive = {port.name for port in graph.model.graph.input}
    found = []
    for node in graph.nodes:
        if alive.intersection(node.input):
            alive.update(node.output)
            if node.op_type == "Conv" and node.input[0] in alive:
                weight = graph.constant_value(node.input[1])
                if weight is not None and weight[0, 0].size > 1 and weight.shape[1] > 1:
                    found.append(node)
    return found


def _scale(largest: np.ndarray) -> np.ndarray:
    """f32 steps for magnitudes up to ``largest``, of as many digits as half precision has."""
    return np.maximum(largest / _LEVELS, 2.0**-14).astype(np.float16).astype(np.float32)


def _best(values: np.ndarray, largest: float) -> float:
    """The range whose rounding and clipping of ``values`` >= 0 has the least mean square."""
    errors = []
    for share in _SHARES:
        step = max(share * largest, 1e-6) / _LEVELS
        errors.append(np.square(np.rint(values / step).clip(max=_LEVELS) * step - values).mean())
    return float(_SHARES[int(np.argmin(errors))] * largest)


def _state(height: int, width: int, frames: int) -> Iterable[tuple[str, tuple[tuple[int, ...], float]]]:
    return state_shapes(height, width, frames).items()


def quantised(graph: Path) -> Path:
    """The file of ``graph`` in int8, made on the first call and kept. Raises RuntimeUnavailable."""
    try:
        return path(graph)
    except OSError as error:
        raise RuntimeUnavailable(f"the graph in int8 cannot be kept: {error.filename}: {error.strerror}") from error
