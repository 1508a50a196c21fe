"""The ground of a town as a mesh: asphalt, markings, kerbs, pavements and the land between the streets."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.spatial import Delaunay, cKDTree

from bridge.tags import Tag
from neuralsim.town.assets.meshes import RGB, Mesh, merge, quad_strip
from neuralsim.town.core.polylines import arc_lengths, interpolate, simplified_band
from neuralsim.town.ground.blocks import KERB, Ground, Ring, offset, points_in_polygon, resample
from neuralsim.town.ground.bridges import bridges
from neuralsim.town.ground.road_surface import road_surface
from neuralsim.town.ground.terrain import BEYOND
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.opendrive.network import ASPHALT, Network

MARKING_HEIGHT = 0.008  # m above the asphalt
LAND = 1100.0  # m of open land around the town, to the horizon
_HALVES = np.array([(0, 1, 2), (0, 2, 3)])  # the triangles of a quadrilateral
DASH, GAP = 3.0, 4.5  # m, of broken lines in towns

ASPHALT_COLOUR, PAVEMENT_COLOUR, KERB_COLOUR = (84, 84, 86), (138, 132, 126), (152, 150, 146)
GRASS_COLOUR, WHITE, YELLOW = (92, 112, 66), (226, 226, 220), (214, 178, 60)


def ground_mesh(network: Network, ground: Ground) -> Mesh:
    """Return the ground of a town in world coordinates, without holes up to the horizon."""
    asphalt = network.lanes + [lane for lane in network.other_lanes if lane.kind in ASPHALT]
    parts = []
    for lane in asphalt:  # lanes overlap a little, so that no cracks open between neighbours with other samples
        margin = (lane.right - lane.left) / np.maximum(lane.width, 0.01)[:, None] * 0.05
        parts.append(_strip(lane.left - margin, lane.right + margin, Tag.ROAD, ASPHALT_COLOUR))
    parts.append(_underlay(network, ground))
    parts += [_pavement(ring) for ring in ground.rings]
    parts += [_land(around, rings, ground) for around, rings in ground.regions]
    parts += bridges(ground)
    parts += road_surface(network)
    parts += _lane_markings(network)
    parts += [_zebra(polygon) for polygon in network.crosswalks]
    parts += _stop_lines(network)
    return merge(parts)


def _strip(left: np.ndarray, right: np.ndarray, tag: int, colour: RGB, lift: float = 0.0) -> Mesh:
    """Return a band between two lines (N, 3), with no more quads than its bends need."""
    keep = simplified_band(left, right)
    lifted = np.array([0.0, 0.0, lift])
    return quad_strip(left[keep] + lifted, right[keep] + lifted, tag, colour)


def _closed_strip(inner: np.ndarray, outer: np.ndarray, tag: int, colour: RGB) -> Mesh:
    n = len(inner)
    k, m = np.arange(n), np.roll(np.arange(n), -1)
    triangles = np.concatenate([np.stack([k, m, k + n], 1), np.stack([m, m + n, k + n], 1)])
    return Mesh.of(np.concatenate([inner, outer]), triangles, tag, colour)


def _raised(points: np.ndarray, height: float | np.ndarray) -> np.ndarray:
    result = points.copy()
    result[:, 2] += height
    return result


def _pavement(ring: Ring) -> Mesh:
    """Return kerb and pavement of a ring, where it has them."""
    lift = KERB * (ring.pavement_widths > 0.0)
    top = _raised(ring.points, lift)
    edge = _raised(offset(ring.points, np.minimum(ring.pavement_widths, 0.16)), lift)
    back = _raised(offset(ring.points, ring.pavement_widths), lift)
    mesh = merge(
        [
            _closed_strip(_raised(ring.points, -0.05), top, Tag.SIDEWALK, KERB_COLOUR),
            _closed_strip(top, edge, Tag.SIDEWALK, KERB_COLOUR),
            _closed_strip(edge, back, Tag.SIDEWALK, PAVEMENT_COLOUR),
        ]
    )
    if ring.is_urban:
        return mesh
    walked = np.tile(ring.pavement_widths > 0.0, 6)
    shown = walked[mesh.triangles].any(axis=1)
    return Mesh(mesh.vertices, mesh.triangles[shown], mesh.tags[shown], mesh.colours[shown])


def _land(around: Ring | None, rings: list[Ring], ground: Ground) -> Mesh:
    """Return a piece of land between roads.

    It extends below the pavement, or below the asphalt where there is none, which hides corners that the triangulation
    cuts.
    """
    lines = []
    for ring in [*([around] if around else []), *rings]:
        under = np.where(ring.pavement_widths > 0.0, ring.pavement_widths * 0.5, np.where(ring.on_bridge, 0.0, -0.3))
        line = offset(ring.points, under)
        line[:, 2] += np.where(ring.pavement_widths > 0.0, KERB - 0.03, -0.04)
        lines.append(resample(line, 5.0 if ground.flat else 3.0))
    points = np.concatenate([*lines, _grid(around, rings, ground)])
    if len(points) < 4:
        return Mesh.empty()
    triangles = Delaunay(points[:, :2]).simplices
    middle = points[triangles, :2].mean(axis=1)
    kept = points_in_polygon(middle, lines[0][:, :2]) if around else np.ones(len(triangles), bool)
    for line in lines[1 if around else 0 :]:
        kept &= ~points_in_polygon(middle, line[:, :2])
    return Mesh.of(points, triangles[kept], Tag.TERRAIN, GRASS_COLOUR)


def _grid(around: Ring | None, rings: list[Ring], ground: Ground) -> np.ndarray:
    """Return points (N, 3) inside a piece of land, which shape it: the border at the horizon, and hills."""
    parts = []
    if around is None:
        low, high = ground.low - LAND, ground.high + LAND
        share = np.linspace(0.0, 1.0, 9)[:, None]
        corners = np.array([low, (high[0], low[1]), high, (low[0], high[1]), low])
        rim = np.concatenate([a + share[:-1] * (b - a) for a, b in pairwise(corners)])
        parts.append(np.column_stack([rim, ground.terrain_heights(rim)]))
    if ground.terrain is None:
        return np.concatenate(parts) if parts else np.zeros((0, 3))
    edges = cKDTree(np.concatenate([ring.points[:, :2] for ring in ([around] if around else []) + rings] or [rim]))
    box = around.points if around else np.array([ground.low - 30.0, ground.high + 30.0])
    steps = [(6.0, 0.0, 26.0, box), (14.0, 26.0, 1e9, box)]
    if around is None:
        steps.append((44.0, 60.0, 1e9, np.array([ground.low - BEYOND, ground.high + BEYOND])))
    for step, nearest, farthest, extent in steps:
        low, high = extent[:, :2].min(0), extent[:, :2].max(0)
        x, y = np.meshgrid(*(np.arange(low[d], high[d] + step, step) for d in (0, 1)))
        spots = np.stack([x.ravel(), y.ravel()], 1)
        away = edges.query(spots)[0]
        spots = spots[(away > max(nearest, 3.5)) & (away <= farthest)]
        parts.append(np.column_stack([spots, ground.terrain_heights(spots)]))
    return np.concatenate(parts)


def _underlay(network: Network, ground: Ground, size: float = 3.0) -> Mesh:
    """Return asphalt just below the lanes of junctions, which do not cover a junction completely."""
    lanes = [lane for lane in network.lanes if lane.junction >= 0]
    if not lanes:
        return Mesh.empty()
    cells: dict[tuple[int, int], float] = {}
    for lane in lanes:
        for x, y, z in lane.centre.tolist():
            i, j = int(x // size), int(y // size)
            for a in range(i - 2, i + 3):
                for b in range(j - 2, j + 3):
                    cells.setdefault((a, b), z)
    grid = np.array(list(cells), float) * size
    heights = np.array(list(cells.values())) - 0.012
    middle = ((grid + size / 2 - ground.low) / ground.cell).astype(int)
    reach = int(0.7 * size / ground.cell)
    shape = ground.mask.shape
    near = np.zeros(len(grid), bool)
    for dx in (-reach, 0, reach):
        for dy in (-reach, 0, reach):
            near |= (
                ground.mask[np.clip(middle[:, 1] + dy, 0, shape[0] - 1), np.clip(middle[:, 0] + dx, 0, shape[1] - 1)]
                > 0
            )
    grid, heights = grid[near], heights[near]
    corners = np.array([(0, 0), (size, 0), (size, size), (0, size)])
    spots = grid[:, None] + corners
    level = np.broadcast_to(heights[:, None], (len(grid), 4))
    if not ground.flat:
        samples = np.concatenate([lane.centre for lane in lanes])
        away, near = cKDTree(samples[:, :2]).query(spots, k=4)
        weight = 1.0 / (away + 0.3) ** 2
        level = (samples[near, 2] * weight).sum(-1) / weight.sum(-1) - 0.03
    vertices = np.concatenate([spots, level[..., None]], axis=2)
    first = 4 * np.arange(len(grid))[:, None]
    triangles = np.concatenate([first + half for half in _HALVES])
    return Mesh.of(vertices.reshape(-1, 3), triangles, Tag.ROAD, ASPHALT_COLOUR)


def _lane_markings(network: Network) -> list[Mesh]:
    """Return the lane markings: the outer edge of every lane, and the inner edge of the innermost ones."""
    parts = []
    junction_lanes = _JunctionLanes(network)
    crossings = np.array([polygon[:4, :2].mean(0) for polygon in network.crosswalks]).reshape(-1, 2)
    sections = {(lane.road, lane.section, lane.id) for lane in network.lanes}
    turning = {(lane.road, lane.section, lane.id) for lane in network.other_lanes if lane.kind == "bidirectional"}
    for lane in network.lanes:
        beside = lane.id - (1 if lane.id > 0 else -1)  # the lane on its inner edge, 0: the middle of the road
        is_first = lane.id == -1 or (lane.id == 1 and (lane.road, lane.section, -1) not in sections)
        shared = not is_first and (lane.road, lane.section, beside) not in turning  # with a lane that draws it
        for marking, line, inward, is_drawn in (
            (lane.left_marking, lane.left, 1.0, lane.keeps_left or not shared),
            (lane.right_marking, lane.right, -1.0, not lane.keeps_left or not shared),
        ):
            if marking is None or not is_drawn:
                continue
            across = (lane.right - lane.left) / np.maximum(lane.width, 1e-6)[:, None] * inward
            colour = YELLOW if marking.is_yellow else WHITE
            kind = marking.kind
            runs = junction_lanes.uncrossed_runs(lane, line) if "solid" in kind else [slice(None)]
            shifts = (-0.12, 0.12) if kind in ("solidsolid", "brokenbroken", "solidbroken", "brokensolid") else (0.0,)
            for k, shift in enumerate(shifts):
                is_broken = kind in ("broken", "brokenbroken") or kind == ("brokensolid", "solidbroken")[k % 2]
                for run in runs:
                    middle, half = (line + across * shift)[run], (across * (marking.width / 2))[run]
                    middle, half = _before_crossings(middle, half, crossings)
                    if len(middle) > 1:
                        parts += _marking_line(middle, half, is_broken, colour)
    return parts


class _JunctionLanes:
    """The lanes in each junction: a solid line of one of them ends where another one crosses it."""

    MARGIN = 0.3  # m by which lanes are narrowed, as diverging lanes share edges

    def __init__(self, network: Network) -> None:
        lanes: dict[int, list[Lane]] = {}
        for lane in network.lanes:
            if lane.junction >= 0:
                lanes.setdefault(lane.junction, []).append(lane)
        self._samples = {
            junction: (
                cKDTree(np.concatenate([lane.centre for lane in members])),
                np.concatenate([lane.width for lane in members]) / 2.0 - self.MARGIN,
                np.repeat([lane.road for lane in members], [len(lane.centre) for lane in members]),
            )
            for junction, members in lanes.items()
        }

    def uncrossed_runs(self, lane: Lane, line: np.ndarray) -> list[slice]:
        """Return the runs of a lane's edge, f64 (N, 3), from its ends to where it enters a lane of another road."""
        if lane.junction not in self._samples:
            return [slice(None)]
        tree, half, road = self._samples[lane.junction]
        free = np.ones(len(line) + 2, bool)
        free[[0, -1]] = False
        for k, near in enumerate(tree.query_ball_point(line, float(half.max()))):
            other = np.array([n for n in near if road[n] != lane.road], np.int64)
            free[k + 1] = not (np.linalg.norm(tree.data[other] - line[k], axis=1) < half[other]).any()
        edges = np.flatnonzero(np.diff(free.astype(np.int8)))
        runs = [slice(a, b) for a, b in edges.reshape(-1, 2).tolist() if b - a > 1]
        return [run for run in runs if run.start == 0 or run.stop == len(line)]  # not those between crossings


def _before_crossings(line: np.ndarray, half: np.ndarray, crossings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a line and its half widths, shortened where a crosswalk is: lane markings end at the stop line."""
    at = arc_lengths(line)
    cut = [0.0, 0.0]
    for end, (tip, inner) in enumerate(((line[0], line[1]), (line[-1], line[-2]))):
        into = (inner - tip)[:2] / max(float(np.linalg.norm((inner - tip)[:2])), 1e-6)
        away = crossings - tip[:2]
        ahead, lateral = away @ into, np.abs(away[:, 0] * into[1] - away[:, 1] * into[0])
        near = (ahead > -1.0) & (ahead < 6.0) & (lateral < 9.0)
        if near.any():
            cut[end] = float(ahead[near].max()) + 2.8
    if cut == [0.0, 0.0]:
        return line, half
    low, high = cut[0], float(at[-1]) - cut[1]
    if high - low < 1.0:
        return line[:0], half[:0]
    where = np.concatenate([[low], at[(at > low) & (at < high)], [high]])
    return interpolate(line, at, where), interpolate(half, at, where)


def _marking_line(line: np.ndarray, half: np.ndarray, is_broken: bool, colour: RGB) -> list[Mesh]:
    if not is_broken:
        return [_strip(line - half, line + half, Tag.ROAD_LINE, colour, MARKING_HEIGHT)]
    at = arc_lengths(line)
    count = int((at[-1] - 1.0) // (DASH + GAP))
    if count < 1:
        return []
    start = (at[-1] - count * (DASH + GAP) + GAP) / 2 + np.arange(count) * (DASH + GAP)
    where = (start[:, None] + np.array([0.0, DASH / 2, DASH])).ravel()
    middle, side = interpolate(line, at, where), interpolate(half, at, where)
    vertices = np.concatenate([middle - side, middle + side])
    vertices[:, 2] += MARKING_HEIGHT
    n = 3 * count
    k = (3 * np.arange(count)[:, None] + np.array([0, 1])).ravel()
    triangles = np.concatenate([np.stack([k, k + 1, k + n], 1), np.stack([k + 1, k + 1 + n, k + n], 1)])
    return [Mesh.of(vertices, triangles, Tag.ROAD_LINE, colour)]


def _bars(origin: np.ndarray, step: np.ndarray, count: int, a: np.ndarray, b: np.ndarray) -> Mesh:
    """Return ``count`` parallelograms with sides ``a`` and ``b``, the first at ``origin``, ``step`` apart."""
    corners = origin + np.arange(count)[:, None, None] * step + np.array([0 * a, a, a + b, b])
    first = 4 * np.arange(count)[:, None]
    triangles = np.concatenate([first + half for half in _HALVES])
    vertices = corners.reshape(-1, 3)
    vertices[:, 2] += MARKING_HEIGHT
    return Mesh.of(vertices, triangles, Tag.ROAD_LINE, WHITE)


def _zebra(polygon: np.ndarray) -> Mesh:
    """Return the stripes of a crosswalk, half a metre wide, across the longer side of its polygon."""
    if len(polygon) < 4:
        return Mesh.empty()
    a, b = polygon[1] - polygon[0], polygon[3] - polygon[0]
    width, depth = (a, b) if np.linalg.norm(a) > np.linalg.norm(b) else (b, a)
    length = float(np.linalg.norm(width))
    count = int((length - 0.3) // 1.0)
    if count < 1:
        return Mesh.empty()
    unit = width / length
    origin = polygon[0] + unit * (length - count + 0.5) / 2
    return _bars(origin, unit, count, unit * 0.5, depth)


def _stop_lines(network: Network) -> list[Mesh]:
    """Return a solid bar before every traffic light, and short bars (give-way lines) where there is no light."""
    parts = []
    guarded = {k: signal.stop for signal in network.signals for k in signal.lanes}
    arms: dict[int, set[int]] = {}
    for lane in network.lanes:
        for k in lane.next:
            if network.lanes[k].junction >= 0:
                arms.setdefault(network.lanes[k].junction, set()).add(lane.road)
    for k, lane in enumerate(network.lanes):
        junctions = [network.lanes[n].junction for n in lane.next if network.lanes[n].junction >= 0]
        if lane.junction >= 0 or not junctions or len(arms[junctions[0]]) < 3:
            continue
        stop = guarded.get(k, 0.15)
        point, right, heading = lane_end(lane, stop)
        if k in guarded:
            origin, width = point - right * (lane.width[-1] / 2 - 0.12), right * (lane.width[-1] - 0.24)
            parts.append(_bars(origin, 0 * right, 1, width, -heading * 0.45))
        else:
            count = int(lane.width[-1] / 0.9)
            origin = point - right * (count * 0.9 - 0.3) / 2
            parts.append(_bars(origin, right * 0.9, count, right * 0.6, -heading * 0.3))
    return parts


class LaneEnd(NamedTuple):
    """A point on the centre line of a lane, f64 (3,), metres, and unit vectors f64 (3,) to its right and along it."""

    point: np.ndarray
    right: np.ndarray
    heading: np.ndarray


def lane_end(lane: Lane, back: float) -> LaneEnd:
    """Return the point of a lane ``back`` metres before its end."""
    at = arc_lengths(lane.centre)
    where = max(at[-1] - back, 0.0)
    across = interpolate(lane.right - lane.left, at, where)
    right = across / max(float(np.linalg.norm(across)), 1e-6)
    return LaneEnd(interpolate(lane.centre, at, where), right, np.array([right[1], -right[0], 0.0]))
