"""A stand-in for the network when realism is not needed: every pixel in the colour of its class."""

from collections.abc import Mapping

import numpy as np

from bridge.messages import Frame
from neuralsim.renderer.frame_renderer import FrameInputs, GeneratedImage
from neuralsim.renderer.remap import NO_REMAP, Remap
from neuralsim.renderer.views import tag_image
from neuralsim.renderer.weather import glow
from neuralsim.session.options import TAGS


class TagRenderer:
    """A ``FrameRenderer`` without a network and without state."""

    model = TAGS
    runtime = "none"
    warning = note = ""
    styles: tuple[str, ...] = ()
    inputs = ("tag",)
    follows_simulator_image = False
    _remap: Remap = NO_REMAP

    def set_style(self, name: str) -> None:
        """Do nothing: there are no styles."""

    def set_remap(self, remap: Remap) -> None:
        """Render tags as others, from the next frame on."""
        self._remap = remap

    def set_guide(self, guide: str) -> None:
        """Do nothing: there is no guide."""

    def follow(self, weather: Mapping[str, float]) -> None:
        """Do nothing: tag colours do not depend on the weather."""

    def reset(self) -> None:
        """Do nothing: there is no state."""

    def render(self, frame: Frame) -> np.ndarray:
        """Return u8 (H, W, 3) RGB in CARLA's palette."""
        return self.postprocess(self.generate(frame))

    def generate(self, frame: Frame) -> GeneratedImage:
        """Return the image of ``frame``."""
        tag = frame.planes["tag"]
        return GeneratedImage(tag_image(tag, self._remap), FrameInputs(frame, {"tag": tag}, remap=self._remap))

    def postprocess(self, generated: GeneratedImage) -> np.ndarray:
        """Draw the lit lamps, which tags do not tell, in place."""
        glow.draw_lamps(generated.rgb, generated.inputs.frame, generated.inputs.remap)
        return generated.rgb

    def seconds_per_step(self) -> float:
        """Return a nominal time: rendering is almost free."""
        return 1e-3
