"""``auto``: the fastest runtime on this machine, and the next one if it cannot be loaded or fails during a drive."""

from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from neuralsim.base.failure import reason
from neuralsim.base.log import logger
from neuralsim.runtimes.autotune import failure_of, load_measurement, measure_fastest
from neuralsim.runtimes.candidates import candidates
from neuralsim.runtimes.interface import RUNTIMES, ModelSession, RuntimeUnavailable
from neuralsim.runtimes.loading import load


def load_fastest(
    graph: Path,
    height: int,
    width: int,
    threads: int | None,
    example: dict[str, np.ndarray] | None,
    without: Collection[str] = (),
) -> ModelSession:
    """Load the remembered runtime, or the fastest by measurement. Raises RuntimeUnavailable.

    ``example``: inputs without the state to measure with; None: nothing is measured. ``without``: runtimes that must
    not be used, in any precision.
    """
    reasons = candidates(graph, height, width)
    usable = [name for name, reason in reasons.items() if not reason and name.partition(":")[0] not in without]
    if not usable:
        raise RuntimeUnavailable(
            "no other runtime is installed" if without else "no runtime is installed: pip install openvino"
        )
    remembered = load_measurement(graph, height, width, threads)
    may_measure = example is not None and not without and len(usable) > 1
    failed: dict[str, str] = {}
    if reasons["tensorrt"] and find_spec(RUNTIMES["tensorrt"].package):  # installed, so meant to be used
        failed["tensorrt"] = f"tensorrt: {reasons['tensorrt']}"
    if reasons.get("onnxruntime:cuda"):
        failed["onnxruntime:cuda"] = f"onnxruntime:cuda: {reasons['onnxruntime:cuda']}"
    if remembered is not None:
        usable.sort(key=lambda name: name != remembered.runtime)
    if may_measure and (remembered is None or remembered.is_due()):
        assert example is not None
        session = measure_fastest(usable, graph, height, width, threads, example, failed, remembered)
    else:
        session = _first_that_loads(usable, graph, height, width, threads, failed)
    if failed:
        session.warning = f"{'; '.join(failed.values())}; running on {session.name} instead"
    return session


def load_successor(
    failed: ModelSession,
    error: Exception,
    graph: Path,
    height: int,
    width: int,
    threads: int | None,
    without: Collection[str],
) -> ModelSession:
    """Load another runtime in the state of one that failed while rendering; its ``warning`` says so.

    ``failed``: the session that failed. ``error``: the exception that it raised. ``without``: runtimes that have
    failed, this one included.

    Raises:
        RuntimeUnavailable: There is no other one.
    """
    problem = f"{failed.name} failed: {reason(error)[:120]}"
    try:
        session = load_fastest(graph, height, width, threads, None, without)
    except RuntimeUnavailable as none:
        raise RuntimeUnavailable(f"{problem}; {none}") from error
    try:
        session.restore(failed.state())
    except Exception:  # the device may be lost
        session.reset()
    session.warning = f"{problem}; running on {session.name} instead"
    logger().warning(session.warning)
    return session


def _first_that_loads(
    names: list[str], graph: Path, height: int, width: int, threads: int | None, failed: dict[str, str]
) -> ModelSession:
    for name in names:
        try:
            return load(name, graph, height, width, threads)
        except Exception as error:  # each library has its own
            failed[name] = failure_of(name, error)
    raise RuntimeUnavailable("; ".join(failed.values()))
