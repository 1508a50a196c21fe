"""What is kept of a town between starts is the town."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuralsim.town import disk_cache
from neuralsim.town.render import static_lighting
from neuralsim.town.render.daylight import FIRST_SUN
from neuralsim.town.render.shading_kernels import Backdrop
from neuralsim.town.static_town import Land, _land, land_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEURALSIM_CACHE", str(tmp_path))
    return tmp_path / "towns"


def test_a_build_is_made_once_and_again_when_what_it_comes_from_changes(folder: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[int] = []

    def make() -> dict[str, int]:
        made.append(1)
        return {"made": len(made)}

    assert [disk_cache.kept("thing", (1,), make) for _ in range(3)] == [{"made": 1}] * 3
    assert disk_cache.kept("thing", (2,), make) == {"made": 2}
    monkeypatch.setattr(disk_cache, "_sources", lambda: "edited")
    assert disk_cache.kept("thing", (1,), make) == {"made": 3}
    next(folder.glob("*")).write_bytes(b"damaged")
    for path in folder.glob("*"):
        path.write_bytes(b"damaged")
    assert disk_cache.kept("thing", (1,), make) == {"made": 4}


def test_only_this_users_own_files_are_read_and_old_ones_go(folder: Path):
    disk_cache.kept("thing", (), lambda: "mine")
    next(folder.glob("thing-*")).chmod(0o666)  # anybody could have written it
    assert disk_cache.kept("thing", (), lambda: "made again") == "made again"
    for n in range(disk_cache.MOST + 3):
        disk_cache.kept("many", (n,), lambda: "x")
    assert len(list(folder.glob("*.pickle"))) == disk_cache.MOST


def test_where_nothing_can_be_kept_it_is_built(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NEURALSIM_CACHE", os.devnull)
    assert disk_cache.kept("thing", (), lambda: 7) == 7


def test_a_kept_town_is_the_town(folder: Path):
    built = Land("plain", 0)
    disk_cache.kept("land", (), lambda: built)
    again = disk_cache.kept("land", (), lambda: pytest.fail("it was not kept"))
    assert [vars(a) for a in again.spawn_points] == [vars(b) for b in built.spawn_points]
    assert (again.solid.boxes == built.solid.boxes).all()
    assert again.network.map.name == built.network.map.name
    first, second = (land.scene.arrays for land in (built, again))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    place = built.spawn_points[0]
    assert again.ground.level(place.x, place.y, 0.0) == built.ground.level(place.x, place.y, 0.0)
    assert again.rays is again.rays


class Hostile:
    """Its pickle asks for any call there is."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self._call, self._arguments = call, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call, self._arguments


@pytest.mark.parametrize("call", [os.system, eval, exec, disk_cache.os.mkdir])
def test_a_file_that_asks_for_a_call_is_not_obeyed(folder: Path, tmp_path: Path, call: Callable[..., object]):
    witness = tmp_path / "witness"
    asked = {os.system: f"mkdir {witness}", os.mkdir: str(witness)}.get(
        call, f"__import__('os').mkdir({str(witness)!r})"
    )
    disk_cache.kept("thing", (), lambda: "mine")
    path = next(folder.glob("thing-*"))
    path.write_bytes(pickle.dumps(Hostile(call, asked)))
    assert disk_cache.kept("thing", (), lambda: "made again") == "made again"
    assert not witness.exists()
    path.write_bytes(pickle.dumps(Hostile(call, asked)))
    pickle.loads(path.read_bytes())
    assert witness.exists(), "an ordinary reader would have obeyed"


def test_a_kept_backdrop_is_the_backdrop(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Wear and shadows of a town take over a second: every start but the first one reads them."""
    built = Land("plain", 0)
    fresh = built.backdrops
    assert not list(folder.glob("backdrop-*")), "nobody has said what it is kept as"
    _land.cache_clear()
    first = land_of("plain", 0).backdrops
    assert len(list(folder.glob("backdrop-*"))) == 1
    _land.cache_clear()
    monkeypatch.setattr(static_lighting.Backdrops, "_worn", lambda *_: pytest.fail("it was not kept"))
    again = land_of("plain", 0).backdrops
    for sun in (FIRST_SUN, (30.0, 100.0)):  # the one that is kept, and one that has to be computed
        for name in Backdrop._fields:
            wanted = getattr(fresh.at(*sun), name)
            assert np.array_equal(getattr(first.at(*sun), name), wanted)
            assert np.array_equal(getattr(again.at(*sun), name), wanted)
