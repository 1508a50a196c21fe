"""The images of the car's mirrors: each mirror has a renderer with a past of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from bridge.messages import Frame, MirrorName, mirror_frame
from bridge.size import Size
from neuralsim.renderer.frame_renderer import FrameRenderer

_PAST = 1.0  # s, simulated, after which a mirror's last image is no past: it was switched off


class MirrorImages:
    """Renders the mirrors of frames and keeps their images until they are taken.

    ``another(size, first)`` returns a renderer of images of ``size`` in the light of ``first``. A thread of its own
    calls it when a mirror is switched on first: no frame waits for that.
    """

    def __init__(self, another: Callable[[Size, FrameRenderer], FrameRenderer]) -> None:
        self._another = another
        self._renderers: dict[MirrorName, Future[FrameRenderer]] = {}
        self._times: dict[MirrorName, float] = {}  # s, simulated, of the last images
        self._images: dict[MirrorName, np.ndarray] = {}

    def render(self, frame: Frame, first: FrameRenderer, prepare: Callable[[FrameRenderer, Frame], None]) -> None:
        """Render the mirror that ``frame`` contains, if any; ``prepare`` sets up its renderer."""
        own = mirror_frame(frame)
        if frame.mirror is None or own is None or "tag" not in own.planes:
            return
        name = frame.mirror.name
        if name not in self._renderers:
            loaded = self._renderers[name] = Future[FrameRenderer]()
            size = Size(own.camera.width, own.camera.height)
            threading.Thread(target=self._load, args=(loaded, size, first), name=f"{name} mirror", daemon=True).start()
        if not self._renderers[name].done():
            return
        renderer = self._renderers[name].result()
        if not 0.0 <= own.sim_time - self._times.get(name, -_PAST) < _PAST:
            renderer.reset()
        self._times[name] = own.sim_time
        prepare(renderer, own)
        self._images[name] = renderer.render(own)[:, ::-1]

    def take(self) -> dict[MirrorName, np.ndarray]:
        """Return the images u8 (H, W, 3) RGB, flipped, that have not been taken, by mirror."""
        taken, self._images = self._images, {}
        return taken

    def _load(self, loaded: Future[FrameRenderer], size: Size, first: FrameRenderer) -> None:
        try:
            loaded.set_result(self._another(size, first))
        except Exception as error:
            loaded.set_exception(error)
