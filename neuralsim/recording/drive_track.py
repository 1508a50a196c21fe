"""The course of a recorded drive: speed, pedals, steering and events over time."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neuralsim.recording.holes import describe, holes
from neuralsim.recording.reading.recorded_frame import RecordedFrame

#: Kinds of events, with what the replay says of them.
EVENTS = {"collision": "Collision", "lane": "Lane left", "weather": "Weather", "hole": "Frames missing"}
Event = tuple[float, str, str]  # s since the first frame, kind of EVENTS, text


@dataclass
class DriveTrack:
    """The series of a drive: ``values`` f64 (N, 5), seconds since the first frame, speed (m/s), throttle, brake, steer.

    ``events``: see ``Event``.
    """

    values: np.ndarray = field(default_factory=lambda: np.zeros((0, 5)))
    events: list[Event] = field(default_factory=list)


def track_of(frames: Iterable[RecordedFrame]) -> DriveTrack:
    """Return the track of frames in order."""
    rows: list[tuple[float, ...]] = []
    track = DriveTrack()
    begin, collisions, weather = None, 0, None
    for frame in frames:
        begin = frame.time if begin is None else begin
        now = frame.time - begin
        ego, pedals = frame.json.get("ego", {}), frame.json.get("control", {})
        brake = 1.0 if pedals.get("hand_brake") else pedals.get("brake", 0.0)
        rows.append((now, ego.get("speed", 0.0), pedals.get("throttle", 0.0), brake, pedals.get("steer", 0.0)))
        count = int(ego.get("collisions", 0))
        if count > collisions:
            track.events.append((now, "collision", f"Collision {count}"))
        collisions = count
        name = str(ego.get("weather", ""))
        if weather is not None and name != weather and name:
            track.events.append((now, "weather", f"Weather: {name}"))
        weather = name
    track.values = np.array(rows, np.float64).reshape(-1, 5)
    return track


def known_events(path: Path, times: Sequence[float]) -> list[Event]:
    """Return the events of the recording ``path`` that need no look at its frames, in order.

    They are the collisions and lane invasions in ``result.json`` next to it, and the holes between frames at ``times``
    (s, increasing).
    """
    try:
        result = json.loads(path.with_name("result.json").read_text(encoding="utf-8"))
        found = [
            (float(event["time"]), kind, EVENTS[kind])
            for kind, key in (("collision", "collisions"), ("lane", "lane_invasions"))
            for event in result.get(key, ())
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        found = []
    return sorted(found + [(hole.begin, "hole", describe([hole])) for hole in holes(times)])


def with_events(known: Sequence[Event], track: DriveTrack) -> list[Event]:
    """Return ``known`` with those of ``track`` whose kind it lacks, in order: ``result.json`` has more of its kinds."""
    kinds = {kind for _, kind, _ in known}
    return sorted([*known, *(event for event in track.events if event[1] not in kinds)])
