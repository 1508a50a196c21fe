"""The tutorial: one step after the other, each until it is done; Enter skips the rest."""

from dataclasses import dataclass

import pygame

from bridge.messages import Ego
from neuralsim.window.drawing import BLUE, BODY, MARGIN, SMALL, SOFT, TRACK, WHITE, Pen

_LAST = 9.0  # s for which the last step is shown


@dataclass(frozen=True)
class _Step:
    keys: tuple[str, ...]
    text: str


_STEPS = (
    _Step(("W",), "Hold to accelerate"),
    _Step(("A", "D"), "Hold to steer left or right"),
    _Step(("S",), "Hold to brake to a standstill"),
    _Step(("P", "M", "Esc"), "Autopilot, map, menu. Press H for all keys. Enjoy the drive!"),
)
#: Replaces a step while the autopilot is driving.
_AUTOPILOT = _Step(("P",), "The autopilot is driving. Press P or any pedal to take over")


class Tutorial:
    """The steps, ``active`` until they are done or skipped."""

    def __init__(self, active: bool) -> None:
        self.active = active
        self.step = 0
        self._since = 0.0  # s of simulated time at which the current step began
        self._is_autopilot = False

    def skip(self) -> None:
        """End the tutorial."""
        self.active = False

    def update(self, ego: Ego, time: float) -> None:
        """Advance when the ego's state shows that the step is done; ``time`` is simulated, s."""
        if not self.active:
            return
        driving = not ego.autopilot
        self._is_autopilot = ego.autopilot
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
        """Keys and text of the step, or how to take over while the autopilot is driving."""
        step = _AUTOPILOT if self._is_autopilot and self.step < len(_STEPS) - 1 else _STEPS[self.step]
        return step.keys, step.text

    def draw(self, target: pygame.Surface, pen: Pen) -> None:
        """Draw a card at the bottom: the keys, the text, the progress and how to skip."""
        if not self.active:
            return
        px, (keys, text) = pen.px, self.card
        caps = sum(pen.key_width(key) + px(5) for key in keys)
        room = pen.view.width - 2 * px(MARGIN) - px(28) - caps
        lines = pen.wrapped(text, BODY, WHITE, max(room, px(120)))
        skip = pen.text("Enter to skip", SMALL, SOFT)
        widest = max(line.get_width() for line in lines)
        width = max(caps + px(8) + widest, skip.get_width() + px(80)) + px(28)
        tall = sum(line.get_height() for line in lines)
        box = pygame.Rect(0, 0, width, tall + skip.get_height() + px(28))
        left = pen.view.centerx - width // 2
        lowest = pen.view.bottom - px(MARGIN) - box.height
        pen.place(box, [*((left, y) for y in range(lowest, pen.view.centery, -px(4))), (left, lowest)])
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
            dot = pen.surfaces.disc(px(4), BLUE if number <= self.step else TRACK)
            target.blit(dot, (box.left + px(14) + number * px(14), y + skip.get_height() // 2 - px(4)))
