"""One runtime by its name: can it be used here, and a graph loaded with it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from neuralsim.runtimes.interface import RUNTIMES, Plain, RuntimeUnavailable, Session


def obstacle(runtime: str) -> str:
    """Why a runtime cannot be used on this machine, and the command that helps, in one line; "" if it can."""
    room = RUNTIMES[runtime]
    if not find_spec(room.package):
        return f"not installed: {room.remedy}"
    if runtime == "tensorrt":  # its library would crash without a driver: ask first
        from neuralsim.runtimes import tensorrt_

        return tensorrt_.obstacle()
    return ""


def available() -> list[str]:
    """Names of the runtimes that can be used on this machine."""
    return [name for name in RUNTIMES if not obstacle(name)]


def load(runtime: str, graph: Path, height: int, width: int, threads: int | None = None) -> Session:
    """``runtime``: a name, or "name:precision"; the rest as for ``neuralsim.runtimes.create``."""
    name, _, precision = runtime.partition(":")
    session: Session = import_module(module_of(name)).load(graph, height, width, threads, precision or None)
    return session


def plain(runtime: str, graph: Path, threads: int | None = None, precision: str | None = None) -> Plain:
    """Load any graph of fixed sizes. ``precision`` None: the runtime's best here. Raises RuntimeUnavailable."""
    session: Plain = import_module(module_of(runtime)).load_plain(graph, threads, precision)
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
