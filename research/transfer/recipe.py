"""The fixed recipe: features of a frozen EfficientNet-Lite0, and a small feature pyramid that is trained on them.

The features stay ImageNet's, so that the networks differ in their images alone, and are computed once for some
augmented versions of each image: a training then takes a minute or two of one core. What is learned is a ``Task``:
``segmenter`` or ``detector``. Lite2 judges elsewhere, Lite1 is in the generator's losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import openvino as ov
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralsim.models.discriminator import Features
from research.transfer.images import Pairs

CROP = (288, 384)  # px: height, width
VERSIONS = 2  # augmented versions of each image
_CHANNELS = (24, 40, 112, 320)  # at strides 4, 8, 16, 32
_WIDTH = 32
_RATE = 4e-3

Cached = list[tuple[list[np.ndarray], np.ndarray]]  # features f16 (C, h, w) by stride, with labels u8 (H, W)
Loss = Callable[[Tensor, np.ndarray], Tensor]  # outputs (N, outputs, H/4, W/4), labels u8 (N, H, W) -> loss


class Task(Protocol):
    """What the network learns from images and CamVid's labels."""

    outputs: int
    """Channels of the network's output."""

    @property
    def rows(self) -> tuple[str, ...]:
        """Figures of which there is a table, the most important first."""

    def loss(self, data: Cached) -> Loss:
        """Return the loss of a batch; ``data`` is everything that is trained on."""

    def test(self, network: Callable[[np.ndarray], Tensor], pairs: Pairs) -> dict[str, float]:
        """Return the figures on whole images. ``network``: image u8 (H, W, 3) -> (1, outputs, H/4, W/4)."""


class _Backbone(nn.Module):
    """RGB u8-scaled (N, 3, H, W) in [0, 255] -> features at strides 4, 8, 16, 32."""

    def __init__(self) -> None:
        super().__init__()
        self.features = Features(0)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.features.tapped((image - 127.0) / 128.0)[1:])


class Backbone:
    """EfficientNet-Lite0 in OpenVINO: an image u8 (H, W, 3) RGB -> features f16 (C, h, w) by stride."""

    def __init__(self, threads: int) -> None:
        model = ov.convert_model(_Backbone().eval(), example_input=torch.zeros(1, 3, *CROP))
        hints = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        self._graph = ov.Core().compile_model(model, "CPU", hints)

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        outputs = self._graph(np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32))
        return [np.asarray(outputs[k][0]).astype(np.float16) for k in range(len(_CHANNELS))]


def augment(image: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a crop of ``CROP`` at a scale of 0.8 to 1.4, mirrored or not; light, colour, blur, noise and JPEG vary."""
    height, width = CROP
    scale = math.exp(rng.uniform(math.log(0.8), math.log(1.4)))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
    y, x = rng.integers(0, size[1] - height + 1), rng.integers(0, size[0] - width + 1)
    image, label = image[y : y + height, x : x + width], label[y : y + height, x : x + width]
    if rng.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    picture: Any = image.astype(np.float32)
    mean = picture.mean()
    picture = (picture - mean) * rng.uniform(0.75, 1.25) + mean * rng.uniform(0.7, 1.3)
    picture *= rng.uniform(0.9, 1.1, 3).astype(np.float32)
    blur, noise, quality = rng.uniform(0.0, 1.2), rng.uniform(0.0, 6.0), int(rng.integers(40, 96))
    if rng.random() < 0.5 and blur > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    grain = rng.normal(0.0, 1.0, picture.shape).astype(np.float32)
    image = (picture + noise * grain).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
    return image, np.ascontiguousarray(label)


def cache(pairs: Pairs, backbone: Backbone, path: Path) -> Cached:
    """Return the features of ``VERSIONS`` versions of each image; those at ``path`` if it exists, else written there.

    The versions depend on the place of an image in ``pairs`` alone: two kinds of the same views are cropped alike.
    """
    if not path.exists():
        rows: list[list[np.ndarray]] = [[] for _ in range(len(_CHANNELS) + 1)]
        for number, (image, label) in enumerate(pairs):
            for version in range(VERSIONS):
                crop, its_label = augment(image, label, np.random.default_rng([number, version]))
                for row, value in zip(rows, (*backbone(crop), its_label), strict=True):
                    row.append(value)
        part = path.with_name(f"{path.stem}.part.npz")
        np.savez(part, *[np.stack(row) for row in rows])
        part.replace(path)
    with np.load(path) as file:
        *features, labels = (file[f"arr_{k}"] for k in range(len(_CHANNELS) + 1))
    return [([each[k] for each in features], labels[k]) for k in range(len(labels))]


def _block(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, _WIDTH, 3, padding=1, bias=False), nn.GroupNorm(8, _WIDTH), nn.ReLU(inplace=True)
    )


class Decoder(nn.Module):
    """Features by stride (N, C, h, w) -> (N, outputs, H/4, W/4)."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.norm = nn.ModuleList(nn.GroupNorm(8, channels) for channels in _CHANNELS)
        self.lateral = nn.ModuleList(nn.Conv2d(channels, _WIDTH, 1) for channels in _CHANNELS)
        self.context = nn.Linear(_CHANNELS[-1], _WIDTH)
        self.smooth = nn.ModuleList(_block(_WIDTH) for _ in _CHANNELS)
        self.head = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(_WIDTH, outputs, 1))

    def forward(self, features: list[Tensor]) -> Tensor:
        scaled = [norm(each) for norm, each in zip(self.norm, features, strict=True)]
        x = self.lateral[-1](scaled[-1]) + self.context(scaled[-1].mean((2, 3)))[..., None, None]
        x = self.smooth[-1](x)
        for level in (2, 1, 0):
            below = self.lateral[level](scaled[level])
            x = self.smooth[level](below + F.interpolate(x, below.shape[-2:], mode="bilinear", align_corners=False))
        return self.head(x)


def train(data: Cached, task: Task, steps: int, seed: int, batch: int = 8) -> Decoder:
    """Train for ``steps``. The learning rate rises for a twentieth of them and falls as a cosine."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Decoder(task.outputs).train()
    adam = torch.optim.AdamW(net.parameters(), weight_decay=1e-3)
    loss_of = task.loss(data)
    order: np.ndarray = np.zeros(0, np.int64)
    for step in range(steps):
        if len(order) < batch:
            order = rng.permutation(len(data))
        picked, order = [data[int(index)] for index in order[:batch]], order[batch:]
        features = [torch.from_numpy(np.stack([each[0][k] for each in picked])).float() for k in range(len(_CHANNELS))]
        done = step / steps
        for group in adam.param_groups:
            group["lr"] = _RATE * max(0.01, min(1.0, done * 20.0) * 0.5 * (1.0 + math.cos(math.pi * done)))
        loss = loss_of(net(features), np.stack([each[1] for each in picked]))
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
    return net.eval()


def test(net: Decoder, task: Task, backbone: Backbone, pairs: Pairs) -> dict[str, float]:
    """Return the task's figures on whole images."""

    def network(image: np.ndarray) -> Tensor:
        return net([torch.from_numpy(each)[None].float() for each in backbone(image)])

    with torch.inference_mode():
        return task.test(network, pairs)
