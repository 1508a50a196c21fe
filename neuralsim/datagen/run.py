"""``neuralsim record``: which scenarios are recorded where, and what is said about them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from neuralsim.base.failure import fail, words
from neuralsim.base.progress import ProgressLine
from neuralsim.datagen.cluster import ClusterError, record_on_cluster
from neuralsim.datagen.options import RecordOptions
from neuralsim.datagen.scripted_drive import EXPECTED, ScenarioRecorder, Shared
from neuralsim.drive.drive_loop import ended
from neuralsim.recording import RecordingError
from neuralsim.recording.evaluate import evaluate
from neuralsim.recording.junit import write_junit
from neuralsim.session.processes import ended_by_signals
from neuralsim.town.core import blueprint_library
from scenarios.engine.loader import ScenarioError, check_blueprints, load


def run(options: RecordOptions) -> int:
    """Record all scenarios; returns 1 if one could not be recorded or an assertion failed, else 0."""
    try:
        loaded = [load(path) for path in options.scenarios]
        for each in loaded if options.carla is None else ():
            check_blueprints(each, blueprint_library.names())
    except ScenarioError as error:
        return fail(error)
    twice = {each.id for each in loaded if sum(other.id == each.id for other in loaded) > 1}
    if twice:
        return fail(f"two scenarios are called {min(twice)}: they would be recorded into the same folder")
    shared = Shared()
    recorders = [ScenarioRecorder(each, options, shared) for each in loaded]
    failed = 0
    todo = []
    for recorder in recorders:
        result = None if options.again else recorder.finished()
        if result is None:
            todo.append(recorder)
        else:
            failed += not _say(result, "already recorded; --again records it anew")
    if options.ray is not None:
        failed += _record_far(todo, shared, options)
    else:
        failed += _record_all(todo, shared, options.jobs)
    if options.junit is not None:
        failed += not _evaluate(recorders, options.junit)
    code = 1 if failed else 0
    return ended(code)


def _record_all(recorders: Sequence[ScenarioRecorder], shared: Shared, jobs: int) -> int:
    """Record with so many at a time; returns how many failed."""
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
                    failed += not _say(future.result())
                elif isinstance(error, EXPECTED):
                    failed += 1
                    fail(f"{recorder.loaded.id}: {words(error)}")
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


def _record_far(recorders: Sequence[ScenarioRecorder], shared: Shared, options: RecordOptions) -> int:
    """Record on a cluster; returns how many failed."""
    failed = 0
    try:
        with ended_by_signals(shared.end):
            paths = [recorder.loaded.path for recorder in recorders]
            for path, result in record_on_cluster(paths, options, lambda: shared.stop):
                failed += fail(f"{path.stem}: {result}") if isinstance(result, str) else not _say(result)
    except ClusterError as error:
        failed += fail(error)
    return failed


def _evaluate(recorders: Sequence[ScenarioRecorder], target: Path) -> bool:
    """Judge all that was recorded, as JUnit XML."""
    files = [recorder.folder / "recording.mcap" for recorder in recorders]
    try:
        print("judging the recordings", flush=True)
        write_junit(target, [evaluate(file) for file in files if file.exists()])
    except (RecordingError, ScenarioError) as error:
        fail(error)
        return False
    return True


def _say(result: dict[str, Any], note: str = "") -> bool:
    """One line about a recorded scenario, one more for each assertion that failed; True if it passed."""
    passed = bool(result["passed"])
    words = note or f"{result['frames']} frames at {result['fps']:.1f} FPS, {result['distance']:.0f} m"
    print(f"{'pass' if passed else 'FAIL'}  {result['scenario']}  {words}", flush=True)
    for each in result["assertions"]:
        if not each["passed"]:
            print(f"      {each['assertion']} of {each['of']}: {each['value']}, limit {each['limit']}", flush=True)
    return passed
