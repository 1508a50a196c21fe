"""The log that a drive writes with ``--log``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def newest(log: Path) -> dict[str, Any]:
    """Return the newest line of a log that is being written, {} if there is none."""
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    lines = text.split("\n")[:-1]  # what follows the last line end is half of a line
    return json.loads(lines[-1]) if lines else {}
