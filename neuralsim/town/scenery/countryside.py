"""Roadsides outside towns: guard rails, gantries, hedgerows and fences, woods up to the horizon."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
from scipy.spatial import cKDTree

from bridge.tags import Tag
from neuralsim.town.assets.houses import LotFrame, box, house
from neuralsim.town.assets.meshes import NEAR
from neuralsim.town.ground.blocks import Ring, along, offset
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.scenery.site import TREE_KINDS, Prop, Site

RAIL = (150, 156, 160)
RAIL_AWAY = 0.75  # m from the edge of the asphalt
GANTRIES = 420.0  # m between gantries of a motorway
SIGN_BLUE = (28, 84, 170)
YARDS = 46.0  # m from a town's streets that its woods keep off
CANOPY = 11.0  # m, cells of the woods
UTILITY = 0.6  # share of country roads' sides with an overhead line
CROWNS = 80.0  # m from a road, within which the edges of woods have crowns
LEAVES = ((66, 92, 44), (74, 100, 48), (58, 84, 42), (82, 106, 54))


def roadsides(site: Site) -> None:
    """Everything that belongs to roads outside towns."""
    for ring in site.ground.rings:
        if (ring.setting == 2).any():
            _rails(site, ring)
            _slopes(site, ring)
        if (ring.setting == 1).any():
            _hedgerows(site, ring)
    _gantries(site)


def _stretches(ring: Ring, distance: float, step: float, setting: int) -> Iterator[np.ndarray]:
    """Open lines (N, 3) beside the stretches of a ring in some setting, ``distance`` metres from the asphalt."""
    line = along(offset(ring.columns(), distance), step)
    chosen = (np.round(line[:, 4]) == setting) & (line[:, 5] < 0.3)
    if chosen.all():
        yield np.concatenate([line, line[:1]])[:, :3]
        return
    first = int(np.flatnonzero(~chosen)[0])
    line, chosen = np.roll(line, -first, axis=0), np.roll(chosen, -first)
    bounds = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(int), [0]])))
    for a, b in zip(bounds[::2].tolist(), bounds[1::2].tolist(), strict=True):
        if b - a > 2:
            yield line[a:b, :3]


def _rails(site: Site, ring: Ring) -> None:
    """Guard rails: a folded beam on posts, along every edge of a motorway."""
    for line in _stretches(ring, RAIL_AWAY, 4.0, 2):
        step = np.gradient(line[:, :2], axis=0)
        inward = np.stack([-step[:, 1], step[:, 0]], 1)
        inward /= np.maximum(np.linalg.norm(inward, axis=1), 1e-6)[:, None]
        rims = []
        for away, high in ((0.0, 0.8), (-0.09, 0.7), (0.0, 0.62), (-0.09, 0.54), (0.0, 0.44)):
            rims.append(np.column_stack([line[:, :2] + away * inward, line[:, 2] + high]))
        for upper, lower in pairwise(rims):
            site.builder.quads(np.stack([lower[:-1], lower[1:], upper[1:], upper[:-1]], 1), Tag.GUARD_RAIL, RAIL)
        for (x, y, z), normal in zip(line, inward, strict=True):
            frame = LotFrame(np.array([x, y, z]), np.array([normal[1], -normal[0]]), normal)
            box(site.builder, frame, (-0.06, 0.01, -0.4), (0.06, 0.14, 0.78), Tag.GUARD_RAIL, RAIL, 0, NEAR)
        middle, half = (line[1:] + line[:-1]) / 2, np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1) / 2
        yaw = np.arctan2(*np.diff(line[:, :2], axis=0).T[::-1])
        site.boxes += zip(middle[:, 0], middle[:, 1], yaw, half, np.full(len(half), 0.1), strict=True)


def _slopes(site: Site, ring: Ring) -> None:
    """Behind the rails: rows of bushes and trees, stretches of noise barrier, open views."""
    rng = site.rng
    for line in _stretches(ring, 3.4, 2.0, 2):
        at = 0
        while at < len(line) - 4:
            count = int(rng.uniform(14, 60))
            part = line[at : at + count]
            at += count
            kind = str(rng.choice(["open", "bushes", "trees", "wall"], p=(0.3, 0.3, 0.3, 0.1)))
            if kind == "open" or len(part) < 4:
                continue
            step = np.gradient(part[:, :2], axis=0)
            inward = np.stack([-step[:, 1], step[:, 0]], 1) / np.maximum(np.linalg.norm(step, axis=1), 1e-6)[:, None]
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
    clear = [not site.occupied(float(x), float(y)) for x, y in line]
    colour = ((142, 146, 136), (156, 142, 122), (122, 138, 128))[int(site.rng.integers(3))]
    for a, b, free in zip(line[:-1], line[1:], np.array(clear[:-1]) & np.array(clear[1:]), strict=True):
        if not free:
            continue
        ends = np.array([a, b])
        z = site.lie(ends, float(site.ground.heights(ends[:1])[0]))
        quad = np.array([[*a, z[0] - 0.6], [*b, z[1] - 0.6], [*b, z.mean() + high], [*a, z.mean() + high]])
        site.builder.quads(quad[None], Tag.WALL, colour)
        middle, way = (a + b) / 2, b - a
        site.boxes.append((*middle, float(np.arctan2(way[1], way[0])), float(np.hypot(*way)) / 2, 0.1))
        aside = np.array([0.0, 0.3])
        site.claim(np.array([a - aside, b - aside, b + aside, a + aside]), solid=False)


def plant(site: Site, spot: np.ndarray, kind: str, scale: float) -> None:
    """A tree or bush on the land, where nothing else is."""
    x, y = (float(value) for value in spot)
    if site.occupied(x, y):
        return
    z = float(site.lie(spot[None], float(site.ground.heights(spot[None])[0]))[0]) - 0.03
    site.props.append(Prop(kind, x, y, z, float(site.rng.uniform(0.0, 360.0)), scale=scale))
    if not kind.startswith("bush"):
        site.post(x, y, 0.22)


def _upright(site: Site, x: float, y: float, kind: str, yaw: float) -> None:
    z = float(site.ground.heights(np.array([[x, y]]))[0])
    site.props.append(Prop(kind, x, y, z, yaw))
    site.post(x, y, 0.15)


def _hedgerows(site: Site, ring: Ring) -> None:
    """Beside a country road: hedges, fences, rows of trees, now and then a farm; posts with reflectors."""
    rng = site.rng
    for line in _stretches(ring, 0.6, 50.0, 1):
        for k in range(1, len(line) - 1):
            way = line[k + 1, :2] - line[k - 1, :2]
            yaw = float(np.degrees(np.arctan2(way[1], way[0]))) + 90.0
            x, y, z = line[k].tolist()
            site.props.append(Prop("delineator", x, y, z - 0.04, yaw))
    for line in _stretches(ring, 0.12, 2.0, 1):  # grass hangs over the edge of the asphalt
        way = np.gradient(line[:, :2], axis=0)
        for (x, y, z), (ahead, aside) in zip(line.tolist(), way.tolist(), strict=True):
            if rng.random() < 0.4:
                yaw, kind = float(np.degrees(np.arctan2(aside, ahead))), f"verge {int(rng.integers(3))}"
                site.props.append(Prop(kind, x, y, z - 0.05, yaw, scale=float(rng.uniform(0.5, 1.1))))
    if rng.random() < UTILITY:
        for line in _stretches(ring, 2.1, 42.0, 1):
            way = np.gradient(line[:, :2], axis=0)
            for (x, y, _), (ahead, aside) in zip(line.tolist(), way.tolist(), strict=True):
                if not site.occupied(x, y):
                    _upright(site, x, y, "utility", float(np.degrees(np.arctan2(-ahead, aside))))
    for line in _stretches(ring, 2.6, 2.0, 1):
        at = 0
        while at < len(line) - 3:
            count = int(rng.uniform(8, 40))
            part = line[at : at + count]
            at += count
            kinds = ("open", "hedge", "fence", "trees", "bushes", "farm")
            kind = str(rng.choice(kinds, p=(0.24, 0.2, 0.2, 0.18, 0.12, 0.06)))
            if kind == "open" or len(part) < 3:
                continue
            step = np.gradient(part[:, :2], axis=0)
            yaw = np.degrees(np.arctan2(step[:, 1], step[:, 0]))
            inward = np.stack([-step[:, 1], step[:, 0]], 1) / np.maximum(np.linalg.norm(step, axis=1), 1e-6)[:, None]
            if kind == "farm":
                _farm(site, part, inward)
                continue
            back = float(rng.uniform(0.0, 1.6))
            for place, into, turn in zip(part, inward, yaw.tolist(), strict=True):
                spot = place[:2] + into * back
                if site.occupied(*spot.tolist()):
                    continue
                if kind in ("hedge", "fence"):
                    z = float(site.lie(spot[None], float(place[2]))[0])
                    name = "hedge high" if kind == "hedge" else "fence"
                    site.props.append(Prop(name, float(spot[0]), float(spot[1]), z - 0.05, turn))
                    site.boxes.append((float(spot[0]), float(spot[1]), float(np.radians(turn)), 1.0, 0.2))
                elif rng.random() < (0.2 if kind == "trees" else 0.35):
                    name = "bush" if kind == "bushes" else ("lime", "plane", "birch", "poplar")[int(rng.integers(4))]
                    number = int(rng.integers(2 if kind == "bushes" else 3))
                    scale = float(rng.uniform(0.75, 1.15 if kind == "trees" else 1.7))
                    plant(site, spot + into * rng.uniform(0.0, 3.0), f"{name} {number}", scale)


def _farm(site: Site, part: np.ndarray, inward: np.ndarray) -> None:
    """One farmhouse or barn, set back from the road."""
    rng, k = site.rng, len(part) // 2
    into = inward[k]
    forward = np.array([into[1], -into[0]])
    width, depth, back = (float(rng.uniform(*span)) for span in ((9.0, 20.0), (8.0, 11.0), (5.0, 16.0)))
    front = part[k, :2] + into * back - forward * width / 2
    corners = np.array([front, front + forward * width, front + forward * width + into * depth, front + into * depth])
    if not site.free(corners):
        return
    z = float(site.lie(corners, float(part[k, 2])).mean())
    frame = LotFrame(np.array([*front, z]), forward, into)
    house(site.builder, frame, width, depth, int(rng.integers(1, 3)), rng, site.instance(), False, 3.0)
    site.claim(corners)
    site.pave(np.array([part[k, :2] - into * 3.0, part[k, :2] - into * 3.0 + forward * 3.0,
                        front + forward * (width / 2 + 3.0), front + forward * width / 2]), z)  # fmt: skip


def _gantries(site: Site) -> None:
    """Portals with boards over motorways, where a carriageway is straight and long enough."""
    groups: dict[tuple[int, int], list[Lane]] = {}
    network = site.network
    for lane in network.lanes:
        if lane.setting == "motorway" and lane.junction < 0 and lane.length > 60.0:
            groups.setdefault((lane.road, lane.section), []).append(lane)
    for lanes in groups.values():
        lanes = [lane for lane in lanes if (lane.id < 0) == (lanes[0].id < 0)]
        if len(lanes) < 2:
            continue
        lanes.sort(key=lambda lane: abs(lane.id))
        count = min(len(lane.centre) for lane in lanes)
        total = lanes[0].length
        for where in np.arange(min(40.0, total / 3), total - 20.0, GANTRIES).tolist():
            k = min(int(where / total * (count - 1)), count - 2)
            _gantry(site, lanes, k)


def _gantry(site: Site, lanes: list[Lane], k: int) -> None:
    left, right = lanes[0].left[k], lanes[-1].right[k]
    across = (right - left)[:2] / max(float(np.linalg.norm((right - left)[:2])), 1e-6)
    ends = []
    for edge, out in ((left, -across), (right, across)):
        reach = next(
            (d for d in np.arange(0.0, 6.0, 0.5) if not site.ground.asphalt(*(edge[:2] + out * d).tolist())), 6.0
        )
        ends.append(edge[:2] + out * (reach + 1.3))
        site.post(float(ends[-1][0]), float(ends[-1][1]), 0.25)
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
    """Trees in yards and along roads, and woods over the hills as far as one can see."""
    rng, ground = site.rng, site.ground
    lines = [(ring, along(ring.columns(), 4.0)) for ring in ground.rings]
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
        if site.free(spot + square):
            kind = TREE_KINDS[int(rng.integers(len(TREE_KINDS)))]
            plant(site, spot, f"{kind} {int(rng.integers(3))}", float(rng.uniform(0.75, 1.1)))
    _canopy(site, edges, urban)


def _canopy(site: Site, edges: cKDTree, urban: np.ndarray) -> None:
    """Woods as one roof of leaves with ragged sides; single trees stand before it where roads are near."""
    rng, ground = site.rng, site.ground
    beyond = 400.0
    low, high = ground.low - beyond, ground.high + beyond
    size = max(CANOPY, float((high - low).max()) / 260.0)
    shape = tuple(int(v) for v in np.ceil((high - low) / size)[::-1] + 1)
    x, y = np.meshgrid(low[0] + size * np.arange(shape[1]), low[1] + size * np.arange(shape[0]))
    nodes = np.stack([x.ravel(), y.ravel()], 1) + rng.uniform(-0.28, 0.28, (x.size, 2)) * size
    away, near = edges.query(nodes)
    patch = cv2.resize(rng.random((shape[0] // 9 + 2, shape[1] // 9 + 2)).astype(np.float32), shape[::-1],
                       interpolation=cv2.INTER_CUBIC).ravel()  # fmt: skip
    rim = np.minimum(nodes - low, high - nodes).min(axis=1)
    wanted = patch + 0.35 * np.clip((away - 40.0) / 200.0, 0.0, 1.0) + 0.6 * (rim < 130.0) > 0.62
    wood = (wanted & (away > np.where(urban[near], YARDS, 15.0))).reshape(shape)
    wood[[0, -1]] = wood[:, [0, -1]] = False
    foot = ground.heights(nodes)
    top = foot + rng.uniform(6.0, 12.5, len(nodes)) * np.where(away < 40.0, 0.8, 1.0)
    number = np.arange(x.size).reshape(shape)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    full = wood[:-1, :-1] & wood[:-1, 1:] & wood[1:, 1:] & wood[1:, :-1]
    cells = np.stack([a, b, c, d], -1)[full]
    upper, lower = np.column_stack([nodes, top]), np.column_stack([nodes, foot - 1.0])
    shade = rng.integers(0, len(LEAVES), len(cells))
    for k, colour in enumerate(LEAVES):
        site.builder.quads(upper[cells[shade == k]], Tag.VEGETATION, colour)
    sides = []
    padded = np.pad(full, 1)
    for (di, dj), corners in (((-1, 0), (0, 1)), ((0, 1), (1, 2)), ((1, 0), (2, 3)), ((0, -1), (3, 0))):
        beside = padded[1 + di : padded.shape[0] - 1 + di, 1 + dj : padded.shape[1] - 1 + dj]
        sides.append(np.stack([a, b, c, d], -1)[full & ~beside][:, corners])
    rims = np.concatenate(sides)
    for k, colour in enumerate(LEAVES):  # each side is a row of bulging crowns
        mine = rims[k :: len(LEAVES)]
        ends = np.stack([lower[mine], upper[mine]], 1)  # foot and top, of both ends
        site.builder.quads(_crowns(ends, away[mine].min(1) < CROWNS, rng), Tag.VEGETATION, colour)
    for spot in nodes[np.unique(rims)][away[np.unique(rims)] < 70.0]:
        for _ in range(2):
            kind = ("lime", "plane", "birch")[int(rng.integers(3))]
            plant(site, spot + rng.normal(0.0, 3.2, 2), f"{kind} {int(rng.integers(3))}", float(rng.uniform(0.7, 1.05)))


def _crowns(ends: np.ndarray, fine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sides of a wood as quads (N, 4, 3): ``ends`` f64 (S, 2, 2, 3), foot and top of each side's two ends.

    The ``fine`` ones swell outwards and upwards between them, as the crowns at the edge of a wood do.
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
    bulge = (
        inner
        * np.sin(np.pi * np.clip(v, 0.08, 0.9))[:, None] ** 0.7
        * rng.uniform(0.6, 2.4, (len(near), rows, columns))
    )
    grid[..., :2] += out[:, None, None] * bulge[..., None]
    grid[..., 2] += inner * (v[:, None] ** 2) * rng.uniform(-0.08, 0.26, (len(near), rows, columns)) * high
    corners = [grid[:, :-1, :-1], grid[:, :-1, 1:], grid[:, 1:, 1:], grid[:, 1:, :-1]]
    quads.append(np.stack(corners, 3).reshape(-1, 4, 3))
    return np.concatenate(quads)
