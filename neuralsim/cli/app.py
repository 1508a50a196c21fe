"""``neuralsim ...``: the command line. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import argparse
import importlib
import runpy
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bridge.process.arguments import (
    USAGE,
    Help,
    Parser,
    address,
    count,
    crowd,
    endpoint,
    positive,
    rate,
    size,
    suffixed,
)
from bridge.process.presets import TOWNS
from neuralsim import __version__
from neuralsim.base.failure import fail
from neuralsim.cli.arguments import add_model, add_remap, add_runtime, add_style
from neuralsim.cli.exit_codes import DONE, FAILED, usage


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    process = arguments[0] if arguments and arguments[0] in _PROCESSES else None
    try:
        if process is not None:
            importlib.import_module(_PROCESSES[process][2]).parse(arguments[1:], f"neuralsim {process}")
        else:
            options = _parser().parse_args(arguments)
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else USAGE
    try:
        return options.run(options) if process is None else _process(process, arguments[1:])
    except KeyboardInterrupt:
        print("neuralsim: interrupted", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # `neuralsim ... | head`
        sys.stderr.close()
        return FAILED
    except MemoryError:
        return fail("out of memory: a smaller size or a shorter file takes less")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="neuralsim", description="Drive CARLA in photoreal pixels.", formatter_class=Help)
    parser.add_argument("--version", action="version", version=f"neuralsim {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    for name, (summary, add_arguments, run) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=_sentence(summary), formatter_class=Help)
        add_arguments(command)
        command.set_defaults(run=run)
    for name, (summary, *_) in _PROCESSES.items():  # parsed by the process itself; here for the list
        commands.add_parser(name, help=summary)
    return parser


def _add_drive(parser: argparse.ArgumentParser) -> None:
    from neuralsim.session.options import DriveOptions

    default = DriveOptions()
    where = parser.add_argument_group("where to drive")
    towns = f"{', '.join(TOWNS)}, or any OpenDRIVE file (default: {default.town})"
    where.add_argument("--town", metavar="NAME|FILE.xodr", help=towns)
    where.add_argument(
        "--carla", metavar="HOST:PORT", type=address, help="a running CARLA server (default: start the embedded town)"
    )
    where.add_argument(
        "--connect", metavar="ENDPOINT", type=endpoint, help="frames of a bridge elsewhere, tcp://HOST:PORT"
    )
    where.add_argument("--replay", metavar="FILE.mcap", type=suffixed(".mcap"), help="look at a recording, drive on")
    where.add_argument("--from-frame", metavar="N", type=count, help="with --replay: drive on from this frame at once")
    where.add_argument("--keys", metavar="FOLDER", type=Path, help="CURVE keys for --connect (`neuralsim keys new`)")
    where.add_argument("--weather", metavar="PRESET", help="CARLA's, such as WetSunset (default: the town's)")
    where.add_argument("--seed", metavar="N", type=count, default=default.seed, help="of town and traffic")
    where.add_argument("--vehicles", metavar="N", type=crowd, help=f"moving vehicles (default: {default.vehicles})")
    where.add_argument("--walkers", metavar="N", type=crowd, help=f"pedestrians (default: {default.walkers})")
    where.add_argument("--autopilot", action="store_true", help="begin with the autopilot on")
    picture = parser.add_argument_group("picture")
    add_model(picture, default.model)
    add_runtime(picture, default.runtime)
    add_style(picture, "what fits the weather")
    add_remap(picture)
    picture.add_argument("--size", metavar="WxH", type=size, default="512x256", help="pixels to paint")
    picture.add_argument(
        "--fps",
        metavar="RATE",
        type=rate,
        help="simulated ticks per second (default: 30; with a window as many of them as this machine can paint)",
    )
    picture.add_argument(
        "--late-warp",
        action=argparse.BooleanOptionalAction,
        default=default.late_warp,
        help="with a window: 60 displays a second, the last picture moved while the next is painted",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--headless", action="store_true", help="no window: paint every frame once, in lock-step")
    output.add_argument("--frames", metavar="N", type=positive, help="end after so many frames")
    output.add_argument("--record", metavar="FILE.mp4", type=suffixed(".mp4"), help="record what is painted")
    output.add_argument("--report", metavar="FILE.json", type=suffixed(".json"), help="write what was measured")
    output.add_argument("--log", metavar="FILE.jsonl", type=suffixed(".jsonl"), help="write the car's state, per frame")


def _drive(options: argparse.Namespace) -> int:
    from neuralsim.session.options import DriveOptions

    town_only = [name for name in ("town", "vehicles", "walkers") if getattr(options, name) is not None]
    elsewhere = [name for name in ("carla", *town_only, "weather", "fps") if getattr(options, name) is not None]
    if options.connect is not None and elsewhere:
        return usage(f"--{elsewhere[0]} is for the machine where the bridge runs; it cannot go with --connect")
    if options.carla is not None and town_only:
        return usage(f"--{town_only[0]} is for the embedded town; a CARLA server has its own")
    if options.keys is not None and options.connect is None:
        return usage("--keys is for --connect; links within one machine need none")
    not_options = ("run", "replay", "from_frame")
    wanted = {name: value for name, value in vars(options).items() if name not in not_options and value is not None}
    if options.replay is not None:
        set_by_it = [name for name in ("connect", "carla", *town_only, "weather", "fps") if name in wanted]
        if set_by_it:
            return usage(f"--{set_by_it[0]} cannot go with --replay: the recording says it")
        if options.headless and options.from_frame is None:
            return usage("--replay without a window needs --from-frame; to paint anew: neuralsim replay --headless")
        from neuralsim.replay.run import play_or_drive_on

        return play_or_drive_on(options.replay, options.from_frame, DriveOptions(**wanted))
    if options.from_frame is not None:
        return usage("--from-frame is for --replay")
    from neuralsim.window.drive import run

    return run(DriveOptions(**wanted))


def _add_bench(parser: argparse.ArgumentParser) -> None:
    from neuralsim.cli.bench import add

    add(parser)


def _bench(options: argparse.Namespace) -> int:
    from neuralsim.bench.run import run
    from neuralsim.cli.bench import chosen, wrong

    problem = wrong(options)
    return usage(problem, "bench") if problem else run(chosen(options))


def _add_render(parser: argparse.ArgumentParser) -> None:
    from neuralsim.cli.offline import add_render

    add_render(parser)


def _render(options: argparse.Namespace) -> int:
    from neuralsim.cli.offline import render_options

    wanted = render_options(options)
    if isinstance(wanted, str):
        return usage(wanted, "render")
    from neuralsim.offline.folder import run

    return run(wanted)


def _add_flow(parser: argparse.ArgumentParser) -> None:
    from neuralsim.cli.offline import add_flow

    add_flow(parser)


def _flow(options: argparse.Namespace) -> int:
    from neuralsim.offline.flow import run_folder

    return run_folder(options.images, options.out)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    from neuralsim.cli.evaluate import add

    add(parser)


def _evaluate(options: argparse.Namespace) -> int:
    from neuralsim.cli.evaluate import chosen

    wanted = chosen(options)
    if isinstance(wanted, str):
        return usage(wanted, "evaluate")
    from neuralsim.evaluation.run import run

    return run(wanted)


def _add_keys(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, parser_class=Parser)
    summary = "make a key pair; copy its folder to both machines"
    new = actions.add_parser("new", help=summary, description=_sentence(summary), formatter_class=Help)
    new.add_argument("folder", metavar="FOLDER", nargs="?", type=Path, default=Path("keys"), help="where to")


def _keys(options: argparse.Namespace) -> int:
    from bridge.link.transport import LinkError, generate_keys

    try:
        folder = generate_keys(options.folder)
    except LinkError as error:
        return fail(error)
    print(f"{folder}: copy this folder to the other machine and give it with --keys on both; keep `secret` secret")
    return DONE


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE.mcap", nargs="?", type=suffixed(".mcap"), help="a recording: is it whole?"
    )
    parser.add_argument(
        "--recover", metavar="NEW.mcap", type=suffixed(".mcap"), help="write what can be read of FILE into a whole file"
    )
    parser.add_argument("--licences", action="store_true", help="whose terms hold: of packages, and of the weights")


def _doctor(options: argparse.Namespace) -> int:
    if options.licences:
        if options.file is not None or options.recover is not None:
            return usage("--licences stands alone", "doctor")
        from neuralsim.cli.licences import licences

        licences(print)
        return DONE
    if options.file is not None:
        return _examine_recording(options.file, options.recover)
    if options.recover is not None:
        return usage("--recover is for a recording: name it first", "doctor")
    from neuralsim.cli.doctor import examine

    return DONE if examine(print) else FAILED


def _examine_recording(file: Path, target: Path | None) -> int:
    """Say what is in a recording and whether it is whole; with a ``target``, make it so."""
    from neuralsim.recording.export import examine, recover
    from neuralsim.recording.mp4 import RecordingError

    try:
        health = examine(file)
        span = f"{health.begin:.2f} to {health.end:.2f} s"
        print(f"{file}: {health.frames} whole frames, {span}, {', '.join(health.topics)}")
        if health.problem:
            print(f"{file}: {health.problem}; the frames above can be read")
        if target is not None:
            recover(file, target)
            print(f"{target}: written, whole")
            return DONE
        if health.problem:
            print(f"make a whole file of them: neuralsim doctor {file} --recover NEW.mcap")
    except RecordingError as error:
        return fail(error)
    return FAILED if health.problem else DONE


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", metavar="CONFIG.yaml", type=Path, help="the run, such as docs/training/street-rt.yaml"
    )
    parser.add_argument(
        "--check", action="store_true", help="only read every picture and label once, say what is wrong"
    )


def _train(options: argparse.Namespace) -> int:
    if options.check:
        return _with_torch(lambda run: run.run_check(options.config))
    return _with_torch(lambda run: run.run_training(options.config))


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG.yaml", type=Path, help="the run's config")
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, required=True, help="model folder; its name is the model's"
    )
    parser.add_argument(
        "--licence", required=True, help="terms of the weights, for the card: those of the training data"
    )


def _export(options: argparse.Namespace) -> int:
    return _with_torch(lambda run: print(run.run_export(options.config, options.out, options.licence)))


def _with_torch(task: Callable[[Any], bool | None]) -> int:
    """Run ``task`` with ``neuralsim.training.run``; what goes wrong is one line, and what returns False has failed."""
    try:
        from neuralsim.training import run
    except ModuleNotFoundError as error:
        print(f"neuralsim: {error.name} is missing: pip install -r requirements/train.txt", file=sys.stderr)
        return FAILED
    from safetensors import SafetensorError

    from neuralsim import zoo
    from neuralsim.base.failure import reason

    try:
        return FAILED if task(run) is False else DONE
    except SafetensorError as error:
        print(f"neuralsim: the run's last.safetensors is damaged ({error}): train into a new folder", file=sys.stderr)
    except OSError as error:
        print(f"neuralsim: {f'{error.filename}: ' if error.filename else ''}{reason(error)}", file=sys.stderr)
    except (ValueError, FloatingPointError, zoo.ModelError) as error:
        return fail(error)
    return FAILED


def _add_build_engine(parser: argparse.ArgumentParser) -> None:
    from neuralsim.session.options import DriveOptions

    parser.add_argument("--model", metavar="NAME", default=DriveOptions().model, help="model that paints")
    parser.add_argument("--size", metavar="WxH", type=size, default="512x256", help="pixels to paint")
    parser.add_argument("--precision", choices=("fp16", "fp32", "int8"), default="fp16", help="of the painter's layers")
    parser.add_argument("--level", type=int, choices=range(6), default=3, help="optimisation: higher builds longer")
    parser.add_argument("--workspace", metavar="MB", type=positive, default=2048, help="GPU memory layers may use")
    parser.add_argument("--again", action="store_true", help="build it although it is there")


def _build_engine(options: argparse.Namespace) -> int:
    from neuralsim.runtimes.build_engine import run

    return run(options.model, options.size, options.precision, options.level, options.workspace, options.again)


def _add_quantise(parser: argparse.ArgumentParser) -> None:
    from neuralsim.session.options import DriveOptions

    add = parser.add_argument
    add("--model", metavar="NAME", default=DriveOptions().model, help="model to measure")
    add(
        "--recording",
        metavar="FILE.mcap",
        type=suffixed(".mcap"),
        help="with its frames (default: the embedded town's)",
    )
    add("--frames", metavar="N", type=positive, default=24, help="to measure on, and as many to compare")
    add("--out", metavar="FILE", type=Path, help="for the ranges (default: this machine's cache)")


def _quantise(options: argparse.Namespace) -> int:
    from neuralsim.evaluation.quantise import run

    return run(options.model, options.recording, options.frames, options.out)


def _process(name: str, arguments: list[str]) -> int:
    """Be the town or the bridge: its own command line takes the arguments and ends this process."""
    sys.argv = [f"neuralsim {name}", *arguments]
    runpy.run_module(_PROCESSES[name][1], run_name="__main__", alter_sys=True)
    return DONE


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


_Add = Callable[[argparse.ArgumentParser], None]
_Run = Callable[[argparse.Namespace], int]


def _later(module: str, name: str) -> tuple[_Add, _Run]:
    """``add_NAME`` and ``run_NAME`` of a module that is imported when one of them is called."""

    def call(function: str, argument: Any) -> Any:
        return getattr(importlib.import_module(module), function)(argument)

    return partial(call, f"add_{name}"), partial(call, f"run_{name}")


#: Command -> (summary, what adds its arguments, what runs it).
_COMMANDS: dict[str, tuple[str, _Add, _Run]] = {
    "drive": ("drive through a street that a neural network paints", _add_drive, _drive),
    "record": ("record scenarios: every frame once, in lock-step", *_later("neuralsim.cli.record", "record")),
    "replay": (
        "look at a recording, paint it anew, drive on from any frame",
        *_later("neuralsim.cli.replay", "replay"),
    ),
    "export-recording": ("a recording in other formats", *_later("neuralsim.cli.record", "export")),
    "bench": ("measure: end to end, by stage, from key to pixel", _add_bench, _bench),
    "render": ("paint a folder of label maps, such as a data set's", _add_render, _render),
    "flow": ("motion of a real clip, for `render --motion`", _add_flow, _flow),
    "label": (
        "label maps of unlabelled pictures or video, by any segmenter",
        *_later("neuralsim.cli.offline", "label"),
    ),
    "evaluate": ("judge a model: realism, obedience, flicker, drift", _add_evaluate, _evaluate),
    "evaluate-recording": (
        "judge recordings: assertions, collisions, lanes, comfort",
        *_later("neuralsim.cli.record", "evaluate"),
    ),
    "keys": ("keys for links between machines", _add_keys, _keys),
    "train": ("train a model (needs the train extra)", _add_train, _train),
    "export": ("make a trained model one that can be driven in", _add_export, _export),
    "quantise": ("measure a model for int8, on frames of the town", _add_quantise, _quantise),
    "build-engine": ("TensorRT's engine for this GPU, built once", _add_build_engine, _build_engine),
    "doctor": ("what this machine has, what will be used, what is missing", _add_doctor, _doctor),
}

#: Processes with a command line of their own -> (summary, module, what parses its arguments).
_PROCESSES: dict[str, tuple[str, str, str]] = {
    "town": (
        "the embedded town alone, a CARLA 0.9.16-compatible server",
        "bridge.town.carla_server.server",
        "bridge.town.carla_server.options",
    ),
    "bridge": ("the bridge alone, on the simulator's machine", "scenarios.play", "bridge.carla_client.options"),
}

if __name__ == "__main__":
    raise SystemExit(main())
