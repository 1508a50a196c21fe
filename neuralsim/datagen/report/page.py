"""Write ``report.html`` of a recorded scenario and ``index.html`` of all scenarios of a run, without other files but
the video and the poster next to them."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bridge.messages import Chart
from neuralsim.base.html_pages import render
from neuralsim.datagen.report.track import AssertionLine, Event, Track
from neuralsim.recording.holes import clock, holes

_HERE = Path(__file__).parent
_WIDE = 1000.0  # units of the width of time lines and charts
_TALL = 120.0  # units of the height of a chart
_AROUND = 25.0  # m of the map around the trajectories
_MOST = 1200  # points of a curve
_COLOURS = ("ego", "one", "two", "three", "four", "five")  # CSS variables of trajectories


class Curve(NamedTuple):
    """A line of a chart: its CSS class, its name and its SVG points."""

    kind: str
    name: str
    points: str


class Graph(NamedTuple):
    """A chart over time: its title, its unit, its lowest and highest value, and its lines."""

    title: str
    unit: str
    low: float
    high: float
    curves: list[Curve]


def write_report(path: Path, title: str, description: str, result: dict[str, Any], track: Track) -> None:
    """Write the report of one scenario; ``result`` is what ``result.json`` has. Raises ``OSError``."""
    end = max(track.times[-1] if track.times else 0.0, 1e-3)
    found = holes(track.times)
    page = render(
        _HERE / "report.html.j2", title=title, description=description, result=result,
        facts=_facts(result, track, end), end=end,
        duration=clock(end), assertions=_assertions(result, track.assertions, end), graphs=_graphs(track, end),
        collisions=_marks(track.collisions, end), invasions=_marks(track.invasions, end),
        holes=[(_at(hole.begin, end), _at(hole.end, end), f"{hole.frames} missing at {clock(hole.begin)}")
               for hole in found],
        map=_map(track), video="video.mp4" if "video.mp4" in result["files"] else "",
        data=_moving(track),
        ticks=[(_at(second, end), clock(second).removesuffix(".0")) for second in _seconds(end)],
    )  # fmt: skip
    _write(path, page)


def write_index(path: Path, results: Sequence[tuple[str, dict[str, Any]]], failed: Iterable[tuple[str, str]]) -> None:
    """Write the list of scenarios: names of folders next to ``path`` with their ``result.json``, and of those that
    could not be recorded with the reason. Raises ``OSError``."""
    rows: list[dict[str, Any]] = [
        {
            "name": name, "result": result, "link": _link(path.parent, name, "report.html"),
            "poster": _link(path.parent, name, "poster.jpg"),
            "broken": [each for each in result["assertions"] if not each["passed"]],
        }
        for name, result in results
    ]  # fmt: skip
    rows.sort(key=lambda row: (row["result"]["passed"], row["name"]))
    totals = {
        "passed": sum(bool(row["result"]["passed"]) for row in rows),
        "frames": sum(int(row["result"]["frames"]) for row in rows),
        "metres": sum(float(row["result"].get("distance", 0.0)) for row in rows),
    }
    _write(path, render(_HERE / "index.html.j2", rows=rows, failed=list(failed), totals=totals))


def _link(folder: Path, name: str, file: str) -> str:
    return f"{name}/{file}" if (folder / name / file).exists() else ""


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _at(time: float, end: float) -> float:
    return round(_WIDE * min(max(time / end, 0.0), 1.0), 1)


def _seconds(end: float) -> list[float]:
    """Return the times of the axis: at most about ten."""
    step = next(step for step in (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 300.0, 1e9) if end / step <= 11)
    return [k * step for k in range(int(end / step) + 1)]


def _facts(result: dict[str, Any], track: Track, end: float) -> list[tuple[str, str]]:
    simulated = len(track.times) / end if len(track.times) > 1 else 0.0
    return [
        ("Distance", f"{result.get('distance', 0.0):.0f} m"),
        ("Simulated", f"{clock(end)} at {simulated:.0f} Hz"),
        ("Top speed", f"{3.6 * max(track.speed, default=0.0):.0f} km/h"),
        ("Collisions", str(len(track.collisions))),
        ("Images", f"{result['frames']}, {result['size']}"),
        ("Recorded at", f"{result['fps']:.1f} images/s"),
        ("Weather", track.weather or "the town's"),
        ("Model", f"{result['model']}, {result['runtime']}" if result["runtime"] else result["model"]),
    ]


def _assertions(result: dict[str, Any], lines: Sequence[AssertionLine], end: float) -> list[dict[str, Any]]:
    """Return a row per assertion: text, figures, and bars (CSS class, begin, width) over time.

    ``holds`` where it held, ``broken`` where it did not and fails in the end, ``open`` where it was still to be met.
    """
    rows = []
    for line, outcome in zip(lines, result["assertions"], strict=True):
        bars = []
        for k, (time, holds) in enumerate(line.changes):
            until = line.changes[k + 1][0] if k + 1 < len(line.changes) else end
            kind = "holds" if holds else "open" if outcome["passed"] else "broken"
            bars.append((kind, _at(time, end), max(_at(until, end) - _at(time, end), 2.0)))
        value, limit = (f"{outcome[key]:g}" if outcome[key] is not None else "–" for key in ("value", "limit"))
        text = line.name.replace("_", " ")
        rows.append(
            {"text": text, "of": line.of, "passed": outcome["passed"], "value": value, "limit": limit, "bars": bars}
        )
    return rows


def _marks(events: Sequence[Event], end: float) -> list[tuple[float, str]]:
    return [(_at(event.time, end), f"{clock(event.time)} {event.text}") for event in events]


def _graphs(track: Track, end: float) -> list[Graph]:
    speed = [3.6 * value for value in track.speed]
    most = max(10.0, 10.0 * np.ceil(max(speed, default=0.0) / 10.0))
    low = min(0.0, 10.0 * np.floor(min(speed, default=0.0) / 10.0))
    pedals = [("good", "throttle", track.throttle), ("bad", "brake", track.brake)]
    return [
        Graph("Speed", "km/h", low, most, [_curve("first", "speed", track.times, speed, end, low, most)]),
        Graph("Pedals", "", 0.0, 1.0, [_curve(kind, name, track.times, v, end, 0.0, 1.0) for kind, name, v in pedals]),
        Graph("Steering", "", -1.0, 1.0, [_curve("first", "right is up", track.times, track.steer, end, -1.0, 1.0)]),
    ]


def _curve(
    kind: str, name: str, times: Sequence[float], values: Sequence[float], end: float, low: float, high: float
) -> Curve:
    every = -(-len(times) // _MOST) or 1
    pairs = list(zip(times, values, strict=True))[::every]
    points = " ".join(f"{_at(t, end)},{_TALL * (high - v) / (high - low):.1f}" for t, v in pairs)
    return Curve(kind, name, points)


def _moving(track: Track) -> dict[str, Any]:
    """Return what the page's script moves: times, and the actors' places."""
    every = -(-len(track.times) // _MOST) or 1
    return {
        "times": [round(time, 3) for time in track.times[::every]],
        "speed": [round(3.6 * value, 1) for value in track.speed[::every]],
        "actors": {name: places[::every] for name, places in track.actors.items()},
    }


def _map(track: Track) -> dict[str, Any] | None:
    """Return the map: its view box, lanes as SVG points with widths, and the trajectories of the named actors."""
    places = [place[:2] for of_actor in track.actors.values() for place in of_actor if place is not None]
    if not places:
        return None
    low, high = np.min(places, axis=0) - _AROUND, np.max(places, axis=0) + _AROUND
    wide, tall = high - low
    if wide < tall * 1.2:  # the frame is wider than high
        low[0], high[0] = np.array([-0.6, 0.6]) * tall + (low[0] + high[0]) / 2
        wide = tall * 1.2
    names = sorted(track.actors, key=lambda name: (name != "ego", name))
    paths = [
        {
            "name": name, "kind": _COLOURS[min(k, len(_COLOURS) - 1)],
            "points": " ".join(f"{place[0]:.1f},{place[1]:.1f}" for place in track.actors[name] if place is not None),
        }
        for k, name in enumerate(names)
    ]  # fmt: skip
    lanes = [] if track.chart is None else _lanes(track.chart, low, high)
    box = f"{low[0]:.1f} {low[1]:.1f} {wide:.1f} {tall:.1f}"
    return {"box": box, "lanes": lanes, "paths": paths, "unit": round(float(max(wide, tall)) / 300.0, 3)}


def _lanes(chart: Chart, low: np.ndarray, high: np.ndarray) -> list[tuple[str, float]]:
    lanes = []
    for line, width in zip(chart.lines, chart.widths[:, 0], strict=True):
        near = ((line > low - 20.0) & (line < high + 20.0)).all(1)
        if near.any():
            begin, end = np.flatnonzero(near)[[0, -1]]
            part = line[max(begin - 1, 0) : end + 2]
            lanes.append((" ".join(f"{x:.1f},{y:.1f}" for x, y in part.tolist()), round(float(width), 2)))
    return lanes
