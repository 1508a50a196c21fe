"""The report's charts as SVG text. Colours are classes of the page's style sheet: light and dark are one drawing.

Every chart is a function of its data and a width in pixels; the page shows each at two widths, one for a desk and one
for a phone, since text that shrinks with its drawing cannot be read on the small one.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10
from typing import Any

import numpy as np

_TEXT = 12  # pixels
_CHARACTER = 6.6  # pixels, about, of that text


class SvgCanvas:
    """Collects SVG elements; ``x`` to the right, ``y`` down, pixels."""

    def __init__(self, width: float, height: float, label: str) -> None:
        self.width, self.height, self._label = width, height, label
        self._parts: list[str] = []

    def rect(self, x: float, y: float, w: float, h: float, style: str, tip: str = "") -> None:
        """A filled box.

        Args:
            x: Left edge, px.
            y: Upper edge, px.
            w: Width, px; at least half a pixel is drawn.
            h: Height, px.
            style: CSS class.
            tip: Appears when the mouse rests on it.
        """
        title = f"<title>{escape(tip)}</title>" if tip else ""
        self._parts.append(
            f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{max(w, 0.5):.1f}" height="{h:.1f}">{title}</rect>'
        )

    def line(self, x0: float, y0: float, x1: float, y1: float, style: str) -> None:
        """A straight line.

        Args:
            x0: Its begin, px.
            y0: Its begin, px.
            x1: Its end, px.
            y1: Its end, px.
            style: CSS class.
        """
        self._parts.append(f'<line class="{style}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>')

    def dot(self, x: float, y: float, radius: float, style: str, tip: str = "") -> None:
        """A filled circle.

        Args:
            x: Centre, px.
            y: Centre, px.
            radius: Pixels.
            style: CSS class.
            tip: Appears when the mouse rests on it.
        """
        self._parts.append(
            f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>{escape(tip)}</title></circle>'
        )

    def path(self, points: Sequence[tuple[float, float]], style: str, closed: bool = False) -> None:
        text = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self._parts.append(f'<path class="{style}" d="M{text}{"Z" if closed else ""}"/>')

    def text(self, x: float, y: float, text: str, anchor: str = "start", style: str = "") -> None:
        """A line of text.

        Args:
            x: Anchor, px.
            y: Baseline, px.
            text: Escaped here.
            anchor: "start", "middle" or "end".
            style: CSS class.
        """
        self._parts.append(
            f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def svg(self) -> str:
        body = "".join(self._parts)
        box = f"0 0 {self.width:.0f} {self.height:.0f}"
        return f'<svg viewBox="{box}" role="img" aria-label="{escape(self._label)}">{body}</svg>'


def ticks(top: float, wanted: int) -> list[float]:
    """Round numbers from 0 to about ``top``, some ``wanted`` of them."""
    if top <= 0.0:
        return [0.0, 1.0]
    raw = top / max(wanted, 1)
    power = 10.0 ** floor(log10(raw))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= raw * 0.999)
    return [n * step for n in range(ceil(top / step - 1e-9) + 1)]


def _grid(canvas: SvgCanvas, marks: Sequence[float], left: float, scale: float, bottom: float) -> None:
    """Upright lines at ``marks`` (ms), their figures below; ``scale`` pixels to the millisecond."""
    for mark in marks:
        canvas.line(left + mark * scale, 0, left + mark * scale, bottom, "grid")
        anchor = "start" if mark == 0 else "end" if mark == marks[-1] else "middle"
        words = f"{mark:g} ms" if mark == marks[-1] else f"{mark:g}"
        canvas.text(left + mark * scale, bottom + 16, words, anchor, "axis")


def waterfall(frames: Sequence[tuple[str, dict[str, float]]], width: float) -> str:
    """One bar per frame, a stage after the other: ``frames`` are (words, ms per stage)."""
    row, left, right = 62.0, 8.0, 8.0
    canvas = SvgCanvas(width, row * len(frames) + 30, "Latency waterfall: stages of the median and of the worst frame")
    marks = ticks(max(sum(stages.values()) for _, stages in frames), 8 if width > 600 else 4)
    scale = (width - left - right) / marks[-1]
    bottom = row * len(frames)
    _grid(canvas, marks, left, scale, bottom)
    for n, (words, stages) in enumerate(frames):
        at, top = left, row * n
        canvas.text(left, top + 16, f"{words}: {sum(stages.values()):.1f} ms", style="strong")
        for stage, spent in stages.items():
            canvas.rect(at, top + 24, spent * scale, 26, f"s-{stage}", f"{stage} {spent:.2f} ms")
            label = (
                f"{stage} {spent:.1f}"
                if len(f"{stage} {spent:.1f}") * _CHARACTER < spent * scale - 6
                else f"{spent:.1f}"
            )
            if len(label) * _CHARACTER < spent * scale - 4:
                canvas.text(at + spent * scale / 2, top + 41, label, "middle", "on-bar")
            at += spent * scale
    return canvas.svg()


def timeline(stages: dict[str, np.ndarray], width: float) -> str:
    """Every frame as a column of its stages, ms, in order of display."""
    height, left, top = 240.0, 36.0, 10.0
    count = len(next(iter(stages.values())))
    canvas = SvgCanvas(width, height + 34, f"Timeline of {count} frames by stage")
    total = np.sum(list(stages.values()), axis=0)
    marks = ticks(float(total.max()) if count else 1.0, 5)
    scale, step = (height - top) / marks[-1], (width - left - 4) / max(count, 1)
    base = np.zeros(count)
    for stage, spent in stages.items():
        upper = base + spent
        points = []
        for n in range(count):
            x, y = left + n * step, height - upper[n] * scale
            points += [(x, y), (x + step, y)]
        for n in reversed(range(count)):
            x, y = left + n * step, height - base[n] * scale
            points += [(x + step, y), (x, y)]
        if points:
            canvas.path(points, f"s-{stage}", closed=True)
        base = upper
    for mark in marks:
        y = height - mark * scale
        canvas.line(left, y, width - 4, y, "grid")
        canvas.text(left - 5, y + 4, f"{mark:g}", "end", "axis")
    for mark in ticks(count, 6 if width > 600 else 3):
        if mark <= count:
            anchor = "start" if mark == 0 else "end" if mark > 0.97 * count else "middle"
            canvas.text(left + mark * step, height + 15, f"{mark:g}", anchor, "axis")
    canvas.text(width - 4, height + 30, "frame", "end", "axis")
    canvas.text(2, height + 30, "ms, capture to display", style="axis")
    return canvas.svg()


def distribution(series: Sequence[tuple[str, str, np.ndarray]], width: float) -> str:
    """Histograms over one axis: ``series`` are (words, style, ms), with lines at the median, p95 and p99."""
    height, row = 120.0, 150.0
    canvas = SvgCanvas(width, row * len(series) + 34, "Distribution of latencies")
    end = max(float(np.percentile(values, 99.5)) for *_, values in series) * 1.08
    marks = ticks(end, 8 if width > 600 else 4)
    left, scale = 8.0, (width - 16.0) / marks[-1]
    bins = np.linspace(0.0, marks[-1], 81 if width > 600 else 41)
    for n, (words, style, values) in enumerate(series):
        bottom = row * n + row - 6
        counts, _ = np.histogram(np.minimum(values, marks[-1] - 1e-9), bins)
        high = max(int(counts.max()), 1)
        for count, begin, stop in zip(counts, bins, bins[1:], strict=False):
            if count:
                tall = count / high * (height - 24)
                tip = f"{begin:.1f} to {stop:.1f} ms: {count}"
                canvas.rect(left + begin * scale, bottom - tall, (stop - begin) * scale - 0.5, tall, style, tip)
        canvas.text(left, row * n + 14, f"{words}, {values.size} values", style="strong")
        spots = [(q, float(np.percentile(values, q))) for q in (50, 95, 99)]
        figures = "   ".join(f"p{q} {value:.1f}" for q, value in spots)
        canvas.text(left, row * n + 30, f"{figures} ms", style="axis")
        for _, value in spots:
            canvas.line(left + value * scale, bottom - height + 32, left + value * scale, bottom, "mark")
        canvas.line(left, bottom, width - 8, bottom, "rule")
    bottom = row * len(series)
    for mark in marks:
        anchor = "start" if mark == 0 else "end" if mark == marks[-1] else "middle"
        canvas.text(
            left + mark * scale, bottom + 12, f"{mark:g} ms" if mark == marks[-1] else f"{mark:g}", anchor, "axis"
        )
    return canvas.svg()


def roofline(peaks: dict[str, float], profile: dict[str, Any], width: float) -> str:
    """Layers under the roof that memory and arithmetic units build; both axes logarithmic."""
    height, left, bottom = 330.0, 44.0, 286.0
    canvas = SvgCanvas(width, height, "Roofline: GFLOP/s over operations per byte")
    layers = [
        (la["gflop"] / la["mb"] * 1e3, la["gflop"] / la["ms"] * 1e3, la)
        for la in profile["layers"]
        if la["mb"] and la["ms"]
    ]
    roofs = {name: peaks[f"{name}_gflops"] for name in ("bf16", "f32") if f"{name}_gflops" in peaks}
    across = [x for x, *_ in layers] + [roof / peaks["copy_gb_per_s"] for roof in roofs.values()]
    up = [y for _, y, _ in layers] + list(roofs.values())
    x0, x1 = floor(log10(min(across)) - 0.15), ceil(log10(max(across)) + 0.1)
    y0, y1 = floor(log10(min(up))), ceil(log10(max(up)) + 0.05)

    def at(x: float, y: float) -> tuple[float, float]:
        fx, fy = (log10(x) - x0) / (x1 - x0), (log10(y) - y0) / (y1 - y0)
        return left + fx * (width - left - 8), bottom - fy * (bottom - 12)

    for power in range(x0, x1 + 1):
        x, _ = at(10.0**power, 1.0)
        canvas.line(x, 12, x, bottom, "grid")
        canvas.text(x, bottom + 16, f"{10.0**power:g}", "end" if power == x1 else "middle", "axis")
    for power in range(y0, y1 + 1):
        _, y = at(1.0, 10.0**power)
        canvas.line(left, y, width - 8, y, "grid")
        canvas.text(left - 6, y + 4, f"{10.0**power:g}", "end", "axis")
    for name, roof in roofs.items():
        corner = roof / peaks["copy_gb_per_s"]
        start = max(10.0**x0, 10.0**y0 / peaks["copy_gb_per_s"])
        points = [at(start, start * peaks["copy_gb_per_s"]), at(corner, roof), at(10.0**x1, roof)]
        canvas.path(points if corner > start else [at(10.0**x0, roof), points[-1]], "roof")
        x, y = points[-1]
        canvas.text(x - 4, y - 6, f"{name} {roof:.0f} GFLOP/s", "end", "strong")
    longest = max(la["ms"] for *_, la in layers)
    for x, y, la in layers:
        tip = f"{la['name']}: {la['ms']:.2f} ms, {y:.0f} GFLOP/s, {x:.0f} operations per byte, {la['precision']}"
        canvas.dot(*at(x, max(y, 10.0**y0)), 3.0 + 5.0 * (la["ms"] / longest) ** 0.5, "layer", tip)
    canvas.text(left, bottom + 34, "operations per byte", style="axis")
    canvas.text(left + 6, 26, f"GFLOP/s; memory {peaks['copy_gb_per_s']:.1f} GB/s", style="axis")
    return canvas.svg()


def bars(rows: Sequence[tuple[str, float, str]], width: float, label: str) -> str:
    """Named horizontal bars: ``rows`` are (name, value, words behind the bar)."""
    row = 40.0
    canvas = SvgCanvas(width, row * len(rows) + 2, label)
    room = max(len(words) for *_, words in rows) * (_CHARACTER + 0.4) + 14
    scale = (width - 16 - room) / max(value for _, value, _ in rows)
    for n, (name, value, words) in enumerate(rows):
        canvas.text(8, row * n + 13, name, style="axis")
        canvas.rect(8, row * n + 18, value * scale, 15, "first" if n == 0 else "other", f"{name} {words}")
        canvas.text(8 + value * scale + 6, row * n + 30, words, style="strong")
    return canvas.svg()


def ranges(rows: Sequence[tuple[str, dict[str, Any]]], width: float) -> str:
    """One line per drive from its median latency to its p99, with a dot at p95: ``rows`` are (name, summary of ms)."""
    row = 42.0
    canvas = SvgCanvas(width, row * len(rows) + 24, "Latency of every drive: median, p95, p99")
    marks = ticks(max(times["p99"] for _, times in rows), 8 if width > 600 else 4)
    left, scale = 8.0, (width - 16.0) / marks[-1]
    bottom = row * len(rows)
    _grid(canvas, marks, left, scale, bottom)
    for n, (name, times) in enumerate(rows):
        y = row * n + 28
        canvas.text(left, row * n + 14, name, style="axis")
        canvas.line(left + times["p50"] * scale, y, left + times["p99"] * scale, y, "range")
        for q, style in (("p50", "first"), ("p95", "other"), ("p99", "other")):
            low, high = times["ci"][q]
            tip = f"{q} {times[q]:.1f} ms ({low:.1f} to {high:.1f})"
            canvas.dot(left + times[q] * scale, y, 6 if q == "p50" else 4, style, tip)
    return canvas.svg()
