"""Options of ``neuralsim town`` with generated images and of ``neuralsim lens``; nothing heavy is imported."""

from typing import Annotated

from bridge.process.json_lines import ProcessOptions
from bridge.process.option_types import Address, Port
from bridge.process.options import Arg
from neuralsim.base.shared_options import DEFAULT_MODEL, GpuNumber, Runtime, Style
from neuralsim.town.carla_server.options import TownOptions


class LensOptions(ProcessOptions):
    """A CARLA server whose rgb cameras send generated images: a proxy in front of a real server or the town."""

    carla: Address
    """The CARLA 0.9.16 server to stand in front of."""
    host: str = "127.0.0.1"
    """Address to listen on; anyone who can reach it may drive."""
    port: Port = 3000
    """Port for clients; 0: any free port."""
    streaming_port: Port = 0
    """Port for sensor data; 0: any free port."""
    model: Annotated[str, Arg("NAME|FOLDER")] = DEFAULT_MODEL
    """Model of generated images."""
    runtime: Runtime = "auto"
    gpu: GpuNumber = None
    style: Style | None = None
    """Style of generated images; without it, that of the weather."""


class PaintedTownOptions(TownOptions):
    """The embedded simulator: a small town that CARLA 0.9.16 clients connect to."""

    painted: bool = False
    """Send generated images from every sensor.camera.rgb (its attribute neuralsim_style=off: the simulator's own)."""
    model: Annotated[str, Arg("NAME|FOLDER")] = DEFAULT_MODEL
    """Model of generated images."""
    runtime: Runtime = "auto"
    gpu: GpuNumber = None
    style: Style | None = None
    """Style of generated images; without it, that of the weather."""
