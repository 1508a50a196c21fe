"""A drive recorded by hand: what was painted as MP4, and all that the simulator said as MCAP beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bridge.messages import Chart
from neuralsim import __version__
from neuralsim.recording.writing.mcap_writer import McapWriter
from neuralsim.recording.writing.mp4 import Mp4Writer
from neuralsim.session.drive_session import DriveSession
from neuralsim.session.painting_loop import PaintedFrame

VIDEO, DATA = "video.mp4", "recording.mcap"
_PLANES = ("tag", "instance", "depth", "motion", "neural")


class DriveRecording:
    """Writes into ``path``, a folder. A picture that the disk or a core has no time for is left out of a file.

    Raises ``neuralsim.recording.RecordingError`` where the files cannot be opened; later ``error`` is one line.
    """

    def __init__(self, path: Path, first: PaintedFrame, session: DriveSession, chart: Chart | None = None) -> None:
        """``chart``: of the map, None where it is not known."""
        self.path, self._chart = path, chart
        height, width = first.neural.shape[:2]
        options = session.options
        self._video = Mp4Writer(path / VIDEO, (width, height), rate=session.fps)
        about = {
            "scenario": path.name,
            "town": Path(options.town).name,
            "seed": str(options.seed),
            "fps": f"{session.fps:g}",
            "model": session.model,
            "style": session.style or "",
            "remap": str(session.remap),
            "neuralsim": __version__,
        }
        town = Path(options.town)
        try:
            files = {town.name: town.read_bytes()} if town.suffix.lower() == ".xodr" else {}
            self._data = McapWriter(path / DATA, _PLANES, about, files, block=False)
        except BaseException:
            self._video.close()
            raise

    @property
    def error(self) -> str | None:
        """One line once writing either file has failed."""
        return self._video.error or self._data.error

    def write(self, picture: PaintedFrame, seconds: float) -> None:
        """Add a picture, shown at ``seconds`` (increasing, any origin)."""
        self._video.write(picture.neural, seconds)
        # The planes lie in memory that the bridge uses again, and the stamps are still to be filled in.
        planes = {name: plane.copy() for name, plane in picture.frame.planes.items() if name in _PLANES}
        frame = replace(picture.frame, planes=planes, stamps=dict(picture.frame.stamps), chart=self._chart)
        self._data.write(frame, picture.neural)
        self._chart = None  # once is enough

    def close(self) -> None:
        """Write what is queued and finish both files."""
        self._video.close()
        self._data.close()
