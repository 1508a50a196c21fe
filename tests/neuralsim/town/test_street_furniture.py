"""Street furniture has the parts by which one knows it."""

from __future__ import annotations

import numpy as np

from neuralsim.town.assets.meshes import NEAR, Mesh
from neuralsim.town.assets.prop_meshes import cabinet, litter_bin, sign


def corners(mesh: Mesh) -> np.ndarray:
    return mesh.vertices[mesh.triangles]


def test_who_walks_on_the_sign_of_a_crossing_is_within_its_triangle() -> None:
    crossing = sign("crossing")
    walker = corners(crossing.only(crossing.levels == NEAR))
    white = corners(crossing.only((crossing.colours == (240, 240, 236)).all(axis=1)))
    x = walker[..., 0].min()
    (triangle,) = white[np.ptp(white[..., 0], axis=1) + np.abs(white[..., 0].mean(1) - x) < 0.01]
    low, top, half = triangle[:, 2].min(), triangle[:, 2].max(), np.ptp(triangle[:, 1]) / 2
    assert (walker[..., 0] > triangle[:, 0].max()).all(), "in front of it"
    share = (walker[..., 2] - low) / (top - low)
    assert share.min() > 0.0
    assert 0.6 < share.max() < 0.9
    assert (np.abs(walker[..., 1]) < half * (1.0 - share)).all()
    legs = walker[(share.min(1) > 0.08) & (share.max(1) < 0.4)][..., 1]
    assert np.ptp(legs) > 0.6 * half, "legs apart"


def test_a_cabinet_has_doors_on_either_side_near_by() -> None:
    doors = corners(cabinet().only(cabinet().levels == NEAR))[..., 0]
    assert (np.abs(doors) > 0.19).all()
    assert (doors > 0.0).all(1).sum() == (doors < 0.0).all(1).sum() > 30


def test_a_litter_bin_is_open_below_its_dome() -> None:
    """What is behind the opening is dark and narrower than the dome above and the body below."""
    bin_ = litter_bin()
    points = corners(bin_)
    radius, z = np.linalg.norm(points[..., :2], axis=-1).max(1), points[..., 2]
    at = {name: (z.min(1) <= height) & (z.max(1) >= height) for name, height in
          (("body", 0.5), ("opening", 0.88), ("dome", 0.97))}  # fmt: skip
    dark = bin_.colours.max(1) < 40
    assert (dark & at["opening"]).sum() >= 16
    assert not (dark & (at["body"] | at["dome"])).any()
    assert radius[dark].max() < 0.9 * min(radius[at["body"]].max(), radius[at["dome"]].max())
