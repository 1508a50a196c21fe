"""Loads a drive's renderer while the processes start, on as many cores as the simulation can spare."""

import threading
from collections.abc import Callable
from contextlib import suppress

from neuralsim import zoo
from neuralsim.base.machine import cores
from neuralsim.renderer.frame_renderer import FrameRenderer
from neuralsim.session.options import AUTO, TAGS, DriveOptions

FULL_RATE = 40.0  # simulated ticks per second with a driver, at most
LEAST_RATE = 20.0  # at lower rates driving feels wrong, so slower machines skip frames instead
MANY_CORES = 4  # from this number on, simulation and rendering do not slow each other down
#: Seconds that a frame costs in addition to rendering on shared cores (tick, sensors, link, window): per frame and per
#: pixel; 12 ms at 512x256, 21 ms at 1024x512.
TICK = 0.009
TICK_PIXEL = 0.003 / (512 * 256)
IN_TIME = 0.025  # s per frame up to which a better model is worthwhile: 30 FPS with everything else
STRONG = 16  # cores from which this is possible without a GPU: two cores take seven times as long
HANDOVER = 0.001  # seconds between two frames if a core is kept free for everything else


class RendererLoader(threading.Thread):
    """Loads the renderer while the processes start. A daemon: quitting does not wait for a compiler."""

    def __init__(self, options: DriveOptions, threads: int | None, step: Callable[[str, bool], None]) -> None:
        super().__init__(name="model", daemon=True)
        self.finished = threading.Event()
        self._options, self._threads, self._step = options, threads, step
        self._renderer: FrameRenderer | None = None
        self._error: BaseException | None = None

    @property
    def failed(self) -> bool:
        return self._error is not None

    def measures(self) -> bool:
        """Return whether it will benchmark the runtimes."""
        options = self._options
        if options.model == TAGS or options.runtime != "auto" or options.connect:
            return False
        from neuralsim.renderer.neural_renderer import needs_measuring

        models = _choice(options.shown) if options.model == AUTO else [options.model]
        return any(needs_measuring(model, options.shown, self._threads, options.pixels) for model in models)

    def run(self) -> None:
        name = "Model" if self._options.model == AUTO else f"Model {self._options.model}"
        self._step(name, False)
        try:
            options = self._options
            size = None if options.connect else options.shown  # the first frame of the bridge tells
            self._renderer = make_renderer(
                options.model, options.runtime, size, self._threads, options.pixels, options.dashcam
            )
            if self._options.style:
                self._renderer.set_style(self._options.style)  # fails now if there is no such style
            self._step(name, True)
        except BaseException as error:  # raised again by `result`
            self._error = error
        finally:
            self.finished.set()

    def result(self) -> FrameRenderer:
        """Return the renderer, or raise its error."""
        if self._error is not None:
            raise self._error
        assert self._renderer is not None
        return self._renderer


def make_renderer(
    model: str,
    runtime: str,
    size: tuple[int, int] | None,
    threads: int | None = None,
    pixels: int | None = None,
    dashcam: bool = False,
) -> FrameRenderer:
    """Return a renderer with ``model`` on ``threads`` CPU threads (None: all); heavy imports happen here.

    ``pixels`` of each frame are rendered (None: all); ``dashcam``: through a windscreen (see ``NeuralRenderer``).
    "auto" without a size is the default model. Raises ModelError and RuntimeUnavailable.
    """
    if model == TAGS:
        from neuralsim.session.tag_renderer import TagRenderer

        return TagRenderer()
    from neuralsim.renderer.neural_renderer import NeuralRenderer, RuntimeUnavailable

    *better, model = _choice(size) if model == AUTO else [model]
    if size is not None and pixels is not None and pixels < size[0] * size[1]:
        better = []  # windows of the better model leave seams
    for name in better:
        with suppress(RuntimeUnavailable):
            renderer = NeuralRenderer(name, runtime, size, threads, pixels=pixels, dashcam=dashcam)
            if renderer.seconds_per_step() <= IN_TIME:
                return renderer
    return NeuralRenderer(model, runtime, size, threads, pixels=pixels, dashcam=dashcam)


def _choice(size: tuple[int, int] | None) -> list[str]:
    """Return the models that "auto" tries, best first; the last one is used in any case."""
    from neuralsim.runtimes.candidates import on_gpu

    strong = (
        size is not None
        and zoo.BEST in zoo.names()
        and (cores() >= STRONG or on_gpu(zoo.load(zoo.BEST).file, size[1], size[0]))
    )
    return [zoo.BEST, zoo.DEFAULT] if strong else [zoo.DEFAULT]


def render_threads(cores: int) -> int | None:
    """Return the number of CPU threads to render with while the town is simulated on ``cores``; None: all of them.

    On few cores, one is left to the town, the bridge and the window: the next frame is then simulated during rendering,
    just in time. Alternating on all cores gives more recent frames on an otherwise idle machine, but each layer of the
    network waits for its slowest thread, so any other load delays all of it.
    """
    return cores - 1 if 1 < cores < MANY_CORES else None


def seconds_per_frame(step: float, cores: int, threads: int | None, pixels: int) -> float:
    """Return the seconds per frame of a renderer that takes ``step`` seconds for ``pixels`` on ``cores``.

    On few cores the simulation's tick adds to it, unless ``threads`` leaves a core free for it.
    """
    tick = TICK + TICK_PIXEL * pixels
    return step + (0.0 if cores >= MANY_CORES else tick if threads is None else HANDOVER)


def sustainable_rate(seconds: float) -> float:
    """Return the ticks per second, 20 to 40, for a renderer that takes a frame every ``seconds``.

    Ticks that are not rendered only take time from those that are.
    """
    return float(max(LEAST_RATE, min(FULL_RATE, round(1.0 / seconds))))
