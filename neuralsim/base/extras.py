"""The extra of pyproject.toml that installs a missing package, for messages."""

from __future__ import annotations

#: Import names of the packages that only one extra installs, by extra.
_ONLY = {
    "bench": ("matplotlib",),
    "cluster": ("ray",),
    "export": ("rosbags",),
    "gym": ("gymnasium",),
    "rerun": ("rerun",),
    "rtx": ("onnxruntime_ep_nv_tensorrt_rtx",),
    "serve": ("aiohttp", "aiortc"),
    "sumo": ("sumo", "traci"),
    "tensorrt": ("cuda", "tensorrt"),
    "train": ("efficientnet_lite_pytorch", "safetensors", "tensorboard", "torch"),
}


def remedy(extra: str) -> str:
    """Return the command that installs an extra, also into a checkout's environment."""
    return f'pip install "neuralsim[{extra}]"'


def missing(error: ModuleNotFoundError, extra: str) -> str:
    """Return one line for a missing package with the command that installs it.

    ``extra`` is that of the running command, used unless the package belongs to one extra alone.
    """
    package = (error.name or "a package").partition(".")[0]
    extra = next((name for name, packages in _ONLY.items() if package in packages), extra)
    return f"{package} is missing: {remedy(extra)}"
