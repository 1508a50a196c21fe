"""The graph with its coarse convolutions in int8: QuantizeLinear and DequantizeLinear around them, no other changes.

Symmetric, as TensorRT requires: one scale for an activation, one for each output channel of a weight, zero points zero,
biases in floating point (Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018). Only
3x3 convolutions at a quarter of the frame's width or below are quantised: they do most of the arithmetic. In all others
rounding adds more to the error, and its conversions cost as much as it saves (docs/guide/runtimes.md has the figures).
Scales are rounded to half precision, so that the graph can be halved as well (TensorRT) and still computes the same.

The scales come from :mod:`ranges <neuralsim.runtimes.activation_ranges>` measured on frames of the town.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from neuralsim.runtimes import cache, graph_variants
from neuralsim.runtimes.activation_ranges import Ranges, load_ranges
from neuralsim.runtimes.interface import STATE_OUTPUTS, RuntimeUnavailable, state_shapes
from neuralsim.runtimes.onnxruntime_session import quiet_session

COARSE = 4  # times narrower than the frame: convolutions at this width or less are quantised
_LEVELS = 127  # on each side of zero
_SAMPLED = 1 << 14  # values of each activation sampled per frame
_SHARES = np.linspace(0.3, 1.0, 36)  # of the largest value: candidates for the range

Inputs = dict[str, np.ndarray]


def calibrate(graph: Path, sequences: Iterable[Sequence[Inputs]], source: str, threads: int | None = None) -> Ranges:
    """Measure the activations that enter coarse convolutions, in fp32.

    ``sequences``: inputs of consecutive frames, all but the state; each sequence starts without a past. An activation's
    range is the one of least squared rounding error. Raises ValueError if the graph has no such convolution.
    """
    model = onnx.load(str(graph))
    names = sorted({node.input[0] for node in _convolutions(graph_variants.Editor(model))})
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = quiet_session(model.SerializeToString(), threads)
    outputs = [*STATE_OUTPUTS.values(), *names]
    past = next((port.shape[1] for port in session.get_inputs() if port.name == "past_label"), 0)
    samples: dict[str, list[np.ndarray]] = {}
    largest: dict[str, float] = {}
    frames = 0
    for sequence in sequences:
        state: Inputs = {}
        for inputs in sequence:
            height, width = inputs["tag"].shape
            shapes = state_shapes(height, width, past)
            state = state or {key: np.full(shape, empty, np.float32) for key, (shape, empty) in shapes.items()}
            results = dict(zip(outputs, session.run(outputs, inputs | state), strict=True))
            state = {key: results[output] for key, output in STATE_OUTPUTS.items()}
            frames += 1
            for name in names:
                values = np.abs(results[name])
                if values.ndim == 4 and values.shape[-1] * COARSE <= width:
                    largest[name] = max(largest.get(name, 0.0), float(values.max()))
                    samples.setdefault(name, []).append(values.ravel()[:: values.size // _SAMPLED | 1])
    if not samples:
        raise ValueError(f"{graph} has no convolution that is worth int8")
    ranges = {name: _best(np.concatenate(parts), largest[name]) for name, parts in samples.items()}
    return Ranges(cache.sha256(graph), frames, source, ranges)


def quantise(model: onnx.ModelProto, ranges: dict[str, float]) -> onnx.ModelProto:
    """Return a copy of ``model`` that computes in int8 each convolution whose input is among ``ranges``."""
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
    """Return the file of ``graph`` in int8, written on the first call. Raises NotCalibrated, OSError."""
    ranges = load_ranges(graph)
    variant = cache.form(graph, f"int8-{ranges.key}.onnx")
    if not variant.is_file():
        cache.write(variant, quantise(onnx.load(str(graph)), ranges.range).SerializeToString())
    return variant


def _convolutions(graph: graph_variants.Editor) -> list[onnx.NodeProto]:
    """Return the convolutions larger than 1x1 and not depthwise whose input depends on the graph's inputs."""
    dependent = {port.name for port in graph.model.graph.input}
    convolutions = []
    for node in graph.nodes:
        if dependent.intersection(node.input):
            dependent.update(node.output)
            if node.op_type == "Conv" and node.input[0] in dependent:
                weight = graph.constant_value(node.input[1])
                if weight is not None and weight[0, 0].size > 1 and weight.shape[1] > 1:
                    convolutions.append(node)
    return convolutions


def _scale(largest: np.ndarray) -> np.ndarray:
    """Return the f32 scales for magnitudes up to ``largest``, rounded to half precision."""
    return np.maximum(largest / _LEVELS, 2.0**-14).astype(np.float16).astype(np.float32)


def _best(values: np.ndarray, largest: float) -> float:
    """Return the range whose rounding and clipping of ``values`` >= 0 has the least mean squared error."""
    errors = []
    for share in _SHARES:
        step = max(share * largest, 1e-6) / _LEVELS
        errors.append(np.square(np.rint(values / step).clip(max=_LEVELS) * step - values).mean())
    return float(_SHARES[int(np.argmin(errors))] * largest)


def quantised(graph: Path) -> Path:
    """Return the file of ``graph`` in int8, written on the first call. Raises RuntimeUnavailable."""
    try:
        return path(graph)
    except OSError as error:
        raise RuntimeUnavailable(f"the graph in int8 cannot be written: {error.filename}: {error.strerror}") from error
