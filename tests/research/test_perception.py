"""The segmenter of real streets on the town, in simulator and rendered images."""

from __future__ import annotations

import pytest

from neuralsim.evaluation.metric_networks import CAMVID_CLASSES
from research.perception import perceive


@pytest.mark.slow
def test_a_segmenter_of_real_streets_finds_road_and_sky_in_the_town() -> None:
    results = perceive("street-rt", "onnxruntime", 20, [0])
    assert list(results) == ["simulator", "rendered", "real"]
    for name in ("simulator", "rendered"):
        assert results[name].keys() == {*CAMVID_CLASSES, "mean"}
        assert results[name]["road"] > 0.5
        assert results[name]["sky"] > 0.5
    assert results["real"]["mean"] == pytest.approx(0.567, abs=0.001)  # as the segmenter's card says
