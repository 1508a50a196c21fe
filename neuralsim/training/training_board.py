"""Progress of a run: a line on stderr and, where TensorBoard is installed, curves and images."""

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bridge.tags import COLOURS
from neuralsim.base.progress import ProgressLine
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS
from neuralsim.training.rollout import rolled_out
from neuralsim.training.tensors import StepBatch
from neuralsim.training.trainer import Trainer

_MAX_IMAGES = 4  # images of a batch in one panel


class Board:
    """The ``report`` and ``show`` of a stage for ``training_loop.train``; without TensorBoard, only progress.

    ``before``: steps of the stages before, which the curves continue.
    """

    def __init__(self, trainer: Trainer, folder: Path, before: int = 0) -> None:
        self._trainer, self._before = trainer, before
        self._progress = ProgressLine(trainer.config.steps, "steps")
        self._began, self._first = time.monotonic(), trainer.step
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._writer = None
        else:
            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=before + trainer.step + 1)

    def report(self, step: int, losses: dict[str, float]) -> None:
        """Report the losses of ``step``."""
        each = (time.monotonic() - self._began) / max(1, step - self._first)
        left = (self._trainer.config.steps - step) * each
        text = "  ".join(f"{key} {value:.3f}" for key, value in losses.items())
        self._progress.show(step, f"{each:.2f} s each, {_span(left)} left  {text}")
        if self._writer is not None:
            for key, value in losses.items():
                self._writer.add_scalar(f"loss/{key}", value, self._before + step)

    @torch.no_grad()
    def show(self, step: int, inputs: StepBatch) -> None:
        """Write panels of labels, real images and the averaged generator's output side by side, and of a frame of the
        town, or the first and last frames of a rollout."""
        if self._writer is None:
            return
        label, tint, detail, image = (plane[:_MAX_IMAGES] for plane in inputs.batch)
        rows = torch.cat([in_colours(label), image.float().cpu(), self._generated(label, tint, detail)], 3)
        self._add("real", step, rows)
        if inputs.pair is not None:
            planes = inputs.pair.label[1:], inputs.pair.tint[1:], inputs.pair.detail[1:]
            self._add("town", step, torch.cat([in_colours(planes[0]), self._generated(*planes)], 3))
        if inputs.clip is not None:
            images = rolled_out(self._trainer.average, inputs.clip)
            places = sorted({*range(min(2, inputs.clip.frames)), inputs.clip.frames - 1})
            columns = [in_colours(inputs.clip.label[0, places]), images[0, places].float().cpu()]
            if inputs.clip.image is not None:
                columns.insert(1, inputs.clip.image[0, places].float().cpu())
            self._add("rollout", step, torch.cat(columns, 3))
        self._writer.flush()

    def close(self) -> None:
        """Clear the progress line and finish TensorBoard's file."""
        self._progress.close()
        if self._writer is not None:
            self._writer.close()

    def _generated(self, label: Tensor, tint: Tensor, detail: Tensor) -> Tensor:
        return self._trainer.average(label, tint, detail).float().cpu()

    def _add(self, name: str, step: int, images: Tensor) -> None:
        panel = torch.cat(list((images * 127.5 + 127.5).clamp(0, 255).to(torch.uint8)), 1)
        assert self._writer is not None
        self._writer.add_image(name, panel, self._before + step)


def in_colours(label: Tensor) -> Tensor:
    """Return channels i64 (N, H, W) in the colours of CARLA's palette: f32 (N, 3, H, W) in [-1, 1]."""
    first = [int(np.flatnonzero(channel == CARLA_TO_CHANNEL)[0]) for channel in range(CHANNELS)]
    colours = torch.from_numpy(COLOURS[first]).float() / 127.5 - 1
    return colours[label.cpu()].permute(0, 3, 1, 2)


def _span(seconds: float) -> str:
    """Return a remaining time as text."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
