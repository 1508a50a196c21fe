"""The training loop: pictures, pairs of simulator frames beside them, and rollouts, in turn.

Examples are functions of the seed and the step, so that a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol, TypeVar

import numpy as np

from neuralsim.training.checkpoint import left
from neuralsim.training.config import TrainConfig
from neuralsim.training.data import clips
from neuralsim.training.data.clips import Clip
from neuralsim.training.data.conditioning import Example, Picture, example
from neuralsim.training.data.simulated_pairs import Pair, is_map, load_clip, load_pair, pair_files
from neuralsim.training.distributed import Ranks
from neuralsim.training.rollout import rollout_step
from neuralsim.training.tensors import Batch, SeenBatch, collate
from neuralsim.training.trainer import Trainer

_T = TypeVar("_T")


class Draw(Protocol):
    """Where pictures come from, as ``neuralsim.training.data.datasets.Pictures``."""

    def draw(self, rng: np.random.Generator) -> Picture:
        """A picture at random."""

    def stretch(self, rng: np.random.Generator, frames: int) -> list[Picture]:
        """Consecutive frames of a video."""


class TrainingInterrupted(Exception):
    """The run was asked to end; the state is saved, and the message says where."""


@contextmanager
def interruptible(twice: float = 1.0) -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM only make what this gives say True; another Ctrl-C more than ``twice`` seconds later
    interrupts. Under torchrun one comes to each process twice, from the terminal and from torchrun."""
    asked: list[float] = []  # when

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(time.monotonic())
        if number == signal.SIGINT and asked[-1] - asked[0] > twice:
            signal.default_int_handler(number, frame)

    before = {each: signal.signal(each, ask) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class Examples:
    """What each step learns from, made in threads while the last ones are learned from."""

    def __init__(self, config: TrainConfig, pictures: Draw, ranks: Ranks, step: int) -> None:
        self._config, self._pictures, self._ranks = config, pictures, ranks
        self._each = config.accumulate * config.batch  # examples in a step of each kind
        maps, town = (config.rollout and share for share in (config.rollout_maps, config.rollout_town))
        self._files = pair_files(Path(config.simulated)) if config.simulated_every or maps else []
        self._maps = [file for file in self._files if is_map(file)]
        if maps and not self._maps:
            raise FileNotFoundError(f"{config.simulated} has no map pairs for `rollout_maps`: see `map_pairs`")
        self._drives = pair_files(Path(config.simulated), driven=True) if town else []
        done = range(step)
        pairs = sum(map(config.is_simulated, done)) * self._each
        rolled = step // config.rollout_every * self._each
        self._stills = ahead(self._still, step * self._each, config.workers)
        self._pairs = ahead(self._pair, pairs) if config.simulated_every else None
        # few: one of 24 frames of 1024x512 is 0.4 GB
        self._clips = ahead(self._clip, rolled, config.workers, config.workers + 1) if config.rollout else None

    def batch(self, device: str) -> Batch:
        """The next labelled pictures."""
        return collate([next(self._stills) for _ in range(self._config.batch)], device)

    def pairs(self, device: str) -> list[Pair]:
        """The next neighbouring frames of the town."""
        assert self._pairs is not None
        return [next(self._pairs).to(device) for _ in range(self._config.batch)]

    def clips(self, device: str) -> tuple[Clip, Clip | None, bool]:
        """The next frames in a row; of the town's, real ones to tell them from; has the motion to be estimated?"""
        assert self._clips is not None
        drawn = [next(self._clips) for _ in range(self._config.batch)]
        references = [reference for _, reference, _ in drawn if reference is not None]
        clip = clips.batch([each for each, _, _ in drawn]).to(device)
        return clip, clips.batch(references).to(device) if references else None, drawn[0][2]

    def close(self) -> None:
        """End the threads."""
        for source in (self._stills, self._pairs, self._clips):
            if source is not None:
                source.close()

    def _rng(self, kind: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self._config.seed, self._ranks.rank, kind, number])

    def _still(self, number: int) -> Example:
        rng = self._rng(0, number)
        return example(self._pictures.draw(rng), *self._config.size_at(number // self._each), rng, self._config.zoom)

    def _pair(self, number: int) -> Pair:
        return load_pair(self._files[int(self._rng(1, number).integers(len(self._files)))])

    def _clip(self, number: int) -> tuple[Clip, Clip | None, bool]:
        c, rng = self._config, self._rng(2, number)
        step = (number // self._each + 1) * c.rollout_every - 1
        frames, size = c.frames_at(step), c.size_at(step)
        # the same in all processes and batches of a step: they average the gradients of the same networks
        common = np.random.default_rng([c.seed, step])
        shares = np.array([c.rollout_stills, c.rollout_clips, c.rollout_maps, c.rollout_town])
        kind = int(common.choice(4, p=shares / shares.sum()))
        if kind < 2:
            return self._part(self._real(kind, size, frames, rng), rng), None, c.flow > 0.0 and common.random() < 0.5
        if kind == 2:
            pair = load_pair(self._maps[int(rng.integers(len(self._maps)))])
            clip = clips.moved_map(pair.label[0], pair.tint[0], pair.detail[0], frames, rng)
        else:
            clip = load_clip(self._drives[int(rng.integers(len(self._drives)))], frames)
        reference = None
        if c.video:
            kinds = shares[:2] if shares[:2].sum() else np.array([1.0, 0.0])
            reference = self._part(self._real(int(common.choice(2, p=kinds / kinds.sum())), size, frames, rng), rng)
        return self._part(clips.halved(clip) if step < c.half_until else clip, rng), reference, False

    def _part(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """The window of a rollout."""
        height, width = clip.label.shape[2:]
        size = min(self._config.rollout_width or width, width), min(self._config.rollout_height or height, height)
        return clip if size == (width, height) else clips.window(clip, *size, rng)

    def _real(self, kind: int, size: tuple[int, int], frames: int, rng: np.random.Generator) -> Clip:
        if kind == 0:
            return clips.moved_still(self._pictures.draw(rng), *size, frames, rng)
        return clips.real_clip(self._pictures.stretch(rng, frames), *size, rng)


def ahead(make: Callable[[int], _T], first: int, workers: int = 1, most: int = 0) -> Generator[_T, None, None]:
    """``make(first)``, ``make(first + 1)``, ... in order, made in threads while the last ones are learned from; at
    ``most`` so many wait."""
    pool = ThreadPoolExecutor(workers, "data")
    number = first
    waiting = deque[Future[_T]]()
    try:
        while True:
            while len(waiting) < (most or 4 + 2 * workers):
                waiting.append(pool.submit(make, number))
                number += 1
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def train(
    trainer: Trainer,
    pictures: Draw,
    report: Callable[[int, dict[str, float]], None],
    show: Callable[[int, SeenBatch], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run ``trainer`` to its number of steps (or minutes, or until ``stop``), saving as it goes.

    ``report(step, losses)`` is called every step, ``show(step, seen)`` every ``panels_every`` steps, both in the first
    process only. Raises FloatingPointError when a loss is not finite, and OSError when the disk is full: the last
    good state stays. Raises TrainingInterrupted after ``stop`` in any process, when the state is saved.

    Args:
        trainer: What learns.
        pictures: What it learns from.
        report: Called in every step.
        show: Called every ``panels_every`` steps.
        stop: Asked after every step.
    """
    c, ranks = trainer.config, trainer.ranks
    folder = Path(c.out)
    end = time.monotonic() + c.minutes * 60 if c.minutes else float("inf")
    examples = Examples(c, pictures, ranks, trainer.step)
    saved = -1
    try:
        while trainer.step < c.steps and ranks.agreed(time.monotonic() < end and not stop(), trainer.device):
            try:
                losses, seen = _step(trainer, examples)
            except FloatingPointError as error:
                raise FloatingPointError(f"{error}; {left(folder)}; go on from there with smaller rates") from None
            if not ranks.first:
                continue
            report(trainer.step, losses)
            if show is not None and (trainer.step % c.panels_every == 0 or trainer.step == c.steps):
                show(trainer.step, seen)
            if trainer.step % c.save_every == 0:
                trainer.save(folder)
                saved = trainer.step
    finally:
        examples.close()
    if ranks.first and saved != trainer.step:
        trainer.save(folder)
    if trainer.step < c.steps and time.monotonic() < end:
        raise TrainingInterrupted(
            f"stopped at step {trainer.step}, which is saved in {folder}: the same command goes on"
        )


def _step(trainer: Trainer, examples: Examples) -> tuple[dict[str, float], SeenBatch]:
    """One step; its losses and what it learned from. Raises FloatingPointError for a loss that is not finite."""
    c, step = trainer.config, trainer.step
    for _ in range(c.accumulate):
        batch = examples.batch(trainer.device)
        seen = SeenBatch(batch)
        if c.is_rollout(step):
            clip, reference, estimate = examples.clips(trainer.device)
            seen = SeenBatch(batch, clip=clip)
            losses = rollout_step(trainer, clip, batch[0], batch[3], reference, estimate)
        elif c.is_simulated(step):
            pairs = examples.pairs(trainer.device)
            if step < c.half_until:
                pairs = [each.halved() for each in pairs]
            seen = SeenBatch(batch, pairs[0])
            losses = trainer.simulated_step(pairs, batch[0], batch[3])
        else:
            losses = trainer.real_step(*batch)
    if not all(np.isfinite(value) for value in losses.values()):
        raise FloatingPointError(f"step {trainer.step}: a loss is not finite")
    return losses, seen
