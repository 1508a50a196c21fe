"""The back end of one drive: its processes, link and renderer, started, and restarted when they fail.

The start takes seconds (a town is built, a model compiled). It therefore runs in the render thread, while the window
already responds.
"""

import socket
import time
from collections.abc import Callable
from typing import Any

from bridge.link import motion
from bridge.link.transport import FrameSubscriber, control_endpoint
from neuralsim.base.machine import cores
from neuralsim.session.child_options import bridge_options, town_options
from neuralsim.session.options import DriveOptions
from neuralsim.session.processes import GRACE, SERVER_GRACE, Child, ProcessError, Processes, Templates
from neuralsim.session.render_loop import DriveError, RenderLoop
from neuralsim.session.renderer_loading import (
    MANY_CORES,
    RendererLoader,
    render_threads,
    seconds_per_frame,
    sustainable_rate,
)

_TOWN_PATIENCE = 60.0  # s without any activity after which the start has failed
_BRIDGE_PATIENCE = 90.0  # s, the same
RATE = 30.0  # simulated ticks per second without a driver
FLUENT_RATE = 25.0  # ticks per second; below it, rendering on all cores is tried
MAX_RESTARTS = 5  # of our own processes
_RESTART_PERIOD = 60.0  # s over which they are counted
_TOWN = ("town server", "neuralsim.town.carla_server")  # name and module
_RETRY = 0.2  # seconds between two attempts to reach a server
_PROBE = 0.5  # timeout of one attempt, seconds


def _listens(server: str) -> bool:
    """Return whether anything accepts connections at HOST:PORT."""
    host, _, port = server.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _PROBE).close()
    except OSError:
        return False
    return True


class DriveSession(RenderLoop):
    """Starts everything, then renders frames until :meth:`stop`.

    ``wake`` is as in ``RenderLoop``. ``templates``: those of a series of drives, whose processes then start fast.
    """

    def __init__(
        self, options: DriveOptions, wake: Callable[[], None] = lambda: None, templates: Templates | None = None
    ) -> None:
        self._shares_cores = options.connect is None  # the simulation runs on this machine
        concurrent = self._shares_cores and (options.is_scripted or not options.headless)
        super().__init__(options, render_threads(cores()) if concurrent else None, wake)
        self.doing = ""  # the step of the start that takes longer than usual, one line
        self.controls = ""  # endpoint for controls, once known
        self.fps = options.fps or RATE  # simulated ticks per second; final once there are frames
        self.verdict: dict[str, Any] = {}  # the scenario's result, once it is over
        self.processes = Processes(templates)
        self.processes.grace = GRACE if options.carla is None else SERVER_GRACE
        self._recovers = not options.headless and options.scenario is None  # those must be reproducible
        self._forks = self._recovers or templates is not None
        self._restarts: list[float] = []  # times, s
        self._loader = RendererLoader(options, self._threads, self._step)
        self._bridge: Child | None = None
        self._town: Child | None = None
        self._server = options.carla  # HOST:PORT, once known

    def stop(self) -> None:
        """End the render loop, then all processes; takes under two seconds."""
        self._ending.set()
        with self._changed:
            self._changed.notify_all()
        self.processes.stop()
        if self.ident is not None:  # it was started
            self.join(1.0)
        self.processes.stop()  # one that was started in the meantime

    def run(self) -> None:
        """Start everything and render; any failure is kept in ``error`` for the main thread to report."""
        try:
            self._run()
        except BaseException as error:  # the main thread raises it
            if not self._ending.is_set():
                self.error = error
        finally:
            with self._changed:
                self._changed.notify_all()
            self._wake()

    def _run(self) -> None:
        self._loader.start()
        if self._loader.measures():  # it benchmarks runtimes, which nothing else we start may disturb
            self._loader.finished.wait()
        frames = self.options.connect or self._start_simulation()
        if not self.lockstep:
            motion.compile_kernels()
        while not self._loader.finished.wait(0.05):
            if self._ending.is_set():
                return
            self.processes.check()
        renderer = self._loader.result()
        self.model, self.runtime = renderer.model, renderer.runtime
        self.styles = list(renderer.styles)
        if self._ending.is_set():
            return
        # Without a core to spare, simulating the next tick would only slow down the frame being rendered.
        crowded = self._shares_cores and self._threads is None and cores() < MANY_CORES
        ahead = int(self.options.is_scripted if self.lockstep else not crowded)
        while frames:
            self.controls = control_endpoint(frames)
            with FrameSubscriber(frames, self.options.keys, self.lockstep, ahead, interactive=True) as subscriber:
                self._step("First frame")
                try:
                    self._render(subscriber, renderer)
                    return
                except (DriveError, ProcessError) as error:
                    if not self._recovers or not self.rendering_since:
                        raise
                    lost = error
            frames = self._restart(lost)

    def _restart(self, lost: DriveError | ProcessError) -> str:
        """Restart what has ended while the last frame stays on screen; return the frames' endpoint, "" when stopped.

        An external server or bridge is waited for as long as the window is open. Raises ``lost`` if our own
        processes keep failing.
        """
        external = self.options.connect is not None or self.options.carla is not None
        while not self._ending.is_set():
            now = time.monotonic()
            self._restarts = [at for at in self._restarts if now - at < _RESTART_PERIOD] + [now]
            if len(self._restarts) > MAX_RESTARTS and not external:
                raise lost
            self.trouble = f"{lost} Trying again"
            self._wake()
            if self.options.connect is not None:
                return self.options.connect
            if self._killed(self._bridge) and self._town is not None and self._town.process.poll() is None:
                self.processes.end_children(keep=self._town)  # the next bridge cleans up there
            else:
                # Without its peer, a process of ours has nothing to clean up.
                self.processes.end_children(grace=None if external else 0.0)
                self._town = None
            if self.options.carla is not None and not _listens(self.options.carla):
                self._ending.wait(_RETRY)
                continue
            try:
                return self._start_simulation()
            except ProcessError as error:
                lost = error
                self._ending.wait(_RETRY)
        return ""

    @staticmethod
    def _killed(child: Child | None) -> bool:
        """Return whether a signal ended it, so that neither it nor its peer is at fault."""
        return child is not None and (child.process.poll() or 0) < 0

    @property
    def _bridge_process(self) -> tuple[str, str]:
        options = self.options
        module = "bridge.carla_bridge" if options.scenario is None else "scenarios.play"
        return "bridge", module if options.sumo is None else "scenarios.sumo.play"

    def _start_simulation(self) -> str:
        """Start what does not run elsewhere; return the frames' endpoint, "" if stopped in the meantime."""
        options = self.options

        def cancelled() -> bool:
            return self._ending.is_set() or self._loader.failed

        # It imports its modules while the town is built; its options are known only once the town is ready.
        bridge = self._bridge = self.processes.start(*self._bridge_process, "-", deferred=True, restartable=self._forks)
        if options.carla is None and self._town is None:
            name = f"Town {options.town if options.sumo is None else options.sumo.stem}"
            self._step(name)
            town = self.processes.start(*_TOWN, "-", deferred=True, restartable=self._forks)
            town.begin(town_options(options).to_json())
            ready = town.wait_ready(_TOWN_PATIENCE, cancelled, self._show_progress)
            if ready is None:
                return ""
            self._town, self._server = town, ready["server"]
            self._step(name, done=True)
        if options.fps is None and not options.headless and not self.rendering_since:
            self._loader.finished.wait()
            if not cancelled():
                self.fps = self._settle_rate()
            if cancelled():
                return ""
        name = "Bridge" if options.carla is None else f"Bridge to {options.carla}"
        self._step(name)
        frames = self.processes.endpoint()
        assert self._server is not None
        bridge.begin(bridge_options(options, self._server, frames, fps=self.fps, lockstep=self.lockstep).to_json())
        if bridge.wait_ready(_BRIDGE_PATIENCE, cancelled, self._show_progress) is None:
            return ""
        self._step(name, done=True)
        return frames

    def _settle_rate(self) -> float:
        """Return the tick rate that the renderer can sustain, trying all cores where one fewer is too slow."""
        seconds = self._seconds_per_frame()
        if self._threads is None or 1.0 / seconds >= FLUENT_RATE:
            return sustainable_rate(seconds)
        previous = self._loader, self._threads
        self._threads = None
        self._loader = RendererLoader(
            self.options, self._threads, lambda _, done: self._step("Model on all cores", done)
        )
        self._loader.start()
        self._loader.finished.wait()
        other = float("inf") if self._loader.failed else self._seconds_per_frame()
        if other >= seconds:
            self._loader, self._threads = previous
        return sustainable_rate(min(other, seconds))

    def _seconds_per_frame(self) -> float:
        step = self._loader.result().seconds_per_step()
        return seconds_per_frame(step, cores(), self._threads, self.options.shown.pixels)

    def _have_worked(self) -> bool:
        self.processes.check()
        return self.processes.have_worked()

    def _scenario_over(self) -> bool:
        if self.options.scenario is None or self._bridge is None:
            return False
        ended = self._bridge.process.poll() is not None
        if ended:
            self._bridge.last_error_line()  # waits until all of its output has been read
        while (message := self._bridge.next_message()) is not None:
            if "verdict" in message:
                self.verdict = message["verdict"]
                return True
        return False

    def _show_progress(self, text: str) -> None:
        """Take the progress line of a process, "" when it is done."""
        self.doing = text
        self._wake()
