"""``neuralsim record``: run the recorders and report their results."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from neuralsim.base.failure import describe, fail, reason
from neuralsim.base.progress import ProgressLine
from neuralsim.datagen.cluster import ClusterError, record_on_cluster
from neuralsim.datagen.options import RecordOptions
from neuralsim.datagen.scripted_drive import EXPECTED, ScenarioRecorder, Shared
from neuralsim.recording import RecordingError
from neuralsim.recording.evaluate import evaluate
from neuralsim.recording.junit import write_junit
from neuralsim.session.processes import ended_by_signals
from neuralsim.town.core import blueprint_library
from scenarios.engine.loader import ScenarioError, check_blueprints
from scenarios.engine.rigs import load_with_rig
from scenarios.openscenario.distributions import write_variations


def run(options: RecordOptions) -> int:
    """Record all scenarios; return 1 if one could not be recorded or an assertion failed, else 0."""
    try:
        loaded = [load_with_rig(path, options.rig) for path in _files(options)]
        for each in loaded if options.carla is None else ():
            check_blueprints(each, blueprint_library.blueprint_names())
    except ScenarioError as error:
        return fail(error)
    twice = {each.id for each in loaded if sum(other.id == each.id for other in loaded) > 1}
    if twice:
        return fail(f"two scenarios are named {min(twice)}: they would be recorded into the same folder")
    with Shared() as shared:
        recorders = [ScenarioRecorder(each, options, shared) for each in loaded]
        failed = record_missing(recorders, shared, options)
        if "mp4" in options.formats:
            failed += _index(recorders, options.out)
    return 1 if failed else 0


def _files(options: RecordOptions) -> list[Path]:
    """Return the scenario files: parameter distributions are written to the output's ``variations``. Raises
    ScenarioError."""
    files: list[Path] = []
    for path in options.scenarios:
        written = write_variations(path, options.out / "variations", options.variations)
        if written is not None:
            print(f"{path}: {len(written)} variations")
        files += [path] if written is None else written
    return files


def record_missing(
    recorders: Sequence[ScenarioRecorder], shared: Shared, options: RecordOptions, quiet: bool = False
) -> int:
    """Record what is not recorded yet, and evaluate everything if requested; return the number of failures.

    ``quiet``: say nothing about what is recorded already.
    """
    failed = 0
    todo = []
    for recorder in recorders:
        result = None if options.again else recorder.finished()
        if result is None:
            todo.append(recorder)
        elif not quiet:
            failed += not _report(result, "already recorded; --again records it again")
    if options.ray is not None:
        failed += _record_on_cluster(todo, shared, options)
    else:
        failed += _record_all(todo, shared, options.jobs)
    if options.junit is not None:
        failed += not _evaluate(recorders, options.junit)
    return failed


def _record_all(recorders: Sequence[ScenarioRecorder], shared: Shared, jobs: int) -> int:
    """Record with ``jobs`` at a time; return the number of failures."""
    failed = 0
    progress = ProgressLine(sum(recorder.loaded.scenario.frames for recorder in recorders))
    begun = time.monotonic()
    with ended_by_signals(shared.end), ThreadPoolExecutor(max(jobs, 1)) as pool:
        running = {pool.submit(recorder.record): recorder for recorder in recorders}
        while running:
            ready = [each for each in running if each.done()]
            for future in ready:
                recorder = running.pop(future)
                progress.close()
                error = future.exception()
                if error is None:
                    failed += not _report(future.result())
                elif isinstance(error, EXPECTED):
                    failed += 1
                    fail(f"{recorder.loaded.id}: {describe(error)}")
                else:
                    shared.stop = True
                    raise error
            if not ready:
                time.sleep(0.05)
                phases = [f"{each.loaded.id}: {each.phase}" for each in running.values() if each.phase]
                if shared.frames:
                    progress.count(shared.frames, shared.frames / (time.monotonic() - begun), "; ".join(phases))
                else:
                    progress.waiting(phases)
        progress.close()
    return failed


def _record_on_cluster(recorders: Sequence[ScenarioRecorder], shared: Shared, options: RecordOptions) -> int:
    failed = 0
    try:
        with ended_by_signals(shared.end):
            paths = [recorder.loaded.path for recorder in recorders]
            for path, result in record_on_cluster(paths, options, lambda: shared.stop):
                failed += fail(f"{path.stem}: {result}") if isinstance(result, str) else not _report(result)
    except ClusterError as error:
        failed += fail(error)
    return failed


def _index(recorders: Sequence[ScenarioRecorder], folder: Path) -> int:
    """Write the page that leads to all reports; return 1 if that fails."""
    from neuralsim.datagen.report.page import write_index

    found = [(recorder.loaded.id, recorder.finished()) for recorder in recorders]
    results = [(name, result) for name, result in found if result is not None]
    try:
        write_index(
            folder / "index.html", results, [(name, "not recorded") for name, result in found if result is None]
        )
    except OSError as error:
        return fail(f"cannot write {folder / 'index.html'}: {reason(error)}")
    print(f"in {folder}, with a page about them: {folder / 'index.html'}", flush=True)
    return 0


def _evaluate(recorders: Sequence[ScenarioRecorder], target: Path) -> bool:
    files = [recorder.folder / "recording.mcap" for recorder in recorders]
    try:
        print("evaluating the recordings", flush=True)
        write_junit(target, [evaluate(file) for file in files if file.exists()])
    except (RecordingError, ScenarioError) as error:
        fail(error)
        return False
    return True


def _report(result: dict[str, Any], note: str = "") -> bool:
    """Print a line about a recorded scenario and one for each failed assertion; return whether it passed."""
    passed = bool(result["passed"])
    summary = note or f"{result['frames']} frames at {result['fps']:.1f} FPS, {result['distance']:.0f} m"
    print(f"{'pass' if passed else 'FAIL'}  {result['scenario']}  {summary}", flush=True)
    for each in result["assertions"]:
        if not each["passed"]:
            print(f"      {each['assertion']} of {each['of']}: {each['value']}, limit {each['limit']}", flush=True)
    return passed
