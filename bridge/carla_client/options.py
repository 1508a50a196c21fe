"""The bridge's options; nothing heavy is imported for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from bridge.process import presets
from bridge.process.json_lines import ProcessOptions
from bridge.process.option_types import Count, Fov, Keys, Mount, Planes, Rate, Weather
from bridge.process.options import Arg
from bridge.size import Size


class BridgeOptions(ProcessOptions):
    """A CARLA server on one side, frames and controls over ZeroMQ on the other. Written against the official client
    alone, so the embedded town and a real CARLA 0.9.16 are served by the same code."""

    carla: Annotated[str, Arg("HOST:PORT")] = "127.0.0.1:2000"
    """The CARLA server."""
    publish: Annotated[str, Arg("ENDPOINT")] = "tcp://127.0.0.1:5600"
    """Where frames are served, tcp:// or ipc://."""
    control: Annotated[str, Arg("ENDPOINT")] = ""
    """Where controls come in (default: the next port, or path.control)."""
    keys: Keys | None = None
    """CURVE keys; needed for other than loopback addresses."""
    size: Size = Size(512, 256)
    """Pixels."""
    fov: Fov = 70.0
    """Horizontal field of view."""
    fps: Rate = 30.0
    """Ticks per simulated second."""
    seed: Count = 0
    """Of spawn point and autopilot."""
    weather: Weather = ""
    """Such as WetSunset (default: as it is)."""
    camera: Mount = (1.2, 0.0, 1.45, 0.0)
    """Where it is at the vehicle, m and degrees."""
    planes: Planes = Field(
        default=("tag", "instance", "depth", "motion"), description=f"Of {','.join(presets.PLANES)}."
    )
    jitter: bool = False
    """Shift each frame by parts of a pixel, for receivers that average them (the embedded town only)."""
    scenario: Annotated[Path, Arg("FILE")] | None = None
    """Play this scenario; it sets what is not set here, and drives the ego."""
    hand_over_at: Count | None = None
    """Play the scenario's first N frames unseen; from the next one on the controls drive the ego."""
    autopilot: bool = False
    """Follow the lane until a control says otherwise."""
    lockstep: bool = False
    """Wait for the receiver: no frame is lost."""
    frames: Count | None = None
    """End after so many."""
    realtime: bool = True
    """At the pace of the clock; else as fast as it goes."""
