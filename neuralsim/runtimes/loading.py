"""Loads a graph with one runtime by name, and tells whether it can be used on this machine."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from neuralsim.runtimes.interface import RUNTIMES, Loader, ModelSession, RuntimeUnavailable, StatelessSession


def unavailable_reason(runtime: str) -> str:
    """Return why a runtime cannot be used on this machine, and the remedy, in one line; "" if it can."""
    spec = RUNTIMES[runtime]
    if not find_spec(spec.package):
        return f"not installed: {spec.remedy}"
    if runtime == "tensorrt":  # its library crashes without a driver
        from neuralsim.runtimes.tensorrt import runtime as tensorrt_

        return tensorrt_.unavailable_reason()
    return ""


def available() -> list[str]:
    """Return the names of the runtimes that can be used on this machine."""
    return [name for name in RUNTIMES if not unavailable_reason(name)]


def load(runtime: str, graph: Path, height: int, width: int, threads: int | None = None) -> ModelSession:
    """Load a graph with one runtime.

    ``runtime``: A name, or "name:precision".

    Raises:
        RuntimeUnavailable: One line.
    """
    name, _, precision = runtime.partition(":")
    loader: Loader = import_module(_module(name)).load
    return loader(graph, height, width, threads, precision or None)


def stateless(runtime: str, graph: Path, threads: int | None = None, precision: str | None = None) -> StatelessSession:
    """Load any graph of fixed sizes. ``precision`` None: the runtime's best here. Raises RuntimeUnavailable."""
    session: StatelessSession = import_module(_module(runtime)).load_stateless(graph, threads, precision)
    return session


def check(runtime: str) -> None:
    """Raise RuntimeUnavailable if ``runtime`` cannot be used here, without loading anything."""
    if runtime != "auto":
        _module(runtime.partition(":")[0])


def _module(runtime: str) -> str:
    """Return the module of a runtime that can be used here. Raises RuntimeUnavailable."""
    if runtime not in RUNTIMES:
        raise RuntimeUnavailable(f"unknown runtime {runtime!r}; known: auto, {', '.join(RUNTIMES)}")
    reason = unavailable_reason(runtime)
    if reason:
        raise RuntimeUnavailable(f"runtime {runtime!r} cannot be used: {reason}")
    return RUNTIMES[runtime].module
