"""The training loop: real pictures first, simulator frames beside them when there are some.

One step paints a batch and updates the painter (adversarial, feature and pixel losses), then the discriminator on the
features of that same batch. Everything needed to go on after a kill lies in ``last.safetensors``; examples are
functions of the seed and the step, so that a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

import io
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from neuralsim.models.classes import CHANNELS, Channel
from neuralsim.models.discriminator import Discriminator, Features
from neuralsim.models.generator import SIZES, Painter, PainterConfig
from neuralsim.recording.writer import reason
from neuralsim.training.config import TrainConfig
from neuralsim.training.data import LUMA, Example, Picture, example
from neuralsim.training.losses import feature_distance, hinge_discriminator, hinge_generator
from neuralsim.training.ranks import Ranks
from neuralsim.training.simulated import Pair, load_pair, pair_files

_T = TypeVar("_T")
_STATE = "last.safetensors"
_LEARNED_WITHOUT = {"out", "steps", "minutes", "save_every", "panels_every", "memory", "workers"}  # settings
_HUE_FREEDOM = 0.08  # of 2: chroma that a texture may add to its tint
_HUE_OF_VEHICLES = 0.15  # and a vehicle more than that, for its lamps and number plates
_TONE_FREEDOM = 0.4  # of 2: luminance that a texture may add to what its sketch says
_TONE_OF_VEHICLES = 0.3  # and a vehicle more than that: it reflects the sky
_GAIN = 4.5  # of the sketch, about the middle of those in neuralsim/training/data.py


def one_hot(label: Tensor) -> Tensor:
    """i64 (N, H, W) -> f32 (N, CHANNELS, H, W)."""
    return F.one_hot(label, CHANNELS).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)


def blurred(labels: Tensor) -> Tensor:
    """What is about here rather than what is here: by its outlines alone a simulator's map is told from others."""
    small = F.avg_pool2d(labels, 16)
    return F.interpolate(small, scale_factor=16.0, mode="bilinear", align_corners=False)


#: Labels i64 (N, H, W), tints, details and images in [-1, 1], f32 (N, C, H, W).
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def collate(examples: list[Example], device: str = "cpu") -> Batch:
    """Examples as one batch."""

    def planes(arrays: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(device).float().contiguous(memory_format=torch.channels_last)

    label = torch.from_numpy(np.stack([e.label for e in examples])).to(device).long()
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
    """Painter, its moving average, discriminator and optimisers of one run.

    ``device``: cpu, cuda or cuda:N. A step is ``accumulate`` calls of ``real_step`` or ``simulated_step``.
    """

    def __init__(
        self,
        config: TrainConfig,
        painter: PainterConfig | None = None,
        device: str = "cpu",
        ranks: Ranks = Ranks(),  # noqa: B008 (frozen)
    ) -> None:
        torch.manual_seed(config.seed)
        painter = painter or SIZES[config.size]
        self.config, self.device, self.ranks, self.step = config, device, ranks, 0
        self.painter = Painter(painter)
        self.average = Painter(painter).requires_grad_(False)
        self.average.load_state_dict(self.painter.state_dict())
        self.judge = Discriminator(CHANNELS)
        with redirect_stdout(io.StringIO()):  # the wheel says there that it has loaded its weights
            self.features = Features()
        for module in (self.painter, self.average, self.judge, self.features):
            module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.painter_adam = torch.optim.Adam(self.painter.parameters(), config.rate, (0.0, 0.99))
        self.judge_adam = torch.optim.Adam(self.judge.parameters(), config.judge_rate, (0.0, 0.99))
        self.started = 0  # step at which the rates began to rise
        self._part = 0  # of the step, batches learned from so far

    def _cast(self) -> torch.autocast:
        """Activations in the run's precision."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _learn(self, name: str, network: nn.Module, adam: torch.optim.Adam, rate: float, loss: Tensor) -> None:
        """Add the gradient of ``loss``; with the step's last batch, update. Raises FloatingPointError before a gradient
        that is not finite reaches the weights."""
        if self._part == 0:
            adam.zero_grad(set_to_none=True)
        (loss / self.config.accumulate).backward()
        if self._part + 1 < self.config.accumulate:
            return
        self.ranks.average(network)
        if not torch.isfinite(nn.utils.clip_grad_norm_(network.parameters(), 10.0)):
            raise FloatingPointError(f"step {self.step + 1}: the {name}'s gradient is not finite")
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
        with self._cast():
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
        self._learn("painter", self.painter, self.painter_adam, c.rate, loss)
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
        with self._cast():
            loss = hinge_discriminator(self.judge(real, image, labels), self.judge(fake, painted, fake_labels))
        self._learn("discriminator", self.judge, self.judge_adam, self.config.judge_rate, loss)
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
        with self._cast():
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
        self._learn("painter", self.painter, self.painter_adam, c.rate, loss)
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
        """Count the batch; with the step's last one the moving average follows, with a short memory in a young run."""
        self._part = (self._part + 1) % self.config.accumulate
        if self._part:
            return
        self.step += 1
        decay = min(self.config.ema, self.step / (self.step + 10.0))
        for mean, value in zip(self.average.parameters(), self.painter.parameters(), strict=True):
            mean.lerp_(value, 1.0 - decay)

    def save(self, folder: Path) -> None:
        """Write ``last.safetensors`` so that a kill or a full disk at any moment leaves the state before it.

        Raises OSError, one line.
        """
        tensors: dict[str, Tensor] = {}
        for name, module in (("painter", self.painter), ("average", self.average), ("judge", self.judge)):
            tensors |= {f"{name}.{k}": v.contiguous() for k, v in module.state_dict().items()}
        for name, adam in (("painter_adam", self.painter_adam), ("judge_adam", self.judge_adam)):
            for index, state in adam.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{k}": torch.as_tensor(v).contiguous() for k, v in state.items()}
        about = {
            "step": str(self.step),
            "started": str(self.started),
            "painter": json.dumps(self.painter.config.as_dict()),
            "config": self.config.model_dump_json(),
        }
        new = folder / "last.tmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            save_file({k: v.clone() for k, v in tensors.items()}, new, metadata=about)
            new.replace(folder / _STATE)
        except (OSError, SafetensorError) as error:
            new.unlink(missing_ok=True)
            raise OSError(f"{folder}: step {self.step} cannot be saved ({reason(error)}); {_left(folder)}") from None

    def resume(self, folder: Path) -> None:
        """Go on from what ``save`` wrote. Raises FileNotFoundError when there is nothing, ValueError for another
        architecture."""
        tensors = load_file(folder / _STATE, device=self.device)

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
        with safe_open(folder / _STATE, "pt") as file:
            about = file.metadata()
        self.step = self.started = int(about["step"])
        before = TrainConfig.model_validate_json(about["config"]) if "config" in about else None
        now = self.config.model_dump(exclude=_LEARNED_WITHOUT)
        if before is not None and before.model_dump(exclude=_LEARNED_WITHOUT) == now:
            self.started = int(about["started"])  # as if it had never stopped


def _left(folder: Path) -> str:
    """What there is to go on from."""
    return f"the last good state is {folder / _STATE}" if (folder / _STATE).exists() else "nothing was saved before"


def ahead(make: Callable[[int], _T], first: int, workers: int = 1) -> Iterator[_T]:
    """``make(first)``, ``make(first + 1)``, ... in order, made in threads while the last ones are learned from."""
    pool = ThreadPoolExecutor(workers, "data")
    number = first
    waiting = deque[Future[_T]]()
    try:
        while True:
            while len(waiting) < 4 + 2 * workers:
                waiting.append(pool.submit(make, number))
                number += 1
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def train(
    trainer: Trainer,
    draw: Callable[[np.random.Generator], Picture],
    report: Callable[[int, dict[str, float]], None],
    show: Callable[[int, Batch, Pair | None], None] | None = None,
) -> None:
    """Run ``trainer`` to its number of steps (or minutes), saving as it goes.

    ``draw`` gives a picture at random; ``report(step, losses)`` is called every step, ``show(step, batch, pair)`` every
    ``panels_every`` steps, both in the first process only. Raises FloatingPointError when a loss is not finite, and
    OSError when the disk is full; the last good state stays.
    """
    c, ranks = trainer.config, trainer.ranks
    folder = Path(c.out)
    each = c.accumulate * c.batch  # examples in a step
    files = pair_files(Path(c.simulated)) if c.simulated_every else []

    def painted_from(number: int) -> Example:
        rng = np.random.default_rng([c.seed, ranks.rank, 0, number])
        return example(draw(rng), c.width, c.height, rng)

    def driven(number: int) -> Pair:
        rng = np.random.default_rng([c.seed, ranks.rank, 1, number])
        return load_pair(files[int(rng.integers(len(files)))])

    source = ahead(painted_from, trainer.step * each, c.workers)
    town = ahead(driven, -(-trainer.step // c.simulated_every) * each) if files else None
    end = time.monotonic() + c.minutes * 60 if c.minutes else float("inf")
    while trainer.step < c.steps and ranks.agreed(time.monotonic() < end, trainer.device):
        pair: Pair | None = None
        turn = town if town is not None and trainer.step % c.simulated_every == 0 else None
        try:
            for _ in range(c.accumulate):
                batch = collate([next(source) for _ in range(c.batch)], trainer.device)
                if turn is not None:
                    pairs = [next(turn).to(trainer.device) for _ in range(c.batch)]
                    pair = pairs[0]
                    losses = trainer.simulated_step(pairs, batch[0], batch[3])
                else:
                    losses = trainer.real_step(*batch)
            if not all(np.isfinite(value) for value in losses.values()):
                raise FloatingPointError(f"step {trainer.step}: a loss is not finite")
        except FloatingPointError as error:
            raise FloatingPointError(f"{error}; {_left(folder)}; go on from there with smaller rates") from None
        if not ranks.first:
            continue
        report(trainer.step, losses)
        if show is not None and (trainer.step % c.panels_every == 0 or trainer.step == c.steps):
            show(trainer.step, batch, pair)
        if trainer.step % c.save_every == 0:
            trainer.save(folder)
    if ranks.first:
        trainer.save(folder)
