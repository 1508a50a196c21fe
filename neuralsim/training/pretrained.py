"""The painter of an exported model: to go on from (``start`` in a config), or to learn from (``teacher``)."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from neuralsim import zoo
from neuralsim.models.generator import SIZES, Generator
from neuralsim.models.surface import rows_of_classes

_HALVED = "_fp16"  # neuralsim.models.onnx_export.halve_weights


def load_weights(painter: Generator, model: str) -> None:
    """Give ``painter`` the weights of the graph of ``model``, a shipped one's name or a folder; they are fp16 there.

    Where ``model`` paints from the map alone and ``painter`` sees the past, the layers that do stay as they are: in a
    new painter, they change little. Raises neuralsim.zoo.ModelError for none, or one of another architecture.
    """
    card = zoo.load(model)
    graph = onnx.load(str(card.file)).graph
    found = {each.name.removesuffix(_HALVED): numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:  # of tensors with equal values the exporter keeps one
        if node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    own = painter.state_dict()
    if not any(map(_of_past, (name.removeprefix("painter.") for name in found))):
        own = {name: value for name, value in own.items() if not _of_past(name)}
    try:
        painter.load_state_dict({name: _weight(name, value, found) for name, value in own.items()}, strict=False)
    except KeyError as missing:
        raise zoo.ModelError(f"{card.file}: of another architecture than the run's, without {missing}") from None


def load_model(model: str) -> Generator:
    """The painter of ``model``, a shipped one's name or a folder, of any of ``SIZES``.

    Raises neuralsim.zoo.ModelError for none, or one of another architecture than these.
    """
    *others, last = SIZES.values()
    for config in others:
        with suppress(zoo.ModelError):
            load_weights(painter := Generator(config), model)
            return painter
    load_weights(painter := Generator(last), model)
    return painter


def _of_past(name: str) -> bool:
    """Is this a weight by which a painter sees the past?"""
    return name.startswith("remember.") or ".past." in name


def _weight(name: str, value: Tensor, found: dict[str, np.ndarray]) -> Tensor:
    """One tensor of the painter. Two are changed by the export and have no name there, but a shape of their own.
    Raises KeyError."""
    if name == "encode.0.weight":
        outs, ins, height, width = value.shape
        array = _unnamed(name, found, (outs * ins, 1, height, width)).reshape(value.shape)
    elif name == "label.weight":
        try:
            array = _unnamed(name, found, (value.shape[1], value.shape[0])).T
        except KeyError:  # graphs of before looked it up together with the tints
            rows = rows_of_classes()
            array = _unnamed(name, found, (int(rows.max()) + 1, value.shape[1]))[rows.numpy()]
    else:
        array = found.get(f"painter.{name}", np.empty(0))
    if array.shape != tuple(value.shape):
        raise KeyError(name)
    return torch.from_numpy(array.astype(np.float32))


def _unnamed(name: str, found: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    same = [array for key, array in found.items() if key.startswith("onnx::") and array.shape == shape]
    if len(same) != 1:
        raise KeyError(name)
    return same[0]
