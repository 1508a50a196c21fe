"""Progress of a run: a line on stderr and, where TensorBoard is installed, its curves and pictures."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bridge.tags import COLOURS
from neuralsim.base.progress import ProgressLine
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS
from neuralsim.training.rollout import rolled_out
from neuralsim.training.tensors import SeenBatch
from neuralsim.training.trainer import Trainer

_MOST = 4  # pictures of a batch in one panel


class Board:
    """``report`` and ``show`` of a run for ``training_loop.train``. Without TensorBoard, progress alone."""

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        self._trainer = trainer
        self._progress = ProgressLine(trainer.config.steps, "steps")
        self._began, self._first = time.monotonic(), trainer.step
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._writer = None
        else:
            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=trainer.step + 1)

    def report(self, step: int, losses: dict[str, float]) -> None:
        """Another step is done."""
        each = (time.monotonic() - self._began) / max(1, step - self._first)
        left = (self._trainer.config.steps - step) * each
        shown = "  ".join(f"{key} {value:.3f}" for key, value in losses.items())
        self._progress.measured(step, f"{each:.2f} s each, {_span(left)} left  {shown}")
        if self._writer is not None:
            for key, value in losses.items():
                self._writer.add_scalar(f"loss/{key}", value, step)

    @torch.no_grad()
    def show(self, step: int, now: SeenBatch) -> None:
        """Labels, real pictures and what the averaged painter makes of them, side by side; then a frame of the town, or
        the first and last ones of a rollout."""
        if self._writer is None:
            return
        label, tint, detail, image = (plane[:_MOST] for plane in now.batch)
        rows = torch.cat([in_colours(label), image.float().cpu(), self._painted(label, tint, detail)], 3)
        self._add("real", step, rows)
        if now.pair is not None:
            seen = now.pair.label[1:], now.pair.tint[1:], now.pair.detail[1:]
            self._add("town", step, torch.cat([in_colours(seen[0]), self._painted(*seen)], 3))
        if now.clip is not None:
            pictures = rolled_out(self._trainer.average, now.clip)
            places = sorted({*range(min(2, now.clip.frames)), now.clip.frames - 1})
            columns = [in_colours(now.clip.label[0, places]), pictures[0, places].float().cpu()]
            if now.clip.image is not None:
                columns.insert(1, now.clip.image[0, places].float().cpu())
            self._add("rollout", step, torch.cat(columns, 3))
        self._writer.flush()

    def close(self) -> None:
        """Take the line off the terminal and finish TensorBoard's file."""
        self._progress.close()
        if self._writer is not None:
            self._writer.close()

    def _painted(self, label: Tensor, tint: Tensor, detail: Tensor) -> Tensor:
        return self._trainer.average(label, tint, detail).float().cpu()

    def _add(self, name: str, step: int, pictures: Tensor) -> None:
        panel = torch.cat(list((pictures * 127.5 + 127.5).clamp(0, 255).to(torch.uint8)), 1)
        assert self._writer is not None
        self._writer.add_image(name, panel, step)


def in_colours(label: Tensor) -> Tensor:
    """Channels i64 (N, H, W) -> f32 (N, 3, H, W) in [-1, 1], in the colours of CARLA's palette."""
    first = [int(np.flatnonzero(channel == CARLA_TO_CHANNEL)[0]) for channel in range(CHANNELS)]
    colours = torch.from_numpy(COLOURS[first]).float() / 127.5 - 1
    return colours[label.cpu()].permute(0, 3, 1, 2)


def _span(seconds: float) -> str:
    """Words for a time that is left."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
