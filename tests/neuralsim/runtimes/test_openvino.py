"""The OpenVINO runtime: which kernels its plug-in chooses for the shipped graphs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuralsim import zoo
from neuralsim.base.quiet_openvino import ov
from neuralsim.runtimes.openvino import rewrites, runtime, split

_EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.mark.parametrize("model", [zoo.DEFAULT, zoo.BEST])
def test_no_half_precision_table_is_looked_up_by_the_reference_code(model: str) -> None:
    graph = ov.Core().read_model(zoo.load(model).file)
    runtime.fix_size(graph, 32, 64)
    rewrites.widen_tables(graph)
    compiled = ov.Core().compile_model(graph, "CPU", _EXACT)
    ops = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    lookups = [str(info["primitiveType"].value) for info in ops if info["layerType"].value == "Gather"]
    assert len(lookups) > 3
    assert "ref_any_f16" not in lookups


def test_widened_tables_keep_their_values() -> None:
    table = np.random.default_rng(3).normal(size=(16, 5)).astype(np.float16)
    rows = ov.opset8.parameter([4], np.int32, name="rows")
    halves = ov.op.Constant(table)
    looked_up = ov.opset8.gather(ov.opset8.convert(halves, "f32"), rows, ov.opset8.constant(0))
    graph = ov.Model([looked_up], [rows])
    rewrites.widen_tables(graph)
    assert ov.Type.f16 not in {op.get_element_type() for op in graph.get_ops() if op.get_type_name() == "Constant"}
    given = np.array([3, 0, 15, 3], np.int32)
    result = ov.Core().compile_model(graph, "CPU")(given)[0]
    assert (result == table.astype(np.float32)[given]).all()


def test_rewritten_graphs_compute_the_same() -> None:
    """Means along rows and columns, what is added to a convolution with three channels, and powers of two."""
    rng = np.random.default_rng(5)
    height, width = 12, 20

    def graph() -> ov.Model:
        ops = ov.opset8
        image = ops.parameter([1, 4, height, width], np.float32, name="image")
        weight, bias = weights
        convolved = ops.add(ops.convolution(image, weight, [1, 1], [0, 0], [0, 0], [1, 1]), bias)
        total = ops.add(convolved, ops.constant(tint))
        rows = ops.avg_pool(total, [1, 1], [0, 2], [0, 2], [1, 5], True)
        mean = ops.avg_pool(rows, [1, 1], [2, 0], [2, 0], [5, 1], True)
        return ov.Model([ops.subtract(ops.power(ops.constant(np.float32(2.0)), total), mean)], [image])

    weights = rng.normal(size=(3, 4, 1, 1)).astype(np.float32), rng.normal(size=(1, 3, 1, 1)).astype(np.float32)
    tint = rng.normal(size=(1, 3, height, width)).astype(np.float32)
    given = rng.normal(size=(1, 4, height, width)).astype(np.float32)
    plain, rewritten = graph(), graph()
    rewrites.fill_vectors(rewritten)
    rewrites.replace_powers(rewritten)
    names = [op.get_type_name() for op in rewritten.get_ops()]
    assert names.count("Transpose") == 2
    assert "Power" not in names
    expected, actual = (ov.Core().compile_model(each, "CPU", _EXACT)(given)[0] for each in (plain, rewritten))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", [zoo.DEFAULT, zoo.BEST])
def test_all_means_at_the_end_of_a_graph_are_rewritten(model: str) -> None:
    graph = ov.Core().read_model(zoo.load(model).file)
    runtime.fix_size(graph, 128, 256)
    rewrites.fill_vectors(graph)
    rewrites.replace_powers(graph)
    pools = [op.get_output_shape(0) for op in graph.get_ops() if op.get_type_name() == "AvgPool"]
    assert sum(shape[2] == 1 for shape in pools) == 6
    assert all(shape[2] == 1 for shape in pools if list(shape[2:]) == [128, 256])
    assert "Power" not in {op.get_type_name() for op in graph.get_ops()}


def test_every_second_value_is_looked_up() -> None:
    ops = ov.opset8
    image = ops.parameter([1, 6, 8], np.float32, name="image")
    half = image
    for axis in (1, 2):
        bounds = [ops.constant(np.array([value])) for value in (0, 1 << 40, 2, axis)]
        half = ops.slice(half, *bounds)
    graph = ov.Model([half], [image])
    rewrites.halve_by_lookup(graph)
    assert "Slice" not in {op.get_type_name() for op in graph.get_ops()}
    given = np.random.default_rng(2).normal(size=(1, 6, 8)).astype(np.float32)
    assert (ov.Core().compile_model(graph, "CPU", _EXACT)(given)[0] == given[:, ::2, ::2]).all()


def test_images_go_in_and_out_as_planes() -> None:
    ops = ov.opset8
    image = ops.parameter([6, 8, 4], np.uint8, name="guide")
    planes = ops.transpose(image, ops.constant(np.array([2, 0, 1])))
    values = ops.multiply(ops.convert(planes, "f32"), ops.constant(np.float32(0.5)))
    back = ops.convert(ops.add(ops.transpose(values, ops.constant(np.array([1, 2, 0]))), np.float32(3.0)), "u8")
    back.output(0).set_names({"rgb"})
    graph = ov.Model([back], [image])
    rewrites.split_images(graph)
    compiled = ov.Core().compile_model(graph, "CPU", _EXACT)
    assert (list(compiled.input("guide").shape), list(compiled.output("rgb").shape)) == ([4, 6, 8], [4, 6, 8])
    assert "Transpose" not in {op.get_type_name() for op in graph.get_ops()}
    given = np.random.default_rng(2).integers(0, 250, (4, 6, 8)).astype(np.uint8)
    assert (compiled(given)[0] == (given * 0.5 + 3.0).astype(np.uint8)).all()


def _inputs(model: str, height: int, width: int) -> dict[str, np.ndarray]:
    """Return random planes, of which the left half has no guide."""
    rng = np.random.default_rng(4)
    blocks = np.ones((4, 4), np.uint8)
    tag = np.kron(rng.integers(0, 28, (height // 4, width // 4)).astype(np.uint8), blocks)
    guide = rng.integers(1, 256, (height, width, 4)).astype(np.uint8)
    guide[:, : width // 2] = 0
    return {
        "tag": tag,
        "instance": rng.integers(0, 9, (height, width)).astype(np.uint16),
        "motion": (9.0 * rng.normal(size=(height, width, 2))).astype(np.float16),
        "depth": rng.uniform(2.0, 90.0, (height, width)).astype(np.float32),
        "camera": np.concatenate([np.eye(4).ravel(), [90.0, 90.0, 64.0, 32.0]]).astype(np.float32),
        "guide": guide,
        "style": zoo.load(model).styles[zoo.load(model).default_style],
        "blend": zoo.load(model).blend["exact"],
    }


@pytest.mark.parametrize("model", [zoo.DEFAULT, zoo.BEST])
def test_a_session_returns_what_the_plain_graph_does(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    height, width = 64, 128
    inputs = _inputs(model, height, width)
    images = []
    monkeypatch.setattr(runtime, "split_once", lambda *_, **__: None)
    for is_plain in (False, True):
        monkeypatch.setenv("NEURALSIM_CACHE", str(tmp_path / str(is_plain)))
        if is_plain:
            monkeypatch.setattr(rewrites, "split_images", lambda _: None)
            monkeypatch.setattr(rewrites, "halve_by_lookup", lambda _: None)
        session = runtime.load(zoo.load(model).file, height, width, 1, "fp32")
        images.append([session.step(inputs).copy() for _ in range(2)])
    assert np.array(images).std() > 10.0
    assert (np.array(images[0]) == np.array(images[1])).all()


class TestSplit:
    """A graph of which OpenVINO runs the generator alone."""

    def test_a_split_graph_computes_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        height, width = 96, 160
        rng = np.random.default_rng(6)
        inputs, file = _inputs(zoo.DEFAULT, height, width), zoo.load(zoo.DEFAULT).file
        parted = runtime.load(file, height, width, None, "fp32")
        monkeypatch.setattr(runtime, "split_once", lambda *_, **__: None)
        whole = runtime.load(file, height, width, None, "fp32")
        assert isinstance(parted, runtime.SplitSession)
        assert not isinstance(whole, runtime.SplitSession)
        inputs["tag"].flags.writeable = False
        for number in range(4):
            inputs["motion"] = inputs["motion"] * np.float16(number % 3 != 2)  # also of a view that stands still
            inputs["style"] = inputs["style"] + np.float32(0.05)
            turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
            pose = np.concatenate([turned, 9.0 * rng.normal(size=(3, 1))], 1)
            lens = [0.0, 0.0, 0.0, 1.0, 90.0, 80.0, 70.0, 40.0]
            inputs["camera"] = np.concatenate([pose.ravel(), lens]).astype(np.float32)
            expected, actual = whole.step(inputs).astype(int), parted.step(inputs).astype(int)
            assert expected.std() > 10.0
            assert (np.abs(actual - expected) > 1).mean() < 1e-3
            states = whole.state(), parted.state()
            assert (states[0]["past_label"] == states[1]["past_label"]).all()
            assert np.abs(states[0]["past_rgb"] - states[1]["past_rgb"]).mean() < 1e-3
            whole.restore(states[1])

    def test_motion_that_is_no_number_leads_out_of_the_image(self) -> None:
        height, width = 64, 96
        inputs = _inputs(zoo.DEFAULT, height, width)
        session = runtime.load(zoo.load(zoo.DEFAULT).file, height, width, 1, "fp32")
        first = session.step(inputs).copy()
        for value in (np.inf, -np.inf, np.nan, 60000.0):
            inputs["motion"] = np.full((height, width, 2), value, np.float16)
            assert (session.step(inputs) == first).all()  # of which nothing is past, as in the first frame

    def test_planes_of_no_numbers_harm_one_frame_at_most(self) -> None:
        """As a recording from a stranger may have them."""
        height, width = 64, 96
        inputs = _inputs(zoo.DEFAULT, height, width)
        session = runtime.load(zoo.load(zoo.DEFAULT).file, height, width, 1)
        for value in (np.inf, -np.inf, np.nan, 1e38, -1e38):
            for name in ("depth", "camera"):
                session.step(inputs | {name: np.full_like(inputs[name], value)})
        extreme = {"tag": np.full((height, width), 255, np.uint8)}
        session.step(inputs | extreme | {"instance": np.full((height, width), 65535, np.uint16)})
        assert np.isfinite(session.state()["past_rgb"]).all()
        assert session.step(inputs).std() > 10.0

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("motion", np.zeros((64, 96, 2), np.float32)),
            ("blend", np.zeros(3, np.float32)),
            ("guide", np.zeros((64, 96, 3), np.uint8)),
            ("tag", np.zeros((32, 96), np.uint8)),
            ("unknown", np.zeros(1, np.float32)),
        ],
    )
    def test_other_inputs_are_refused(self, name: str, wrong: np.ndarray) -> None:
        session = runtime.load(zoo.load(zoo.DEFAULT).file, 64, 96, 1)
        with pytest.raises(ValueError, match=f"shape: {name}$"):
            session.step(_inputs(zoo.DEFAULT, 64, 96) | {name: wrong})

    def test_forks_step_at_the_same_time(self) -> None:
        height, width = 64, 96
        first = runtime.load(zoo.load(zoo.DEFAULT).file, height, width)
        inputs = _inputs(zoo.DEFAULT, height, width)
        others = [inputs | {"style": inputs["style"] + np.float32(0.1 * number)} for number in range(3)]
        alone = [[first.fork().step(each).copy()] for each in others]
        forks = [first.fork() for _ in others]
        for fork in forks:
            fork.streams = 2
        with ThreadPoolExecutor(3) as pool:
            together = list(pool.map(lambda fork, each: fork.step(each).copy(), forks, others))
        assert np.std([image.mean() for image in together]) > 1.0
        for expected, actual in zip(alone, together, strict=True):
            assert np.abs(actual.astype(int) - expected[0]).max() <= 1

    def test_another_blending_is_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        core = ov.Core()
        graph = core.read_model(zoo.load(zoo.DEFAULT).file)
        assert split.split(core, graph, is_exact=True) is not None
        for other in ({"gain": 2.05}, {"gamma": 1.8}, {"sharpen": 0.25}):
            monkeypatch.setattr(split, "Blending", partial(split.Blending, **other))
            assert split.split(core, graph, is_exact=True) is None
            monkeypatch.undo()
        monkeypatch.setattr(split, "draw_detail", lambda *arguments: arguments[-1].fill(0.0))
        assert split.split(core, graph, is_exact=True) is None

    def test_a_graph_with_two_past_frames_runs_whole(self) -> None:
        core = ov.Core()
        assert split.split(core, core.read_model(zoo.load(zoo.BEST).file), is_exact=True) is None


def test_threads_that_load_a_graph_take_turns_at_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO reads files of its cache that another thread has not written to their end, and fails or crashes."""
    file, compiling = zoo.load(zoo.DEFAULT).file, [0]
    runtime.load(file, 32, 64)  # splits the graph, for which no cache is used
    monkeypatch.setenv("NEURALSIM_CACHE", str(tmp_path))

    class Core(ov.Core):
        def compile_model(self, *arguments: Any) -> Any:
            compiling.append(compiling[-1] + 1)
            time.sleep(0.05)
            try:
                return super().compile_model(*arguments)
            finally:
                compiling.append(compiling[-1] - 1)

    monkeypatch.setattr(ov, "Core", Core)
    with ThreadPoolExecutor(3) as pool:
        sessions = list(pool.map(lambda _: runtime.load(file, 32, 64), range(3)))
    assert max(compiling) == 1
    assert len({session.name for session in sessions}) == 1
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".blob"]
