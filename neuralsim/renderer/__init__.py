"""``NeuralRenderer``: a frame in, an image out; and the postprocessing, styles and views of images.

The class is imported on first access, so that users of the other modules do not wait for the runtimes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuralsim.renderer.neural_renderer import NeuralRenderer

__all__ = ["NeuralRenderer"]


def __getattr__(name: str) -> Any:
    if name == "NeuralRenderer":
        from neuralsim.renderer.neural_renderer import NeuralRenderer

        return NeuralRenderer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
