"""A run as a Chrome trace, for https://ui.perfetto.dev or chrome://tracing ("Trace Event Format", Google 2016).

Work is drawn where it happens: simulate and pack within a tick on the bridge's thread, render on the painting thread,
display on the window's. What only takes time, the way over the link and from a key to the picture, runs beside it as
asynchronous events, as does each frame's whole life with its stages inside.
"""

from __future__ import annotations

from typing import Any

from neuralsim.session.metrics import STAGES

_BRIDGE, _RENDERER = 1, 2  # process ids in the trace
_TICKS, _PAINTER, _WINDOW, _FRAMES, _KEYS = 1, 1, 2, 3, 4  # thread ids
_NAMES = {
    _BRIDGE: ("bridge and simulator", {_TICKS: "ticks"}),
    _RENDERER: ("renderer and window", {_PAINTER: "paint", _WINDOW: "display", _FRAMES: "frames", _KEYS: "keys"}),
}


def events(report: dict[str, Any]) -> dict[str, Any]:
    """The first run of the report's first drive: {"traceEvents": [...], ...}, times in us since its first frame."""
    drive = next((drive for drive in report["drives"] if drive.get("runs")), None)
    found: list[dict[str, Any]] = []
    for pid, (process, threads) in _NAMES.items():
        found.append(_named(pid, 0, "process_name", process))
        found += [_named(pid, tid, "thread_name", thread) for tid, thread in threads.items()]
    if drive is not None:
        found += _frames(drive["runs"][0]["frames"])
    other = {
        "cell": drive["cell"]["name"] if drive else "",
        "date": report.get("date", ""),
        "host": report.get("host", ""),
    }
    return {"traceEvents": found, "displayTimeUnit": "ms", "otherData": other}


def _frames(table: dict[str, list[int]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    shown_until = 0
    for n, sequence in enumerate(table["sequence"]):
        at = {name: table[name][n] for pair in STAGES.values() for name in pair}
        details = {"frame": sequence, "skipped before": table["skipped"][n]}
        found += [
            _slice(_BRIDGE, _TICKS, f"tick {sequence}", at["capture"], at["sent"], details),
            _slice(_BRIDGE, _TICKS, "simulate", at["capture"], at["simulated"]),
            _slice(_BRIDGE, _TICKS, "pack", at["simulated"], at["sent"]),
            _slice(_RENDERER, _PAINTER, "render", at["received"], at["rendered"], details),
            # a picture that waited for the one before it: its waiting is not the window's work
            _slice(_RENDERER, _WINDOW, "display", max(at["rendered"], shown_until), at["displayed"], details),
        ]
        shown_until = at["displayed"]
        found += _asynchronous(f"frame {sequence}", sequence, "frame", _FRAMES, at["capture"], at["displayed"])
        for stage, (begin, end) in STAGES.items():
            found += _asynchronous(stage, sequence, "frame", _FRAMES, at[begin], at[end])
    for n, (pressed, seen) in enumerate(zip(table["pressed"], table["seen"], strict=True)):
        found.append({"ph": "i", "s": "t", "name": "key", "pid": _RENDERER, "tid": _KEYS, "ts": pressed})
        found += _asynchronous("click to photon", n, "input", _KEYS, pressed, seen)
    return found


def _slice(
    pid: int, tid: int, name: str, begin: int, end: int, details: dict[str, Any] | None = None
) -> dict[str, Any]:
    event = {"ph": "X", "cat": "stage", "name": name, "pid": pid, "tid": tid, "ts": begin, "dur": max(end - begin, 0)}
    return event | ({"args": details} if details else {})


def _asynchronous(name: str, number: int, category: str, tid: int, begin: int, end: int) -> list[dict[str, Any]]:
    common = {"cat": category, "id": number, "name": name, "pid": _RENDERER, "tid": tid}
    return [{"ph": "b", "ts": begin, **common}, {"ph": "e", "ts": end, **common}]


def _named(pid: int, tid: int, what: str, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}
