"""The bridge's command line; nothing heavy is imported for it."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence

from bridge.process import presets
from bridge.process.arguments import Help, Parser, count, listed

_ABOUT = """A CARLA server on one side, frames and controls over ZeroMQ on the other. Written against the official
client alone, so the embedded town and a real CARLA 0.9.16 are served by the same code."""


def parse(arguments: Sequence[str] | None, prog: str = "bridge") -> argparse.Namespace:
    """The options in ``arguments`` (None: the process's own) of a command called ``prog``. Wrong usage exits with 2.

    With ``--scenario``, what is not given on the command line is left to the scenario: it is None here.
    """
    parser = Parser(prog, description=_ABOUT, formatter_class=Help)
    add = parser.add_argument
    add("--carla", default="127.0.0.1:2000", metavar="HOST:PORT", help="the CARLA server")
    add(
        "--publish",
        default="tcp://127.0.0.1:5600",
        metavar="ENDPOINT",
        help="where frames are served, tcp:// or ipc://",
    )
    add(
        "--control",
        default="",
        metavar="ENDPOINT",
        help="where controls come in (default: the next port, or path.control)",
    )
    add("--keys", metavar="FOLDER", help="CURVE keys; needed for other than loopback addresses")
    add("--size", type=_size, default="512x256", metavar="WxH", help="pixels")
    add("--fov", type=float, default=70.0, metavar="DEGREES", help="horizontal field of view")
    add("--fps", type=float, default=30.0, metavar="RATE", help="ticks per simulated second")
    add("--seed", type=count, default=0, metavar="N", help="of spawn point and autopilot")
    add("--weather", type=_weather, default="", metavar="PRESET", help="such as WetSunset (default: as it is)")
    add("--camera", type=_mount, default="1.2,0,1.45,0", metavar="X,Y,Z,PITCH", help="at the vehicle, m and degrees")
    add(
        "--planes",
        type=listed(presets.PLANES),
        default="tag,instance,depth,motion",
        metavar="LIST",
        help=f"of {','.join(presets.PLANES)}",
    )
    add("--scenario", metavar="FILE", help="play this scenario; it sets what is not set here, and drives the ego")
    add(
        "--hand-over-at",
        type=count,
        metavar="N",
        help="play the scenario's first N frames unseen; from the next one on the controls drive the ego",
    )
    add("--autopilot", action="store_true", help="follow the lane until a control says otherwise")
    add("--lockstep", action="store_true", help="wait for the receiver: no frame is lost")
    add("--frames", type=count, metavar="N", help="end after so many")
    add("--no-realtime", action="store_true", help="as fast as it goes")
    add("--with-parent", action="store_true", help="end when the parent process does")
    first = parser.parse_args(arguments)
    if first.scenario is not None:
        parser.set_defaults(size=None, fov=None, fps=None, seed=None, camera=None)
    options = parser.parse_args(arguments)
    if not 1.0 <= first.fps <= 240.0:
        parser.error("--fps is 1 to 240")
    if not 5.0 <= first.fov <= 170.0:
        parser.error("--fov is 5 to 170 degrees")
    return options


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not all(16 <= int(side) <= 4096 for side in match.groups()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT of 16 to 4096 pixels")
    return int(match[1]), int(match[2])


def _weather(text: str) -> str:
    try:
        return presets.weather(text) if text else ""
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _mount(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(number) for number in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,Z,PITCH")
    return numbers
