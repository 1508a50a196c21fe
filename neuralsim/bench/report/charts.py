"""The charts of a report as inline SVG, drawn by matplotlib.

Every chart is a function of its data and a width in pixels. The page shows each at two widths, one for a desktop and
one for a phone, since text that shrinks with its drawing cannot be read on the small one. Neutral colours are written
as CSS variables of the page's style sheet, so that one drawing suits the light and the dark theme.
"""

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STAGE_COLOURS = {
    "simulate": "#4477aa", "pack": "#66ccee", "transport": "#ccbb44", "render": "#ee6677", "display": "#aa3377",
}  # fmt: skip
#: Colours of the drawings -> CSS variables that replace them.
_THEME = {"#1b2027": "--ink", "#5b6572": "--soft", "#d9dee5": "--line", "#2f6db0": "--first", "#9fb3c8": "--other"}
_INK, _SOFT, _LINE, _FIRST, _OTHER = _THEME
_ON_BAR = "#10151b"  # text on a stage's colour, in both themes
_STYLE: Any = {
    "svg.fonttype": "none", "font.size": 12.0, "figure.facecolor": "none", "axes.facecolor": "none",
    "text.color": _INK, "axes.edgecolor": _LINE, "axes.labelcolor": _SOFT, "axes.titlesize": 12.0,
    "axes.titlelocation": "left", "axes.titleweight": "bold", "xtick.color": _SOFT, "ytick.color": _SOFT,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.axisbelow": True,
    "xtick.major.size": 0.0, "ytick.major.size": 0.0, "grid.color": _LINE,
}  # fmt: skip
_CHARACTER = 7.5  # px, about the width of one


def waterfall(frames: Sequence[tuple[str, dict[str, float]]], width: float) -> str:
    """Draw one bar per frame, stage after stage; ``frames`` are (name, ms per stage)."""
    with rc_context(_STYLE):
        figure, (axes,) = _figure(width, 62.0 * len(frames) + 40.0)
        whole = max(sum(stages.values()) for _, stages in frames)
        for row, (name, stages) in enumerate(frames):
            begin = 0.0
            axes.text(0.0, row - 0.4, f"{name}: {sum(stages.values()):.1f} ms", weight="bold")
            for stage, spent in stages.items():
                axes.barh(row, spent, 0.45, begin, color=STAGE_COLOURS[stage])
                room = spent / whole * 0.9 * width / _CHARACTER  # characters
                labels = (f"{stage} {spent:.1f}", f"{spent:.1f}")
                label = next((label for label in labels if len(label) < room), "")
                axes.text(begin + spent / 2.0, row, label, color=_ON_BAR, ha="center", va="center")
                begin += spent
        axes.set(ylim=(len(frames) - 0.5, -0.7), xlabel="ms")
        axes.yaxis.set_visible(False)
        axes.grid(axis="x")
        return _svg(figure, "Latency waterfall: stages of the median and of the worst frame")


def timeline(stages: dict[str, np.ndarray], width: float) -> str:
    """Draw every frame as a column of its stages, f64 (N,) ms each, in order of display."""
    with rc_context(_STYLE):
        figure, (axes,) = _figure(width, 280.0)
        count = len(next(iter(stages.values())))
        columns = {stage: np.append(spent, spent[-1:]) for stage, spent in stages.items()}
        if count:
            colours = [STAGE_COLOURS[stage] for stage in stages]
            axes.stackplot(np.arange(count + 1), *columns.values(), colors=colours, step="post")
        axes.set(xlim=(0, max(count, 1)), xlabel="frame", ylabel="ms, capture to display")
        axes.grid(axis="y")
        return _svg(figure, f"Timeline of {count} frames by stage")


def distribution(series: Sequence[tuple[str, np.ndarray]], width: float) -> str:
    """Draw histograms over one axis; ``series`` are (name, f64 (N,) ms), with lines at the median, p95 and p99."""
    with rc_context(_STYLE):
        figure, rows = _figure(width, 150.0 * len(series) + 40.0, len(series))
        end = max(float(np.percentile(values, 99.5)) for _, values in series) * 1.08
        for axes, (name, values), colour in zip(rows, series, (_FIRST, _OTHER), strict=False):
            bins = 80 if width > 600 else 40
            axes.hist(np.minimum(values, end), bins, range=(0.0, end), color=colour, histtype="stepfilled")
            quantiles = {q: float(np.percentile(values, q)) for q in (50, 95, 99)}
            figures = "   ".join(f"p{q} {value:.1f}" for q, value in quantiles.items())
            axes.set_title(f"{name}, {values.size} values\n{figures} ms")
            for value in quantiles.values():
                axes.axvline(value, color=_INK, linewidth=1.0, linestyle=(0, (3, 3)))
            axes.yaxis.set_visible(False)
        rows[-1].set(xlim=(0.0, end), xlabel="ms")
        return _svg(figure, "Distribution of latencies")


def ranges(rows: Sequence[tuple[str, dict[str, Any]]], width: float) -> str:
    """Draw one line per drive from its median latency to its p99; ``rows`` are (name, summary of ms)."""
    with rc_context(_STYLE):
        figure, (axes,) = _figure(width, 42.0 * len(rows) + 44.0)
        for row, (name, times) in enumerate(rows):
            axes.text(0.0, row - 0.3, name, color=_SOFT)
            axes.hlines(row, times["p50"], times["p99"], color=_OTHER, linewidth=4.0)
            for q, colour, size in (("p50", _FIRST, 140.0), ("p95", _OTHER, 60.0), ("p99", _OTHER, 60.0)):
                axes.scatter(times[q], row, size, colour)
        axes.set(xlim=(0.0, None), ylim=(len(rows) - 0.4, -0.9), xlabel="ms")
        axes.yaxis.set_visible(False)
        axes.grid(axis="x")
        return _svg(figure, "Latency of every drive: median, p95, p99")


def _figure(width: float, height: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure((width / 72.0, height / 72.0), layout="constrained")  # 72 SVG units to the inch
    return figure, list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])


def _svg(figure: Figure, label: str) -> str:
    """Return the element for use within a page: without namespaces, size and names, coordinates to 0.1 px."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = re.sub(r"<!--.*?-->", "", file.getvalue()[file.getvalue().index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<g id="[\w.]+"', "<g", re.sub(r"(\d+\.\d)\d+", r"\1", re.sub(r"\s+", " ", text)))
    text = re.sub(r'<svg [^>]*(viewBox="[^"]*")[^>]*>', rf'<svg \1 role="img" aria-label="{label}">', text, count=1)
    return re.sub("|".join(_THEME), lambda match: f"var({_THEME[match[0]]})", text)
