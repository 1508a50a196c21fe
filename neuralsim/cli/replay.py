"""``neuralsim replay`` on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from bridge.process.arguments import seconds, speed, suffixed
from neuralsim.cli.arguments import add_remap, add_runtime, add_style
from neuralsim.cli.exit_codes import usage


def add_replay(parser: argparse.ArgumentParser) -> None:
    from neuralsim.replay.options import ReplayOptions

    default = ReplayOptions(Path())
    parser.add_argument("file", metavar="FILE.mcap", type=suffixed(".mcap"), help="a recording, whole or cut short")
    parser.add_argument("--model", metavar="NAME", help="paint anew with this model (default: as it was recorded)")
    parser.add_argument("--compare", metavar="NAME", help="another model, on the right of the split view")
    add_style(parser, "what fits the weather")
    add_remap(parser, "as recorded")
    add_runtime(parser, default.runtime)
    parser.add_argument("--camera", metavar="NAME", dest="view", default="", help="one of several (default: the first)")
    parser.add_argument("--speed", metavar="X", type=speed, default=default.speed, help="0.1 to 8 times real time")
    parser.add_argument("--begin", metavar="S", type=seconds, default=default.begin, help="seconds to begin at")
    parser.add_argument("--end", metavar="S", type=seconds, help="seconds to end at (default: the recording's)")
    parser.add_argument("--headless", action="store_true", help="no window: write --record and end")
    parser.add_argument("--record", metavar="FILE.mp4", type=suffixed(".mp4"), help="with --headless: where to")


def run_replay(options: argparse.Namespace) -> int:
    from neuralsim.replay.options import ReplayOptions
    from neuralsim.replay.run import run

    if options.headless != (options.record is not None):
        return usage("--headless and --record go together", "replay")
    return run(ReplayOptions(**{name: value for name, value in vars(options).items() if name != "run"}))
