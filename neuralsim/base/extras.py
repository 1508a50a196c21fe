"""The extra of pyproject.toml that installs a missing package, for messages."""

import sys

#: Versions of Python, first and last, that the project supports.
PYTHONS = ((3, 10), (3, 13))
#: Those for which PyPI has wheels of carla 0.9.16.
CARLA_PYTHONS = ((3, 10), (3, 12))
#: Import names of the packages that only one extra installs, by extra.
_ONLY = {
    "bench": ("matplotlib",),
    "cluster": ("ray",),
    "export": ("rosbags",),
    "gym": ("gymnasium",),
    "rerun": ("rerun",),
    "ros2": ("cyclonedds",),
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

    ``extra`` is that of the running command, used unless the package belongs to one extra alone. On another Python than
    the supported ones nothing can be installed, and the line says that.
    """
    version = sys.version_info[:2]
    if not PYTHONS[0] <= version <= PYTHONS[1]:
        least, most, here = (".".join(map(str, each)) for each in (*PYTHONS, version))
        return f"NeuralSim needs Python {least} to {most}, this is {here}"
    package = (error.name or "a package").partition(".")[0]
    extra = next((name for name, packages in _ONLY.items() if package in packages), extra)
    return f"{package} is missing: {remedy(extra)}"
