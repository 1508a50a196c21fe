"""The bridge's loop: newest control in, tick, publish."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.link.pacing import FramePacer
from bridge.link.transport import ControlReceiver, FramePublisher

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
    """The loop: newest control in, tick, publish; until ``over()``, the driver quits, or ``count`` frames are out.

    ``bridge`` is ticked, its frames go to ``frames``, controls come from ``controls``; ``pace``: real-time pacing, None
    to run as fast as possible. ``skip``: this many ticks of a scenario are played unpublished, one more is published,
    then the driver takes over the ego.

    ``over``: whether the process has been asked to end.
    """

    def ended() -> bool:
        control = controls.newest()
        if control is not None:
            bridge.apply_control(control)
        if controls.drivers.notice:
            bridge.notify(controls.drivers.notice)
            controls.drivers.notice = ""
        return over() or bridge.control.quit

    if skip is not None:
        for _ in range(skip):
            if ended() or bridge.over:
                break
            bridge.drive()
            bridge.tick()
    while not ended() and (count is None or bridge.sequence < count) and not bridge.over:
        if pace is not None:
            pace.wait(frames, ended)
        if bridge.control.paused:
            time.sleep(0.02)
            continue
        frames.wait(ended)
        bridge.drive()
        frame = bridge.tick()
        for other in bridge.extra_frames:
            frames.send(other)
            frames.wait(ended)
        frames.send(frame)
        if skip is not None:
            bridge.hand_over()
            skip = None
        if pace is not None:
            pace.frame_sent()
    if bridge.over:
        frames.wait(ended)  # lock-step: until the last frame was taken
