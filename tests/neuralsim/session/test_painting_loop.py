"""The loop that paints: pictures are finished while the next is painted, in order; what fails in it ends the drive."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from helpers.recordings import picture_frame

from bridge.link.transport import FrameSubscriber
from bridge.messages import Frame
from neuralsim.session.options import DriveOptions
from neuralsim.session.painting_loop import PaintingLoop
from neuralsim.session.tag_painter import TagRenderer

FRAMES = 6


class Generator(TagRenderer):
    """Says when each frame was painted and when its picture was finished, which takes a while."""

    def __init__(self, finishing: float, failing: int = -1) -> None:
        self.finishing, self.failing = finishing, failing
        self.said: list[tuple[str, int]] = []

    def paint(self, frame: Frame) -> Callable[[], np.ndarray]:
        self.said.append(("painted", frame.sequence))

        def finish() -> np.ndarray:
            time.sleep(self.finishing)
            if frame.sequence == self.failing:
                raise RuntimeError("no memory left to finish in")
            self.said.append(("finished", frame.sequence))
            return np.full((2, 2, 3), frame.sequence, np.uint8)

        return finish


class Loop(PaintingLoop):
    """Paints frames from a list."""

    def __init__(self, painter: Generator, **options: Any) -> None:
        super().__init__(DriveOptions(**options), None, lambda: None)
        self.painter, self.frames = painter, [picture_frame(k)[0] for k in range(FRAMES)]

    def run(self) -> None:
        try:
            subscriber = SimpleNamespace(recv=self._next, malformed=0)
            self._paint(cast(FrameSubscriber, subscriber), self.painter)
        except RuntimeError as error:
            self.error = error

    def _next(self, timeout: float) -> Frame | None:
        if not self.frames:
            return None
        frame = self.frames.pop(0)
        frame.stamps["received"] = time.monotonic_ns()
        time.sleep(0.02)  # the painting itself
        return frame

    def _have_worked(self) -> bool:
        return True

    def _scenario_over(self) -> bool:
        return not self.frames


def painted(loop: Loop) -> list[int]:
    """Numbers of the frames whose pictures were handed over."""
    loop.start()
    got = []
    while True:
        picture = loop.take(2.0)
        if picture is None:
            loop.join(2.0)
            return got
        assert (picture.neural == picture.frame.sequence).all()
        assert picture.frame.stamps["rendered"] > picture.frame.stamps["received"]
        got.append(picture.frame.sequence)


def test_a_picture_is_finished_while_the_next_frame_is_painted() -> None:
    painter = Generator(finishing=0.03)
    assert painted(Loop(painter)) == [1, 2, 3, 4, 5], "in order, the last one too; the first grew old in warming up"
    assert painter.said.index(("painted", 3)) < painter.said.index(("finished", 2))
    assert painter.said.index(("finished", 2)) < painter.said.index(("finished", 3))


def test_in_lock_step_each_picture_is_finished_before_the_next_frame() -> None:
    painter = Generator(finishing=0.005)
    assert painted(Loop(painter, headless=True)) == list(range(FRAMES))
    order = [(what, number) for number in range(FRAMES) for what in ("painted", "finished")]
    assert painter.said[-2 * FRAMES :] == order


@pytest.mark.parametrize("headless", [False, True])
def test_what_fails_while_finishing_ends_the_drive(headless: bool) -> None:
    loop = Loop(Generator(finishing=0.001, failing=3), headless=headless)
    assert painted(loop)[-1] == 2
    assert "no memory left" in str(loop.error)
