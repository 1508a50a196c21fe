"""Variants of a model's graph: fp16 in the generator, without a past, for CUDA's operators and TensorRT's types.

fp16 goes where values are colours and features: from the first convolution to the last, and there only into operators
that round once. Everything before (world points, depth, sampling coordinates) and after (warp, bound, blend) stays
fp32: at width 512, half precision puts sampling coordinates on eighths of a pixel, and half a kilometre from the
origin world points on quarters of a metre. So do sampling coordinates that convolutions correct (``street``'s),
and the squares, means and roots of a normalisation, which could overflow.
"""

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from neuralsim.runtimes import activation_ranges, cache
from neuralsim.runtimes.interface import NotCalibrated, RuntimeUnavailable

_F32, _F16 = TensorProto.FLOAT, TensorProto.FLOAT16
_CONTRIBUTED = "com.microsoft"  # ONNX Runtime's own operators
_CONVOLUTIONS = ("Conv", "ConvTranspose")
#: Indices of an operator's inputs that are values (the others are sizes, scales, ...), None = all.
_HALVED: dict[str, tuple[int, ...] | None] = {
    "Conv": None, "ConvTranspose": None, "Add": None, "Sub": None, "Mul": None, "LeakyRelu": None, "Relu": None,
    "Tanh": None, "Sigmoid": None, "Concat": None, "Transpose": None, "AveragePool": None, "MaxPool": None,
    "DepthToSpace": None, "SpaceToDepth": None, "Resize": (0,), "Reshape": (0,), "Slice": (0,), "Expand": (0,),
    "Unsqueeze": (0,), "Squeeze": (0,), "Pad": (0, 2),
}  # fmt: skip
#: The same for int8's operators; opset 19 introduced them for fp16.
_QUANTISING: dict[str, tuple[int, ...]] = {"QuantizeLinear": (0, 1), "DequantizeLinear": (1,)}
_QUANTISING_OPSET = 19

#: Operators whose output is zero if their first input is; a convolution without a bias.
_ZERO_PRESERVING = ("Cast", "Slice", "AveragePool", "ReduceMean", "Conv", "LeakyRelu", "Unsqueeze", "Reshape", "Gather")


def path(graph: Path, precision: str) -> Path:
    """Return the file of ``graph`` in ``precision`` ("fp16"), written on the first call. Raises OSError."""
    variant = cache.form(graph, f"{precision}.onnx")
    if not variant.is_file():
        cache.write(variant, half(onnx.load(str(graph))).SerializeToString())
    return variant


def sized(graph: Path, target: str, precision: str, size: tuple[int, int]) -> Path:
    """Return the file of ``graph`` for frames of ``size`` (height, width), written on the first call.

    ``target``: "cuda" or "tensorrt", whose restrictions it keeps. ``precision``: "fp16" or "fp32". ``size``: ignored
    where the graph has fixed sizes.

    Raises:
        RuntimeUnavailable: It cannot be written.
    """
    variant = cache.form(graph, f"{target}-{precision}-{size[1]}x{size[0]}.onnx")
    try:
        if not variant.is_file():
            model = onnx.load(str(graph))
            model = half(model) if precision == "fp16" else model
            model = (for_cuda if target == "cuda" else for_tensorrt)(model, *size)
            cache.write(variant, model.SerializeToString())
    except OSError as error:
        raise RuntimeUnavailable(
            f"the graph for {target} cannot be written: {error.filename}: {error.strerror}"
        ) from error
    return variant


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that computes in fp16 from the first convolution to the last.

    Inputs, outputs and state stay fp32. What is int8 in ``model`` stays int8, between values in fp16.
    """
    graph = Editor(model)
    inside = graph.between_convolutions() - graph.sampling_coordinates()
    for node in graph.nodes:
        if node.op_type in _QUANTISING:
            graph.need_opset(_QUANTISING_OPSET)
            graph.halve(node, _QUANTISING[node.op_type])
        elif id(node) in inside and node.op_type in _HALVED:
            graph.halve(node, _HALVED[node.op_type])
    return graph.finish()


def single(graph: Path) -> Path:
    """Return the file of ``graph`` that generates each frame alone, written on the first call.

    There is a quarter less to compute. Inputs and outputs stay, but those of the past are ignored. It is ``graph``
    itself where nothing can be written.
    """
    variant = cache.form(graph, "single.onnx")
    try:
        if not variant.is_file():
            cache.write(variant, without_past(onnx.load(str(graph))).SerializeToString())
    except OSError:
        return graph
    try:
        ranges = activation_ranges.load_ranges(graph)
        activation_ranges.save_ranges(variant, replace(ranges, model=cache.sha256(variant)))
    except (NotCalibrated, OSError):
        pass  # int8 is then refused for it, as it is for the graph
    return variant


def without_past(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which the past is never valid, as in a drive's first frame.

    All computation on the past is removed, except for a state of more than one frame. The past is valid where its
    class, as sampled, differs less than a little from this frame's (``neuralsim/models/blending.py``): that mask is
    zero everywhere, and so are its products.
    """
    graph = Editor(model)
    zeros, same = set[str](), dict[str, str]()
    for node in graph.nodes:
        for place, name in enumerate(node.input):
            node.input[place] = same.get(name, name)
        is_zero = [name in zeros for name in node.input]
        if node.op_type == "Less" and "past_label" in graph.sources(node.input[0]):
            zeros.add(node.output[0])
        elif node.op_type in ("Add", "Sub") and is_zero[1]:
            same[node.output[0]] = node.input[0]
        elif node.op_type == "Add" and is_zero[0]:
            same[node.output[0]] = node.input[1]
        elif (
            (node.op_type == "Mul" and any(is_zero))
            or (node.op_type == "Concat" and all(is_zero))
            or (node.op_type in _ZERO_PRESERVING and is_zero[0] and (node.op_type != "Conv" or len(is_zero) == 2))
        ):
            zeros.add(node.output[0])
    return graph.finish()


def for_tensorrt(model: onnx.ModelProto, height: int, width: int) -> onnx.ModelProto:
    """Return a copy for frames of height x width whose input types TensorRT supports.

    TensorRT has no u16: ``instance`` is passed as its bytes, u8 (H, W, 2), low byte first, which is the same memory. It
    converts u8 only to floating point, so that each u8 input is followed by a Cast to f32. It pads no booleans. Weights
    in int8 become floats that are rounded in the graph: its parser (onnx-tensorrt) gives stored integers zero points in
    f32, which strongly typed networks refuse next to half scales.
    """
    graph = Editor(model)
    for node in graph.nodes:
        if node.op_type == "DequantizeLinear":
            graph.round_inside(node)
        if node.op_type == "Pad" and graph.type_of(node.input[0]) == TensorProto.BOOL:
            graph.pad_as_floats(node)
    _fix_sizes(graph.model.graph, height, width)
    for port in graph.model.graph.input:
        kind = port.type.tensor_type
        if kind.elem_type == TensorProto.UINT8:
            graph.replace(port.name, graph.add("Cast", [port.name], to=_F32))
        elif kind.elem_type == TensorProto.UINT16:
            kind.elem_type = TensorProto.UINT8
            kind.shape.dim.add().dim_value = 2
            bytes_ = graph.add("Cast", [port.name], to=_F32)
            value = graph.add("Mul", [bytes_, graph.constant(np.array([1.0, 256.0], np.float32))])
            axis = graph.constant(np.array([-1], np.int64))
            graph.replace(port.name, graph.add("ReduceSum", [value, axis], keepdims=0))
    return graph.finish()


def for_cuda(model: onnx.ModelProto, height: int, width: int) -> onnx.ModelProto:
    """Return a copy for frames of height x width that ONNX Runtime's CUDA provider runs whole.

    It has GridSample, in fp32 and of the default layout, as an operator of ``com.microsoft`` alone
    (onnxruntime/contrib_ops/cuda/grid_sample.cc); as ONNX's it would run on the processor, with copies around it, and
    no CUDA graph could be captured. ONNX Runtime has that operator for processors too, and it computes the same bits.
    With fixed sizes, shapes are constants.
    """
    fixed = of_size(model, height, width)
    for node in fixed.graph.node:
        if node.op_type == "GridSample":
            node.domain = _CONTRIBUTED
    if all(opset.domain != _CONTRIBUTED for opset in fixed.opset_import):
        fixed.opset_import.append(helper.make_opsetid(_CONTRIBUTED, 1))
    return fixed


def of_size(model: onnx.ModelProto, height: int, width: int) -> onnx.ModelProto:
    """Return a copy for frames of height x width only."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    _fix_sizes(fixed.graph, height, width)
    return fixed


def _fix_sizes(graph: onnx.GraphProto, height: int, width: int) -> None:
    sizes = {"height": height, "width": width, "half_height": height // 2, "half_width": width // 2}
    for port in (*graph.input, *graph.output):
        for dim in port.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    del graph.value_info[:]


class Editor:
    """Edits a copy of a model; new nodes are inserted before the ones that need them."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        graph = self.model.graph
        self.nodes = list(graph.node)
        self._new: dict[int, list[onnx.NodeProto]] = {}  # by id of a node, or 0: inserted before it, or first
        self._after: dict[int, onnx.NodeProto] = {}  # by id of a node: inserted after it
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._producer = {name: node for node in self.nodes for name in node.output}
        inferred = shape_inference.infer_shapes(model, data_prop=True).graph
        ports = (*inferred.input, *inferred.output, *inferred.value_info)
        self._types = {port.name: port.type.tensor_type.elem_type for port in ports}
        self._types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
        self._halves: dict[str, str] = {}  # by tensor: its copy in fp16
        self._renamed: dict[str, str] = {}  # by tensor: its replacement for readers outside of fp16
        self._taken = {name for node in self.nodes for name in (*node.input, *node.output)}

    def add(self, kind: str, inputs: list[str], before: onnx.NodeProto | None = None, **attributes: object) -> str:
        """Insert a node before ``before`` (None: first); returns its output's name."""
        name = self._unused(f"{inputs[0]}_{kind.lower()}")
        node = helper.make_node(kind, inputs, [name], name=name, **attributes)  # type: ignore[arg-type]
        self._new.setdefault(id(before) if before is not None else 0, []).append(node)
        return name

    def constant(self, values: np.ndarray) -> str:
        """Add a constant; returns its name."""
        name = self._unused("constant")
        self._weights[name] = numpy_helper.from_array(values, name)
        return name

    def _unused(self, stem: str) -> str:
        name = next(name for n in count() if (name := f"{stem}_{n}") not in self._taken)
        self._taken.add(name)
        return name

    def replace(self, name: str, replacement: str) -> None:
        """Let all readers of ``name`` in the original read ``replacement``."""
        for node in self.nodes:
            for place, read in enumerate(node.input):
                if read == name:
                    node.input[place] = replacement

    def sources(self, name: str) -> set[str]:
        """Return the inputs of the graph that a tensor depends on."""
        visited, pending, inputs = set[str](), [name], set[str]()
        ports = {port.name for port in self.model.graph.input}
        while pending:
            tensor = pending.pop()
            if tensor in ports:
                inputs.add(tensor)
            node = self._producer.get(tensor)
            if node is not None and tensor not in visited:
                pending += node.input
            visited.add(tensor)
        return inputs

    def type_of(self, name: str) -> int | None:
        """Return a tensor's element type in the original (a ``TensorProto`` number), None where it is unknown."""
        return self._types.get(name)

    def pad_as_floats(self, node: onnx.NodeProto) -> None:
        """Pad 0.0 and 1.0 instead of booleans."""
        output = node.output[0]
        node.input[0] = self.add("Cast", [node.input[0]], node, to=_F32)
        if len(node.input) > 2 and node.input[2]:
            value = self.constant_value(node.input[2])
            node.input[2] = self.constant(np.asarray(value, np.float32))
        node.output[0] = self._unused(output)
        cast = helper.make_node("Cast", [node.output[0]], [output], name=f"{output}_bool", to=TensorProto.BOOL)
        self._after[id(node)] = cast

    def round_inside(self, node: onnx.NodeProto) -> None:
        """Let a DequantizeLinear of stored integers read the floats that they stand for, by way of a QuantizeLinear."""
        integers, scale = (self.constant_value(name) for name in node.input[:2])
        if integers is None or scale is None:
            return
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        shape = [-1 if place == axis else 1 for place in range(integers.ndim)] if scale.ndim else []
        weight = self.constant(integers.astype(scale.dtype) * scale.reshape(shape))
        node.input[0] = self.add("QuantizeLinear", [weight, *node.input[1:]], node, axis=axis)

    def between_convolutions(self) -> set[int]:
        """Return the ids of the nodes on a path from one convolution to another, these included."""
        below, above = set[str](), set[str]()
        after, before = set[int](), set[int]()
        for node in self.nodes:  # in the order of computation
            if node.op_type in _CONVOLUTIONS or below.intersection(node.input):
                after.add(id(node))
                below.update(node.output)
        for node in reversed(self.nodes):
            if node.op_type in _CONVOLUTIONS or above.intersection(node.output):
                before.add(id(node))
                above.update(node.input)
        return after & before

    def sampling_coordinates(self) -> set[int]:
        """Return the ids of the nodes that compute where a GridSample reads, back to the last convolution before."""
        pending = [node.input[1] for node in self.nodes if node.op_type == "GridSample"]
        found = set[int]()
        while pending:
            node = self._producer.get(pending.pop())
            if node is not None and id(node) not in found and node.op_type not in _CONVOLUTIONS:
                found.add(id(node))
                pending += node.input
        return found

    def halve(self, node: onnx.NodeProto, places: tuple[int, ...] | None) -> None:
        """Let ``node`` read and write fp16 instead of fp32; readers that stay fp32 get a Cast."""
        if self._types.get(node.output[0]) not in (_F32, TensorProto.INT8):
            return
        for place, name in enumerate(node.input):
            if name and (places is None or place in places) and self._types.get(name) == _F32:
                node.input[place] = self._in_half(name, node)
        for place, name in enumerate(node.output):
            if self._types.get(name) != _F32:
                continue
            halved = f"{name}_fp16"
            node.output[place] = halved
            self._halves[name] = halved
            self._renamed[name] = halved

    def need_opset(self, version: int) -> None:
        """Raise the graph to opset ``version`` if it is older; handles the changes of 18 and 19."""
        (opset,) = (entry for entry in self.model.opset_import if not entry.domain)
        if opset.version >= version:
            return
        opset.version = version
        for node in self.nodes:
            if (
                node.op_type in ("ReduceMean", "ReduceMax", "ReduceMin") and len(node.input) < 2
            ):  # axes: an input since 18
                for attribute in [a for a in node.attribute if a.name == "axes"]:
                    node.input.append(self.constant(np.asarray(attribute.ints, np.int64)))
                    node.attribute.remove(attribute)

    def _in_half(self, name: str, reader: onnx.NodeProto) -> str:
        if name not in self._halves:
            value = self.constant_value(name)
            if value is None:
                self._halves[name] = self.add("Cast", [name], reader, to=_F16)
            else:
                self._halves[name] = self.constant(value.astype(np.float16))
        return self._halves[name]

    def constant_value(self, name: str) -> np.ndarray | None:
        """Return the value of a weight or constant; None for a computed tensor."""
        if name in self._weights:
            return numpy_helper.to_array(self._weights[name])
        node = self._producer.get(name)
        if node is not None and node.op_type == "Constant":
            return np.asarray(numpy_helper.to_array(helper.get_node_attr_value(node, "value")))
        if node is not None and node.op_type == "Cast" and node.input[0] in self._weights:
            return numpy_helper.to_array(self._weights[node.input[0]])
        return None

    def finish(self) -> onnx.ModelProto:
        """Return the edited model, checked, without unused tensors and nodes."""
        for node in self.nodes:
            for place, name in enumerate(node.input):
                if name in self._renamed:  # a reader that stays fp32
                    node.input[place] = self._widened(name, node)
        order = list(self._new.get(0, []))
        for node in self.nodes:
            order += [*self._new.get(id(node), []), node]
            if id(node) in self._after:
                order.append(self._after[id(node)])
        graph = self.model.graph
        for port in graph.output:  # computed in fp16: cast back to the type of the original
            if port.name in self._renamed:
                order.append(helper.make_node("Cast", [self._renamed[port.name]], [port.name], to=_F32))
        needed, kept = {port.name for port in graph.output}, []
        for node in reversed(order):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(reversed(kept))
        graph.initializer.extend(tensor for name, tensor in self._weights.items() if name in needed)
        onnx.checker.check_model(self.model, full_check=True)
        return self.model

    def _widened(self, name: str, reader: onnx.NodeProto) -> str:
        if reader.op_type == "Shape":
            return self._renamed[name]
        wide = f"{name}_fp32"
        if wide not in self._types:
            cast = helper.make_node("Cast", [self._renamed[name]], [wide], name=wide, to=_F32)
            self._new.setdefault(id(reader), []).append(cast)
            self._types[wide] = _F32
        return wide
