"""``neuralsim drive``: one loop with a window, one without."""

from __future__ import annotations

import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bridge.link.transport import ControlSender, LinkError, load_keys
from bridge.messages import Control
from bridge.process import presets
from bridge.process.lifetime import BridgeError
from bridge.size import Size
from neuralsim.base import machine
from neuralsim.base.log import logger
from neuralsim.base.progress import ProgressLine
from neuralsim.recording import RecordingError
from neuralsim.recording.writing.mp4 import Mp4Writer
from neuralsim.runtimes import RuntimeUnavailable
from neuralsim.session import metrics
from neuralsim.session.drive_session import DriveSession
from neuralsim.session.options import DriveOptions
from neuralsim.session.painting_loop import DriveError, PaintedFrame
from neuralsim.session.processes import ProcessError, ended_by_signals
from neuralsim.session.telemetry import Telemetry
from neuralsim.town.opendrive import probe
from neuralsim.zoo import ModelError

_HEARTBEAT = 0.09  # seconds after which a control goes out though nothing has changed
_SAMPLE_MEMORY = 15.0  # seconds


class Controls:
    """Sends controls the moment they change, and at least ten times a second."""

    def __init__(self, meter: metrics.Meter, keys: Path | None) -> None:
        self._meter, self._keys = meter, keys
        self.observes = keys is not None and not load_keys(keys).drives  # may watch, not drive
        self._sender: ControlSender | None = None
        self._endpoint = ""
        self._sent = Control(sequence=0)
        self._at = 0.0

    @property
    def sequence(self) -> int:
        """Number of the newest control that was sent, 0 for none."""
        return self._sent.sequence

    def send(self, wanted: Control, endpoint: str) -> None:
        """Send ``wanted`` to ``endpoint`` if it is new or the last one has grown old; "" = not there yet."""
        now = time.monotonic()
        same = replace(wanted, sequence=0, stamp=0) == replace(self._sent, sequence=0, stamp=0, driver="")
        if self.observes or not endpoint or (same and now - self._at < _HEARTBEAT):
            return
        if self._sender is not None and endpoint != self._endpoint:  # of a bridge that was started anew
            self._sender.close()
            self._sender = None
        if self._sender is None:
            self._sender, self._endpoint = ControlSender(endpoint, keys=self._keys), endpoint
        self._sent = replace(wanted, sequence=self._sent.sequence + 1)
        self._at = now
        self._sender.send(self._sent)
        self._meter.sent(self._sent.sequence, self._sent.stamp)

    def close(self, end_bridge: bool) -> None:
        """Leave the car standing; with ``end_bridge`` the bridge serves no other client and ends."""
        if self._sender is not None:
            self._sender.send(
                replace(
                    self._sent,
                    sequence=self._sent.sequence + 1,
                    throttle=0.0,
                    brake=1.0,
                    hand_brake=True,
                    autopilot=False,
                    quit=end_bridge,
                    leaving=True,
                )
            )
            time.sleep(0.03)  # the socket closes without lingering; the message has to leave first
            self._sender.close()
            self._sender = None


class DriveLoop(ABC):
    """What both loops share: the session, the measurement, what is written."""

    def __init__(self, options: DriveOptions, wake: Callable[[], None] = lambda: None) -> None:
        self.options = options
        self.meter = metrics.Meter()
        self.controls = Controls(self.meter, options.keys)
        self.session = DriveSession(options, wake)
        self.recorder: Mp4Writer | None = None
        self._recorded_since = 0.0
        self.interrupted = False
        self._size = options.shown  # of the pictures; that of the bridge where it runs elsewhere
        self._telemetry: Telemetry | None = None
        self._memory: float | None = None
        self._memory_sampled = time.monotonic()
        self._sampler: threading.Thread | None = None

    def run(self) -> None:
        """Drive until the end; raises one of ``EXPECTED`` where that is not the one that was asked for."""
        with ended_by_signals(self._interrupt):
            try:
                check_names(self.options)
                check_outputs(self.options)
                if self.options.log is not None:
                    self._telemetry = Telemetry(self.options.log)
                self.drive()
                self._finish()
            finally:
                self.controls.close(end_bridge=self.options.connect is None)
                self.session.stop()
                if self.recorder is not None:
                    self.recorder.close()
                if self._telemetry is not None:
                    self._telemetry.close()

    @abstractmethod
    def drive(self) -> None:
        """The loop; ends when it is done or was interrupted."""

    @property
    def done(self) -> bool:
        """Whether the asked number of frames was shown or the user wants to leave."""
        return self.interrupted or (self.options.frames is not None and self.meter.frames >= self.options.frames)

    def shown(self, picture: PaintedFrame) -> None:
        """Account for a picture that is on the screen (or with the recorder)."""
        frame = picture.frame
        frame.stamps["displayed"] = time.monotonic_ns()
        self._size = Size(frame.camera.width, frame.camera.height)
        if not self.meter.frames:
            self.meter.start(self.session.painting_since)
        self.meter.shown(frame)
        self.meter.upscaled(picture.upscaling)
        if self._telemetry is not None:
            self._telemetry.write(frame)
        now = time.monotonic()
        if now - self._memory_sampled > _SAMPLE_MEMORY:
            self._memory_sampled = now
            self._sampler = threading.Thread(target=self._sample_memory, name="memory", daemon=True)
            self._sampler.start()

    def say_about_runtime(self) -> None:
        """What was found out about the runtime at loading, for the terminal."""
        for line in (self.session.warning, self.session.note):
            if line:
                logger().warning(line)

    def start_recording(self, path: Path, picture: PaintedFrame) -> None:
        """Open ``path`` for pictures like this one. :class:`RecordingError` where it cannot."""
        height, width = picture.neural.shape[:2]
        self.recorder = Mp4Writer(path, (width, height), rate=self.session.fps, block=self.options.headless)
        self._recorded_since = time.monotonic()

    @property
    def recorded_seconds(self) -> float:
        """How long the recorder has been running, wall clock."""
        return time.monotonic() - self._recorded_since

    def _sample_memory(self) -> None:
        found = machine.memory_mb([os.getpid()])
        if found is not None:
            self._memory = max(self._memory or 0.0, found)

    def _finish(self) -> None:
        self._sample_memory()
        path = self.options.report
        if path is not None and self.meter.frames:
            metrics.write(
                path,
                self.meter.report(
                    runtime=self.session.runtime,
                    model=self.session.model,
                    size=self._size,
                    wanted_fps=None if self.options.headless else self.session.fps,
                    memory_mb=self._memory,
                ),
            )
        wanted = self.options.frames
        if wanted is not None and self.meter.frames < wanted:
            raise DriveError(f"interrupted after {self.meter.frames} of {wanted} frames")

    def _interrupt(self) -> None:
        self.interrupted = True


class HeadlessDrive(DriveLoop):
    """No window: every frame is painted once, in lock-step, and handed to the recorder."""

    def drive(self) -> None:
        session, options = self.session, self.options
        wanted = Control(sequence=0, autopilot=options.autopilot)
        progress = ProgressLine(options.frames)
        try:
            session.start()
            while not self.done:
                self.controls.send(wanted, session.controls)
                picture = session.take(_HEARTBEAT / 2)
                if picture is None:
                    if session.error is not None:
                        raise session.error
                    progress.waiting([name for name, done in session.steps.items() if not done])
                    continue
                if not self.meter.frames:
                    progress.close()
                    self.say_about_runtime()
                if options.record is not None:
                    self._record(options.record, picture)
                self.shown(picture)
                progress.update(self.meter)
        finally:
            progress.close()
        if self.recorder is not None:
            self.recorder.close()
            if self.recorder.error is not None:
                raise RecordingError(self.recorder.error)

    def _finish(self) -> None:
        super()._finish()
        print(self.summary(), flush=True)

    def summary(self) -> str:
        """The drive in a line: frames, rate, latency, what was written."""
        meter, options = self.meter, self.options
        rate = meter.frames / meter.seconds if meter.seconds > 0.0 else 0.0
        median, p95 = meter.recent()[0], meter.recent_tail()[0]
        written = [str(path) for path in (options.record, options.report, options.log) if path is not None]
        said = f"{meter.frames} frames, {rate:.1f} a second, {median:.0f} ms (p95 {p95:.0f})"
        return f"{said}; wrote {', '.join(written)}" if written else said

    def _record(self, path: Path, picture: PaintedFrame) -> None:
        if self.recorder is None:
            self.start_recording(path, picture)
        if self.recorder is not None and not self.recorder.write(picture.neural, picture.frame.sim_time):
            raise RecordingError(self.recorder.error or f"recording to {path} stopped")


def check_names(options: DriveOptions) -> None:
    """:class:`DriveError` now, rather than when a town has been built, for a town or a weather that is not there."""
    try:
        if options.weather:
            presets.weather(options.weather)
        if presets.town(options.town) not in presets.TOWNS:
            probe.read(options.town, Path(options.town))
    except ValueError as error:
        raise DriveError(str(error)) from None


def check_outputs(options: DriveOptions) -> None:
    """Make the folders of what will be written; :class:`DriveError` now rather than after the drive."""
    for path in (options.record, options.report, options.log):
        if path is None:
            continue
        try:
            if not path.parent.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                print(f"{path.parent}: this folder was made", flush=True)
            new = not path.exists()
            path.open("ab").close()
            if new:
                path.unlink()
        except OSError as error:
            raise DriveError(f"cannot write {path}: {(error.strerror or 'unknown reason').lower()}") from None


def ended(code: int) -> int:
    """The exit code of a drive that is over. A compiler that is still at work cannot be cancelled, and must not see the
    interpreter go away under it: then the process ends here.
    """
    if any(thread.name == "model" for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


#: What may go wrong without being a mistake of ours: one line says it.
EXPECTED = (BridgeError, DriveError, ProcessError, LinkError, RecordingError, ModelError, RuntimeUnavailable, OSError)
