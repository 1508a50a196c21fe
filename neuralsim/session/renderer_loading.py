"""What paints a drive: loaded beside the start of the processes, on so many cores that the rest keeps up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from neuralsim import zoo
from neuralsim.base.machine import cores
from neuralsim.session.options import AUTO, TAGS, DriveOptions

if TYPE_CHECKING:
    from neuralsim.renderer.neural_renderer import NeuralRenderer
    from neuralsim.session.tag_painter import TagRenderer

FULL_RATE = 40.0  # simulated ticks per second with a driver, at most
LEAST_RATE = 20.0  # below it, driving feels wrong: slower machines skip frames instead
MANY_CORES = 4  # from here on, simulating and painting do not get in each other's way
#: Seconds that a frame costs beside its painting where it gets in its way (tick, sensors, link, window): any frame, and
#: each pixel of it; 12 ms at 512x256, 21 at 1024x512.
_TICK, _TICK_PIXEL = 0.009, 0.003 / (512 * 256)
IN_TIME = 0.025  # s that a picture may take for a better model to be worth it: 30 a second with all else
STRONG = 16  # cores from which on that may be without a GPU: two take seven times as long
HANDING = 0.001  # seconds between two paintings where a core is kept free for the rest


class RendererLoader(threading.Thread):
    """Loads the renderer beside the start of the processes. A daemon: quitting does not wait for a compiler."""

    def __init__(self, options: DriveOptions, threads: int | None, step: Callable[[str, bool], None]) -> None:
        super().__init__(name="model", daemon=True)
        self.finished = threading.Event()
        self._options, self._threads, self._step = options, threads, step
        self._renderer: NeuralRenderer | TagRenderer | None = None
        self._error: BaseException | None = None

    @property
    def failed(self) -> bool:
        return self._error is not None

    def measures(self) -> bool:
        """Whether it will find out which runtime is the fastest."""
        options = self._options
        if options.model == TAGS or options.runtime != "auto" or options.connect:
            return False
        from neuralsim.renderer.neural_renderer import measures

        models = _choice(options.shown) if options.model == AUTO else [options.model]
        return any(measures(model, options.shown, self._threads, options.pixels) for model in models)

    def run(self) -> None:
        name = "Model" if self._options.model == AUTO else f"Model {self._options.model}"
        self._step(name, False)
        try:
            options = self._options
            size = None if options.connect else options.shown  # the bridge's own, with its first frame
            self._renderer = make_renderer(options.model, options.runtime, size, self._threads, options.pixels)
            if self._options.style:
                self._renderer.set_style(self._options.style)  # says now that there is none
            self._step(name, True)
        except BaseException as error:  # raised again by `result`
            self._error = error
        finally:
            self.finished.set()

    def result(self) -> NeuralRenderer | TagRenderer:
        """The renderer, or its error."""
        if self._error is not None:
            raise self._error
        assert self._renderer is not None
        return self._renderer


def make_renderer(
    model: str, runtime: str, size: tuple[int, int] | None, threads: int | None = None, pixels: int | None = None
) -> NeuralRenderer | TagRenderer:
    """What paints with ``model`` on so many CPU ``threads`` (None: all), ``pixels`` of each frame (None: all;
    ``NeuralRenderer``); heavy imports happen here. "auto" without a size is the default model.

    Raises ModelError and RuntimeUnavailable.
    """
    if model == TAGS:
        from neuralsim.session.tag_painter import TagRenderer

        return TagRenderer()
    from neuralsim.renderer.neural_renderer import NeuralRenderer, RuntimeUnavailable

    *better, model = _choice(size) if model == AUTO else [model]
    for name in better:
        with suppress(RuntimeUnavailable):
            renderer = NeuralRenderer(name, runtime, size, threads, pixels=pixels)
            if renderer.seconds_per_step() <= IN_TIME:
                return renderer
    return NeuralRenderer(model, runtime, size, threads, pixels=pixels)


def _choice(size: tuple[int, int] | None) -> list[str]:
    """The models that "auto" tries, the best first; the last one is taken in any case."""
    from neuralsim.runtimes.candidates import on_gpu

    strong = (
        size is not None
        and zoo.BEST in zoo.names()
        and (cores() >= STRONG or on_gpu(zoo.load(zoo.BEST).file, size[1], size[0]))
    )
    return [zoo.BEST, zoo.DEFAULT] if strong else [zoo.DEFAULT]


def painting_threads(cores: int) -> int | None:
    """CPU threads to paint with while a driver drives on ``cores``; None: all of them.

    On few cores one is left to the town, the bridge and the window: the next frame is made beside the painting, just
    in time. To take turns on all cores is younger pictures on a machine that has nothing else to do, but each layer of
    the network waits for its last thread, so whatever else runs anywhere holds up all of it.
    """
    return cores - 1 if 1 < cores < MANY_CORES else None


def seconds_per_frame(step: float, cores: int, threads: int | None, pixels: int) -> float:
    """How often a renderer with ``step`` seconds a picture of ``pixels`` can be given a frame on ``cores``.

    With few cores, ticking takes time from it as well, unless ``threads`` says that it leaves them a core.
    """
    tick = _TICK + _TICK_PIXEL * pixels
    return step + (0.0 if cores >= MANY_CORES else tick if threads is None else HANDING)


def sustainable_rate(seconds: float) -> float:
    """Ticks per second for a renderer that can be given a frame every so many ``seconds``, 20 to 40.

    Ticks that are not painted only take time from those that are.
    """
    return float(max(LEAST_RATE, min(FULL_RATE, round(1.0 / seconds))))
