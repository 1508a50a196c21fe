"""The course of a recorded drive: speed, pedals, steering and events over time, read in the background."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neuralsim.challenge.ghost import Run, RunRecorder
from neuralsim.recording import RecordingError, foxglove
from neuralsim.recording.reading.recorded_frame import RecordedFrame
from neuralsim.recording.reading.sequential_reader import McapRecording

#: Kinds of events, with what the replay says of them.
EVENTS = {"collision": "Collision", "lane": "Lane left", "weather": "Weather", "hole": "Frames missing"}
TOPICS = ("/ego", "/control")
_POSE = "/tf"


@dataclass
class DriveTrack:
    """The series of a drive: ``values`` f64 (N, 5), seconds since the first frame, speed (m/s), throttle, brake, steer.

    ``events``: (s, kind of ``EVENTS``, text).
    """

    values: np.ndarray = field(default_factory=lambda: np.zeros((0, 5)))
    events: list[tuple[float, str, str]] = field(default_factory=list)


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


class TrackLoader(threading.Thread):
    """Reads the track of a recording in a daemon thread; ``track`` is None until it is done."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="track", daemon=True)
        self.track: DriveTrack | None = None
        self._path = path
        self.start()

    def run(self) -> None:
        try:
            self.track = track_of(McapRecording(self._path).frames(TOPICS))
        except (RecordingError, OSError, TypeError, ValueError):
            self.track = DriveTrack()  # the replay itself reports what is wrong with the file


def run_of(frames: Iterable[RecordedFrame]) -> Run:
    """Return where the ego was during a recording."""
    recorder = RunRecorder()
    for frame in frames:
        pose = frame.poses.get("ego")
        if pose is not None:
            recorder.add(frame.time, foxglove.right_handed(pose))
    return recorder.run


class RunLoader(threading.Thread):
    """Reads the ego's run of a recording in a daemon thread; ``found`` is None until it is done.

    ``problem`` says why there is none.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(name="ghost", daemon=True)
        self.found: Run | None = None
        self.problem = ""
        self._path = path
        self.start()

    def run(self) -> None:
        try:
            self.found = run_of(McapRecording(self._path).frames((_POSE,)))
        except (RecordingError, OSError, TypeError, ValueError) as error:
            self.problem = str(error)
