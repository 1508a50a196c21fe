"""ONNX Runtime: fp32 on any processor; fp16 on an NVIDIA GPU where its GPU package works.

Which of the two runs is known before the precision is chosen: fp16 never comes to the processor in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort

from neuralsim.runtimes.interface import (
    STATE_OUTPUTS,
    ModelSession,
    RuntimeUnavailable,
    StatelessSession,
    state_shapes,
)
from neuralsim.runtimes.onnxruntime_gpu import cuda
from neuralsim.runtimes.onnxruntime_session import quiet_session

PRECISIONS = ("fp32", "fp16", "int8")
CUDA = "cuda"  # in place of a precision, or before one: on a GPU or not at all
_KNOWN = (*PRECISIONS, CUDA, *(f"{CUDA}-{precision}" for precision in cuda.PRECISIONS))


class OnnxRuntimeSession:
    """A session with bound inputs and outputs; the state has two sets of alternating buffers."""

    warning = note = ""
    is_past_on_host = True

    def __init__(self, session: ort.InferenceSession, name: str, height: int, width: int) -> None:
        self.name, self.streams = name, 1
        self._session, self._size = session, (height, width)
        frames = next(port.shape[1] for port in session.get_inputs() if port.name == "past_label")
        self._shapes = state_shapes(height, width, frames)
        self._states = [
            {key: self._zeros(shape, np.float32) for key, (shape, _) in self._shapes.items()} for _ in (0, 1)
        ]
        self._rgb = ort.OrtValue.ortvalue_from_numpy(np.empty((height, width, 3), np.uint8))
        self._image = self._rgb.numpy()
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_output("rgb", self._rgb)
        self.reset()

    def fork(self) -> OnnxRuntimeSession:
        return OnnxRuntimeSession(self._session, self.name, *self._size)

    def step(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        binding = self._binding
        for key, value in inputs.items():
            binding.bind_cpu_input(key, value)
        past, following = self._states
        for key, output in STATE_OUTPUTS.items():
            binding.bind_ortvalue_input(key, past[key])
            binding.bind_ortvalue_output(output, following[key])
        self._session.run_with_iobinding(binding)
        self._states.reverse()
        return self._image

    def reset(self) -> None:
        self.restore({key: np.full(shape, nothing, np.float32) for key, (shape, nothing) in self._shapes.items()})

    def state(self) -> dict[str, np.ndarray]:
        return {key: value.numpy().copy() for key, value in self._states[0].items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        for key, value in state.items():
            self._states[0][key].update_inplace(np.ascontiguousarray(value, np.float32))

    def edit_past(self, edit: Callable[[np.ndarray], None]) -> None:
        edit(self._states[0]["past_rgb"].numpy())  # its own memory

    def _zeros(self, shape: tuple[int, ...], dtype: type) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype))


class OnnxRuntimeStateless:
    """A stateless graph with numpy arrays in and out."""

    def __init__(self, session: ort.InferenceSession, name: str) -> None:
        self.name = name
        self.inputs = {port.name: tuple(port.shape) for port in session.get_inputs()}
        self._session = session
        self._outputs = [port.name for port in session.get_outputs()]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))


def load(
    graph: Path, height: int, width: int, threads: int | None = None, precision: str | None = None
) -> ModelSession:
    """Open ``graph``. Raises RuntimeUnavailable when ONNX Runtime refuses it, or CUDA where it is named.

    Arguments are those of ``Loader``. ``precision``: one of ``PRECISIONS`` on the processor; "cuda", "cuda-fp16" or
    "cuda-fp32" on a GPU; None: on a GPU if it can be used, else on the processor, where ``warning`` says why if the GPU
    package is installed.
    """
    on_gpu, precision = _split(precision)
    why = cuda.unavailable_reason() if on_gpu is None else ""
    if on_gpu or (on_gpu is None and not why):
        try:
            return cuda.load(graph, height, width, precision)
        except RuntimeUnavailable as error:
            if on_gpu:
                raise
            why = str(error)
    session = OnnxRuntimeSession(*_open(graph, threads, precision), height, width)
    if on_gpu is None and cuda.PROVIDER in ort.get_available_providers():
        session.warning = f"{why}; running on {session.name} instead"
    return session


def load_stateless(graph: Path, threads: int | None = None, precision: str | None = None) -> StatelessSession:
    """Open a graph of fixed sizes. Raises RuntimeUnavailable when ONNX Runtime refuses it."""
    on_gpu, precision = _split(precision)
    if on_gpu or (on_gpu is None and not cuda.unavailable_reason()):
        return cuda.load_stateless(graph, precision)
    return OnnxRuntimeStateless(*_open(graph, threads, precision))


def _split(precision: str | None) -> tuple[bool | None, str | None]:
    """Return whether to use the GPU (None: if possible), and the precision. Raises RuntimeUnavailable."""
    if precision is None:
        return None, None
    if precision == "tensorrt":
        raise RuntimeUnavailable("onnxruntime:tensorrt was removed, it needs TensorRT 10, we use 11: take tensorrt")
    if precision not in _KNOWN:
        raise RuntimeUnavailable(f"onnxruntime has no precision {precision!r}; it has {', '.join(_KNOWN)}")
    if precision.startswith(CUDA):
        return True, precision.removeprefix(CUDA).removeprefix("-") or None
    return False, precision


def _open(graph: Path, threads: int | None, precision: str | None) -> tuple[ort.InferenceSession, str]:
    """Return a session on the processor, and its name. Raises RuntimeUnavailable."""
    precision = precision or "fp32"
    if precision == "int8":
        from neuralsim.runtimes import int8  # onnx: imported only where it is needed

        graph = int8.quantised(graph)
    try:
        if precision == "fp16":
            from neuralsim.runtimes import graph_variants

            graph = graph_variants.path(graph, precision)
        session = quiet_session(str(graph), threads)
    except Exception as error:  # its exceptions share no base class but Exception
        raise RuntimeUnavailable(f"onnxruntime cannot load {graph}: {str(error).strip().splitlines()[0]}") from error
    return session, f"onnxruntime {precision}"
