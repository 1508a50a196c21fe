"""Planes of the surface, from what the engine knows."""

from __future__ import annotations

import numpy as np
import torch

from neuralsim.models.input_planes import Surface


def test_a_step_to_another_surface_does_not_turn_the_rim_of_this_one() -> None:
    """Two walls across the street, one behind the other: noise hung along the street on their rims drew lines."""
    surface = Surface(np.ones((3, 256, 3)), np.zeros((256, 3)))
    depth = torch.full((1, 8, 16), 12.0)
    depth[..., 8:] = 18.0
    camera = torch.cat([torch.eye(4).flatten(), torch.tensor([8.0, 8.0, 16.0, 4.0])])
    points, _ = surface._points(depth, camera)
    assert not surface._along(points).any()
    turned = points[:, [1, 0, 2]]
    assert surface._along(turned).all()
