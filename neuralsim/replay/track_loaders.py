"""Readers of what a recording says of the whole drive, in the background."""

import threading
from collections.abc import Iterable
from pathlib import Path

from neuralsim.challenge.ghost import Run, RunRecorder
from neuralsim.recording import RecordingError, foxglove
from neuralsim.recording.drive_track import DriveTrack, track_of
from neuralsim.recording.reading.recorded_frame import RecordedFrame
from neuralsim.recording.reading.sequential_reader import McapRecording

TOPICS = ("/ego", "/control")
_POSE = "/tf"


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
