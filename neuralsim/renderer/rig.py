"""Renders the views of a rig at the same tick: together, in one light, and alike where they overlap."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from bridge.messages import Frame
from neuralsim.base.machine import cores
from neuralsim.renderer.frame_renderer import GeneratedImage
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.renderer.overlap import Neighbour, match_overlap

MOST_AT_A_TIME = 8


def render_views(
    renderers: Sequence[NeuralRenderer], frames: Sequence[Frame], threads: int | None = None
) -> list[np.ndarray]:
    """Return the image u8 (H, W, 3) RGB of each frame, the caller's to keep.

    Several are rendered at a time, each on its share of the cores. Views take over what earlier ones see as well.
    Raises what ``NeuralRenderer.render`` does.

    Args:
        renderers: A renderer for each view, forks of one (``NeuralRenderer.fork``), with style and guide set.
        frames: A frame for each view, of one tick, with the planes ``tag``, ``instance``, ``depth``, ``motion``.
        threads: CPU threads, None: one per core.
    """
    streams = min(threads or cores(), len(frames), MOST_AT_A_TIME)
    for renderer in renderers:
        renderer.set_streams(max(streams, 1))
    if streams < 2:
        return [renderer.render(frame) for renderer, frame in zip(renderers, frames, strict=True)]
    generated = list(_pool(streams).map(NeuralRenderer.generate, renderers, frames))
    match_overlaps(generated)
    return list(_pool(streams).map(NeuralRenderer.postprocess, renderers, generated))


def match_overlaps(images: Sequence[GeneratedImage]) -> None:
    """Let each of the images of one tick take over, in place, what earlier ones show as well."""
    neighbours: list[Neighbour] = []
    for image in images:
        match_overlap(image, neighbours)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "views")
