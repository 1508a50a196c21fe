"""The options of ``neuralsim ros2``; nothing heavy is imported."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from bridge.process.json_lines import ProcessOptions
from bridge.process.option_types import Count, Crowd, Positive, Rate, Town, Weather, integer, matching, unique_list
from bridge.process.options import Arg
from bridge.size import Size
from neuralsim.base.shared_options import DEFAULT_MODEL, GpuNumber, Model, Runtime, Style

LOOPBACK = "127.0.0.1"
_MAX_DOMAIN = 232  # beyond it, DDS has no ports
_MAX_VEHICLES = 8  # that are driven


def _role(value: object) -> str:
    if not re.fullmatch(r"[A-Za-z]\w{0,62}", str(value), re.ASCII):
        raise ValueError(f"{str(value)!r} is not a name of letters, digits and _")
    return str(value)


def _few(roles: tuple[str, ...]) -> tuple[str, ...]:
    if len(roles) > _MAX_VEHICLES:
        raise ValueError(f"{len(roles)} vehicles: choose at most {_MAX_VEHICLES}")
    return roles


class Ros2Options(ProcessOptions):
    """A town whose cars are driven by ROS 2."""

    roles: Annotated[
        tuple[str, ...],
        unique_list(_role),
        AfterValidator(_few),
        Arg("LIST"),
    ] = ("ego_vehicle",)
    """Names of the vehicles to be driven, of which their topics begin."""
    wait: bool = False
    """Wait for a command to each of them before each tick, instead of following real time."""
    fps: Rate = 20.0
    """Ticks per simulated second."""
    frames: Positive | None = None
    """End after this many ticks."""
    domain: Annotated[int, integer(0, _MAX_DOMAIN, f"a domain, 0 to {_MAX_DOMAIN}"), Arg("N", group="ROS 2")] = Field(
        default_factory=lambda: os.environ.get("ROS_DOMAIN_ID") or 0,  # type: ignore[arg-type, return-value]
        validate_default=True,
        description="DDS domain (default: $ROS_DOMAIN_ID, else 0).",
    )
    interface: Annotated[str, matching(r"[\w.:-]{1,64}", "a network interface"), Arg("NAME|ADDRESS")] = LOOPBACK
    """Network interface to be found on: anyone there may drive."""
    town: Annotated[Town, Arg(group="town")] = "oldtown"
    """A town, or an OpenDRIVE file."""
    seed: Count = 0
    """Random seed of the town, of everything that moves in it, and of the places where the vehicles start."""
    vehicles: Crowd = 20
    """Number of vehicles that drive themselves."""
    walkers: Crowd = 12
    """Number of pedestrians."""
    weather: Weather | None = None
    """One of CARLA's presets (default: the town's own)."""
    size: Annotated[Size, Arg(group="cameras")] = Size(512, 256)
    """Pixels of the camera rgb_front."""
    rig: Annotated[Path, Arg("RIG.yaml")] | None = None
    """Cameras of each vehicle, from a file as for `neuralsim record`."""
    model: Model = DEFAULT_MODEL
    runtime: Runtime = "auto"
    gpu: GpuNumber = None
    style: Style | None = None
    """Style of generated images; without it, that of the weather."""
