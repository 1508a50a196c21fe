"""The detailed HUD: view, model and place, all metrics, the frame graph, and the reversing lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pygame

from bridge.messages import Frame
from neuralsim.window.drawing import (
    AMBER,
    BLUE,
    BODY,
    DARK,
    EDGE,
    FIGURE,
    GREEN,
    MARGIN,
    RED,
    SMALL,
    SOFT,
    TRACK,
    WHITE,
    Colour,
    Pen,
)

if TYPE_CHECKING:
    from neuralsim.drive.interactive_drive import HudState

#: Colour of each stage in the latency bar.
_STAGES: dict[str, Colour] = {
    "simulate": (86, 156, 255),
    "pack": (122, 214, 255),
    "transport": (170, 140, 250),
    "render": (72, 207, 142),
    "display": (250, 188, 64),
}
_NEAREST = 4  # actors in the list
_GRAPH_TOP = 66.0  # ms at the top of the frame graph
_GRAPH_LINES = ((16.7, "60"), (33.3, "30"), (50.0, "20"))  # ms, frames per second
_GRAPH_BARS = 120


def draw_place(target: pygame.Surface, pen: Pen, state: HudState, frame: Frame | None = None) -> None:
    """Draw view, model, place, appearance, position and actors in view in the top left corner, below the badges."""
    px = pen.px
    second = f"{state.model}  |  {state.runtime}" if state.runtime else state.model
    lines = [(state.view, BODY, WHITE), (second, SMALL, SOFT), (state.place, SMALL, SOFT)]
    lines += [(state.appearance, SMALL, BLUE), (state.device, SMALL, SOFT)]
    lines += [(text, SMALL, SOFT) for text in ([] if frame is None else [position(frame), *in_view(frame)])]
    texts = [pen.text(text, size, colour) for text, size, colour in lines if text]
    widest = max(*(text.get_width() for text in texts), px(200))
    if state.warning:
        texts += pen.wrapped(state.warning, SMALL, AMBER, widest)
    gap, pad = px(4), px(11)
    size = (
        max(text.get_width() for text in texts) + 2 * pad,
        sum(text.get_height() + gap for text in texts) - gap + 2 * pad,
    )
    left, top = pen.view.left + px(MARGIN), pen.view.top + px(MARGIN)
    box = pen.place(pygame.Rect((0, 0), size), ((left, y) for y in range(top, pen.view.bottom - size[1], px(4))))
    pen.plate(target, box)
    y = box.top + pad
    for text in texts:
        target.blit(text, (box.left + pad, y))
        y += text.get_height() + gap


def position(frame: Frame) -> str:
    """Return the ego's position in CARLA's coordinates, and its heading: clockwise from north, which is -y."""
    pose = frame.ego.pose
    heading = math.degrees(math.atan2(pose[1, 0], pose[0, 0])) + 90.0
    compass = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")[round(heading / 45.0) % 8]
    return f"x {pose[0, 3]:.1f}  y {pose[1, 3]:.1f} m  |  {round(heading) % 360}° {compass}"


def in_view(frame: Frame) -> list[str]:
    """Return distance and name of the nearest vehicles and people in view."""
    moving = [each for each in frame.objects if not each.parked]
    distances = [float(np.linalg.norm(each.pose[:3, 3] - frame.ego.pose[:3, 3])) for each in moving]
    nearest = sorted(zip(distances, (each.blueprint for each in moving), strict=True))[:_NEAREST]
    names = [(away, blueprint.partition(".")[2].replace(".", " ").replace("_", " ")) for away, blueprint in nearest]
    return [f"{away:.0f} m  {name.split(' 0')[0]}" for away, name in names if name]  # pedestrians have numbers


def draw_measurement(target: pygame.Surface, pen: Pen, state: HudState) -> None:
    """Draw frame rate, latency, stages and counters in the top right corner, as far as there is room."""
    px, line = pen.px, pen.text("0", SMALL, SOFT).get_height() + pen.px(2)
    warp = f"{state.displayed_fps:.0f} FPS, {state.late_warp:.1f} ms each" if state.warping else "off"
    rows: list[tuple[str, str, Colour | None]] = [
        (stage, f"{state.stages.get(stage, 0.0):.1f} ms", colour) for stage, colour in _STAGES.items()
    ]
    rows += [
        ("latency p95", f"{state.latency_p95:.0f} ms", None),
        ("input latency", f"{state.input_latency:.0f} ms", None),
        ("late warp", warp, None),
        ("collisions", f"{state.ego.collisions}", None),
        (f"frame {state.frames}", f"{state.skipped} skipped", None),
    ]
    figures = [pen.text(f"{state.fps:.1f}", FIGURE, WHITE), pen.text(f"{state.latency:.0f}", FIGURE, WHITE)]
    head = figures[0].get_height() + px(4)
    room = pen.view.height - 2 * px(MARGIN) - px(96) - head - px(40)
    rows = rows[: max(room // line, 1)]
    values = [pen.text(value, SMALL, WHITE if colour else SOFT) for _, value, colour in rows]
    names = [pen.text(name, SMALL, SOFT) for name, _, _ in rows]
    widest = max(name.get_width() + value.get_width() for name, value in zip(names, values, strict=True))
    box = pygame.Rect(0, 0, max(widest + px(60), px(216)), head + px(40) + line * len(rows))
    box.topright = pen.view.right - px(MARGIN), pen.view.top + px(MARGIN)
    pen.plate(target, box)
    left, right, y = box.left + px(11), box.right - px(11), box.top + px(9)
    _figure(target, pen, left, y, figures[0], "FPS")
    _figure(target, pen, right, y, figures[1], "ms", from_right=True)
    y += head
    total, x = max(sum(state.stages.values()), 1e-6), float(left)
    for stage, colour in _STAGES.items():
        width = (right - left) * state.stages.get(stage, 0.0) / total
        target.fill(colour, (round(x), y, max(round(x + width) - round(x), 0), px(6)))
        x += width
    y += px(14)
    for name, value, (_, _, dot) in zip(names, values, rows, strict=True):
        if dot is not None:
            target.blit(pen.surfaces.disc(px(4), dot), (left, y + name.get_height() // 2 - px(4)))
        target.blit(name, (left + px(14) * (dot is not None), y))
        target.blit(value, (right - value.get_width(), y))
        y += line


def _figure(
    target: pygame.Surface, pen: Pen, x: int, y: int, number: pygame.Surface, unit: str, from_right: bool = False
) -> None:
    """Draw a large number with its unit on the same baseline, aligned left or right at ``x``."""
    small = pen.text(unit, SMALL, SOFT)
    gap = pen.px(6)
    if from_right:
        x -= number.get_width() + gap + small.get_width()
    target.blit(number, (x, y))
    base = number.get_height() - small.get_height() - pen.px(3)
    target.blit(small, (x + number.get_width() + gap, y + base))


class FrameGraph:
    """A graph with a stacked bar of stages for each recent frame, and lines at 60, 30 and 20 FPS."""

    def __init__(self) -> None:
        self._drawn: tuple[list[tuple[float, ...]], float, pygame.Surface] | None = None

    def draw(self, target: pygame.Surface, pen: Pen, frames: list[tuple[float, ...]]) -> None:
        """Draw the graph on the right, or else on the left or in the middle, where there is room."""
        if self._drawn is None or self._drawn[0] is not frames or self._drawn[1] != pen.scale:
            self._drawn = frames, pen.scale, _bars(pen, frames)
        graph, view, edge = self._drawn[2], pen.view, pen.px(MARGIN)
        columns = view.right - edge - graph.get_width(), view.left + edge, view.centerx - graph.get_width() // 2
        lowest = view.bottom - edge - graph.get_height()
        places = ((x, y) for x in columns for y in range(lowest, view.top, -pen.px(4)))
        box = pen.place(graph.get_rect(), places)
        target.blit(graph, box)
        pen.occupied.append(box)


def _bars(pen: Pen, frames: list[tuple[float, ...]]) -> pygame.Surface:
    px = pen.px
    bar, height = px(2.0), px(110)
    width = bar * _GRAPH_BARS
    graph = pen.surfaces.plate((width + px(54), height + px(20)), px(10), DARK, 205, EDGE).copy()
    left, base = px(10), height + px(10)
    colours = list(_STAGES.values())
    for n, stages in enumerate(frames[-_GRAPH_BARS:], _GRAPH_BARS - min(len(frames), _GRAPH_BARS)):
        reached = 0.0
        for colour, ms in zip(colours, stages, strict=False):
            bottom, reached = round(reached * height / _GRAPH_TOP), min(reached + ms, _GRAPH_TOP)
            top = round(reached * height / _GRAPH_TOP)
            graph.fill(colour, (left + n * bar, base - top, bar, top - bottom))
    for ms, fps in _GRAPH_LINES:
        y = base - round(ms * height / _GRAPH_TOP)
        graph.fill(WHITE, (left, y, width, 1))
        label = pen.text(fps, SMALL, SOFT)
        graph.blit(label, (left + width + px(6), y - label.get_height() // 2))
    graph.fill(TRACK, (left, base, width, 1))
    return graph


_LINES = ((0.6, RED), (1.5, AMBER), (3.0, GREEN))  # distance behind the car in m, and its colour
_TRACK = 0.95  # m, half the car's width
_WHEELBASE = 2.85  # m
_LOCK = 0.66  # radians


def draw_reversing_lines(target: pygame.Surface, pen: Pen, frame: Frame) -> None:
    """Draw the track that the car will follow in reverse at the current steering angle, mirrored like the picture."""
    camera, pose = frame.camera, frame.ego.pose
    to_camera = np.linalg.inv(camera.pose) @ pose
    rear = float((np.linalg.inv(pose) @ camera.pose)[0, 3])  # the camera is in the bumper
    curvature = math.tan(frame.ego.steer * _LOCK) / _WHEELBASE

    def project(back: float, aside: float) -> tuple[float, float] | None:
        """Return the pixel of a point on the ground: m behind the bumper along the track, m to the right of it."""
        turned = curvature * back
        x = rear - (math.sin(turned) / curvature if abs(curvature) > 1e-4 else back)
        y = aside * math.cos(turned) + ((1.0 - math.cos(turned)) / curvature if abs(curvature) > 1e-4 else 0.0)
        ahead, right, up, _ = to_camera @ (x, y, 0.03, 1.0)
        if ahead < 0.15:
            return None
        u = camera.width / 2.0 - camera.focal * right / ahead  # mirrored
        v = camera.height / 2.0 - camera.focal * up / ahead
        return pen.view.left + u * pen.view.width / camera.width, pen.view.top + v * pen.view.height / camera.height

    target.set_clip(pen.view)
    previous = 0.0
    for far, colour in _LINES:
        for side in (-_TRACK, _TRACK):
            points = [at for at in (project(back, side) for back in np.linspace(previous, far, 9).tolist()) if at]
            if len(points) > 1:
                pygame.draw.lines(target, colour, False, points, pen.px(3))
        ends = [at for at in (project(far, -_TRACK), project(far, _TRACK)) if at]
        if len(ends) == 2:
            pygame.draw.line(target, colour, ends[0], ends[1], pen.px(2))
        previous = far
    target.set_clip(None)
