"""The figures of an evaluation as one self-contained HTML page: table, details, videos."""

import base64
from pathlib import Path
from typing import Any

from neuralsim.base.html_pages import render

_TEMPLATE = Path(__file__).with_name("page.html.j2")


def write(path: Path, title: str, lines: list[dict[str, Any]], details: str, videos: dict[str, Path]) -> None:
    """Write the page.

    Args:
        path: Path of the page.
        title: Heading of the page.
        lines: Rows of the table: ``name``, ``what``, ``value``, ``frame_by_frame``, ``smoothed``, ``limit``, ``aim``,
            ``met`` (None: there is no limit).
        details: JSON, shown unchanged.
        videos: Caption -> MP4, put into the page as data; missing files are left out.
    """
    data = {name: base64.b64encode(file.read_bytes()).decode() for name, file in videos.items() if file.is_file()}
    page = render(_TEMPLATE, title=title, lines=lines, details=details, videos=data, number=number)
    path.write_text(page, encoding="utf-8")


def number(value: object) -> str:
    """Return a figure as text; a dash for what was not measured."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return "–" if value is None else str(value)
