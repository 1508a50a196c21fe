"""One runtime by its name: can it be used here, and a graph loaded with it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from neuralsim.runtimes.interface import RUNTIMES, ModelSession, RuntimeUnavailable, StatelessSession


def obstacle(runtime: str) -> str:
    """Why a runtime cannot be used on this machine, and the command that helps, in one line; "" if it can."""
    room = RUNTIMES[runtime]
    if not find_spec(room.package):
        return f"not installed: {room.remedy}"
    if runtime == "tensorrt":  # its library would crash without a driver: ask first
        from neuralsim.runtimes.tensorrt import runtime as tensorrt_

        return tensorrt_.obstacle()
    return ""


def available() -> list[str]:
    """Names of the runtimes that can be used on this machine."""
    return [name for name in RUNTIMES if not obstacle(name)]


def load(runtime: str, graph: Path, height: int, width: int, threads: int | None = None) -> ModelSession:
    """Load a graph with one runtime.

    Args:
        runtime: A name, or "name:precision".
        graph: The model's ONNX file.
        height: Of the frames, a multiple of 32, px.
        width: Of the frames, a multiple of 32, px.
        threads: CPU threads, None = all.

    Raises:
        RuntimeUnavailable: One line.
    """
    name, _, precision = runtime.partition(":")
    session: ModelSession = import_module(module_of(name)).load(graph, height, width, threads, precision or None)
    return session


def stateless(runtime: str, graph: Path, threads: int | None = None, precision: str | None = None) -> StatelessSession:
    """Load any graph of fixed sizes. ``precision`` None: the runtime's best here. Raises RuntimeUnavailable."""
    session: StatelessSession = import_module(module_of(runtime)).load_stateless(graph, threads, precision)
    return session


def check(runtime: str) -> None:
    """Raise RuntimeUnavailable for a wish that cannot be fulfilled here, without loading anything."""
    if runtime != "auto":
        module_of(runtime.partition(":")[0])


def module_of(runtime: str) -> str:
    """The module of a runtime that can be used here. Raises RuntimeUnavailable."""
    if runtime not in RUNTIMES:
        raise RuntimeUnavailable(f"unknown runtime {runtime!r}; known: auto, {', '.join(RUNTIMES)}")
    reason = obstacle(runtime)
    if reason:
        raise RuntimeUnavailable(f"runtime {runtime!r} cannot be used: {reason}")
    return RUNTIMES[runtime].module
