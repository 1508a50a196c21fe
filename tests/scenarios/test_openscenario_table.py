"""The table of OpenSCENARIO's elements is what the translation accepts."""

from __future__ import annotations

from pathlib import Path

from tools import openscenario_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "openscenario.md"


def test_the_page_is_current() -> None:
    command = "python -m tools.openscenario_table > docs/reference/openscenario.md"
    assert openscenario_table.page() == PAGE.read_text(encoding="utf-8"), command


def test_elements_are_refused_for_themselves_not_for_a_mistake_in_their_example() -> None:
    reasons = [(row.name, reason) for _, row, reason in openscenario_table.rows() if reason]
    assert 0 < len(reasons) < 30
    for name, reason in reasons:
        assert "is not supported" in reason, (name, reason)
