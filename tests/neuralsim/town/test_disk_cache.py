"""Builds of a town are cached on disk between starts, unchanged."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuralsim.town import disk_cache
from neuralsim.town.render import static_lighting
from neuralsim.town.render.shading.daylight import FIRST_SUN
from neuralsim.town.render.shading.shading_kernels import Backdrop
from neuralsim.town.static_town import StaticTown, _build_static_town, load_static_town


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEURALSIM_CACHE", str(tmp_path))
    return tmp_path / "towns"


def test_a_build_is_repeated_only_when_its_dependencies_change(folder: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[int] = []

    def make() -> dict[str, int]:
        made.append(1)
        return {"made": len(made)}

    assert [disk_cache.cached("build", (1,), make) for _ in range(3)] == [{"made": 1}] * 3
    assert disk_cache.cached("build", (2,), make) == {"made": 2}
    monkeypatch.setattr(disk_cache, "_sources", lambda: "edited")
    assert disk_cache.cached("build", (1,), make) == {"made": 3}
    next(folder.glob("*")).write_bytes(b"damaged")
    for path in folder.glob("*"):
        path.write_bytes(b"damaged")
    assert disk_cache.cached("build", (1,), make) == {"made": 4}


def test_only_files_of_this_user_are_read_and_old_ones_are_deleted(folder: Path, monkeypatch: pytest.MonkeyPatch):
    disk_cache.cached("build", (), lambda: "mine")
    next(folder.glob("build-*")).chmod(0o666)  # anybody could have written it
    assert disk_cache.cached("build", (), lambda: "made again") == "made again"
    monkeypatch.setattr(disk_cache, "MAX_BYTES", 3_500)
    for n in range(5):
        for path in folder.glob("*.pickle"):  # a minute ago, in the order in which they were used
            os.utime(path, (path.stat().st_atime - 60, path.stat().st_mtime - 60))
        disk_cache.cached("many", (n,), lambda: "x" * 1000)
    assert len(list(folder.glob("*.pickle"))) == 3
    assert not list(folder.glob("build-*"))


def build_slowly(folder: Path, results: Path) -> None:
    """Request a build that takes 0.5 s; note who has built it."""

    def build() -> int:
        time.sleep(0.5)
        return os.getpid()

    os.environ["NEURALSIM_CACHE"] = str(folder)
    (results / str(os.getpid())).write_text(str(disk_cache.cached("slow", (), build)))


def test_processes_that_start_together_build_once(tmp_path: Path):
    (tmp_path / "results").mkdir()
    fork = multiprocessing.get_context("fork")
    arguments = tmp_path / "cache", tmp_path / "results"
    processes = [fork.Process(target=build_slowly, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert len({path.read_text() for path in (tmp_path / "results").iterdir()}) == 1
    assert len(list((tmp_path / "results").iterdir())) == 3
    assert [path.suffix for path in (tmp_path / "cache" / "towns").iterdir()] == [".pickle"], "no lock is left"


def test_a_builder_that_hangs_does_not_stop_others(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(disk_cache, "_PATIENCE", 0.2)

    def build() -> str:
        return disk_cache.cached("nested", (), lambda: "inner")  # waits for itself

    assert disk_cache.cached("nested", (), build) == "inner"


def test_without_a_usable_folder_everything_is_built(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NEURALSIM_CACHE", os.devnull)
    assert disk_cache.cached("build", (), lambda: 7) == 7


def test_a_cached_town_equals_the_built_one(folder: Path):
    built = StaticTown("plain", 0)
    disk_cache.cached("town", (), lambda: built)
    again = disk_cache.cached("town", (), lambda: pytest.fail("it was not cached"))
    assert [vars(a) for a in again.spawn_points] == [vars(b) for b in built.spawn_points]
    assert (again.solid.boxes == built.solid.boxes).all()
    assert again.network.map.name == built.network.map.name
    first, second = (town.scene.arrays for town in (built, again))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    place = built.spawn_points[0]
    assert again.ground.surface_height(place.x, place.y, 0.0) == built.ground.surface_height(place.x, place.y, 0.0)
    assert again.rays is again.rays


class Hostile:
    """An object whose pickle requests an arbitrary call."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self._call, self._arguments = call, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call, self._arguments


@pytest.mark.parametrize("call", [os.system, eval, exec, disk_cache.os.mkdir])
def test_a_call_requested_by_a_file_is_not_executed(folder: Path, tmp_path: Path, call: Callable[..., object]):
    witness = tmp_path / "witness"
    asked = {os.system: f"mkdir {witness}", os.mkdir: str(witness)}.get(
        call, f"__import__('os').mkdir({str(witness)!r})"
    )
    disk_cache.cached("build", (), lambda: "mine")
    path = next(folder.glob("build-*"))
    path.write_bytes(pickle.dumps(Hostile(call, asked)))
    assert disk_cache.cached("build", (), lambda: "made again") == "made again"
    assert not witness.exists()
    path.write_bytes(pickle.dumps(Hostile(call, asked)))
    pickle.loads(path.read_bytes())
    assert witness.exists(), "an ordinary unpickler executes the call"


def test_a_cached_backdrop_equals_the_built_one(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Wear and shadows of a town take over a second: every start but the first one reads them."""
    built = StaticTown("plain", 0)
    fresh = built.backdrops
    assert not list(folder.glob("backdrop-*")), "a town without a cache key is not cached"
    _build_static_town.cache_clear()
    first = load_static_town("plain", 0).backdrops
    assert len(list(folder.glob("backdrop-*"))) == 1
    _build_static_town.cache_clear()
    monkeypatch.setattr(static_lighting.Backdrops, "_worn", lambda *_: pytest.fail("it was not cached"))
    again = load_static_town("plain", 0).backdrops
    for sun in (FIRST_SUN, (30.0, 100.0)):  # the cached one, and one that has to be computed
        for name in Backdrop._fields:
            expected = getattr(fresh.at(*sun), name)
            assert np.array_equal(getattr(first.at(*sun), name), expected)
            assert np.array_equal(getattr(again.at(*sun), name), expected)
