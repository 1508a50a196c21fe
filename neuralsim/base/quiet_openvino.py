"""OpenVINO without its usage statistics: ``from neuralsim.base.quiet_openvino import ov``.

On import it sends an event to a web service and keeps an id in the user's home, unless the package that does so cannot
be imported: then its own stub takes the place.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402

# Two threads that read the data of a constant for the first time in a process wait for each other for ever.
_ = ov.op.Constant(np.zeros(1, np.float32)).data

__all__ = ["ov"]
