"""``NeuralRenderer``: a frame in, a picture out; and what can be changed about the picture.

The class is imported when it is first asked for: what only needs its neighbours here does not wait for runtimes.
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
