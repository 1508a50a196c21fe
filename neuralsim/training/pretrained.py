"""The generator of an exported model: to start from (``model.start`` in a config)."""

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from neuralsim import zoo
from neuralsim.models.generator import Generator
from neuralsim.models.input_planes import rows_of_classes

_HALVED = "_fp16"  # suffix from neuralsim.models.onnx_export.halve_weights
_PREFIX, _OLD_PREFIX = "generator.", "painter."  # of the generator's tensors, now and in older graphs


def load_weights(generator: Generator, model: str) -> None:
    """Load the weights, stored as fp16, of the graph of ``model``, the name of a shipped one or a folder.

    Where ``model`` sees the map alone and ``generator`` also sees the past, the layers for the past stay unchanged: in
    a new generator, they have little effect. Raises neuralsim.zoo.ModelError for none, or one of another architecture.
    """
    card = zoo.load(model)
    graph = onnx.load(str(card.file)).graph
    tensors = {each.name.removesuffix(_HALVED): numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:  # of tensors with equal values the exporter keeps one
        if node.op_type == "Identity" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
    tensors = {current_name(name): array for name, array in tensors.items()}
    own = generator.state_dict()
    if not any(_is_of_past(name.removeprefix(_PREFIX)) for name in tensors):
        own = {name: value for name, value in own.items() if not _is_of_past(name)}
    try:
        generator.load_state_dict({name: _weight(name, value, tensors) for name, value in own.items()}, strict=False)
    except KeyError as missing:
        raise zoo.ModelError(f"{card.file}: of another architecture than the run's, without {missing}") from None


def current_name(name: str) -> str:
    """Return the name of now of a graph's tensor."""
    return _PREFIX + name.removeprefix(_OLD_PREFIX) if name.startswith(_OLD_PREFIX) else name


def _is_of_past(name: str) -> bool:
    """Return whether this is a weight by which a generator sees the past."""
    return name.startswith("remember.") or ".past." in name


def _weight(name: str, value: Tensor, tensors: dict[str, np.ndarray]) -> Tensor:
    """Return one tensor of the generator. The export changes two, which have no name there but a unique shape. Raises
    KeyError."""
    if name == "encode.0.weight":
        outs, ins, height, width = value.shape
        array = _unnamed(name, tensors, (outs * ins, 1, height, width)).reshape(value.shape)
    elif name == "label.weight":
        try:
            array = _unnamed(name, tensors, (value.shape[1], value.shape[0])).T
        except KeyError:  # older graphs looked it up together with the tints
            rows = rows_of_classes()
            array = _unnamed(name, tensors, (int(rows.max()) + 1, value.shape[1]))[rows.numpy()]
    else:
        array = tensors.get(_PREFIX + name, np.empty(0))
    if array.shape != tuple(value.shape):
        raise KeyError(name)
    return torch.from_numpy(array.astype(np.float32))


def _unnamed(name: str, tensors: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    same = [array for key, array in tensors.items() if key.startswith("onnx::") and array.shape == shape]
    if len(same) != 1:
        raise KeyError(name)
    return same[0]
