"""OpenVINO without its usage statistics: ``from neuralsim.base.quiet_openvino import ov``.

On import it sends an event to a web service and keeps an id in the user's home, unless the package that does so cannot
be imported: then its own stub takes the place.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402

__all__ = ["ov"]
