"""Holes in recordings, and time in videos of drives."""

from __future__ import annotations

import numpy as np

from neuralsim.recording.holes import Hole, describe, holes


def test_a_hole_is_where_frames_are_missing_and_an_uneven_rhythm_is_none():
    times = 5.0 + np.concatenate([np.arange(0.0, 2.0, 0.04), np.arange(5.3, 6.0, 0.05)])
    (hole,) = holes(times.tolist())
    assert hole == Hole(hole.begin, hole.end, hole.frames)
    assert (round(hole.begin, 2), round(hole.end, 2)) == (1.96, 5.3)
    assert 80 <= hole.frames <= 84
    assert describe([hole]) == f"{hole.frames} frames missing: 0:02.0 to 0:05.3"
    assert holes([0.0, 0.03, 0.11, 0.14, 0.17]) == holes([]) == holes([1.0]) == []
    assert describe([]) == ""
