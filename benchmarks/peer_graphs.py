"""Other papers' generators as bare ONNX graphs with random weights: their cost, not their images.

Layer lists as published: HyPER-GAN (2026), a small U-Net with instance normalisation; the global generator of pix2pixHD
(Wang et al., CVPR 2018), which REGEN uses unchanged; SPADE (Park et al., CVPR 2019, "normal" upsampling) on the 19
planes of Cityscapes' evaluated classes. Weights are stored as fp16, each followed by a Cast, like the shipped model's.
What their own programs do around the network (one-hot planes, scaling to bytes) is left out; it would only slow them
down.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
_SPADE_LABELS = 19
_SPADE_HIDDEN = 128
_EPSILON = 1e-5


class Layers:
    """A graph builder: each method appends a layer and returns the name of its output (1, channels, H, W)."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._channels: dict[str, int] = {}
        self._rng = np.random.default_rng(seed)

    def input(self, name: str, channels: int) -> str:
        """Declare the graph's input."""
        self._channels[name] = channels
        return name

    def channels(self, x: str) -> int:
        """Return the number of channels of a layer's output."""
        return self._channels[x]

    def conv(self, x: str, channels: int, kernel: int, stride: int = 1, padding: str = "zero") -> str:
        """Append a convolution with bias that keeps the size, or divides it by ``stride``.

        Args:
            x: Name of its input.
            channels: Number of output channels.
            kernel: Side of the kernel, px.
            stride: Step between two outputs, px.
            padding: "zero", or "reflect".
        """
        side = (kernel - stride + 1) // 2
        if padding == "reflect":
            widths = self._constant(np.array([0, 0, side, side, 0, 0, side, side], np.int64))
            x = self._node("Pad", [x, widths], self._channels[x], mode="reflect")
            side = 0
        return self._conv("Conv", x, channels, kernel, stride, pads=[side] * 4)

    def up_conv(self, x: str, channels: int, kernel: int) -> str:
        """Append a transposed convolution to twice the size."""
        more = kernel % 2
        return self._conv("ConvTranspose", x, channels, kernel, 2, pads=[1] * 4, output_padding=[more, more])

    def instance_norm(self, x: str) -> str:
        """Append an instance normalisation without affine parameters."""
        n = self._channels[x]
        scale, bias = self._constant(np.ones(n, np.float32)), self._constant(np.zeros(n, np.float32))
        return self._node("InstanceNormalization", [x, scale, bias], n, epsilon=_EPSILON)

    def batch_norm(self, x: str) -> str:
        """Append a batch normalisation in inference mode: running statistics, no affine part."""
        n = self._channels[x]
        ones, zeros = self._constant(np.ones(n, np.float32)), self._constant(np.zeros(n, np.float32))
        mean = self._constant(self._rng.normal(0.0, 0.1, n).astype(np.float32))
        variance = self._constant(self._rng.uniform(0.5, 1.5, n).astype(np.float32))
        return self._node("BatchNormalization", [x, ones, zeros, mean, variance], n, epsilon=_EPSILON)

    def relu(self, x: str) -> str:
        return self._node("Relu", [x], self._channels[x])

    def leaky(self, x: str) -> str:
        return self._node("LeakyRelu", [x], self._channels[x], alpha=0.2)

    def tanh(self, x: str) -> str:
        return self._node("Tanh", [x], self._channels[x])

    def add(self, x: str, y: str) -> str:
        return self._node("Add", [x, y], self._channels[x])

    def multiply(self, x: str, y: str) -> str:
        return self._node("Mul", [x, y], self._channels[x])

    def plus_one(self, x: str) -> str:
        return self._node("Add", [x, self._constant(np.ones((1, 1, 1, 1), np.float32))], self._channels[x])

    def join(self, x: str, y: str) -> str:
        """Append a concatenation of the channels of both."""
        return self._node("Concat", [x, y], self._channels[x] + self._channels[y], axis=1)

    def resize(self, x: str, factor: float) -> str:
        """Append a nearest-neighbour resize."""
        scales = self._constant(np.array([1.0, 1.0, factor, factor], np.float32))
        return self._node(
            "Resize", [x, "", scales], self._channels[x], mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip

    def model(self, x: str, y: str, height: int, width: int) -> onnx.ModelProto:
        """Return the graph from input ``x`` f32 (1, C, height, width) to output ``y`` of the same size."""
        shape = [1, self._channels[x], height, width]
        graph = helper.make_graph(
            self.nodes,
            "peer",
            [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, [1, self._channels[y], height, width])],
            self.weights,
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=10)

    def _conv(self, kind: str, x: str, channels: int, kernel: int, stride: int, **attributes: list[int]) -> str:
        inputs = self._channels[x]
        shape = (inputs, channels) if kind == "ConvTranspose" else (channels, inputs)
        deviation = (2.0 / (inputs * kernel * kernel)) ** 0.5  # He et al. 2015: activations keep their size
        values = self._rng.standard_normal((*shape, kernel, kernel), np.float32) * np.float32(deviation)
        stored = self._constant(values.astype(np.float16))
        weight = self._node("Cast", [stored], channels, to=TensorProto.FLOAT)
        bias = self._constant(self._rng.normal(0.0, 0.01, channels).astype(np.float32))
        return self._node(
            kind, [x, weight, bias], channels, kernel_shape=[kernel] * 2, strides=[stride] * 2, **attributes
        )

    def _constant(self, values: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def _node(self, kind: str, inputs: list[str], channels: int, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        self._channels[name] = channels
        return name


def hypergan(height: int, width: int) -> onnx.ModelProto:
    """Build HyPER-GAN's generator: 4x4 convolutions to 1/8, four residual blocks, transposed ones up, two skips."""
    net = Layers()
    x = net.input("input", 3)
    first = net.relu(net.conv(x, 64, 4, 2))
    second = net.relu(net.instance_norm(net.conv(first, 128, 4, 2)))
    y = net.relu(net.instance_norm(net.conv(second, 256, 4, 2)))
    for _ in range(4):
        z = net.relu(net.instance_norm(net.conv(y, 256, 3)))
        y = net.add(y, net.instance_norm(net.conv(z, 256, 3)))
    y = net.relu(net.instance_norm(net.up_conv(y, 128, 4)))
    y = net.relu(net.instance_norm(net.up_conv(net.join(y, second), 64, 4)))
    return net.model(x, net.tanh(net.up_conv(net.join(y, first), 3, 4)), height, width)


def pix2pixhd(height: int, width: int) -> onnx.ModelProto:
    """Build pix2pixHD's global generator: 64 channels, four times down to 1024, nine residual blocks, four times up."""
    net = Layers()
    x = net.input("input", 3)
    y = net.relu(net.instance_norm(net.conv(x, 64, 7, padding="reflect")))
    for channels in (128, 256, 512, 1024):
        y = net.relu(net.instance_norm(net.conv(y, channels, 3, 2)))
    for _ in range(9):
        z = net.relu(net.instance_norm(net.conv(y, 1024, 3, padding="reflect")))
        y = net.add(y, net.instance_norm(net.conv(z, 1024, 3, padding="reflect")))
    for channels in (512, 256, 128, 64):
        y = net.relu(net.instance_norm(net.up_conv(y, channels, 3)))
    return net.model(x, net.tanh(net.conv(y, 3, 7, padding="reflect")), height, width)


def spade(height: int, width: int) -> onnx.ModelProto:
    """Build SPADE's generator: seven residual blocks of 3x3 modulated layers from 1/32 of the size upwards."""
    net = Layers()
    x = net.input("input", _SPADE_LABELS)
    maps = {32: net.resize(x, 1 / 32), 16: net.resize(x, 1 / 16), 8: net.resize(x, 1 / 8)}
    maps |= {4: net.resize(x, 1 / 4), 2: net.resize(x, 1 / 2), 1: x}

    def modulated(y: str, at: int) -> str:
        hidden = net.relu(net.conv(maps[at], _SPADE_HIDDEN, 3))
        channels = net.channels(y)
        gamma, beta = net.conv(hidden, channels, 3), net.conv(hidden, channels, 3)
        return net.add(net.multiply(net.batch_norm(y), net.plus_one(gamma)), beta)

    def block(y: str, channels: int, at: int) -> str:
        middle = min(net.channels(y), channels)
        z = net.conv(net.leaky(modulated(y, at)), middle, 3)
        z = net.conv(net.leaky(modulated(z, at)), channels, 3)
        shortcut = y if net.channels(y) == channels else net.conv(modulated(y, at), channels, 1)
        return net.add(shortcut, z)

    y = block(net.conv(maps[32], 1024, 3), 1024, 32)
    y = block(block(net.resize(y, 2.0), 1024, 16), 1024, 16)
    for channels, at in ((512, 8), (256, 4), (128, 2), (64, 1)):
        y = block(net.resize(y, 2.0), channels, at)
    return net.model(x, net.tanh(net.conv(net.leaky(y), 3, 3)), height, width)


#: Name in the report -> builder for a height and width that are multiples of 32.
PEERS: dict[str, Callable[[int, int], onnx.ModelProto]] = {"hypergan": hypergan, "pix2pixhd": pix2pixhd, "spade": spade}


def write(name: str, folder: Path, height: int, width: int) -> Path:
    """Write a peer's graph into ``folder``; return its path."""
    path = folder / f"{name}.onnx"
    onnx.save(PEERS[name](height, width), str(path))
    return path
