"""Graphs of a drive over the timeline: speed, pedals and steering, with its collisions and holes."""

import numpy as np
import pygame

from neuralsim.recording.drive_track import DriveTrack
from neuralsim.window.drawing import AMBER, BLUE, DARK, EDGE, GREEN, RED, SMALL, SOFT, WHITE, Colour, Pen

_STRIP = 34  # px per graph, before scaling
#: Colour of each kind of event, on the graphs and on the timeline.
MARKS: dict[str, Colour] = {"collision": RED, "lane": AMBER, "weather": BLUE, "hole": (150, 150, 160)}


class Graphs:
    """Draws the graphs above the timeline if ``on``. They are drawn once for a track and a size."""

    def __init__(self) -> None:
        self.on = False
        self._drawn: tuple[tuple[object, ...], pygame.Surface] | None = None

    def draw(self, target: pygame.Surface, pen: Pen, timeline: pygame.Rect, track: DriveTrack, at: float) -> None:
        """Draw above ``timeline``, the plate of the timeline, with a line ``at`` a share of its length, 0 to 1."""
        if not self.on or not len(track.values):
            return
        px = pen.px
        height = 3 * px(_STRIP) + px(12)
        box = pygame.Rect(timeline.left, timeline.top - height - px(6), timeline.width, height)
        key = box.size, id(track.values)
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = key, self._graphs(pen, box, track)
        target.blit(self._drawn[1], box)
        pen.occupied.append(box)
        inside = box.width - 2 * px(11)
        x = box.left + px(11) + round(inside * at)
        pygame.draw.line(target, WHITE, (x, box.top + px(4)), (x, box.bottom - px(4)))

    @staticmethod
    def _graphs(pen: Pen, box: pygame.Rect, track: DriveTrack) -> pygame.Surface:
        px = pen.px
        card = pen.surfaces.plate(box.size, px(10), DARK, 190, EDGE).copy()
        left, width, strip = px(11), box.width - 2 * px(11), px(_STRIP)
        seconds, speed, throttle, brake, steer = track.values.T
        length = max(float(seconds[-1]), 1e-3)
        for now, kind, _ in track.events:
            x = left + round(width * now / length)
            card.fill((*MARKS.get(kind, SOFT), 255), (x, px(4), max(px(1.5), 1), box.height - px(8)))
        most = max(float(np.abs(speed).max()) * 3.6, 10.0)
        rows: tuple[tuple[str, tuple[tuple[np.ndarray, Colour], ...], float, float], ...] = (
            (f"speed, up to {most:.0f} km/h", ((np.abs(speed) * 3.6, WHITE),), 0.0, most),
            ("throttle, brake", ((throttle, GREEN), (brake, RED)), 0.0, 1.0),
            ("steering", ((-steer, BLUE),), -1.0, 1.0),
        )
        for number, (name, lines, low, high) in enumerate(rows):
            top = px(6) + number * strip
            text = pen.text(name, SMALL, SOFT)
            base = top + strip - px(3) if low == 0.0 else top + strip // 2
            card.fill((*SOFT, 90), (left, base, width, 1))
            for values, colour in lines:
                _line(
                    card,
                    (seconds / length, (values - low) / (high - low)),
                    pygame.Rect(left, top, width, strip - px(3)),
                    colour,
                )
            card.blit(text, (left + px(4), top))
        return card


def _line(card: pygame.Surface, series: tuple[np.ndarray, np.ndarray], box: pygame.Rect, colour: Colour) -> None:
    """Draw shares of time and of height, each 0 to 1, with the extremes of each pixel column."""
    share, values = series
    columns = np.minimum((share * box.width).astype(int), box.width - 1)
    first = np.flatnonzero(np.diff(columns, prepend=-1))
    low, high = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
    points: list[tuple[int, int]] = []
    for column, least, most in zip(columns[first].tolist(), low.tolist(), high.tolist(), strict=True):
        for value in (least, most) if most > least else (most,):
            points.append((box.left + column, round(box.bottom - min(max(value, 0.0), 1.0) * box.height)))
    if len(points) > 1:
        pygame.draw.lines(card, colour, False, points, 2)
