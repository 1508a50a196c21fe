"""Bridges of roads over other roads: decks, parapets and piers."""

import numpy as np

from bridge.tags import Tag
from neuralsim.town.assets.meshes import NEAR, Mesh, box, merge, quad_strip
from neuralsim.town.core.polylines import arc_lengths
from neuralsim.town.ground.blocks import Ground
from neuralsim.town.opendrive.lane import Lane

DECK_DEPTH = 0.95  # m
CONCRETE, RAIL = (150, 148, 142), (128, 134, 138)
PARAPET = 1.05  # m
PIER_SPACING = 14.0  # m, minimum


def bridges(ground: Ground) -> list[Mesh]:
    """Return the meshes of all bridges; their asphalt belongs to the lanes."""
    return [mesh for left, right in spans(ground) for mesh in _bridge(left, right, ground)]


def spans(ground: Ground) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the outer edges of every bridge, f64 (N, 3) each, left and right along the road's reference line."""
    groups: dict[tuple[int, int, int], list[tuple[Lane, slice]]] = {}
    for lane, part in ground.bridges:
        count = len(lane.centre)
        start = part.start if lane.is_along else count - min(part.stop, count)
        groups.setdefault((lane.road, lane.section, start), []).append((lane, part))
    edges = []
    for members in groups.values():
        lanes = sorted(members, key=lambda member: -member[0].id)
        (first, cut), (last, end) = lanes[0], lanes[-1]
        left = first.left[cut] if first.is_along else first.right[cut][::-1]
        right = last.right[end] if last.is_along else last.left[end][::-1]
        if len(left) == len(right) and len(left) > 1:
            edges.append((left, right))
    return edges


def _bridge(left: np.ndarray, right: np.ndarray, ground: Ground) -> list[Mesh]:
    out = left - right
    out[:, 2] = 0.0
    out /= np.maximum(np.linalg.norm(out, axis=1), 1e-6)[:, None]
    parts = []
    for edge, outward in ((left, out), (right, -out)):
        rim, down = edge + 0.45 * outward, np.array([0.0, 0.0, DECK_DEPTH])
        up = np.array([0.0, 0.0, 0.22])
        parts += [
            quad_strip(edge - 0.02 * outward, edge - 0.02 * outward + up, Tag.BRIDGE, CONCRETE),
            quad_strip(edge - 0.02 * outward + up, rim + up, Tag.BRIDGE, CONCRETE),
            quad_strip(rim + up, rim - down, Tag.BRIDGE, CONCRETE),
        ]
        middle = edge + 0.22 * outward
        for low, high in ((0.42, 0.55), (0.78, 0.84), (PARAPET - 0.02, PARAPET + 0.08)):
            band = (0.0, 0.0, low), (0.0, 0.0, high)
            parts.append(quad_strip(middle + band[0], middle + band[1], Tag.GUARD_RAIL, RAIL))
        posts = [box((0.09, 0.09, PARAPET), (0, 0, PARAPET / 2), Tag.GUARD_RAIL, RAIL).moved(*p) for p in middle]
        parts.append(merge(posts).with_level(NEAR))
    below = np.array([0.0, 0.0, DECK_DEPTH])
    parts.append(quad_strip(left + 0.45 * out - below, right - 0.45 * out - below, Tag.BRIDGE, (118, 116, 112)))
    middle = (left + right) / 2
    at = arc_lengths(middle)
    for where in np.linspace(0.0, at[-1], max(3, int(at[-1] / 1.5)))[1:-1]:
        k = int(np.searchsorted(at, where))
        foot = float(ground.terrain_heights(middle[k : k + 1, :2])[0])
        clear = all(
            not ground.is_asphalt(*(middle[k, :2] + reach * step).tolist())
            for reach in (-1.5, 1.5)
            for step in (out[k, :2], np.array([-out[k, 1], out[k, 0]]))
        )
        if clear and middle[k, 2] - foot > 4.5 and _spaced(parts, middle[k]):
            for share in (0.22, 0.78):
                x, y, _ = (left[k] + share * (right[k] - left[k])).tolist()
                tall = float(middle[k, 2]) - DECK_DEPTH - foot + 0.3
                yaw = float(np.degrees(np.arctan2(out[k, 1], out[k, 0])))
                pier = box((0.9, 0.9, tall), (0, 0, tall / 2 - 0.3), Tag.BRIDGE, CONCRETE)
                parts.append(pier.moved(x, y, foot, yaw))
    return parts


def _spaced(parts: list[Mesh], place: np.ndarray) -> bool:
    """Return whether there is no pier within `PIER_SPACING` of a place."""
    piers = [mesh for mesh in parts if len(mesh.triangles) == 12 and mesh.tags[0] == Tag.BRIDGE]
    return all(np.hypot(*(mesh.vertices[:, :2].mean(0) - place[:2])) > PIER_SPACING for mesh in piers)
