"""One renderer for all tests of the lens: loading it is what takes long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from neuralsim.lens.rig_renderer import RigRenderer


@pytest.fixture(scope="package")
def rig() -> Iterator[RigRenderer]:
    renderer = RigRenderer(threads=2)
    renderer.prepare(96, 64)
    yield renderer
    renderer.close()
