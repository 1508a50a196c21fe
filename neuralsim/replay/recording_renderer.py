"""Images of recorded frames: as recorded, or rendered again with any model and style."""

from contextlib import suppress
from dataclasses import replace

import numpy as np

from bridge.link.motion import compose
from bridge.messages import Frame
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.random_access_reader import DamagedChunk, RecordingReader, frame_of, image_of
from neuralsim.renderer.frame_renderer import FrameRenderer
from neuralsim.renderer.remap import Remap
from neuralsim.renderer.views import tag_image
from neuralsim.replay.options import RECORDED
from neuralsim.session.options import TAGS
from neuralsim.session.render_loop import apply_style
from neuralsim.session.renderer_loading import make_renderer

PREROLL = 6  # frames rendered before the target of a jump, so that its image has a history
BRIDGED = 12  # frames that may be left out between two images without a reset


class RecordingRenderer:
    """Renders frames of ``reader`` with ``model``, or returns their recorded images.

    Raises RecordingError where the recording lacks what the model needs, ModelError, RuntimeUnavailable.

    Args:
        reader: The recording.
        model: A shipped model's name, a folder, "tags" or "recorded".
        runtime: As for ``neuralsim.runtimes.create``.
        style: One of the model's styles; None: by the weather.
        view: Name of the camera; "": the first.
        remap: Classes to render as others; None: as recorded.
        renderer: Renderer with that model; None: it is loaded now.
        pixels: Number of pixels rendered of each frame, the others are reused; None: all.
        dashcam: Film through the windscreen, over the own bonnet.
    """

    def __init__(
        self,
        reader: RecordingReader,
        model: str,
        runtime: str = "auto",
        style: str | None = None,
        view: str = "",
        remap: Remap | None = None,
        renderer: FrameRenderer | None = None,
        pixels: int | None = None,
        dashcam: bool = False,
    ) -> None:
        self.model, self.style = model, style
        self.remap = recorded_remap(reader) if remap is None else remap  # from the next frame on
        self._reader, self._view = reader, view
        self._last: int | None = None  # number of the last rendered frame
        first = reader.read(reader.first)
        if view and view not in first.views:
            others = ", ".join(first.views) or "none"
            raise RecordingError(f"{reader.path} has no camera {view!r}; besides the first one it has: {others}")
        chosen = first.views[view] if view else first
        planes = {*chosen.planes, *chosen.images}
        if model == RECORDED:
            if "neural" not in planes:
                raise RecordingError(f"{reader.path} holds no rendered images; give a model to render with, or {TAGS}")
            self.runtime = "as recorded"
            return
        frame = frame_of(first, view)
        size = frame.camera.width, frame.camera.height
        self._renderer = renderer or make_renderer(model, runtime, size, pixels=pixels, dashcam=dashcam)
        missing = [name for name in self._renderer.inputs if name in _PLANES - planes]
        if missing:
            raise RecordingError(f"{reader.path} holds no {', '.join(missing)}; {model} needs them")
        self.model, self.runtime = self._renderer.model, self._renderer.runtime
        if style is not None and model != TAGS:
            self._renderer.set_style(style)
            self._renderer.reset()

    @property
    def styles(self) -> list[str]:
        """Styles to choose from."""
        return [] if self.model in (RECORDED, TAGS) else list(self._renderer.styles)

    def set_style(self, style: str | None) -> None:
        """Render in this style from the next frame on; None: in that of the weather."""
        self.style = style
        if style is not None:
            self._renderer.set_style(style)

    def render(self, number: int, preroll: int = PREROLL) -> tuple[Frame, np.ndarray]:
        """Return frame ``number`` and its image u8 (H, W, 3) RGB.

        After a jump, ``preroll`` frames before it are rendered first. A few skipped frames are bridged: the motion then
        spans them. Raises DamagedChunk for a frame that cannot be read.
        """
        recorded = self._reader.read(number)
        frame = frame_of(recorded, self._view, writable=self.model not in (RECORDED, TAGS))
        if self.model == RECORDED:
            return frame, image_of(recorded.views[self._view] if self._view else recorded, "neural")
        if self.model == TAGS:
            return frame, tag_image(frame.planes["tag"], self.remap)
        last, self._last = self._last, number
        if last == number:
            last = None  # in another style, or with a longer history
        if last is None or not last < number <= last + BRIDGED:
            apply_style(self._renderer, frame, self.style, self.remap)
            self._renderer.reset()  # in that style at once
            for k in range(max(number - preroll, 0), number):
                with suppress(DamagedChunk):
                    self._render_frame(frame_of(self._reader.read(k), self._view))
        elif number > last + 1:
            try:
                between = [frame_of(self._reader.read(k), self._view) for k in range(last + 1, number)]
            except DamagedChunk:
                return self.render(number, preroll)  # as a jump: `_last` is this frame now
            delivered = frame_of(self._reader.read(last), self._view).camera
            frame = replace(frame, planes={**frame.planes, "motion": compose(frame, between, delivered)})
        return frame, self._render_frame(frame)

    def _render_frame(self, frame: Frame) -> np.ndarray:
        apply_style(self._renderer, frame, self.style, self.remap)
        return self._renderer.render(frame)


_PLANES = {"tag", "instance", "depth", "motion"}


def recorded_remap(reader: RecordingReader) -> Remap:
    """Return the remap that ``reader`` was recorded with. Raises RecordingError where it is damaged."""
    try:
        return Remap.parse(reader.about.get("remap", ""))
    except ValueError as error:
        raise RecordingError(f"{reader.path}: {error}") from None


def default_model(reader: RecordingReader) -> str:
    """Return the model to show by default: the recorded images where there are any, else tags."""
    return RECORDED if "neural" in reader.read(reader.first).images else TAGS
