"""What the site needs of pages that are also read in the repository."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("bridge", "scenarios", "neuralsim", "benchmarks", "research", "tools")

#: A link that leaves docs/: right in the repository, nowhere on the site.
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)#\s]+)(?:#[^)]*)?\)")


def modules() -> str:
    """A Markdown table per folder: each module and its docstring's first sentence."""
    tables: dict[str, list[str]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            first = re.split(r"(?<=\.)\s", " ".join(text.split("\n\n")[0].split()), maxsplit=1)[0].replace("|", "\\|")
            folder = path.parent.relative_to(ROOT).as_posix()
            rows = tables.setdefault(folder, [])
            if path.name == "__init__.py":
                rows.insert(0, first)
            else:
                rows.append(f"| `{path.name}` | {first} |")
    parts = []
    for folder, rows in tables.items():
        about = "" if not rows or rows[0].startswith("| ") else rows.pop(0)
        if rows:
            parts.append(f"## {folder}\n\n{about}\n\n| module | |\n| --- | --- |\n" + "\n".join(rows))
    return "\n\n".join(parts)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the list of modules; links to files of the repository become their text, with the path where the text is
    not it."""
    markdown = markdown.replace("<!-- modules -->", modules()) if "<!-- modules -->" in markdown else markdown
    return _OUTSIDE.sub(lambda link: link[1] if link[1].strip("`") == link[2] else f"{link[1]} (`{link[2]}`)", markdown)
