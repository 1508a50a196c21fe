"""The segmenter of real streets looks at the town, in the simulator's picture and painted."""

from __future__ import annotations

import pytest

from neuralsim.evaluation.metric_networks import CAMVID_CLASSES
from research.perception import perceive


@pytest.mark.slow
def test_a_segmenter_of_real_streets_finds_road_and_sky_in_the_town() -> None:
    found = perceive("street-rt", "onnxruntime", 20, [0])
    assert list(found) == ["simulator", "painted", "real"]
    for name in ("simulator", "painted"):
        assert found[name].keys() == {*CAMVID_CLASSES, "mean"}
        assert found[name]["road"] > 0.5
        assert found[name]["sky"] > 0.5
    assert found["real"]["mean"] == pytest.approx(0.567, abs=0.001)  # as the segmenter's card says
