"""PyTorch: the reference, and the GPU runtime where TensorRT is not installed. Runs the same ONNX file as all others.

The graph is read node by node into ``torch.fx``, once for the frame's size: shapes are then numbers, and constants are
folded while reading. fp16 and bf16 are where ``graph_variants.py`` puts them. On a GPU convolutions run channels-last,
and a step is one CUDA graph for each of the two sets of state buffers. With the suffix "-compiled" of a precision,
``torch.compile`` fuses the operators between the convolutions, which takes a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, fx

from neuralsim.runtimes.interface import STATE_OUTPUTS, RuntimeUnavailable, state_shapes
from neuralsim.runtimes.torch_operators import OPERATORS, SIZES, TYPES

if TYPE_CHECKING:
    import onnx

PRECISIONS = ("fp32", "bf16", "fp16")
_HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}
_COMPILED = "-compiled"


class Port(NamedTuple):
    """An input of a graph; ``kind``: its element type, ONNX's number; ``shape``: px, or the names of open sizes."""

    name: str
    kind: int
    shape: tuple[int | str, ...]


class Node(NamedTuple):
    """An operator with its attributes by name; tensors among them are arrays."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


class Graph(NamedTuple):
    """What is needed of an ONNX model, without onnx: a machine with PyTorch alone can run it (``benchmarks/gpu``)."""

    inputs: list[Port]
    outputs: list[str]
    nodes: list[Node]
    weights: dict[str, np.ndarray]

    def sized(self, height: int, width: int) -> Graph:
        """Return the graph for frames of height x width."""
        sizes: dict[int | str, int] = {"height": height, "width": width}
        return self._replace(
            inputs=[port._replace(shape=tuple(sizes.get(side, side) for side in port.shape)) for port in self.inputs]
        )


def graph_of(model: onnx.ModelProto) -> Graph:
    """Return the graph of an ONNX model."""
    from onnx import TensorProto, helper, numpy_helper

    def attribute(entry: onnx.AttributeProto) -> Any:
        value = helper.get_attribute_value(entry)
        if isinstance(value, TensorProto):
            return np.array(numpy_helper.to_array(value))
        if isinstance(value, bytes):
            return value.decode()
        return value if isinstance(value, (int, float)) else list(value)

    inputs = []
    for port in model.graph.input:
        kind = port.type.tensor_type
        shape = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
        inputs.append(Port(port.name, kind.elem_type, shape))
    nodes = [
        Node(
            node.name,
            node.op_type,
            tuple(node.input),
            tuple(node.output),
            {a.name: attribute(a) for a in node.attribute},
        )
        for node in model.graph.node
    ]
    weights = {tensor.name: np.array(numpy_helper.to_array(tensor)) for tensor in model.graph.initializer}
    return Graph(inputs, [port.name for port in model.graph.output], nodes, weights)


def read(model: Graph, half: torch.dtype = torch.float16) -> fx.GraphModule:
    """Return a module from the graph's inputs, in order, to a tuple of its outputs. All sizes must be fixed.

    ``half`` replaces fp16 in the computation. Raises RuntimeUnavailable for an unknown operator.
    """
    graph, root = fx.Graph(), torch.nn.Module()
    values: dict[str, Tensor | None] = {"": None}  # of constants; other tensors are on "meta": a type and a shape
    nodes: dict[str, fx.Node] = {}  # of tensors that are not constant
    stored = {name for node in model.nodes if node.operator == "Cast" for name in node.inputs}
    for stem, array in model.weights.items():
        weight = torch.from_numpy(array)
        is_half = weight.dtype == torch.float16 and stem not in stored  # else it is fp16 only in the file
        values[stem] = weight.to(half) if is_half else weight
    for port in model.inputs:
        values[port.name] = torch.empty(port.shape, dtype=TYPES[port.kind], device="meta")  # type: ignore[arg-type]
        nodes[port.name] = graph.placeholder(f"input_{port.name}")
    for node in model.nodes:
        operator = OPERATORS.get(node.operator)
        if operator is None:
            raise RuntimeUnavailable(f"torch: the graph has an unsupported operator: {node.operator}")
        attributes = {
            name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in node.attributes.items()
        }
        if node.operator == "Cast":
            to = TYPES[int(attributes["to"])]
            attributes["to"] = half if to == torch.float16 else to
        sizes = SIZES.get(node.operator, ())
        arguments: list[Any] = []
        call: list[Any] = []
        is_variable = node.operator != "Shape" and any(name in nodes for name in node.inputs)
        for place, name in enumerate(node.inputs):
            value = values[name]
            if value is not None and is_variable and place in sizes:
                if name in nodes:
                    raise RuntimeUnavailable(f"torch: the graph computes a size from its inputs ({node.name})")
                arguments.append(value.reshape(-1).tolist())
                call.append(arguments[-1])
            else:
                arguments.append(value.to("meta") if is_variable and value is not None else value)
                call.append(
                    nodes[name] if name in nodes else _buffer(graph, root, name, value) if is_variable else None
                )
        result = operator(*arguments, **attributes)
        outputs = result if isinstance(result, tuple) else (result,)
        values.update(zip(node.outputs, outputs, strict=False))
        if is_variable:
            whole = graph.call_function(operator, tuple(call), attributes)
            parts = [whole] if not isinstance(result, tuple) else [whole[n] for n in range(len(outputs))]  # type: ignore[index]
            nodes.update(zip(node.outputs, parts, strict=False))
    graph.output(tuple(nodes[name] for name in model.outputs))
    graph.eliminate_dead_code()
    return fx.GraphModule(root, graph)


def _buffer(graph: fx.Graph, root: torch.nn.Module, name: str, value: Tensor | None) -> fx.Node | None:
    """Register a constant as a buffer of the module, so that it moves to the device with it."""
    if value is None:
        return None
    safe = "constant_" + "".join(letter if letter.isalnum() else "_" for letter in name)
    if not hasattr(root, safe):
        root.register_buffer(safe, value)
    return graph.get_attr(safe)


class TorchSession:
    """A module with its state on the device, in two sets of buffers that take turns, and on a GPU two CUDA graphs.

    Args:
        module: From the model's inputs to its outputs.
        model: The graph it was read from: names, types and shapes.
        name: Runtime and precision.
    """

    warning = note = ""

    def __init__(self, module: fx.GraphModule, model: Graph, name: str, height: int, width: int) -> None:
        self.name = name
        self._shapes = state_shapes(height, width)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.is_past_on_host = self._device.type == "cpu"
        self.module = module  # in eager mode, for those who measure its parts
        self._module = _on_device(module, self._device, name.endswith(_COMPILED))
        self._order, self._outputs = [port.name for port in model.inputs], model.outputs
        self._values = {
            port.name: torch.zeros(port.shape, dtype=TYPES[port.kind], device=self._device)  # type: ignore[arg-type]
            for port in model.inputs
        }
        self._states = [{key: self._values[key].clone() for key in STATE_OUTPUTS} for _ in (0, 1)]
        self._rgb = torch.zeros((height, width, 3), dtype=torch.uint8, device=self._device)
        self._image = self._rgb
        self._graphs: list[torch.cuda.CUDAGraph] = []
        self._turn = 0
        if self._device.type == "cuda":
            self._image = torch.zeros((height, width, 3), dtype=torch.uint8, pin_memory=True)
            self._host = {key: torch.zeros_like(v, device="cpu").pin_memory() for key, v in self._values.items()}
            self._capture()
        self.reset()

    def arguments(self) -> list[Tensor]:
        """Return the module's arguments for the next step: the last inputs, and the state."""
        past = self._states[self._turn]
        return [past.get(name, self._values[name]) for name in self._order]

    @torch.inference_mode()
    def _run(self, turn: int) -> None:
        past, following = self._states[turn], self._states[1 - turn]
        results = self._module(*(past.get(name, self._values[name]) for name in self._order))
        out = dict(zip(self._outputs, results, strict=True))
        for key, output in STATE_OUTPUTS.items():
            following[key].copy_(out[output])
        self._rgb.copy_(out["rgb"])

    @torch.inference_mode()
    def _capture(self) -> None:
        """Record a step in each direction, after a few on a side stream, which let libraries allocate and choose."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())  # which fills the buffers
        with torch.cuda.stream(side):
            for turn in (0, 1, 0):
                self._run(turn)
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        for turn in (0, 1):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._run(turn)
            self._graphs.append(graph)

    @torch.inference_mode()
    def step(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        for name, value in inputs.items():
            if self._graphs:
                self._host[name].numpy()[...] = value
                self._values[name].copy_(self._host[name], non_blocking=True)
            else:
                self._values[name] = torch.from_numpy(value)
        if self._graphs:
            self._graphs[self._turn].replay()
            self._image.copy_(self._rgb, non_blocking=True)
            torch.cuda.current_stream().synchronize()
        else:
            self._run(self._turn)
        self._turn = 1 - self._turn
        return self._image.numpy()

    def reset(self) -> None:
        for key, (_, nothing) in self._shapes.items():
            self._states[self._turn][key].fill_(nothing)

    def state(self) -> dict[str, np.ndarray]:
        return {key: value.cpu().numpy().copy() for key, value in self._states[self._turn].items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        for key, value in state.items():
            self._states[self._turn][key].copy_(torch.from_numpy(value))

    def edit_past(self, edit: Callable[[np.ndarray], None]) -> None:
        past = self._states[self._turn]["past_rgb"].cpu()
        edit(past.numpy())
        self._states[self._turn]["past_rgb"].copy_(past)


class TorchStateless:
    """A stateless graph with numpy arrays in and out."""

    def __init__(self, module: fx.GraphModule, model: Graph, name: str) -> None:
        self.name = name
        self.inputs = {port.name: tuple(map(int, port.shape)) for port in model.inputs}
        self._outputs = model.outputs
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._module = _on_device(module, self._device, name.endswith(_COMPILED))
        self._values: list[Tensor] = []
        self._host: list[Tensor] = []  # pinned, as in TorchSession
        self._results: tuple[Tensor, ...] = ()
        self._images: list[Tensor] = []  # pinned
        self._graph: torch.cuda.CUDAGraph | None = None
        self._captures = self._device.type == "cuda"

    @torch.inference_mode()
    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        arrays = [torch.from_numpy(inputs[name]) for name in self.inputs]
        if not self._captures:
            self._results = self._module(*arrays)
        elif self._graph is None:
            self._host = [array.pin_memory() for array in arrays]
            self._values = [array.to(self._device) for array in arrays]
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self._module(*self._values)
            torch.cuda.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._results = self._module(*self._values)
            self._images = [torch.zeros_like(value, device="cpu").pin_memory() for value in self._results]
        if self._graph is not None:
            for value, host, array in zip(self._values, self._host, arrays, strict=True):
                host.copy_(array)
                value.copy_(host, non_blocking=True)
            self._graph.replay()
            for image, value in zip(self._images, self._results, strict=True):
                image.copy_(value, non_blocking=True)
            torch.cuda.current_stream().synchronize()
        images = self._results if self._graph is None else self._images
        return {name: value.numpy() for name, value in zip(self._outputs, images, strict=True)}


def _on_device(module: fx.GraphModule, device: torch.device, compiled: bool) -> Any:
    module = module.to(device).eval()
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # fp32 is the reference
        torch.backends.cudnn.benchmark = True  # sizes are fixed: searching for the fastest convolution pays off
        for name, value in module.named_buffers():
            if value.dim() == 4:
                setattr(module, name, value.contiguous(memory_format=torch.channels_last))
    return torch.compile(module) if compiled else module


def load(
    graph: Path, height: int, width: int, threads: int | None = None, precision: str | None = None
) -> TorchSession:
    """Read ``graph`` for one frame size. Raises RuntimeUnavailable.

    Arguments are those of ``Loader``. ``precision`` may have the suffix "-compiled" on a GPU; None: fp16 on a GPU, else
    fp32.
    """
    precision = precision or ("fp16" if torch.cuda.is_available() else "fp32")
    kind = precision.removesuffix(_COMPILED)
    if kind not in PRECISIONS:
        raise RuntimeUnavailable(f"torch has no precision {precision!r}; it has {', '.join(PRECISIONS)}")
    try:
        return session_of(_load(graph, kind), height, width, precision, threads)
    except (RuntimeError, OSError, NotImplementedError, torch.cuda.OutOfMemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RuntimeUnavailable(f"torch cannot load {graph}: {reason}") from error


def session_of(graph: Graph, height: int, width: int, precision: str, threads: int | None = None) -> TorchSession:
    """Return a session of ``graph``, in fp16 where ``precision`` is not fp32. Raises also torch's errors."""
    model = graph.sized(height, width)
    if threads:
        torch.set_num_threads(threads)
    half = _HALF.get(precision.removesuffix(_COMPILED), torch.float16)
    return TorchSession(read(model, half), model, f"torch {precision}", height, width)


def _load(graph: Path, kind: str) -> Graph:
    import onnx

    from neuralsim.runtimes import graph_variants

    model = onnx.load(str(graph))
    return graph_of(model if kind == "fp32" else graph_variants.half(model))


def load_stateless(graph: Path, threads: int | None = None, precision: str | None = None) -> TorchStateless:
    """Read a graph of fixed sizes. Raises RuntimeUnavailable."""
    precision = precision or ("fp16" if torch.cuda.is_available() else "fp32")
    kind = precision.removesuffix(_COMPILED)
    model = _load(graph, kind)
    if threads:
        torch.set_num_threads(threads)
    return TorchStateless(read(model, _HALF.get(kind, torch.float16)), model, f"torch {precision}")
