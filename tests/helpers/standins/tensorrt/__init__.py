"""Stand-in for TensorRT 11 where there is no GPU: its names and signatures as far as they are in use, on ONNX Runtime.

An "engine" is the ONNX model itself. What it shows is that our side is right: buffers, state, streams, captured graphs,
files, errors. What it cannot show is that TensorRT itself builds and runs the graph.
"""

from __future__ import annotations

import ctypes
import enum
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from cuda.bindings import runtime as cudart

__version__ = "11.4.0.106"
failure = ""  # what building fails with; tests set it
workspaces: list[int] = []
cleared: list[BuilderFlag] = []


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING = Severity.INTERNAL_ERROR, Severity.ERROR, Severity.WARNING

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class IProgressMonitor:
    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None: ...

    def step_complete(self, phase_name: str, step: int) -> bool: ...

    def phase_finish(self, phase_name: str) -> None: ...


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class BuilderFlag(enum.Enum):
    TF32 = 6


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


def nptype(trt_type: np.dtype[Any]) -> np.dtype[Any]:
    return trt_type


class _Memory(bytes):
    """IHostMemory: bytes of the library's."""


class _Cache:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def serialize(self) -> _Memory:
        return _Memory(self._content + b"+")


class _Config:
    builder_optimization_level = 3
    progress_monitor: IProgressMonitor

    def clear_flag(self, flag: BuilderFlag) -> None:
        cleared.append(flag)

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        assert pool is MemoryPoolType.WORKSPACE
        workspaces.append(pool_size)

    def create_timing_cache(self, serialized_timing_cache: bytes) -> _Cache | None:
        whole = not serialized_timing_cache.strip(b"+")
        return _Cache(serialized_timing_cache) if whole else None

    def set_timing_cache(self, cache: _Cache, ignore_mismatch: bool) -> bool:
        self._cache = cache
        return True

    def get_timing_cache(self) -> _Cache:
        return self._cache


class _Network:
    model = b""


class _ParserError:
    def desc(self) -> str:
        return "it is\nno model"


class OnnxParser:
    num_errors = 1

    def __init__(self, network: _Network, logger: ILogger) -> None:
        self._network = network

    def parse(self, model: bytes) -> bool:
        try:
            onnx.load_from_string(model)
        except Exception:
            return False
        self._network.model = model
        return True

    def get_error(self, index: int) -> _ParserError:
        return _ParserError()


class Builder:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def create_network(self, flags: int = 0) -> _Network:
        assert flags == 0, "networks are always strongly typed in 11"
        return _Network()

    def create_builder_config(self) -> _Config:
        return _Config()

    def build_serialized_network(self, network: _Network, config: _Config) -> _Memory | None:
        monitor = config.progress_monitor
        monitor.phase_start("Building the engine", None, 2)
        for step in range(2):
            monitor.phase_start("Timing", "Building the engine", 3)
            for inner in range(3):
                if not monitor.step_complete("Timing", inner):
                    return None
            monitor.phase_finish("Timing")
            monitor.step_complete("Building the engine", step)
        monitor.phase_finish("Building the engine")
        if failure:
            self._logger.log(ILogger.ERROR, failure)
            return None
        return _Memory(b"PLAN" + network.model)


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> _Engine | None:
        if serialized_engine[:4] != b"PLAN":
            self._logger.log(ILogger.ERROR, "magic tag does not match")
            return None
        return _Engine(serialized_engine[4:])


class _Engine:
    def __init__(self, model: bytes) -> None:
        options = ort.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 3, 1
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        ports = onnx.load_from_string(model).graph
        self.inputs = [port.name for port in ports.input]
        self.outputs = [port.name for port in ports.output]
        self._ports = {port.name: port.type.tensor_type for port in (*ports.input, *ports.output)}
        self.num_io_tensors = len(self._ports)

    def get_tensor_name(self, index: int) -> str:
        return list(self._ports)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(dim.dim_value for dim in self._ports[name].shape.dim)

    def get_tensor_dtype(self, name: str) -> np.dtype[Any]:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(self._ports[name].elem_type))

    def create_execution_context(self) -> _Context:
        return _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return name in self._engine.inputs + self._engine.outputs

    def execute_async_v3(self, stream_handle: int) -> bool:
        addresses = dict(self._addresses)
        cudart.streams[stream_handle].put(lambda: self._run(addresses))
        return addresses.keys() >= {*self._engine.inputs, *self._engine.outputs}

    def _run(self, addresses: dict[str, int]) -> None:
        engine = self._engine
        results = engine.session.run(engine.outputs, {name: self._at(name, addresses[name]) for name in engine.inputs})
        for name, value in zip(engine.outputs, results, strict=True):
            self._at(name, addresses[name])[...] = value

    def _at(self, name: str, address: int) -> np.ndarray:
        shape, dtype = self._engine.get_tensor_shape(name), self._engine.get_tensor_dtype(name)
        block = (ctypes.c_ubyte * (int(np.prod(shape)) * dtype.itemsize)).from_address(address)
        return np.ctypeslib.as_array(block).view(dtype).reshape(shape)
