"""The head-up display, drawn over the picture in under a millisecond.

By default it is small and in the corners, clear of the road and of traffic lights: important states at the top left,
frame rate and latency at the top right, instruments at the bottom right, notices at the bottom centre. The detailed
HUD (F3, or a click on it) adds the view, model and place, and all metrics.
"""

import time

import pygame

from bridge.messages import Frame, Lights
from neuralsim.drive.interactive_drive import HudState
from neuralsim.drive.key_bindings import HELP
from neuralsim.drive.time_ratio import speed_of_time
from neuralsim.window import hud_details
from neuralsim.window.cockpit import task_overlay
from neuralsim.window.cockpit.dashboard import Dashboard
from neuralsim.window.cockpit.mirrors import Mirrors
from neuralsim.window.drawing import (
    AMBER,
    BLUE,
    BODY,
    DARK,
    EDGE,
    GREEN,
    MARGIN,
    RED,
    SMALL,
    SOFT,
    SPEED,
    WHITE,
    Colour,
    Pen,
    mix,
)
from neuralsim.window.minimap import Minimap
from neuralsim.window.overlay_cards import HelpCard
from neuralsim.window.tutorial import Tutorial

_NOTICE = 2.6  # seconds that a notice is shown
BLINKS = 1.4  # per second, of indicators
_FADE = 0.6  # seconds of these in which it fades out
_KMH = 3.6  # per m/s
_MPH = 2.2369363  # per m/s


class Hud:
    """Draws :class:`HudState` and notices onto the window's surface."""

    keys = HELP  # of the help overlay

    def __init__(self) -> None:
        self.visible = True
        self.covered = False  # whether a menu is over it, so that notices and cards wait
        self.full = False  # whether to show all details
        self.graph = False  # whether to show the frame graph
        self.minimap = Minimap()
        self.mirrors = Mirrors()
        self.dashboard = Dashboard()
        self.tutorial = Tutorial(active=False)
        self.pen = Pen()
        self.help = HelpCard(self.keys)
        self.instruments = pygame.Rect(0, 0, 0, 0)  # where they were last drawn
        self._notices: list[tuple[str, float]] = []
        self._graph = hud_details.FrameGraph()

    def notify(self, text: str) -> None:
        """Show ``text`` for a moment."""
        self._notices = [notice for notice in self._notices if notice[0] != text][-2:]
        self._notices.append((text, time.monotonic()))

    def clicked(self, at: tuple[int, int]) -> bool:
        """Toggle the details if the click at ``at`` was on the HUD; return whether it was."""
        hit = self.visible and any(box.collidepoint(at) for box in self.pen.occupied)
        self.full ^= hit
        return hit

    def draw(self, target: pygame.Surface, view: pygame.Rect, state: HudState, frame: Frame | None = None) -> None:
        """Draw everything onto ``target`` within ``view``, the rectangle of the picture of ``frame``."""
        pen = self.pen
        pen.begin(view)
        if self.help.page is not None:
            self.help.draw(target, pen)
            return
        if frame is not None:
            if state.ghost is not None and frame.mount != "reversing":
                task_overlay.draw_ghost(target, view, frame, state.ghost)
            self.dashboard.draw(target, pen, frame, state)
        self.draw_badges(target, state)
        if frame is not None and frame.mount == "reversing" and self.visible:  # on the road, so below everything
            hud_details.draw_reversing_lines(target, pen, frame)
        if self.visible:
            if self.full:
                hud_details.draw_place(target, pen, state, frame)
            self.draw_measurement(target, state)
            has_dashboard = self.dashboard.shows(frame, state)
            if not has_dashboard:
                self.draw_instruments(target, state)
            if frame is not None and not self.minimap.large:
                self.minimap.draw(target, pen, frame, self.dashboard.screen(view) if has_dashboard else None)
                if frame.mount != "reversing":
                    self.mirrors.draw(target, pen, in_car=has_dashboard)
        if self.covered:
            return
        if self.graph:
            self._graph.draw(target, pen, state.graph)
        if frame is not None and self.minimap.large:
            self.minimap.draw(target, pen, frame)
        elif state.card is not None:
            task_overlay.draw_card(target, pen, state.card)
        elif state.task:
            task_overlay.draw_status(target, pen, state)
        else:
            self.tutorial.draw(target, pen)
        self.draw_notices(target)

    def draw_measurement(self, target: pygame.Surface, state: HudState) -> None:
        """Draw frame rate and latency, with all stages in the detailed HUD."""
        pen = self.pen
        if self.full:
            hud_details.draw_measurement(target, pen, state)
            return
        colour = AMBER if state.warning else SOFT
        labels = f"{state.fps:.0f} FPS", f"{state.latency:.0f} ms"
        texts = [pen.text(labels[0], SMALL, WHITE), pen.text(labels[1], SMALL, colour)]
        gap, pad = pen.px(10), pen.px(8)
        width = sum(text.get_width() for text in texts) + gap + 2 * pad
        box = pygame.Rect(0, 0, width, texts[0].get_height() + pen.px(8))
        box.topright = pen.view.right - pen.px(MARGIN), pen.view.top + pen.px(MARGIN)
        pen.plate(target, box, 8, 120)
        x = box.left + pad
        for text in texts:
            target.blit(text, (x, box.centery - text.get_height() // 2))
            x += text.get_width() + gap

    def draw_instruments(self, target: pygame.Surface, state: HudState) -> None:
        """Draw speed, gear, pedals and steering in the bottom right corner."""
        pen, ego = self.pen, state.ego
        px = pen.px
        factor = _KMH if state.units == "km/h" else _MPH
        speed = pen.text(f"{abs(ego.speed) * factor:.0f}", SPEED, WHITE)
        unit = pen.text(state.units, SMALL, SOFT)
        gear = "R" if ego.gear < 0 else "N" if ego.gear == 0 else f"D{ego.gear}"
        shown = pen.text(gear, BODY, AMBER if gear == "R" else WHITE)
        widest = pen.text("188", SPEED, WHITE).get_width()
        side = max(unit.get_width(), shown.get_width())
        pad, line = px(11), px(4)
        inside = widest + px(9) + side
        box = pygame.Rect(0, 0, inside + 2 * pad, speed.get_height() + px(2) + 3 * line + 2 * px(4) + pad)
        box.bottomright = pen.view.right - px(MARGIN), pen.view.bottom - px(MARGIN)
        self.instruments = box
        pen.plate(target, box)
        right, middle = box.left + pad + widest, box.top + px(6) + speed.get_height() // 2
        target.blit(speed, (right - speed.get_width(), middle - speed.get_height() // 2))
        target.blit(shown, (right + px(9), middle - shown.get_height() - px(1)))
        target.blit(unit, (right + px(9), middle + px(2)))
        self._draw_indicators(target, box, state)
        track = pygame.Rect(box.left + pad, box.bottom - px(8) - 3 * line - 2 * px(4), inside, line)
        pen.bar(target, track, 0.0, ego.throttle, GREEN)
        track = track.move(0, line + px(4))
        pen.bar(target, track, 0.0, 1.0 if ego.hand_brake else ego.brake, RED)
        track = track.move(0, line + px(4))
        pen.bar(target, track, 0.5, 0.5 + 0.5 * ego.steer, BLUE)
        target.fill(WHITE, (track.centerx - px(1) // 2, track.top - px(1), px(1.6), track.height + 2 * px(1)))

    def _draw_indicators(self, target: pygame.Surface, box: pygame.Rect, state: HudState) -> None:
        """Draw blinking arrows at the top of the instruments for the indicators that are on."""
        px = self.pen.px
        if time.monotonic() * BLINKS % 1.0 > 0.5:
            return
        for lamp, side in ((Lights.LEFT_BLINKER, -1), (Lights.RIGHT_BLINKER, 1)):
            if state.ego.lights & lamp:
                x, y = box.centerx + side * px(15), box.top - px(12)
                points = [(x + side * px(13), y), (x - side * px(3), y - px(9)), (x - side * px(3), y + px(9))]
                pygame.draw.polygon(target, GREEN, points)

    def badges(self, state: HudState) -> list[tuple[str, Colour, bool]]:
        """Return the important states: label, colour, and whether to draw a dot in front."""
        badges: list[tuple[str, Colour, bool]] = []
        if state.recording is not None:
            minutes, seconds = divmod(int(state.recording), 60)
            badges.append((f"REC {minutes:02d}:{seconds:02d}", RED, True))
        speed = speed_of_time(state.real_time, state.time_ratio)
        if speed != speed_of_time(state.real_time) and not state.paused:
            badges.append((speed.upper(), AMBER, False))
        if state.paused:
            badges.append(("PAUSED", AMBER, False))
        if state.ego.autopilot and self.visible:
            badges.append(("AUTOPILOT", BLUE, False))
        if state.reverse and self.visible:
            badges.append(("REVERSE", AMBER, False))
        if state.ego.collisions and self.visible:
            count = state.ego.collisions
            badges.append((f"{count} COLLISION{'S' * (count > 1)}", SOFT, False))
        return badges

    def draw_badges(self, target: pygame.Surface, state: HudState) -> None:
        """Draw the badges as pills, starting at the top left corner."""
        pen = self.pen
        px = pen.px
        start = pen.view.left + px(MARGIN)
        x, y = start, pen.view.top + px(MARGIN)
        for label, colour, dot in self.badges(state):
            text = pen.text(label, SMALL, WHITE)
            box = pygame.Rect(x, y, text.get_width() + px(18) + px(14) * dot, text.get_height() + px(8))
            if x > start and box.right > pen.view.left + 0.4 * pen.view.width:  # the middle belongs to the road
                box.topleft = start, box.bottom + px(5)
            fill = pen.surfaces.plate(box.size, box.height // 2, mix(DARK, colour, 0.38), 215, (colour, 255))
            target.blit(fill, box)
            pen.occupied.append(box)
            at = box.left + px(9)
            if dot:
                target.blit(pen.surfaces.disc(px(4), colour), (at, box.centery - px(4)))
                at += px(14)
            target.blit(text, (at, box.centery - text.get_height() // 2))
            x, y = box.right + px(6), box.top
        if state.recording is not None and state.recorded_to and self.visible:
            text = pen.shortened(state.recorded_to, SMALL, SOFT, round(0.3 * pen.view.width))
            box = pygame.Rect(
                start, y + text.get_height() + px(13), text.get_width() + px(18), text.get_height() + px(8)
            )
            pen.plate(target, box, 8, 120)
            target.blit(text, (box.left + px(9), box.centery - text.get_height() // 2))

    def draw_notices(self, target: pygame.Surface) -> None:
        """Draw the notices in the middle, the newest at the bottom, clear of everything drawn so far."""
        now, pen = time.monotonic(), self.pen
        self._notices = [notice for notice in self._notices if now - notice[1] < _NOTICE]
        px, view = pen.px, pen.view
        for text, since in reversed(self._notices):
            alpha = min((_NOTICE - (now - since)) / _FADE, 1.0)
            lines = pen.wrapped(text, BODY, WHITE, view.width - 2 * px(MARGIN) - px(28))
            width = max(line.get_width() for line in lines) + px(28)
            box = pygame.Rect(0, 0, width, sum(line.get_height() for line in lines) + px(14))
            columns, lowest = (view.centerx - width // 2, view.left + px(MARGIN)), view.bottom - px(MARGIN) - box.height
            rows = range(lowest, view.top, -px(4))
            pen.place(box, ((x, y) for y in rows for x in columns))
            if box.collidelist(pen.occupied) >= 0:
                continue  # no room beside what is there
            plate = pen.surfaces.plate(box.size, px(15), DARK, 205, EDGE)
            y = box.top + px(7)
            _blit_faded(target, plate, box.topleft, alpha)
            for line in lines:
                _blit_faded(target, line, (box.centerx - line.get_width() // 2, y), alpha)
                y += line.get_height()
            pen.occupied.append(box)


def _blit_faded(target: pygame.Surface, surface: pygame.Surface, at: tuple[int, int], alpha: float) -> None:
    surface.set_alpha(round(255 * alpha))
    target.blit(surface, at)
    surface.set_alpha(255)  # the cached surface is shared
