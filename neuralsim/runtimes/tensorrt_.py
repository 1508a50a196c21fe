"""TensorRT on an NVIDIA GPU: an engine per model, size and machine; state on the device, each step one CUDA graph.

Written for TensorRT 11 (networks are strongly typed: precision is in the graph) and good for 10. The engine comes out
of :mod:`neuralsim.runtimes.engines`. Not run by its authors: no GPU with TensorRT's builder was at hand.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from neuralsim.runtimes import NEXT, RuntimeUnavailable, driver, engines, state_shapes
from neuralsim.runtimes.engines import EngineError, EngineFacts

PRECISIONS = ("fp16", "fp32", "int8")


def obstacle() -> str:
    """Why TensorRT cannot be used here and what to do, one line; "" if it can. Never touches TensorRT itself."""
    if not (find_spec("tensorrt") and find_spec("cuda")):
        return "not installed: pip install -r requirements/tensorrt.txt"
    try:
        driver.check(driver.gpu())
    except driver.NoGpu as error:
        return str(error)
    return ""


class TensorRtSession:
    """An engine, its state on the device in two sets of buffers, and a captured graph for each direction between them.

    A step copies each input into pinned memory and starts its upload at once, so that copying the next one runs beside
    it; launches the graph; and waits for the picture alone to come down on a stream of its own.
    """

    warning = note = ""

    def __init__(self, plan: bytes, name: str, height: int, width: int) -> None:
        import tensorrt as trt

        from neuralsim.runtimes import cuda

        self.name = name
        self._cuda = cuda
        self._height, self._width = height, width
        self._log = engines.logger(trt)
        self._open = False
        self._runtime = trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"TensorRT refuses the engine ({self._log.last}): run neuralsim build-engine again")
        self._buffers = cuda.Buffers()
        self._compute, self._up, self._down = cuda.Stream(), cuda.Stream(), cuda.Stream()
        self._graphs: list[Any] = []
        self._open = True
        try:
            self._allocate(trt)
            self._contexts = [self._context(turn) for turn in (0, 1)]
            self._capture()
        except cuda.CudaError as error:
            self.close()
            raise EngineError(str(error)) from error
        except EngineError:
            self.close()
            raise
        self._turn = 0
        self.reset()

    def _allocate(self, trt: Any) -> None:
        """Buffers for every input and output: those of the state twice."""
        engine, buffers = self._engine, self._buffers
        self._host: dict[str, np.ndarray] = {}
        self._device: dict[str, int] = {}
        self._states: list[dict[str, int]] = [{}, {}]
        outputs = {output: key for key, output in NEXT.items()}
        for name in (engine.get_tensor_name(n) for n in range(engine.num_io_tensors)):
            shape, dtype = tuple(engine.get_tensor_shape(name)), np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            if min(shape, default=1) < 0:
                raise EngineError(f"the engine leaves the size of {name} open: run neuralsim build-engine again")
            if name in outputs:
                continue  # the other set's input
            host = self._host[name] = buffers.pinned(shape, dtype)
            if name in NEXT:
                for state in self._states:
                    state[name] = buffers.device(host.nbytes)
            else:
                self._device[name] = buffers.device(host.nbytes)

    def _context(self, turn: int) -> Any:
        """An execution context that reads the state of set ``turn`` and writes the other."""
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT cannot run the engine ({self._log.last}): too little GPU memory?")
        addresses = self._device | self._states[turn]
        addresses |= {output: self._states[1 - turn][key] for key, output in NEXT.items()}
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                raise EngineError(f"the engine is for another graph (tensor {name}): run neuralsim build-engine again")
        return context

    def _capture(self) -> None:
        """One CUDA graph per direction, after a first run that lets TensorRT allocate what it needs."""
        for context in self._contexts:
            self._execute(context)
            self._compute.finish()
            try:
                with self._compute.captured(self._graphs):
                    self._execute(context)
            except (self._cuda.CudaError, EngineError):
                for graph in self._graphs:
                    self._cuda.forget(graph)
                self._graphs.clear()  # an engine with layers that cannot be captured runs all the same
                self.name += " without CUDA graph"
                return

    def _execute(self, context: Any) -> None:
        if not context.execute_async_v3(int(self._compute.handle)):
            raise EngineError(f"TensorRT cannot run the engine: {self._log.last}")

    def step(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        for name, value in feeds.items():
            host = self._host[name]
            host[...] = value.view(np.uint8).reshape(host.shape) if value.dtype == np.uint16 else value
            self._up.upload(self._device[name], host)
        try:
            self._compute.after(self._up)
            if self._graphs:
                self._compute.launch(self._graphs[self._turn])
            else:
                self._execute(self._contexts[self._turn])
            self._down.after(self._compute)
            self._down.download(self._host["rgb"], self._device["rgb"])
            self._down.finish()
        except self._cuda.CudaError as error:
            raise RuntimeUnavailable(f"tensorrt stopped: {error}") from error
        self._turn = 1 - self._turn
        return self._host["rgb"]

    def reset(self) -> None:
        shapes = state_shapes(self._height, self._width)
        self.restore({key: np.full(shape, nothing, np.float32) for key, (shape, nothing) in shapes.items()})

    def state(self) -> dict[str, np.ndarray]:
        found = {}
        for key, address in self._states[self._turn].items():
            self._down.download(self._host[key], address)
            self._down.finish()
            found[key] = self._host[key].copy()
        return found

    def restore(self, state: dict[str, np.ndarray]) -> None:
        for key, value in state.items():
            self._host[key][...] = value
            self._up.upload(self._states[self._turn][key], self._host[key])
        self._up.finish()

    def close(self) -> None:
        """Give the device's memory back; the session is of no use afterwards."""
        if not self._open:
            return
        self._open = False
        for graph in self._graphs:
            self._cuda.forget(graph)
        self._graphs, self._contexts, self._host = [], [], {}
        for stream in (self._compute, self._up, self._down):
            stream.close()
        self._buffers.free()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.close()


def load(
    graph: Path, height: int, width: int, threads: int | None = None, precision: str | None = None, build: bool = True
) -> TensorRtSession:
    """The engine of ``graph`` for this machine, built where there is none yet (minutes) unless ``build`` is False.

    ``threads`` is for the processor's runtimes. Raises RuntimeUnavailable.
    """
    reason = obstacle()
    if reason:
        raise RuntimeUnavailable(f"tensorrt: {reason}")
    precision = precision or PRECISIONS[0]
    try:
        facts = EngineFacts.here(graph, height, width, precision)
        if build and not engines.is_current(facts):
            engines.build(graph, facts)
        return TensorRtSession(engines.read(facts), f"tensorrt {precision}", height, width)
    except (EngineError, OSError) as error:
        raise RuntimeUnavailable(f"tensorrt: {error}") from error
