"""Roadsides outside towns: guard rails, gantries, hedgerows and fences, woods up to the horizon."""

import itertools
from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
from scipy.spatial import cKDTree

from bridge.tags import Tag
from neuralsim.town.assets.houses import Lot, LotFrame, box, house
from neuralsim.town.assets.meshes import NEAR
from neuralsim.town.ground.blocks import ROAD_TYPES, Ring, offset, resample
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.scenery.site import TREE_KINDS, Box, Prop, Site

RURAL, MOTORWAY = ROAD_TYPES.index("rural"), ROAD_TYPES.index("motorway")
RAIL_COLOUR = (150, 156, 160)
RAIL_DISTANCE = 0.75  # m from the edge of the asphalt
GANTRY_SPACING = 420.0  # m between gantries of a motorway
SIGN_BLUE = (28, 84, 170)
TOWN_CLEARANCE = 46.0  # m, minimum distance of woods from the streets of a town
CANOPY_CELL = 11.0  # m, cells of the woods
POWER_LINE_SHARE = 0.6  # share of the sides of country roads with an overhead line
CROWN_DISTANCE = 80.0  # m from a road within which the edges of woods have crowns
LEAF_COLOURS = ((66, 92, 44), (74, 100, 48), (58, 84, 42), (82, 106, 54))


def roadsides(site: Site) -> None:
    """Place everything that belongs to roads outside towns."""
    for ring in site.ground.rings:
        if (ring.road_types == MOTORWAY).any():
            _guard_rails(site, ring)
            _motorway_verges(site, ring)
        if (ring.road_types == RURAL).any():
            _country_roadsides(site, ring)
    _gantries(site)


def _roadside_lines(ring: Ring, distance: float, step: float, road_type: int) -> Iterator[np.ndarray]:
    """Yield open lines (N, 3) along the stretches of a ring with a road type, ``distance`` metres from the asphalt."""
    line = resample(offset(ring.samples(), distance), step)
    chosen = (np.round(line[:, 4]) == road_type) & (line[:, 5] < 0.3)
    if chosen.all():
        yield np.concatenate([line, line[:1]])[:, :3]
        return
    first = int(np.flatnonzero(~chosen)[0])
    line, chosen = np.roll(line, -first, axis=0), np.roll(chosen, -first)
    bounds = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(int), [0]])))
    for a, b in zip(bounds[::2].tolist(), bounds[1::2].tolist(), strict=True):
        if b - a > 2:
            yield line[a:b, :3]


def _normals(line: np.ndarray) -> np.ndarray:
    """Return the unit normals (N, 2) of a line, away from the road."""
    step = np.gradient(line[:, :2], axis=0)
    return np.stack([-step[:, 1], step[:, 0]], 1) / np.maximum(np.linalg.norm(step, axis=1), 1e-6)[:, None]


def _guard_rails(site: Site, ring: Ring) -> None:
    """Add guard rails, a folded beam on posts, along every edge of a motorway."""
    for line in _roadside_lines(ring, RAIL_DISTANCE, 4.0, MOTORWAY):
        inward = _normals(line)
        rims = []
        for away, high in ((0.0, 0.8), (-0.09, 0.7), (0.0, 0.62), (-0.09, 0.54), (0.0, 0.44)):
            rims.append(np.column_stack([line[:, :2] + away * inward, line[:, 2] + high]))
        for upper, lower in pairwise(rims):
            site.builder.quads(np.stack([lower[:-1], lower[1:], upper[1:], upper[:-1]], 1), Tag.GUARD_RAIL, RAIL_COLOUR)
        for (x, y, z), normal in zip(line, inward, strict=True):
            frame = LotFrame(np.array([x, y, z]), np.array([normal[1], -normal[0]]), normal)
            box(site.builder, frame, (-0.06, 0.01, -0.4), (0.06, 0.14, 0.78), Tag.GUARD_RAIL, RAIL_COLOUR, 0, NEAR)
        middle, half = (line[1:] + line[:-1]) / 2, np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1) / 2
        yaw = np.arctan2(*np.diff(line[:, :2], axis=0).T[::-1])
        boxes = zip(middle[:, 0], middle[:, 1], yaw, half, np.full(len(half), 0.1), strict=True)
        site.boxes += itertools.starmap(Box, boxes)


def _motorway_verges(site: Site, ring: Ring) -> None:
    """Place rows of bushes and trees and noise barriers behind the guard rails, with open views between them."""
    rng = site.rng
    for line in _roadside_lines(ring, 3.4, 2.0, MOTORWAY):
        at = 0
        while at < len(line) - 4:
            count = int(rng.uniform(14, 60))
            part = line[at : at + count]
            at += count
            kind = str(rng.choice(["open", "bushes", "trees", "wall"], p=(0.3, 0.3, 0.3, 0.1)))
            if kind == "open" or len(part) < 4:
                continue
            inward = _normals(part)
            if kind == "wall":
                _noise_wall(site, part[:, :2] + inward * 0.6)
                continue
            for place, into in zip(part[:, :2], inward, strict=True):
                if rng.random() < (0.45 if kind == "bushes" else 0.3):
                    spot = place + into * rng.uniform(0.6, 5.0 if kind == "bushes" else 9.0)
                    if kind == "bushes":
                        plant(site, spot, f"bush {int(rng.integers(2))}", float(rng.uniform(0.9, 1.9)))
                    else:
                        name = ("lime", "birch", "young", "plane")[int(rng.integers(4))]
                        plant(site, spot, f"{name} {int(rng.integers(3))}", float(rng.uniform(0.6, 1.05)))


def _noise_wall(site: Site, line: np.ndarray) -> None:
    high = float(site.rng.uniform(2.6, 4.0))
    clear = [not site.is_occupied(float(x), float(y)) for x, y in line]
    colour = ((142, 146, 136), (156, 142, 122), (122, 138, 128))[int(site.rng.integers(3))]
    for a, b, free in zip(line[:-1], line[1:], np.array(clear[:-1]) & np.array(clear[1:]), strict=True):
        if not free:
            continue
        ends = np.array([a, b])
        z = site.terrain_heights(ends, float(site.ground.terrain_heights(ends[:1])[0]))
        quad = np.array([[*a, z[0] - 0.6], [*b, z[1] - 0.6], [*b, z.mean() + high], [*a, z.mean() + high]])
        site.builder.quads(quad[None], Tag.WALL, colour)
        (x, y), way = (a + b) / 2, b - a
        site.boxes.append(Box(x, y, float(np.arctan2(way[1], way[0])), float(np.hypot(*way)) / 2, 0.1))
        aside = np.array([0.0, 0.3])
        site.claim(np.array([a - aside, b - aside, b + aside, a + aside]), solid=False)


def plant(site: Site, spot: np.ndarray, kind: str, scale: float) -> None:
    """Place a tree or bush on the land if the spot is free."""
    x, y = (float(value) for value in spot)
    if site.is_occupied(x, y):
        return
    z = float(site.terrain_heights(spot[None], float(site.ground.terrain_heights(spot[None])[0]))[0]) - 0.03
    site.props.append(Prop(kind, x, y, z, float(site.rng.uniform(0.0, 360.0)), scale=scale))
    if not kind.startswith("bush"):
        site.add_post(x, y, 0.22)


def _place_pole(site: Site, x: float, y: float, kind: str, yaw: float) -> None:
    z = float(site.ground.terrain_heights(np.array([[x, y]]))[0])
    site.props.append(Prop(kind, x, y, z, yaw))
    site.add_post(x, y, 0.15)


def _country_roadsides(site: Site, ring: Ring) -> None:
    """Place delineators, grass verges, power lines, hedges, fences, rows of trees and farms along a country road."""
    _delineators_and_verges(site, ring)
    rng = site.rng
    if rng.random() < POWER_LINE_SHARE:
        for line in _roadside_lines(ring, 2.1, 42.0, RURAL):
            way = np.gradient(line[:, :2], axis=0)
            for (x, y, _), (dx, dy) in zip(line.tolist(), way.tolist(), strict=True):
                if not site.is_occupied(x, y):
                    _place_pole(site, x, y, "utility", float(np.degrees(np.arctan2(-dx, dy))))
    for line in _roadside_lines(ring, 2.6, 2.0, RURAL):
        at = 0
        while at < len(line) - 3:
            count = int(rng.uniform(8, 40))
            part = line[at : at + count]
            at += count
            kinds = ("open", "hedge", "fence", "trees", "bushes", "farm")
            kind = str(rng.choice(kinds, p=(0.24, 0.2, 0.2, 0.18, 0.12, 0.06)))
            if kind == "open" or len(part) < 3:
                continue
            if kind == "farm":
                _farm(site, part, _normals(part))
            else:
                _roadside_row(site, part, kind)


def _delineators_and_verges(site: Site, ring: Ring) -> None:
    rng = site.rng
    for line in _roadside_lines(ring, 0.6, 50.0, RURAL):
        for k in range(1, len(line) - 1):
            way = line[k + 1, :2] - line[k - 1, :2]
            yaw = float(np.degrees(np.arctan2(way[1], way[0]))) + 90.0
            x, y, z = line[k].tolist()
            site.props.append(Prop("delineator", x, y, z - 0.04, yaw))
    for line in _roadside_lines(ring, 0.12, 2.0, RURAL):  # grass that hangs over the edge of the asphalt
        way = np.gradient(line[:, :2], axis=0)
        for (x, y, z), (dx, dy) in zip(line.tolist(), way.tolist(), strict=True):
            if rng.random() < 0.4:
                yaw, kind = float(np.degrees(np.arctan2(dy, dx))), f"verge {int(rng.integers(3))}"
                site.props.append(Prop(kind, x, y, z - 0.05, yaw, scale=float(rng.uniform(0.5, 1.1))))


def _roadside_row(site: Site, line: np.ndarray, kind: str) -> None:
    """Place a row of "hedge", "fence", "trees" or "bushes" along a line (N, 3)."""
    rng, step = site.rng, np.gradient(line[:, :2], axis=0)
    yaw = np.degrees(np.arctan2(step[:, 1], step[:, 0]))
    back = float(rng.uniform(0.0, 1.6))
    for place, into, turn in zip(line, _normals(line), yaw.tolist(), strict=True):
        spot = place[:2] + into * back
        if site.is_occupied(*spot.tolist()):
            continue
        if kind in ("hedge", "fence"):
            z = float(site.terrain_heights(spot[None], float(place[2]))[0])
            name = "hedge high" if kind == "hedge" else "fence"
            site.props.append(Prop(name, float(spot[0]), float(spot[1]), z - 0.05, turn))
            site.boxes.append(Box(float(spot[0]), float(spot[1]), float(np.radians(turn)), 1.0, 0.2))
        elif rng.random() < (0.2 if kind == "trees" else 0.35):
            name = "bush" if kind == "bushes" else ("lime", "plane", "birch", "poplar")[int(rng.integers(4))]
            number = int(rng.integers(2 if kind == "bushes" else 3))
            scale = float(rng.uniform(0.75, 1.15 if kind == "trees" else 1.7))
            plant(site, spot + into * rng.uniform(0.0, 3.0), f"{name} {number}", scale)


def _farm(site: Site, part: np.ndarray, inward: np.ndarray) -> None:
    """Place a farmhouse or barn, set back from the road, if there is room."""
    rng, k = site.rng, len(part) // 2
    into = inward[k]
    forward = np.array([into[1], -into[0]])
    width, depth, back = (float(rng.uniform(*span)) for span in ((9.0, 20.0), (8.0, 11.0), (5.0, 16.0)))
    front = part[k, :2] + into * back - forward * width / 2
    corners = np.array([front, front + forward * width, front + forward * width + into * depth, front + into * depth])
    if not site.is_free(corners):
        return
    z = float(site.terrain_heights(corners, float(part[k, 2])).mean())
    frame = LotFrame(np.array([*front, z]), forward, into)
    storeys = int(rng.integers(1, 3))
    house(Lot(site.builder, frame, rng, site.next_instance()), width, depth, storeys, False, 3.0)
    site.claim(corners)
    site.pave(np.array([part[k, :2] - into * 3.0, part[k, :2] - into * 3.0 + forward * 3.0,
                        front + forward * (width / 2 + 3.0), front + forward * width / 2]), z)  # fmt: skip


def _gantries(site: Site) -> None:
    """Place sign gantries over motorways, where a carriageway is long enough."""
    groups: dict[tuple[int, int], list[Lane]] = {}
    network = site.network
    for lane in network.lanes:
        if lane.road_type == "motorway" and lane.junction < 0 and lane.length > 60.0:
            groups.setdefault((lane.road, lane.section), []).append(lane)
    for lanes in groups.values():
        lanes = [lane for lane in lanes if lane.is_along == lanes[0].is_along]
        if len(lanes) < 2:
            continue
        lanes.sort(key=lambda lane: -abs(lane.id) if lane.keeps_left else abs(lane.id))  # from left to right
        count = min(len(lane.centre) for lane in lanes)
        total = lanes[0].length
        for where in np.arange(min(40.0, total / 3), total - 20.0, GANTRY_SPACING).tolist():
            k = min(int(where / total * (count - 1)), count - 2)
            _gantry(site, lanes, k)


def _gantry(site: Site, lanes: list[Lane], k: int) -> None:
    left, right = lanes[0].left[k], lanes[-1].right[k]
    across = (right - left)[:2] / max(float(np.linalg.norm((right - left)[:2])), 1e-6)
    ends = []
    for edge, out in ((left, -across), (right, across)):
        reach = next(
            (d for d in np.arange(0.0, 6.0, 0.5) if not site.ground.is_asphalt(*(edge[:2] + out * d).tolist())), 6.0
        )
        ends.append(edge[:2] + out * (reach + 1.3))
        site.add_post(float(ends[-1][0]), float(ends[-1][1]), 0.25)
    z = float(min(left[2], right[2]))
    inward = np.array([across[1], -across[0]])  # along the lanes' travel
    frame = LotFrame(np.array([*ends[0], z]), across, inward)
    wide = float(np.linalg.norm(ends[1] - ends[0]))
    steel = (126, 130, 132)
    for x in (0.0, wide):
        box(site.builder, frame, (x - 0.18, -0.18, -0.6), (x + 0.18, 0.18, 7.2), Tag.POLE, steel)
    for y in (-0.45, 0.3):
        for low in (6.4, 7.1):
            box(site.builder, frame, (0.0, y, low), (wide, y + 0.14, low + 0.14), Tag.POLE, steel)
    for lane in lanes:
        middle = float((lane.centre[k, :2] - ends[0]) @ across)
        size = 1.5 if len(lanes) > 2 else 1.7
        box(site.builder, frame, (middle - size, -0.62, 5.6), (middle + size, -0.5, 8.0), Tag.TRAFFIC_SIGN, SIGN_BLUE)
        inner = np.array([(middle - 0.9, 6.5), (middle + 0.9, 6.5), (middle + 0.9, 6.75), (middle - 0.9, 6.75)])
        for shift in (0.0, 0.55):
            quad = np.column_stack([inner[:, 0], np.full(4, -0.64), inner[:, 1] + shift])
            site.builder.quads(frame.at(quad)[None], Tag.TRAFFIC_SIGN, (236, 238, 240), 0, NEAR)


def woods(site: Site) -> None:
    """Place trees in yards and along roads, and woods on the hills up to the horizon."""
    rng, ground = site.rng, site.ground
    lines = [(ring, resample(ring.samples(), 4.0)) for ring in ground.rings]
    if not lines:
        return
    points = np.concatenate([line for _, line in lines])
    edges, urban = cKDTree(points[:, :2]), points[:, 3] > 0.0
    low, high = ground.low - 60.0, ground.high + 60.0
    count = int(np.prod(high - low) / 260.0)
    spots = low + rng.uniform(0.0, 1.0, (count, 2)) * (high - low)
    away, near = edges.query(spots)
    chance = np.where(urban[near], np.where(away < 60.0, 1.0, 0.2), np.where(away < 45.0, 0.22, 0.0))
    chosen = (away > 7.0) & (rng.random(count) < chance)
    square = np.array([(-1.5, -1.5), (1.5, -1.5), (1.5, 1.5), (-1.5, 1.5)])
    for spot in spots[chosen]:
        if site.is_free(spot + square):
            kind = TREE_KINDS[int(rng.integers(len(TREE_KINDS)))]
            plant(site, spot, f"{kind} {int(rng.integers(3))}", float(rng.uniform(0.75, 1.1)))
    _canopy(site, edges, urban)


def _canopy(site: Site, edges: cKDTree, urban: np.ndarray) -> None:
    """Add woods as a closed canopy with ragged sides, with single trees in front of it near roads."""
    rng, ground = site.rng, site.ground
    beyond = 400.0
    low, high = ground.low - beyond, ground.high + beyond
    size = max(CANOPY_CELL, float((high - low).max()) / 260.0)
    shape = tuple(int(v) for v in np.ceil((high - low) / size)[::-1] + 1)
    x, y = np.meshgrid(low[0] + size * np.arange(shape[1]), low[1] + size * np.arange(shape[0]))
    nodes = np.stack([x.ravel(), y.ravel()], 1) + rng.uniform(-0.28, 0.28, (x.size, 2)) * size
    away, near = edges.query(nodes)
    patch = cv2.resize(rng.random((shape[0] // 9 + 2, shape[1] // 9 + 2)).astype(np.float32), shape[::-1],
                       interpolation=cv2.INTER_CUBIC).ravel()  # fmt: skip
    rim = np.minimum(nodes - low, high - nodes).min(axis=1)
    is_wooded = patch + 0.35 * np.clip((away - 40.0) / 200.0, 0.0, 1.0) + 0.6 * (rim < 130.0) > 0.62
    wood = (is_wooded & (away > np.where(urban[near], TOWN_CLEARANCE, 15.0))).reshape(shape)
    wood[[0, -1]] = wood[:, [0, -1]] = False
    foot = ground.terrain_heights(nodes)
    top = foot + rng.uniform(6.0, 12.5, len(nodes)) * np.where(away < 40.0, 0.8, 1.0)
    number = np.arange(x.size).reshape(shape)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    full = wood[:-1, :-1] & wood[:-1, 1:] & wood[1:, 1:] & wood[1:, :-1]
    cells = np.stack([a, b, c, d], -1)[full]
    upper, lower = np.column_stack([nodes, top]), np.column_stack([nodes, foot - 1.0])
    shade = rng.integers(0, len(LEAF_COLOURS), len(cells))
    for k, colour in enumerate(LEAF_COLOURS):
        site.builder.quads(upper[cells[shade == k]], Tag.VEGETATION, colour)
    sides = []
    padded = np.pad(full, 1)
    for (di, dj), corners in (((-1, 0), (0, 1)), ((0, 1), (1, 2)), ((1, 0), (2, 3)), ((0, -1), (3, 0))):
        neighbour = padded[1 + di : padded.shape[0] - 1 + di, 1 + dj : padded.shape[1] - 1 + dj]
        sides.append(np.stack([a, b, c, d], -1)[full & ~neighbour][:, corners])
    rims = np.concatenate(sides)
    for k, colour in enumerate(LEAF_COLOURS):  # each side is a row of bulging crowns
        mine = rims[k :: len(LEAF_COLOURS)]
        ends = np.stack([lower[mine], upper[mine]], 1)  # foot and top, of both ends
        site.builder.quads(_crowns(ends, away[mine].min(1) < CROWN_DISTANCE, rng), Tag.VEGETATION, colour)
    for spot in nodes[np.unique(rims)][away[np.unique(rims)] < 70.0]:
        for _ in range(2):
            kind = ("lime", "plane", "birch")[int(rng.integers(3))]
            plant(site, spot + rng.normal(0.0, 3.2, 2), f"{kind} {int(rng.integers(3))}", float(rng.uniform(0.7, 1.05)))


def _crowns(ends: np.ndarray, fine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sides of a wood as quads (N, 4, 3); ``ends`` f64 (S, 2, 2, 3): foot and top of both ends of each side.

    The ``fine`` sides bulge outwards and upwards like the crowns at the edge of a wood.
    """
    plain = ends[~fine]
    quads = [np.stack([plain[:, 0, 0], plain[:, 0, 1], plain[:, 1, 1], plain[:, 1, 0]], 1)]
    near = ends[fine]
    if not len(near):
        return quads[0]
    columns, rows = 6, 4
    u, v = np.linspace(0.0, 1.0, columns), np.linspace(0.0, 1.0, rows)
    foot = near[:, 0, :1] * (1 - u[:, None]) + near[:, 0, 1:] * u[:, None]
    top = near[:, 1, :1] * (1 - u[:, None]) + near[:, 1, 1:] * u[:, None]
    grid = foot[:, None] * (1 - v[:, None, None]) + top[:, None] * v[:, None, None]  # (S, rows, columns, 3)
    way = near[:, 0, 1, :2] - near[:, 0, 0, :2]
    out = np.stack([way[:, 1], -way[:, 0]], 1) / np.maximum(np.linalg.norm(way, axis=1), 1e-6)[:, None]
    high = (top - foot)[:, None, :, 2]
    inner = np.sin(np.pi * u) ** 0.5
    profile = inner * np.sin(np.pi * np.clip(v, 0.08, 0.9))[:, None] ** 0.7
    bulge = profile * rng.uniform(0.6, 2.4, (len(near), rows, columns))
    grid[..., :2] += out[:, None, None] * bulge[..., None]
    grid[..., 2] += inner * (v[:, None] ** 2) * rng.uniform(-0.08, 0.26, (len(near), rows, columns)) * high
    corners = [grid[:, :-1, :-1], grid[:, :-1, 1:], grid[:, 1:, 1:], grid[:, 1:, :-1]]
    quads.append(np.stack(corners, 3).reshape(-1, 4, 3))
    return np.concatenate(quads)
