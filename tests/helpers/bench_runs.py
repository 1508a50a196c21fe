"""Measured drives of the benchmark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from neuralsim.bench.measurement import Job

_ROOT = Path(__file__).resolve().parents[2]


def drive(folder: Path, job: Job, *before: str) -> dict[str, Any]:
    """Return the result of one run of a cell, in a process of its own; ``before``: a command that runs it."""
    path = folder / "job.json"
    path.write_text(job.to_json())
    command = [*before, sys.executable, "-m", "neuralsim.bench.measured_drive", str(path)]
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(path.with_suffix(".result").read_text(encoding="utf-8"))
    return result
