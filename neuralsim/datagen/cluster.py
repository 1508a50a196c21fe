"""Record on a Ray cluster: one scenario per task, each with its own town, bridge and ports.

Every node needs this project under the same interpreter, and the shared folder of recordings. Finished scenarios are
not recorded again, so a command that was interrupted, or has lost a node, is simply repeated.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from neuralsim.base.extras import missing
from neuralsim.datagen.options import RecordOptions

_POLL = 0.2  # s between checks for an interrupt
_CORES = 2  # per task: a town and a renderer


class ClusterError(RuntimeError):
    """The cluster cannot be used, or a task was lost; the message is one line."""


def record_on_cluster(
    paths: Sequence[Path], options: RecordOptions, stop: Callable[[], bool]
) -> Iterator[tuple[Path, dict[str, Any] | str]]:
    """Record all of ``paths``; yield each with its result, or with an error in one line, as they finish.

    ``options.ray`` is the cluster's address: "auto", "HOST:PORT", "ray://HOST:PORT", or "local" for one
    on this machine alone. Raises :class:`ClusterError`.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ClusterError(missing(error, "cluster")) from None
    try:
        ray.init(address=options.ray, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except Exception as error:  # connections fail in many ways
        raise ClusterError(f"no Ray cluster at {options.ray}: {_line(error)}") from None
    single = options.model_copy(update={"out": options.out.resolve(), "ray": None, "jobs": 1, "junit": None})
    try:
        task = ray.remote(num_cpus=_CORES, max_retries=2)(_record)
        waiting = {task.remote(str(path.resolve()), single, os.getcwd()): path for path in paths}
        while waiting:
            ready, _ = ray.wait(list(waiting), timeout=_POLL)
            for task_ in ready:
                path = waiting.pop(task_)
                try:
                    yield path, ray.get(task_)
                except Exception as error:  # a task's own, or a lost node
                    yield path, _line(error)
            if stop():
                for each in waiting:
                    ray.cancel(each, force=True)
                raise ClusterError("interrupted")
    finally:
        ray.shutdown()


def _record(path: str, options: RecordOptions, folder: str) -> dict[str, Any] | str:
    """Run the task on a node: record one scenario unless that is done."""
    from neuralsim.datagen.scripted_drive import EXPECTED, ScenarioRecorder, Shared
    from scenarios.engine.rigs import load_with_rig

    os.chdir(folder)
    try:
        with Shared() as shared:
            recorder = ScenarioRecorder(load_with_rig(path, options.rig), options, shared)
            return (None if options.again else recorder.finished()) or recorder.record()
    except EXPECTED as error:
        return _line(error)


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
