"""``neuralsim record``, ``export-recording`` and ``evaluate-recording`` on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from bridge.process.arguments import address, listed, positive, size, suffixed
from neuralsim.base.failure import fail, say
from neuralsim.cli.arguments import add_model, add_remap, add_runtime, add_style, scenario
from neuralsim.cli.exit_codes import DONE, FAILED, usage


def add_record(parser: argparse.ArgumentParser) -> None:
    from neuralsim.datagen.options import FORMATS, PLANES, RecordOptions

    default = RecordOptions(Path())
    parser.add_argument(
        "scenarios",
        metavar="SCENARIO",
        nargs="+",
        type=scenario,
        help="scenario files, or names of shipped ones",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="each goes into DIR/<its file's stem>/")
    parser.add_argument(
        "--planes", metavar="LIST", type=listed(PLANES), default=",".join(default.planes), help=f"of {','.join(PLANES)}"
    )
    parser.add_argument(
        "--format",
        metavar="LIST",
        dest="formats",
        type=listed(FORMATS),
        default=",".join(default.formats),
        help=f"of {','.join(FORMATS)}",
    )
    parser.add_argument("--jobs", metavar="N", type=positive, default=default.jobs, help="scenarios at the same time")
    parser.add_argument("--ray", metavar="ADDRESS", help="on a Ray cluster, one scenario a task (cluster extra)")
    parser.add_argument("--junit", metavar="FILE.xml", type=suffixed(".xml"), help="judge all of them, as JUnit XML")
    parser.add_argument("--again", action="store_true", help="record what has been recorded already, too")
    parser.add_argument(
        "--carla", metavar="HOST:PORT", type=address, help="a running CARLA server (default: start embedded towns)"
    )
    add_model(parser, default.model)
    add_runtime(parser, default.runtime)
    add_style(parser, "what fits the weather")
    add_remap(parser, "the scenario's")
    parser.add_argument("--size", metavar="WxH", type=size, help="pixels (default: the scenario's)")


def run_record(options: argparse.Namespace) -> int:
    from neuralsim.datagen.options import RecordOptions
    from neuralsim.datagen.run import run

    if options.carla is not None and options.jobs > 1:
        return usage("one CARLA server plays one scenario at a time: --jobs cannot go with --carla", "record")
    if options.ray is not None and (options.carla is not None or options.jobs > 1):
        return usage("--ray cannot go with --carla or --jobs: each task has a town of its own", "record")
    if options.junit is not None and "mcap" not in options.formats:
        return usage("--junit needs the format mcap", "record")
    wanted = {name: value for name, value in vars(options).items() if name not in ("run", "scenarios")}
    return run(options.scenarios, RecordOptions(**wanted))


def add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.mcap", type=suffixed(".mcap"), help="a recording, whole or cut short")
    parser.add_argument(
        "--format", metavar="LIST", dest="formats", type=listed(("mp4", "frames")), default="mp4", help="of mp4,frames"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="DIR/video.mp4, DIR/frames/")


def run_export(options: argparse.Namespace) -> int:
    from neuralsim.base.progress import Progress
    from neuralsim.recording.export import export_mp4
    from neuralsim.recording.frames import export_frames
    from neuralsim.recording.mp4 import RecordingError

    made: list[str] = []
    missing: list[str] = []
    progress = Progress(None)
    try:
        for name in options.formats:
            target = options.out / ("video.mp4" if name == "mp4" else "frames")
            export = export_mp4 if name == "mp4" else export_frames
            frames = export(options.file, target, progress.exported, missing.append)
            made.append(f"{target}: {frames} frames")
    except RecordingError as error:
        return fail(error)
    finally:
        progress.close()
        print("\n".join(made))
    if missing:
        say(f"{options.file}: {missing[0]}; all that is whole was written")
    return DONE


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE.mcap", nargs="+", type=suffixed(".mcap"), help="recordings, whole or cut short"
    )
    parser.add_argument(
        "--scenario",
        metavar="FILE",
        type=scenario,
        help="judge by another scenario",
    )
    parser.add_argument("--comfortable", action="store_true", help="beyond the limits of comfort is failed")
    parser.add_argument("--junit", metavar="FILE.xml", type=suffixed(".xml"), help="write JUnit XML")
    parser.add_argument("--json", metavar="FILE.json", type=suffixed(".json"), help="write JSON")


def run_evaluate(options: argparse.Namespace) -> int:
    from neuralsim.recording.evaluate import evaluate
    from neuralsim.recording.junit import says, write_json, write_junit
    from neuralsim.recording.writer import RecordingError
    from scenarios.engine.loader import ScenarioError, load

    try:
        scenario = None if options.scenario is None else load(options.scenario)
        results = []
        for file in options.files:
            result = evaluate(file, scenario, options.comfortable)
            results.append(result)
            print(f"{'pass' if result.passed else 'FAIL'}  {result.scenario}  {result.frames} frames, {file}")
            for check in result.checks:
                mark = {True: "ok", False: "!!", None: "  "}[check.passed]
                print(f"  {mark} {check.name:<28} {says(check)}")
        for target, write in ((options.junit, write_junit), (options.json, write_json)):
            if target is not None:
                write(target, results)
    except (RecordingError, ScenarioError) as error:
        return fail(error)
    return DONE if all(result.passed for result in results) else FAILED
