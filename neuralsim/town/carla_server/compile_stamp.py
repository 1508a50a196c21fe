"""A stamp that marks the town's numba kernels as compiled on this machine.

numba keeps compiled kernels in ``NUMBA_CACHE_DIR`` if set, else next to their source, else (where that is read-only, as
an installed package may be) in the user's cache folder. The stamp lies in the same folder, so deleting it deletes both.
"""

import contextlib
import hashlib
import inspect
import sys
from pathlib import Path

import numba
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

from neuralsim.base.stale_kernels import Sources
from neuralsim.town.dynamics import driving_kernels
from neuralsim.town.raycasting import bvh, rays
from neuralsim.town.render import raster_arrays, raster_kernels, resolve_kernels
from neuralsim.town.render.shading import shading_kernels, shadow_kernels, surface_kernels, vehicle_shading_kernels

#: The modules whose compilation delays ticks, images and rays the most.
KERNELS = (
    driving_kernels, raster_arrays, raster_kernels, resolve_kernels, vehicle_shading_kernels, shadow_kernels,
    surface_kernels, shading_kernels, bvh, rays,
)  # fmt: skip


class CompiledStamp:
    """A marker file; call ``set()`` once all kernels have been compiled.

    It stays set until a source, what one imports, numba, Python or the processor changes, or numba's files are removed.
    """

    def __init__(self) -> None:
        facts = [numba.__version__, sys.version, get_host_cpu_name(), get_host_cpu_features().flatten()]
        sources = Sources()
        facts += [sources.digest(Path(inspect.getfile(module))) for module in KERNELS]
        name = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:32]
        folder = getattr(getattr(raster_kernels.draw, "stats", None), "cache_path", None)
        #: None if nothing is compiled at all (``NUMBA_DISABLE_JIT``).
        self.path = None if folder is None else Path(folder) / f"town-{name}.compiled"

    @property
    def is_set(self) -> bool:
        """Whether nothing is left to compile."""
        return self.path is None or self.path.exists()

    def set(self) -> None:
        """Record that everything is compiled; if that cannot be written, the kernels are called again next time."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.touch()
