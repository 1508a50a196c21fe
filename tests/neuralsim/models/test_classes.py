"""The generator's classes and CARLA's tags."""

from __future__ import annotations

import numpy as np

from bridge import tags
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS, MOVERS, is_mover


def test_what_moves_is_the_same_for_tags_and_channels() -> None:
    assert {CARLA_TO_CHANNEL[tag] for tag in tags.MOVERS} == set(MOVERS)
    scenery = [tag for tag in tags.Tag if tag not in tags.MOVERS]
    assert not {CARLA_TO_CHANNEL[tag] for tag in scenery} & set(MOVERS)
    assert np.flatnonzero(is_mover(np.arange(CHANNELS))).tolist() == sorted(MOVERS)
