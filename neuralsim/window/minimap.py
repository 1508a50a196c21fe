"""The map in the corner or over the whole view: lanes, route, traffic and north; a click sets the destination."""

from dataclasses import dataclass, replace
from math import atan2, cos, pi, sin

import numpy as np
import pygame

from bridge.messages import Chart, Frame
from neuralsim.window.drawing import AMBER, BLUE, BODY, DARK, EDGE, GREEN, MARGIN, RED, SMALL, SOFT, WHITE, Pen

_SMALL_METRES = 130.0  # width of the area that the small map shows
_REUSE = 40.0  # m, distance within which the lines of the small map are reused
_ROAD = (92, 102, 116)
_CAR = (250, 188, 64)
_FOOT = (122, 214, 255)


@dataclass
class _Projection:
    """A projection from CARLA's world coordinates to the screen, rotated so that heading ``up`` points up."""

    x: float
    y: float
    up: float  # radians, world heading that points up on the screen
    scale: float  # px per m
    middle: tuple[float, float]  # px

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels, f64 (N, 2), of world points, f (N, 2), m."""
        away = np.asarray(points, np.float64) - (self.x, self.y)
        c, s = cos(self.up), sin(self.up)
        ahead, right = away @ (c, s), away @ (-s, c)
        return np.stack([self.middle[0] + self.scale * right, self.middle[1] - self.scale * ahead], axis=1)

    def place(self, at: tuple[int, int]) -> tuple[float, float]:
        """Return the world position (m) of a pixel."""
        right, ahead = (at[0] - self.middle[0]) / self.scale, (self.middle[1] - at[1]) / self.scale
        c, s = cos(self.up), sin(self.up)
        return self.x + c * ahead - s * right, self.y + s * ahead + c * right


class _NearbyLines:
    def __init__(self, chart: Chart, x: float, y: float) -> None:
        self._chart, self._x, self._y = chart, x, y
        reach = _SMALL_METRES + _REUSE
        self.lines: list[tuple[np.ndarray, float]] = []
        for line, width in zip(chart.lines, chart.widths[:, 0].tolist(), strict=True):
            near = np.flatnonzero(np.abs(line - (x, y)).max(axis=1) < reach)
            if len(near):
                self.lines.append((line[max(near[0] - 1, 0) : near[-1] + 2], width))

    def covers(self, chart: Chart, x: float, y: float) -> bool:
        """Return whether the lines can be reused at a position."""
        return chart is self._chart and abs(x - self._x) < _REUSE and abs(y - self._y) < _REUSE


class Minimap:
    """Draws ``chart`` once it is set. ``large``: over the whole view, north up, to click a destination."""

    def __init__(self) -> None:
        self.chart: Chart | None = None
        self.visible = True
        self.large = False
        self._at: _Projection | None = None  # of the map drawn last
        self._box = pygame.Rect(0, 0, 0, 0)
        self._drawn: tuple[tuple[object, ...], pygame.Surface] | None = None  # the large map's roads
        self._small: tuple[tuple[object, ...], pygame.Surface] | None = None  # the small map of a frame
        self._nearby: _NearbyLines | None = None

    def clicked(self, at: tuple[int, int]) -> tuple[float, float] | None:
        """Return the world position (m) of a click on the large map; a click on the small map enlarges it."""
        if self._at is None or not self._box.collidepoint(at):
            return None
        if not self.large:
            self.large = True
            return None
        return self._at.place(at)

    def draw(self, target: pygame.Surface, pen: Pen, frame: Frame, screen: pygame.Rect | None = None) -> None:
        """Draw the map at the time of ``frame``, in the bottom left corner, on ``screen`` or over the view."""
        self._box = pygame.Rect(0, 0, 0, 0)
        if self.chart is None or not (self.visible or self.large):
            return
        ego = frame.ego.pose
        heading = atan2(ego[1, 0], ego[0, 0])
        if self.large:
            self._draw_large(target, pen, frame, heading)
            return
        box = pygame.Rect(0, 0, pen.px(118), pen.px(118))
        box.bottomleft = pen.view.left + pen.px(MARGIN), pen.view.bottom - pen.px(MARGIN)
        box = box if screen is None else screen
        shines_through = 235 if frame.mount == "reversing" else 135  # the lines on the ground would run across it
        pen.plate(target, box, 10 if screen is None else 3, shines_through if screen is None else 255)
        self._box, side = box, box.height
        middle = float(box.centerx), box.top + 0.64 * side
        self._at = _Projection(ego[0, 3], ego[1, 3], heading, side / _SMALL_METRES, middle)
        key = id(frame), frame.sequence, box.size, id(self.chart)
        if self._small is None or self._small[0] != key:  # once per frame, however often that is shown
            card = pygame.Surface(box.size, pygame.SRCALPHA)
            shown, self._at = self._at, replace(self._at, middle=(middle[0] - box.left, middle[1] - box.top))
            if self._nearby is None or not self._nearby.covers(self.chart, ego[0, 3], ego[1, 3]):
                self._nearby = _NearbyLines(self.chart, ego[0, 3], ego[1, 3])
            self._roads(card, self._nearby.lines, self._at)
            self._movers(card, pen, frame, heading)
            self._at, self._small = shown, (key, card)
        target.blit(self._small[1], box)
        self._north(target, pen, box, heading)
        if frame.route_left > 0.0:
            distance = (
                f"{frame.route_left / 1000.0:.1f} km" if frame.route_left >= 950.0 else f"{frame.route_left:.0f} m"
            )
            text = pen.text(distance, SMALL, WHITE)
            label = pygame.Rect(box.left, 0, text.get_width() + pen.px(14), text.get_height() + pen.px(6))
            label.bottom = box.top - pen.px(5)
            pen.plate(target, label, 7, 150)
            target.blit(text, (label.left + pen.px(7), label.centery - text.get_height() // 2))

    def _draw_large(self, target: pygame.Surface, pen: Pen, frame: Frame, heading: float) -> None:
        chart, view, px = self.chart, pen.view, pen.px
        assert chart is not None
        box = view.inflate(-2 * px(MARGIN), -2 * px(MARGIN))
        self._box = box
        every = np.concatenate(chart.lines)
        low, high = every.min(axis=0), every.max(axis=0)
        across, along = high[0] - low[0] + 40.0, high[1] - low[1] + 40.0
        foot = px(34)
        scale = float(min(box.width / across, (box.height - foot) / along))
        middle = float(box.centerx), box.top + (box.height - foot) / 2.0
        # CARLA's x points east and its y south: with x to the right and y down, north is up.
        x, y = ((low + high) / 2.0).tolist()
        self._at = _Projection(x, y, -pi / 2.0, scale, middle)
        key = chart.name, view.size
        if self._drawn is None or self._drawn[0] != key:
            card = pygame.Surface(view.size, pygame.SRCALPHA)
            at = box.move(-view.left, -view.top)
            card.blit(pen.surfaces.plate(at.size, px(12), DARK, 232, EDGE), at)
            shifted = replace(self._at, middle=(middle[0] - view.left, middle[1] - view.top))
            self._roads(card, list(zip(chart.lines, chart.widths[:, 0].tolist(), strict=True)), shifted)
            self._drawn = key, card
        target.blit(self._drawn[1], view)
        self._movers(target, pen, frame, heading)
        self._north(target, pen, box, -pi / 2.0)
        text = pen.text("Click to set a destination  |  Right click to clear it  |  M to close", BODY, SOFT)
        pen.occupied.append(target.blit(text, (box.left + px(14), box.bottom - text.get_height() - px(8))))

    @staticmethod
    def _roads(target: pygame.Surface, lines: list[tuple[np.ndarray, float]], at: _Projection) -> None:
        if not lines:
            return
        points = at(np.concatenate([line for line, _ in lines]))
        ends = np.cumsum([len(line) for line, _ in lines]).tolist()
        begin = 0
        for end, (_, width) in zip(ends, lines, strict=True):
            if end - begin > 1:
                pygame.draw.lines(target, _ROAD, False, points[begin:end], max(round(0.9 * width * at.scale), 1))
            begin = end

    def _movers(self, target: pygame.Surface, pen: Pen, frame: Frame, heading: float) -> None:
        """Draw the route, the traffic, and the ego on top."""
        at = self._at
        assert at is not None
        if len(frame.route) > 1:
            points = at(frame.route)
            pygame.draw.lines(target, BLUE, False, points.tolist(), max(pen.px(3), 2))
            pygame.draw.circle(target, RED, points[-1].tolist(), pen.px(5))
            pygame.draw.circle(target, WHITE, points[-1].tolist(), pen.px(2))
        for (x, y), (_, _, _, walks) in zip(at(frame.traffic[:, :2]), frame.traffic, strict=True):
            pygame.draw.circle(target, _FOOT if walks else _CAR, (x, y), max(pen.px(1.6 if walks else 3.0), 2))
        (x, y), turn = at(frame.ego.pose[None, :2, 3])[0], heading - at.up
        size = pen.px(8)
        shape = [(0.0, -1.0), (0.72, 0.8), (0.0, 0.42), (-0.72, 0.8)]
        corners = [
            (x + size * (a * cos(turn) - b * sin(turn)), y + size * (a * sin(turn) + b * cos(turn))) for a, b in shape
        ]
        pygame.draw.polygon(target, GREEN, corners)
        pygame.draw.aalines(target, DARK, True, corners)

    @staticmethod
    def _north(target: pygame.Surface, pen: Pen, box: pygame.Rect, up: float) -> None:
        """Draw the north arrow in the top right corner of the map."""
        turn = -pi / 2.0 - up  # from up to north; CARLA's y points south
        x, y, size = box.right - pen.px(24), box.top + pen.px(24), pen.px(7)
        c, s = cos(turn), sin(turn)
        tip = x + size * s, y - size * c
        left, right = ((x + size * 0.8 * sin(turn + d), y - size * 0.8 * cos(turn + d)) for d in (2.4, -2.4))
        pygame.draw.polygon(target, AMBER, [tip, left, right])
        letter = pen.text("N", SMALL, WHITE)
        target.blit(letter, letter.get_rect(center=(x + 2.1 * size * s, y - 2.1 * size * c)))
