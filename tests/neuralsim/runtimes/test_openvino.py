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


@pytest.mark.parametrize("model", [zoo.DEFAULT, zoo.BEST])
def test_no_half_precision_table_is_looked_up_by_the_reference_code(model: str) -> None:
    graph = ov.Core().read_model(zoo.load(model).file)
    openvino_.fix_size(graph, 32, 64)
    openvino_.widen_tables(graph)
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
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
