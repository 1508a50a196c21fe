"""``--size auto``: the largest size, and at it the best model, that this machine renders at 30 frames a second.

It is measured once, when a drive first starts, and remembered for as long as the machine, its packages and the models
are the same: every further drive has the same size. Machines with few cores and no GPU get no more than 512x256, at
which the town needs a core of its own, and older ones less. Less than that is measured again by the second drive, which
keeps the larger size: virtual machines are slow for minutes at a time, and nothing on them shows it.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from bridge.process.user_cache import cache_folder
from bridge.size import Size
from neuralsim import zoo
from neuralsim.base import machine
from neuralsim.base.log import logger
from neuralsim.session.options import AUTO, TAGS, AutoSize, DriveOptions
from neuralsim.session.renderer_loading import IN_TIME, MANY_CORES, STRONG, TICK, TICK_PIXEL, render_threads

SIZES = (Size(512, 256), Size(1024, 512), Size(2048, 1024))
#: For machines that do not even hold the first of ``SIZES``; below, streets are a blur.
SMALLER = (Size(448, 224), Size(384, 192))
PERIOD = 1.0 / 30.0  # s a frame may take
_SHARED = 0.8  # of the time for a step: on few cores the town, the window and a recording make it half as long again
_O = TypeVar("_O", bound=DriveOptions)
_HOPELESS = 2.0  # times too slow by the size below: not even measured


@dataclass(frozen=True)
class SizeChoice:
    """What this machine renders in time."""

    width: int
    height: int
    model: str
    milliseconds: float  # of a step; 0: not measured
    is_final: bool = True  # whether no further drive measures

    @property
    def size(self) -> Size:
        """The size in pixels."""
        return Size(self.width, self.height)

    def __str__(self) -> str:
        if not self.milliseconds:
            return f"size {self.size}: more would not be in time here, on {machine.cores()} cores (--size changes it)"
        is_in_time = self.milliseconds <= 1000.0 * _limit()
        why = (
            "the most that holds 30 frames a second here" if is_in_time else "30 frames a second are out of reach here"
        )
        return f"size {self.size}, model {self.model}: {why} ({self.milliseconds:.3g} ms a step; --size changes it)"


def rounded(options: _O) -> _O:
    """Return the options with sizes whose sides are even, as videos need them; what is rounded up is said in a line."""
    sizes = {name: size for name in ("size", "show") if (size := getattr(options, name)) is not None}
    odd = {name: size for name, size in sizes.items() if size.width % 2 or size.height % 2}
    even = {name: Size(size.width + size.width % 2, size.height + size.height % 2) for name, size in odd.items()}
    for name, size in odd.items():
        logger().warning(f"--{name} {size} is rounded to {even[name]}: both sides have to be even")
    return options.model_copy(update=even) if even else options


def resolve(options: DriveOptions) -> tuple[DriveOptions, str]:
    """Return the options with a size and model in place of "auto", and a line about them, "" where nothing was auto.

    With a bridge elsewhere, a recording or a scenario, whose sizes are given, it is the first of ``SIZES``. Of a CARLA
    server, "auto" is the model for any simulator's picture.
    """
    if options.model == AUTO and options.carla is not None and zoo.GUIDED in zoo.names():
        options = options.model_copy(update={"model": zoo.GUIDED})
    if not isinstance(options.size, AutoSize):
        return options, ""
    given = options.connect is not None or options.replay is not None or options.scenario is not None
    if given or options.headless or options.show is not None or options.model == TAGS:
        return options.model_copy(update={"size": Size(*options.size)}), ""
    choice = _choose(options)
    chosen: dict[str, object] = {"size": choice.size}
    if options.model == AUTO and choice.milliseconds:
        chosen["model"] = choice.model
    return options.model_copy(update=chosen), str(choice)


def _choose(options: DriveOptions) -> SizeChoice:
    """Return the remembered choice, or measure and remember it."""
    from neuralsim.runtimes import candidates

    models = [options.model]
    if options.model == AUTO:
        models = [name for name in (zoo.BEST, zoo.DEFAULT) if name in zoo.names()]
    try:
        on_gpu = candidates.on_gpu(zoo.load(models[-1]).file, SIZES[0].height, SIZES[0].width)
    except zoo.ModelError:  # said when it is loaded
        return SizeChoice(*SIZES[0], models[-1], 0.0)
    from neuralsim.runtimes import autotune, cache

    path = _folder() / f"size-{cache.key(_facts(models, options))}.json"
    before = _read(path)
    if before is not None and before.is_final:
        return before
    times = "once" if before is None else "a second time, since it was small"
    logger().info(f"measuring the size that this machine renders in time; {times}, some seconds")
    busy = autotune.disturbance()
    choice = _measure(models, options, on_gpu, bool(busy))
    if before is not None and before.size.pixels > choice.size.pixels:
        choice = before
    if busy:
        logger().info(f"the machine is busy ({busy}): the size is measured again when it is not")
        return choice
    choice = replace(choice, is_final=before is not None or choice.size not in SMALLER)
    with suppress(OSError):
        cache.write(path, json.dumps(asdict(choice), indent=2).encode() + b"\n")
    return choice


def _read(path: Path) -> SizeChoice | None:
    with suppress(OSError, ValueError, TypeError, KeyError):
        stored = json.loads(path.read_text(encoding="utf-8"))
        return SizeChoice(**{name: stored[name] for name in SizeChoice.__dataclass_fields__})
    return None


def forget() -> None:
    """Delete all remembered choices, so that the next drive measures. Raises OSError if a file cannot go."""
    for path in _folder().glob("size-*.json"):
        path.unlink(missing_ok=True)


def _folder() -> Path:
    return cache_folder() / "choices"


def _facts(models: list[str], options: DriveOptions) -> dict[str, object]:
    from neuralsim.runtimes import autotune, cache, cuda_driver
    from neuralsim.runtimes.candidates import installed

    facts: dict[str, object] = {
        "models": {model: cache.sha256(zoo.load(model).file) for model in models},
        "sizes": [str(size) for size in (*SMALLER, *SIZES)],
        "limit": _limit(),
        "runtime": options.runtime,
        "town": options.carla is None,
        "processor": machine.cpu()[0],
        "cores": machine.cores(),
        "versions": {name: installed(name) for name in autotune.DISTRIBUTIONS},
    }
    with suppress(cuda_driver.NoGpu):
        gpu = cuda_driver.gpu()
        facts["gpu"] = (gpu.name, gpu.driver)
    return facts


def _measure(models: list[str], options: DriveOptions, on_gpu: bool, is_busy: bool) -> SizeChoice:
    """Measure from the usual size and cheapest model up while the machine can keep up; if it never can, the ``SMALLER``
    sizes, unless the machine ``is_busy`` and may be able to another time."""
    best = SizeChoice(*SIZES[0], models[-1], 0.0)
    before: dict[str, float] = {}
    for size in SIZES[:1] if machine.cores() < MANY_CORES and not on_gpu else SIZES:
        if options.carla is None and TICK + TICK_PIXEL * size.pixels > PERIOD:
            break  # the embedded town itself would not hold the rate
        fits = False
        for model in reversed(models):
            is_heavy = model == zoo.BEST and not on_gpu and machine.cores() < STRONG
            if is_heavy or before.get(model, 0.0) * 4.0 > _HOPELESS * _limit():
                continue
            seconds = before[model] = _seconds(model, options.runtime, size)
            if seconds <= _limit():
                best, fits = _chosen(size, model, seconds), True
        if not fits:
            break
    usual = before.get(zoo.DEFAULT, 0.0)
    if best.milliseconds or usual <= _limit():
        return best
    if is_busy:
        return _chosen(SIZES[0], zoo.DEFAULT, usual)
    for size in SMALLER:
        seconds = _seconds(zoo.DEFAULT, options.runtime, size)
        if seconds <= _limit():
            break
    return _chosen(size, zoo.DEFAULT, seconds)


def _limit() -> float:
    """Return the seconds that an undisturbed step may take here."""
    return IN_TIME * (_SHARED if machine.cores() < MANY_CORES else 1.0)


def _chosen(size: Size, model: str, seconds: float) -> SizeChoice:
    return SizeChoice(*size, model, round(1000.0 * seconds, 3))


def _seconds(model: str, runtime: str, size: Size) -> float:
    """Return the seconds of a model's step at a size, on the cores that a drive uses; infinity where it cannot be
    loaded."""
    from neuralsim.renderer.neural_renderer import NeuralRenderer, RuntimeUnavailable

    try:
        return NeuralRenderer(model, runtime, size, render_threads(machine.cores())).seconds_per_step()
    except RuntimeUnavailable:
        return float("inf")
