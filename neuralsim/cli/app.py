"""``neuralsim ...``: the command line.

A command's options are imported when it is called, its implementation once they have been parsed.
"""

import atexit
import gc
import importlib
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from neuralsim import __version__
from neuralsim.base.extras import missing
from neuralsim.base.failure import FAILED, fail
from neuralsim.base.stale_kernels import forget_stale_once
from neuralsim.base.threads import switch_threads_early


@dataclass(frozen=True)
class Command:
    """A command: its line in ``neuralsim --help``, its options class, and the function that runs it."""

    summary: str
    options: str  # module:class
    run: str  # module:function, which returns the exit code


#: All commands, in the order of the help: two words are a group and a command of it. A new option is a field of the
#: options class, a new command an entry here.
COMMANDS: dict[str, Command] = {
    "drive": Command(
        "drive through streets rendered by a neural network",
        "neuralsim.session.options:DriveOptions",
        "neuralsim.cli.commands:drive",
    ),
    "serve": Command(
        "drive from a browser, on this machine or another one",
        "neuralsim.serve.options:ServeOptions",
        "neuralsim.serve.run:run",
    ),
    "record": Command(
        "record scenarios: every frame once, in lockstep",
        "neuralsim.datagen.options:RecordOptions",
        "neuralsim.datagen.run:run",
    ),
    "replay": Command(
        "view a recording, render it again, drive on from any frame",
        "neuralsim.replay.options:ReplayOptions",
        "neuralsim.replay.run:run",
    ),
    "render": Command(
        "render a folder of recordings of CARLA's cameras, or of a data set's label maps",
        "neuralsim.offline.options:RenderOptions",
        "neuralsim.offline.render:run",
    ),
    "dataset": Command(
        "make a data set: many drives, splits, exports, a data card",
        "neuralsim.datagen.options:DatasetOptions",
        "neuralsim.datagen.dataset:run",
    ),
    "town": Command(
        "run the embedded town alone, a CARLA 0.9.16-compatible server",
        "neuralsim.lens.options:PaintedTownOptions",
        "neuralsim.lens.painted_town:run",
    ),
    "lens": Command(
        "show any CARLA program generated images from its own cameras",
        "neuralsim.lens.options:LensOptions",
        "neuralsim.lens.run:run",
    ),
    "ros2": Command(
        "let ROS 2 drive: sensors out, commands in, over DDS (needs the ros2 extra)",
        "neuralsim.ros2.options:Ros2Options",
        "neuralsim.ros2.run:run",
    ),
    "bench": Command(
        "measure latency and frame rate: end to end and by stage",
        "neuralsim.bench.options:BenchOptions",
        "neuralsim.bench.run:run",
    ),
    "doctor": Command(
        "show what this machine has, what will be used, what is missing",
        "neuralsim.cli.doctor:DoctorOptions",
        "neuralsim.cli.doctor:doctor",
    ),
    "recording export": Command(
        "convert a recording to other formats",
        "neuralsim.cli.recordings:ExportRecordingOptions",
        "neuralsim.cli.recordings:export_recording",
    ),
    "recording evaluate": Command(
        "evaluate recordings: assertions, collisions, lanes, comfort",
        "neuralsim.cli.recordings:EvaluateRecordingOptions",
        "neuralsim.cli.recordings:evaluate_recording",
    ),
    "recording to-scenario": Command(
        "turn a recorded drive into a scenario for `record`",
        "neuralsim.cli.recordings:ScenarioFromOptions",
        "neuralsim.cli.recordings:scenario_from",
    ),
    "images flow": Command(
        "compute the motion of a real clip, for `render --motion`",
        "neuralsim.offline.options:FlowOptions",
        "neuralsim.offline.flow_folder:run_folder",
    ),
    "images label": Command(
        "label unlabelled images or video with any segmenter",
        "neuralsim.offline.options:LabelOptions",
        "neuralsim.offline.pseudo_labels:run",
    ),
    "link bridge": Command(
        "run the bridge alone, on the simulator's machine",
        "bridge.carla_client.options:BridgeOptions",
        "scenarios.play:play",
    ),
    "link keys": Command(
        "make keys for links between machines", "neuralsim.cli.commands:KeysOptions", "neuralsim.cli.commands:keys"
    ),
    "model train": Command(
        "train a model (needs the train extra)", "neuralsim.cli.commands:TrainOptions", "neuralsim.cli.commands:train"
    ),
    "model evaluate": Command(
        "evaluate a model: realism, label fidelity, flicker, drift",
        "neuralsim.evaluation.options:EvaluateOptions",
        "neuralsim.evaluation.run:run",
    ),
    "model export": Command(
        "export a trained model for driving",
        "neuralsim.cli.commands:ExportOptions",
        "neuralsim.cli.commands:export",
    ),
    "model quantise": Command(
        "calibrate a model for int8 on frames of the town",
        "neuralsim.evaluation.options:QuantiseOptions",
        "neuralsim.evaluation.quantise:run",
    ),
    "model build-engine": Command(
        "build a TensorRT engine for this GPU",
        "neuralsim.cli.commands:BuildEngineOptions",
        "neuralsim.cli.commands:build_engine",
    ),
}

#: Groups of commands, whose names are those of the group and of the command: their lines in the help.
GROUPS = {
    "recording": "export a recording, evaluate it, make a scenario of it",
    "images": "motion and labels of real images",
    "link": "a link between machines: the bridge alone, its keys",
    "model": "train, evaluate and export models",
}

#: Names of commands in the release before -> those of now. They go with the next release.
RENAMED = {
    "export-recording": "recording export",
    "evaluate-recording": "recording evaluate",
    "scenario-from": "recording to-scenario",
    "evaluate": "model evaluate",
    "train": "model train",
    "export": "model export",
    "quantise": "model quantise",
    "build-engine": "model build-engine",
    "flow": "images flow",
    "label": "images label",
    "keys": "link keys",
    "bridge": "link bridge",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 1 failed, 2 wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Images are small: threads of OpenCV's own take the renderer's time by waiting, and save none.
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    switch_threads_early()
    forget_stale_once()  # for bridges that run alone: their kernels import nothing of this package
    try:
        return _run(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("bridge", "neuralsim", "scenarios"):
            raise
        return fail(missing(error, "bridge" if {"town", "bridge"}.intersection(arguments[:2]) else "drive"))


def run_process() -> NoReturn:
    """Run :func:`main` as a process of its own, and end that without Python's teardown where nothing needs it.

    The teardown unmaps modules and models one by one, which takes up to half a second after a drive; the system does it
    at once. A model's compiler cannot be cancelled, and crashes in it.
    """
    code = main()
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if not any(thread.name == "model" for thread in others):
        if not all(thread.daemon for thread in others):
            sys.exit(code)  # it waits for them
        gc.collect()  # some runtimes write their cache when a session ends
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # a full disk, a reader that has gone
            code = code or FAILED
    os._exit(code)


def _run(arguments: list[str]) -> int:
    try:
        name, rest = _command(arguments)
        command = COMMANDS[name]
        from bridge.process.options import parse

        about = f"{command.summary[0].upper()}{command.summary[1:]}."
        options = parse(_import(command.options), rest, f"neuralsim {name}", about)
    except SystemExit as end:  # the parser has printed why
        return end.code if isinstance(end.code, int) else FAILED
    try:
        if getattr(options, "gpu", None) is not None and (refusal := _choose_gpu(options.gpu)):
            return fail(refusal)
        code: int = _import(command.run)(options)
        return code
    except KeyboardInterrupt:
        print("neuralsim: interrupted", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # `neuralsim ... | head`
        sys.stderr.close()
        return FAILED
    except MemoryError:
        return fail("out of memory: try a smaller size or a shorter file")


def _choose_gpu(number: int) -> str:
    """Let this process and its children see one GPU only; return why that cannot be, "" if it can."""
    from neuralsim.runtimes import cuda_driver

    try:
        cuda_driver.choose(number)
    except cuda_driver.NoGpu as error:
        return str(error)
    return ""


def _command(arguments: list[str]) -> tuple[str, list[str]]:
    """Return the name of the command and the arguments that follow it; ends with SystemExit where there is none."""
    first = arguments[0] if arguments else ""
    if first in RENAMED:
        name = RENAMED[first]
        print(f"neuralsim: `{first}` is `{name}` now; the old name works for one more release", file=sys.stderr)
        return name, arguments[1:]
    if first in GROUPS and len(arguments) > 1 and f"{first} {arguments[1]}" in COMMANDS:
        return f"{first} {arguments[1]}", arguments[2:]
    if first in COMMANDS:
        return first, arguments[1:]
    if first in GROUPS:
        _overview(arguments[1:2], first)
    _overview(arguments[:1])


def _overview(arguments: Sequence[str], group: str = "") -> NoReturn:
    """Handle a missing or unknown command, of a ``group`` if there is one: print help, version or one line."""
    from bridge.process.parser import Parser, unknown

    program = f"neuralsim {group}".rstrip()
    about = f"{GROUPS[group][0].upper()}{GROUPS[group][1:]}." if group else "Drive CARLA in photoreal pixels."
    parser = Parser(program, description=about, usage=f"{program} COMMAND [options]")
    lines = (
        {
            name.removeprefix(f"{group} "): command.summary
            for name, command in COMMANDS.items()
            if name.startswith(f"{group} ")
        }
        if group
        else {name: command.summary for name, command in COMMANDS.items() if " " not in name} | GROUPS
    )
    if not group:
        parser.add_argument("--version", action="version", version=f"neuralsim {__version__}")
    if arguments and not arguments[0].startswith("-"):
        parser.error(unknown("command", arguments[0], list(lines)))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in lines.items():
        commands.add_parser(name, help=summary, add_help=False)
    parser.parse_args(arguments)
    raise AssertionError("argparse accepted a call without a command")


def _import(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    raise SystemExit(main())
