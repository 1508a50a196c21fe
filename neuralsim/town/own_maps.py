"""Building the town of a stranger's map within limits of its memory and CPU time, which only its own work counts."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import get_ident
from typing import TypeVar

from numba.core import event

from bridge.untrusted import limits
from bridge.untrusted.cpu_time import CpuTimeExceeded, cpu_time_limit, uncounted
from bridge.untrusted.memory import memory_limit
from neuralsim.town.assets.templates import templates
from neuralsim.town.opendrive.probe import check_size, read, too_large

_T = TypeVar("_T")


def build_within_limits(town: str, build: Callable[[], _T]) -> _T:
    """Return what ``build`` makes of the map file ``town``.

    The compilation of kernels and the meshes that all towns share do not count.

    Raises:
        ValueError: The map is damaged or exceeds a limit.
    """
    templates()
    try:
        with (
            memory_limit(limits.MAP_MEMORY),
            cpu_time_limit(limits.MAP_BUILDING),
            event.install_listener("numba:compile", _Compilation()),
        ):
            return build()
    except MemoryError:
        raise ValueError(too_large(town)) from None
    except CpuTimeExceeded:
        root = read(town, Path(town))[1]
        size = f"{check_size(town, root) / 1000:.1f} km of lanes in {len(root.findall('road'))} roads"
        limit = f"takes more than {limits.MAP_BUILDING:.0f} s to build"
        raise ValueError(f"{town}: {limit}, with {size}: choose a smaller map") from None


class _Compilation(event.Listener):  # type: ignore[misc]
    """Calls `uncounted` around every compilation; they nest, and other threads compile at the same time."""

    def __init__(self) -> None:
        self._begun: dict[int, list[ExitStack]] = {}  # by thread

    def on_start(self, event: event.Event) -> None:
        """Stop the clock of this thread."""
        context = ExitStack()
        context.enter_context(uncounted())
        self._begun.setdefault(get_ident(), []).append(context)

    def on_end(self, event: event.Event) -> None:
        """Let it go on."""
        if begun := self._begun.get(get_ident()):
            begun.pop().close()
