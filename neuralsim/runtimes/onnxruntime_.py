"""ONNX Runtime on the CPU: fp32, everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from neuralsim.runtimes import NEXT, RuntimeUnavailable, state_shapes


class OnnxRuntimeSession:
    """An inference session; state stays in OrtValues between steps."""

    def __init__(self, session: ort.InferenceSession, height: int, width: int) -> None:
        self.name = "onnxruntime fp32"
        self._session = session
        self._shapes = state_shapes(height, width)
        self._state: dict[str, ort.OrtValue] = {}
        self._outputs = [output.name for output in session.get_outputs()]
        self.reset()

    def step(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        values = {key: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value)) for key, value in feeds.items()}
        results = self._session.run_with_ort_values(self._outputs, values | self._state)
        out = dict(zip(self._outputs, results, strict=True))
        self._state = {key: out[output] for key, output in NEXT.items()}
        rgb: np.ndarray = out["rgb"].numpy()
        return rgb

    def reset(self) -> None:
        self._state = {
            key: ort.OrtValue.ortvalue_from_numpy(np.full(shape, nothing, np.float32))
            for key, (shape, nothing) in self._shapes.items()
        }


def load(graph: Path, height: int, width: int, threads: int | None = None) -> OnnxRuntimeSession:
    """Open ``graph``. Raises RuntimeUnavailable when ONNX Runtime refuses it."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # its worker threads would spin on the cores that the simulator needs
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads:
        options.intra_op_num_threads = threads
    try:
        session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class but Exception
        raise RuntimeUnavailable(f"onnxruntime cannot load {graph}: {str(error).strip().splitlines()[0]}") from error
    return OnnxRuntimeSession(session, height, width)
