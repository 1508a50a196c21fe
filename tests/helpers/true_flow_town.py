"""A strict town whose optical flow is exact: what bridge tests compare motion from poses with.

python tests/helpers/true_flow_town.py --port 2000 --strict
"""

from __future__ import annotations

from typing import Any

from neuralsim.town.carla_server import process
from neuralsim.town.carla_server.compat import strictness

_degrade = strictness.degrade


def _degrade_all_but_flow(kind: str, *arguments: Any) -> None:
    if kind != "sensor.camera.optical_flow":
        _degrade(kind, *arguments)


if __name__ == "__main__":
    strictness.degrade = _degrade_all_but_flow
    process.main()
