"""The command line of ``neuralsim bench``. Nothing heavy is imported before there is something to measure."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.process.arguments import address, count, endpoint, listed, positive, rate, size, suffixed
from neuralsim.bench.options import LOOPS, PARTS, BenchOptions, Link, everything


def add(parser: argparse.ArgumentParser) -> None:
    """Add all options to ``parser``."""

    default = BenchOptions()
    add = parser.add_argument
    add("--out", metavar="DIR", type=Path, default=default.out, help="where report.json and report.html go")
    add = parser.add_argument_group("matrix", "lists, separated by commas: every combination is measured").add_argument
    add("--model", metavar="LIST", dest="models", type=several(str), default="street-rt", help="models that paint")
    add("--runtime", metavar="LIST", dest="runtimes", type=several(str), default="auto", help="what runs them")
    add("--size", metavar="LIST", dest="sizes", type=several(size), default="512x256", help="WxH, pixels to paint")
    add(
        "--link",
        metavar="LIST",
        dest="links",
        type=several(_link),
        default="ipc",
        help="ipc, tcp; ipc+4: to 4 others, too",
    )
    add(
        "--loop",
        metavar="LIST",
        dest="loops",
        type=listed(LOOPS),
        default=",".join(default.loops),
        help="live: newest frame wins, as in the window; lockstep: every frame; window: with a real one",
    )
    add("--matrix", action="store_true", help="all runtimes that are here, all models, three sizes, ipc, tcp and ipc+4")
    add = parser.add_argument_group("measurement").add_argument
    add("--parts", metavar="LIST", type=listed(PARTS), default=",".join(default.parts), help=f"of {','.join(PARTS)}")
    add("--frames", metavar="N", type=positive, default=default.frames, help="frames of each drive")
    add("--warm-up", metavar="N", type=count, default=default.warm_up, help="frames before them")
    add("--repeats", metavar="N", type=positive, default=default.repeats, help="drives of each combination")
    add("--fps", metavar="RATE", type=rate, help="simulated ticks per second (default: as `neuralsim drive`)")
    add("--town", metavar="NAME|FILE.xodr", default=default.town, help="town to drive in")
    add("--seed", metavar="N", type=count, default=default.seed, help="of town and traffic")
    add("--carla", metavar="HOST:PORT", type=address, help="a running CARLA server (default: start embedded towns)")
    add("--connect", metavar="ENDPOINT", type=endpoint, help="frames of a bridge elsewhere, tcp://HOST:PORT")
    add("--keys", metavar="FOLDER", type=Path, help="CURVE keys for --connect")
    add = parser.add_argument_group("verdict and output").add_argument
    add("--against", metavar="OLD.json", type=suffixed(".json"), help="a report: what has changed, what is noise")
    add(
        "--budget",
        metavar="LIST",
        type=_budget,
        default=(),
        help="limits, exit code 1 if broken, such as p95=50ms,fps=20; of latency and photon, frame, render and the "
        "other stages (photon.p95=90ms; p50, p95 or p99), fps, displayed_fps, dropped, jitter, memory (1000MB)",
    )
    add("--trace", metavar="FILE.json", type=suffixed(".json"), help="the first drive for ui.perfetto.dev")
    add("--docs", metavar="FILE.md", type=suffixed(".md"), help="fill in the tables of this page, too")


def wrong(options: argparse.Namespace) -> str:
    """What does not go together, in one line; "" if all does."""
    if options.connect is not None and (options.carla is not None or "lockstep" in options.loops):
        return "--connect goes with --loop live or window, and with no --carla"
    if options.keys is not None and options.connect is None:
        return "--keys is for --connect; links within one machine need none"
    if options.budget and "drive" not in options.parts:
        return "--budget is for drives: name drive among the --parts"
    return ""


def chosen(options: argparse.Namespace) -> BenchOptions:
    """What was asked for."""
    found = BenchOptions(**{name: value for name, value in vars(options).items() if name != "run"})
    return everything(found) if options.matrix else found


def several(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """A comma-separated list of ``kind``, each once."""

    def items(text: str) -> tuple[Any, ...]:
        words = text.split(",")
        if not all(words):
            raise argparse.ArgumentTypeError(f"{text!r} is no list, separated by commas")
        return tuple(dict.fromkeys(kind(word) for word in words))

    return items


def _link(text: str) -> Link:
    try:
        return Link.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _budget(text: str) -> tuple[str, ...]:
    from neuralsim.bench.budget import Budget

    try:
        return tuple(word for word in text.split(",") if Budget.parse(word))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
