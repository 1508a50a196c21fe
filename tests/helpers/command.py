"""The ``neuralsim`` command as called from a terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def neuralsim(*arguments: str | Path, timeout: float = 170) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; ``timeout`` in seconds."""
    command = [sys.executable, "-m", "neuralsim", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=timeout, check=False)
