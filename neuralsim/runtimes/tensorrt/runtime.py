"""TensorRT on an NVIDIA GPU: an engine per model, size and machine; state on the device, each step one CUDA graph.

Written for TensorRT 11 (networks are strongly typed: precision is in the graph) and compatible with 10. Engines are
built by :mod:`neuralsim.runtimes.tensorrt.engines`. Not run by its authors: no GPU with TensorRT's builder was at hand.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from neuralsim.base.extras import remedy
from neuralsim.base.failure import describe
from neuralsim.runtimes import cuda_driver
from neuralsim.runtimes.interface import STATE_OUTPUTS, RuntimeUnavailable, state_shapes
from neuralsim.runtimes.tensorrt import engines as tensorrt_engines
from neuralsim.runtimes.tensorrt.engines import EngineError, EngineFacts

PRECISIONS = ("fp16", "fp32", "int8")


def unavailable_reason() -> str:
    """Return why TensorRT cannot be used here and what to do, one line; "" if it can. Never imports TensorRT itself."""
    if not (find_spec("tensorrt") and _has_bindings()):
        return f"not installed: {remedy('tensorrt')}"
    try:
        cuda_driver.check(cuda_driver.gpu(), tensorrt_engines.built_for())
    except cuda_driver.NoGpu as error:
        return str(error)
    return ""


def _has_bindings() -> bool:
    """Return whether ``cuda-python`` is installed: other packages have a folder "cuda" too."""
    try:
        return find_spec("cuda.bindings.runtime") is not None
    except ModuleNotFoundError:
        return False


class _Engine:
    """An engine with memory for every input and output, on the device and pinned on the host, and three streams.

    ``turns``: the count of sets of state buffers, 2 for a model with state, 1 for any other graph. Each has an
    execution context and a captured CUDA graph that leads from its set to the next.
    """

    def __init__(self, plan: bytes, turns: int) -> None:
        import tensorrt as trt

        from neuralsim.runtimes.tensorrt import cuda_runtime

        self._cuda = cuda_runtime
        self._open = False
        self._log = tensorrt_engines.logger(trt)
        self._runtime = trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"TensorRT refuses the engine ({self._log.last}): run neuralsim model build-engine again")
        self._buffers = cuda_runtime.Buffers()
        self._streams: list[Any] = []
        self._graphs: list[Any] = []
        self._contexts: list[Any] = []
        self._open = True
        self.host: dict[str, np.ndarray] = {}
        self.device: dict[str, int] = {}
        self.states: list[dict[str, int]] = [{} for _ in range(turns)]
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: list[str] = []
        try:
            for _ in range(3):
                self._streams.append(cuda_runtime.Stream())
            self._compute, self.up, self.down = self._streams
            self._allocate(trt)
            self._contexts = [self._context(turn) for turn in range(turns)]
            self._capture()
        except cuda_runtime.CudaError as error:
            self.close()
            raise EngineError(str(error)) from error
        except EngineError:
            self.close()
            raise

    @property
    def captured(self) -> bool:
        """Return whether a run is one launch of a CUDA graph; a few kinds of layers do not allow it."""
        return bool(self._graphs)

    def _allocate(self, trt: Any) -> None:
        engine, buffers = self._engine, self._buffers
        produced = set(STATE_OUTPUTS.values()) if len(self.states) > 1 else set()  # inputs of the other set
        for name in (engine.get_tensor_name(n) for n in range(engine.num_io_tensors)):
            shape, dtype = tuple(engine.get_tensor_shape(name)), np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            if min(shape, default=1) < 0:
                raise EngineError(f"the engine leaves the size of {name} open: run neuralsim model build-engine again")
            if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT:
                self.outputs.append(name)
                if name in produced:
                    continue
            else:
                self.inputs[name] = shape
            host = self.host[name] = buffers.pinned(shape, dtype)
            if produced and name in STATE_OUTPUTS:
                for state in self.states:
                    state[name] = buffers.device(host.nbytes)
            else:
                self.device[name] = buffers.device(host.nbytes)

    def _context(self, turn: int) -> Any:
        """Create an execution context that reads the state of set ``turn`` and writes the next."""
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT cannot run the engine ({self._log.last}): too little GPU memory?")
        addresses = self.device | self.states[turn]
        following = self.states[(turn + 1) % len(self.states)]
        addresses |= {output: following[key] for key, output in STATE_OUTPUTS.items() if key in following}
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                raise EngineError(f"the engine is for another graph ({name}): run neuralsim model build-engine again")
        return context

    def _capture(self) -> None:
        """Record a run of each context, after a first one that lets TensorRT allocate what it needs."""
        for context in self._contexts:
            self._execute(context)
            self._compute.finish()
            try:
                with self._compute.captured(self._graphs):
                    self._execute(context)
            except (self._cuda.CudaError, EngineError):
                for graph in self._graphs:
                    self._cuda.destroy_graph(graph)
                self._graphs.clear()
                return

    def _execute(self, context: Any) -> None:
        if not context.execute_async_v3(int(self._compute.handle)):
            raise EngineError(f"TensorRT cannot run the engine: {self._log.last}")

    def run(self, inputs: dict[str, np.ndarray], turn: int, outputs: Sequence[str]) -> None:
        """Upload ``inputs``, run, and wait until ``outputs`` are in ``host``.

        Each upload starts as soon as its input is in pinned memory, in parallel with copying the next one.
        """
        try:
            for name, value in inputs.items():
                host = self.host[name]
                host[...] = value.view(np.uint8).reshape(host.shape) if value.dtype == np.uint16 else value
                self.up.upload(self.device[name], host)
            self._compute.after(self.up)
            if self._graphs:
                self._compute.launch(self._graphs[turn])
            else:
                self._execute(self._contexts[turn])
            self.down.after(self._compute)
            for name in outputs:
                self.down.download(self.host[name], self.device[name])
            self.down.finish()
        except (self._cuda.CudaError, EngineError) as error:
            raise RuntimeUnavailable(f"tensorrt stopped: {error}") from error

    def close(self) -> None:
        """Free the device's memory; the engine is unusable afterwards."""
        if not self._open:
            return
        self._open = False
        for graph in self._graphs:
            self._cuda.destroy_graph(graph)
        self._graphs, self._contexts, self.host = [], [], {}
        for stream in self._streams:
            stream.close()
        self._buffers.free()
        self._engine = self._runtime = None  # after the contexts; the engine holds the weights and its workspace

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.close()


class TensorRtSession:
    """A model's engine with its state on the device, in two sets of buffers that take turns."""

    warning = note = ""
    is_past_on_host = False

    def __init__(self, plan: bytes, name: str, height: int, width: int) -> None:
        self._engine = _Engine(plan, turns=2)
        self.name = name if self._engine.captured else f"{name} without CUDA graph"
        self._shapes = state_shapes(height, width, self._engine.inputs["past_label"][1])
        self._turn = 0
        self.reset()

    def step(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        self._engine.run(inputs, self._turn, ("rgb",))
        self._turn = 1 - self._turn
        return self._engine.host["rgb"]

    def reset(self) -> None:
        self.restore({key: np.full(shape, nothing, np.float32) for key, (shape, nothing) in self._shapes.items()})

    def state(self) -> dict[str, np.ndarray]:
        return {key: self._download(key).copy() for key in self._engine.states[self._turn]}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        engine = self._engine
        for key, value in state.items():
            engine.host[key][...] = value
            engine.up.upload(engine.states[self._turn][key], engine.host[key])
        engine.up.finish()

    def edit_past(self, edit: Callable[[np.ndarray], None]) -> None:
        edit(self._download("past_rgb"))
        self.restore({"past_rgb": self._engine.host["past_rgb"]})

    def _download(self, key: str) -> np.ndarray:
        """Return a state on the host, valid until the next download."""
        engine = self._engine
        engine.down.download(engine.host[key], engine.states[self._turn][key])
        engine.down.finish()
        return engine.host[key]

    def close(self) -> None:
        """Free the device's memory; the session is unusable afterwards."""
        self._engine.close()


class TensorRtStateless:
    """The engine of a stateless graph, with numpy arrays in and out."""

    def __init__(self, plan: bytes, name: str) -> None:
        self.name = name
        self._engine = _Engine(plan, turns=1)
        self.inputs = self._engine.inputs

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._engine.run(inputs, 0, self._engine.outputs)
        return {name: self._engine.host[name] for name in self._engine.outputs}


def load(
    graph: Path, height: int, width: int, threads: int | None = None, precision: str | None = None
) -> TensorRtSession:
    """Load the engine of ``graph`` for this machine, built if there is none yet (minutes). Raises RuntimeUnavailable.

    Arguments are those of ``Loader``. ``precision`` None: the first of ``PRECISIONS``.
    """
    with _runtime_errors():
        plan, name = _plan(graph, height, width, precision)
        return TensorRtSession(plan, name, height, width)


def _plan(graph: Path, height: int, width: int, precision: str | None) -> tuple[bytes, str]:
    precision = precision or PRECISIONS[0]
    if precision not in PRECISIONS:
        raise EngineError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    reason = unavailable_reason()
    if reason:
        raise EngineError(reason)
    facts = EngineFacts.here(graph, height, width, precision)
    if not tensorrt_engines.is_current(facts):
        tensorrt_engines.build(graph, facts)
    return tensorrt_engines.read(facts), f"tensorrt {precision}"


@contextmanager
def _runtime_errors() -> Iterator[None]:
    try:
        yield
    except (EngineError, OSError) as error:
        raise RuntimeUnavailable(f"tensorrt: {error}") from error
    except ImportError as error:  # such as a library of another version
        why = describe(error)[:160]
        raise RuntimeUnavailable(f"tensorrt: cannot be imported ({why}): {remedy('tensorrt')}") from error


def load_stateless(graph: Path, threads: int | None = None, precision: str | None = None) -> TensorRtStateless:
    """Load the engine of a graph of fixed sizes, built if there is none yet (minutes). Raises RuntimeUnavailable."""
    with _runtime_errors():
        return TensorRtStateless(*_plan(graph, 0, 0, precision))
