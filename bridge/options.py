"""The bridge's command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

import carla
import numpy as np

from bridge.arguments import Parser, count
from bridge.rig import SENSORS

WEATHERS = sorted(name for name in dir(carla.WeatherParameters) if re.match("[A-Z]", name))


def parse(arguments: Sequence[str] | None, about: str | None) -> argparse.Namespace:
    """The options in ``arguments`` (None: the process's own); ``about`` is for the help. Wrong usage exits with 2.

    With ``--scenario``, what is not given on the command line is left to the scenario: it is None here.
    """
    parser = Parser("bridge", description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
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
        help="where controls come in (empty: the next port or path.control)",
    )
    add("--keys", metavar="FOLDER", help="CURVE keys; needed for other than loopback addresses")
    add("--size", type=_size, default=(512, 256), metavar="WxH", help="pixels")
    add("--fov", type=float, default=70.0, help="horizontal field of view, degrees")
    add("--fps", type=float, default=30.0, help="ticks per simulated second")
    add("--seed", type=count, default=0, help="of spawn point and autopilot")
    add("--weather", type=_weather, default="", metavar="PRESET", help="CARLA preset, e.g. WetSunset (empty: as it is)")
    add(
        "--camera",
        type=_numbers,
        default=(1.2, 0.0, 1.45, 0.0),
        metavar="X,Y,Z,PITCH",
        help="at the vehicle, m and degrees",
    )
    add("--planes", type=_planes, default=("tag", "instance", "depth", "motion"), help=f"of {','.join(SENSORS)}")
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
    known = {name.lower(): name for name in WEATHERS}
    if text and text.lower() not in known:
        raise argparse.ArgumentTypeError(f"unknown weather {text!r}; there are {', '.join(WEATHERS)}")
    return known.get(text.lower(), "")


def _planes(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    unknown = [name for name in names if name not in SENSORS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown plane {unknown[0]!r}; there are {', '.join(SENSORS)}")
    return names


def _numbers(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(number) for number in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,Z,PITCH")
    return numbers
