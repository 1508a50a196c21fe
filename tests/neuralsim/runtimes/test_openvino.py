"""The OpenVINO runtime: which kernels its plug-in chooses for the shipped graphs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuralsim import zoo
from neuralsim.base.quiet_openvino import ov
from neuralsim.runtimes import openvino_

_EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.mark.parametrize("model", [zoo.DEFAULT, zoo.BEST])
def test_no_half_precision_table_is_looked_up_by_the_reference_code(model: str) -> None:
    graph = ov.Core().read_model(zoo.load(model).file)
    openvino_.fix_size(graph, 32, 64)
    openvino_.widen_tables(graph)
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
    openvino_.widen_tables(graph)
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
    openvino_.fill_vectors(rewritten)
    openvino_.replace_powers(rewritten)
    names = [op.get_type_name() for op in rewritten.get_ops()]
    assert names.count("Transpose") == 2
    assert "Power" not in names
    expected, actual = (ov.Core().compile_model(each, "CPU", _EXACT)(given)[0] for each in (plain, rewritten))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", [zoo.DEFAULT, zoo.BEST])
def test_all_means_at_the_end_of_a_graph_are_rewritten(model: str) -> None:
    graph = ov.Core().read_model(zoo.load(model).file)
    openvino_.fix_size(graph, 128, 256)
    openvino_.fill_vectors(graph)
    openvino_.replace_powers(graph)
    pools = [op.get_output_shape(0) for op in graph.get_ops() if op.get_type_name() == "AvgPool"]
    assert sum(shape[2] == 1 for shape in pools) == 6
    assert all(shape[2] == 1 for shape in pools if list(shape[2:]) == [128, 256])
    assert "Power" not in {op.get_type_name() for op in graph.get_ops()}


def test_threads_that_load_a_graph_take_turns_at_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO reads files of its cache that another thread has not written to their end, and fails or crashes."""
    monkeypatch.setenv("NEURALSIM_CACHE", str(tmp_path))
    file, compiling = zoo.load(zoo.DEFAULT).file, [0]

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
        sessions = list(pool.map(lambda _: openvino_.load(file, 32, 64), range(3)))
    assert max(compiling) == 1
    assert len({session.name for session in sessions}) == 1
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".blob"]
