"""Names that documents gave before folders were renamed: they work for one release more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_documented_imports_are_the_same_objects() -> None:
    from bridge import transport
    from bridge.link import transport as link
    from neuralsim.remap import Remap
    from neuralsim.renderer import NeuralRenderer
    from neuralsim.renderer.neural_renderer import NeuralRenderer as Renderer
    from neuralsim.renderer.remap import Remap as same

    assert all(getattr(transport, name) is getattr(link, name) for name in transport.__all__)
    assert (Remap, NeuralRenderer) == (same, Renderer)


@pytest.mark.parametrize(
    "module",
    ["bridge.carla_bridge", "bridge.town.server", "bridge.town.benchmark", "bridge.town.carla_server.server"],
)
def test_documented_processes_start_by_their_old_names(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
