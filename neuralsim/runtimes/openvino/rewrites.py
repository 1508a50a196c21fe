"""Graphs rewritten into what OpenVINO computes faster, with the same values.

Its convolutions are compiled for the processor, but what stands around them is often reference code, one value after
another: looking up, slicing, transposing. All sizes of a graph are fixed when it is rewritten.
"""

from collections.abc import Sequence

import numpy as np

from neuralsim.base.quiet_openvino import ov

_BY_VALUE = ("Multiply", "Add", "Maximum", "Minimum", "Clamp", "Convert")
_FEW_CHANNELS = 8  # channels below which most of a vector is empty


def rewrite(model: ov.Model) -> None:
    """Apply all rewrites but ``split_images`` to ``model``."""
    widen_tables(model)
    halve_by_lookup(model)
    fill_vectors(model)
    replace_powers(model)


def split_images(model: ov.Model) -> None:
    """Let images go in and out as planes (C, H, W) where ``model`` would transpose them from or to (H, W, C).

    OpenCV splits and merges them ten times faster.
    """
    for parameter in model.get_parameters():
        users = [target.get_node() for target in parameter.output(0).get_target_inputs()]
        if len(users) == 1 and _order(users[0]) == [2, 0, 1]:
            height, width, channels = parameter.get_output_shape(0)
            planes = ov.opset8.parameter([channels, height, width], parameter.get_element_type())
            planes.set_friendly_name(parameter.get_friendly_name())
            users[0].output(0).replace(planes.output(0))
            planes.output(0).set_names(parameter.output(0).get_names())
            model.replace_parameter(model.get_parameter_index(parameter), planes)
    for result in model.get_results():
        node = result.input_value(0).get_node()
        while node.get_type_name() in _BY_VALUE:  # upwards, as long as values are computed one by one
            sources = [value for value in node.input_values() if list(value.get_shape())]
            if len(sources) != 1 or len(sources[0].get_target_inputs()) != 1:
                break
            node = sources[0].get_node()
        if _order(node) == [1, 2, 0]:
            names = result.input_value(0).get_names()
            node.output(0).replace(node.input_value(0))
            model.validate_nodes_and_infer_types()
            result.input_value(0).set_names(names)


def _order(node: ov.Node) -> list[int]:
    """Return the order of axes that ``node`` transposes to, [] if it does something else."""
    if node.get_type_name() != "Transpose" or not isinstance(node.input_value(1).get_node(), ov.op.Constant):
        return []
    order: list[int] = node.input_value(1).get_node().data.tolist()
    return order


def widen_tables(model: ov.Model) -> None:
    """Store tables that ``model`` looks values up in as fp32.

    Of half-precision tables OpenVINO looks up one value after another in its reference code: a fifth of a step.
    """
    for op in model.get_ops():
        if op.get_type_name() != "Gather":
            continue
        convert = op.input_value(0).get_node()
        table = convert.input_value(0).get_node() if convert.get_type_name() == "Convert" else None
        if isinstance(table, ov.op.Constant) and table.get_element_type() == ov.Type.f16:
            op.input(0).replace_source_output(ov.op.Constant(table.data.astype(np.float32)).output(0))


def halve_by_lookup(model: ov.Model) -> None:
    """Take every second value along an axis of ``model`` by looking up the first of each pair, a compiled kernel."""
    for op in model.get_ordered_ops():
        if op.get_type_name() != "Slice" or op.get_input_size() != 5 or op.get_output_partial_shape(0).is_dynamic:
            continue
        bounds = [op.input_value(k).get_node() for k in range(1, 5)]
        if not all(isinstance(each, ov.op.Constant) and each.data.size == 1 for each in bounds):
            continue
        begin, end, step, axis = (int(each.data.item()) for each in bounds)
        shape = list(op.get_input_shape(0))
        if begin != 0 or end < shape[axis] or step != 2 or shape[axis] % 2:
            continue
        pairs = _reshaped(op.input_value(0), [*shape[:axis], shape[axis] // 2, 2, *shape[axis + 1 :]])
        first = ov.opset8.gather(pairs, ov.opset8.constant(np.int32(0)), ov.opset8.constant(np.int32(axis + 1)))
        op.output(0).replace(first.output(0))


def fill_vectors(model: ov.Model) -> None:
    """Rewrite what is slow with few channels.

    A vector holds 16 channels of a pixel, but the image at the end of a graph has three. A mean along its rows or
    columns is taken with these as channels, and what is added to a convolution of so few channels plane by plane. A
    step takes .86 to .92 of the time.
    """
    for op in model.get_ordered_ops():
        if not op.get_output_size() or op.get_output_partial_shape(0).is_dynamic:
            continue
        shape = list(op.get_output_shape(0))
        if len(shape) != 4 or shape[:1] != [1] or shape[1] >= _FEW_CHANNELS:
            continue
        if op.get_type_name() == "AvgPool":
            result = _mean_along_lines(op, shape)
        elif op.get_type_name() == "Add" and any(_is_convolution(value) for value in op.input_values()):
            planes = [_reshaped(value, shape[1:]) for value in op.input_values()]
            result = ov.opset8.add(*planes).output(0)
        else:
            continue
        if result is not None:
            op.output(0).replace(_reshaped(result, shape))


def replace_powers(model: ov.Model) -> None:
    """Compute powers of a constant as exponentials: OpenVINO calls ``powf`` for each single value."""
    for op in model.get_ordered_ops():
        if op.get_type_name() == "Power" and isinstance(op.input_value(0).get_node(), ov.op.Constant):
            exponent = ov.opset8.multiply(op.input_value(1), np.log(op.input_value(0).get_node().data))
            op.output(0).replace(ov.opset8.exp(exponent).output(0))


def _mean_along_lines(pool: ov.Node, shape: list[int]) -> ov.Output | None:
    """Return what ``pool`` does to an image of ``shape`` as (channels, rows, 1, columns), if it is the mean along its
    rows or columns."""
    options = pool.get_attributes()
    kernel, begin, end = (list(options[name]) for name in ("kernel", "pads_begin", "pads_end"))
    if list(options["strides"]) != [1, 1] or 1 not in kernel:
        return None
    axis = kernel.index(max(kernel))
    image = _reshaped(pool.input_value(0), [shape[1], shape[2], 1, shape[3]])
    swapped = ov.opset8.constant(np.array([0, 3, 2, 1]))
    if axis == 0:
        image = ov.opset8.transpose(image, swapped).output(0)
    mean = ov.opset8.avg_pool(image, [1, 1], [0, begin[axis]], [0, end[axis]], [1, max(kernel)], options["exclude-pad"])
    return (ov.opset8.transpose(mean, swapped) if axis == 0 else mean).output(0)


def _is_convolution(value: ov.Output) -> bool:
    """Return whether ``value`` is that of a convolution with a bias."""
    node = value.get_node()
    return node.get_type_name() == "Add" and "Convolution" in [
        each.get_node().get_type_name() for each in node.input_values()
    ]


def _reshaped(value: ov.Output, shape: Sequence[int]) -> ov.Output:
    return ov.opset8.reshape(value, ov.opset8.constant(np.array(shape)), False).output(0)
