"""ONNX Runtime on a GPU, as far as it runs without one: graph variants, places on a device, refusals in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from bridge.messages import Frame
from neuralsim import runtimes, zoo
from neuralsim.cli import app
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.runtimes import RuntimeUnavailable, candidates, cuda_driver, fallback, graph_variants, int8
from neuralsim.runtimes.onnxruntime_gpu import cuda
from neuralsim.runtimes.onnxruntime_gpu.device_session import DeviceSession, DeviceStateless
from neuralsim.runtimes.onnxruntime_session import quiet_session
from neuralsim.runtimes.tensorrt import engines as tensorrt_engines
from neuralsim.runtimes.tensorrt import runtime as tensorrt_
from neuralsim.town.town_drive import TownDrive

WIDTH, HEIGHT = 128, 64
GRAPH = zoo.load(zoo.DEFAULT).file
RTX_40 = cuda_driver.Gpu("NVIDIA GeForce RTX 4060", 8 << 30, "580.65", (13, 0), (8, 9))


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    town = TownDrive(WIDTH, HEIGHT)
    town.ride()
    return [town.next_frame() for _ in range(3)]


@pytest.fixture
def cuda_build(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Iterator[None]:
    """An onnxruntime-gpu and a GPU, as far as one can ask for them; the provider itself is not there."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: [cuda.PROVIDER, "CPUExecutionProvider"])
    monkeypatch.setattr(cuda_driver, "gpu", lambda: RTX_40)
    monkeypatch.setattr(cuda, "DEVICE", ("cpu", 0))
    real = candidates.installed
    monkeypatch.setattr(candidates, "installed", lambda name: "1.31" if name == "onnxruntime-gpu" else real(name))
    cuda._preload.cache_clear()
    yield
    cuda._preload.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("model", [zoo.DEFAULT, zoo.BEST])
@pytest.mark.parametrize("target", ["cuda", "tensorrt"])
def test_variants_for_a_gpu_generate_the_same_at_fixed_places(
    own_cache: Path, frames: list[Frame], model: str, target: str
) -> None:
    """On the processor, where ONNX Runtime has the operators of com.microsoft too; state stays at its place."""
    graph = zoo.load(model).file
    file = graph_variants.sized(graph, target, "fp32", (HEIGHT, WIDTH))
    samples = [node for node in onnx.load(str(file)).graph.node if node.op_type == "GridSample"]
    assert {node.domain for node in samples} == {"com.microsoft" if target == "cuda" else ""}
    assert len(samples) == 9
    session = DeviceSession(DeviceStateless(quiet_session(str(file), 1), "x", ("cpu", 0)), HEIGHT, WIDTH)
    reference = runtimes.create("onnxruntime:fp32", graph, HEIGHT, WIDTH, threads=1)
    renderer = NeuralRenderer(model, "onnxruntime:fp32", (WIDTH, HEIGHT), threads=1)
    for frame in frames:
        inputs = renderer.encode(frame).tensors
        assert np.abs(session.step(inputs).astype(int) - reference.step(inputs)).max() <= 1
    for name, value in reference.state().items():
        assert np.abs(session.state()[name] - value).max() < 1e-4
    assert np.abs(session.state()["past_rgb"]).max() > 0.1
    session.edit_past(lambda past: past.fill(0.25))
    assert (session.state()["past_rgb"] == 0.25).all()
    session.reset()
    assert not session.state()["past_rgb"].any()


@pytest.mark.slow
def test_cuda_that_does_not_load_is_an_error_where_it_is_named_and_one_line_in_auto(
    cuda_build: None, frames: list[Frame]
) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"its provider does not load.*pip install") as caught:
        runtimes.create("onnxruntime:cuda", GRAPH, HEIGHT, WIDTH)
    assert "\n" not in str(caught.value)
    session = runtimes.create("onnxruntime", GRAPH, HEIGHT, WIDTH)
    assert session.name == "onnxruntime fp32", "never fp16 on the processor in silence"
    assert session.warning.endswith("running on onnxruntime fp32 instead")
    assert candidates.candidates(GRAPH, HEIGHT, WIDTH)["onnxruntime:cuda"] == ""
    inputs = NeuralRenderer(runtime="openvino", size=(WIDTH, HEIGHT), threads=1).encode(frames[0]).tensors
    chosen = fallback.load_fastest(GRAPH, HEIGHT, WIDTH, 1, inputs)
    assert "its provider does not load" in chosen.warning
    assert "\n" not in chosen.warning


def test_libraries_of_cuda_are_loaded_before_a_session_and_missing_ones_are_named(
    cuda_build: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``onnxruntime-gpu`` finds those of its extras only after ``preload_dlls``."""
    order: list[str] = []

    def preload() -> None:
        order.append("libraries")
        print("Failed to load libcublas.so.13: no such file\nFailed to load libcudnn.so.9: no such file")

    whole = ort.InferenceSession

    def opened(*arguments: Any, **options: Any) -> ort.InferenceSession:
        order.append("session")
        return whole(arguments[0], arguments[1], providers=["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "preload_dlls", preload, raising=False)
    monkeypatch.setattr(ort, "InferenceSession", opened)
    with pytest.raises(RuntimeUnavailable, match=r"cannot load libcublas.so.13, libcudnn.so.9: pip install.*3\.11"):
        runtimes.create("onnxruntime:cuda", GRAPH, HEIGHT, WIDTH)
    assert order == ["libraries", "session"]


def test_peers_have_fixed_places_on_the_device_as_ours(cuda_build: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "create", lambda file, options: quiet_session(str(file), 1))
    ours: Any = runtimes.create("onnxruntime:cuda-fp32", GRAPH, HEIGHT, WIDTH)
    sized = graph_variants.sized(GRAPH, "cuda", "fp32", (HEIGHT, WIDTH))
    assert type(runtimes.stateless("onnxruntime", sized, precision="cuda-fp32")) is type(ours._graph) is DeviceStateless


def test_cuda_of_another_major_version_than_the_driver_is_passed_over(
    cuda_build: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_driver, "gpu", lambda: replace(RTX_40, driver="550.54", cuda=(12, 4)))
    monkeypatch.setattr(cuda, "_built_for", lambda: (13, 0))
    assert "install driver 580" in candidates.candidates(GRAPH, HEIGHT, WIDTH)["onnxruntime:cuda"]
    monkeypatch.setattr(cuda, "_built_for", lambda: (12, 8))
    assert cuda.unavailable_reason() == "", "a cu12 build needs no driver of CUDA 13"


def test_options_that_are_refused_are_passed_over(cuda_build: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, str]] = []

    def create(file: Path, options: dict[str, str]) -> ort.InferenceSession:
        tried.append((options["enable_cuda_graph"], options["prefer_nhwc"]))
        assert options["use_tf32"] == "0"
        if options["enable_cuda_graph"] == "1":
            raise ValueError("This session cannot use the graph capture feature")
        return quiet_session(str(file), 1)

    monkeypatch.setattr(cuda, "create", create)
    session = runtimes.create("onnxruntime:cuda-fp32", GRAPH, HEIGHT, WIDTH)
    assert tried == [("1", "1"), ("1", "0"), ("0", "1")]
    assert session.name == "onnxruntime fp32 on cuda without CUDA graph"


def test_the_provider_that_could_not_work_is_gone_and_unknown_ones_are_named() -> None:
    for precision, message in (("tensorrt", "was removed"), ("fp8", "it has fp32, fp16, int8, cuda")):
        with pytest.raises(RuntimeUnavailable, match=message):
            runtimes.create(f"onnxruntime:{precision}", GRAPH, HEIGHT, WIDTH)


def test_int8_weights_for_tensorrt_are_floats_that_are_rounded_to_the_same_integers() -> None:
    half = graph_variants.half(onnx.load(str(int8.quantised(GRAPH))))
    model = graph_variants.for_tensorrt(half, HEIGHT, WIDTH)
    stored, expected = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in one.graph.initializer} for one in (model, half)
    )
    producer = {name: node for node in model.graph.node for name in node.output}
    before = {node.output[0]: node for node in half.graph.node if node.op_type == "DequantizeLinear"}
    weights = 0
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        rounding = producer[node.input[0]]
        assert rounding.op_type == "QuantizeLinear"
        integers = expected.get(before[node.output[0]].input[0])
        if integers is not None:
            weights += 1
            scale = stored[rounding.input[1]].reshape(-1, 1, 1, 1)
            assert stored[rounding.input[0]].dtype == scale.dtype == np.float16
            exact = stored[rounding.input[0]].astype(np.float32) / scale.astype(np.float32)
            assert np.array_equal(np.rint(exact), integers)
    assert weights > 5


def test_tensorrt_starts_from_zeros_and_gives_everything_back(gpu: object, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_runtime: Any = import_module("neuralsim.runtimes.tensorrt.cuda_runtime")
    cudart: Any = import_module("cuda.bindings.runtime")
    buffers = cuda_runtime.Buffers()
    assert not any(cudart.memory[buffers.device(64)])
    assert not buffers.pinned((16,), np.dtype(np.float32)).any()
    buffers.free()
    session: Any = runtimes.create("tensorrt", GRAPH, HEIGHT, WIDTH)
    session.close()
    assert session._engine._engine is session._engine._runtime is None
    made, real = [], cudart.cudaStreamCreateWithFlags

    def third_fails(flags: int) -> tuple[Any, ...]:
        made.append(flags)
        return real(flags) if len(made) < 3 else (cudart.cudaError_t.cudaErrorMemoryAllocation, None)

    monkeypatch.setattr(cudart, "cudaStreamCreateWithFlags", third_fails)
    with pytest.raises(RuntimeUnavailable, match="too little GPU memory"):
        runtimes.create("tensorrt", GRAPH, HEIGHT, WIDTH)
    assert not cudart.streams
    assert not cudart.memory


def test_other_packages_named_cuda_and_broken_libraries_are_one_line(
    gpu: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = tensorrt_engines.EngineFacts.here(GRAPH, HEIGHT, WIDTH, "fp16")
    tensorrt_engines.write(facts, b"PLAN")
    monkeypatch.setitem(import_module("sys").modules, "neuralsim.runtimes.tensorrt.cuda_runtime", None)
    with pytest.raises(RuntimeUnavailable, match="tensorrt: cannot be imported") as caught:
        runtimes.create("tensorrt", GRAPH, HEIGHT, WIDTH)
    assert "\n" not in str(caught.value)
    whole = util.find_spec
    monkeypatch.setattr(tensorrt_, "find_spec", lambda name: None if name.startswith("cuda.bindings") else whole(name))
    assert tensorrt_.unavailable_reason().startswith("not installed")


def test_one_gpu_of_several_is_chosen_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    cuda_driver.choose(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-5"
    with pytest.raises(cuda_driver.NoGpu, match="--gpu 1"):
        cuda_driver.choose(1)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    cuda_driver.choose(3)
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["CUDA_DEVICE_ORDER"]) == ("3", "PCI_BUS_ID")


def test_every_command_that_renders_takes_a_gpu_and_chooses_it_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The choice is in the environment, so that runtimes, encoders and child processes all follow it."""
    for name, command in app.COMMANDS.items():
        fields = app._import(command.options).model_fields
        assert "gpu" in fields or not {"runtime", "runtimes"} & fields.keys(), name
    seen: list[str] = []
    whole = app._import

    def imported(path: str) -> Any:
        return (
            (lambda options: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]) or 0)
            if "doctor:doctor" in path
            else whole(path)
        )

    monkeypatch.setattr(app, "_import", imported)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert app.main(["doctor", "--gpu", "2"]) == 1
    assert "--gpu 2: CUDA_VISIBLE_DEVICES allows 2" in capsys.readouterr().err
    assert app.main(["doctor", "--gpu", "1"]) == 0
    assert seen == ["5"]
