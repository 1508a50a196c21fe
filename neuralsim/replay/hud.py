"""What a replay shows over its picture: the time line, where one is on it, how fast it goes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pygame

from neuralsim.window.drawing import AMBER, BLUE, RED, SOFT, WHITE
from neuralsim.window.hud import Hud, HudState
from neuralsim.window.inputs import VIEW_KEYS

_HEIGHT = 54  # of the time line's plate, before scaling
_NARROW = 900  # pixels below which the time line is above the instruments
_BESIDE = 14 + 322 + 14  # pixels that the instruments take, before scaling

#: What the help overlay shows, as ``neuralsim.window.inputs.HELP``.
HELP: tuple[tuple[str, tuple[tuple[tuple[str, ...], str], ...]], ...] = (
    (
        "Time",
        (
            (("Space",), "play / pause"),
            (("Left", "Right"), "one frame"),
            (("Shift", "Left"), "one second"),
            (("Up", "Down"), "faster, slower"),
            (("Home", "End"), "beginning, end"),
            (("Mouse",), "click or drag the time line"),
        ),
    ),
    (
        "Views",
        (
            *VIEW_KEYS,
            (("6",), "split; drag the divider"),
        ),
    ),
    (
        "Painting",
        (
            (("M",), "next model"),
            (("N",), "next model to compare with"),
            (("S",), "next style"),
            (("E",), "edit: trees for buildings ..."),
            (("V",), "next camera"),
        ),
    ),
    (
        "Session",
        (
            (("D",), "drive on from here"),
            (("F12",), "screenshot"),
            (("Tab",), "hide the HUD"),
            (("H", "F1"), "this help"),
            (("Esc",), "quit"),
        ),
    ),
)


@dataclass
class Timeline:
    """Where the replay is. Marks are (s, what) of what happened: "collision" or "lane"."""

    seconds: float = 0.0
    length: float = 0.0
    frame: int = 0
    frames: int = 0
    speed: float = 1.0
    playing: bool = False
    paint_ms: float = 0.0
    marks: list[tuple[float, str]] = field(default_factory=list)


class ReplayHud(Hud):
    """The driving HUD with a time line instead of the measurement."""

    keys = HELP

    def __init__(self) -> None:
        super().__init__()
        self.timeline = Timeline()
        self.track = pygame.Rect(0, 0, 1, 1)  # where the time line was drawn last

    def draw(self, target: pygame.Surface, view: pygame.Rect, state: HudState) -> None:
        super().draw(target, view, state)
        if self.visible and not self.help:
            self._draw_timeline(target, view)

    def _draw_notices(self, target: pygame.Surface, view: pygame.Rect) -> None:
        """Above the time line."""
        height = view.height - (self._px(_HEIGHT + 14) if self.visible else 0)
        super()._draw_notices(target, pygame.Rect(view.left, view.top, view.width, height))

    def at(self, x: int) -> float:
        """Seconds under a pixel column of the time line."""
        share = (x - self.track.left) / max(self.track.width, 1)
        return min(max(share, 0.0), 1.0) * self.timeline.length

    def _measurement(self, target: pygame.Surface, view: pygame.Rect, state: HudState) -> None:
        """Frame, speed and what painting takes."""
        line, px = self.timeline, self._px
        rows = (
            ("frame", f"{line.frame} of {line.frames}"),
            ("speed", f"{line.speed:g} x"),
            ("painting", f"{line.paint_ms:.0f} ms"),
        )
        box = pygame.Rect(0, 0, px(210), px(24) + px(22) * len(rows))
        box.topright = (view.right - px(14), view.top + px(14))
        self._plate(target, box)
        y = box.top + px(13)
        for name, value in rows:
            target.blit(self._text(name, 20, SOFT), (box.left + px(14), y))
            text = self._text(value, 20, WHITE)
            target.blit(text, (box.right - px(14) - text.get_width(), y))
            y += px(22)

    def _draw_timeline(self, target: pygame.Surface, view: pygame.Rect) -> None:
        line, px = self.timeline, self._px
        narrow = view.width < px(_NARROW)
        left = view.left + (px(14) if narrow else px(_BESIDE))
        bottom = view.bottom - px(14) - (px(98 + 10) if narrow else 0)
        box = pygame.Rect(left, bottom - px(_HEIGHT), max(view.right - px(14) - left, px(120)), px(_HEIGHT))
        self._plate(target, box)
        now = self._text(_clock(line.seconds), 20, WHITE)
        whole = self._text(_clock(line.length), 20, SOFT)
        y = box.top + px(9)
        target.blit(now, (box.left + px(14), y))
        target.blit(whole, (box.right - px(14) - whole.get_width(), y))
        word = "playing" if line.playing else "paused"
        state = self._text(word, 20, SOFT if line.playing else AMBER)
        target.blit(state, (box.centerx - state.get_width() // 2, y))
        self.track = pygame.Rect(box.left + px(14), box.bottom - px(19), box.width - px(28), px(7))
        share = line.seconds / line.length if line.length else 0.0
        self._bar(target, self.track, 0.0, share, BLUE)
        for seconds, what in line.marks:
            x = self.track.left + round(self.track.width * seconds / line.length) if line.length else self.track.left
            colour = RED if what == "collision" else AMBER
            target.fill(colour, (x - px(1), self.track.top - px(3), px(3), self.track.height + px(6)))
        knob = self._paint.disc(px(7), WHITE)
        target.blit(knob, knob.get_rect(center=(self.track.left + round(self.track.width * share), self.track.centery)))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(seconds, 0.0), 60.0)
    return f"{int(minutes):d}:{rest:05.2f}"
