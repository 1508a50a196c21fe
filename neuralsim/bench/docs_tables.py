"""Tables in a Markdown page, filled in from a report: ``neuralsim bench --docs docs/performance.md``.

A table stands between ``<!-- bench: NAME -->`` and ``<!-- /bench -->``; what is between is replaced, the prose around
it stays. A table that the report has no figures for is left as it was. A run of the whole matrix fills in ``matrix``
and nothing else.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from neuralsim.bench import tables

_BLOCK = re.compile(r"(<!-- bench: (\w+) -->\n)(.*?)(<!-- /bench -->)", re.DOTALL)
_TABLES = {"machine": tables.machine, "matrix": tables.drives, **tables.ALL}


class DocsError(Exception):
    """A page that cannot be filled in; one line says why."""


def check(path: Path) -> None:
    """``DocsError`` for a page that is not there or has no tables of ours."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DocsError(f"cannot read {path}: {(error.strerror or 'unknown reason').lower()}") from None
    names = [match[2] for match in _BLOCK.finditer(text)]
    unknown = [name for name in names if name not in _TABLES]
    if not names or unknown:
        what = f"an unknown table {unknown[0]!r}" if unknown else "no <!-- bench: NAME --> ... <!-- /bench -->"
        raise DocsError(f"{path} has {what}; there are {', '.join(_TABLES)}")


def fill(path: Path, report: dict[str, Any]) -> None:
    """Put the report's tables into the page at ``path``."""
    matrix = report["options"]["matrix"]

    def block(match: re.Match[str]) -> str:
        table = _TABLES[match[2]](report) if matrix == (match[2] == "matrix") else None
        return match[0] if table is None else f"{match[1]}{table.markdown()}\n{stamp(report)}\n{match[4]}"

    path.write_text(_BLOCK.sub(block, path.read_text(encoding="utf-8")), encoding="utf-8")


def stamp(report: dict[str, Any]) -> str:
    """When it was measured, and whether the machine had other things to do."""
    machine = report["machine"]
    load = (machine["load"] or [0.0])[0]
    busy = load > machine["cores"] / 2
    when, where = report["date"][:16].replace("T", " "), f"{machine['cpu']}, {machine['cores']} cores"
    text = f"Measured {when} on {where}, load {load:g} before."
    return f"\n*{text}{' **The machine was busy with other work: not its true speed.**' if busy else ''}*\n"
