"""Commands on existing recordings: convert them, make a scenario of them, evaluate them."""

from typing import Annotated

from pydantic import Field

from bridge.process.option_types import Folder, JsonFile, McapFile, XmlFile, subset_of
from bridge.process.options import Arg, Options
from neuralsim.base.failure import FAILED, fail, log_line
from neuralsim.datagen.options import ScenarioFile
from neuralsim.recording.exporting.formats import FORMATS


class ExportRecordingOptions(Options):
    """A recording to convert."""

    file: Annotated[McapFile, Arg(positional=True)]
    """A recording, complete or truncated."""
    formats: Annotated[tuple[str, ...], subset_of(tuple(FORMATS)), Arg("LIST", flag="format")] = Field(
        default=("mp4",), description=f"Formats out of {','.join(FORMATS)}."
    )
    out: Folder
    """Folder for video.mp4 and one folder per other format."""


def export_recording(options: ExportRecordingOptions) -> int:
    """Write the formats; return the exit code."""
    from neuralsim.base.progress import ProgressLine
    from neuralsim.recording import RecordingError
    from neuralsim.recording.exporting.formats import export

    written: list[str] = []
    problems: list[str] = []
    progress = ProgressLine(None)
    try:
        for name in options.formats:
            target = options.out / ("video.mp4" if name == "mp4" else name)
            frames = export(options.file, target, name, progress.show_written, problems.append)
            written.append(f"{target}: {frames} frames")
    except RecordingError as error:
        return fail(error)
    finally:
        progress.close()
        print("\n".join(written))
    if problems:
        log_line(f"{options.file}: {problems[0]}; all readable frames were written")
    return 0


class ScenarioFromOptions(Options):
    """A recorded drive to turn into a scenario."""

    file: Annotated[McapFile, Arg(positional=True)]
    """A recording, complete or truncated."""
    out: Folder
    """Folder for the scenario, and for its map where that is a file; or the scenario's file, .yaml."""


def scenario_from(options: ScenarioFromOptions) -> int:
    """Write the scenario; return the exit code."""
    from neuralsim.recording import RecordingError
    from neuralsim.recording.scenario_from_recording import scenario_from as write

    try:
        file, others, missing = write(options.file, options.out)
    except RecordingError as error:
        return fail(error)
    if missing:
        log_line(f"{options.file}: {missing}; the ego is interpolated there")
    print(f"{file}: the drive and {others} others; neuralsim record {file} plays it")
    return 0


class EvaluateRecordingOptions(Options):
    """Recordings to evaluate, and by what."""

    files: Annotated[tuple[McapFile, ...], Arg("FILE.mcap", positional=True)]
    """Recordings, complete or truncated."""
    scenario: Annotated[ScenarioFile, Arg("FILE")] | None = None
    """Evaluate against another scenario."""
    comfortable: bool = False
    """Fail where the limits of comfort are exceeded."""
    junit: XmlFile | None = None
    """Write JUnit XML."""
    json_file: Annotated[JsonFile, Arg(flag="json")] | None = None
    """Write JSON."""


def evaluate_recording(options: EvaluateRecordingOptions) -> int:
    """Evaluate all files; return the exit code."""
    from neuralsim.recording import RecordingError
    from neuralsim.recording.evaluate import evaluate
    from neuralsim.recording.junit import describe, write_json, write_junit
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
                print(f"  {mark} {check.name:<28} {describe(check)}")
        for target, write in ((options.junit, write_junit), (options.json_file, write_json)):
            if target is not None:
                write(target, results)
    except (RecordingError, ScenarioError) as error:
        return fail(error)
    return 0 if all(result.passed for result in results) else FAILED
