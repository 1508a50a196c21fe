"""The head-up display: what the driver reads, drawn over the picture in under a millisecond.

Layout (scaled with the window): top left what is looked at, top centre the badges, top right the measurement, bottom
left the instruments, bottom centre the notices.
"""

from __future__ import annotations

import textwrap
import time
from dataclasses import dataclass, field

import pygame

from bridge.messages import Ego
from neuralsim.window.drawing import AMBER, BLUE, DARK, GREEN, RED, SOFT, TRACK, WHITE, Colour, Paint
from neuralsim.window.inputs import HELP

#: Stages in the colours of the latency bar.
_STAGES: dict[str, Colour] = {
    "simulate": (86, 156, 255),
    "pack": (122, 214, 255),
    "transport": (170, 140, 250),
    "render": (72, 207, 142),
    "display": (250, 188, 64),
}
_EDGE = ((255, 255, 255), 34)
_ALPHA = 168
_GRAPH_TOP = 66.0  # ms that the frame graph reaches up to
_GRAPH_LINES = ((16.7, "60"), (33.3, "30"), (50.0, "20"))  # ms, frames per second
_NOTICE = 2.6  # seconds a notice stays
_FADE = 0.6  # of which it fades
_WARNING = 48  # letters in a line of it


@dataclass
class HudState:
    """What the HUD shows; the loop fills it in before each drawing."""

    ego: Ego = field(default_factory=Ego)
    place: str = ""  # town and weather
    painted: str = ""  # style and edit that somebody chose
    model: str = ""
    runtime: str = ""
    warning: str = ""  # what about the runtime is not as it was meant to be
    view: str = "Neural"
    fps: float = 0.0  # distinct neural frames
    displayed_fps: float = 0.0  # with the late-warped ones
    latency: float = 0.0  # ms, capture to display, median
    latency_p95: float = 0.0  # ms
    photon: float = 0.0  # ms, input to photon, median
    warping: bool = False  # late warp is on
    late_warp: float = 0.0  # ms that one takes, median
    stages: dict[str, float] = field(default_factory=dict)  # ms
    graph: list[tuple[float, ...]] = field(default_factory=list)  # ms of each stage, of the newest frames, oldest first
    frames: int = 0
    skipped: int = 0
    paused: bool = False
    recording: float | None = None  # seconds recorded so far
    reverse: bool = False
    device: str = ""  # gamepad or wheel


class Hud:
    """Draws :class:`HudState` and notices onto the window's surface."""

    keys = HELP  # what the help overlay shows

    def __init__(self) -> None:
        self.visible = True
        self.help = False
        self.graph = False  # of the frames' stages
        self._paint = Paint()
        self._notices: list[tuple[str, float]] = []
        self._graphed: tuple[list[tuple[float, ...]], pygame.Surface] | None = None
        self._scale = 1.0

    def notify(self, text: str) -> None:
        """Show ``text`` for a moment."""
        self._notices = [notice for notice in self._notices if notice[0] != text][-2:]
        self._notices.append((text, time.monotonic()))

    def draw(self, target: pygame.Surface, view: pygame.Rect, state: HudState) -> None:
        """Draw everything onto ``target`` within ``view``, the rectangle of the picture."""
        self._scale = min(max(min(view.height / 512.0, view.width / 900.0), 0.55), 3.0)
        if self.help:
            self._help(target, view)
            return
        if self.visible:
            self._place(target, view, state)
            self._measurement(target, view, state)
            self._instruments(target, view, state)
        if self.graph:
            self._frame_graph(target, view, state)
        if self.visible or state.recording is not None or state.paused:
            self._badges(target, view, state)
        self._draw_notices(target, view)

    def loading(self, target: pygame.Surface, lines: list[tuple[str, bool]], seconds: float) -> None:
        """The picture before the first frame: the name, and what is being waited for (text, done)."""
        view = target.get_rect()
        self._scale = min(max(min(view.height / 512.0, view.width / 900.0), 0.55), 3.0)
        target.fill((14, 18, 25))
        x, y = view.centerx - self._px(150), view.centery - self._px(84)
        title = self._paint.text("NeuralSim", self._px(62), WHITE)
        target.blit(title, (x, y))
        y += title.get_height() + self._px(16)
        for text, done in lines:
            radius = self._px(5)
            if done:
                target.blit(self._paint.disc(radius, GREEN), (x + self._px(2), y + self._px(5)))
            else:
                pulse = abs((seconds * 1.4) % 2.0 - 1.0)
                colour = _mix(TRACK, BLUE, round(pulse * 8) / 8)
                target.blit(self._paint.disc(radius, colour), (x + self._px(2), y + self._px(5)))
            target.blit(self._text(text, 24, SOFT if done else WHITE), (x + self._px(24), y))
            y += self._px(28)

    def _px(self, size: float) -> int:
        return max(round(size * self._scale), 1)

    def _text(self, text: str, size: float, colour: Colour) -> pygame.Surface:
        return self._paint.text(text, self._px(size), colour)

    def _plate(self, target: pygame.Surface, box: pygame.Rect, radius: float = 12.0, alpha: int = _ALPHA) -> None:
        target.blit(self._paint.plate(box.size, self._px(radius), DARK, alpha, _EDGE), box)

    def _place(self, target: pygame.Surface, view: pygame.Rect, state: HudState) -> None:
        """What is looked at, by which model, where."""
        px = self._px
        second = f"{state.model}  |  {state.runtime}" if state.runtime else state.model
        lines = [(state.view, 27, WHITE), (second, 20, SOFT), (state.place, 20, SOFT)]
        if state.painted:
            lines.append((state.painted, 20, BLUE))
        if state.device:
            lines.append((state.device, 20, SOFT))
        lines += [(line, 18, AMBER) for line in textwrap.wrap(state.warning, _WARNING, max_lines=6)]
        texts = [self._text(text, size, colour) for text, size, colour in lines if text]
        width = max(text.get_width() for text in texts) + px(28)
        height = sum(text.get_height() for text in texts) + px(5) * (len(texts) - 1) + px(24)
        box = pygame.Rect(view.left + px(14), view.top + px(14), width, height)
        self._plate(target, box)
        y = box.top + px(12)
        for text in texts:
            target.blit(text, (box.left + px(14), y))
            y += text.get_height() + px(5)

    def _measurement(self, target: pygame.Surface, view: pygame.Rect, state: HudState) -> None:
        """Rate, latency and its stages, frame counters."""
        stages, px = state.stages, self._px
        warp = f"{state.displayed_fps:.0f} FPS, {state.late_warp:.1f} ms each" if state.warping else "off"
        rows = [(f"frame {state.frames}", f"{state.skipped} skipped")]
        if view.height >= px(480):  # in small windows the street matters more
            rows = [
                ("latency, p95", f"{state.latency_p95:.0f} ms"),
                ("input to photon", f"{state.photon:.0f} ms"),
                ("late warp", warp),
                *rows,
            ]
        box = pygame.Rect(0, 0, px(244), px(178 + 18 * len(rows)))
        box.topright = (view.right - px(14), view.top + px(14))
        self._plate(target, box)
        left, right, y = box.left + px(14), box.right - px(14), box.top + px(12)
        self._figure(target, left, y, f"{state.fps:.1f}", "FPS")
        self._figure(target, right, y, f"{state.latency:.0f}", "ms latency", from_right=True)
        y += px(36)
        total = max(sum(stages.values()), 1e-6)
        x = float(left)
        for stage, colour in _STAGES.items():
            width = (right - left) * stages.get(stage, 0.0) / total
            target.fill(colour, (round(x), y, max(round(x + width) - round(x), 0), px(7)))
            x += width
        y += px(17)
        for stage, colour in _STAGES.items():
            target.blit(self._paint.disc(px(4), colour), (left, y + px(4)))
            target.blit(self._text(stage, 19, SOFT), (left + px(16), y))
            value = self._text(f"{stages.get(stage, 0.0):.1f} ms", 19, WHITE)
            target.blit(value, (right - value.get_width(), y))
            y += px(18)
        y += px(5)
        target.fill(TRACK, (left, y, right - left, 1))
        y += px(7)
        for name, figure in rows:
            target.blit(self._text(name, 19, SOFT), (left, y))
            value = self._text(figure, 19, SOFT)
            target.blit(value, (right - value.get_width(), y))
            y += px(18)

    def _frame_graph(self, target: pygame.Surface, view: pygame.Rect, state: HudState) -> None:
        """A bar for each of the newest frames, its stages upon each other, and what 60, 30, and 20 FPS allow."""
        if self._graphed is None or self._graphed[0] is not state.graph:
            self._graphed = state.graph, self._draw_graph(state.graph)
        graph = self._graphed[1]
        target.blit(graph, graph.get_rect(bottomright=(view.right - self._px(14), view.bottom - self._px(14))))

    def _draw_graph(self, frames: list[tuple[float, ...]]) -> pygame.Surface:
        px = self._px
        bar, height = px(2.4), px(132)
        width = bar * 120
        graph = self._paint.plate((width + px(60), height + px(24)), px(12), DARK, 205, _EDGE).copy()
        left, base = px(12), height + px(12)
        colours = list(_STAGES.values())
        for n, stages in enumerate(frames[-120:], 120 - min(len(frames), 120)):
            reached = 0.0
            for colour, ms in zip(colours, stages, strict=False):
                bottom, reached = round(reached * height / _GRAPH_TOP), min(reached + ms, _GRAPH_TOP)
                top = round(reached * height / _GRAPH_TOP)
                graph.fill(colour, (left + n * bar, base - top, bar, top - bottom))
        for ms, _ in _GRAPH_LINES:
            graph.fill(WHITE, (left, base - round(ms * height / _GRAPH_TOP), width, 1))
        for ms, rate in _GRAPH_LINES:
            label = self._text(f"{rate} FPS", 15, SOFT)
            graph.blit(label, (left + width + px(4), base - round(ms * height / _GRAPH_TOP) - label.get_height() // 2))
        return graph

    def _figure(
        self, target: pygame.Surface, x: int, y: int, value: str, unit: str, *, from_right: bool = False
    ) -> None:
        """A large figure and its unit on one base line, beginning (or ending) at ``x``."""
        large, small, gap = self._text(value, 36, WHITE), self._text(unit, 19, SOFT), self._px(5)
        if from_right:
            x -= large.get_width() + gap + small.get_width()
        target.blit(large, (x, y))
        target.blit(small, (x + large.get_width() + gap, y + self._px(10)))

    def _instruments(self, target: pygame.Surface, view: pygame.Rect, state: HudState) -> None:
        """Speed, gear, pedals, steering."""
        px, ego = self._px, state.ego
        box = pygame.Rect(0, 0, px(322), px(98))
        box.bottomleft = (view.left + px(14), view.bottom - px(14))
        self._plate(target, box)
        speed = self._text(f"{abs(ego.speed) * 3.6:.0f}", 82, WHITE)
        base = box.left + px(112)
        target.blit(speed, (base - speed.get_width(), box.top + px(16)))
        unit = self._text("km/h", 20, SOFT)
        target.blit(unit, (base - unit.get_width(), box.top + px(72)))
        gear = "R" if ego.gear < 0 else "N" if ego.gear == 0 else f"D{ego.gear}"
        colour = AMBER if gear == "R" else WHITE
        text = self._text(gear, 36, colour)
        target.blit(text, (box.left + px(146) - text.get_width() // 2, box.top + px(24)))
        text = self._text("gear", 20, SOFT)
        target.blit(text, (box.left + px(146) - text.get_width() // 2, box.top + px(72)))
        left, width = box.left + px(178), px(130)
        brake = ("hand brake", 1.0, RED) if ego.hand_brake else ("brake", ego.brake, RED)
        rows = (("throttle", ego.throttle, GREEN), brake)
        y = box.top + px(11)
        for name, value, colour in rows:
            target.blit(self._text(name, 17, SOFT), (left, y))
            self._bar(target, pygame.Rect(left, y + px(14), width, px(6)), 0.0, value, colour)
            y += px(27)
        target.blit(self._text("steer", 17, SOFT), (left, y))
        track = pygame.Rect(left, y + px(14), width, px(6))
        self._bar(target, track, 0.5, 0.5 + 0.5 * ego.steer, BLUE)
        target.fill(WHITE, (track.centerx - px(1), track.top - px(2), px(2), track.height + px(4)))

    def _bar(self, target: pygame.Surface, track: pygame.Rect, start: float, end: float, colour: Colour) -> None:
        target.blit(self._paint.plate(track.size, track.height // 2, TRACK, 255), track)
        low, high = sorted((min(max(start, 0.0), 1.0), min(max(end, 0.0), 1.0)))
        width = round(track.width * (high - low))
        if width > 0:
            filled = pygame.Rect(track.left + round(track.width * low), track.top, width, track.height)
            target.blit(self._paint.plate(filled.size, min(track.height, width) // 2, colour, 255), filled)

    def _badges(self, target: pygame.Surface, view: pygame.Rect, state: HudState) -> None:
        """States that must not be missed."""
        badges: list[tuple[str, Colour, bool]] = []
        if state.recording is not None:
            minutes, seconds = divmod(int(state.recording), 60)
            badges.append((f"REC {minutes:02d}:{seconds:02d}", RED, True))
        if state.paused:
            badges.append(("PAUSED", AMBER, False))
        if state.ego.autopilot:
            badges.append(("AUTOPILOT", BLUE, False))
        if state.reverse:
            badges.append(("REVERSE", AMBER, False))
        if not badges:
            return
        px = self._px
        texts = [self._text(text, 22, WHITE) for text, _, _ in badges]
        widths = [
            text.get_width() + px(28) + (px(16) if dot else 0) for text, (_, _, dot) in zip(texts, badges, strict=True)
        ]
        x = view.centerx - (sum(widths) + px(8) * (len(widths) - 1)) // 2
        for text, width, (_, colour, dot) in zip(texts, widths, badges, strict=True):
            box = pygame.Rect(x, view.top + px(14), width, px(32))
            fill = _mix(DARK, colour, 0.38)
            target.blit(self._paint.plate(box.size, px(16), fill, 225, (colour, 255)), box)
            at = box.left + px(14)
            if dot:
                target.blit(self._paint.disc(px(5), colour), (at, box.centery - px(5)))
                at += px(16)
            target.blit(text, (at, box.centery - text.get_height() // 2))
            x += width + px(8)

    def _draw_notices(self, target: pygame.Surface, view: pygame.Rect) -> None:
        now = time.monotonic()
        self._notices = [notice for notice in self._notices if now - notice[1] < _NOTICE]
        px = self._px
        bottom = view.bottom - px(18)
        if self.visible and view.width < px(900):
            bottom -= px(104)  # narrow windows: above the instruments
        for text, since in reversed(self._notices):
            alpha = min((_NOTICE - (now - since)) / _FADE, 1.0)
            label = self._text(text, 24, WHITE)
            box = pygame.Rect(0, 0, label.get_width() + px(32), px(38))
            box.midbottom = (view.centerx, bottom)
            if self.visible and view.width >= px(900):
                box.left = max(box.left, view.left + px(14 + 322 + 14))
            plate = self._paint.plate(box.size, px(19), DARK, 205, _EDGE)
            for surface, at in (
                (plate, box.topleft),
                (label, (box.left + px(16), box.centery - label.get_height() // 2)),
            ):
                surface.set_alpha(round(255 * alpha))
                target.blit(surface, at)
                surface.set_alpha(255)  # the surface is shared with whoever draws the same text
            bottom -= px(46)

    def _help(self, target: pygame.Surface, view: pygame.Rect) -> None:
        px = self._px
        overlay = self._paint.keep(("help", px(1000)), self._help_card)
        if overlay.get_width() > view.width or overlay.get_height() > view.height:
            part = min(view.width / overlay.get_width(), view.height / overlay.get_height())
            size = (max(int(overlay.get_width() * part), 1), max(int(overlay.get_height() * part), 1))
            full = overlay
            overlay = self._paint.keep(("help", size), lambda: pygame.transform.smoothscale(full, size))
        target.blit(overlay, overlay.get_rect(center=view.center))

    def _help_card(self) -> pygame.Surface:
        """All keys: two columns of groups."""
        px = self._px
        column, row, gap, head = px(356), px(25), px(20), px(34)
        heights = [head + row * len(rows) for _, rows in self.keys]
        top = (px(24), px(24) + max(heights[0], heights[1]) + gap)
        size = (2 * column + px(24), top[1] + max(heights[2], heights[3]) + px(16))
        card = self._paint.plate(size, px(16), DARK, 240, _EDGE).copy()
        for n, (title, rows) in enumerate(self.keys):
            x, y = px(28) + column * (n % 2), top[n // 2]
            card.blit(self._text(title, 26, BLUE), (x, y))
            y += head
            for keys, meaning in rows:
                at = x
                for key in keys:
                    at += self._key(card, key, at, y) + px(5)
                card.blit(self._text(meaning, 20, SOFT), (x + px(154), y + px(3)))
                y += row
        return card

    def _key(self, target: pygame.Surface, name: str, x: int, y: int) -> int:
        """A key cap at (x, y); returns its width."""
        px = self._px
        label = self._text(name, 18, WHITE)
        cap = pygame.Rect(x, y, max(label.get_width() + px(12), px(22)), px(21))
        target.blit(self._paint.plate(cap.size, px(5), (44, 52, 64), 255, ((120, 130, 144), 255)), cap)
        target.blit(label, label.get_rect(center=cap.center))
        return cap.width


def _mix(first: Colour, second: Colour, part: float) -> Colour:
    return (
        round(first[0] + (second[0] - first[0]) * part),
        round(first[1] + (second[1] - first[1]) * part),
        round(first[2] + (second[2] - first[2]) * part),
    )
