"""OpenVINO on the CPU: bf16 where the processor has it."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from bridge.process.user_cache import cache_folder, sole_writer
from neuralsim.base.bands import run_in_bands
from neuralsim.base.machine import cores
from neuralsim.base.quiet_openvino import ov
from neuralsim.runtimes import cache
from neuralsim.runtimes.interface import STATE_OUTPUTS, RuntimeUnavailable, state_shapes
from neuralsim.runtimes.openvino import rewrites
from neuralsim.runtimes.openvino.split import Split, Tables, split_once

#: OpenVINO's names of precisions. What is not int8 in an int8 graph has the processor's best precision.
_HINTS = {"fp32": "f32", "bf16": "bf16"}
PRECISIONS = (*_HINTS, "int8")


class InferRequests:
    """The infer requests of one graph, which is compiled once for each number of streams that is asked for."""

    def __init__(self, compile_: Callable[[int], ov.CompiledModel]) -> None:
        self._compile, self._lock = compile_, threading.Lock()
        self._idle: dict[int, queue.SimpleQueue[ov.InferRequest]] = {}  # by number of streams
        compiled = self._add(1)
        #: Of inputs and outputs; an image may have become planes (``rewrites.split_images``).
        self.shapes = {port.get_any_name(): tuple(port.shape) for port in (*compiled.inputs, *compiled.outputs)}

    def idle(self, streams: int) -> queue.SimpleQueue[ov.InferRequest]:
        """Return the idle requests for ``streams`` steps at a time."""
        with self._lock:
            if streams not in self._idle:
                self._add(streams)
            return self._idle[streams]

    def _add(self, streams: int) -> ov.CompiledModel:
        compiled = self._compile(streams)
        self._idle[streams] = queue.SimpleQueue()
        for _ in range(streams):
            self._idle[streams].put(compiled.create_infer_request())
        return compiled


class OpenVinoSession:
    """A compiled graph with two sets of state tensors that take turns, so that no state is ever copied."""

    warning = note = ""
    is_past_on_host = True

    def __init__(self, requests: InferRequests, name: str, height: int, width: int, past_frames: int) -> None:
        self.name, self.streams = name, 1
        self._requests, self._size = requests, (height, width)
        self._shapes = state_shapes(height, width, past_frames)
        self._states = [{key: np.zeros(shape, np.float32) for key, (shape, _) in self._shapes.items()} for _ in (0, 1)]
        self._rgb = np.empty((height, width, 3), np.uint8)
        self._planes: dict[str, np.ndarray] = {}  # images that go in or out as planes
        self.reset()

    def fork(self) -> OpenVinoSession:
        return OpenVinoSession(self._requests, self.name, *self._size, self._shapes["past_label"][0][1])

    def step(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        idle = self._requests.idle(self.streams)
        request = idle.get()
        try:
            self._infer(request, inputs)
        finally:
            idle.put(request)
        self._states.reverse()
        return self._rgb

    def _infer(self, request: ov.InferRequest, inputs: dict[str, np.ndarray]) -> None:
        for key, value in inputs.items():
            request.set_tensor(key, _input(self._in_planes(key, value)))
        past, following = self._states
        for key, output in STATE_OUTPUTS.items():
            request.set_tensor(key, _input(past[key]))
            request.set_tensor(output, _input(following[key]))
        shape = self._requests.shapes["rgb"]
        image = self._rgb if shape == self._rgb.shape else self._planes.setdefault("rgb", np.empty(shape, np.uint8))
        request.set_tensor("rgb", _input(image))
        request.infer()
        if image is not self._rgb:
            cv2.merge([*image], self._rgb)

    def _in_planes(self, key: str, value: np.ndarray) -> np.ndarray:
        """Return ``value`` of the graph's shape: an image (H, W, C) may have to be split into planes (C, H, W)."""
        shape = self._requests.shapes[key]
        if value.shape == shape:
            return value
        if key not in self._planes:
            self._planes[key] = np.empty(shape, value.dtype)
        cv2.split(value, [*self._planes[key]])
        return self._planes[key]

    def reset(self) -> None:
        for key, (_, nothing) in self._shapes.items():
            self._states[0][key][:] = nothing

    def state(self) -> dict[str, np.ndarray]:
        return {key: value.copy() for key, value in self._states[0].items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        for key, value in state.items():
            self._states[0][key][:] = value

    def edit_past(self, edit: Callable[[np.ndarray], None]) -> None:
        edit(self._states[0]["past_rgb"])


class SplitSession(OpenVinoSession):
    """A session of which OpenVINO runs the generator, and compiled code what stands before and after it."""

    def __init__(
        self,
        requests: InferRequests,
        name: str,
        height: int,
        width: int,
        parts: Split,
        expected: dict[str, tuple[np.dtype, tuple[int, ...]]],
        is_alone: bool,
    ) -> None:
        """``expected``: dtype and shape of each input; ``is_alone``: the compiled code runs on one thread."""
        super().__init__(requests, name, height, width, 1)
        self._parts, self._expected, self._is_alone = parts, expected, is_alone
        self._tables = Tables(parts)

    def fork(self) -> SplitSession:
        return SplitSession(self._requests, self.name, *self._size, self._parts, self._expected, self._is_alone)

    def _infer(self, request: ov.InferRequest, inputs: dict[str, np.ndarray]) -> None:
        found = {key: (value.dtype, value.shape) for key, value in inputs.items()}
        if found != self._expected:  # the compiled code would read beyond them
            wrong = sorted(key for key in {*found, *self._expected} if found.get(key) != self._expected.get(key))
            raise ValueError(f"inputs that are missing, unknown or of another type or shape: {', '.join(wrong)}")
        # writable, or everything would be compiled once more
        frame = {key: np.ascontiguousarray(np.asarray(_Writable(value))) for key, value in inputs.items()}
        height, is_alone = self._size[0], self._is_alone or self.streams > 1
        self._tables.follow(frame["style"])
        embedded = request.get_tensor("embedded").data[0]
        detail = request.get_tensor("detail").data[0]
        embedded = embedded if self._parts.is_exact else embedded.view(np.uint16)
        run_in_bands(height, partial(self._tables.embed, frame=frame, embedded=embedded, detail=detail), is_alone)
        request.infer()
        generated = request.get_tensor("generated").data
        past, following = self._states
        work = partial(
            self._tables.blend, frame=frame, generated=generated, past=past, following=following, image=self._rgb
        )
        run_in_bands(height, work, is_alone)


class OpenVinoStateless:
    """A stateless graph with numpy arrays in and out."""

    def __init__(self, compiled: ov.CompiledModel, name: str) -> None:
        self.name = name
        self._request = compiled.create_infer_request()
        self.inputs = {port.get_any_name(): tuple(port.get_shape()) for port in compiled.inputs}
        self._outputs = [port.get_any_name() for port in compiled.outputs]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for key, value in inputs.items():
            self._request.set_tensor(key, _input(value))
        self._request.infer()
        return {name: self._request.get_tensor(name).data for name in self._outputs}


class _Writable:
    """Presents an array as writable: OpenVINO insists on that even for inputs, which it only reads."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array  # keeps its memory alive
        self.__array_interface__ = array.__array_interface__ | {"data": (array.ctypes.data, False)}


def _input(array: np.ndarray) -> ov.Tensor:
    """Return a tensor that shares the memory of ``array``."""
    return ov.Tensor(array if array.flags.writeable else np.asarray(_Writable(array)), shared_memory=True)


def load(
    graph: Path, height: int, width: int, threads: int | None = None, precision: str | None = None
) -> OpenVinoSession:
    """Compile ``graph`` for one frame size. Raises RuntimeUnavailable when OpenVINO refuses it.

    Arguments are those of ``Loader``. ``precision`` None: bf16 where the processor has it.
    """
    with _refusals(graph):
        core, graph, model, precision, hint = _read(graph, precision)
        frames = model.input("past_label").partial_shape[1].get_length()
        parts = split_once(core, model, graph, is_exact=hint == "fp32")

        def compile_(streams: int) -> ov.CompiledModel:
            if parts is None:
                sized = model.clone()
                fix_size(sized, height, width)
                rewrites.split_images(sized)
            else:
                sized = parts.generator_of(height, width)
            with _refusals(graph):
                return _compile(core, sized, graph, hint, threads, streams)

        requests, name = InferRequests(compile_), f"openvino {precision}"
    if parts is None:
        return OpenVinoSession(requests, name, height, width, frames)
    given = {port.get_any_name(): port for port in model.inputs if port.get_any_name() not in STATE_OUTPUTS}
    expected = {key: (port.get_element_type().to_dtype(), _fixed(port, height, width)) for key, port in given.items()}
    return SplitSession(requests, name, height, width, parts, expected, is_alone=threads == 1)


def load_stateless(graph: Path, threads: int | None = None, precision: str | None = None) -> OpenVinoStateless:
    """Compile a graph of fixed sizes. Raises RuntimeUnavailable when OpenVINO refuses it."""
    with _refusals(graph):
        core, graph, model, precision, hint = _read(graph, precision)
        return OpenVinoStateless(_compile(core, model, graph, hint, threads), f"openvino {precision}")


@contextlib.contextmanager
def _refusals(graph: Path) -> Iterator[None]:
    """Raise what OpenVINO has against ``graph`` as RuntimeUnavailable."""
    try:
        yield
    except RuntimeError as error:
        raise RuntimeUnavailable(f"openvino cannot load {graph}: {str(error).strip().splitlines()[-1]}") from error


def _read(graph: Path, precision: str | None) -> tuple[ov.Core, Path, ov.Model, str, str]:
    """Return OpenVINO, a graph with its file, its precision, and that of what is not int8 in it, "bf16" or "fp32"."""
    if precision not in (None, *PRECISIONS):
        raise RuntimeUnavailable(f"openvino has no precision {precision!r}; it has {', '.join(PRECISIONS)}")
    if precision == "int8":
        from neuralsim.runtimes import int8  # onnx: imported only where it is needed

        graph = int8.quantised(graph)
    core = ov.Core()
    best = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "fp32"
    precision = precision or best
    return core, graph, core.read_model(graph), precision, best if precision == "int8" else precision


def _compile(
    core: ov.Core, model: ov.Model, graph: Path, hint: str, threads: int | None, streams: int = 1
) -> ov.CompiledModel:
    """Compile ``model``, all or a part of ``graph``."""
    rewrites.rewrite(model)
    # A pinned thread would wait for its core while simulator or bridge use it and another core is free.
    options: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[hint],
        "ENABLE_CPU_PINNING": False,
    }
    if threads or streams > 1:
        options["INFERENCE_NUM_THREADS"] = threads or cores()
    if streams > 1:
        options |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": streams}
    with _cached(core, graph):
        return core.compile_model(model, "CPU", options)


@contextlib.contextmanager
def _cached(core: ov.Core, graph: Path) -> Iterator[None]:
    """Store compiled graphs in the cache folder: the next start loads them in half the time, or less.

    Each model has a folder of its own: OpenVINO 2026.4 confuses graphs that differ only in a constant. One thread of
    one process uses it at a time: OpenVINO also reads files that another one has not written to their end, and fails
    or crashes.
    """
    folder = cache_folder() / "openvino" / cache.sha256(graph)[:32]
    with sole_writer(folder / "lock") as is_held:
        if is_held:
            core.set_property({"CACHE_DIR": str(folder)})
        yield


def fix_size(model: ov.Model, height: int, width: int) -> None:
    """Fix the dynamic sizes of the inputs of ``model``, height first."""
    shapes = {port: [*_fixed(port, height, width)] for port in model.inputs if port.partial_shape.is_dynamic}
    if shapes:
        model.reshape(shapes)


def _fixed(port: ov.Output, height: int, width: int) -> tuple[int, ...]:
    sizes = iter((height, width))
    return tuple(dim.get_length() if dim.is_static else next(sizes) for dim in port.partial_shape)
