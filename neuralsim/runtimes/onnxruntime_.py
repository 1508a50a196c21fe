"""ONNX Runtime: fp32 on any processor; fp16 on an NVIDIA GPU where its GPU package is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from bridge.process.user_cache import cache_folder
from neuralsim.runtimes import cuda_driver
from neuralsim.runtimes.interface import STATE_OUTPUTS, RuntimeUnavailable, state_shapes
from neuralsim.runtimes.onnxruntime_session import quiet_session

PRECISIONS = ("fp32", "fp16", "int8")


class OnnxRuntimeSession:
    """A session with bound inputs and outputs; the state stays on the device, in two sets of alternating buffers."""

    warning = note = ""

    def __init__(self, session: ort.InferenceSession, name: str, height: int, width: int) -> None:
        self.name, self.streams = name, 1
        self._session, self._device = session, _device(session)
        self._size = height, width
        frames = next(port.shape[1] for port in session.get_inputs() if port.name == "past_label")
        self._shapes = state_shapes(height, width, frames)
        self._states = [
            {key: self._zeros(shape, np.float32) for key, (shape, _) in self._shapes.items()} for _ in (0, 1)
        ]
        self._rgb = ort.OrtValue.ortvalue_from_numpy(np.empty((height, width, 3), np.uint8))  # on the host
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

    def _zeros(self, shape: tuple[int, ...], dtype: type) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype), self._device, 0)


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
) -> OnnxRuntimeSession:
    """Open ``graph``. Raises RuntimeUnavailable when ONNX Runtime refuses it.

    Args:
        graph: The model's ONNX file.
        height: Of the frames, px.
        width: Of the frames, px.
        threads: CPU threads, None = all.
        precision: One of ``PRECISIONS``, or "tensorrt"; None: the best for the provider.
    """
    return OnnxRuntimeSession(*_open(graph, threads, precision), height, width)


def load_stateless(graph: Path, threads: int | None = None, precision: str | None = None) -> OnnxRuntimeStateless:
    """Open a graph of fixed sizes. Raises RuntimeUnavailable when ONNX Runtime refuses it."""
    return OnnxRuntimeStateless(*_open(graph, threads, precision))


def _open(graph: Path, threads: int | None, precision: str | None) -> tuple[ort.InferenceSession, str]:
    providers = _providers(precision)
    precision = ("fp16" if len(providers) > 1 else "fp32") if precision in (None, "tensorrt") else precision
    if precision not in PRECISIONS:
        known = ", ".join((*PRECISIONS, "tensorrt"))
        raise RuntimeUnavailable(f"onnxruntime has no precision {precision!r}; it has {known}")
    if precision == "int8":
        from neuralsim.runtimes import int8  # onnx: imported only where it is needed

        graph = int8.quantised(graph)
    try:
        if precision == "fp16":
            from neuralsim.runtimes import graph_variants

            graph = graph_variants.path(graph, precision)
        session = quiet_session(str(graph), threads, providers)
    except Exception as error:  # its exceptions share no base class but Exception
        raise RuntimeUnavailable(f"onnxruntime cannot load {graph}: {str(error).strip().splitlines()[0]}") from error
    provider = session.get_providers()[0].removesuffix("ExecutionProvider").lower()
    return session, f"onnxruntime {precision}" + ("" if provider == "cpu" else f" on {provider}")


def _providers(precision: str | None) -> list[str | tuple[str, dict[str, object]]]:
    """Return CUDA's provider before the processor's if there is a GPU.

    TensorRT's comes only on request, since it builds for minutes. Raises RuntimeUnavailable.
    """
    available = ort.get_available_providers()
    providers: list[str | tuple[str, dict[str, object]]] = ["CPUExecutionProvider"]
    try:
        cuda_driver.gpu()
    except cuda_driver.NoGpu as error:
        if precision == "tensorrt":
            raise RuntimeUnavailable(f"onnxruntime: {error}") from error
        return providers
    if "CUDAExecutionProvider" in available:
        providers.insert(0, "CUDAExecutionProvider")
    if precision == "tensorrt":
        if "TensorrtExecutionProvider" not in available:
            raise RuntimeUnavailable("onnxruntime has no TensorRT here: pip install onnxruntime-gpu")
        folder = cache_folder() / "engines"
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(folder)}
        providers.insert(0, ("TensorrtExecutionProvider", settings))
    return providers


def _device(session: ort.InferenceSession) -> str:
    return "cpu" if session.get_providers()[0] == "CPUExecutionProvider" else "cuda"
