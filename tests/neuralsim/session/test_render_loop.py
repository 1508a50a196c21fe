"""The render loop: images are postprocessed in order while the next frame is rendered; errors end the drive."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from helpers.recordings import numbered_frame

from bridge.link.transport import FrameSubscriber
from bridge.messages import MIRRORS, Camera, Frame, MirrorName, RearView
from bridge.tags import Tag
from neuralsim.renderer.frame_renderer import FrameInputs, GeneratedImage
from neuralsim.renderer.views import tag_image
from neuralsim.session.options import DriveOptions
from neuralsim.session.render_loop import RenderLoop
from neuralsim.session.tag_renderer import TagRenderer

FRAMES = 6


class Generator(TagRenderer):
    """A renderer that logs when each frame is generated and postprocessed, which takes a while."""

    def __init__(self, seconds: float, failing: int = -1) -> None:
        self.seconds, self.failing = seconds, failing
        self.log: list[tuple[str, int]] = []

    def generate(self, frame: Frame) -> GeneratedImage:
        self.log.append(("generated", frame.sequence))
        return GeneratedImage(np.full((2, 2, 3), frame.sequence, np.uint8), FrameInputs(frame, {}))

    def postprocess(self, generated: GeneratedImage) -> np.ndarray:
        time.sleep(self.seconds)
        sequence = generated.inputs.frame.sequence
        if sequence == self.failing:
            raise RuntimeError("no memory left for postprocessing")
        self.log.append(("postprocessed", sequence))
        return generated.rgb


class Loop(RenderLoop):
    """Renders frames from a list."""

    def __init__(self, renderer: Generator, **options: Any) -> None:
        super().__init__(DriveOptions(**options), None, lambda: None)
        self.renderer, self.frames = renderer, [numbered_frame(k)[0] for k in range(FRAMES)]

    def run(self) -> None:
        try:
            subscriber = SimpleNamespace(recv=self._next, malformed=0)
            self._render(cast(FrameSubscriber, subscriber), self.renderer)
        except RuntimeError as error:
            self.error = error

    def _next(self, timeout: float) -> Frame | None:
        if not self.frames:
            return None
        frame = self.frames.pop(0)
        frame.stamps["received"] = time.monotonic_ns()
        time.sleep(0.02)  # the rendering itself
        return frame

    def _have_worked(self) -> bool:
        return True

    def _scenario_over(self) -> bool:
        return not self.frames


def rendered(loop: Loop) -> list[int]:
    """Return the numbers of the frames that were handed over."""
    loop.start()
    numbers = []
    while True:
        result = loop.take(2.0)
        if result is None:
            loop.join(2.0)
            return numbers
        assert (result.neural == result.frame.sequence).all()
        assert result.frame.stamps["rendered"] > result.frame.stamps["received"]
        numbers.append(result.frame.sequence)


def test_an_image_is_postprocessed_while_the_next_frame_is_generated() -> None:
    renderer = Generator(seconds=0.03)
    assert rendered(Loop(renderer)) == [1, 2, 3, 4, 5], (
        "in order, including the last; the first was used for the warm-up"
    )
    assert renderer.log.index(("generated", 3)) < renderer.log.index(("postprocessed", 2))
    assert renderer.log.index(("postprocessed", 2)) < renderer.log.index(("postprocessed", 3))


@pytest.mark.parametrize(("guided_from", "frames", "first"), [(3, 6, 3), (99, 40, 31)])
def test_the_first_image_has_the_guide_unless_none_comes(guided_from: int, frames: int, first: int) -> None:
    renderer = Generator(seconds=0.0)
    renderer.follows_simulator_image = True
    loop = Loop(renderer)
    loop.frames = [numbered_frame(k)[0] for k in range(frames)]
    for frame in loop.frames[guided_from:]:
        frame.planes["rgb_half"] = np.zeros((1, 1, 3), np.uint8)
    assert rendered(loop) == list(range(first, frames)), "a window asks for it once it knows the model"


def test_in_lockstep_each_image_is_postprocessed_before_the_next_frame() -> None:
    renderer = Generator(seconds=0.005)
    assert rendered(Loop(renderer, headless=True)) == list(range(FRAMES))
    order = [(what, number) for number in range(FRAMES) for what in ("generated", "postprocessed")]
    assert renderer.log[-2 * FRAMES :] == order


@pytest.mark.parametrize("headless", [False, True])
def test_an_error_in_postprocessing_ends_the_drive(headless: bool) -> None:
    loop = Loop(Generator(seconds=0.001, failing=3), headless=headless)
    assert rendered(loop)[-1] == 2
    assert "no memory left" in str(loop.error)


@pytest.mark.parametrize("name", MIRRORS)
def test_a_mirror_is_rendered_flipped_and_goes_with_a_later_image(name: MirrorName) -> None:
    loop = Loop(Generator(seconds=0.001), model="tags")
    width, height = MIRRORS[name]
    tag = np.full((height, width), Tag.ROAD, np.uint8)
    tag[:, : width // 3] = Tag.SKY  # at the left of the camera
    for frame in loop.frames[:-2]:
        frame.mirror, frame.planes["mirror_tag"] = RearView(Camera(width, height, 48.0, np.eye(4)), name=name), tag
    loop.start()
    images = []
    while (result := loop.take(2.0)) is not None:
        images.append(result.mirrors)
    shown = [image for image in images if image]
    assert shown
    assert not images[-1], "it has been off for a frame"
    expected = tag_image(tag)[:, ::-1]
    assert all(image.keys() == {name} and (image[name] == expected).all() for image in shown)
