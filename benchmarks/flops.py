"""Count the floating-point operations of a graph's convolutions and matrix products; multiply + add = 2."""

from __future__ import annotations

from math import prod
from pathlib import Path

from neuralsim.base.quiet_openvino import ov


def gflop(graph: Path, height: int, width: int) -> float:
    """Return the 10^9 operations of one run of the ONNX file ``graph``; free input dimensions become height x width.

    A transposed convolution counts by its input's pixels, each multiplied with the whole kernel. As is usual,
    element-wise layers, normalisation and resampling are not counted. Raises RuntimeError for an unreadable graph.
    """
    from neuralsim.runtimes.openvino.runtime import fix_size

    model = ov.Core().read_model(graph)
    fix_size(model, height, width)
    return sum(operations(node) for node in model.get_ops()) / 1e9


def operations(node: ov.Node) -> int:
    """Return the operations of one layer; 0 for kinds that are not counted."""
    kind = node.get_type_name()
    if kind in ("Convolution", "GroupConvolution"):
        kernel = prod(node.input(1).get_shape()[1 if kind == "Convolution" else 2 :])  # inputs per group, kh, kw
        return int(2 * prod(node.output(0).get_shape()) * kernel)
    if kind == "ConvolutionBackpropData":
        return int(2 * prod(node.input(0).get_shape()) * prod(node.input(1).get_shape()[1:]))
    if kind == "MatMul":
        a = node.input(0).get_shape()
        inner = a[-2] if node.get_attributes()["transpose_a"] else a[-1]
        return int(2 * prod(node.output(0).get_shape()) * inner)
    return 0
