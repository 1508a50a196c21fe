"""The first drive: one thing after the other, each until it is done; Enter skips the rest."""

from __future__ import annotations

from dataclasses import dataclass

import pygame

from bridge.messages import Ego
from neuralsim.window.drawing import BLUE, BODY, MARGIN, SMALL, SOFT, TRACK, WHITE, Pen

_LAST = 9.0  # s that the last step is shown


@dataclass(frozen=True)
class _Step:
    keys: tuple[str, ...]
    words: str


_STEPS = (
    _Step(("W",), "Hold it to drive off"),
    _Step(("A", "D"), "Steer: as far as the speed allows"),
    _Step(("S",), "Brake until you stand"),
    _Step(("P", "M", "Esc"), "Autopilot, map, menu. H has all keys. Have a good trip!"),
)


#: Instead of what the driver should do while the autopilot does it.
_DRIVEN = _Step(("P",), "The autopilot drives. P, or any pedal: you do")


class Tutorial:
    """``active`` until all is done or it was skipped."""

    def __init__(self, active: bool) -> None:
        self.active = active
        self.step = 0
        self._since = 0.0  # s of simulated time at which the last step began
        self._driven = False  # by the autopilot

    def skip(self) -> None:
        """Enough of it."""
        self.active = False

    def frame(self, ego: Ego, time: float) -> None:
        """Go on where the ego shows that a step is done; ``time``: simulated, s."""
        if not self.active:
            return
        driving = not ego.autopilot
        self._driven = ego.autopilot
        done = (
            driving and ego.speed > 2.5,
            driving and abs(ego.steer) > 0.1,
            driving and ego.brake > 0.3 and abs(ego.speed) < 0.5,
            self._since > 0.0 and time - self._since > _LAST,
        )[self.step]
        if not done:
            return
        self.step += 1
        self._since = time
        if self.step == len(_STEPS):
            self.active = False

    @property
    def card(self) -> tuple[tuple[str, ...], str]:
        """Keys, and what they do: of this step, or while the autopilot drives how to take over."""
        step = _DRIVEN if self._driven and self.step < len(_STEPS) - 1 else _STEPS[self.step]
        return step.keys, step.words

    def draw(self, target: pygame.Surface, pen: Pen) -> None:
        """A card at the bottom: keys, what they do, how far it is, how to leave it."""
        if not self.active:
            return
        px, (keys, said) = pen.px, self.card
        caps = sum(pen.key_width(key) + px(5) for key in keys)
        room = pen.view.width - 2 * px(MARGIN) - px(28) - caps
        lines = pen.wrapped(said, BODY, WHITE, max(room, px(120)))
        skip = pen.text("Enter: skip", SMALL, SOFT)
        words = max(line.get_width() for line in lines)
        width = max(caps + px(8) + words, skip.get_width() + px(80)) + px(28)
        tall = sum(line.get_height() for line in lines)
        box = pygame.Rect(0, 0, width, tall + skip.get_height() + px(28))
        left = pen.view.centerx - width // 2
        lowest = pen.view.bottom - px(MARGIN) - box.height
        pen.free(box, [*((left, y) for y in range(lowest, pen.view.centery, -px(4))), (left, lowest)])
        pen.plate(target, box, 12, 215)
        x, y = box.left + px(14), box.top + px(10)
        for key in keys:
            x += pen.key(target, key, x, y) + px(5)
        x += px(8)
        for line in lines:
            target.blit(line, (x, y + px(2)))
            y += line.get_height()
        y = box.bottom - px(8) - skip.get_height()
        target.blit(skip, (box.right - px(14) - skip.get_width(), y))
        for number in range(len(_STEPS)):
            dot = pen.paint.disc(px(4), BLUE if number <= self.step else TRACK)
            target.blit(dot, (box.left + px(14) + number * px(14), y + skip.get_height() // 2 - px(4)))
