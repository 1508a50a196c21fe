"""A session of ONNX Runtime whose inputs, state and image stay at fixed places on one device."""

import contextlib
import io
from collections.abc import Callable, Iterator

import numpy as np
import onnxruntime as ort

from neuralsim.runtimes.interface import STATE_OUTPUTS, state_shapes

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
}
Device = tuple[str, int]  # type and number


class DeviceStateless:
    """A graph of fixed sizes on a device, with numpy arrays in and out.

    Every input and output has one place on ``device`` (the processor where a test stands in for a GPU), because a
    captured CUDA graph reads and writes the addresses that it was captured with.
    """

    def __init__(self, session: ort.InferenceSession, name: str, device: Device) -> None:
        self.name = name
        self.inputs = {port.name: tuple(port.shape) for port in session.get_inputs()}
        self._session, self._binding = session, session.io_binding()
        self.places: dict[str, ort.OrtValue] = {}
        for ports, bind in (
            (session.get_inputs(), self._binding.bind_ortvalue_input),
            (session.get_outputs(), self._binding.bind_ortvalue_output),
        ):
            for port in ports:
                zeros = np.zeros(port.shape, _TYPES[port.type])
                self.places[port.name] = ort.OrtValue.ortvalue_from_numpy(zeros, *device)
                bind(port.name, self.places[port.name])
        self._outputs = [port.name for port in session.get_outputs()]

    def upload(self, inputs: dict[str, np.ndarray]) -> None:
        """Copy arrays to their places; u16 as bytes where the graph takes those (``graph_variants.for_tensorrt``)."""
        for name, value in inputs.items():
            whole = np.ascontiguousarray(value)
            if whole.shape != (shape := self.inputs[name]):
                whole = whole.view(np.uint8).reshape(shape)
            self.places[name].update_inplace(whole)

    def execute(self) -> None:
        """Run on what was uploaded, and wait for the end."""
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.upload(inputs)
        self.execute()
        return {name: np.asarray(self.places[name].numpy()) for name in self._outputs}


class DeviceSession:
    """A model's session with its state on the device, copied there from output to input after each step.

    Args:
        graph: The model's graph, of fixed sizes.

    Raises:
        Exception: What ONNX Runtime raises in the first three runs, in which it may capture a CUDA graph.
    """

    warning = note = ""
    is_past_on_host = False

    def __init__(self, graph: DeviceStateless, height: int, width: int) -> None:
        self.name, self._graph = graph.name, graph
        self._shapes = state_shapes(height, width, graph.inputs["past_label"][1])
        for _ in range(3):
            graph.execute()
        self.reset()

    def step(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        graph = self._graph
        graph.upload(inputs)
        graph.execute()
        for name, output in STATE_OUTPUTS.items():
            _copy(graph.places[name], graph.places[output])
        return np.asarray(graph.places["rgb"].numpy())

    def reset(self) -> None:
        self.restore({key: np.full(shape, nothing, np.float32) for key, (shape, nothing) in self._shapes.items()})

    def state(self) -> dict[str, np.ndarray]:
        return {name: self._graph.places[name].numpy().copy() for name in STATE_OUTPUTS}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        self._graph.upload({name: np.asarray(value, np.float32) for name, value in state.items()})

    def edit_past(self, edit: Callable[[np.ndarray], None]) -> None:
        past = self._graph.places["past_rgb"].numpy().copy()
        edit(past)
        self.restore({"past_rgb": past})


def _copy(target: ort.OrtValue, source: ort.OrtValue) -> None:
    """Copy a tensor on the device; ONNX Runtime before 1.24 does so only by way of the host."""
    try:
        target.update_inplace(source)
    except (TypeError, AttributeError):
        target.update_inplace(source.numpy())


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Keep ONNX Runtime's own messages off the terminal; yields what its Python part prints."""
    printed = io.StringIO()
    ort.set_default_logger_severity(4)  # fatal alone: what fails raises, and is reported in one line
    try:
        with contextlib.redirect_stdout(printed):
            yield printed
    finally:
        ort.set_default_logger_severity(2)
