"""The town's options; nothing heavy is imported for them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bridge.process import presets
from bridge.process.json_lines import ProcessOptions
from bridge.process.option_types import Count, Crowd, Port
from bridge.process.options import Arg

DEFAULT = "oldtown"


def _maps(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class TownOptions(ProcessOptions):
    """The embedded simulator: a small town that CARLA 0.9.16 clients connect to."""

    host: str = "127.0.0.1"
    """Address to listen on; who reaches it may drive."""
    port: Port = 2000
    """Port for clients; 0 = any free one."""
    streaming_port: Port = 0
    """Port for sensor data; 0 = any free one."""
    town: Annotated[tuple[str, ...], BeforeValidator(_maps), Arg("NAME|FILE.xodr|FOLDER", spread=True)] = Field(
        default=(),
        description="Maps for clients, the first to begin with: "
        f"{', '.join(presets.TOWNS)}, OpenDRIVE files, folders of these (default: {DEFAULT}).",
    )
    as_carla: bool = False
    """Answer to the names of CARLA's maps too, by the town most like each."""
    seed: Count = 0
    """Of the town and everything that moves in it."""
    vehicles: Crowd = 20
    """Vehicles that drive by themselves."""
    walkers: Crowd = 12
    """Pedestrians."""

    @property
    def maps(self) -> tuple[str, ...]:
        """The maps that were asked for by name; none where CARLA's are answered to and no others were named."""
        return self.town or (() if self.as_carla else (DEFAULT,))
