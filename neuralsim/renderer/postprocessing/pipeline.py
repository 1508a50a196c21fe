"""What follows the network: one step after the other, each with its name, what it needs, and why it is there.

A step changes an image in place and never reaches the graph's state. ``neuralsim model evaluate --only steps`` measures
what each of them gains and costs (docs/guide/generator.md has the table).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from bridge.messages import Camera
from neuralsim.renderer.conditions import Conditions
from neuralsim.renderer.frame_renderer import FrameInputs
from neuralsim.renderer.postprocessing import (
    antialiasing,
    detail,
    ground_shading,
    motion_blur,
    sharpening,
)
from neuralsim.renderer.weather import camera_response, fog, glow, night, rain, sky

#: What a step may need: planes of the frame, its weather, and the simulator image that the generator follows.
NEEDS = ("depth", "motion", "weather", "simulator image", "whole simulator image")


@dataclass(frozen=True)
class Scene:
    """What the steps know about one image.

    Attributes:
        inputs: That it was generated from.
        simulator_image: u8 of the frame's size or of half of it, RGB, that the generator follows; None: it follows
            none.
        sharpness: The ``sharpening`` of the model's card, 0: none.
        antialias: Whether edges are anti-aliased.
        wide_range: Whether the sensor has a wide range, see ``sky.sky_of``.
    """

    inputs: FrameInputs
    simulator_image: np.ndarray | None = None
    sharpness: float = 0.0
    antialias: bool = True
    wide_range: bool = False

    @property
    def conditions(self) -> Conditions:
        """Light and weather."""
        return self.inputs.conditions

    @property
    def camera(self) -> Camera:
        """The camera that sees it."""
        return self.inputs.frame.camera

    @property
    def tag(self) -> np.ndarray:
        """u8, at least (H, W): tags that it was generated from."""
        return self.inputs.tensors["tag"]

    @property
    def instance(self) -> np.ndarray:
        """u16, at least (H, W)."""
        return self.inputs.tensors.get("instance", self.inputs.frame.planes["instance"])

    @property
    def depth(self) -> np.ndarray:
        """f32 (H, W), m."""
        return self.inputs.frame.planes["depth"]

    @property
    def motion(self) -> np.ndarray:
        """f16 (H, W, 2), px."""
        return self.inputs.frame.planes["motion"]

    @cached_property
    def simulated(self) -> np.ndarray:
        """The simulator image, u8 (H, W, 3), RGB, of the frame's size."""
        image = self.simulator_image
        assert image is not None, "a step that needs the simulator image runs only where there is one"
        height, width = self.inputs.frame.planes["tag"].shape
        if image.shape[:2] == (height, width):
            return image
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)

    @cached_property
    def unedited(self) -> np.ndarray:
        """The tags, 0 where they are edited: there the simulator image shows something else."""
        if not self.inputs.remap:
            return self.tag
        before = self.inputs.frame.planes["tag"]
        height, width = before.shape
        return np.where(self.tag[:height, :width] == before, before, 0)

    @cached_property
    def sky(self) -> sky.SkyState:
        """The sky of this moment."""
        assert self.conditions.weather is not None
        frame = self.inputs.frame
        return sky.sky_of(self.conditions.weather, self.inputs.style, frame.sim_time, self.wide_range)

    @property
    def has(self) -> frozenset[str]:
        """What of ``NEEDS`` there is."""
        planes: set[str] = {name for name in ("depth", "motion") if name in self.inputs.frame.planes}
        if self.conditions.weather is not None:
            planes.add("weather")
        if self.simulator_image is not None:
            planes.add("simulator image")
            if self.simulator_image.shape[:2] == self.inputs.frame.planes["tag"].shape:
                planes.add("whole simulator image")  # not of half the size
        return frozenset(planes)


class Step(NamedTuple):
    """One step.

    Attributes:
        name: Of the step.
        reason: What it is for, in a few words.
        run: Changes an image u8 (H, W, 3), RGB, in place. None: the renderer changes the past before the next frame.
        needs: What of ``NEEDS`` has to be there; where something is missing, the step is left out.
        compile: Compiles what a frame would wait for.
    """

    name: str
    reason: str
    run: Callable[[np.ndarray, Scene], None] | None
    needs: tuple[str, ...] = ()
    compile: Callable[[], None] = lambda: None


def _mend_border(image: np.ndarray, scene: Scene) -> None:
    image[0], image[-1] = image[1], image[-2]
    image[:, 0], image[:, -1] = image[:, 1], image[:, -2]


def _shade(image: np.ndarray, scene: Scene) -> None:
    ground_shading.follow_shading(image, scene.unedited, scene.simulated, scene.conditions.mirrors)


def _transfer_detail(image: np.ndarray, scene: Scene) -> None:
    detail.transfer_detail(image, scene.unedited, scene.depth, scene.simulated, scene.camera.focal)


def _sharpen(image: np.ndarray, scene: Scene) -> None:
    if scene.sharpness:
        sharpening.sharpen(image, scene.tag, scene.sharpness)


def _raise_contrast_of_people(image: np.ndarray, scene: Scene) -> None:
    sharpening.raise_contrast_of_people(image, scene.tag, scene.conditions.daylight, scene.depth)


def _add_veil(image: np.ndarray, scene: Scene) -> None:
    glow.add_veil(image, scene.sky)


def _draw_sky(image: np.ndarray, scene: Scene) -> None:
    sky.draw_sky(image, scene.tag, scene.camera, scene.sky)


def _dim_rims(image: np.ndarray, scene: Scene) -> None:
    night.dim_rims(image, scene.tag, scene.conditions.darkness)


def _apply_fog(image: np.ndarray, scene: Scene) -> None:
    fog.apply_fog(image, scene.depth, scene.inputs.fog, scene.inputs.style)


def _antialias(image: np.ndarray, scene: Scene) -> None:
    if scene.antialias:
        antialiasing.antialias_edges(image, scene.tag, scene.instance)


def _draw_rain(image: np.ndarray, scene: Scene) -> None:
    assert scene.conditions.weather is not None
    rain.draw_rain(image, scene.conditions.weather, scene.inputs.frame.sim_time)


def _mute_colours(image: np.ndarray, scene: Scene) -> None:
    camera_response.mute_colours(image, scene.conditions.daylight)


def _draw_lamps(image: np.ndarray, scene: Scene) -> None:
    glow.draw_lamps(image, scene.inputs.frame, scene.inputs.remap)


def _add_glare(image: np.ndarray, scene: Scene) -> None:
    glow.add_glare(image, scene.tag, scene.camera, scene.sky)


def _add_glow(image: np.ndarray, scene: Scene) -> None:
    glow.add_glow(image, scene.tag, scene.conditions.darkness)


def _blur_by_motion(image: np.ndarray, scene: Scene) -> None:
    inputs = scene.inputs
    motion_blur.blur_by_motion(image, scene.motion, scene.depth, inputs.elapsed, scene.conditions.darkness)


def _expose(image: np.ndarray, scene: Scene) -> None:
    camera_response.expose(image, scene.inputs.gains, scene.conditions.daylight)


def _blur_by_lens(image: np.ndarray, scene: Scene) -> None:
    camera_response.blur_by_lens(image, scene.conditions.daylight)


def _add_noise(image: np.ndarray, scene: Scene) -> None:
    night.add_noise(image, scene.conditions.darkness, scene.inputs.frame.sim_time)


_GUIDE = "simulator image"

#: On the past that the graph gets, unless images are composited from windows.
ON_PAST = (
    Step("trails", "no lines beside what has moved on while the view stands", None, ("motion",)),
    Step("weave", "no weave on surfaces while the view stands", None, ("motion",)),
    Step("rim of the past", "no lines that march in from the border as the view turns", None),
)

#: On what the network generated, window by window where images are composited from windows.
ON_GENERATED = (Step("border", "no dark line where convolutions pad with zeros", _mend_border),)

#: On whole images, in this order: repairs of the generator, then what is between the street and the camera, then lamps,
#: then the camera.
ON_IMAGE = (
    Step("shading", "shadows on the ground as in the simulator image", _shade, (_GUIDE,),
         ground_shading.compile_kernels),
    Step("detail", "the finest detail of what is small", _transfer_detail, ("whole simulator image", "depth"),
         detail.compile_kernels),
    Step("sharpen", "detail that resampling the past has blurred", _sharpen, (_GUIDE,)),
    Step("people", "people who stand out from what is behind them", _raise_contrast_of_people, ("depth",)),
    Step("veil", "light that lens and windscreen scatter", _add_veil, ("weather",)),
    Step("sky", "the sky of the weather", _draw_sky, ("weather",), sky.compile_kernels),
    Step("rims", "no rims of light around crowns and roofs by night", _dim_rims, ("weather",)),
    Step("fog", "the weather's fog", _apply_fog, ("depth",), fog.compile_kernels),
    Step("antialias", "no stairs along outlines", _antialias, (), antialiasing.compile_kernels),
    Step("rain", "falling rain", _draw_rain, ("weather",), rain.compile_kernels),
    Step("chroma", "colours as pale as a camera in a car has them", _mute_colours, ("weather",)),
    Step("lamps", "lit lamps", _draw_lamps, (), glow.compile_kernels),
    Step("glare", "glare of the sun", _add_glare, ("weather",)),
    Step("glow", "glow of lamps and lit windows by night", _add_glow, ("weather",)),
    Step("shutter", "motion blur", _blur_by_motion, ("weather", "motion", "depth"), motion_blur.compile_kernels),
    Step("exposure", "exposure, white balance and tone curve of a camera", _expose, ("weather",)),
    Step("lens", "blur and bloom of a lens", _blur_by_lens, ("weather",)),
    Step("noise", "noise of a sensor by night", _add_noise, ("weather",)),
)  # fmt: skip

STEPS = (*ON_PAST, *ON_GENERATED, *ON_IMAGE)
NAMES = tuple(step.name for step in STEPS)


def run_steps(
    image: np.ndarray, scene: Scene, steps: tuple[Step, ...] = ON_IMAGE, names: Collection[str] = NAMES
) -> None:
    """Run those of ``steps`` in ``names`` that have what they need on ``image`` u8 (H, W, 3), RGB, in place."""
    has = scene.has
    for step in steps:
        if step.run is not None and step.name in names and has.issuperset(step.needs):
            step.run(image, scene)


def compile_kernels() -> None:
    """Compile what a frame would wait for."""
    for step in STEPS:
        step.compile()
