"""OpenVINO is used without its telemetry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino_telemetry", reason="there is nothing to keep quiet")


def test_no_usage_statistics_are_kept_or_sent(tmp_path: Path) -> None:
    code = "import sys, neuralsim.runtimes.openvino.runtime; assert not sys.modules['openvino_telemetry']"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"HOME": str(tmp_path)})
    assert not (tmp_path / "intel").exists()
