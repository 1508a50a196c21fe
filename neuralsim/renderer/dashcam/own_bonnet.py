"""The bonnet of one's own car at the lower edge of an image: its paint, and in its varnish the street ahead.

What does not move is computed once for a camera and a car: which pixels show the metal, how its paint is shaded there,
and which part of the image it mirrors.
"""

import cv2
import numpy as np

from bridge.messages import Camera
from neuralsim.renderer.dashcam.bonnet_surface import BonnetSurface, Car, paint_of, shape_of

_BACK, _ABOVE = 0.45, 0.35  # m, of the camera behind and above the lower edge of the windscreen
_SHOWN = 0.1  # of the image's height, how much of the bonnet is seen: cameras are turned until they see some
_HIGHEST = 0.2  # of the image's height, from below, that is looked at
_STEPS, _OVERHANG = 160, 0.15  # along the bonnet, and m beyond its nose
_REDUCTION = 4  # times smaller than the image is what the varnish shows of it
_RIPPLE = 1.4  # px of that, standard deviation of its blur: no varnish is a mirror
_CLIPPED, _BEYOND = 190.0, 1.9  # of 255, from where on an image is clipped, and how many times brighter 255 is
_SOFT = 0.0009  # of the width, blur of the metal's edge, which is out of focus
_DAYLIGHT = 170.0  # of 255, mean of the upper half of an image by day
_BEADS, _BEAD = 10.0, 0.0015  # of 255, contrast of the water on wet metal; of the width, its size
_PAINT_SHADE = 0.75  # of the paint's colour that an image by day has


class OwnBonnet:
    """Draws the bonnet of a car into the images of a camera behind its windscreen.

    ``cover`` f32 (h, W, 1) is the share of each pixel of the last h rows that shows the metal.
    """

    def __init__(self, camera: Camera, car: Car) -> None:
        width, height, focal = camera.width, camera.height, camera.focal
        self._rows = round(_HIGHEST * height)
        aside = (np.arange(width, dtype=np.float32) + 0.5 - width / 2.0) / np.float32(focal)
        surface = BonnetSurface(shape_of(car), _BACK, _ABOVE)
        distances, slopes = surface.profile(aside, _STEPS, _OVERHANG)
        # turned so that the far edge is where it is to be in the middle of the image
        down = (np.arange(self._rows, dtype=np.float32) + 0.5 - self._rows + _SHOWN * height) / np.float32(focal)
        wanted = slopes[-1].max() - down
        ahead = surface.met(distances, slopes, wanted)
        cover = np.clip((slopes[-1][None, :] - wanted[:, None]) * focal + 0.5, 0.0, 1.0)
        shade, gloss, azimuth, elevation = surface.shading(ahead, aside)
        self.cover = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), max(_SOFT * width, 0.3))[..., None]
        noise = np.random.default_rng(3).standard_normal(cover.shape).astype(np.float32)
        beads = cv2.GaussianBlur(noise, (0, 0), max(_BEAD * width, 0.3))
        self._beads = np.maximum(beads / max(float(beads.std()), 1e-6) - 0.8, -0.25)[..., None]
        self._paint = _PAINT_SHADE * shade[..., None] * np.array(paint_of(car), np.float32)
        self._gloss = gloss[..., None].astype(np.float32)
        azimuth, elevation = azimuth.clip(-1.2, 1.2), elevation.clip(-0.2, 1.2)
        across = np.tan(azimuth) * focal + width / 2.0
        up = height / 2.0 - np.tan(elevation) * focal / np.cos(azimuth)
        self._across = (across.clip(0, width - 1) / _REDUCTION).astype(np.float32)
        self._up = (up.clip(0, height - 1) / _REDUCTION).astype(np.float32)

    def draw(self, image: np.ndarray, wet: float) -> None:
        """Draw it into ``image``, u8 (H, W, 3), RGB, of the camera's size, in place; ``wet``, from 0 to 1, it has beads
        of water."""
        below = image[len(image) - self._rows :]
        below[:] = np.minimum(below + (self.metal(image, wet) - below) * self.cover, 255.0).astype(np.uint8)

    def metal(self, image: np.ndarray, wet: float) -> np.ndarray:
        """Return the metal before the street of ``image``, f32 (h, W, 3), RGB; arguments are those of ``draw``."""
        height, width = image.shape[:2]
        size = max(width // _REDUCTION, 1), max(height // _REDUCTION, 2)
        small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (0, 0), _RIPPLE)
        light = float(small[: len(small) // 2].mean()) / _DAYLIGHT
        beyond = np.maximum(small.astype(np.float32) - _CLIPPED, 0.0) / (255.0 - _CLIPPED)
        small = small * (1.0 + (_BEYOND - 1.0) * beyond)
        mirrored = cv2.remap(small, self._across, self._up, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        metal = self._paint * light + mirrored * self._gloss
        if wet > 0.0:
            metal = np.maximum(metal + _BEADS * wet * light * self._beads, 0.0)
        return np.asarray(metal)
