"""What all tests share: a cache and settings of their own, and a machine with a GPU that is none."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuralsim.runtimes import cuda_driver, tensorrt
from neuralsim.runtimes.tensorrt import engines as tensorrt_engines

STANDINS = Path(__file__).parent / "helpers" / "standins"
GPU = cuda_driver.Gpu("NVIDIA Stand-in", 8 << 30, "580.65.06", (13, 0))


#: Parts of the paths of the files that take longest: they begin first, so that both workers end at the same time. Those
#: of the lens come later: its clients wait for images, and in a fresh clone the kernels are compiled by then.
LONGEST = (
    "replay/test_replay", "datagen/test_record", "scenarios/test_library", "session/test_drive",
    "carla_client/test_bridge", "compat/", "carla_server/test_wire", "examples/", "packaging/test_wheel",
    "test_properties", "training/", "gym/",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    files = Counter(item.path for item in items)
    ranks = {path: next((k for k, part in enumerate(LONGEST) if part in str(path)), len(LONGEST)) for path in files}
    items.sort(key=lambda item: (ranks[item.path], -files[item.path]))


def pytest_configure(config: pytest.Config) -> None:
    """One cache for this run: towns are built, and runtimes measured, once for all workers and child processes."""
    if "NEURALSIM_CACHE" not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="neuralsim-cache-")
        os.environ["NEURALSIM_CACHE"] = folder.name
        config.add_cleanup(folder.cleanup)


@pytest.fixture(scope="session", autouse=True)
def settings_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a driver chooses goes into a folder of this worker, also what child processes write."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEURALSIM_CONFIG", str(tmp_path_factory.mktemp("settings") / "config"))
        yield


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEURALSIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def gpu(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[cuda_driver.Gpu]:
    """A machine with a GPU and TensorRT, both stand-ins; real ones, a part of which torch imports, are set aside."""
    monkeypatch.syspath_prepend(str(STANDINS))
    monkeypatch.setattr(cuda_driver, "gpu", lambda: GPU)
    monkeypatch.setattr(tensorrt_engines, "tensorrt_version", lambda: "11.4.0.106")
    for name in _loaded():
        monkeypatch.delitem(sys.modules, name)
    yield GPU
    for name in _loaded():
        del sys.modules[name]
    if hasattr(tensorrt, "cuda_runtime"):
        del tensorrt.cuda_runtime


def _loaded() -> list[str]:
    own = "neuralsim.runtimes.tensorrt.cuda_runtime"
    return [name for name in sys.modules if name.split(".")[0] in ("tensorrt", "cuda") or name == own]
