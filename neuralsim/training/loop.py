"""The training loop: real pictures first, simulator frames beside them when there are some.

One step paints a batch and updates the painter (adversarial, feature and pixel losses), then the discriminator on the
features of that same batch. Everything needed to go on after a kill lies in ``last.safetensors`` + ``last.json``.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from neuralsim.models.classes import CHANNELS, Channel
from neuralsim.models.discriminator import Discriminator, Features
from neuralsim.models.generator import SIZES, Painter, PainterConfig
from neuralsim.training.data import LUMA, Example, Picture, stream
from neuralsim.training.losses import feature_distance, hinge_discriminator, hinge_generator
from neuralsim.training.simulated import Pair, pairs

_T = TypeVar("_T")
_HUE_FREEDOM = 0.08  # of 2: chroma that a texture may add to its tint
_HUE_OF_VEHICLES = 0.15  # and a vehicle more than that, for its lamps and number plates
_TONE_FREEDOM = 0.4  # of 2: luminance that a texture may add to what its sketch says
_TONE_OF_VEHICLES = 0.3  # and a vehicle more than that: it reflects the sky
_GAIN = 4.5  # of the sketch, about the middle of those in neuralsim/training/data.py


@dataclass
class TrainConfig:
    """Everything a run depends on."""

    out: str = "runs/street-rt"
    size: str = "street-rt"  # of the painter, one of neuralsim.models.generator.SIZES
    camvid: str = ""  # folder with train/ and test/ (val is for evaluation alone)
    cityscapes: str = ""  # folder with clip0.. and stills
    simulated: str = ""  # folder of .npz frame pairs made by neuralsim.training.simulated
    width: int = 512  # px
    height: int = 256  # px
    batch: int = 2
    steps: int = 20_000
    rate: float = 5e-4  # Adam, painter
    judge_rate: float = 2e-4  # Adam, discriminator
    warmup: int = 100  # steps until the full rate, also after a resume
    ema: float = 0.998
    adversarial: float = 1.5
    adversarial_from: int = 150  # step until which the painter only learns to reconstruct
    adversarial_ramp: int = 600  # steps until the full adversarial weight after that
    features: float = 4.0
    pixels: float = 6.0
    simulated_every: int = 0  # 0: real pictures only; n: every n-th step paints simulator frames
    equivariance: float = 4.0  # L1 between a painted simulator frame and the warped one before
    tone: float = 20.0  # how far its luminance strays from tint and sketch, beyond what textures do
    hue: float = 40.0  # how far the chroma of a painted simulator frame strays from its tint, beyond what textures do
    save_every: int = 100
    minutes: float = 0.0  # stop after this long, 0 = by steps
    seed: int = 0


def one_hot(label: Tensor) -> Tensor:
    """i64 (N, H, W) -> f32 (N, CHANNELS, H, W)."""
    return F.one_hot(label, CHANNELS).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)


def blurred(labels: Tensor) -> Tensor:
    """What is about here rather than what is here: by its outlines alone a simulator's map is told from others."""
    small = F.avg_pool2d(labels, 16)
    return F.interpolate(small, scale_factor=16.0, mode="bilinear", align_corners=False)


def collate(examples: list[Example]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Labels i64, tints, details, images in [-1, 1]."""

    def planes(arrays: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).float().contiguous(memory_format=torch.channels_last)

    label = torch.from_numpy(np.stack([e.label for e in examples]).astype(np.int64))
    image = planes([e.image for e in examples]) / 127.5 - 1
    return label, planes([e.tint for e in examples]), planes([e.detail for e in examples]), image


def warp(image: Tensor, motion: Tensor, mode: str = "bilinear") -> Tensor:
    """image (N, C, H, W) sampled at each pixel plus ``motion`` (N, H, W, 2), pixels: last frame seen from this one."""
    _, _, height, width = image.shape
    ys = torch.arange(height, dtype=torch.float32, device=image.device) + 0.5
    xs = torch.arange(width, dtype=torch.float32, device=image.device) + 0.5
    x = (xs[None, None, :] + motion[..., 0]) * (2.0 / width) - 1.0
    y = (ys[None, :, None] + motion[..., 1]) * (2.0 / height) - 1.0
    return F.grid_sample(image, torch.stack([x, y], -1), mode=mode, padding_mode="border", align_corners=False)


def _luma(image: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 1, H, W)."""
    weights = torch.tensor(LUMA, device=image.device).reshape(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)


def _chroma(image: Tensor) -> Tensor:
    """What is left of (N, 3, H, W) without its luminance."""
    return image - _luma(image)


class Trainer:
    """Painter, its moving average, discriminator and optimisers of one run."""

    def __init__(self, config: TrainConfig, painter: PainterConfig | None = None, device: str = "cpu") -> None:
        torch.manual_seed(config.seed)
        painter = painter or SIZES[config.size]
        self.config, self.device, self.step = config, device, 0
        self.painter = Painter(painter)
        self.average = Painter(painter).requires_grad_(False)
        self.average.load_state_dict(self.painter.state_dict())
        self.judge = Discriminator(CHANNELS)
        self.features = Features()
        for module in (self.painter, self.average, self.judge, self.features):
            module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.painter_adam = torch.optim.Adam(self.painter.parameters(), config.rate, (0.0, 0.99))
        self.judge_adam = torch.optim.Adam(self.judge.parameters(), config.judge_rate, (0.0, 0.99))
        self.started = 0

    def _update(self, network: nn.Module, adam: torch.optim.Adam, rate: float, loss: Tensor) -> None:
        adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        ramp = min(1.0, (self.step - self.started + 1) / self.config.warmup)
        for group in adam.param_groups:
            group["lr"] = rate * ramp
        adam.step()

    @property
    def adversarial(self) -> float:
        """Weight of the adversarial loss now. It grows slowly: at once, it would tear the colours from their tints."""
        c = self.config
        return c.adversarial * min(1.0, max(0.0, (self.step - c.adversarial_from) / c.adversarial_ramp))

    def real_step(self, label: Tensor, tint: Tensor, detail: Tensor, image: Tensor) -> dict[str, float]:
        """One step on labelled real pictures."""
        c = self.config
        labels = one_hot(label)
        with torch.autocast(self.device, torch.bfloat16):
            with torch.no_grad():
                real = self.features(image)
            self.judge.requires_grad_(False)
            painted = self.painter(label, tint, detail)
            fake = self.features(painted)
            adversarial = hinge_generator(self.judge(fake, painted, labels))
            feature = feature_distance(fake, real)
            # in means of 4x4 pixels: compared one by one, what no map can know would be painted as its mean, a blur
            pixel = (F.avg_pool2d(painted.float(), 4) - F.avg_pool2d(image, 4)).abs().mean()
            loss = self.adversarial * adversarial + c.features * feature + c.pixels * pixel
        self._update(self.painter, self.painter_adam, c.rate, loss)
        judge = self.judge_step(real, image, labels, [f.detach() for f in fake], painted.detach(), labels)
        self.after_step()
        return {"adv": adversarial.item(), "feat": feature.item(), "pix": pixel.item(), "judge": judge}

    def judge_step(
        self,
        real: list[Tensor],
        image: Tensor,
        labels: Tensor,
        fake: list[Tensor],
        painted: Tensor,
        fake_labels: Tensor,
    ) -> float:
        """One step of the discriminator on features that the painter's step has computed already."""
        self.judge.requires_grad_(True)
        with torch.autocast(self.device, torch.bfloat16):
            loss = hinge_discriminator(self.judge(real, image, labels), self.judge(fake, painted, fake_labels))
        self._update(self.judge, self.judge_adam, self.config.judge_rate, loss)
        return loss.item()

    def simulated_step(self, batch: list[Pair], label: Tensor, image: Tensor) -> dict[str, float]:
        """One step on neighbouring simulator frames: adversarial without a paired picture, and equivariant in time."""
        c = self.config
        sim_label = torch.cat([torch.stack([p.label[i] for p in batch]) for i in (0, 1)])
        tint = torch.cat([torch.stack([p.tint[i] for p in batch]) for i in (0, 1)])
        detail = torch.cat([torch.stack([p.detail[i] for p in batch]) for i in (0, 1)])
        tint = tint.contiguous(memory_format=torch.channels_last)
        sim_labels = one_hot(sim_label[len(batch) :])
        about, sim_about = blurred(one_hot(label)), blurred(sim_labels)
        motion = torch.stack([p.motion for p in batch])
        visible = torch.stack([p.visible for p in batch])
        with torch.autocast(self.device, torch.bfloat16):
            with torch.no_grad():
                real = self.features(image)
            self.judge.requires_grad_(False)
            both = self.painter(sim_label, tint, detail)
            first, painted = both.chunk(2)
            fake = self.features(painted)
            adversarial = hinge_generator(self.judge(fake, painted, sim_about))
            moved = warp(first.float(), motion, "bicubic")
            steady = ((painted.float() - moved).abs() * visible).sum() / (3 * visible.sum() + 1)
            # the tint is a promise about the mean colour: nothing else ties the simulator's colours to it
            promise = tint[len(batch) :] * 2
            colour = (F.avg_pool2d(painted.float(), 16) - F.avg_pool2d(promise.float(), 16)).abs().mean()
            # and to its hue in every pixel: without a picture to compare with, windows would grow tail lamps
            vehicle = sim_labels[:, Channel.VEHICLE : Channel.VEHICLE + 1]
            stray = (_chroma(painted.float()) - _chroma(promise.float())).abs()
            hue = F.relu(stray - _HUE_FREEDOM - _HUE_OF_VEHICLES * vehicle).mean()
            # and to the sketch in its luminance: nor would leaves grow holes to the sky, or windows white frames inside
            wanted = torch.atanh(detail[len(batch) :, 1:].clamp(-0.95, 0.95)) * (2 / _GAIN)
            stray = (F.avg_pool2d(_luma(painted.float() - promise.float()), 2) - wanted).abs()
            tone = F.relu(stray - _TONE_FREEDOM - _TONE_OF_VEHICLES * F.avg_pool2d(vehicle, 2)).mean()
            loss = self.adversarial * adversarial + c.equivariance * steady
            loss = loss + c.pixels * colour + c.hue * hue + c.tone * tone
        self._update(self.painter, self.painter_adam, c.rate, loss)
        judge = self.judge_step(real, image, about, [f.detach() for f in fake], painted.detach(), sim_about)
        self.after_step()
        return {
            "sim_adv": adversarial.item(),
            "steady": steady.item(),
            "colour": colour.item(),
            "hue": hue.item(),
            "tone": tone.item(),
            "judge": judge,
        }

    @torch.no_grad()
    def after_step(self) -> None:
        """Moving average of the painter, with a short memory while the run is young."""
        self.step += 1
        decay = min(self.config.ema, self.step / (self.step + 10.0))
        for mean, value in zip(self.average.parameters(), self.painter.parameters(), strict=True):
            mean.lerp_(value, 1.0 - decay)

    def save(self, folder: Path) -> None:
        """Write ``last.safetensors`` and ``last.json`` so that a kill at any moment leaves a whole pair."""
        tensors: dict[str, Tensor] = {}
        for name, module in (("painter", self.painter), ("average", self.average), ("judge", self.judge)):
            tensors |= {f"{name}.{k}": v.contiguous() for k, v in module.state_dict().items()}
        for name, adam in (("painter_adam", self.painter_adam), ("judge_adam", self.judge_adam)):
            for index, state in adam.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{k}": torch.as_tensor(v).contiguous() for k, v in state.items()}
        folder.mkdir(parents=True, exist_ok=True)
        meta = {"step": str(self.step), "painter": json.dumps(self.painter.config.as_dict())}
        save_file({k: v.clone() for k, v in tensors.items()}, folder / "last.tmp", metadata=meta)
        (folder / "last.tmp").replace(folder / "last.safetensors")
        (folder / "last.json").write_text(json.dumps({"step": self.step, "config": asdict(self.config)}))

    def resume(self, folder: Path) -> None:
        """Go on from what ``save`` wrote. Raises FileNotFoundError when there is nothing, ValueError for another
        architecture."""
        tensors = load_file(folder / "last.safetensors")

        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) + 1 :]: v for k, v in tensors.items() if k.startswith(prefix + ".")}

        for name, module in (("painter", self.painter), ("average", self.average), ("judge", self.judge)):
            try:
                module.load_state_dict(part(name))
            except RuntimeError:
                raise ValueError(f"{folder}: its {name} is of another architecture; choose a new folder") from None
        for name, adam in (("painter_adam", self.painter_adam), ("judge_adam", self.judge_adam)):
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in part(name).items():
                index, field = key.split(".", 1)
                state.setdefault(int(index), {})[field] = value
            if state:
                adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
        self.step = self.started = int(json.loads((folder / "last.json").read_text())["step"])


def ahead(source: Iterator[_T], depth: int = 6) -> Iterator[_T]:
    """The items of ``source`` in order, made in a thread of its own while the last ones are being learned from."""
    made: queue.Queue[tuple[_T | None, BaseException | None]] = queue.Queue(depth)

    def make() -> None:
        try:
            for item in source:
                made.put((item, None))
        except BaseException as error:  # raised where the item is asked for
            made.put((None, error))

    threading.Thread(target=make, name="data", daemon=True).start()
    while True:
        item, error = made.get()
        if error is not None:
            raise error
        yield cast(_T, item)


def train(
    trainer: Trainer, pictures: list[Picture], weights: np.ndarray, report: Callable[[int, dict[str, float]], None]
) -> None:
    """Run ``trainer`` to its number of steps (or minutes), saving as it goes; ``report(step, losses)`` every step."""
    c = trainer.config
    folder = Path(c.out)
    source = ahead(stream(pictures, weights, c.width, c.height, c.seed + trainer.step))
    simulated = ahead(pairs(Path(c.simulated), c.seed + trainer.step)) if c.simulated_every else None
    end = time.monotonic() + c.minutes * 60 if c.minutes else float("inf")
    while trainer.step < c.steps and time.monotonic() < end:
        label, tint, detail, image = collate([next(source) for _ in range(c.batch)])
        if simulated is not None and trainer.step % c.simulated_every == 0:
            losses = trainer.simulated_step([next(simulated) for _ in range(c.batch)], label, image)
        else:
            losses = trainer.real_step(label, tint, detail, image)
        if not all(np.isfinite(v) for v in losses.values()):
            raise FloatingPointError(
                f"step {trainer.step}: loss is not finite; {folder}/last.safetensors is the last good state"
            )
        report(trainer.step, losses)
        if trainer.step % c.save_every == 0:
            trainer.save(folder)
    trainer.save(folder)
