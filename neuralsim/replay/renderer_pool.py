"""The renderers of a replay: models are loaded in the background while its event loop goes on."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bridge.size import Size
from neuralsim.recording.reading.random_access_reader import RecordingReader, frame_of
from neuralsim.renderer.frame_renderer import FrameRenderer
from neuralsim.replay.options import RECORDED
from neuralsim.replay.recording_renderer import RecordingRenderer
from neuralsim.session.options import TAGS
from neuralsim.session.renderer_loading import make_renderer


@dataclass(frozen=True)
class Selection:
    """What to show: a model, one to compare it with, a camera."""

    model: str
    compare: str | None
    view: str

    @property
    def models(self) -> tuple[str, ...]:
        """The models that render."""
        return (self.model,) if self.compare is None else (self.model, self.compare)


class RendererPool:
    """Renderers of ``reader`` by model and camera, each with a state of its own; new ones begin with ``style``.

    ``pixels``: number of pixels rendered of each frame, the others are reused; None: all. ``dashcam``: film through the
    windscreen, over the own bonnet.
    """

    def __init__(
        self,
        reader: RecordingReader,
        runtime: str,
        style: str | None,
        pixels: int | None = None,
        dashcam: bool = False,
    ) -> None:
        self.style = style
        self._reader, self._runtime, self._pixels, self._dashcam = reader, runtime, pixels, dashcam
        self._renderers: dict[tuple[str, str], RecordingRenderer] = {}
        self._loaders: dict[tuple[str, str], _ModelLoader] = {}

    def __iter__(self) -> Iterator[RecordingRenderer]:
        return iter(self._renderers.values())

    def get(self, model: str, view: str) -> RecordingRenderer:
        """Return a renderer that is ready. Raises KeyError."""
        return self._renderers[model, view]

    def load(self, selection: Selection) -> None:
        """Start loading what a selection needs, except what is loaded or being loaded already.

        Raises RecordingError where the recording lacks it.
        """
        for model in selection.models:
            key = model, selection.view
            if key not in self._renderers and key not in self._loaders:
                size = self._size(selection.view)
                self._loaders[key] = _ModelLoader(model, self._runtime, size, self._pixels, self._dashcam)

    def is_ready(self, selection: Selection) -> bool:
        """Return whether everything of a selection that :meth:`load` was called with is ready.

        Raises RecordingError, ModelError and RuntimeUnavailable where loading has failed; it may be tried again.
        """
        return all(self._take(model, selection.view) for model in selection.models)

    def loading(self, selections: Sequence[Selection]) -> tuple[str, float]:
        """Return the model being loaded for ``selections`` and the seconds since loading began; ("", 0.0) for none."""
        for selection in selections:
            for model in selection.models:
                loader = self._loaders.get((model, selection.view))
                if loader is not None:
                    return model, time.monotonic() - loader.begun
        return "", 0.0

    def _take(self, model: str, view: str) -> bool:
        key = model, view
        loader = self._loaders.get(key)
        if loader is None or not loader.finished.is_set():
            return key in self._renderers
        del self._loaders[key]
        renderer = RecordingRenderer(self._reader, model, self._runtime, None, view, renderer=loader.result())
        # A style that this model lacks belongs to another model, unless this model is the only one.
        if self.style in renderer.styles or (self.style is not None and renderer.styles and not self._renderers):
            renderer.set_style(self.style)
        self._renderers[key] = renderer
        return True

    def _size(self, view: str) -> Size:
        camera = frame_of(self._reader.read(self._reader.first), view).camera
        return Size(camera.width, camera.height)


class _ModelLoader:
    """Loads one model in a daemon thread, so that quitting does not wait for a compiler."""

    def __init__(self, model: str, runtime: str, size: Size, pixels: int | None, dashcam: bool) -> None:
        self.begun = time.monotonic()
        self.finished = threading.Event()
        self._renderer: FrameRenderer | None = None
        self._error: BaseException | None = None
        if model in (RECORDED, TAGS):
            self.finished.set()
            return
        arguments = model, runtime, size, pixels, dashcam
        threading.Thread(target=self._load, args=arguments, name="model", daemon=True).start()

    def _load(self, model: str, runtime: str, size: Size, pixels: int | None, dashcam: bool) -> None:
        try:
            self._renderer = make_renderer(model, runtime, size, pixels=pixels, dashcam=dashcam)
        except BaseException as error:  # raised again by `result`
            self._error = error
        finally:
            self.finished.set()

    def result(self) -> FrameRenderer | None:
        """Return the renderer, None where nothing has to be loaded; raise the error where loading has failed."""
        if self._error is not None:
            raise self._error
        return self._renderer
