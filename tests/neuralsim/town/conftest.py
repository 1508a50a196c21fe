"""What tests of the town share."""

from __future__ import annotations

import numpy as np
import pytest

from neuralsim.town.render import raster
from neuralsim.town.render.foliage import KINDS, LEVELS, SIDE


@pytest.fixture
def whole_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Foliage is drawn as the triangles that it is made of, which is what a ray meets."""
    monkeypatch.setattr(raster, "leaf_masks", lambda: np.ones((LEVELS * 2 * KINDS, SIDE, SIDE), bool))
