"""A stamp that marks the town's numba kernels as compiled on this machine.

numba keeps compiled kernels where ``NUMBA_CACHE_DIR`` says, else beside their source, else, where that is read-only as
an installed package may be, in the user's cache folder. The stamp lies in that very folder, so both go together.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import sys
from pathlib import Path

import numba
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

from neuralsim.town.dynamics import driving_kernels
from neuralsim.town.raycasting import bvh, rays
from neuralsim.town.render import raster_kernels, shading_kernels, shadow_kernels, vehicle_shading_kernels

#: What ticks, pictures and rays wait for longest.
KERNELS = (driving_kernels, raster_kernels, vehicle_shading_kernels, shadow_kernels, shading_kernels, bvh, rays)


class CompiledStamp:
    """``set()`` it when all kernels have been compiled.

    ``is_set`` then, until a source, numba, Python or the processor is another one or numba's files were removed.
    """

    def __init__(self) -> None:
        facts = [numba.__version__, sys.version, get_host_cpu_name(), get_host_cpu_features().flatten()]
        facts += [Path(inspect.getfile(module)).read_text(encoding="utf-8") for module in KERNELS]
        name = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:32]
        folder = getattr(getattr(raster_kernels.draw, "stats", None), "cache_path", None)
        #: None where nothing is compiled at all (``NUMBA_DISABLE_JIT``).
        self.path = None if folder is None else Path(folder) / f"town-{name}.compiled"

    @property
    def is_set(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.path is None or self.path.exists()

    def set(self) -> None:
        """Everything is compiled. Where that cannot be noted, it is tried again next time."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.touch()
