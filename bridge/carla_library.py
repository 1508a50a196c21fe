"""CARLA's Python API, ``carla``: the official package where it is installed, else the project's own.

The official package has wheels for Python 3.10 to 3.12. On others, ``bridge.own_carla`` has what the embedded town's
clients need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import carla
else:
    try:
        import carla
    except ModuleNotFoundError:
        from bridge import own_carla as carla

IS_OFFICIAL = carla.__name__ == "carla"

__all__ = ["IS_OFFICIAL", "carla"]
