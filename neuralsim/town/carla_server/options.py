"""Command-line options of the embedded simulator, in a module that imports nothing heavy."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bridge.process import presets
from bridge.process.json_lines import ProcessOptions
from bridge.process.option_types import Count, Crowd, Port, Seconds
from bridge.process.options import Arg

DEFAULT = "oldtown"


def _maps(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _version(value: Any) -> Any:
    return ("", "0.9.16")[value] if isinstance(value, bool) else value  # as in a file of options


class TownOptions(ProcessOptions):
    """The embedded simulator: a small town that CARLA 0.9.16 clients connect to."""

    host: str = "127.0.0.1"
    """Address to listen on; anyone who can reach it may drive."""
    port: Port = 2000
    """Port for clients; 0: any free port."""
    streaming_port: Port = 0
    """Port for sensor data; 0: any free port."""
    town: Annotated[tuple[str, ...], BeforeValidator(_maps), Arg("NAME|FILE.xodr|FOLDER", spread=True)] = Field(
        default=(),
        description="Maps that clients can load; the server starts with the first: "
        f"{', '.join(presets.TOWNS)}, OpenDRIVE files, folders of these (default: {DEFAULT}).",
    )
    as_carla: Annotated[
        Literal["", "0.9.15", "0.9.16"], BeforeValidator(_version), Arg("VERSION", otherwise="0.9.16")
    ] = ""
    """Also accept the names of CARLA's maps, each served by the most similar town; serve clients of this version."""
    seed: Count = 0
    """Random seed of the town and of everything that moves in it."""
    vehicles: Crowd = 20
    """Number of vehicles that drive themselves."""
    walkers: Crowd = 24
    """Number of pedestrians."""

    damage: bool = False
    """Let collisions dent bodies, break lamps and glass, and weaken cars; applying physics to a car repairs it."""
    strict: bool = False
    """Be no kinder to clients than CARLA's own server: keep their settings, round optical flow, send in any order."""
    loading: Seconds = 10.0
    """With --strict: how long loading another world stalls the server."""

    @property
    def maps(self) -> tuple[str, ...]:
        """The maps requested by name; none if only CARLA's names are to be accepted."""
        return self.town or (() if self.as_carla else (DEFAULT,))
