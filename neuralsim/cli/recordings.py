"""Commands about recordings that are there: in other formats, judged, examined; and the doctor of the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from bridge.process.option_types import Folder, JsonFile, McapFile, XmlFile, listed
from bridge.process.options import Arg, Options
from neuralsim.base.failure import FAILED, fail, say
from neuralsim.datagen.options import ScenarioFile


class ExportRecordingOptions(Options):
    """A recording, and what is made of it."""

    file: Annotated[McapFile, Arg(positional=True)]
    """A recording, whole or cut short."""
    formats: Annotated[
        tuple[str, ...], listed(("mp4", "frames", "coco", "kitti", "yolo")), Arg("LIST", flag="format")
    ] = ("mp4",)
    """Of mp4,frames,coco,kitti,yolo."""
    out: Folder
    """Folder for video.mp4 and a folder of each other format."""


def export_recording(options: ExportRecordingOptions) -> int:
    """Write the formats; the exit code."""
    from neuralsim.base.progress import ProgressLine
    from neuralsim.recording import RecordingError
    from neuralsim.recording.detection import FORMATS, export_detection
    from neuralsim.recording.export import export_mp4
    from neuralsim.recording.picture_folder import export_frames

    made: list[str] = []
    missing: list[str] = []
    progress = ProgressLine(None)
    try:
        for name in options.formats:
            target = options.out / ("video.mp4" if name == "mp4" else name)
            if name in FORMATS:
                frames = export_detection(options.file, target, name, progress.exported, missing.append)
            else:
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
    return 0


class ScenarioFromOptions(Options):
    """A recorded drive, and where its scenario goes."""

    file: Annotated[McapFile, Arg(positional=True)]
    """A recording, whole or cut short."""
    out: Folder
    """Folder for the scenario, and its map where that is a file."""


def scenario_from(options: ScenarioFromOptions) -> int:
    """Write the scenario; the exit code."""
    from neuralsim.recording import RecordingError
    from neuralsim.recording.scenario_from_recording import scenario_from as write

    try:
        file, others = write(options.file, options.out)
    except RecordingError as error:
        return fail(error)
    print(f"{file}: the drive and {others} others; neuralsim record {file} plays it")
    return 0


class EvaluateRecordingOptions(Options):
    """Recordings, and what they are judged by."""

    files: Annotated[tuple[McapFile, ...], Arg("FILE.mcap", positional=True)]
    """Recordings, whole or cut short."""
    scenario: Annotated[ScenarioFile, Arg("FILE")] | None = None
    """Judge by another scenario."""
    comfortable: bool = False
    """Beyond the limits of comfort is failed."""
    junit: XmlFile | None = None
    """Write JUnit XML."""
    json_file: Annotated[JsonFile, Arg(flag="json")] | None = None
    """Write JSON."""


def evaluate_recording(options: EvaluateRecordingOptions) -> int:
    """Judge all files; the exit code."""
    from neuralsim.recording import RecordingError
    from neuralsim.recording.evaluate import evaluate
    from neuralsim.recording.junit import says, write_json, write_junit
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
        for target, write in ((options.junit, write_junit), (options.json_file, write_json)):
            if target is not None:
                write(target, results)
    except (RecordingError, ScenarioError) as error:
        return fail(error)
    return 0 if all(result.passed for result in results) else FAILED


class DoctorOptions(Options):
    """What is examined: this machine, or a recording."""

    file: Annotated[McapFile, Arg(positional=True)] | None = None
    """A recording: is it whole?"""
    recover: Annotated[McapFile, Arg("NEW.mcap")] | None = None
    """Write what can be read of FILE into a whole file."""
    measure: bool = False
    """Find out anew which runtime is the fastest here, for --runtime auto."""
    licences: bool = False
    """Whose terms hold: of packages, and of the weights."""

    def check(self) -> None:
        """Raises ``ValueError`` where there is nothing to recover from, or two things are to be examined at once."""
        if self.licences and (self.file is not None or self.recover is not None or self.measure):
            raise ValueError("--licences stands alone")
        if self.measure and self.file is not None:
            raise ValueError("--measure is for this machine, not for a recording")
        if self.recover is not None and self.file is None:
            raise ValueError("--recover is for a recording: name it first")


def doctor(options: DoctorOptions) -> int:
    """Examine; the exit code says whether all is well."""
    if options.licences:
        from neuralsim.cli.licences import licences

        licences(print)
        return 0
    if options.file is not None:
        return _examine(options.file, options.recover)
    from neuralsim.cli.doctor import examine

    return 0 if examine(print, options.measure) else FAILED


def _examine(file: Path, target: Path | None) -> int:
    """Say what is in a recording and whether it is whole; with a ``target``, make it so."""
    from neuralsim.recording import RecordingError
    from neuralsim.recording.export import examine, recover

    try:
        health = examine(file)
        span = f"{health.begin:.2f} to {health.end:.2f} s"
        print(f"{file}: {health.frames} whole frames, {span}, {', '.join(health.topics)}")
        if health.problem:
            print(f"{file}: {health.problem}; the frames above can be read")
        if target is not None:
            recover(file, target)
            print(f"{target}: written, whole")
            return 0
        if health.problem:
            print(f"make a whole file of them: neuralsim doctor {file} --recover NEW.mcap")
    except RecordingError as error:
        return fail(error)
    return FAILED if health.problem else 0
