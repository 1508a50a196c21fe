"""The interface of everything that renders frames, and what its stages pass on: encode, run, postprocess."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from bridge.messages import Frame
from neuralsim.renderer.conditions import Conditions
from neuralsim.renderer.remap import NO_REMAP, Remap


@dataclass
class FrameInputs:
    """One frame, encoded for a renderer's network; valid until the renderer encodes another frame."""

    frame: Frame
    tensors: dict[str, np.ndarray]  # the graph's inputs by name, all but its state
    style: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.float32))  # f32 (CHANNELS, 3), -0.5..0.5
    fog: np.ndarray = field(default_factory=lambda: np.zeros(2))  # as from ``fog.fog_of_weather``
    remap: Remap = NO_REMAP  # that ``tensors`` were made with
    gains: np.ndarray = field(default_factory=lambda: np.ones(3))  # as from ``camera_response.gains_at``
    elapsed: float = math.inf  # s since the last frame, infinite for the first one
    conditions: Conditions = field(default_factory=Conditions)  # light and weather of the frame


@dataclass
class GeneratedImage:
    """What a renderer's network made of a frame, before postprocessing."""

    rgb: np.ndarray  # u8 (H, W, 3), the caller's to keep
    inputs: FrameInputs
    compositing: float = 0.0  # s that compositing the image from windows took, in addition to the network


class FrameRenderer(Protocol):
    """Renders one frame after another.

    ``render`` is all that most callers need. A live loop calls ``generate`` on one thread and ``postprocess`` on
    another, while the next frame is generated already.
    """

    @property
    def model(self) -> str:
        """Return the name of the model."""

    @property
    def runtime(self) -> str:
        """Return the runtime and precision in use, e.g. "openvino bf16"."""

    @property
    def warning(self) -> str:
        """Return in which way the runtime is not the requested one, in one line; "" if it is."""

    @property
    def note(self) -> str:
        """Return what was measured while the runtime was chosen, in one line; "" if nothing."""

    @property
    def styles(self) -> Collection[str]:
        """Return the names of the styles to choose from."""

    @property
    def inputs(self) -> Collection[str]:
        """Return the names of the inputs, the required planes of a frame among them."""

    @property
    def follows_simulator_image(self) -> bool:
        """Return whether the ``rgb`` or ``rgb_half`` plane of a frame is used as its guide, where there is one."""

    def set_style(self, name: str) -> None:
        """Blend over to one of ``styles``. Raises ModelError for an unknown one."""

    def set_remap(self, remap: Remap) -> None:
        """Render tags as others, from the next frame on."""

    def set_guide(self, guide: str) -> None:
        """Use another guide, one of ``neuralsim.guide.GUIDES``, from the next frame on."""

    def follow(self, weather: Mapping[str, float]) -> None:
        """Blend over to the light of ``weather``, carla.WeatherParameters by name."""

    def reset(self) -> None:
        """Forget the past, as after a jump of the camera."""

    def render(self, frame: Frame) -> np.ndarray:
        """Return the image of ``frame``, u8 (H, W, 3) RGB, the caller's to keep."""

    def generate(self, frame: Frame) -> GeneratedImage:
        """Run every stage of ``render`` but the last."""

    def postprocess(self, generated: GeneratedImage) -> np.ndarray:
        """Finish what ``generate`` returned: u8 (H, W, 3) RGB. Safe on another thread while ``generate`` runs."""

    def seconds_per_step(self) -> float:
        """Return how long an undisturbed machine takes for one image, s."""


@runtime_checkable
class ForkableRenderer(FrameRenderer, Protocol):
    """A renderer that can be forked for the further cameras of a rig."""

    def fork(self, size: tuple[int, int] | None = None) -> FrameRenderer:
        """Return the renderer of another camera of ``size`` (width, height), in the same light, with its own past."""
