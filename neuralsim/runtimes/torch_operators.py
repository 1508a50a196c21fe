"""ONNX operators as PyTorch functions: those that the graphs of this project use.

Each takes its inputs in ONNX's order and its attributes by name (https://onnx.ai/onnx/operators, opset 17). Inputs that
are sizes, axes or scales are tensors or, once they are known, lists of numbers.

No converter from PyPI replaces this: onnx2torch 1.5.15 has no GridSample and no Clip with computed bounds, onnx2pytorch
0.6.0 fails on these graphs' convolutions, and both require torchvision.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

#: Element types by ONNX's number (onnx.proto, TensorProto.DataType), which needs no onnx.
TYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 4: torch.uint16, 6: torch.int32, 7: torch.int64, 9: torch.bool,
    10: torch.float16, 11: torch.float64,
}  # fmt: skip

Numbers = Tensor | Sequence[float] | None

#: Indices of an operator's inputs that are sizes, axes or scales: they must be known when the graph is read.
SIZES = {
    "Reshape": (1,), "Expand": (1,), "Unsqueeze": (1,), "Squeeze": (1,), "Split": (1,), "Tile": (1,), "Pad": (1,),
    "Slice": (1, 2, 3, 4), "Resize": (1, 2, 3), "ReduceSum": (1,), "ReduceMean": (1,), "ReduceMax": (1,),
    "ReduceMin": (1,), "ConstantOfShape": (0,), "Range": (0, 1, 2),
}  # fmt: skip


def _list(values: Numbers) -> list[Any]:
    return values.reshape(-1).tolist() if isinstance(values, Tensor) else list(values or ())


def _pairs(pads: Sequence[int]) -> list[int]:
    """Convert ONNX's [begin..., end...] to torch's [last begin, last end, ...]."""
    half = len(pads) // 2
    return [side for axis in reversed(range(half)) for side in (pads[axis], pads[axis + half])]


def _constant(**value: Any) -> Tensor:
    (constant,) = value.values()
    return constant if isinstance(constant, Tensor) else torch.tensor(constant)


def _constant_of_shape(shape: Numbers, value: Tensor | None = None) -> Tensor:
    like = torch.zeros(1) if value is None else value
    return torch.full([int(n) for n in _list(shape)], like.item(), dtype=like.dtype)


def _range(start: Numbers, limit: Numbers, delta: Numbers) -> Tensor:
    kind = start.dtype if isinstance(start, Tensor) else torch.int64
    return torch.arange(_list(start)[0], _list(limit)[0], _list(delta)[0], dtype=kind)


def _reshape(x: Tensor, shape: Numbers, allowzero: int = 0) -> Tensor:
    return x.reshape([x.shape[n] if size == 0 and not allowzero else int(size) for n, size in enumerate(_list(shape))])


def _expand(x: Tensor, shape: Numbers) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, [int(size) for size in _list(shape)]))


def _unsqueeze(x: Tensor, axes: Numbers) -> Tensor:
    rank = x.dim() + len(_list(axes))
    for axis in sorted(int(a) % rank for a in _list(axes)):
        x = x.unsqueeze(axis)
    return x


def _squeeze(x: Tensor, axes: Numbers = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze([int(a) for a in _list(axes)])


def _slice(x: Tensor, starts: Numbers, ends: Numbers, axes: Numbers = None, steps: Numbers = None) -> Tensor:
    begin, end = _list(starts), _list(ends)
    along = _list(axes) or list(range(len(begin)))
    for axis, first, last, step in zip(along, begin, end, _list(steps) or [1] * len(begin), strict=True):
        places = range(x.shape[axis])[slice(int(first), int(last), int(step))]  # clipped to the bounds
        if step > 0:
            x = x[(slice(None),) * (axis % x.dim()) + (slice(places.start, places.stop, places.step),)]
        else:
            x = x.index_select(axis, torch.tensor(list(places), device=x.device))
    return x


def _split(x: Tensor, sizes: Numbers = None, axis: int = 0, num_outputs: int = 2) -> tuple[Tensor, ...]:
    parts = [int(n) for n in _list(sizes)] or -(-x.shape[axis] // num_outputs)
    return tuple(torch.split(x, parts, axis))


def _gather(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    axis %= x.dim()
    if indices.numel() <= 16:  # sizes and axes may count from the end; maps of rows never do
        indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    return torch.index_select(x, axis, indices.reshape(-1)).reshape(shape)


def _pad(x: Tensor, pads: Numbers, value: Tensor | None = None, axes: Numbers = None, mode: str = "constant") -> Tensor:
    sides = [int(n) for n in _list(pads)]
    if mode == "constant":
        return F.pad(x, _pairs(sides), "constant", 0 if value is None else value.item())
    outer = x.dim() - 2
    around = sides[outer : x.dim()] + sides[x.dim() + outer :]
    return F.pad(x, _pairs(around), {"edge": "replicate", "reflect": "reflect"}[mode])


def _resize(
    x: Tensor,
    roi: Numbers = None,
    scales: Numbers = None,
    sizes: Numbers = None,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    **_: Any,
) -> Tensor:
    size = [int(n) for n in _list(sizes)[2:]]
    if not size:
        size = [int(side * scale) for side, scale in zip(x.shape[2:], _list(scales)[2:], strict=True)]
    how = (mode, coordinate_transformation_mode, nearest_mode if mode == "nearest" else "")
    if how == ("nearest", "asymmetric", "floor"):
        return F.interpolate(x, size, mode="nearest")
    if how[:2] in (("linear", "half_pixel"), ("linear", "pytorch_half_pixel")):
        return F.interpolate(x, size, mode="bilinear", align_corners=False)
    raise NotImplementedError(f"Resize by {how}")


def _conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, group: int = 1, strides: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0), dilations: Sequence[int] = (1, 1), **_: Any,
) -> Tensor:  # fmt: skip
    if list(pads[:2]) != list(pads[2:]):
        x, pads = F.pad(x, _pairs(pads)), (0, 0)
    return F.conv2d(x, weight, bias, list(strides), list(pads[:2]), list(dilations), group)


def _conv_transpose(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, group: int = 1, strides: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0), output_padding: Sequence[int] = (0, 0), **_: Any,
) -> Tensor:  # fmt: skip
    return F.conv_transpose2d(x, weight, bias, list(strides), list(pads[:2]), list(output_padding), group)


def _average_pool(
    x: Tensor, kernel_shape: Sequence[int], strides: Sequence[int] = (1, 1), pads: Sequence[int] = (0, 0, 0, 0),
    count_include_pad: int = 0, ceil_mode: int = 0, **_: Any,
) -> Tensor:  # fmt: skip
    return F.avg_pool2d(
        x, list(kernel_shape), list(strides), list(pads[:2]), bool(ceil_mode), count_include_pad=bool(count_include_pad)
    )


def _max_pool(
    x: Tensor, kernel_shape: Sequence[int], strides: Sequence[int] = (1, 1), pads: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1), ceil_mode: int = 0, **_: Any,
) -> Tensor:  # fmt: skip
    return F.max_pool2d(x, list(kernel_shape), list(strides), list(pads[:2]), list(dilations), bool(ceil_mode))


def _grid_sample(
    x: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: int = 0
) -> Tensor:
    modes = {"linear": "bilinear", "cubic": "bicubic"}
    return F.grid_sample(x, grid, modes.get(mode, mode), padding_mode, bool(align_corners))


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a reduction whose axes are an attribute (up to opset 17) or an input (from 18 on)."""

    def reduced(x: Tensor, *inputs: Numbers, axes: Sequence[int] = (), keepdims: int = 1, **_: Any) -> Tensor:
        along = [int(a) for a in _list(inputs[0] if inputs else list(axes))] or list(range(x.dim()))
        return function(x, along, keepdim=bool(keepdims))

    return reduced


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _modulo(a: Tensor, b: Tensor, fmod: int = 0) -> Tensor:
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


def _fold(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def folded(first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = function(first, other)
        return first

    return folded


def _clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return x if low is None and high is None else torch.clamp(x, low, high)


def _concat(*parts: Tensor, axis: int) -> Tensor:
    return torch.cat(parts, axis)


def _instance_norm(x: Tensor, scale: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


def _batch_norm(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float = 1e-5, **_: Any
) -> Tensor:
    return F.batch_norm(x, mean, variance, scale, bias, False, 0.0, epsilon)


def _along_axis(values: Tensor, like: Tensor, axis: int) -> Tensor:
    if values.dim() == 0 or values.numel() == 1:
        return values.reshape(())
    return values.reshape([-1 if n == axis % like.dim() else 1 for n in range(like.dim())])


def _quantise(x: Tensor, scale: Tensor, zero: Tensor, axis: int = 1) -> Tensor:
    limits = torch.iinfo(zero.dtype)
    steps = torch.round(x / _along_axis(scale, x, axis)) + _along_axis(zero, x, axis)
    return steps.clamp(limits.min, limits.max).to(zero.dtype)


def _dequantise(x: Tensor, scale: Tensor, zero: Tensor | None = None, axis: int = 1) -> Tensor:
    steps = x.to(scale.dtype)
    if zero is not None:
        steps = steps - _along_axis(zero, x, axis).to(scale.dtype)
    return steps * _along_axis(scale, x, axis)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": torch.abs, "Add": torch.add, "And": torch.logical_and, "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm, "Cast": lambda x, to: x.to(to), "Ceil": torch.ceil, "Clip": _clip,
    "Concat": _concat, "Constant": _constant, "ConstantOfShape": _constant_of_shape, "Conv": _conv,
    "ConvTranspose": _conv_transpose, "Cos": torch.cos, "DequantizeLinear": _dequantise, "Div": _divide,
    "Equal": torch.eq, "Exp": torch.exp, "Expand": _expand, "Floor": torch.floor, "Gather": _gather,
    "Greater": torch.gt, "GreaterOrEqual": torch.ge, "GridSample": _grid_sample, "Identity": lambda x: x,
    "InstanceNormalization": _instance_norm, "LeakyRelu": lambda x, alpha=0.01: F.leaky_relu(x, alpha),
    "Less": torch.lt, "LessOrEqual": torch.le, "Log": torch.log, "MatMul": torch.matmul, "Max": _fold(torch.maximum),
    "MaxPool": _max_pool, "Min": _fold(torch.minimum), "Mod": _modulo, "Mul": torch.mul, "Neg": torch.neg,
    "Not": torch.logical_not, "Or": torch.logical_or, "Pad": _pad, "Pow": torch.pow, "QuantizeLinear": _quantise,
    "Range": _range, "Reciprocal": torch.reciprocal, "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean), "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum), "Relu": torch.relu, "Reshape": _reshape, "Resize": _resize,
    "Round": torch.round, "Shape": lambda x, **_: torch.tensor(x.shape), "Sigmoid": torch.sigmoid, "Sign": torch.sign,
    "Sin": torch.sin, "Slice": _slice, "Softmax": lambda x, axis=-1: torch.softmax(x, axis), "Split": _split,
    "Sqrt": torch.sqrt, "Squeeze": _squeeze, "Sub": torch.sub, "Tanh": torch.tanh,
    "Tile": lambda x, repeats: x.repeat([int(n) for n in _list(repeats)]),
    "Transpose": lambda x, perm=None: x.permute(perm) if perm else x.permute(*reversed(range(x.dim()))),
    "Unsqueeze": _unsqueeze, "Where": torch.where, "Xor": torch.logical_xor,
}  # fmt: skip
