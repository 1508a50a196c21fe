"""The loop of ``neuralsim drive``: what is common to all of them, and the one without a window."""

import os
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
from neuralsim.session.processes import ProcessError, ended_by_signals
from neuralsim.session.render_loop import DriveError, RenderedFrame
from neuralsim.session.telemetry import Telemetry
from neuralsim.town.opendrive import probe
from neuralsim.zoo import ModelError

_HEARTBEAT = 0.09  # seconds after which a control is sent even if nothing has changed
_MEMORY_INTERVAL = 15.0  # seconds between two samples of the memory in use


class Controls:
    """Sends controls as soon as they change, and at least ten times a second."""

    def __init__(self, meter: metrics.Meter, keys: Path | None) -> None:
        self._meter, self._keys = meter, keys
        self.observes = keys is not None and not load_keys(keys).may_drive  # may watch, but not drive
        self._sender: ControlSender | None = None
        self._endpoint = ""
        self._sent = Control(sequence=0)
        self._sent_at = 0.0  # s

    @property
    def sequence(self) -> int:
        """Number of the newest control that was sent, 0 for none."""
        return self._sent.sequence

    def send(self, control: Control, endpoint: str) -> None:
        """Send ``control`` to ``endpoint`` ("": not known yet) if it is new or the heartbeat is due."""
        now = time.monotonic()
        same = replace(control, sequence=0, stamp=0) == replace(self._sent, sequence=0, stamp=0, driver="")
        if self.observes or not endpoint or (same and now - self._sent_at < _HEARTBEAT):
            return
        if self._sender is not None and endpoint != self._endpoint:  # the bridge was restarted
            self._sender.close()
            self._sender = None
        if self._sender is None:
            self._sender, self._endpoint = ControlSender(endpoint, keys=self._keys), endpoint
        self._sent = replace(control, sequence=self._sent.sequence + 1)
        self._sent_at = now
        self._sender.send(self._sent)
        self._meter.sent(self._sent.sequence, self._sent.stamp)

    def close(self, end_bridge: bool) -> None:
        """Stop the car and disconnect; with ``end_bridge``, the bridge ends as well."""
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
            time.sleep(0.03)  # the socket closes without lingering, so let the message out first
            self._sender.close()
            self._sender = None


class DriveLoop(ABC):
    """The common part of all loops: session, metrics and output files."""

    def __init__(self, options: DriveOptions, wake: Callable[[], None] = lambda: None) -> None:
        self.options = options
        self.meter = metrics.Meter()
        self.controls = Controls(self.meter, options.keys)
        self._wake = wake
        self.session = self.make_session(options)
        self.recorder: Mp4Writer | None = None
        self._recorded_since = self._sim_time = 0.0  # s, simulated; of the newest frame
        self.interrupted = False
        self.size = options.shown  # of the frames; an external bridge decides it itself
        self._telemetry: Telemetry | None = None
        self._memory: float | None = None
        self._memory_sampled = time.monotonic()
        self._sampler: threading.Thread | None = None

    def make_session(self, options: DriveOptions) -> DriveSession:
        """Return a new session of this drive."""
        return DriveSession(options, self._wake)

    def run(self) -> None:
        """Drive until the end; raises one of ``EXPECTED`` if that comes early."""
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
        """Run the loop until it is done or interrupted."""

    @property
    def done(self) -> bool:
        """Whether the requested number of frames was shown or the user quit."""
        return self.interrupted or (self.options.frames is not None and self.meter.frames >= self.options.frames)

    def shown(self, rendered: RenderedFrame) -> None:
        """Account for a frame that is on the screen (or was given to the recorder)."""
        frame = rendered.frame
        frame.stamps["displayed"] = time.monotonic_ns()
        self._sim_time = frame.sim_time
        self.size = Size(frame.camera.width, frame.camera.height)
        if not self.meter.frames:
            self.meter.start(self.session.rendering_since)
        self.meter.shown(frame)
        self.meter.upscaled(rendered.upscaling)
        if self._telemetry is not None:
            self._telemetry.write(frame)
        now = time.monotonic()
        if now - self._memory_sampled > _MEMORY_INTERVAL:
            self._memory_sampled = now
            self._sampler = threading.Thread(target=self._sample_memory, name="memory", daemon=True)
            self._sampler.start()

    def log_runtime_messages(self) -> None:
        """Log what loading found out about the runtime."""
        for line in (self.session.warning, self.session.note):
            if line:
                logger().warning(line)

    def start_recording(self, path: Path, rendered: RenderedFrame) -> None:
        """Open ``path`` for frames of this size. Raises :class:`RecordingError`."""
        height, width = rendered.neural.shape[:2]
        self.recorder = Mp4Writer(path, (width, height), rate=self.session.fps, block=self.options.headless)
        self._recorded_since = rendered.frame.sim_time

    @property
    def recorded_seconds(self) -> float:
        """Simulated seconds since the recording began."""
        return self._sim_time - self._recorded_since

    def _sample_memory(self) -> None:
        memory = machine.memory_mb([os.getpid()])
        if memory is not None:
            self._memory = max(self._memory or 0.0, memory)

    def _finish(self) -> None:
        self._sample_memory()
        path = self.options.report
        if path is not None and self.meter.frames:
            metrics.write(
                path,
                self.meter.report(
                    runtime=self.session.runtime,
                    model=self.session.model,
                    size=self.size,
                    target_fps=None if self.options.headless else self.session.fps,
                    memory_mb=self._memory,
                ),
            )
        target = self.options.frames
        if target is not None and self.meter.frames < target:
            raise DriveError(f"interrupted after {self.meter.frames} of {target} frames")

    def _interrupt(self) -> None:
        self.interrupted = True


class HeadlessDrive(DriveLoop):
    """A drive without a window: every frame is rendered once, in lockstep, and given to the recorder."""

    def drive(self) -> None:
        session, options = self.session, self.options
        control = Control(sequence=0, autopilot=options.autopilot)
        progress = ProgressLine(options.frames)
        try:
            session.start()
            while not self.done:
                self.controls.send(control, session.controls)
                rendered = session.take(_HEARTBEAT / 2)
                if rendered is None:
                    if session.error is not None:
                        raise session.error
                    progress.waiting([name for name, done in session.steps.items() if not done])
                    continue
                if not self.meter.frames:
                    progress.close()
                    self.log_runtime_messages()
                if options.record is not None:
                    self._record(options.record, rendered)
                self.shown(rendered)
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
        """Return a line about the drive: frames, rate, latency, files written."""
        meter, options = self.meter, self.options
        rate = meter.frames / meter.seconds if meter.seconds > 0.0 else 0.0
        median, p95 = meter.recent()[0], meter.recent_tail()[0]
        written = [str(path) for path in (options.record, options.report, options.log) if path is not None]
        line = f"{meter.frames} frames, {rate:.1f} per second, latency {median:.0f} ms (p95 {p95:.0f})"
        return f"{line}; wrote {', '.join(written)}" if written else line

    def _record(self, path: Path, rendered: RenderedFrame) -> None:
        if self.recorder is None:
            self.start_recording(path, rendered)
        if self.recorder is not None and not self.recorder.write(rendered.neural, rendered.frame.sim_time):
            raise RecordingError(self.recorder.error or f"recording to {path} stopped")


def check_names(options: DriveOptions) -> None:
    """Raise :class:`DriveError` for an unknown town or weather, rather than after a town has been built."""
    try:
        if options.weather:
            presets.weather(options.weather)
        if presets.town(options.town) not in presets.TOWNS:
            probe.read(options.town, Path(options.town))
    except ValueError as error:
        raise DriveError(str(error)) from None


def check_outputs(options: DriveOptions) -> None:
    """Create the folders of the output files. Raises :class:`DriveError`, rather than after the drive."""
    for path in (options.record, options.report, options.log):
        if path is None:
            continue
        try:
            if not path.parent.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                print(f"created the folder {path.parent}", flush=True)
            is_new = not path.exists()
            path.open("ab").close()
            if is_new:
                path.unlink()
        except OSError as error:
            raise DriveError(f"cannot write {path}: {(error.strerror or 'unknown reason').lower()}") from None


#: Errors that are not bugs of ours; they are reported in one line.
EXPECTED = (BridgeError, DriveError, ProcessError, LinkError, RecordingError, ModelError, RuntimeUnavailable, OSError)
