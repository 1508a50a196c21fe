"""Replay without a window: render a recording again, into a video."""

import numpy as np

from neuralsim.base.progress import ProgressLine
from neuralsim.recording import RecordingError
from neuralsim.recording.reading.random_access_reader import DamagedChunk, RecordingReader
from neuralsim.recording.writing.mp4 import Mp4Writer
from neuralsim.renderer.remap import Remap
from neuralsim.replay.options import ReplayOptions
from neuralsim.replay.recording_renderer import RecordingRenderer, default_model


def render_video(reader: RecordingReader, options: ReplayOptions) -> tuple[int, int]:
    """Render the frames from ``begin`` to ``end`` into the file ``record``.

    Returns the number of rendered frames and of those left out because the recording is damaged there. With
    ``compare`` two images are side by side: the model's and the other one's. Raises RecordingError, ModelError,
    RuntimeUnavailable.
    """
    assert options.record is not None
    models = [options.model or default_model(reader), *([options.compare] if options.compare else [])]
    remap = None if options.remap is None else Remap.parse(options.remap)
    pixels = options.paint and options.paint.pixels
    renderers = [
        RecordingRenderer(
            reader, model, options.runtime, options.style, options.view, remap, None, pixels, options.dashcam
        )
        for model in models
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
                images = [renderer.render(number)[1] for renderer in renderers]
            except DamagedChunk:
                continue
            image = np.ascontiguousarray(np.concatenate(images, axis=1)) if len(images) > 1 else images[0]
            if writer is None:
                size = image.shape[1], image.shape[0]
                writer = Mp4Writer(options.record, size, rate=reader.fps * options.speed, block=True)
            if not writer.write(image, reader.time(number) / options.speed):
                break
            done += 1
            progress.show_written(done)
    finally:
        progress.close()
        if writer is not None:
            writer.close()
    if writer is not None and writer.error is not None:
        raise RecordingError(writer.error)
    return done, len(numbers) - done
