"""Fill in tables of a Markdown page from a report of ``neuralsim bench``.

    python -m tools.bench_tables bench/report.json docs/guide/performance.md

A table stands between ``<!-- bench: NAME -->`` and ``<!-- /bench -->``; what is between is replaced, the text around
it stays. A table that the report has no figures for is left unchanged. A run of the whole matrix fills in ``matrix``
and nothing else, one with ``--ledger`` nothing but ``ledger``.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from neuralsim.bench.report import tables

_BLOCK = re.compile(r"(<!-- bench: (\w+) -->\n)(.*?)(<!-- /bench -->)", re.DOTALL)
_TABLES = {"machine": tables.machine, "matrix": tables.drives, **tables.ALL}


class DocsError(Exception):
    """The page cannot be filled in; the message is one line."""


def check(path: Path) -> None:
    """Raise ``DocsError`` for a page that does not exist or has no such tables."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DocsError(f"cannot read {path}: {(error.strerror or 'unknown reason').lower()}") from None
    names = [match[2] for match in _BLOCK.finditer(text)]
    unknown = [name for name in names if name not in _TABLES]
    if not names or unknown:
        mistake = f"an unknown table {unknown[0]!r}" if unknown else "no <!-- bench: NAME --> ... <!-- /bench -->"
        raise DocsError(f"{path} has {mistake}; the tables are {', '.join(_TABLES)}")


def fill(path: Path, report: dict[str, Any]) -> None:
    """Write the report's tables into the page at ``path``."""
    only = "matrix" if report["options"]["matrix"] else "ledger" if report.get("ledger") else ""

    def block(match: re.Match[str]) -> str:
        name = match[2] if match[2] in ("matrix", "ledger") else ""
        table = _TABLES[match[2]](report) if name == only else None
        return match[0] if table is None else f"{match[1]}{table.markdown()}\n{stamp(report)}\n{match[4]}"

    path.write_text(_BLOCK.sub(block, path.read_text(encoding="utf-8")), encoding="utf-8")


def stamp(report: dict[str, Any]) -> str:
    """Return a line on when and where it was measured, and whether the machine was busy with other work."""
    machine = report["machine"]
    load = (machine["load"] or [0.0])[0]
    busy = load > machine["cores"] / 2
    when, where = report["date"][:16].replace("T", " "), f"{machine['cpu']}, {machine['cores']} cores"
    text = f"Measured {when} on {where}, load {load:g} before."
    return f"\n*{text}{' **The machine was busy with other work: not its true speed.**' if busy else ''}*\n"


if __name__ == "__main__":
    source, page = map(Path, sys.argv[1:])
    check(page)
    fill(page, json.loads(source.read_text(encoding="utf-8")))
