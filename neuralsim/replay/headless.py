"""A replay without a window: a recording painted anew, as a video."""

from __future__ import annotations

import numpy as np

from neuralsim.base.progress import ProgressLine
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.random_access_reader import DamagedChunk, RecordingReader
from neuralsim.recording.writing.mp4 import Mp4Writer
from neuralsim.renderer.remap import Remap
from neuralsim.replay.options import ReplayOptions
from neuralsim.replay.repaint import Repainter, default_model


def repaint(reader: RecordingReader, options: ReplayOptions) -> tuple[int, int]:
    """Paint the frames from ``begin`` to ``end`` and write them to ``record``; returns how many were painted, and how
    many could not be because the recording is damaged.

    With ``compare`` each picture is two, side by side: the model's and the other one's. Raises RecordingError,
    ModelError, RuntimeUnavailable.
    """
    assert options.record is not None
    models = [options.model or default_model(reader), *([options.compare] if options.compare else [])]
    remap = None if options.remap is None else Remap.parse(options.remap)
    pixels = options.paint and options.paint.pixels
    painters = [
        Repainter(reader, model, options.runtime, options.style, options.view, remap, pixels=pixels) for model in models
    ]
    end = options.end if options.end is not None else reader.time(len(reader) - 1)
    numbers = [k for k in range(len(reader)) if options.begin - 1e-6 <= reader.time(k) <= end + 1e-6]
    if not numbers:
        raise RecordingError(f"{reader.path} ends after {reader.time(len(reader) - 1):.2f} s; nothing to replay")
    writer: Mp4Writer | None = None
    done = 0
    progress = ProgressLine(len(numbers))
    try:
        for number in numbers:
            try:
                pictures = [painter.paint(number)[1] for painter in painters]
            except DamagedChunk:
                continue
            picture = np.ascontiguousarray(np.concatenate(pictures, axis=1)) if len(pictures) > 1 else pictures[0]
            if writer is None:
                size = picture.shape[1], picture.shape[0]
                writer = Mp4Writer(options.record, size, rate=reader.fps * options.speed, block=True)
            if not writer.write(picture, reader.time(number) / options.speed):
                break
            done += 1
            progress.exported(done)
    finally:
        progress.close()
        if writer is not None:
            writer.close()
    if writer is not None and writer.error is not None:
        raise RecordingError(writer.error)
    return done, len(numbers) - done
