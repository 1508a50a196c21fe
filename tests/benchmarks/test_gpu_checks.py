"""The list of checks for a GPU, run to its end on the processor: with everything, and with PyTorch and numpy alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the checks need PyTorch")

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import checks, packed

ROOT = Path(__file__).resolve().parents[2]
#: Hides every package but PyTorch, numpy and what PyTorch itself needs, as in a bare image.
BARE = """
import sys
from importlib.machinery import PathFinder
class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target)
        hidden = spec and spec.origin and "site-packages" in spec.origin and name.split(".")[0] not in KEPT
        return None if hidden else spec
KEPT = {"torch", "numpy", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "filelock",
        "typing_extensions", "torchgen", "functorch"}
sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
from benchmarks.gpu.__main__ import main
raise SystemExit(main(sys.argv[1:]))
"""
SMALL = ("--size", "64x64", "--steps", "1")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pack") / "pack.npz"
    assert packed.write(path, 64, 64, 4) < packed.MOST
    return path


def flat(value: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {place: value}
    return {key: one for name, entry in value.items() for key, one in flat(entry, f"{place}/{name}").items()}


@pytest.mark.slow
def test_the_whole_list_runs_with_pytorch_and_numpy_alone(pack: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BARE, "--out", str(tmp_path), "--data", str(pack), *SMALL, "--model", "street-rt"],
        capture_output=True, text=True, timeout=170, cwd=ROOT, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["checks"]
    assert list(report) == list(checks.ALL)
    results = flat({name: entry["result"] for name, entry in report.items()})
    assert results["/parity with the processor/street-rt/torch:fp32/worst dB"] >= 45
    assert "is not installed" in results["/parity with the processor/street-rt/onnxruntime:fp32"]
    assert results["/auto"].startswith("skipped: onnx")
    assert "dB in the next step" in results["/faults/exception in a step"]
    assert "onnxruntime is not installed" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_with_everything_installed_other_runtimes_auto_and_peers_are_included(
    pack: Path, tmp_path: Path, own_cache: Path
) -> None:
    only = ["--only", "parity with the processor,auto,peers", *SMALL]
    assert command.main(["--out", str(tmp_path), "--data", str(pack), "--device", "cpu", *only]) == 0
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["checks"]
    results = flat({name: entry["result"] for name, entry in report.items()})
    assert results["/parity with the processor/street/onnxruntime:fp32/worst dB"] >= 45
    assert results["/auto/street-rt/candidates/openvino"] == ""
    assert results["/peers/onnxruntime:fp32/hypergan/p50"] > 0


def test_a_failure_is_a_line_and_ends_nothing(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(machine: checks.Machine) -> dict[str, Any]:
        raise MemoryError("no\nmemory")

    monkeypatch.setattr(checks, "ALL", {"first": broken, "second": lambda machine: {"is": "fine"}})
    assert command.main(["--out", str(tmp_path), "--data", str(pack), "--device", "cpu"]) == 1
    assert "first: failed: MemoryError: no memory" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<span class=bad>failed: MemoryError" in page
    assert "fine" in page


def test_a_pack_of_another_model_is_refused(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in packed.MODELS:
        (tmp_path / model).mkdir()
        (tmp_path / model / "model.onnx").write_bytes(b"another")
    monkeypatch.setattr(packed, "_ZOO", tmp_path)
    with pytest.raises(ValueError, match="is not the model that was packed"):
        packed.Pack(pack).file(packed.MODELS[0])


def test_frames_of_other_sizes_are_the_nearest_pixels() -> None:
    inputs = {"tag": np.arange(8, dtype=np.uint8).reshape(2, 4), "camera": np.zeros(20, np.float32)}
    larger = packed.resized(inputs, 4, 8)
    assert larger["tag"].tolist()[0] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert larger["camera"].shape == (20,)


@pytest.mark.parametrize("runtime", ["onnxruntime:cuda", "onnxruntime:cuda-fp32", "tensorrt:fp16"])
def test_what_is_not_installed_is_skipped_and_no_failure(pack: Path, runtime: str) -> None:
    """As on the H200 of 26 November 2026, which had ONNX Runtime for processors."""
    machine = checks.Machine(packed.Pack(pack), "cuda", [(64, 64)], 1)
    with pytest.raises(checks.Skip, match="not installed"):
        machine.load("street-rt", runtime, 64, 64)
