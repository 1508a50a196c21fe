"""Images of cameras with a wide-angle lens: encoded from views of a cube's faces, or generated, face by face."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

import numpy as np

from bridge.geometry import focal_length
from bridge.messages import Camera, Frame
from neuralsim.town.carla_server import camera_images
from neuralsim.town.carla_server.compat import strictness
from neuralsim.town.carla_server.generated_cameras import CAMERA, GeneratedCamera, ImageGenerator
from neuralsim.town.render.raster import Planes
from neuralsim.town.render.wide_angle import SUFFIX, Cube, WideAngle

_FOLLOW = np.float32(0.2)  # share by which the faces' gains follow those of a tick, so that they do not flicker

View = tuple[Camera, Callable[[], Frame]]  # a face of the cube at one tick, and what captures its frame


def cube_of(kind: str, lens: WideAngle) -> Cube:
    """Return the cube of the images of a camera: to shade the many pixels of an exact one takes a second."""
    return lens.cube(generated=kind == CAMERA + SUFFIX)


def encode(
    kind: str,
    lens: WideAngle,
    views: Sequence[Callable[[], Planes]],
    out: np.ndarray,
    pose: np.ndarray,
    is_strict: bool,
) -> None:
    """Write the image of a camera into a send buffer.

    The depth is that along the axis of the face in which a pixel lies, as CARLA's faces are scene captures of their
    own. Where the lens shows nothing, pixels are black.

    Args:
        kind: The id of the camera's blueprint.
        lens: Its lens.
        views: What renders each of ``cube_of(kind, lens).faces``.
        out: The buffer, u8 (height * width * 4).
        pose: World <- camera, f64 (4, 4).
        is_strict: Whether it is as coarse as CARLA's (``strictness.degrade``).
    """
    cube, plain = cube_of(kind, lens), kind.removesuffix(SUFFIX)
    if plain == CAMERA:
        image = np.empty((lens.height, lens.width, 3), np.uint8)
        cube.blend(np.stack([np.asarray(view().rgb) for view in views]), image.reshape(-1, 3))
        camera_images.encode_rgb(image, out)
        return
    words = out.view(np.uint32)
    words.fill(camera_images.OPAQUE)
    for face, target, source, view in zip(cube.faces, cube.targets, cube.sources, views, strict=True):
        planes, place = view(), pose @ face.turn
        pixels = np.empty(4 * face.side**2, np.uint8)
        camera_images.encode(plain, planes, pixels, face.fov, place)
        if is_strict:
            strictness.degrade(plain, planes, pixels, focal_length(face.side, face.fov), place)
        words[target] = pixels.view(np.uint32)[source]


class GeneratedWideAngle:
    """A camera whose faces are generated as cameras of their own, each with its past, and blended.

    Raises what ``ImageGenerator.open`` does.
    """

    def __init__(self, generator: ImageGenerator, lens: WideAngle, style: str) -> None:
        self.lens, self._cube = lens, lens.cube(generated=True)
        self.faces = self._cube.faces
        self._cameras: list[GeneratedCamera] = []
        self._gains: np.ndarray | None = None
        try:
            for face in self.faces:
                self._cameras.append(generator.open(face.side, face.side, style, is_face=True))
        except ValueError:
            self.close()
            raise

    def is_ready(self) -> bool:
        """Return whether ``capture`` takes frames without waiting."""
        return all(camera.is_ready() for camera in self._cameras)

    def is_idle(self) -> bool:
        """Return whether it has a model, and no frame that waits or is being rendered."""
        return all(camera.is_idle() for camera in self._cameras)

    def capture(self, tick: int, views: Sequence[View], deliver: Callable[[np.ndarray], None]) -> list[Future[Frame]]:
        """Do what ``GeneratedCamera.capture`` does with a view of each of ``faces``; return the futures of the frames.

        ``deliver`` gets the image, u8 (H, W, 3) RGB, once all faces are there.
        """
        side = self.faces[0].side
        images, lock, left = np.empty((len(views), side, side, 3), np.uint8), threading.Lock(), set(range(len(views)))

        def collect(place: int, image: np.ndarray) -> None:
            images[place] = image
            with lock:
                left.discard(place)
                if left:
                    return
            gains = self._cube.gains(images)
            if self._gains is not None:
                gains = self._gains + _FOLLOW * (gains - self._gains)
            self._gains = gains
            whole = np.empty((self.lens.height, self.lens.width, 3), np.uint8)
            self._cube.blend(images, whole.reshape(-1, 3), gains)
            deliver(whole)

        return [
            camera.capture(tick, seen, frame, partial(collect, place))
            for place, (camera, (seen, frame)) in enumerate(zip(self._cameras, views, strict=True))
        ]

    def close(self) -> None:
        """Forget the camera. Nothing is delivered any more."""
        for camera in self._cameras:
            camera.close()
