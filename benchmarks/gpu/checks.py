"""The checks: each returns what it saw, as JSON, or raises; :class:`Skip` where something that it needs is missing."""

import contextlib
import gc
import importlib.metadata
import io
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu import packed
from benchmarks.gpu.measures import milliseconds, parts, psnr
from neuralsim.runtimes import cuda_driver, torch_
from neuralsim.runtimes.interface import ModelSession

LEAST = {"fp32": 45.0, "fp16": 36.0, "bf16": 36.0, "fp16-compiled": 36.0}  # dB
#: Runtimes that are tried, with the packages that they need besides PyTorch.
GPU_RUNTIMES = {
    "torch:fp32": (), "torch:bf16": (), "torch:fp16": (), "torch:fp16-compiled": (),
    "onnxruntime:cuda-fp32": ("onnx", "onnxruntime"), "onnxruntime:cuda": ("onnx", "onnxruntime"),
    "tensorrt:fp32": ("onnx", "tensorrt"), "tensorrt:fp16": ("onnx", "tensorrt"),
}  # fmt: skip
CPU_RUNTIMES: dict[str, tuple[str, ...]] = {
    "torch:fp32": (), "torch:bf16": (), "onnxruntime:fp32": ("onnx", "onnxruntime"), "openvino:fp32": ("openvino",),
}  # fmt: skip
_PACKAGES = (
    "numpy", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino",
    "tensorrt-cu13", "cuda-python", "av", "pydantic", "numba", "opencv-python-headless",
)  # fmt: skip


class Skip(Exception):
    """A check, or a part of one, cannot be done here; the message says why, in one line."""


@dataclass
class Machine:
    """What the checks run on and with."""

    pack: packed.Pack
    device: str  # "cuda" or "cpu"
    sizes: list[tuple[int, int]]  # width, height, px
    steps: int  # of a measurement
    models: tuple[str, ...] = packed.MODELS

    @property
    def runtimes(self) -> dict[str, tuple[str, ...]]:
        return GPU_RUNTIMES if self.device == "cuda" else CPU_RUNTIMES

    def need(self, runtime: str) -> None:
        """Raise Skip where what a runtime needs is not installed; other reasons against it are failures."""
        missing = [name for name in self.runtimes.get(runtime, ()) if not find_spec(name)]
        if missing:
            raise Skip(f"{', '.join(missing)} is not installed")
        name, _, precision = runtime.partition(":")
        if name == "torch":
            return
        from neuralsim.runtimes import loading

        reason = loading.unavailable_reason(name)
        if name == "onnxruntime" and precision.startswith("cuda"):
            from neuralsim.runtimes.onnxruntime_gpu import cuda

            reason = cuda.unavailable_reason()
        if reason.startswith("not installed"):
            raise Skip(reason)

    def load(self, model: str, runtime: str, width: int, height: int) -> ModelSession:
        """Return a session, with PyTorch from the pack. Raises Skip, RuntimeUnavailable."""
        self.need(runtime)
        name, _, precision = runtime.partition(":")
        if name != "torch":
            from neuralsim.runtimes import loading

            return loading.load(runtime, self.pack.file(model), height, width, None)
        graph = self.pack.graph(model, "fp32" if precision == "fp32" else "fp16")
        return torch_.session_of(graph, height, width, precision)


def each(names: Iterator[str] | list[str], task: Callable[[str], Any]) -> dict[str, Any]:
    """Return the result of a task by name; a failure is a line in its place and ends nothing."""
    results: dict[str, Any] = {}
    for name in names:
        try:
            results[name] = task(name)
        except Skip as skip:
            results[name] = f"skipped: {skip}"
        except Exception as error:  # each library has its own
            results[name] = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return results


def close(session: ModelSession) -> None:
    """Give back what a session holds on the device, if it can."""
    getattr(session, "close", lambda: None)()


def versions(machine: Machine) -> dict[str, Any]:
    """Report the machine, its GPU and the packages."""

    def version(name: str) -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    facts: dict[str, Any] = {"python": platform.python_version(), "system": platform.platform()}
    try:
        gpu = cuda_driver.gpu()
        facts |= {"gpu": gpu.name, "memory": f"{gpu.memory >> 20} MiB", "driver": gpu.driver}
        facts |= {name: ".".join(map(str, pair)) for name, pair in (("cuda", gpu.cuda), ("capability", gpu.capability))}
    except cuda_driver.NoGpu as error:
        facts["gpu"] = str(error)
    facts |= {"torch's CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version())}
    return facts | {name: version(name) for name in _PACKAGES}


def round_trips(machine: Machine) -> dict[str, Any]:
    """Send bytes to the device and back, by cuda-python in streams and a captured graph, and by PyTorch."""

    def bindings(name: str) -> str:
        if not find_spec("cuda") or machine.device == "cpu":
            raise Skip("it needs cuda-python and a GPU")
        from neuralsim.runtimes.tensorrt import cuda_runtime

        buffers, up, down = cuda_runtime.Buffers(), cuda_runtime.Stream(), cuda_runtime.Stream()
        source, target = (buffers.pinned((1 << 20,), np.dtype(np.uint8)) for _ in (0, 1))
        place, graphs = buffers.device(1 << 20), list[Any]()
        down.download(target, place)
        down.finish()
        assert not target.any(), "memory of the device does not start with zeros"
        source[:] = np.arange(1 << 20) % 251
        up.upload(place, source)
        down.after(up)
        down.download(target, place)
        down.finish()
        assert np.array_equal(source, target), "bytes have changed"
        with up.captured(graphs):
            up.upload(place, source)
        source[:] = 7
        up.launch(graphs[0])
        down.after(up)
        down.download(target, place)
        down.finish()
        assert (target == 7).all(), "a captured graph does not copy again"
        cuda_runtime.destroy_graph(graphs[0])
        up.close()
        down.close()
        buffers.free()
        return "as sent, also by a captured graph"

    def by_torch(name: str) -> str:
        source = torch.arange(1 << 20, dtype=torch.int32)
        back = source.to(machine.device).cpu()
        assert torch.equal(source, back), "numbers have changed"
        return f"as sent, by {machine.device}"

    return each(["cuda-python"], bindings) | each(["torch"], by_torch)


def kernels(machine: Machine) -> dict[str, Any]:
    """Compare operators in doubt on the device with the processor: the largest difference."""
    from neuralsim.runtimes.torch_operators import OPERATORS

    generator = torch.Generator().manual_seed(0)
    image = torch.rand((1, 3, 64, 96), generator=generator)
    grid = torch.rand((1, 48, 80, 2), generator=generator) * 2.6 - 1.3
    whole = torch.randint(0, 60_000, (64, 96), generator=generator, dtype=torch.int64)
    cases: dict[str, Callable[[Any], torch.Tensor]] = {}
    for mode in ("bilinear", "bicubic"):
        for padding in ("border", "zeros"):
            for corners in (0, 1):
                cases[f"GridSample {mode} {padding} {corners}"] = lambda to, m=mode, p=padding, c=corners: OPERATORS[  # type: ignore[misc]
                    "GridSample"
                ](to(image), to(grid), mode=m, padding_mode=p, align_corners=c)
    cases |= {
        "AveragePool": lambda to: OPERATORS["AveragePool"](to(image), kernel_shape=[3, 3], strides=[1, 1]),
        "MaxPool": lambda to: OPERATORS["MaxPool"](to(image), kernel_shape=[3, 3], strides=[1, 1]),
        "Mod": lambda to: OPERATORS["Mod"](to(whole), to(torch.tensor(37))).float(),
        "u16 as float": lambda to: to(whole.to(torch.uint16)).float(),
        "Gather": lambda to: OPERATORS["Gather"](to(image), to(whole[0] % 3), axis=1),
    }

    def difference(name: str) -> float:
        here, there = (cases[name](lambda value, d=d: value.to(d)) for d in ("cpu", machine.device))  # type: ignore[misc]
        largest = float((here - there.cpu()).abs().max())
        assert largest < 1e-4, f"differs by {largest:.2g}"
        return largest

    return each(list(cases), difference)


def parity(machine: Machine) -> dict[str, Any]:
    """Compare each runtime and precision with the stored images, each step from the processor's state: worst dB."""

    def of_model(model: str) -> dict[str, Any]:
        sequence, count = machine.pack.sequence(model), 8 if machine.device == "cuda" else 3
        height, width = sequence.images[0].shape[:2]
        reference, states = machine.load(model, "torch:fp32", width, height), []
        for inputs in sequence.inputs[:count]:
            states.append(reference.state())
            reference.step(inputs)

        def worst(runtime: str) -> dict[str, Any]:
            session = machine.load(model, runtime, width, height)
            values = []
            for inputs, image, state in zip(sequence.inputs, sequence.images, states, strict=False):
                session.restore(state)
                values.append(psnr(session.step(inputs), image))
            name = session.name
            close(session)
            least = LEAST.get(runtime.partition(":")[2].removeprefix("cuda-").replace("cuda", "fp16"), 36.0)
            assert min(values) >= least, f"{name}: {min(values)} dB, at least {least}"
            return {"ran as": name, "worst dB": min(values), "at least": least}

        return each(list(machine.runtimes), worst)

    return each(list(machine.models), of_model)


def rollout(machine: Machine) -> dict[str, Any]:
    """Let each runtime run on its own state: dB of the last image against the stored one."""

    def of_model(model: str) -> dict[str, Any]:
        sequence = machine.pack.sequence(model)
        count = len(sequence.inputs) if machine.device == "cuda" or model == machine.models[0] else 4
        height, width = sequence.images[0].shape[:2]

        def last(runtime: str) -> dict[str, Any]:
            session = machine.load(model, runtime, width, height)
            for inputs in sequence.inputs[:count]:
                image = session.step(inputs)
            value = psnr(image, sequence.images[count - 1])
            close(session)
            assert value >= 30.0, f"{value} dB after {count} steps"
            return {"steps": count, "dB": value}

        return each(list(machine.runtimes), last)

    return each(list(machine.models), of_model)


def latency(machine: Machine) -> dict[str, Any]:
    """Measure a whole step by runtime and size, ms: bytes up, graph, image down; its parts, and what is around it."""
    results: dict[str, Any] = {}
    for width, height in machine.sizes:
        for model in machine.models:
            inputs = [packed.resized(one, height, width) for one in machine.pack.sequence(model).inputs[:4]]

            def timed(
                runtime: str, model: str = model, inputs: list[packed.Inputs] = inputs, w: int = width, h: int = height
            ) -> dict[str, Any]:
                session, source = machine.load(model, runtime, w, h), packed.cycle(inputs)
                times: dict[str, Any] = milliseconds(lambda: session.step(next(source)), machine.steps)
                close(session)
                return times

            def inside(
                runtime: str, model: str = model, inputs: list[packed.Inputs] = inputs, w: int = width, h: int = height
            ) -> dict[str, Any]:
                session = machine.load(model, runtime, w, h)
                assert isinstance(session, torch_.TorchSession)
                for one in inputs:
                    session.step(one)
                return parts(session, machine.steps)

            results[f"{model} {width}x{height}"] = each(list(machine.runtimes), timed)
            eager = [name for name in machine.runtimes if name in ("torch:fp32", "torch:fp16")]
            results[f"parts of {model} {width}x{height}"] = each(eager, inside)
        results[f"around the graph {width}x{height}"] = each(
            ["copies", "encode and postprocess"],
            partial(_around, inputs=inputs[0], device=machine.device, steps=machine.steps),
        )
    return results


def _around(name: str, inputs: packed.Inputs, device: str, steps: int) -> dict[str, Any]:
    """Measure the copies of a step by themselves, from and to pinned memory, or what precedes and follows the graph."""
    height, width = inputs["tag"].shape
    if name == "copies":
        pin = device == "cuda"
        sources = [
            torch.from_numpy(value).pin_memory() if pin else torch.from_numpy(value) for value in inputs.values()
        ]
        image = torch.zeros((height, width, 3), dtype=torch.uint8, device=device)
        target = torch.zeros_like(image, device="cpu").pin_memory() if pin else torch.zeros_like(image)
        places = [value.to(device) for value in sources]

        def up() -> None:
            for place, source in zip(places, sources, strict=True):
                place.copy_(source, non_blocking=True)
            if pin:
                torch.cuda.synchronize()

        return {"inputs up": milliseconds(up, steps), "image down": milliseconds(lambda: target.copy_(image), steps)}
    try:
        from neuralsim.renderer.neural_renderer import NeuralRenderer
        from neuralsim.town.town_drive import TownDrive
    except ImportError as error:
        raise Skip(f"{error.name} is not installed") from None
    town = TownDrive(width, height, vehicles=8, walkers=4)
    town.ride()
    frame, renderer = town.next_frame(), NeuralRenderer(size=(width, height))
    generated = renderer.generate(frame)
    return {
        "encode": milliseconds(lambda: renderer.encode(frame), steps),
        "postprocess": milliseconds(lambda: renderer.postprocess(generated), steps),
    }


def auto(machine: Machine) -> dict[str, Any]:
    """Let ``auto`` choose for both models, and report why it passed over the others."""
    if not find_spec("onnx") or not find_spec("psutil"):
        raise Skip("onnx or psutil is not installed")
    from neuralsim import runtimes
    from neuralsim.runtimes.candidates import candidates

    def of_model(model: str) -> dict[str, Any]:
        sequence, graph = machine.pack.sequence(model), machine.pack.file(model)
        height, width = sequence.images[0].shape[:2]
        session = runtimes.create("auto", graph, height, width, example=sequence.inputs[0])
        facts = {"runs": session.name, "note": session.note, "warning": session.warning}
        close(session)
        return facts | {"candidates": candidates(graph, height, width)}

    return each(list(machine.models), of_model)


def faults(machine: Machine) -> dict[str, Any]:
    """Fill the memory, load twenty times, and let a step fail: what comes after must work."""
    model = machine.models[0]
    sequence = machine.pack.sequence(model)
    height, width = sequence.images[0].shape[:2]

    def filled(name: str) -> str:
        if machine.device == "cpu":
            raise Skip("it needs a GPU")
        blocks, size = [], 1 << 30
        while size >= 1 << 20:
            try:
                blocks.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
            except torch.cuda.OutOfMemoryError:
                size >>= 1
        try:
            machine.load(model, "torch:fp16", 2048, 1024)
            outcome = "loads even so"
        except Exception as error:
            outcome = f"{type(error).__name__}, in one line: {' '.join(str(error).split())[:80]}"
        del blocks
        torch.cuda.empty_cache()
        machine.load(model, "torch:fp16", width, height).step(sequence.inputs[0])
        return f"{outcome}; works again afterwards"

    def twenty(name: str) -> str:
        count, after = (20, 3) if machine.device == "cuda" else (4, 1)
        used = []
        for _ in range(count):
            session = machine.load(model, "torch:fp16" if machine.device == "cuda" else "torch:fp32", width, height)
            session.step(sequence.inputs[0])
            close(session)
            del session
            gc.collect()
            used.append(torch.cuda.memory_allocated() if torch.cuda.is_available() else 0)
        assert used[-1] <= used[after] + (8 << 20), f"memory grows: {used[after]} to {used[-1]} bytes"
        return f"{count} loads, {(used[-1] - used[after]) >> 10} KiB more in use at the end"

    def failing(name: str) -> str:
        session = machine.load(model, "torch:fp16" if machine.device == "cuda" else "torch:fp32", width, height)
        broken = dict(sequence.inputs[0], depth=np.zeros((3, 5), np.float32))
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # PyTorch prints the module's source as well
                session.step(broken)
        except Exception as error:
            kind = type(error).__name__
        else:
            raise AssertionError("a depth of 5x3 pixels is taken")
        session.reset()
        value = psnr(session.step(sequence.inputs[0]), sequence.images[0])
        assert value >= LEAST["fp16"], f"{value} dB after an exception"
        return f"{kind}; {value} dB in the next step"

    return each(["memory filled"], filled) | each(["loads"], twenty) | each(["exception in a step"], failing)


def peers(machine: Machine) -> dict[str, Any]:
    """Measure other papers' generators by the same runtimes, from pinned memory or fixed places as ours, ms."""
    if not find_spec("onnx"):
        raise Skip("onnx is not installed")
    import tempfile

    from benchmarks import peer_graphs
    from neuralsim.runtimes import loading

    width, height = machine.sizes[0]

    def of_runtime(runtime: str) -> dict[str, Any]:
        machine.need(runtime)
        name, _, precision = runtime.partition(":")
        times: dict[str, Any] = {}
        with tempfile.TemporaryDirectory(prefix="neuralsim-peers-") as folder:
            for peer in islice(peer_graphs.PEERS, None if machine.device == "cuda" else 1):
                graph = peer_graphs.write(peer, Path(folder), height, width)
                session = loading.stateless(name, graph, precision=precision or None)
                rng = np.random.default_rng(0)
                feeds = {key: rng.standard_normal(shape, np.float32) for key, shape in session.inputs.items()}
                times[peer] = milliseconds(lambda s=session, f=feeds: s.run(f), machine.steps)  # type: ignore[misc]
                graph.unlink()
        return times

    return each([name for name in machine.runtimes if "compiled" not in name], of_runtime)


#: In the order of the page; what takes longest is last.
ALL: dict[str, Callable[[Machine], dict[str, Any]]] = {
    "versions": versions,
    "round trips": round_trips,
    "kernels in doubt": kernels,
    "parity with the processor": parity,
    "own state": rollout,
    "auto": auto,
    "faults": faults,
    "latency": latency,
    "peers": peers,
}
