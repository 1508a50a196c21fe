"""Extras of pyproject.toml that bring a missing package, for messages."""

from __future__ import annotations

#: Extra -> packages, by the names they are imported by, that only it brings.
_ONLY = {
    "cluster": ("ray",),
    "gym": ("gymnasium",),
    "serve": ("aiohttp", "aiortc"),
    "sumo": ("sumo", "traci"),
    "tensorrt": ("cuda", "tensorrt"),
    "train": ("efficientnet_lite_pytorch", "safetensors", "tensorboard", "torch"),
}


def remedy(extra: str) -> str:
    """The command that installs an extra, into a checkout's environment too."""
    return f'pip install "neuralsim[{extra}]"'


def missing(error: ModuleNotFoundError, extra: str) -> str:
    """One line for a package that is not installed, and the command that gets it.

    ``extra`` is what the command at hand needs, unless the package tells.
    """
    package = (error.name or "a package").partition(".")[0]
    extra = next((name for name, packages in _ONLY.items() if package in packages), extra)
    return f"{package} is missing: {remedy(extra)}"
