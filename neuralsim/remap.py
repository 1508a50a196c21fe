"""Moved to ``neuralsim.renderer.remap``. This name goes with the next release."""

from neuralsim.renderer.remap import NOTHING, Remap

__all__ = ["NOTHING", "Remap"]
