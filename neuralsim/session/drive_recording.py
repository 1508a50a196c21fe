"""Recording of a drive on request: the rendered frames as MP4 and all simulator data as MCAP next to it."""

from dataclasses import replace
from pathlib import Path

from bridge.messages import Chart
from bridge.untrusted import limits
from neuralsim import __version__
from neuralsim.recording.holes import describe, holes
from neuralsim.recording.writing.mcap_writer import McapWriter
from neuralsim.recording.writing.mp4 import Mp4Writer
from neuralsim.session.drive_session import DriveSession
from neuralsim.session.render_loop import RenderedFrame

VIDEO = "video.mp4"
DATA = "recording.mcap"
_PLANES = ("tag", "instance", "depth", "motion", "neural")


class DriveRecording:
    """A recording in the folder ``path``, at simulated speed.

    Frames that disk or CPU cannot keep up with are dropped; ``missing`` says how many and where.
    Raises ``neuralsim.recording.RecordingError`` if the files cannot be opened. Later failures are in ``error``.
    """

    def __init__(self, path: Path, first: RenderedFrame, session: DriveSession, chart: Chart | None = None) -> None:
        """Open both files; ``chart`` is the map's chart, None if it is unknown."""
        self.path, self._chart = path, chart
        self._times: list[float] = []  # s, simulated, of the recorded frames
        height, width = first.neural.shape[:2]
        options = session.options
        self._video = Mp4Writer(path / VIDEO, (width, height), rate=session.fps)
        metadata = {
            "scenario": path.name,
            "town": Path(options.town).name,
            "seed": str(options.seed),
            "fps": f"{session.fps:g}",
            "model": session.model,
            "style": session.style or "",
            "remap": str(session.remap),
            "dashcam": str(options.dashcam).lower(),
            "neuralsim": __version__,
        }
        town = Path(options.town)
        try:
            files = {town.name: town.read_bytes()} if town.suffix.lower() == ".xodr" else {}
            self._data = McapWriter(
                path / DATA, _PLANES, metadata, files, depth=_depth(first, session.fps), block=False
            )
        except BaseException:
            self._video.close()
            raise

    @property
    def error(self) -> str | None:
        """The error, in one line, once writing either file has failed."""
        return self._video.error or self._data.error

    @property
    def missing(self) -> str:
        """A line about missing frames, "" for none."""
        return describe(holes(self._times))

    def write(self, rendered: RenderedFrame) -> None:
        """Add a frame."""
        self._video.write(rendered.neural, rendered.frame.sim_time)
        # The bridge reuses the planes' memory, and the stamps are still to be filled in.
        planes = {name: plane.copy() for name, plane in rendered.frame.planes.items() if name in _PLANES}
        frame = replace(rendered.frame, planes=planes, stamps=dict(rendered.frame.stamps), chart=self._chart)
        if self._data.write(frame, rendered.neural):
            self._times.append(frame.sim_time)
        self._chart = None  # the chart is recorded once

    def close(self) -> None:
        """Write what is queued and close both files."""
        self._video.close()
        self._data.close()


def _depth(first: RenderedFrame, fps: float) -> int:
    """Return how many frames like the ``first`` one may wait for the writer: a second's, as it begins, or as fit."""
    size = first.neural.nbytes + sum(plane.nbytes for plane in first.frame.planes.values())
    return max(min(round(fps), limits.WAITING // size), 1)
