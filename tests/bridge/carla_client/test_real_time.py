"""Simulated time keeps up with real time, however slow the renderer."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from helpers import bridge_processes as processes

from bridge.link.transport import ControlSender, FrameSubscriber, control_endpoint
from bridge.messages import Control, Frame
from neuralsim.town.carla_server.town_server import MAX_REAL_STEP

pytestmark = pytest.mark.alone
SECONDS = 3.0


@pytest.fixture(scope="module")
def town() -> Iterator[str]:
    process, address = processes.start_town(vehicles=10, walkers=4)
    yield address
    processes.end(process)


class SlowRenderer:
    """A receiver that takes ``needed`` seconds for each frame."""

    def __init__(self, endpoint: str) -> None:
        self.frames = FrameSubscriber(endpoint, interactive=True, ahead=1)
        self.controls = ControlSender(control_endpoint(endpoint))
        self.control = Control(0, autopilot=True)

    def show(self, needed: float) -> Frame:
        self.control.sequence += 1
        self.controls.send(self.control)
        frame = self.frames.recv(5.0)
        assert frame is not None
        frame.planes = {}
        time.sleep(needed)
        return frame

    def drive(self, rate: float, seconds: float) -> tuple[float, list[float]]:
        """Return simulated over wall-clock time, by the bridge's own stamps, and the steps between frames (s).

        Where the machine stood still for longer than the town's longest step, the town loses time by design: such steps
        do not count, and may not be many.
        """
        for _ in range(25):
            first = self.show(1.0 / rate)
        times = [(first.sim_time, first.stamps["capture"] / 1e9)]
        while times[-1][1] - times[0][1] < seconds:
            frame = self.show(1.0 / rate)
            times.append((frame.sim_time, frame.stamps["capture"] / 1e9))
        simulated, real = np.diff(np.array(times), axis=0).T
        counted = real < MAX_REAL_STEP
        assert real[counted].sum() > 0.8 * real.sum(), real.tolist()
        return float(simulated[counted].sum() / real[counted].sum()), simulated.tolist()


@pytest.fixture(scope="module")
def connected(town: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlowRenderer]:
    endpoint = f"ipc://{tmp_path_factory.mktemp('link')}/frames"
    bridge = processes.start_bridge(town, endpoint, "--fps", "40")
    shown = SlowRenderer(endpoint)
    try:
        yield shown
    finally:
        shown.frames.close()
        shown.controls.close()
        processes.end(bridge)


@pytest.fixture
def renderer(connected: SlowRenderer) -> SlowRenderer:
    """Return the receiver, whatever the test before has chosen."""
    connected.control = Control(connected.control.sequence, autopilot=True)
    return connected


@pytest.mark.parametrize("rate", [15.0, 25.0, 40.0])
def test_the_world_keeps_real_speed_whatever_the_frame_rate(renderer: SlowRenderer, rate: float):
    ratio, steps = renderer.drive(rate, SECONDS)
    assert 0.98 < ratio < 1.02, steps
    assert np.median(steps) >= 0.9 / rate  # no ticks that nobody sees


def test_the_driver_may_choose_slow_motion_and_back(renderer: SlowRenderer):
    renderer.control.real_time = False
    ratio, steps = renderer.drive(15.0, SECONDS)
    assert ratio < 0.8
    assert max(steps) < 0.08  # one or two ticks of 25 ms
    renderer.control.real_time = True
    assert 0.98 < renderer.drive(15.0, SECONDS)[0] < 1.02


def test_a_pause_is_no_time(renderer: SlowRenderer):
    before = renderer.show(0.03)
    renderer.control.paused = True
    renderer.control.sequence += 1
    renderer.controls.send(renderer.control)
    time.sleep(1.6)
    renderer.control.paused = False
    after = [renderer.show(0.03) for _ in range(6)][-1]
    assert after.sim_time - before.sim_time < 0.9
