"""Everything behind one drive's picture: the processes, the link, the renderer; started, and started anew where lost.

The start takes seconds (a town is built, a model compiled), so it happens in the painting thread while the window
already answers.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from bridge.link.transport import FrameSubscriber, control_endpoint
from neuralsim.base.machine import cores
from neuralsim.session.child_options import bridge_options, town_options
from neuralsim.session.options import DriveOptions
from neuralsim.session.painting_loop import DriveError, PaintingLoop
from neuralsim.session.processes import GRACE, Child, ProcessError, Processes
from neuralsim.session.renderer_loading import (
    MANY_CORES,
    RendererLoader,
    painting_threads,
    seconds_per_frame,
    sustainable_rate,
)

_TOWN_READY, _BRIDGE_READY = 60.0, 90.0  # seconds in which they do nothing at all
RATE = 30.0  # simulated ticks per second without a driver
FLUENT_RATE = 25.0  # ticks per second; below it every core is tried for painting
MAX_RESTARTS, _RESTARTS_WITHIN = 5, 60.0  # of our own processes, within so many seconds
_TOWN = ("town server", "neuralsim.town.carla_server")  # its name and its module
_AGAIN = 0.2  # seconds between two attempts to reach a server
_PROBE = 0.5  # seconds for one of them


def _listens(server: str) -> bool:
    """Whether anything takes connections at HOST:PORT."""
    host, _, port = server.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _PROBE).close()
    except OSError:
        return False
    return True


class DriveSession(PaintingLoop):
    """Starts everything, then paints frames until :meth:`stop`; ``wake`` as for the loop."""

    def __init__(self, options: DriveOptions, wake: Callable[[], None] = lambda: None) -> None:
        self._shares = options.connect is None  # the cores with the simulation
        beside = self._shares and not options.headless
        super().__init__(options, painting_threads(cores()) if beside else None, wake)
        self.doing = ""  # what takes longer than usual of the start, one line
        self.controls = ""  # endpoint for controls, once known
        self.fps = options.fps or RATE  # simulated ticks per second, for sure once there are pictures
        self.verdict: dict[str, Any] = {}  # what came of the scenario, once it is over
        self.processes = Processes()
        self._recovers = not options.headless and options.scenario is None  # else what follows would not be the same
        self._restarts: list[float] = []  # when, s
        self._loader = RendererLoader(options, self._threads, self._step)
        self._bridge: Child | None = None
        self._town: Child | None = None
        self._server = options.carla  # HOST:PORT, once known

    def stop(self) -> None:
        """End the painting, then all processes; takes under two seconds."""
        self._ending.set()
        with self._changed:
            self._changed.notify_all()
        self.processes.stop()
        if self.ident is not None:  # it was started
            self.join(1.0)
        self.processes.stop()  # one that was being started meanwhile

    def run(self) -> None:
        """The thread: start, paint; whatever goes wrong is kept in ``error`` for the main thread to report."""
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
        if self._loader.measures():  # which runtime is the fastest: nothing that we start should be in its way
            self._loader.finished.wait()
        frames = self.options.connect or self._start_simulation()
        while not self._loader.finished.wait(0.05):
            if self._ending.is_set():
                return
            self.processes.check()
        renderer = self._loader.result()
        self.model, self.runtime = renderer.model, renderer.runtime
        self.styles = list(renderer.card.styles)
        if self._ending.is_set():
            return
        # Where no core is left to it, the next tick would only take one away from the picture that is being painted.
        crowded = self._shares and self._threads is None and cores() < MANY_CORES
        ahead = 0 if self.lockstep or crowded else 1
        while frames:
            self.controls = control_endpoint(frames)
            with FrameSubscriber(frames, self.options.keys, self.lockstep, ahead, interactive=True) as subscriber:
                self._step("First frame")
                try:
                    self._paint(subscriber, renderer)
                    return
                except (DriveError, ProcessError) as error:
                    if not self._recovers or not self.painting_since:
                        raise
                    lost = error
            frames = self._start_again(lost)

    def _start_again(self, lost: DriveError | ProcessError) -> str:
        """Start anew what has ended, while the last picture stands; returns the frames' endpoint, "" when stopped.

        A server or a bridge elsewhere is waited for as long as the window is open. Raises ``lost`` where our own
        processes end again and again.
        """
        elsewhere = self.options.connect is not None or self.options.carla is not None
        while not self._ending.is_set():
            now = time.monotonic()
            self._restarts = [at for at in self._restarts if now - at < _RESTARTS_WITHIN] + [now]
            if len(self._restarts) > MAX_RESTARTS and not elsewhere:
                raise lost
            self.trouble = f"{lost} Trying again"
            self._wake()
            if self.options.connect is not None:
                return self.options.connect
            if self._killed(self._bridge) and self._town is not None and self._town.process.poll() is None:
                self.processes.end_children(but=self._town)  # the next bridge tidies up there
            else:
                # Without its other half a process of ours has nothing to put in order.
                self.processes.end_children(grace=GRACE if elsewhere else 0.0)
                self._town = None
            if self.options.carla is not None and not _listens(self.options.carla):
                self._ending.wait(_AGAIN)
                continue
            try:
                return self._start_simulation()
            except ProcessError as error:
                lost = error
                self._ending.wait(_AGAIN)
        return ""

    @staticmethod
    def _killed(child: Child | None) -> bool:
        """Whether a signal has ended it, so that it is not to blame, nor what it was connected to."""
        return child is not None and (child.process.poll() or 0) < 0

    @property
    def _bridge_process(self) -> tuple[str, str]:
        """Its name and its module."""
        options = self.options
        module = "bridge.carla_bridge" if options.scenario is None else "scenarios.play"
        return "bridge", module if options.sumo is None else "bridge.sumo.play"

    def _start_simulation(self) -> str:
        """Start what is not running elsewhere; returns the endpoint of the frames, "" when stopped meanwhile."""
        options = self.options

        def cancelled() -> bool:
            return self._ending.is_set() or self._loader.failed

        # It imports what it needs while the town is built; what it is to do is known when that is there.
        bridge = self._bridge = self.processes.start(*self._bridge_process, "-", later=True, again=self._recovers)
        if options.carla is None and self._town is None:
            name = f"Town {options.town if options.sumo is None else options.sumo.stem}"
            self._step(name)
            town = self.processes.start(*_TOWN, "-", later=True, again=self._recovers)
            town.begin(town_options(options).to_json())
            ready = town.wait_ready(_TOWN_READY, cancelled, self._tell)
            if ready is None:
                return ""
            self._town, self._server = town, ready["server"]
            self._step(name, done=True)
        if options.fps is None and not options.headless and not self.painting_since:
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
        if bridge.wait_ready(_BRIDGE_READY, cancelled, self._tell) is None:
            return ""
        self._step(name, done=True)
        return frames

    def _settle_rate(self) -> float:
        """Ticks per second that the renderer can follow; on all cores, in turns, where one less makes them too few."""
        took = self._seconds_per_frame()
        if self._threads is None or 1.0 / took >= FLUENT_RATE:
            return sustainable_rate(took)
        before = self._loader, self._threads
        self._threads = None
        self._loader = RendererLoader(self.options, self._threads, self._step)
        self._loader.start()
        self._loader.finished.wait()
        other = float("inf") if self._loader.failed else self._seconds_per_frame()
        if other >= took:
            self._loader, self._threads = before
        return sustainable_rate(min(other, took))

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
            self._bridge.last_words()  # waits until all that it said is here
        while (message := self._bridge.said()) is not None:
            if "verdict" in message:
                self.verdict = message["verdict"]
                return True
        return False

    def _tell(self, words: str) -> None:
        """A process says what it does, "" when it is done."""
        self.doing = words
        self._wake()
