"""The packed data of the checks: both models' graphs, inputs of successive frames, and the processor's images of them.

Weights are not in it but in the checkout: the pack knows where in each ``model.onnx`` their bytes are.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MODELS = ("street-rt", "street")
WIDTH, HEIGHT, FRAMES = 256, 128, 24
MOST = 24 << 20  # bytes that a pack may take
_SMALL = 256  # bytes up to which an array is stored inside
_ZOO = Path(__file__).resolve().parents[2] / "neuralsim/zoo"

Inputs = dict[str, np.ndarray]


class Sequence(NamedTuple):
    """The inputs of successive frames, without the state, and the images that fp32 on a processor makes of them."""

    inputs: list[Inputs]
    images: list[np.ndarray]


class Pack:
    """A pack that was read from ``path``. Raises OSError, ValueError."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as stored:
            self._arrays = {name: stored[name] for name in stored.files}
        self._facts = json.loads(bytes(self._arrays.pop("facts")))

    def file(self, model: str) -> Path:
        """Return the model's ONNX file in this checkout. Raises ValueError if it is not that of the pack."""
        path = _ZOO / model / "model.onnx"
        if hashlib.sha256(path.read_bytes()).hexdigest() != self._facts["models"][model]:
            raise ValueError(f"{path} is not the model that was packed: run --pack again")
        return path

    def graph(self, model: str, precision: str) -> Any:
        """Return the graph of a model, a ``torch_.Graph``. ``precision``: "fp32" or "fp16"."""
        from neuralsim.runtimes.torch_ import Graph, Node, Port

        content = self.file(model).read_bytes()
        facts = self._facts["graphs"][f"{model}/{precision}"]

        def array(entry: dict[str, Any]) -> np.ndarray:
            if "stored" in entry:
                return self._arrays[entry["stored"]]
            dtype, shape = np.dtype(entry["dtype"]), entry["shape"]
            flat = np.frombuffer(content, dtype, int(np.prod(shape)), entry["at"])
            return flat.reshape(shape).copy()

        def value(entry: Any) -> Any:
            return array(entry) if isinstance(entry, dict) else entry

        nodes = [
            Node(
                name, operator, tuple(inputs), tuple(outputs), {key: value(entry) for key, entry in attributes.items()}
            )
            for name, operator, inputs, outputs, attributes in facts["nodes"]
        ]
        inputs = [Port(name, kind, tuple(shape)) for name, kind, shape in facts["inputs"]]
        return Graph(inputs, facts["outputs"], nodes, {key: array(entry) for key, entry in facts["weights"].items()})

    def sequence(self, model: str) -> Sequence:
        """Return the frames of a model."""
        count, names = self._facts["frames"], self._facts["names"][model]
        inputs = [{name: self._arrays[self._key(model, n, name)] for name in names} for n in range(count)]
        return Sequence(inputs, [self._arrays[f"{model}/{n}/image"] for n in range(count)])

    def _key(self, model: str, number: int, name: str) -> str:
        key = f"{model}/{number}/{name}"
        return key if key in self._arrays else f"{number}/{name}"


def write(path: Path, width: int = WIDTH, height: int = HEIGHT, count: int = FRAMES) -> int:
    """Make a pack from the installed models and frames of the town; returns its bytes. Needs a whole installation.

    Raises ValueError where it is larger than ``MOST``.
    """
    import onnx

    from neuralsim import zoo
    from neuralsim.renderer.neural_renderer import NeuralRenderer
    from neuralsim.runtimes import graph_variants
    from neuralsim.runtimes.torch_ import graph_of
    from neuralsim.town.town_drive import TownDrive

    town = TownDrive(width, height)
    town.ride()
    town.skip(30)
    frames = [town.next_frame() for _ in range(count)]
    arrays: dict[str, np.ndarray] = {}
    facts: dict[str, Any] = {"frames": count, "models": {}, "graphs": {}, "names": {}}
    for model in MODELS:
        file = zoo.load(model).file
        content = file.read_bytes()
        facts["models"][model] = hashlib.sha256(content).hexdigest()
        whole = onnx.load(str(file))
        for precision, proto in (("fp32", whole), ("fp16", graph_variants.half(whole))):
            facts["graphs"][f"{model}/{precision}"] = _described(graph_of(proto), content, arrays)
        renderer = NeuralRenderer(model, "onnxruntime:fp32", (width, height), postprocess=False)
        for number, frame in enumerate(frames):
            tensors = renderer.encode(frame).tensors
            facts["names"][model] = list(tensors)
            for name, array in tensors.items():
                shared = arrays.setdefault(f"{number}/{name}", array.copy())
                if not np.array_equal(shared, array):
                    arrays[f"{model}/{number}/{name}"] = array.copy()
            arrays[f"{model}/{number}/image"] = renderer.run_graph(tensors).copy()
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    size = path.stat().st_size
    if size > MOST:
        raise ValueError(f"{path} has {size >> 20} MiB, more than {MOST >> 20}: pack fewer or smaller frames")
    return size


def _described(graph: Any, content: bytes, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return a graph as JSON; ``arrays`` receives what is neither in the model's file nor small."""

    def place(array: np.ndarray) -> dict[str, Any]:
        raw = array.tobytes()
        at = content.find(raw) if len(raw) > _SMALL else -1
        if at >= 0:
            return {"at": at, "dtype": array.dtype.str, "shape": list(array.shape)}
        key = f"weight/{hashlib.sha256(raw).hexdigest()[:16]}/{array.dtype.str[1:]}/{'x'.join(map(str, array.shape))}"
        arrays[key] = array
        return {"stored": key}

    def value(entry: Any) -> Any:
        return place(entry) if isinstance(entry, np.ndarray) else entry

    return {
        "inputs": [list(port) for port in graph.inputs],
        "outputs": graph.outputs,
        "nodes": [[*node[:4], {key: value(entry) for key, entry in node.attributes.items()}] for node in graph.nodes],
        "weights": {name: place(array) for name, array in graph.weights.items()},
    }


def resized(inputs: Inputs, height: int, width: int) -> Inputs:
    """Return the inputs at another size, by the nearest pixel: for timing, not for its looks."""
    old_height, old_width = inputs["tag"].shape
    rows, columns = np.arange(height) * old_height // height, np.arange(width) * old_width // width

    def fitted(value: np.ndarray) -> np.ndarray:
        return value[rows][:, columns] if value.shape[:2] == (old_height, old_width) else value

    return {name: np.ascontiguousarray(fitted(value)) for name, value in inputs.items()}


def cycle(inputs: list[Inputs]) -> Iterator[Inputs]:
    """Yield the inputs over and over, forth and back, so that successive frames stay neighbours."""
    while True:
        yield from inputs
        yield from inputs[-2:0:-1]
