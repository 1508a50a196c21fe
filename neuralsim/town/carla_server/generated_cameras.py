"""What the server needs from an image generator, passed in by the program that starts it: the town knows none."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Protocol

import numpy as np

from bridge.messages import Camera, Frame
from neuralsim.town.core.sensor_blueprints import colour_plane_of
from neuralsim.town.core.types import Actor, Attribute, Blueprint
from neuralsim.town.render.wide_angle import SUFFIX

CAMERA = "sensor.camera.rgb"
CAMERAS = (CAMERA, CAMERA + SUFFIX)  # the blueprints whose images are generated
STYLE = "neuralsim_style"  # its attribute
AUTO, OFF = "auto", "off"  # values of that attribute besides the styles: that of the weather; the simulator's image


class GeneratedCamera(Protocol):
    """One camera, whose images are generated one after another: the generator keeps its past."""

    def is_ready(self) -> bool:
        """Return whether ``submit`` takes a frame without waiting."""

    def is_idle(self) -> bool:
        """Return whether it has a model, and no frame that waits or is being rendered."""

    def submit(self, frame: Frame, deliver: Callable[[np.ndarray], None]) -> None:
        """Have the image of ``frame`` generated, which keeps its planes; wait while others are before it.

        ``deliver`` gets the image, u8 (H, W, 3) RGB, in another thread: the simulator's own where generating failed.
        """

    def capture(
        self, tick: int, lens: Camera, capture: Callable[[], Frame], deliver: Callable[[np.ndarray], None]
    ) -> Future[Frame]:
        """Do what ``submit`` does with the frame that ``capture`` returns; that is called in another thread.

        It is called when the frame's turn comes. ``tick``, ``lens``: those of the frame. The returned future is
        cancelled if the camera is closed before. If ``capture`` raises, the future has the exception, and nothing is
        delivered. Like ``submit``, this may wait, but never while ``is_idle``.
        """

    def close(self) -> None:
        """Forget the camera. Nothing is delivered any more."""


class ImageGenerator(Protocol):
    """Generates the images of cameras of any size."""

    styles: Collection[str]

    def open(self, width: int, height: int, style: str, *, is_face: bool = False) -> GeneratedCamera:
        """Return a new camera of ``width`` x ``height`` px.

        ``style``: ``AUTO`` or one of ``styles``. ``is_face``: whether it is one of several views that are blended, and
        takes nothing over from other cameras. Raises ValueError, in one line, for what cannot be generated.
        """


def is_generated(actor: Actor) -> bool:
    """Return whether a camera asks for generated images; those of half the size are guides of other renderers."""
    return colour_plane_of(actor) == "rgb" and actor.attributes.get(STYLE, OFF) != OFF


def with_style(blueprint: Blueprint, styles: Collection[str]) -> Blueprint:
    """Return the blueprint of a camera with the attribute ``STYLE``; any other blueprint is returned unchanged."""
    if blueprint.id not in CAMERAS:
        return blueprint
    style = Attribute(STYLE, "string", AUTO, (AUTO, OFF, *styles))
    return replace(blueprint, attributes=(*blueprint.attributes, style))


def chosen(kind: str, attributes: Mapping[str, str], generator: ImageGenerator | None) -> dict[str, str]:
    """Return the attributes of an actor of blueprint ``kind``, with the default style where there is a generator."""
    default = {STYLE: AUTO} if kind in CAMERAS and generator is not None else {}
    return default | dict(attributes)
