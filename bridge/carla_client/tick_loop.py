"""The bridge's loop: apply the newest control, tick, publish."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.link.pacing import FramePacer
from bridge.link.transport import ControlReceiver, FramePublisher

_LAST = 2  # frames of a limited number that a receiver may not have taken when the process ends

if TYPE_CHECKING:
    from bridge.carla_client.ego_bridge import CarlaBridge


def run(
    bridge: CarlaBridge,
    frames: FramePublisher,
    controls: ControlReceiver,
    over: Callable[[], bool],
    pace: FramePacer | None,
    count: int | None = None,
    skip: int | None = None,
) -> None:
    """Run until ``over()`` is true, the driver quits, the scenario ends, or ``count`` frames have been published.

    Args:
        bridge: The bridge to tick.
        frames: Where its frames are published.
        controls: Where its controls come from.
        over: Whether the process has been asked to end.
        pace: Real-time pacing, None to run as fast as possible.
        count: Number of frames to publish, None for no limit.
        skip: Number of ticks of a scenario to play without publishing. One more tick is published, then the driver
            takes over the ego.
    """

    def read_controls() -> bool:
        """Apply the newest control; return whether to end."""
        control = controls.newest()
        if control is not None:
            bridge.apply_control(control)
        if controls.drivers.notice:
            bridge.notify(controls.drivers.notice)
            controls.drivers.notice = ""
        return over() or bridge.control.quit

    if skip is not None:
        for _ in range(skip):
            if read_controls() or bridge.over:
                break
            bridge.drive()
            bridge.tick()
    while not read_controls() and (count is None or bridge.sequence < count) and not bridge.over:
        if pace is not None:
            real = bridge.control.real_time
            pace.keep_time = real and not bridge.control.paused
            pace.steps_vary = bridge.follow_real_time(real)
            pace.wait(frames, read_controls)
        if bridge.control.paused:
            time.sleep(0.02)
            if pace is not None:
                pace.restart()
            continue
        frames.wait(read_controls)
        bridge.drive()
        frame = bridge.tick()
        is_last = count is not None and bridge.sequence > count - _LAST
        for extra_frame in bridge.extra_frames:
            frames.send(extra_frame, is_last)
            frames.wait(read_controls)
        frames.send(frame, is_last)
        if skip is not None:
            bridge.hand_over()
            skip = None
        if pace is not None:
            pace.frame_sent()
    if bridge.over:
        frames.wait(read_controls, all_taken=True)  # in lockstep, until the last frame has been received
