"""The HUD of a replay: the timeline, the position on it, the speed."""

from dataclasses import dataclass, field

import pygame

from neuralsim.drive.interactive_drive import HudState
from neuralsim.drive.key_bindings import VIEW_KEYS
from neuralsim.recording.drive_track import DriveTrack
from neuralsim.replay.graphs import MARKS, Graphs
from neuralsim.window.drawing import AMBER, BLUE, MARGIN, SMALL, SOFT, WHITE, Colour
from neuralsim.window.hud import Hud

_NARROW = 420  # px, before scaling: least width of a timeline next to the instruments; else it is above them

#: Content of the help overlay, as ``neuralsim.drive.key_bindings.HELP``.
HELP: tuple[tuple[str, tuple[tuple[tuple[str, ...], str], ...]], ...] = (
    (
        "Time",
        (
            (("Space",), "play / pause"),
            (("Left", "Right"), "one frame"),
            (("Shift", "Left"), "one second"),
            (("Up", "Down"), "faster, slower"),
            (("Home", "End"), "beginning, end"),
            (("Mouse",), "click or drag the timeline"),
            (("J", "Shift+J"), "next, previous event"),
            (("G",), "graphs: speed, pedals, steering"),
            (("K",), "ghost of --ghost on / off"),
        ),
    ),
    ("Views", (*VIEW_KEYS, (("6",), "split; drag the divider"))),
    (
        "Rendering",
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
            (("F12",), "screenshot without HUD"),
            (("Tab",), "hide the HUD"),
            (("F3",), "full HUD; or click on it"),
            (("F11", "Alt+Enter"), "fullscreen"),
            (("H", "F1"), "this help"),
            (("Esc",), "quit"),
        ),
    ),
)


#: The first keys to know, for the loading screen.
FIRST_KEYS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("Space",), "play / pause"),
    (("Left", "Right"), "one frame"),
    (("M",), "next model"),
    (("H",), "all keys"),
    (("Esc",), "quit"),
)


@dataclass
class Timeline:
    """Position and speed of the replay; marks are events (s, kind), holes parts without frames (s, s)."""

    seconds: float = 0.0
    length: float = 0.0
    frame: int = 0
    frames: int = 0
    speed: float = 1.0
    playing: bool = False
    render_ms: float = 0.0
    marks: list[tuple[float, str]] = field(default_factory=list)
    holes: list[tuple[float, float]] = field(default_factory=list)
    track: DriveTrack | None = None


class ReplayHud(Hud):
    """The driving HUD with a timeline instead of the measurement."""

    keys = HELP

    def __init__(self) -> None:
        super().__init__()
        self.timeline = Timeline()
        self.loading: tuple[str, float] = ("", 0.0)  # model being loaded, and seconds since then
        self.graphs = Graphs()
        self.track = pygame.Rect(0, 0, 1, 1)  # where the timeline was drawn last

    def badges(self, state: HudState) -> list[tuple[str, Colour, bool]]:
        """Return the badges of a drive, and the model being loaded."""
        model, seconds = self.loading
        return [*super().badges(state), *([(f"LOADING {model}  {seconds:.0f} s", BLUE, True)] if model else [])]

    def draw_notices(self, target: pygame.Surface) -> None:
        """Draw the notices above the timeline, which is shown whenever the HUD is."""
        if self.visible:
            self._draw_timeline(target)
        super().draw_notices(target)

    def at(self, x: int) -> float:
        """Return the seconds at a pixel column of the timeline."""
        share = (x - self.track.left) / max(self.track.width, 1)
        return min(max(share, 0.0), 1.0) * self.timeline.length

    def clicked(self, at: tuple[int, int]) -> bool:
        """Ignore clicks on the timeline, which is no button."""
        return not self.track.inflate(12, 30).collidepoint(at) and super().clicked(at)

    def draw_measurement(self, target: pygame.Surface, state: HudState) -> None:
        """Draw frame, speed and, in the full HUD, the render time."""
        line, pen = self.timeline, self.pen
        px = pen.px
        rows = [("frame", f"{line.frame} of {line.frames}"), ("speed", f"{line.speed:g} x")]
        if self.full:
            rows.append(("render", f"{line.render_ms:.0f} ms"))
        texts = [(pen.text(name, SMALL, SOFT), pen.text(value, SMALL, WHITE)) for name, value in rows]
        width = max(name.get_width() + value.get_width() for name, value in texts) + px(40)
        height = texts[0][0].get_height() + px(4)
        box = pygame.Rect(0, 0, width, height * len(rows) + px(12))
        box.topright = (pen.view.right - px(MARGIN), pen.view.top + px(MARGIN))
        pen.plate(target, box, 8, 120)
        y = box.top + px(8)
        for name, value in texts:
            target.blit(name, (box.left + px(10), y))
            target.blit(value, (box.right - px(10) - value.get_width(), y))
            y += height

    def _draw_timeline(self, target: pygame.Surface) -> None:
        """Draw the timeline along the bottom, next to the instruments if there is room, else above them."""
        line, pen = self.timeline, self.pen
        px, view = pen.px, pen.view
        now, total = pen.text(_clock(line.seconds), SMALL, WHITE), pen.text(_clock(line.length), SMALL, SOFT)
        height = 2 * now.get_height() + px(36)
        instruments = self.instruments
        right, bottom = instruments.left - px(MARGIN), view.bottom - px(MARGIN)
        if right - view.left < px(_NARROW):
            right, bottom = view.right - px(MARGIN), instruments.top - px(8)
        left = view.left + px(MARGIN)
        box = pygame.Rect(left, bottom - height, right - left, height)
        pen.plate(target, box)
        y = box.top + px(8)
        hint = self._hint(box.width - px(22))
        target.blit(hint, hint.get_rect(midtop=(box.centerx, y)))
        y += hint.get_height() + px(6)
        target.blit(now, (box.left + px(11), y))
        target.blit(total, (box.right - px(11) - total.get_width(), y))
        label = "playing" if line.playing else "paused"
        state = pen.text(label, SMALL, SOFT if line.playing else AMBER)
        target.blit(state, (box.centerx - state.get_width() // 2, y))
        self.track = pygame.Rect(box.left + px(11), box.bottom - px(15), box.width - px(22), px(6))
        share = line.seconds / line.length if line.length else 0.0
        pen.bar(target, self.track, 0.0, share, BLUE)
        for begin, end in line.holes if line.length else ():
            x, until = (self.track.left + round(self.track.width * s / line.length) for s in (begin, end))
            target.fill(MARKS["hole"], (x, self.track.top, max(until - x, px(2)), self.track.height))
        for seconds, kind in line.marks:
            x = self.track.left + round(self.track.width * seconds / line.length) if line.length else self.track.left
            target.fill(MARKS.get(kind, AMBER), (x - px(1), self.track.top - px(3), px(3), self.track.height + px(6)))
        if line.track is not None:
            self.graphs.draw(target, pen, box, line.track, share)
        knob = pen.surfaces.disc(px(6), WHITE)
        target.blit(knob, knob.get_rect(center=(self.track.left + round(self.track.width * share), self.track.centery)))

    def _hint(self, width: int) -> pygame.Surface:
        """Return the first keys to know, as many as fit into ``width`` px; the last ones lead to all others."""
        texts = [f"{', '.join(keys)}: {meaning}" for keys, meaning in FIRST_KEYS]
        while len(texts) > 1 and self.pen.text("   ".join(texts), SMALL, SOFT).get_width() > width:
            texts.pop(0)
        return self.pen.text("   ".join(texts), SMALL, SOFT)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(seconds, 0.0), 60.0)
    return f"{int(minutes):d}:{rest:05.2f}"
