"""Each term of the glossary is in the code where it says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \| `(\w+)`, `([\w/.]+)` \| [^|]*\|$")


def test_every_term_is_where_the_glossary_says() -> None:
    rows = [
        line
        for line in (ROOT / "docs/glossary.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith(("| --- |", "| term |"))
    ]
    assert len(rows) > 50
    wrong = []
    for row in rows:
        match = _ROW.match(row)
        file = ROOT / match[3] if match else None
        if file is None or not file.is_file() or not re.search(rf"\b{match[2]}\b", file.read_text(encoding="utf-8")):
            wrong.append(row)
    assert wrong == []
