"""PyTorch on a GPU, as far as it can be followed without one: stand-ins record streams, graphs and pinned memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="these are tests of its sessions")

import torch
from torch.overrides import TorchFunctionMode

from neuralsim import zoo
from neuralsim.runtimes import candidates, cuda_driver, torch_

GRAPH = zoo.load(zoo.DEFAULT).file
RTX_40 = cuda_driver.Gpu("NVIDIA GeForce RTX 4060", 8 << 30, "550.54", (12, 4), (8, 9))


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is done on streams and with pinned memory, in order."""
    done: list[Any] = []

    class Stream:
        def __init__(self, name: str = "side") -> None:
            self.name = name

        def wait_stream(self, other: Stream) -> None:
            done.append((self.name, "waits for", other.name))

        def synchronize(self) -> None:
            done.append((self.name, "is finished"))

    class Graph:
        def replay(self) -> None:
            done.append("replay")

    @contextlib.contextmanager
    def inside(what: Any) -> Iterator[None]:
        done.append(("begin", type(what).__name__))
        yield
        done.append(("end", type(what).__name__))

    current = Stream("current")
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: current)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "stream", inside)
    monkeypatch.setattr(torch.cuda, "graph", inside)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: done.append("synchronize"))

    def pinned(tensor: Any) -> Any:
        copy = tensor.clone()
        done.append(("pinned", copy.data_ptr()))
        return copy

    monkeypatch.setattr(torch.Tensor, "pin_memory", pinned)
    return done


def test_the_warm_up_waits_for_the_stream_that_fills_the_buffers(events: list[Any]) -> None:
    """Else a graph may be warmed up on, and look up by, what was in the memory before."""
    session: Any = torch_.load(GRAPH, 64, 64, 1, "fp32")
    session._run = lambda turn: events.append(("run", turn))
    session._capture()
    runs = [k for k, event in enumerate(events) if event[0] == "run"]
    assert events.index(("side", "waits for", "current")) < runs[0]
    assert runs[2] < events.index(("current", "waits for", "side")) < runs[3], "and the capture for the warm-up"
    assert len(session._graphs) == 2


class Copies(TorchFunctionMode):
    """Records the tensors that are copied, and moves to a device."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[tuple[int, int]] = []  # to, from
        self.moves = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.copy_:
            self.copies.append((args[0].data_ptr(), args[1].data_ptr()))
        self.moves += func is torch.Tensor.to and "cuda" in str(args)
        return func(*args, **(kwargs or {}))


def test_peers_are_fed_from_pinned_memory_as_ours(events: list[Any], tmp_path: Path) -> None:
    """Of ``benchmarks.gpu``'s peers: bytes travel to and from the device by pinned places that stay the same."""
    from benchmarks import peer_graphs

    graph = peer_graphs.write("hypergan", tmp_path, 32, 64)
    session: Any = torch_.load_stateless(graph, 1, "fp32")
    session._captures = True
    inputs = {"input": np.random.default_rng(0).standard_normal((1, 3, 32, 64), np.float32)}
    session.run(inputs)
    pinned = {event[1] for event in events if event[0] == "pinned"}
    assert len(pinned) == len(inputs) + len(session._outputs)
    with Copies() as seen:
        (image,) = session.run(inputs).values()
    for to, source in seen.copies:
        assert to in pinned or source in pinned, "a copy of pageable memory to the device"
    assert len(seen.copies) == 2 * len(inputs) + len(session._outputs)
    assert image.ctypes.data in pinned
    assert events[-2:] == ["replay", ("current", "is finished")]


def test_fp32_on_a_gpu_is_not_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the reference of all parity tests; PyTorch's own default lets cuDNN round to ten bits."""

    class Module:
        def to(self, device: Any) -> Module:
            return self

        def eval(self) -> Module:
            return self

        def named_buffers(self) -> list[Any]:
            return []

    kinds = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [kind.allow_tf32 for kind in kinds], torch.backends.cudnn.benchmark
    try:
        for kind in kinds:
            kind.allow_tf32 = True
        torch_._on_device(Module(), torch.device("cuda"), False)  # type: ignore[arg-type]
        assert [kind.allow_tf32 for kind in kinds] == [False, False]
    finally:
        for kind, value in zip(kinds, before[0], strict=True):
            kind.allow_tf32 = value
        torch.backends.cudnn.benchmark = before[1]


@pytest.mark.parametrize(("built", "reason"), [((12, 8), ""), ((13, 0), "install driver 580"), (None, "processors")])
def test_pytorch_needs_the_driver_of_its_own_cuda(
    monkeypatch: pytest.MonkeyPatch, own_cache: Path, built: tuple[int, int] | None, reason: str
) -> None:
    """With driver 550 a build for CUDA 12 runs, one for CUDA 13 does not."""
    monkeypatch.setattr(cuda_driver, "gpu", lambda: RTX_40)
    monkeypatch.setattr(candidates, "torch_cuda", lambda: built)
    found = candidates.candidates(GRAPH, 64, 64)["torch"]
    assert reason in found
    assert bool(found) == bool(reason)


@pytest.mark.slow
def test_a_step_that_runs_out_of_memory_is_passed_over(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    """By ``auto``: PyTorch fails in its first step, long after it was loaded."""
    from neuralsim.renderer.neural_renderer import NeuralRenderer

    def step(self: Any, inputs: Any) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20 MiB")

    monkeypatch.setattr(torch_.TorchSession, "step", step)
    monkeypatch.setattr(cuda_driver, "gpu", lambda: RTX_40)
    monkeypatch.setattr(candidates, "torch_cuda", lambda: (12, 8))
    renderer = NeuralRenderer(size=(64, 64), threads=1)
    assert not renderer.runtime.startswith("torch")
    assert "CUDA out of memory" in renderer.warning
    assert "\n" not in renderer.warning
