"""The figures of an evaluation as one HTML page that opens from disk: table, details, videos inside it."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em; color: #1c1e21; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35em .6em; vertical-align: top; }
th { border-bottom: 2px solid #888; } td { border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums; }
.met { color: #11701d; } .missed { color: #b3261e; } video { width: 100%; background: #000; }
pre { background: #f4f4f4; padding: 1em; overflow-x: auto; font-size: 12px; } small { color: #666; }
@media (prefers-color-scheme: dark) { body { background: #16181b; color: #e6e6e6; } pre { background: #222; }
td { border-color: #333; } .met { color: #7fd18b; } .missed { color: #ff8a80; } small { color: #aaa; } }
"""


def write(path: Path, title: str, lines: list[dict[str, Any]], details: str, videos: dict[str, Path]) -> None:
    """``lines``: rows of the table (name, value, others, limit, aim, met); ``details``: JSON; ``videos``: caption ->
    MP4, put into the page as data."""
    rows = "\n".join(_row(line) for line in lines)
    shown = "\n".join(_video(caption, file) for caption, file in videos.items() if file.is_file())
    path.write_text(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<table><tr><th>measure</th><th>as shipped</th><th>frame by frame</th><th>and smoothed</th>
<th>done at</th><th>aim</th></tr>
{rows}
</table>
{shown}
<h2>All figures</h2><pre>{html.escape(details)}</pre>
</body></html>
""",
        encoding="utf-8",
    )


def number(value: object) -> str:
    """A figure as it is shown; a dash for what was not measured."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return "–" if value is None else str(value)


def _row(line: dict[str, Any]) -> str:
    verdict = {True: "met", False: "missed", None: ""}[line["met"]]
    cells = [f'<td class="{verdict}"><b>{number(line["value"])}</b></td>']
    cells += [f"<td>{number(line[name])}</td>" for name in ("frame_by_frame", "smoothed")]
    cells += [f"<td>{html.escape(line[name] or '')}</td>" for name in ("limit", "aim")]
    return (
        f"<tr><td>{html.escape(line['name'])}<br><small>{html.escape(line['what'])}</small></td>{''.join(cells)}</tr>"
    )


def _video(caption: str, file: Path) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    return (
        f"<h2>{html.escape(caption)}</h2>\n"
        f'<video controls loop muted playsinline src="data:video/mp4;base64,{data}"></video>'
    )
