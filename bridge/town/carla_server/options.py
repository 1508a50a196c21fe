"""The town's command line; nothing heavy is imported for it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bridge.process import presets
from bridge.process.arguments import Help, Parser, count, crowd, port

DEFAULT = "oldtown"


def parse(arguments: Sequence[str] | None, prog: str = "town") -> argparse.Namespace:
    """The options in ``arguments`` (None: the process's own) of a command called ``prog``. Wrong usage exits with 2."""
    about = "The embedded simulator: a small town that CARLA 0.9.16 clients connect to."
    add = (parser := Parser(prog, description=about, formatter_class=Help)).add_argument
    add("--host", default="127.0.0.1", help="address to listen on; who reaches it may drive")
    add("--port", type=port, default=2000, metavar="N", help="port for clients; 0 = any free one")
    add("--streaming-port", type=port, default=0, metavar="N", help="port for sensor data; 0 = any free one")
    names = ", ".join(presets.TOWNS)
    place = "NAME|FILE.xodr|FOLDER"
    maps = f"maps for clients, the first to begin with: {names}, OpenDRIVE files, folders of these (default: {DEFAULT})"
    add("--town", nargs="+", metavar=place, help=maps)
    add("--as-carla", action="store_true", help="answer to the names of CARLA's maps too, by the town most like each")
    add("--seed", type=count, default=0, metavar="N", help="of the town and everything that moves in it")
    add("--vehicles", type=crowd, default=20, metavar="N", help="vehicles that drive by themselves")
    add("--walkers", type=crowd, default=12, metavar="N", help="pedestrians")
    add("--with-parent", action="store_true", help="end when the process that started this one ends")
    options = parser.parse_args(arguments)
    if not options.town:
        options.town = [] if options.as_carla else [DEFAULT]
    return options
