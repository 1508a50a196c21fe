"""The town's command line; nothing heavy is imported for it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bridge.process import presets
from bridge.process.arguments import Help, Parser, count, crowd, port


def parse(arguments: Sequence[str] | None, prog: str = "town") -> argparse.Namespace:
    """The options in ``arguments`` (None: the process's own) of a command called ``prog``. Wrong usage exits with 2."""
    about = "The embedded simulator: a small town that CARLA 0.9.16 clients connect to."
    add = (parser := Parser(prog, description=about, formatter_class=Help)).add_argument
    add("--host", default="127.0.0.1", help="address to listen on; who reaches it may drive")
    add("--port", type=port, default=2000, metavar="N", help="port for clients; 0 = any free one")
    add("--streaming-port", type=port, default=0, metavar="N", help="port for sensor data; 0 = any free one")
    add("--town", default="oldtown", metavar="NAME|FILE.xodr", help=f"one of {', '.join(presets.TOWNS)}, or OpenDRIVE")
    add("--seed", type=count, default=0, metavar="N", help="of the town and everything that moves in it")
    add("--vehicles", type=crowd, default=20, metavar="N", help="vehicles that drive by themselves")
    add("--walkers", type=crowd, default=12, metavar="N", help="pedestrians")
    add("--with-parent", action="store_true", help="end when the process that started this one ends")
    return parser.parse_args(arguments)
