"""int8: what is quantised and what is not, where its ranges come from, and who counts it in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers.tensorrt_operators import unsupported
from onnx import numpy_helper

from bridge.messages import Frame
from neuralsim import runtimes, zoo
from neuralsim.cli import main
from neuralsim.evaluation import quantise
from neuralsim.recording.writing.mcap_writer import McapWriter
from neuralsim.renderer.neural_renderer import NeuralRenderer
from neuralsim.runtimes import RuntimeUnavailable, activation_ranges, graph_variants, int8
from neuralsim.runtimes.activation_ranges import Ranges
from neuralsim.runtimes.candidates import candidates
from neuralsim.runtimes.fallback import load_fastest
from neuralsim.runtimes.tensorrt import engines as tensorrt_engines
from neuralsim.town.town_drive import TownDrive

WIDTH, HEIGHT = 128, 64
GRAPH = zoo.load(zoo.DEFAULT).file
FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


@pytest.fixture(autouse=True)
def none_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges that may have come with the model are not seen."""
    monkeypatch.setattr(activation_ranges, "NAME", "measured.json")


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """Of the town."""
    town = TownDrive(WIDTH, HEIGHT, vehicles=12, walkers=6)
    town.ride()
    return [town.next_frame() for _ in range(24)]


def record(frames: list[Frame], path: Path, planes: tuple[str, ...] = ("tag", "instance", "depth", "motion")) -> Path:
    writer = McapWriter(path, planes, {"fps": "30"})
    for frame in frames:
        assert writer.write(frame, None)
    writer.close()
    assert writer.error is None
    return path


@pytest.fixture(scope="module")
def recording(frames: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(frames, tmp_path_factory.mktemp("recorded") / "town.mcap")


@pytest.fixture(scope="module")
def measured(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `neuralsim model quantise` writes."""
    path = tmp_path_factory.mktemp("ranges") / "int8.json"
    assert main(["model", "quantise", "--recording", str(recording), "--frames", "12", "--out", str(path)]) == 0
    return path


@pytest.fixture
def prepared(measured: Path, own_cache: Path) -> Ranges:
    """A cache with these ranges in it."""
    return Ranges(
        **json.loads(
            activation_ranges.save_ranges(GRAPH, Ranges(**json.loads(measured.read_text(encoding="utf-8")))).read_text(
                encoding="utf-8"
            )
        )
    )


def quantised_convolutions(model: onnx.ModelProto) -> dict[str, tuple[list[onnx.NodeProto], np.ndarray]]:
    """Name of each convolution in int8 -> its four operators (rounding the input and back, the weight back), weight."""
    producer = {name: node for node in model.graph.node for name in node.output}
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    convolutions = {}
    for node in model.graph.node:
        before = [producer.get(name) for name in node.input[:2]] if node.op_type == "Conv" else []
        if before and all(one is not None and one.op_type == "DequantizeLinear" for one in before):
            values, weight = before
            assert values is not None
            assert weight is not None
            rounding = producer[values.input[0]]
            assert rounding.op_type == "QuantizeLinear"
            assert list(rounding.input[1:]) == list(values.input[1:]), "there and back by the same step"
            convolutions[node.name] = ([rounding, values, weight], weights[weight.input[0]])
            for one in (rounding, values, weight):
                assert not weights[one.input[2]].any(), "symmetric: zero is zero"
                assert weights[one.input[2]].dtype == np.int8
                assert (weights[one.input[1]] > 0).all()
    return convolutions


@pytest.mark.slow
def test_int8_is_explicit_symmetric_and_only_in_coarse_convolutions(prepared: Ranges) -> None:
    model = onnx.load(str(int8.quantised(GRAPH)))
    convolutions = quantised_convolutions(model)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for (rounding, _, back), weight in convolutions.values():
        assert weights[rounding.input[1]].shape == (), "one step for an activation"
        assert weights[back.input[1]].shape == weight.shape[:1], "one for each channel of a weight"
        assert weight.dtype == np.int8
        assert np.abs(weight.reshape(len(weight), -1)).max(axis=1).min() >= 126, "all of the range is used"
    before, after = (sum(node.op_type == "Conv" for node in one.graph.node) for one in (onnx.load(str(GRAPH)), model))
    assert before == after
    arithmetic = sum(weight.size for _, weight in convolutions.values())
    kernels = [w for w in weights.values() if w.ndim == 4 and max(w.shape[2:]) <= 4]  # and no textures
    assert arithmetic > 0.8 * sum(w.size for w in kernels), "most weights"
    fine = {node.name for node in model.graph.node if node.op_type == "Conv"} - convolutions.keys()
    assert {f"/video/{name}/Conv" for name in ("rgb", "head/head.0", "detail", "blocks.2.0/spade/beta")} <= fine


def test_halved_for_tensorrt_it_rounds_between_fp16_and_int8_and_is_within_its_documented_support(
    prepared: Ranges,
) -> None:
    exact = onnx.load(str(int8.quantised(GRAPH)))
    half = graph_variants.half(exact)
    convolutions, expected = quantised_convolutions(half), quantised_convolutions(exact)
    assert convolutions.keys() == expected.keys(), "nothing came between rounding and convolution"
    inferred = onnx.shape_inference.infer_shapes(half, data_prop=True).graph
    types = {port.name: port.type.tensor_type.elem_type for port in inferred.value_info}
    for nodes, _ in convolutions.values():
        assert types[nodes[0].input[0]] == types[nodes[1].output[0]] == types[nodes[2].output[0]] == HALF
    for model in (exact, half):
        assert unsupported(graph_variants.for_tensorrt(model, HEIGHT, WIDTH)) == []
    numbers = [{t.name: numpy_helper.to_array(t) for t in model.graph.initializer} for model in (exact, half)]
    for name, (nodes, _) in expected.items():
        for one, other in zip(nodes, convolutions[name][0], strict=True):
            assert np.array_equal(numbers[0][one.input[1]], numbers[1][other.input[1]]), "the same steps in both"


def test_the_tensorrt_check_reports_unsupported_quantisation() -> None:
    x = onnx.helper.make_tensor_value_info("x", FLOAT, [1, 4])
    y = onnx.helper.make_tensor_value_info("y", FLOAT, [1, 4])
    step = onnx.helper.make_tensor_value_info("s", FLOAT, [])
    nodes = [
        onnx.helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        onnx.helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    zero = numpy_helper.from_array(np.array(3, np.int8), "z")
    problems = unsupported(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [x, step], [y], [zero])))
    assert any("a step that is not constant" in line for line in problems)
    assert any("zero point" in line for line in problems)


def test_without_ranges_there_is_one_line_and_auto_skips_int8(own_cache: Path) -> None:
    for runtime in ("openvino:int8", "onnxruntime:int8"):
        with pytest.raises(RuntimeUnavailable, match="run neuralsim model quantise") as caught:
            runtimes.create(runtime, GRAPH, HEIGHT, WIDTH)
        assert "\n" not in str(caught.value)
    assert "neuralsim model quantise" in candidates(GRAPH, HEIGHT, WIDTH)["openvino:int8"]
    assert "int8" not in NeuralRenderer(size=(WIDTH, HEIGHT), threads=1).note


@pytest.mark.slow
def test_auto_measures_int8_with_ranges_and_again_with_others(prepared: Ranges) -> None:
    first = NeuralRenderer(size=(WIDTH, HEIGHT), threads=1)
    assert "openvino int8" in first.note
    assert NeuralRenderer(size=(WIDTH, HEIGHT), threads=1).note == ""
    other = int8.quantised(GRAPH)
    activation_ranges.save_ranges(
        GRAPH, Ranges(prepared.model, 1, "", {key: 2 * v for key, v in prepared.range.items()})
    )
    assert int8.quantised(GRAPH) != other
    assert NeuralRenderer(size=(WIDTH, HEIGHT), threads=1).note


def test_an_int8_engine_is_rebuilt_with_other_ranges(gpu: object, measured: Path) -> None:
    assert main(["model", "build-engine", "--size", f"{WIDTH}x{HEIGHT}", "--precision", "int8"]) == 1
    known = Ranges(**json.loads(measured.read_text(encoding="utf-8")))
    activation_ranges.save_ranges(GRAPH, known)
    assert main(["model", "build-engine", "--size", f"{WIDTH}x{HEIGHT}", "--precision", "int8"]) == 0
    facts = tensorrt_engines.EngineFacts.here(GRAPH, HEIGHT, WIDTH, "int8")
    assert tensorrt_engines.is_current(facts)
    assert "tensorrt:int8" not in candidates(GRAPH, HEIGHT, WIDTH), "there is no engine in fp16 to compare with"
    activation_ranges.save_ranges(
        GRAPH, Ranges(known.model, 1, "", {key: 2 * value for key, value in known.range.items()})
    )
    assert not tensorrt_engines.is_current(tensorrt_engines.EngineFacts.here(GRAPH, HEIGHT, WIDTH, "int8"))


@pytest.mark.slow
def test_ranges_come_with_a_model_and_belong_to_it_alone(
    prepared: Ranges, frames: list[Frame], tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = tmp_path / "model" / "model.onnx"
    graph.parent.mkdir()
    graph.write_bytes(GRAPH.read_bytes())
    activation_ranges.save_ranges(graph, prepared, graph.with_name(activation_ranges.NAME))
    activation_ranges.save_ranges(GRAPH, Ranges(prepared.model, 7, "measured here", {"a": 1.0}))
    assert activation_ranges.load_ranges(graph).source == "measured here", (
        "what was measured on this machine comes first"
    )
    for place in own_cache.glob("graphs/*.json"):
        place.write_text("{")
    assert activation_ranges.load_ranges(graph) == prepared
    monkeypatch.setenv("NEURALSIM_CACHE", str(graph))  # a file where a folder should be
    with pytest.raises(RuntimeUnavailable, match="cannot be written"):
        runtimes.create("openvino:int8", graph, HEIGHT, WIDTH)
    session = load_fastest(graph, HEIGHT, WIDTH, 1, NeuralRenderer(size=(WIDTH, HEIGHT)).encode(frames[0]).tensors)
    assert "int8" not in session.name
    assert session.warning.endswith(f"running on {session.name} instead")
    graph.write_bytes(GRAPH.read_bytes() + b"\0")
    with pytest.raises(runtimes.NotCalibrated):
        activation_ranges.load_ranges(graph)


def test_quantise_drives_through_the_town_and_refuses_visible_errors(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quantise, "_SIZE", (WIDTH, HEIGHT))
    monkeypatch.setattr(quantise, "LEAST", 200.0)
    assert main(["model", "quantise", "--frames", "6"]) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if "%" not in line]
    assert "6 frames of the embedded town" in error
    assert "less than 200" in error
    assert not list(own_cache.rglob("*.json"))


def test_errors_of_quantise_are_one_line(
    frames: list[Frame], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short, tags = record(frames[:3], tmp_path / "short.mcap"), record(frames, tmp_path / "tags.mcap", ("tag",))
    noise = tmp_path / "noise.mcap"
    noise.write_bytes(b"noise" * 100)
    for path, message in (
        (short, "holds 3 frames, at least 12 are needed"),
        (tags, "has only tag"),
        (noise, "is no recording"),
        (tmp_path / "none.mcap", "cannot read"),
    ):
        assert main(["model", "quantise", "--recording", str(path)]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1
    assert main(["model", "quantise", "--model", "none-such"]) == 1
    assert main(["model", "quantise", "--recording", "film.mp4"]) == 2


def test_a_graph_without_coarse_convolutions_is_refused(tmp_path: Path) -> None:
    from benchmarks import peer_graphs

    graph = peer_graphs.write("hypergan", tmp_path, 32, 64)
    with pytest.raises(ValueError, match="no convolution"):
        int8.calibrate(graph, [], "nothing")
