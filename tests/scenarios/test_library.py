"""Shipped scenarios by their bare names."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuralsim.cli import main
from scenarios import library
from scenarios.engine.loader import load


def test_bare_name_is_a_shipped_file() -> None:
    assert "cut_in" in library.names()
    for name in library.names():
        assert load(library.find(name)).id == name


def test_path_is_returned_unchanged() -> None:
    assert library.find("mine/cut_in.yaml") == Path("mine/cut_in.yaml")
    assert library.find("drive.XOSC") == Path("drive.XOSC")


def test_misspelt_name_suggests_the_closest_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="did you mean cut_in"):
        library.find("cutin")
    with pytest.raises(ValueError, match="there are cut_in, "):
        library.find("xyz")
    assert main(["record", "overtakin", "--out", "o"]) == 2
    assert "did you mean overtaking?" in capsys.readouterr().err
