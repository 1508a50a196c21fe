"""A drive as a camera on the dashboard films it: exposure, bonnet, windscreen and rain, a small lens, a caption.

All of it lies in front of the street and covers some of it, so it is an option: labels of such images are those of the
street behind.
"""

import cv2
import numpy as np

from bridge.messages import Camera, Frame
from bridge.weather import darkness, effective_weather, wetness
from neuralsim.renderer.dashcam import windscreen
from neuralsim.renderer.dashcam.bonnet_surface import SHORTEST_BONNET, Car, shape_of
from neuralsim.renderer.dashcam.caption import draw_caption
from neuralsim.renderer.dashcam.exposure import AutoExposure
from neuralsim.renderer.dashcam.glass import glass_light
from neuralsim.renderer.dashcam.own_bonnet import OwnBonnet

_AHEAD = 0.9  # cosine of the greatest angle between a camera that looks ahead and its car
_CABIN = ((-1.5, 2.5), (-1.2, 1.2), (0.5, 3.0))  # m ahead, to the right and up from the car's origin on the road
_SMALLEST = 16  # px, height of an image that has a bonnet
_CORNERS = 0.2  # of the light that the corners of an image lack
_UNDER_CLOUDS = 0.5  # of the light that the glass mirrors in full sun


class DashCamera:
    """Draws what is between a dashboard camera and the street into the images of one drive."""

    def __init__(self) -> None:
        self._key: tuple[int, int, float, Car] | None = None
        self._bonnet: OwnBonnet | None = None
        self._exposure = AutoExposure()
        self._vignette = self._glass = np.empty((0, 0, 3), np.uint8)

    def films(self, frame: Frame) -> bool:
        """Return whether it films ``frame``: that of the first camera, where that looks ahead from the cabin."""
        return not frame.view and _looks_ahead_from_the_cabin(frame)

    def film(self, image: np.ndarray, frame: Frame) -> None:
        """Draw it into ``image``, u8 (H, W, 3), RGB, of ``frame``, in place, if it films that."""
        if not self.films(frame):
            return
        camera = frame.camera
        key = camera.width, camera.height, camera.fov, (frame.ego.blueprint, frame.ego.color)
        weather = effective_weather(frame.weather or {})
        if key != self._key:
            has_bonnet = shape_of(key[3]).cowl_at >= SHORTEST_BONNET and camera.height >= _SMALLEST
            self._bonnet = OwnBonnet(camera, key[3]) if has_bonnet else None
            self._key, self._vignette = key, _vignette(camera)
            self._glass = glass_light(camera.width, camera.height)
        daylight = 1.0 - darkness(weather)
        self._exposure.expose(image, frame.sim_time, daylight)
        if self._bonnet is not None:
            self._bonnet.draw(image, wetness(weather))
        share = daylight * (1.0 - _UNDER_CLOUDS * min(weather["cloudiness"] / 100.0, 1.0))
        if share > 0.0:
            cv2.addWeighted(image, 1.0, self._glass, share, 0.0, image)
        windscreen.draw_windscreen(image, weather, frame.sim_time)
        cv2.multiply(image, self._vignette, image, 1.0 / 255.0)
        speed = frame.ego.speed if _is_known(frame) else None
        draw_caption(image, frame.sim_time, speed, weather["sun_altitude_angle"])


def _looks_ahead_from_the_cabin(frame: Frame) -> bool:
    """Return whether the camera is in the car and looks where that drives; also where the car's pose is not known."""
    car, camera = frame.ego.pose, frame.camera.pose
    if not _is_known(frame):
        return not frame.mount
    place = car[:3, :3].T @ (camera[:3, 3] - car[:3, 3])
    is_inside = all(low < part < high for part, (low, high) in zip(place, _CABIN, strict=True))
    return is_inside and float(camera[:3, 0] @ car[:3, 0]) > _AHEAD


def _is_known(frame: Frame) -> bool:
    """Return whether ``frame`` says where its car is."""
    return not np.array_equal(frame.ego.pose, np.eye(4))


def _vignette(camera: Camera) -> np.ndarray:
    """Return the share of its light that each pixel has, u8 (H, W, 3), 255 = all of it."""
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    square = ((x - camera.width / 2.0) ** 2 + (y - camera.height / 2.0) ** 2) / (camera.width / 2.0) ** 2
    share = 255.0 * (1.0 - _CORNERS * (square / 1.25).clip(0.0, 1.0) ** 1.5)
    return np.repeat(np.rint(share).astype(np.uint8)[..., None], 3, axis=2)
