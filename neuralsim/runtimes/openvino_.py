"""OpenVINO on the CPU: bf16 where the processor has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov

from neuralsim.runtimes import NEXT, RuntimeUnavailable, state_shapes


class OpenVinoSession:
    """The compiled graph and two sets of state tensors that take turns, so that no state is ever copied."""

    def __init__(self, compiled: ov.CompiledModel, name: str, height: int, width: int) -> None:
        self.name = name
        self._request = compiled.create_infer_request()
        self._shapes = state_shapes(height, width)
        self._states = [
            {key: ov.Tensor(np.zeros(shape, np.float32)) for key, (shape, _) in self._shapes.items()} for _ in (0, 1)
        ]
        self._rgb = np.empty((height, width, 3), np.uint8)
        self._request.set_tensor("rgb", ov.Tensor(self._rgb, shared_memory=True))
        self.reset()

    def step(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        request = self._request
        for key, value in feeds.items():
            request.set_tensor(key, ov.Tensor(value, shared_memory=True))
        past, following = self._states
        for key, output in NEXT.items():
            request.set_tensor(key, past[key])
            request.set_tensor(output, following[key])
        request.infer()
        self._states.reverse()
        return self._rgb

    def reset(self) -> None:
        for key, (_, nothing) in self._shapes.items():
            self._states[0][key].data[:] = nothing


def load(graph: Path, height: int, width: int, threads: int | None = None) -> OpenVinoSession:
    """Compile ``graph`` for one frame size. Raises RuntimeUnavailable when OpenVINO refuses it."""
    try:
        core = ov.Core()
        model = core.read_model(graph)
        model.reshape({port: _fixed(port, height, width) for port in model.inputs})
        can_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if can_bf16 else "f32"
        # pinned threads would wait for their core while simulator and bridge use it and another is free
        options: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "ENABLE_CPU_PINNING": False,
        }
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        compiled = core.compile_model(model, "CPU", options)
    except RuntimeError as error:
        raise RuntimeUnavailable(f"openvino cannot load {graph}: {str(error).strip().splitlines()[-1]}") from error
    return OpenVinoSession(compiled, f"openvino {precision}", height, width)


def _fixed(port: ov.Output, height: int, width: int) -> list[int]:
    """Shape of an input with its two free sizes filled in, height first."""
    sizes = iter((height, width))
    return [dim.get_length() if dim.is_static else next(sizes) for dim in port.partial_shape]
