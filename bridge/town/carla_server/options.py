"""The town's options; nothing heavy is imported for them."""

from __future__ import annotations

from pydantic import Field

from bridge.process import presets
from bridge.process.messages import ProcessOptions
from bridge.process.values import Count, Crowd, Port, Town


class TownOptions(ProcessOptions):
    """The embedded simulator: a small town that CARLA 0.9.16 clients connect to."""

    host: str = "127.0.0.1"
    """Address to listen on; who reaches it may drive."""
    port: Port = 2000
    """Port for clients; 0 = any free one."""
    streaming_port: Port = 0
    """Port for sensor data; 0 = any free one."""
    town: Town = Field(default="oldtown", description=f"One of {', '.join(presets.TOWNS)}, or OpenDRIVE.")
    seed: Count = 0
    """Of the town and everything that moves in it."""
    vehicles: Crowd = 20
    """Vehicles that drive by themselves."""
    walkers: Crowd = 12
    """Pedestrians."""
