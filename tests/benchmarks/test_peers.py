"""The comparison with other generators, the roofline, and the times on a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import roofline
from benchmarks.flops import gflop
from benchmarks.peers import main, measure


def peers(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.peers", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)


def one_layer(path: Path, kind: str, weight: tuple[int, ...], shape: list[object], **attributes: object) -> Path:
    value = numpy_helper.from_array(np.ones(weight, np.float32), "w")
    node = helper.make_node(kind, ["x", "w"], ["y"], **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph([node], "g", [x], [y], [value]), opset_imports=[helper.make_opsetid("", 17)], ir_version=10
    )
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("kind", "weight", "shape", "attributes", "operations"),
    [
        # every output: 5 inputs x 3 x 3 products and as many sums
        ("Conv", (7, 5, 3, 3), [1, 5, "h", "w"], {"pads": [1] * 4}, 16 * 24 * 7 * 5 * 9 * 2),
        ("Conv", (7, 5, 3, 3), [1, 5, "h", "w"], {"pads": [1] * 4, "strides": [2, 2]}, 8 * 12 * 7 * 5 * 9 * 2),
        ("Conv", (6, 1, 3, 3), [1, 6, 16, 24], {"pads": [1] * 4, "group": 6}, 16 * 24 * 6 * 9 * 2),
        # every input, through the whole kernel, into every output channel
        ("ConvTranspose", (5, 7, 4, 4), [1, 5, 16, 24], {"pads": [1] * 4, "strides": [2, 2]}, 16 * 24 * 5 * 7 * 16 * 2),
        ("MatMul", (24, 10), [1, 16, 24], {}, 16 * 24 * 10 * 2),
    ],
)
def test_operations_match_those_counted_by_hand(
    tmp_path: Path, kind: str, weight: tuple[int, ...], shape: list[object], attributes: dict, operations: int
) -> None:
    graph = one_layer(tmp_path / "g.onnx", kind, weight, shape, **attributes)
    assert gflop(graph, 16, 24) == pytest.approx(operations / 1e9, rel=1e-9)


@pytest.mark.alone
def test_models_are_measured_in_turns() -> None:
    order: list[str] = []

    def model(name: str, seconds: float) -> None:
        order.append(name)
        time.sleep(seconds)

    times = measure({"quick": lambda: model("quick", 0.01), "slow": lambda: model("slow", 0.05)}, rounds=2)
    assert 0.01 <= times["quick"] < times["slow"]
    turns = [name for n, name in enumerate(order) if n == 0 or order[n - 1] != name]
    assert turns == ["quick", "slow"] * 3


@pytest.mark.slow
def test_comparison_has_the_published_operations_and_ends_in_one_json_line() -> None:
    done = peers("--size", "64x64", "--rounds", "1", "--threads", "1", "--runtime", "openvino")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    times = {"ours_ms", "hypergan_ms", "pix2pixhd_ms", "spade_ms"}
    assert report.keys() == times | {"gflop", "model", "runtime", "precision", "threads", "device"}
    assert (report["model"], report["runtime"], report["threads"]) == ("street-rt", "openvino", 1)
    assert report["precision"] in ("bf16", "fp32")
    assert all(report[name] > 0 for name in times)
    # layer lists scale with the image: 512x256 has 32 times the pixels
    published = {"hypergan": 31.0, "pix2pixhd": 208.0, "spade": 563.0}
    for name, expected in published.items():
        assert report["gflop"][name] * 32 == pytest.approx(expected, rel=0.05), name
    assert 0 < report["gflop"]["ours"] < report["gflop"]["hypergan"]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("--size", "100x100"), 2, "multiples of 32"),
        (("--size", "64x64", "--runtime", "abacus"), 1, "abacus"),
        (("--size", "64x64", "--model", "none-such"), 1, "street-rt"),
    ],
)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], code: int, word: str, capsys) -> None:
    try:
        status = main(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    errors = capsys.readouterr().err
    assert (status, len(errors.splitlines())) == (code, 1), errors
    assert word in errors


def test_roofline_chart_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    peaks = {"copy_gb_per_s": 20.0, "numpy_gflops": 90.0, "f32_gflops": 100.0, "bf16_gflops": 300.0}
    layers = [{"name": f"layer {n}", "ms": 3.0 / n, "gflop": 0.6 / n, "mb": 4.0 / n**2} for n in range(1, 8)]
    roofline.plot(peaks, {"model": "street-rt", "size": "512x256", "layers": layers}, tmp_path / "chart.svg")
    assert "bf16 300 GFLOP/s" in (tmp_path / "chart.svg").read_text(encoding="utf-8").replace("&#", "")
