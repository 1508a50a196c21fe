"""The bridge's options; importing this module loads nothing heavy."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bridge.ego_camera import EGO_CAMERA
from bridge.process import presets
from bridge.process.json_lines import ProcessOptions
from bridge.process.option_types import Count, Fov, Keys, Mount, Planes, Rate, Vehicle, Weather
from bridge.process.options import Arg
from bridge.size import Size


class BridgeOptions(ProcessOptions):
    """Connects a CARLA server to receivers: publishes frames and receives controls over ZeroMQ. Uses the official
    client only, so the embedded town and a real CARLA 0.9.16 are served by the same code."""

    carla: Annotated[str, Arg("HOST:PORT")] = "127.0.0.1:2000"
    """Address of the CARLA server."""
    publish: Annotated[str, Arg("ENDPOINT")] = "tcp://127.0.0.1:5600"
    """Endpoint to publish frames on, tcp:// or ipc://."""
    control: Annotated[str, Arg("ENDPOINT")] = ""
    """Endpoint to receive controls on (default: the next port, or path.control)."""
    keys: Keys | None = None
    """Folder with CURVE keys; required for addresses other than loopback."""
    size: Size = Size(512, 256)
    """Size of the frames, pixels."""
    fov: Fov = 70.0
    """Horizontal field of view."""
    fps: Rate = 30.0
    """Ticks per simulated second."""
    seed: Count = 0
    """Seed of spawn point and autopilot."""
    weather: Weather = ""
    """Weather preset, such as WetSunset (default: the server's current weather)."""
    vehicle: Vehicle = "vehicle.tesla.model3"
    """The car to drive, if the server has it."""
    camera: Mount = (*EGO_CAMERA, 0.0)
    """Position of the camera relative to the vehicle, metres, and its pitch, degrees."""
    planes: Planes = Field(
        default=("tag", "instance", "depth", "motion"), description=f"Planes to send, of {','.join(presets.PLANES)}."
    )
    motion: Annotated[Literal["auto", "poses", "flow"], Arg("auto|poses|flow")] = "auto"
    """Compute the plane "motion" from depth and poses, or take it from the server's optical-flow camera; auto uses that
    camera only where it is exact, in the embedded town."""
    jitter: bool = False
    """Shift each frame by a fraction of a pixel, for receivers that accumulate frames (embedded town only)."""
    scenario: Annotated[Path, Arg("FILE")] | None = None
    """Play this scenario, which drives the ego; its settings apply unless given here."""
    rig: Annotated[Path, Arg("RIG.yaml")] | None = None
    """With a scenario: cameras in place of its own."""
    hand_over_at: Count | None = None
    """Play the scenario's first N frames without publishing them; from the next frame on, controls drive the ego."""
    at_rest: Annotated[bool, Arg(internal=True)] = False
    """Stop the scenario's ego before the first frame."""
    autopilot: bool = False
    """Follow the lane until a control turns the autopilot off."""
    lockstep: bool = False
    """Wait for the receiver, so that no frame is lost."""
    frames: Count | None = None
    """End after this many frames."""
    realtime: bool = True
    """Run in real time; otherwise as fast as possible."""
