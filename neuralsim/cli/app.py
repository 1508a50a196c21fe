"""``neuralsim ...``: the command line.

A command's options are imported when it is called, what it runs when they have been understood.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuralsim import __version__
from neuralsim.base.extras import missing
from neuralsim.base.failure import FAILED, fail


@dataclass(frozen=True)
class Command:
    """A command: what ``neuralsim --help`` says of it, the class of its options, and the function that takes them."""

    summary: str
    options: str  # module:class
    run: str  # module:function, which returns the exit code


#: What there is, in the order of the help. A new option is a field of the options' class, a new command a line here.
COMMANDS: dict[str, Command] = {
    "drive": Command(
        "drive through a street that a neural network paints",
        "neuralsim.session.options:DriveOptions",
        "neuralsim.cli.commands:drive",
    ),
    "serve": Command(
        "drive from a browser, on this machine or another one",
        "neuralsim.serve.options:ServeOptions",
        "neuralsim.serve.run:run",
    ),
    "record": Command(
        "record scenarios: every frame once, in lock-step",
        "neuralsim.datagen.options:RecordOptions",
        "neuralsim.datagen.run:run",
    ),
    "replay": Command(
        "look at a recording, paint it anew, drive on from any frame",
        "neuralsim.replay.options:ReplayOptions",
        "neuralsim.replay.run:run",
    ),
    "export-recording": Command(
        "a recording in other formats",
        "neuralsim.cli.recordings:ExportRecordingOptions",
        "neuralsim.cli.recordings:export_recording",
    ),
    "scenario-from": Command(
        "a recorded drive as a scenario, for `record`",
        "neuralsim.cli.recordings:ScenarioFromOptions",
        "neuralsim.cli.recordings:scenario_from",
    ),
    "bench": Command(
        "measure: end to end, by stage, from key to pixel",
        "neuralsim.bench.options:BenchOptions",
        "neuralsim.bench.run:run",
    ),
    "render": Command(
        "paint a folder of label maps, such as a data set's",
        "neuralsim.offline.options:RenderOptions",
        "neuralsim.offline.render_folder:run",
    ),
    "flow": Command(
        "motion of a real clip, for `render --motion`",
        "neuralsim.offline.options:FlowOptions",
        "neuralsim.offline.flow_folder:run_folder",
    ),
    "label": Command(
        "label maps of unlabelled pictures or video, by any segmenter",
        "neuralsim.offline.options:LabelOptions",
        "neuralsim.offline.pseudo_labels:run",
    ),
    "evaluate": Command(
        "judge a model: realism, obedience, flicker, drift",
        "neuralsim.evaluation.options:EvaluateOptions",
        "neuralsim.evaluation.run:run",
    ),
    "evaluate-recording": Command(
        "judge recordings: assertions, collisions, lanes, comfort",
        "neuralsim.cli.recordings:EvaluateRecordingOptions",
        "neuralsim.cli.recordings:evaluate_recording",
    ),
    "keys": Command(
        "keys for links between machines", "neuralsim.cli.commands:KeysOptions", "neuralsim.cli.commands:keys"
    ),
    "train": Command(
        "train a model (needs the train extra)", "neuralsim.cli.commands:TrainOptions", "neuralsim.cli.commands:train"
    ),
    "export": Command(
        "make a trained model one that can be driven in",
        "neuralsim.cli.commands:ExportOptions",
        "neuralsim.cli.commands:export",
    ),
    "quantise": Command(
        "measure a model for int8, on frames of the town",
        "neuralsim.evaluation.options:QuantiseOptions",
        "neuralsim.evaluation.quantise:run",
    ),
    "build-engine": Command(
        "TensorRT's engine for this GPU, built once",
        "neuralsim.cli.commands:BuildEngineOptions",
        "neuralsim.cli.commands:build_engine",
    ),
    "doctor": Command(
        "what this machine has, what will be used, what is missing",
        "neuralsim.cli.recordings:DoctorOptions",
        "neuralsim.cli.recordings:doctor",
    ),
    "town": Command(
        "the embedded town alone, a CARLA 0.9.16-compatible server",
        "neuralsim.town.carla_server.options:TownOptions",
        "neuralsim.town.carla_server.process:run",
    ),
    "bridge": Command(
        "the bridge alone, on the simulator's machine",
        "bridge.carla_client.options:BridgeOptions",
        "scenarios.play:play",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("bridge", "neuralsim", "scenarios"):
            raise
        return fail(missing(error, "bridge" if arguments[0] in ("town", "bridge") else "drive"))


def _run(arguments: list[str]) -> int:
    try:
        name = arguments[0] if arguments and arguments[0] in COMMANDS else _overview(arguments[:1])
        command = COMMANDS[name]
        from bridge.process.options import parse

        about = f"{command.summary[0].upper()}{command.summary[1:]}."
        options = parse(_named(command.options), arguments[1:], f"neuralsim {name}", about)
    except SystemExit as end:  # the parser has said why
        return end.code if isinstance(end.code, int) else FAILED
    try:
        code: int = _named(command.run)(options)
        return code
    except KeyboardInterrupt:
        print("neuralsim: interrupted", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # `neuralsim ... | head`
        sys.stderr.close()
        return FAILED
    except MemoryError:
        return fail("out of memory: a smaller size or a shorter file takes less")


def _overview(arguments: Sequence[str]) -> str:
    """What is done without a command, or with an unknown one: help, version, or one line; ends with SystemExit."""
    from bridge.process.parser import Parser, unknown

    parser = Parser("neuralsim", description="Drive CARLA in photoreal pixels.", usage="neuralsim COMMAND [options]")
    parser.add_argument("--version", action="version", version=f"neuralsim {__version__}")
    if arguments and not arguments[0].startswith("-"):
        parser.error(unknown("command", arguments[0], list(COMMANDS)))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.summary, add_help=False)
    parser.parse_args(arguments)
    raise AssertionError("argparse has let pass a call without a command")


def _named(path: str) -> Any:
    """The object that ``module:name`` names; imports the module."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    raise SystemExit(main())
