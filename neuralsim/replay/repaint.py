"""Pictures of recorded frames: as they were, or painted anew with any model and style."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bridge.link.motion import compose
from bridge.messages import Frame
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.random_access_reader import DamagedChunk, RecordingReader, frame_of, picture_of
from neuralsim.renderer.remap import Remap
from neuralsim.renderer.views import tag_picture
from neuralsim.replay.options import RECORDED
from neuralsim.session import lamp_drawing
from neuralsim.session.options import TAGS
from neuralsim.session.painting_loop import apply_style
from neuralsim.session.renderer_loading import make_renderer

if TYPE_CHECKING:
    from neuralsim.renderer.neural_renderer import NeuralRenderer
    from neuralsim.session.tag_painter import TagRenderer

PREROLL = 6  # frames painted before one that is jumped to, so that its picture has a past
BRIDGED = 12  # frames that may be left out between two pictures without beginning anew


class Repainter:
    """Paints frames of ``reader`` with ``model``: one of the zoo, a folder, "tags", or "recorded".

    Raises RecordingError where the recording lacks what the model needs, ModelError, RuntimeUnavailable.

    Args:
        reader: The recording.
        model: A shipped model's name, a folder, "tags" or "recorded".
        runtime: As for ``neuralsim.runtimes.create``.
        style: Of the model; None: by the weather.
        view: Name of the camera; "": the first.
        remap: Painted as something else; None: as recorded.
        renderer: Of that model, loaded already; None: it is loaded now.
        pixels: That are painted of each frame, the rest being remembered; None: all.
    """

    def __init__(
        self,
        reader: RecordingReader,
        model: str,
        runtime: str = "auto",
        style: str | None = None,
        view: str = "",
        remap: Remap | None = None,
        renderer: NeuralRenderer | TagRenderer | None = None,
        pixels: int | None = None,
    ) -> None:
        self.model, self.style = model, style
        self.remap = recorded_remap(reader) if remap is None else remap  # from the next frame on
        self._reader, self._view = reader, view
        self._last: int | None = None  # the frame that was painted last
        first = reader.read(reader.first)
        if view and view not in first.views:
            there = ", ".join(first.views) or "no other"
            raise RecordingError(f"{reader.path} has no camera {view!r}; beside the first one there is {there}")
        seen = first.views[view] if view else first
        has = {*seen.planes, *seen.pictures}
        if model == RECORDED:
            if "neural" not in has:
                raise RecordingError(f"{reader.path} holds no painted pictures; give a model to paint with, or {TAGS}")
            self.runtime = "as recorded"
            return
        frame = frame_of(first, view)
        size = frame.camera.width, frame.camera.height
        self._painter = make_renderer(model, runtime, size, pixels=pixels) if renderer is None else renderer
        missing = [name for name in getattr(self._painter.card, "inputs", ("tag",)) if name in _PLANES - has]
        if missing:
            raise RecordingError(f"{reader.path} holds no {', '.join(missing)}; {model} paints from that")
        self.model, self.runtime = self._painter.model, self._painter.runtime
        if style is not None and model != TAGS:
            self._painter.set_style(style)
            self._painter.reset()

    @property
    def styles(self) -> list[str]:
        """Styles there are to choose from."""
        return [] if self.model in (RECORDED, TAGS) else list(self._painter.card.styles)

    def choose(self, style: str | None) -> None:
        """Paint in this style from the next frame on; None: in that of the weather."""
        self.style = style
        if style is not None:
            self._painter.set_style(style)

    def paint(self, number: int, preroll: int = PREROLL) -> tuple[Frame, np.ndarray]:
        """Frame ``number`` and its picture u8 (H, W, 3) RGB.

        After a jump so many frames before it are painted first. A few frames that were left out are bridged: the motion
        then leads over them. Raises DamagedChunk for a frame that cannot be read.
        """
        recorded = self._reader.read(number)
        frame = frame_of(recorded, self._view, writable=self.model not in (RECORDED, TAGS))
        if self.model == RECORDED:
            return frame, picture_of(recorded.views[self._view] if self._view else recorded, "neural")
        if self.model == TAGS:
            return frame, tag_picture(frame.planes["tag"], self.remap)
        last, self._last = self._last, number
        if last == number:
            last = None  # in another style, or with more of a past
        if last is None or not last < number <= last + BRIDGED:
            apply_style(self._painter, frame, self.style, self.remap)
            self._painter.reset()  # in that style at once
            for k in range(max(number - preroll, 0), number):
                with suppress(DamagedChunk):
                    self._render(frame_of(self._reader.read(k), self._view))
        elif number > last + 1:
            try:
                between = [frame_of(self._reader.read(k), self._view) for k in range(last + 1, number)]
            except DamagedChunk:
                return self.paint(number, preroll)  # a jump: `_last` is this one now
            delivered = frame_of(self._reader.read(last), self._view).camera
            frame = replace(frame, planes={**frame.planes, "motion": compose(frame, between, delivered)})
        return frame, self._render(frame)

    def _render(self, frame: Frame) -> np.ndarray:
        apply_style(self._painter, frame, self.style, self.remap)
        picture = self._painter.render(frame)
        lamp_drawing.draw_of(self._painter, frame, picture, self.remap)
        return picture


_PLANES = {"tag", "instance", "depth", "motion"}


def recorded_remap(reader: RecordingReader) -> Remap:
    """What was painted as something else when ``reader`` was recorded. Raises RecordingError where it is damaged."""
    try:
        return Remap.parse(reader.about.get("remap", ""))
    except ValueError as error:
        raise RecordingError(f"{reader.path}: {error}") from None


def default_model(reader: RecordingReader) -> str:
    """The model to show by default: the recorded pictures where there are any, else tags."""
    return RECORDED if "neural" in reader.read(reader.first).pictures else TAGS
