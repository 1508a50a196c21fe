"""The operators that TensorRT documents as supported, to check a graph without a GPU."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

_QUANTISING = ("QuantizeLinear", "DequantizeLinear")
_FLOATS = "FP32 FP16"
_NUMBERS = f"{_FLOATS} INT32 INT64"
_ALL = f"{_NUMBERS} BOOL"
#: ONNX operator -> types that TensorRT documents for it, restricted to the operators that our graphs use or may soon.
#: From "Supported ONNX Operators" of the ONNX parser for TensorRT 10.15 (docs/operators.md of onnx/onnx-tensorrt), the
#: latest edition at hand; bf16 and quantised types left out.
OPERATORS: dict[str, frozenset[str]] = {
    operator: frozenset(types.split())
    for types, operators in (
        (_FLOATS, "AveragePool BatchNormalization Ceil Clip Conv ConvTranspose Cos Exp Floor GridSample "
                  "InstanceNormalization LeakyRelu Log MatMul MaxPool Reciprocal Resize Round Sigmoid Sin Softmax Sqrt "
                  "Tanh QuantizeLinear"),
        (_NUMBERS, "Abs Add Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Neg Pad Pow Range "
                   "ReduceMax ReduceMean ReduceMin ReduceSum Relu Sign Sub DepthToSpace SpaceToDepth"),
        (_ALL, "Concat Constant ConstantOfShape Expand Flatten Gather GatherElements GatherND Identity Reshape Shape "
               "Slice Split Squeeze Tile Transpose Unsqueeze Where"),
        (f"{_ALL} UINT8", "Cast"),
        ("BOOL", "And Not Or Xor"),
        ("INT8", "DequantizeLinear"),
    )
    for operator in operators.split()
}  # fmt: skip
_NAMES = {
    TensorProto.FLOAT: "FP32", TensorProto.FLOAT16: "FP16", TensorProto.INT32: "INT32", TensorProto.INT64: "INT64",
    TensorProto.BOOL: "BOOL", TensorProto.UINT8: "UINT8", TensorProto.INT8: "INT8", TensorProto.UINT16: "UINT16",
}  # fmt: skip
#: Inputs whose type is not that of the values: selectors, sizes, zero points.
_OTHER_INPUTS = {"Where": (0,), "Gather": (1,), "GatherND": (1,), "GatherElements": (1,), "Resize": (1, 2, 3)}
_OTHER_INPUTS |= {"Reshape": (1,), "Expand": (1,), "Slice": (1, 2, 3, 4), "Tile": (1,), "Pad": (1, 3), "Split": (1,)}
_OTHER_INPUTS |= {"Unsqueeze": (1,), "Squeeze": (1,), "ConstantOfShape": (0,), "QuantizeLinear": (2,)}
_OTHER_INPUTS |= {
    "DequantizeLinear": (1,),
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"), (1,)),
}
_RESIZE_MODES = ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners")


def unsupported(model: onnx.ModelProto) -> list[str]:
    """Return what TensorRT does not document as supported in ``model``, one line each: operator, type, restriction."""
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    types = {p.name: p.type.tensor_type.elem_type for p in (*inferred.input, *inferred.output, *inferred.value_info)}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    fixed: dict[str, np.ndarray | None] = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    fixed |= {name: None for node in model.graph.node if node.op_type == "Constant" for name in node.output}
    problems: dict[str, None] = {}
    for node in model.graph.node:
        if node.op_type not in OPERATORS:
            problems[f"operator {node.op_type}"] = None
            continue
        others = _OTHER_INPUTS.get(node.op_type, ())
        values = [name for index, name in enumerate(node.input) if name and index not in others]
        for name in values:
            kind = _NAMES.get(types.get(name, 0), "unknown")
            if kind not in OPERATORS[node.op_type]:
                problems[f"{node.op_type} of {kind} ({node.name or node.output[0]})"] = None
        for restriction in _restrictions(node, fixed):
            problems[f"{node.op_type} {restriction} ({node.name or node.output[0]})"] = None
    return list(problems)


def _restrictions(node: onnx.NodeProto, fixed: dict[str, np.ndarray | None]) -> list[str]:
    """Return the documented restrictions that ``node`` breaks. ``fixed``: constants, with their values if known."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    broken = []
    if node.op_type == "Resize":
        mode = attributes.get("mode", b"nearest").decode()
        transformation = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
        if mode not in ("nearest", "linear") or transformation not in _RESIZE_MODES:
            broken.append(f"by {mode}, {transformation}")
    if node.op_type in ("AveragePool", "MaxPool") and any(d != 1 for d in attributes.get("dilations", [])):
        broken.append("with dilations")
    if node.op_type == "MaxPool" and len(node.output) > 1:
        broken.append("with indices")
    if node.op_type.startswith("Reduce") and len(node.input) > 1 and node.input[1] not in fixed:
        broken.append("along axes that are not constant")
    if node.op_type in _QUANTISING:
        if node.input[1] not in fixed:
            broken.append("by a step that is not constant")
        zero = fixed.get(node.input[2]) if len(node.input) > 2 else np.zeros(())
        if zero is None or zero.any():
            broken.append("with a zero point that is not zero")
    return broken
