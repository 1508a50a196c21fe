"""Runtimes: the fastest is measured and remembered, and everything missing or broken is one line."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.frames import street
from helpers.tensorrt_operators import unsupported

from neuralsim import runtimes, zoo
from neuralsim.cli import main
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.runtimes import (
    RuntimeUnavailable,
    autotune,
    cache,
    cuda_driver,
    fallback,
    graph_variants,
)
from neuralsim.runtimes.candidates import candidates, torch_cuda
from neuralsim.runtimes.openvino import runtime as openvino
from neuralsim.runtimes.tensorrt import engines as tensorrt_engines
from neuralsim.runtimes.tensorrt import runtime as tensorrt_

WIDTH, HEIGHT = 256, 128
GRAPH = zoo.load(zoo.DEFAULT).file


@pytest.mark.parametrize("model", [zoo.DEFAULT, zoo.BEST])
def test_fp16_is_only_where_colours_and_features_are(model: str) -> None:
    """Nothing that leads to a sampling position, a depth or a world point is halved; nearly all convolutions are.

    In ``street`` convolutions correct sampling positions: what they add may be halved, the positions may not.
    """
    whole = onnx.load(str(zoo.load(model).file))
    half = graph_variants.half(whole)
    inferred = [onnx.shape_inference.infer_shapes(each).graph for each in (whole, half)]
    before, types = ({port.name: port.type.tensor_type.elem_type for port in graph.value_info} for graph in inferred)
    producer = {name: node for node in half.graph.node for name in node.output}
    halved = onnx.TensorProto.FLOAT16
    convolutions = [node for node in half.graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all(types.get(node.output[0], halved) == halved for node in convolutions)
    pending = [name for node in half.graph.node if node.op_type == "GridSample" for name in node.input[1:]]
    assert len(pending) >= 4
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        node = producer.get(name)
        if name in seen or node is None or node.op_type == "Conv":
            continue
        seen.add(name)
        same = before.get(name) == halved  # as the input comes
        assert same or types.get(name) != halved, f"{name} is fp16 and leads to a sampling position"
        pending += node.input


def test_the_graph_is_within_what_tensorrt_documents() -> None:
    model = onnx.load(str(GRAPH))
    assert any("UINT16" in line for line in unsupported(model)), "the check must see what is really there"
    for precision in (model, graph_variants.half(model)):
        assert unsupported(graph_variants.for_tensorrt(precision, HEIGHT, WIDTH)) == []
    node = onnx.helper.make_node("Resize", ["x", "", "s"], ["y"], mode="cubic")
    odd = onnx.helper.make_node("STFT", ["y", "s"], ["z"])
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, 4, 4])
    z = onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, None)
    scales = onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "s")
    graph = onnx.helper.make_graph([node, odd], "g", [x], [z], [scales])
    problems = unsupported(onnx.helper.make_model(graph))
    assert any("Resize by cubic" in line for line in problems)
    assert "operator STFT" in problems


def test_other_graphs_run_on_every_runtime(gpu: cuda_driver.Gpu, tmp_path: Path) -> None:
    from benchmarks import peer_graphs

    graph = peer_graphs.write("hypergan", tmp_path, 32, 64)
    inputs = {"input": np.random.default_rng(0).standard_normal((1, 3, 32, 64), np.float32)}
    images = []
    for runtime in ("onnxruntime", "openvino", "torch", "tensorrt"):
        session = runtimes.stateless(runtime, graph, threads=1, precision="fp32")
        assert session.inputs == {"input": (1, 3, 32, 64)}
        (image,) = session.run(inputs).values()
        images.append(image.copy())
    assert images[0].std() > 0.1
    assert all(np.abs(other - images[0]).max() < 1e-3 for other in images[1:])


def test_an_engine_is_built_once_and_again_when_anything_changes(
    gpu: cuda_driver.Gpu, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    built: list[float] = []
    facts = tensorrt_engines.EngineFacts.here(GRAPH, HEIGHT, WIDTH, "fp16")
    tensorrt_engines.build(GRAPH, facts, level=1, workspace=64, report=lambda what, share: built.append(share) is None)
    assert tensorrt_engines.is_current(facts)
    assert built == sorted(built)
    assert built[-1] == 1.0
    trt: Any = import_module("tensorrt")
    assert trt.cleared[-1:] == [trt.BuilderFlag.TF32], "fp32 is fp32"
    for changed in ({"height": 96}, {"precision": "fp32"}, {"tensorrt": "10.9"}, {"driver": "590.1"}, {"gpu": "other"}):
        assert not tensorrt_engines.is_current(replace(facts, **changed)), changed
    assert not tensorrt_engines.is_current(replace(facts, model="0" * 64))
    (timings,) = own_cache.glob("engines/*.timings")
    assert not list(own_cache.rglob(".*")), "no half-written files"
    tensorrt_engines.build(GRAPH, facts)
    assert timings.read_bytes() == b"++", "what was timed before is used"
    timings.write_bytes(b"damaged")
    tensorrt_engines.build(GRAPH, facts)
    assert timings.read_bytes() == b"+", "what is damaged is not"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:-100], "cut short"),
        (lambda content: content[:40], "damaged at its beginning"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "is damaged"),
        (lambda content: b"ftrt" + content[4:], "not an engine of NeuralSim"),
        (lambda content: b"", "not an engine of NeuralSim"),
        (lambda content: content.replace(b"11.4.0.106", b"10.9.0.034", 1), "another tensorrt"),
    ],
)
def test_a_spoilt_engine_is_one_line_and_auto_falls_back(gpu: cuda_driver.Gpu, spoil: Any, message: str) -> None:
    facts = tensorrt_engines.EngineFacts.here(GRAPH, HEIGHT, WIDTH, "fp16")
    path = tensorrt_engines.write(facts, b"PLAN" + b"x" * 500)
    assert tensorrt_engines.read(facts).startswith(b"PLAN")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(tensorrt_engines.EngineError, match=message) as caught:
        tensorrt_engines.read(facts)
    assert "\n" not in str(caught.value)
    assert "neuralsim model build-engine" in str(caught.value)
    assert message in candidates(GRAPH, HEIGHT, WIDTH)["tensorrt"]


def test_a_valid_engine_that_tensorrt_refuses_is_a_warning_in_the_hud(gpu: cuda_driver.Gpu) -> None:
    facts = tensorrt_engines.EngineFacts.here(GRAPH, 64, 64, "fp16")
    tensorrt_engines.write(facts, b"NOPE" + b"x" * 500)
    renderer = NeuralRenderer(size=(64, 64), threads=1)
    assert "tensorrt" not in renderer.runtime
    assert "magic tag does not match" in renderer.warning
    assert renderer.warning.endswith(f"running on {renderer.runtime} instead")
    assert "\n" not in renderer.warning


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "message"), [("engine", "is cut short"), ("driver", "install driver 580")])
def test_auto_reports_why_it_cannot_use_tensorrt(
    gpu: cuda_driver.Gpu, monkeypatch: pytest.MonkeyPatch, spoil: str, message: str
) -> None:
    path = tensorrt_engines.write(tensorrt_engines.EngineFacts.here(GRAPH, 64, 64, "fp16"), b"PLAN" + b"x" * 500)
    if spoil == "engine":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        monkeypatch.setattr(cuda_driver, "gpu", lambda: replace(gpu, driver="550.54", cuda=(12, 4)))
    renderer = NeuralRenderer(size=(64, 64), threads=1)
    assert message in renderer.warning
    assert renderer.warning.endswith(f"running on {renderer.runtime} instead")


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("Requested amount of GPU memory (1 bytes)\n could not be allocated", "too little GPU memory to build"),
        ("Error Code 4: Internal", "cannot build the engine: Error Code 4: Internal"),
    ],
)
def test_a_failed_build_is_one_line(
    gpu: cuda_driver.Gpu, monkeypatch: pytest.MonkeyPatch, failure: str, message: str
) -> None:
    monkeypatch.setattr(import_module("tensorrt"), "failure", failure)
    with pytest.raises(RuntimeUnavailable, match=message) as caught:
        runtimes.create("tensorrt", GRAPH, HEIGHT, WIDTH)
    assert "\n" not in str(caught.value)


def test_too_little_memory_to_run_is_one_line(gpu: cuda_driver.Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("cuda.bindings.runtime"), "limit", 1000)
    with pytest.raises(RuntimeUnavailable, match="too little GPU memory: close"):
        runtimes.create("tensorrt", GRAPH, HEIGHT, WIDTH)


def test_build_engine_stores_the_engine_and_auto_considers_it(
    gpu: cuda_driver.Gpu, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "neuralsim model build-engine" in candidates(GRAPH, HEIGHT, WIDTH)["tensorrt"]
    size = f"{WIDTH}x{HEIGHT}"
    assert main(["model", "build-engine", "--size", size]) == 0
    assert f"for {gpu.name}" in capsys.readouterr().out
    assert candidates(GRAPH, HEIGHT, WIDTH)["tensorrt"] == ""
    assert main(["model", "build-engine", "--size", size]) == 0
    assert "exists already" in capsys.readouterr().out
    assert main(["model", "build-engine", "--size", size, "--model", "none-such"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_building_can_be_interrupted(gpu: cuda_driver.Gpu) -> None:
    facts = tensorrt_engines.EngineFacts.here(GRAPH, HEIGHT, WIDTH, "fp16")

    def press_ctrl_c(what: str, share: float) -> bool:
        raise KeyboardInterrupt

    for report in (press_ctrl_c, lambda what, share: False):
        with pytest.raises(tensorrt_engines.EngineError, match="interrupted"):
            tensorrt_engines.build(GRAPH, facts, report=report)
    assert not tensorrt_engines.is_current(facts)


@pytest.mark.slow
def test_without_a_driver_tensorrt_is_never_imported(own_cache: Path, tmp_path: Path) -> None:
    """Creating TensorRT's runtime without a driver crashes the process, so importing it here is fatal as well."""
    (tmp_path / "tensorrt").mkdir()
    (tmp_path / "tensorrt" / "__init__.py").write_text("import os; os.abort()")
    (tmp_path / "cuda" / "bindings").mkdir(parents=True)
    (tmp_path / "cuda" / "bindings" / "runtime.py").touch()
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[3]}"}
    for arguments, code, message in (
        (("doctor",), 0, "no NVIDIA driver"),
        (("model", "build-engine"), 1, "no NVIDIA driver"),
        (("drive", "--headless", "--frames", "1", "--runtime", "tensorrt"), 1, "no NVIDIA driver"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "neuralsim", *arguments], capture_output=True, text=True, timeout=60, env=environment
        )
        assert done.returncode == code, done.stderr
        assert message in (done.stdout if code == 0 else done.stderr)
        said = [line for line in done.stderr.splitlines() if not line.startswith("waiting for:")]  # on a slow machine
        assert code == 0 or len(said) == 1, done.stderr


def test_a_driver_that_is_too_old_or_has_no_gpu_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(cuda_driver.NoGpu, match=r"serves CUDA 12\.4, 13\.0 is needed: install driver 580"):
        cuda_driver.check(cuda_driver.Gpu("any", 8 << 30, "550.54", (12, 4)))
    old = cuda_driver.Gpu("any", 8 << 30, "535.1", (12, 2))
    assert cuda_driver.check(old, (12, 8)) is old, "a driver runs every CUDA of its major version"

    class Library:
        def __init__(self, status: int) -> None:
            self.cuInit = lambda flags: status

    for status, message in ((100, "finds no GPU"), (999, "error 999")):
        monkeypatch.setattr(cuda_driver.ctypes, "CDLL", lambda name, status=status: Library(status))
        cuda_driver.gpu.cache_clear()
        with pytest.raises(cuda_driver.NoGpu, match=message):
            cuda_driver.gpu()


@pytest.mark.slow
def test_auto_measures_once_and_remembers_the_result(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "disturbance", lambda samples=(): "")  # of the machine that tests
    first = NeuralRenderer(size=(96, 64), threads=1)
    assert "is the fastest here" in first.note
    assert first.runtime in first.note
    (kept,) = own_cache.glob("choices/*.json")
    assert first.runtime.replace(" ", ":").startswith(json.loads(kept.read_text(encoding="utf-8"))["runtime"])
    again = NeuralRenderer(size=(96, 64), threads=1)
    assert (again.runtime, again.note) == (first.runtime, "")
    assert NeuralRenderer(size=(64, 64), threads=1).note, "another size is another question"
    slower = "onnxruntime" if first.runtime.startswith("openvino") else "openvino"
    made = json.loads(kept.read_text(encoding="utf-8"))
    kept.write_text(json.dumps({**made, "runtime": slower, "busy": ""}))
    assert NeuralRenderer(size=(96, 64), threads=1).runtime.startswith(slower), "what is remembered is believed"
    kept.write_text("{")
    assert NeuralRenderer(size=(96, 64), threads=1).note, "what cannot be read is measured again"


@pytest.mark.slow
@pytest.mark.parametrize("remembered", [False, True])
def test_auto_passes_over_a_runtime_that_fails_in_its_own_way(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, remembered: bool
) -> None:
    """ONNX Runtime raises its own ``Fail``, PyTorch an out-of-memory error, TensorRT an ImportError."""
    if remembered:
        NeuralRenderer(size=(96, 64), threads=1)
    whole = fallback.load

    def load(name: str, *arguments: Any) -> Any:
        if name.startswith("openvino"):
            raise MemoryError("out of memory on the device")
        return whole(name, *arguments)

    monkeypatch.setattr(autotune, "load", load)
    monkeypatch.setattr(fallback, "load", load)
    renderer = NeuralRenderer(size=(96, 64), threads=1)
    assert renderer.runtime.startswith("onnxruntime")
    if "openvino" in renderer.warning or not remembered:
        assert "out of memory on the device" in renderer.warning
        assert "\n" not in renderer.warning


@pytest.mark.parametrize(
    ("line", "cuda"), [("cuda: Optional[str] = '12.8'", (12, 8)), ("cuda = '13.0'", (13, 0)), ("cuda = None", None)]
)
def test_the_cuda_of_pytorch_is_read_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, cuda: tuple[int, int] | None
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError")
    (tmp_path / "torch" / "version.py").write_text(f"__version__ = '2.13.0'\n{line}\ngit_version = '1'\n")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert torch_cuda() == cuda


def test_auto_drops_clearly_slower_runtimes() -> None:
    count = {"quick": 0, "slow": 0}

    def step(name: str, seconds: float) -> None:
        count[name] += 1
        time.sleep(seconds)

    times = autotune.race({"quick": lambda: step("quick", 0.01), "slow": lambda: step("slow", 0.1)})
    assert statistics.median(times["quick"]) < statistics.median(times["slow"])
    assert len(times["slow"]) == count["slow"] == 3 < count["quick"]


@pytest.mark.parametrize(
    ("hours", "busy", "tries", "load", "again"),
    [
        (1, "", 1, 0.0, False),
        (24 * 8, "", 1, 0.0, True),  # a week is over
        (24 * 8, "", 1, 9.0, False),  # not while the machine is busy
        (1, "load 9.0", 1, 0.0, True),  # it was disturbed, and would not be now
        (1, "load 9.0", 1, 9.0, False),
        (1, "load 9.0", 2, 0.0, False),  # but not time and again
        (24 * 8, "load 9.0", 2, 0.0, True),
        (-1, "", 1, 0.0, True),  # by a clock that has been set since
    ],
)
def test_auto_measures_again_when_the_machine_is_idle(
    monkeypatch: pytest.MonkeyPatch, hours: float, busy: str, tries: int, load: float, again: bool
) -> None:
    monkeypatch.setattr(autotune.machine, "cores", lambda: 2)
    monkeypatch.setattr(autotune.os, "getloadavg", lambda: (load, 0.0, 0.0))
    made = autotune.Measurement("openvino", {"openvino": 1.0}, autotune._today() - 3600.0 * hours, busy, tries)
    assert made.is_due() == again


@pytest.mark.slow
def test_a_busy_machine_is_detected_by_load_and_spread(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune.machine, "cores", lambda: 2)
    monkeypatch.setattr(autotune.os, "getloadavg", lambda: (0.4, 0.0, 0.0))
    even, torn = [1.0, 1.01] * 10, [1.0, 1.6] * 10
    assert autotune.disturbance([even, torn]) == ""
    assert autotune.disturbance([torn]) == "its times spread by 46 %"
    monkeypatch.setattr(autotune.os, "getloadavg", lambda: (7.9, 0.0, 0.0))
    assert autotune.disturbance() == "load 7.9 on 2 cores"
    first = NeuralRenderer(size=(64, 64), threads=1)
    assert "the machine was busy (load 7.9 on 2 cores)" in first.note
    known = autotune.load_measurement(GRAPH, 64, 64, 1)
    assert known is not None
    assert (known.busy, known.tries) == ("load 7.9 on 2 cores", 1)
    assert NeuralRenderer(size=(64, 64), threads=1).note == "", "it still is: what is remembered will do"
    monkeypatch.setattr(autotune.os, "getloadavg", lambda: (0.4, 0.0, 0.0))
    assert autotune.needs_measuring(GRAPH, 64, 64, 1)
    assert "is the fastest here" in NeuralRenderer(size=(64, 64), threads=1).note
    again = autotune.load_measurement(GRAPH, 64, 64, 1)
    assert again is not None
    assert again.tries == 2
    assert not autotune.needs_measuring(GRAPH, 64, 64, 1)


def test_an_unwritable_cache_only_costs_the_measurement(own_cache: Path) -> None:
    own_cache.write_text("a file where a folder should be", encoding="utf-8")
    renderer = NeuralRenderer(size=(64, 64), threads=1)
    assert "cannot be stored" in renderer.note


@pytest.mark.slow
def test_models_that_differ_in_one_number_are_not_confused(own_cache: Path, tmp_path: Path) -> None:
    """The number: how much of what is finer than 5x5 pixels is added to what is shown."""
    graph = onnx.load(zoo.load(zoo.DEFAULT).file)
    number = next(
        node.attribute[0].t
        for node in graph.graph.node
        if node.op_type == "Constant" and node.attribute[0].t.raw_data == np.float32(0.3).tobytes()
    )
    inputs = NeuralRenderer(runtime="openvino", size=(128, 64), threads=1).encode(street()).tensors
    images = []
    for share in (0.6, 0.9):
        number.raw_data = np.float32(share).tobytes()
        onnx.save(graph, tmp_path / f"{share}.onnx")
        session = openvino.load(tmp_path / f"{share}.onnx", 64, 128, threads=1)
        images.append(session.step(inputs).copy())
    assert (images[0] != images[1]).any()


@pytest.mark.parametrize(
    ("model", "runtime"),
    [
        (zoo.DEFAULT, "openvino:fp32"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                (zoo.DEFAULT, "openvino:int8"),
                (zoo.DEFAULT, "onnxruntime:fp32"),
                (zoo.DEFAULT, "torch:fp32"),
                (zoo.BEST, "openvino:fp32"),
                (zoo.BEST, "onnxruntime:fp32"),
            )
        ),
    ],
)
def test_a_graph_without_a_past_generates_the_first_image_of_the_whole_graph(
    own_cache: Path, model: str, runtime: str
) -> None:
    """Whatever past it is given, on every runtime; int8's ranges are carried over."""
    if runtime == "torch:fp32":
        pytest.importorskip("torch", reason="a runtime that is not installed everywhere")
    graph = zoo.load(model).file
    alone = graph_variants.single(graph)
    assert alone != graph
    assert alone == graph_variants.single(graph), "it is cached"
    read = {name for node in onnx.load(str(alone)).graph.node for name in node.input}
    assert not [name for name in read if "remember" in name or ".past." in name]
    assert "past_rgb" not in read or model != zoo.DEFAULT, "only a state of two frames is passed on"
    inputs = NeuralRenderer(model, runtime="openvino", size=(128, 64), threads=1).encode(street()).tensors
    whole, single = (runtimes.create(runtime, file, 64, 128, threads=1) for file in (graph, alone))
    first = whole.step(inputs).copy()
    assert np.abs(single.step(inputs).astype(int) - first).max() <= 1
    past = {"past_rgb": np.full_like(whole.state()["past_rgb"], -0.5), "past_label": whole.state()["past_label"]}
    for session in (whole, single):
        session.restore(past)
    assert np.abs(single.step(inputs).astype(int) - first).max() <= 1
    assert np.abs(whole.step(inputs).astype(int) - first).max() > 8


@pytest.mark.parametrize("runtime", ["openvino:fp32", "onnxruntime:fp32", "torch:fp32"])
def test_a_step_starts_from_the_past_as_edited(runtime: str) -> None:
    if runtime == "torch:fp32":
        pytest.importorskip("torch", reason="a runtime that is not installed everywhere")
    inputs = NeuralRenderer(runtime="openvino", size=(128, 64), threads=1).encode(street()).tensors
    edited, restored = (runtimes.create(runtime, GRAPH, 64, 128, threads=1) for _ in range(2))
    for session in (edited, restored):
        session.step(inputs)
    before = edited.state()
    edited.edit_past(lambda past: past.fill(-0.5))
    restored.restore(before | {"past_rgb": np.full_like(before["past_rgb"], -0.5)})
    assert all(np.array_equal(edited.state()[name], value) for name, value in restored.state().items())
    assert np.array_equal(edited.step(inputs), restored.step(inputs))
    assert np.abs(edited.state()["past_rgb"] - before["past_rgb"]).max() > 0.01


def test_without_a_writable_cache_the_graph_stays_whole(own_cache: Path) -> None:
    own_cache.write_text("a file where a folder should be", encoding="utf-8")
    assert graph_variants.single(GRAPH) == GRAPH


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a" / "file"
    cache.write(target, b"old")
    assert target.stat().st_mode & 0o777 == 0o644, "for other users of the machine or of the model"

    def parts() -> Iterator[bytes]:
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.write(target, *parts())
    assert target.read_bytes() == b"old"
    with pytest.raises(TypeError):
        cache.write(target, b"new", None)  # type: ignore[arg-type]
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    assert target.read_bytes() == b"old"


def _bindings() -> Any:
    """NVIDIA's own bindings, whole or lean, if they can be loaded here; never the stand-in."""
    for name in ("tensorrt_bindings", "tensorrt_lean_bindings"):
        if util.find_spec(name):
            return import_module(name)
    return None


#: What our code uses -> whether the lean runtime has it too.
USED = {
    "Runtime": ("deserialize_cuda_engine",),
    "ICudaEngine": (
        "num_io_tensors", "get_tensor_name", "get_tensor_shape", "get_tensor_dtype", "get_tensor_mode",
        "create_execution_context",
    ),
    "IExecutionContext": ("set_tensor_address", "execute_async_v3"),
    "ILogger": ("log", "ERROR", "INTERNAL_ERROR"),
    "IProgressMonitor": ("phase_start", "step_complete", "phase_finish"),
    "ITimingCache": ("serialize",),
    "MemoryPoolType": ("WORKSPACE",),
    "TensorIOMode": ("INPUT", "OUTPUT"),
}  # fmt: skip
BUILDER = {
    "Builder": ("create_network", "create_builder_config", "build_serialized_network"),
    "IBuilderConfig": (
        "builder_optimization_level", "set_memory_pool_limit", "progress_monitor", "create_timing_cache",
        "set_timing_cache", "get_timing_cache", "clear_flag",
    ),
    "BuilderFlag": ("TF32",),
    "OnnxParser": ("parse", "num_errors", "get_error"),
    "ParserError": ("desc",),
    "NetworkDefinitionCreationFlag": ("STRONGLY_TYPED",),
}  # fmt: skip
SIGNATURES = {
    ("Runtime", "deserialize_cuda_engine"): "serialized_engine:",
    ("ICudaEngine", "get_tensor_name"): "index:",
    ("ICudaEngine", "get_tensor_shape"): "name: str",
    ("IExecutionContext", "set_tensor_address"): "name: str, memory:",
    ("IExecutionContext", "execute_async_v3"): "stream_handle:",
    ("IProgressMonitor", "phase_start"): "phase_name: str, parent_phase: str, num_steps:",
    ("IProgressMonitor", "step_complete"): "phase_name: str, step:",
    ("Builder", "create_network"): "flags:",
    ("IBuilderConfig", "set_memory_pool_limit"): "pool_size:",
    ("IBuilderConfig", "create_timing_cache"): "serialized_timing_cache:",
    ("IBuilderConfig", "set_timing_cache"): "ignore_mismatch: bool",
    ("OnnxParser", "parse"): "model:",
}


@pytest.mark.skipif(_bindings() is None, reason="pip install tensorrt-lean-cu13-bindings tensorrt-lean-cu13-libs first")
def test_every_tensorrt_name_and_signature_in_use_exists() -> None:
    trt = _bindings()
    used = USED | (BUILDER if hasattr(trt, "Builder") else {})
    for kind, names in used.items():
        for name in names:
            assert hasattr(getattr(trt, kind), name), f"{kind}.{name}"
    for (kind, name), message in SIGNATURES.items():
        if kind in used:
            assert message in (getattr(getattr(trt, kind), name).__doc__ or ""), f"{kind}.{name}({message})"
    assert np.dtype(trt.nptype(trt.DataType.UINT8)) == np.uint8
    assert np.dtype(trt.nptype(trt.DataType.HALF)) == np.float16
    log = tensorrt_engines.logger(trt)
    log.log(trt.ILogger.ERROR, "message")
    assert log.last == "message"
    monitor = tensorrt_engines._monitor(trt, lambda what, share: share < 0.5)
    monitor.phase_start("phase", None, 2)
    assert monitor.step_complete("phase", 0) is False
    assert monitor.stopped


CUDA_CALLS = {
    "cudaMemset": "devPtr, int value, size_t count", "cudaMalloc": "size_t size",
    "cudaFree": "devPtr", "cudaHostAlloc": "size_t size, unsigned int flags",
    "cudaFreeHost": "ptr", "cudaStreamCreateWithFlags": "unsigned int flags", "cudaStreamDestroy": "stream",
    "cudaEventCreateWithFlags": "unsigned int flags", "cudaEventDestroy": "event", "cudaEventRecord": "event, stream",
    "cudaStreamWaitEvent": "stream, event, unsigned int flags", "cudaStreamSynchronize": "stream",
    "cudaMemcpyAsync": "dst, src, size_t count, kind", "cudaStreamBeginCapture": "stream, mode",
    "cudaStreamEndCapture": "stream", "cudaGraphInstantiate": "graph, unsigned long long flags",
    "cudaGraphLaunch": "graphExec, stream", "cudaGraphDestroy": "graph", "cudaGraphExecDestroy": "graphExec",
    "cudaGetErrorString": "error",
}  # fmt: skip


@pytest.mark.skipif(not util.find_spec("cuda"), reason="pip install cuda-python first")
def test_every_cuda_call_in_use_exists_with_these_arguments() -> None:
    cudart = import_module("cuda.bindings.runtime")
    for name, arguments in CUDA_CALLS.items():
        assert f"{name}({arguments}" in (getattr(cudart, name).__doc__ or ""), name
    assert (cudart.cudaStreamNonBlocking, cudart.cudaEventDisableTiming) == (1, 2)
    assert int(cudart.cudaError_t.cudaErrorMemoryAllocation) == 2
    assert cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal is not None
    source = (Path(runtimes.__file__).parent / "tensorrt" / "cuda_runtime.py").read_text(encoding="utf-8")
    assert {word for word in CUDA_CALLS if word in source} == set(CUDA_CALLS)


def test_the_stand_in_has_the_names_that_are_checked_against_nvidias(gpu: cuda_driver.Gpu) -> None:
    trt, cudart = import_module("tensorrt"), import_module("cuda.bindings.runtime")
    for kind in ("Runtime", "ILogger", "IProgressMonitor", "Builder", "OnnxParser", "MemoryPoolType", "TensorIOMode"):
        assert all(hasattr(getattr(trt, kind), name) for name in (USED | BUILDER)[kind]), kind
    assert all(hasattr(cudart, name) for name in CUDA_CALLS)
    assert tensorrt_.unavailable_reason() == ""
    assert asdict(tensorrt_engines.EngineFacts.here(GRAPH, 64, 96, "fp16"))["gpu"] == gpu.name


def test_a_hashed_file_is_read_again_only_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, reads = tmp_path / "model.onnx", []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(path) or read(path))  # type: ignore[func-returns-value]
    file.write_bytes(b"one")
    assert cache.sha256(file) == cache.sha256(file) == hashlib.sha256(b"one").hexdigest()
    assert len(reads) == 1
    cache.write(file, b"two")  # as large, but another file
    assert cache.sha256(file) == hashlib.sha256(b"two").hexdigest()
