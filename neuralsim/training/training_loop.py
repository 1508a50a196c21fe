"""The training loop: steps on images, on pairs of simulator frames, and on rollouts, in turn.

Examples are functions of the seed and the step, so that a resumed run sees the same ones as an unbroken run.
"""

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

from neuralsim.training.checkpoint import last_good
from neuralsim.training.config import TrainConfig
from neuralsim.training.data import clips
from neuralsim.training.data.clips import Clip
from neuralsim.training.data.conditioning import Example, Picture, example, random_window
from neuralsim.training.data.guided_pairs import load_guided_pair, view_pair
from neuralsim.training.data.simulated_pairs import Pair, is_map, load_clip, load_pair, pair_files
from neuralsim.training.distributed import Ranks
from neuralsim.training.rollout import rollout_step
from neuralsim.training.tensors import Batch, StepBatch, collate
from neuralsim.training.trainer import Trainer

_T = TypeVar("_T")
_DARK = 0.2  # share of the labelled images of a guided generator that are darkened


class ImageSource(Protocol):
    """A source of images, such as ``neuralsim.training.data.datasets.Pictures``."""

    def draw(self, rng: np.random.Generator) -> Picture:
        """Return a random image."""

    def stretch(self, rng: np.random.Generator, frames: int) -> list[Picture]:
        """Return consecutive frames of a video."""


class TrainingInterrupted(Exception):
    """Raised when the run was asked to end and its state is saved; the message says where."""


@contextmanager
def interruptible(twice: float = 1.0) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns True after Ctrl-C or SIGTERM; another Ctrl-C more than ``twice`` seconds later
    interrupts. Under torchrun each process gets every Ctrl-C twice, from the terminal and from torchrun."""
    asked: list[float] = []  # times of the signals

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
    """The examples of each step, made in threads while earlier ones are learned from."""

    def __init__(
        self,
        config: TrainConfig,
        pictures: ImageSource,
        ranks: Ranks,
        step: int,
        simulators: ImageSource | None = None,
    ) -> None:
        self._config, self._pictures, self._ranks = config, pictures, ranks
        self._per_step = config.optimiser.accumulate * config.optimiser.batch  # examples of each kind in a step
        maps, town = (config.rollouts.frames and share for share in (config.rollouts.maps, config.rollouts.town))
        self._files = pair_files(Path(config.data.simulated)) if config.data.simulated_every or maps else []
        self._maps = [file for file in self._files if is_map(file)]
        self._window = config.data.window_width, config.data.window_height
        self._is_guided, self._simulators = config.generator().guided, simulators
        if maps and not self._maps:
            raise FileNotFoundError(f"{config.data.simulated} has no map pairs for `rollouts.maps`: see `map_pairs`")
        self._drives = [file for file in self._files if not is_map(file)]
        if town and not self._drives:
            raise FileNotFoundError(f"no .npz pairs of drives in {config.data.simulated} for `rollouts.town`")
        done = range(step)
        pairs = sum(map(config.is_simulated, done)) * self._per_step
        rolled = step // config.rollouts.every * self._per_step
        self._stills = ahead(self._still, step * self._per_step, config.data.workers)
        self._pairs = ahead(self._pair, pairs) if config.data.simulated_every else None
        workers = config.data.workers  # few clips wait: one of 24 frames of 1024x512 is 0.4 GB
        self._clips = ahead(self._clip, rolled, workers, workers + 1) if config.rollouts.frames else None

    def batch(self, device: str) -> Batch:
        """Return the next labelled images."""
        return collate([next(self._stills) for _ in range(self._config.optimiser.batch)], device)

    def pairs(self, device: str) -> list[Pair]:
        """Return the next neighbouring frames of the town."""
        assert self._pairs is not None
        return [next(self._pairs).to(device) for _ in range(self._config.optimiser.batch)]

    def clips(self, device: str) -> tuple[Clip, Clip | None, bool]:
        """Return the next consecutive frames, real frames to compare those of the town with, and whether the flow head
        has to estimate their motion."""
        assert self._clips is not None
        drawn = [next(self._clips) for _ in range(self._config.optimiser.batch)]
        references = [reference for _, reference, _ in drawn if reference is not None]
        clip = clips.batch([each for each, _, _ in drawn]).to(device)
        return clip, clips.batch(references).to(device) if references else None, drawn[0][2]

    def close(self) -> None:
        """Stop the threads."""
        for source in (self._stills, self._pairs, self._clips):
            if source is not None:
                source.close()

    def _rng(self, kind: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self._config.seed, self._ranks.rank, kind, number])

    def _still(self, number: int) -> Example:
        rng = self._rng(0, number)
        size = self._config.size_at(number // self._per_step)
        # by day where they stand for what simulator frames should look like
        dark = 0.0 if self._config.is_simulated(number // self._per_step) else _DARK
        picture = self._pictures.draw(rng)
        return example(picture, *size, rng, self._config.data.zoom, self._is_guided, dark, self._window)

    def _pair(self, number: int) -> Pair:
        rng = self._rng(1, number)
        data = self._config.data
        if not self._is_guided:
            pair = load_pair(self._files[int(rng.integers(len(self._files)))])
            return pair.window(*random_window(pair.label.shape[1:], self._window, rng))
        kind = rng.random()
        if self._simulators is not None and kind < data.simulator_share:
            return view_pair(self._simulators.draw(rng), data.width, data.height, rng, self._window)
        files = self._maps if self._maps and kind > 1.0 - data.map_pairs else self._drives or self._maps
        return load_guided_pair(files[int(rng.integers(len(files)))], rng, self._window)

    def _clip(self, number: int) -> tuple[Clip, Clip | None, bool]:
        c, rng = self._config, self._rng(2, number)
        step = (number // self._per_step + 1) * c.rollouts.every - 1
        frames, size = c.frames_at(step), c.size_at(step)
        # the same in all processes and batches of a step: they average the gradients of the same networks
        common = np.random.default_rng([c.seed, step])
        shares = np.array([c.rollouts.stills, c.rollouts.clips, c.rollouts.maps, c.rollouts.town])
        kind = int(common.choice(4, p=shares / shares.sum()))
        if kind < 2:
            clip = self._part(self._real(kind, size, frames, rng), rng)
            return clip, None, c.losses.flow > 0.0 and common.random() < 0.5
        if kind == 2:
            pair = load_pair(self._maps[int(rng.integers(len(self._maps)))])
            clip = clips.moved_map(pair.label[0], pair.tint[0], pair.detail[0], frames, rng)
        else:
            clip = load_clip(self._drives[int(rng.integers(len(self._drives)))], frames)
        reference = None
        if c.losses.video:
            kinds = shares[:2] if shares[:2].sum() else np.array([1.0, 0.0])
            reference = self._part(self._real(int(common.choice(2, p=kinds / kinds.sum())), size, frames, rng), rng)
        return self._part(clips.halved(clip) if step < c.data.half_until else clip, rng), reference, False

    def _part(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """Return the window of a rollout."""
        height, width = clip.label.shape[2:]
        size = min(self._config.rollouts.width or width, width), min(self._config.rollouts.height or height, height)
        return clip if size == (width, height) else clips.window(clip, *size, rng)

    def _real(self, kind: int, size: tuple[int, int], frames: int, rng: np.random.Generator) -> Clip:
        if kind == 0:
            return clips.moved_still(self._pictures.draw(rng), *size, frames, rng)
        return clips.real_clip(self._pictures.stretch(rng, frames), *size, rng)


def ahead(make: Callable[[int], _T], first: int, workers: int = 1, queue: int = 0) -> Generator[_T, None, None]:
    """Yield ``make(first)``, ``make(first + 1)``, ... in order, made in threads ahead of time.

    At most ``queue`` of them wait (0: 4 + 2 ``workers``).
    """
    pool = ThreadPoolExecutor(workers, "data")
    number = first
    waiting = deque[Future[_T]]()
    try:
        while True:
            while len(waiting) < (queue or 4 + 2 * workers):
                waiting.append(pool.submit(make, number))
                number += 1
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def train(
    trainer: Trainer,
    pictures: ImageSource,
    report: Callable[[int, dict[str, float]], None],
    show: Callable[[int, StepBatch], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    began: float | None = None,
    simulators: ImageSource | None = None,
) -> None:
    """Run ``trainer`` to its number of steps (or minutes, or until ``stop``), saving regularly.

    Args:
        trainer: The trainer to run.
        pictures: The images that it learns from.
        report: Called as ``report(step, losses)`` after every step, in the first process only.
        show: Called as ``show(step, inputs)`` every ``panels_every`` steps, in the first process only.
        stop: Called after every step; True ends the run.
        began: ``time.monotonic()`` that the minutes count from; None: now.
        simulators: Images of ``data.simulators``, if it has any.

    Raises:
        FloatingPointError: A loss is not finite. The last good state stays.
        OSError: The disk is full. The last good state stays.
        TrainingInterrupted: After ``stop`` in any process, when the state is saved.
    """
    c, ranks = trainer.config, trainer.ranks
    folder = Path(c.output.folder)
    began = time.monotonic() if began is None else began
    end = began + c.output.minutes * 60 if c.output.minutes else float("inf")
    examples = Examples(c, pictures, ranks, trainer.step, simulators)
    saved = -1
    try:
        while trainer.step < c.steps and ranks.all_agree(time.monotonic() < end and not stop(), trainer.device):
            try:
                losses, inputs = _step(trainer, examples)
            except FloatingPointError as error:
                raise FloatingPointError(
                    f"{error}; {last_good(folder)}; continue from there with smaller rates"
                ) from None
            if not ranks.is_first:
                continue
            report(trainer.step, losses)
            if show is not None and (trainer.step % c.output.panels_every == 0 or trainer.step == c.steps):
                show(trainer.step, inputs)
            if trainer.step % c.output.save_every == 0:
                trainer.save(folder)
                saved = trainer.step
    finally:
        examples.close()
    if ranks.is_first and saved != trainer.step:
        trainer.save(folder)
    if trainer.step < c.steps and time.monotonic() < end:
        raise TrainingInterrupted(
            f"stopped at step {trainer.step}, which is saved in {folder}: the same command continues"
        )


def _step(trainer: Trainer, examples: Examples) -> tuple[dict[str, float], StepBatch]:
    """Run one step; return its losses and inputs. Raises FloatingPointError for a loss that is not finite."""
    c, step = trainer.config, trainer.step
    for _ in range(c.optimiser.accumulate):
        batch = examples.batch(trainer.device)
        inputs = StepBatch(batch)
        if c.is_rollout(step):
            clip, reference, estimate = examples.clips(trainer.device)
            inputs = StepBatch(batch, clip=clip)
            losses = rollout_step(trainer, clip, batch[0], batch[3], reference, estimate)
        elif c.is_simulated(step):
            pairs = examples.pairs(trainer.device)
            if step < c.data.half_until:
                pairs = [each.halved() for each in pairs]
            inputs = StepBatch(batch, pairs[0])
            losses = trainer.simulated_step(pairs, batch[0], batch[3])
        else:
            losses = trainer.real_step(*batch)
    if not all(np.isfinite(value) for value in losses.values()):
        raise FloatingPointError(f"step {trainer.step}: a loss is not finite")
    return losses, inputs
