"""A run as a Chrome trace, for https://ui.perfetto.dev or chrome://tracing ("Trace Event Format", Google 2016).

Work is drawn where it happens: simulate and pack within a tick on the bridge's thread, render on the render thread,
display on the window's. The input latency, and each frame's whole life with its stages inside (transport among them),
are asynchronous events.
"""

from typing import Any

from neuralsim.session.metrics import STAGES

_BRIDGE = 1  # process ids in the trace
_RENDERER = 2
_TICKS = 1  # thread ids, of the bridge
_RENDER = 1  # of the renderer
_WINDOW = 2
_FRAMES = 3
_KEYS = 4
_NAMES = {
    _BRIDGE: ("bridge and simulator", {_TICKS: "ticks"}),
    _RENDERER: ("renderer and window", {_RENDER: "render", _WINDOW: "display", _FRAMES: "frames", _KEYS: "keys"}),
}
_Events = list[dict[str, Any]]


def events(report: dict[str, Any]) -> dict[str, Any]:
    """Return the trace of the first run of the report's first drive; times are in us since its first frame."""
    drive = next((drive for drive in report["drives"] if drive.get("runs")), None)
    trace: _Events = []
    for pid, (process, threads) in _NAMES.items():
        for kind, tid, name in (("process_name", 0, process), *(("thread_name", *item) for item in threads.items())):
            trace.append({"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}})
    if drive is not None:
        table = drive["runs"][0]["frames"]
        trace += _frames(table)
        for n, (pressed, seen) in enumerate(zip(table["pressed"], table["seen"], strict=True)):
            trace.append({"ph": "i", "s": "t", "name": "key", "pid": _RENDERER, "tid": _KEYS, "ts": pressed})
            trace += _asynchronous("input latency", n, "input", _KEYS, pressed, seen)
    about = {"cell": drive["cell"]["name"] if drive else ""} | {key: report.get(key, "") for key in ("date", "host")}
    return {"traceEvents": trace, "displayTimeUnit": "ms", "otherData": about}


def _frames(table: dict[str, list[int]]) -> _Events:
    trace: _Events = []
    displayed = 0  # when the previous frame was
    for n, sequence in enumerate(table["sequence"]):
        at = {name: table[name][n] for pair in STAGES.values() for name in pair}
        spans = (
            (_BRIDGE, _TICKS, f"tick {sequence}", at["capture"], at["sent"]),
            (_BRIDGE, _TICKS, "simulate", at["capture"], at["simulated"]),
            (_BRIDGE, _TICKS, "pack", at["simulated"], at["sent"]),
            (_RENDERER, _RENDER, "render", at["received"], at["rendered"]),
            # an image that waited for the previous one: its waiting is not the window's work
            (_RENDERER, _WINDOW, "display", max(at["rendered"], displayed), at["displayed"]),
        )
        details = {"frame": sequence, "skipped before": table["skipped"][n]}
        for pid, tid, name, begin, end in spans:
            event = {"ph": "X", "cat": "stage", "name": name, "pid": pid, "tid": tid, "ts": begin, "args": details}
            trace.append(event | {"dur": max(end - begin, 0)})
        displayed = at["displayed"]
        for stage, (first, last) in ((f"frame {sequence}", ("capture", "displayed")), *STAGES.items()):
            trace += _asynchronous(stage, sequence, "frame", _FRAMES, at[first], at[last])
    return trace


def _asynchronous(name: str, number: int, category: str, tid: int, begin: int, end: int) -> _Events:
    common = {"cat": category, "id": number, "name": name, "pid": _RENDERER, "tid": tid}
    return [{"ph": "b", "ts": begin, **common}, {"ph": "e", "ts": end, **common}]
