"""Export of a trained generator to one ONNX graph with fp16 weights, and its card."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from bridge.tags import COUNT
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS, Channel
from neuralsim.models.video_generator import GeneratorGraph

OPSET = 17  # GridSample with "bicubic" as every runtime supports it
_HALVE_ABOVE = 512  # elements; smaller constants keep fp32


def example_inputs(height: int = 64, width: int = 96, frames: int = 1) -> tuple[torch.Tensor, ...]:
    """Return inputs of the right types to trace the graph with; ``frames`` of the past."""
    camera = torch.cat([torch.eye(4).ravel(), torch.tensor([width * 0.7, width * 0.7, width / 2, height / 2])])
    return (
        torch.randint(0, COUNT, (height, width), dtype=torch.uint8),
        torch.randint(0, 500, (height, width), dtype=torch.int32),
        torch.zeros(height, width, 2, dtype=torch.float16),
        torch.rand(height, width) * 50 + 1,
        camera.to(torch.float32),
        torch.zeros(CHANNELS, 3),
        torch.randint(0, 256, (height, width, 4), dtype=torch.uint8) // 128 * 100,
        torch.linspace(0.1, 0.9, CHANNELS),
        torch.zeros(1, 3 * frames, height, width),
        torch.full((1, frames, height, width), -1.0),
    )


def to_onnx(model: GeneratorGraph, path: Path) -> None:
    """Write the graph, with free height and width (multiples of 32) and fp16 weights, to ``path``."""
    spatial = {"tag": (0, 1), "instance": (0, 1), "motion": (0, 1), "depth": (0, 1), "guide": (0, 1), "rgb": (0, 1)}
    axes = {name: {h: "height", w: "width"} for name, (h, w) in spatial.items()}
    axes |= {name: {2: "height", 3: "width"} for name in ("past_rgb", "past_label", "next_rgb", "next_label")}
    axes["detail"] = {2: "half_height", 3: "half_width"}
    inputs = example_inputs(frames=model.past_frames)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval().to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
            inputs,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(GeneratorGraph.INPUTS),
            output_names=list(GeneratorGraph.OUTPUTS),
            dynamic_axes=axes,
        )
    graph = onnx.load(str(path))
    instance = graph.graph.input[GeneratorGraph.INPUTS.index("instance")]
    instance.type.tensor_type.elem_type = TensorProto.UINT16  # the tracer has no u16; only Casts read this input
    with torch.no_grad():
        outputs = model(*inputs)
    for port, output in zip(graph.graph.output, outputs, strict=True):  # the tracer loses some
        for place, size in enumerate(output.shape):
            if place not in axes[port.name]:
                port.type.tensor_type.shape.dim[place].dim_value = size
    halve_weights(graph)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, str(path))


def check(model: GeneratorGraph, path: Path, frames: int = 3, least: float = 40.0) -> float:
    """Return the PSNR, dB, between the last of ``frames`` of ``model`` and of its graph at ``path``, whose weights are
    rounded, in ONNX Runtime. Raises ValueError below ``least``: the graph is not the model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    tag, instance, motion, depth, camera, style, guide, blend, *past = example_inputs(frames=model.past_frames)
    tag = tag[::8, ::8].repeat_interleave(8, 0).repeat_interleave(8, 1)
    graph_past = [state.numpy() for state in past]
    for number in range(frames):
        style = style + 0.1  # another light, so that the past has an effect
        planes = (tag, instance, motion + number, depth, camera, style, guide, blend)
        with torch.no_grad():
            expected, *past, _ = model(*planes, *past)
        arrays = [plane.numpy().astype(np.uint16 if plane is instance else plane.numpy().dtype) for plane in planes]
        outputs = session.run(None, dict(zip(GeneratorGraph.INPUTS, [*arrays, *graph_past], strict=True)))
        actual, *graph_past = outputs[:3]
    error = float(np.square(expected.numpy().astype(np.float32) - actual).mean())
    psnr = 10.0 * float(np.log10(255.0**2 / max(error, 1e-9)))
    if psnr < least:
        raise ValueError(f"{path}: the exported graph differs from the model ({psnr:.0f} dB): do not use it")
    return psnr


def halve_weights(graph: onnx.ModelProto) -> None:
    """Store large fp32 constants as fp16, each followed by a Cast that the runtimes fold away on loading."""
    casts = []
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor) if tensor.data_type == TensorProto.FLOAT else None
        if values is None or values.size <= _HALVE_ABOVE:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + "_fp16"))
        casts.append(helper.make_node("Cast", [name + "_fp16"], [name], name=name + "_cast", to=TensorProto.FLOAT))
    nodes = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend(casts + nodes)


def card(
    name: str, path: Path, styles: dict[str, np.ndarray], model: GeneratorGraph, **facts: object
) -> dict[str, object]:
    """Return the content of ``card.yaml`` for ``model``, whose graph is at ``path``."""
    return {
        "name": name,
        "format": 1,
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "inputs": list(GeneratorGraph.INPUTS),
        "past_frames": model.past_frames,
        "blend": {motion: list(model.generator.config.blend) for motion in ("exact", "estimated")},
        **({"estimates_motion": True} if model.generator.config.flow else {}),
        **({"guided": True} if model.generator.config.guided else {}),
        "multiple_of": 32,
        "class_map": {int(tag): Channel(int(CARLA_TO_CHANNEL[tag])).name.lower() for tag in range(COUNT)},
        "styles": {key: [[round(float(v), 4) for v in row] for row in value] for key, value in styles.items()},
        **facts,
    }
