"""Bands of rows: they cover an image once, begin at even rows, and raise errors."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from neuralsim.base import bands


@pytest.mark.parametrize("height", [1, 2, 31, 33, 64, 129, 255, 256, 1080])
def test_bands_cover_all_rows_once_and_begin_at_even_rows(height: int) -> None:
    all_bands = bands.bands(height)
    assert [row for first, last in all_bands for row in range(first, last)] == list(range(height))
    assert all(first % 2 == 0 for first, _ in all_bands)
    assert height == 1 or all(last - first >= 2 for first, last in all_bands)


@pytest.mark.parametrize("helped", [True, False])
def test_every_band_is_processed_once(helped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not helped:
        monkeypatch.setattr(bands, "_HELPER", None)
    done, lock = [], threading.Lock()

    def work(first: int, last: int) -> None:
        with lock:
            done.append((first, last))

    bands.run_in_bands(512, work)
    assert sorted(done) == bands.bands(512)


def test_errors_in_a_band_are_raised() -> None:
    def work(first: int, last: int) -> None:
        if first > 0:
            raise ValueError(f"row {first}")

    with pytest.raises(ValueError, match="row"):
        bands.run_in_bands(256, work)


@pytest.mark.parametrize("is_free", [True, False])
def test_a_second_thread_that_others_need_is_left_to_them(is_free: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "_HELPER", ThreadPoolExecutor(1))
    threads, both = set(), threading.Barrier(2)

    def work(first: int, last: int) -> None:
        threads.add(threading.get_ident())
        if is_free and first < bands.bands(256)[2][0]:
            both.wait(timeout=10.0)

    with bands.second_thread(is_free):
        bands.run_in_bands(256, work)
    assert len(threads) == (2 if is_free else 1)
    assert bands.is_second_free()
    assert not bands.is_second_free(default=False)
