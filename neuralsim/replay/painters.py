"""The painters of a replay: models are loaded beside its event loop, which goes on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.size import Size
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
from neuralsim.replay.options import RECORDED
from neuralsim.replay.repaint import Repainter
from neuralsim.session.options import TAGS
from neuralsim.session.renderer_loading import make_renderer

if TYPE_CHECKING:
    from neuralsim.renderer.neural_renderer import NeuralRenderer
    from neuralsim.session.tag_painter import TagRenderer


@dataclass(frozen=True)
class Wish:
    """What is to be looked at: a model, one to compare it with, a camera."""

    model: str
    compare: str | None
    view: str

    @property
    def models(self) -> tuple[str, ...]:
        """All that paint."""
        return (self.model,) if self.compare is None else (self.model, self.compare)


class Painters:
    """Repainters of ``reader`` by model and camera, each with a memory of its own; new ones begin with ``style``.

    ``pixels``: that are painted of each frame, the rest being remembered; None: all.
    """

    def __init__(self, reader: RecordingReader, runtime: str, style: str | None, pixels: int | None = None) -> None:
        self.style = style
        self._reader, self._runtime, self._pixels = reader, runtime, pixels
        self._ready: dict[tuple[str, str], Repainter] = {}
        self._loaders: dict[tuple[str, str], _ModelLoader] = {}

    def __iter__(self) -> Iterator[Repainter]:
        return iter(self._ready.values())

    def get(self, model: str, view: str) -> Repainter:
        """One that is ready."""
        return self._ready[model, view]

    def begin(self, wish: Wish) -> None:
        """Have what a wish needs ready some time; what is there already, or is being loaded, is not loaded again.

        Raises RecordingError where the recording does not hold it.
        """
        for model in wish.models:
            key = model, wish.view
            if key not in self._ready and key not in self._loaders:
                self._loaders[key] = _ModelLoader(model, self._runtime, self._size(wish.view), self._pixels)

    def ready(self, wish: Wish) -> bool:
        """Whether everything of a wish that was begun is there. Raises RecordingError, ModelError and
        RuntimeUnavailable for what cannot be had; it may be begun again."""
        return all(self._take(model, wish.view) for model in wish.models)

    def loading(self, wishes: Sequence[Wish]) -> tuple[str, float]:
        """Of what is being loaded for wishes: the model's name, and seconds since then; ("", 0) for none."""
        for wish in wishes:
            for model in wish.models:
                loader = self._loaders.get((model, wish.view))
                if loader is not None:
                    return model, time.monotonic() - loader.begun
        return "", 0.0

    def _take(self, model: str, view: str) -> bool:
        key = model, view
        loader = self._loaders.get(key)
        if loader is None or not loader.finished.is_set():
            return key in self._ready
        del self._loaders[key]
        painter = Repainter(self._reader, model, self._runtime, None, view, renderer=loader.result())
        # A style that this model does not have is another model's, unless it is the only one.
        if self.style in painter.styles or (self.style is not None and painter.styles and not self._ready):
            painter.choose(self.style)
        self._ready[key] = painter
        return True

    def _size(self, view: str) -> Size:
        camera = frame_of(self._reader.read(self._reader.first), view).camera
        return Size(camera.width, camera.height)


class _ModelLoader:
    """Loads one model in a daemon thread, for leaving does not wait for a compiler; what takes no time at once."""

    def __init__(self, model: str, runtime: str, size: Size, pixels: int | None) -> None:
        self.begun = time.monotonic()
        self.finished = threading.Event()
        self._renderer: NeuralRenderer | TagRenderer | None = None
        self._error: BaseException | None = None
        if model in (RECORDED, TAGS):
            self.finished.set()
            return
        threading.Thread(target=self._load, args=(model, runtime, size, pixels), name="model", daemon=True).start()

    def _load(self, model: str, runtime: str, size: Size, pixels: int | None) -> None:
        try:
            self._renderer = make_renderer(model, runtime, size, pixels=pixels)
        except BaseException as error:  # raised again by `result`
            self._error = error
        finally:
            self.finished.set()

    def result(self) -> NeuralRenderer | TagRenderer | None:
        """What paints, None where nothing has to be loaded; or its error."""
        if self._error is not None:
            raise self._error
        return self._renderer
