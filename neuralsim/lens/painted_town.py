"""``neuralsim town``: the embedded town, with generated images if asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NoReturn

from neuralsim.lens.options import PaintedTownOptions
from neuralsim.town.carla_server import process

if TYPE_CHECKING:
    from neuralsim.lens.rig_renderer import RigRenderer

CARLAS_SIZE = 800, 600  # of a camera whose size is not chosen


def run(options: PaintedTownOptions) -> NoReturn:
    """Serve the town until asked to stop, then end this process."""
    process.run(options, partial(_generator, options) if options.painted else None)


def _generator(options: PaintedTownOptions) -> RigRenderer:
    """Return the renderer of all cameras. Raises ValueError, in one line."""
    from neuralsim.lens.rig_renderer import RigRenderer
    from neuralsim.runtimes import RuntimeUnavailable
    from neuralsim.zoo import ModelError

    try:
        rig = RigRenderer(options.model, options.runtime, options.style)
    except (ModelError, RuntimeUnavailable) as error:
        raise ValueError(str(error)) from None
    rig.prepare(*CARLAS_SIZE)
    return rig
