"""Street furniture: parked cars, lamps, rows of trees, signs, bollards, bins, shelters."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from bridge.tags import Tag
from neuralsim.town.assets.meshes import RGB
from neuralsim.town.assets.prop_meshes import DESTINATIONS, LIMITS, nearest_limit
from neuralsim.town.assets.templates import templates
from neuralsim.town.core.blueprint_library import BASE_TYPES, STREET_COLOURS, TYPE_SHARES
from neuralsim.town.core.polylines import arc_lengths, interpolate
from neuralsim.town.ground.blocks import KERB, Ring
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.scenery.site import Box, Frontage, PlacedSign, Prop, Site, frontage


def reserve(site: Site) -> None:
    """Reserve the positions of traffic lights."""
    for signal in site.network.signals:
        x, y = signal.position[:2]
        site.add_post(float(x), float(y), 0.12)


def furnish(site: Site) -> None:
    """Place everything that belongs to the street rather than to a plot."""
    for lane in site.network.other_lanes if site.style.has_parked_cars else ():
        if lane.kind in ("parking", "shoulder") and lane.junction < 0 and lane.road_type == "town":
            _park_cars(site, lane)
    lane_ends = _lane_ends(site)
    for ring in site.ground.rings:
        _furnish_kerb(site, ring, lane_ends)
    _place_signs(site)


def _lane_ends(site: Site) -> np.ndarray:
    """Return ends and middles of the lanes in junctions, f64 (M, 2): the view there must stay clear."""
    ends = [
        end[:2]
        for lane in site.network.lanes
        if lane.junction >= 0
        for end in (lane.centre[0], lane.centre[-1], lane.centre[len(lane.centre) // 2])
    ]
    return np.array(ends).reshape(-1, 2)


def random_car(rng: np.random.Generator) -> tuple[str, tuple[float, float, float], RGB]:
    """Return the template, half sizes (m) and colour of a random car or van."""
    name = _random_car_name(rng)
    return name, templates().extent(name)[0], _random_colour(rng)


def _random_car_name(rng: np.random.Generator) -> str:
    names = [name for name in templates().vehicles if BASE_TYPES.get(name, "car") in ("car", "van")]
    weights = np.array([TYPE_SHARES.get(name, 1.0) * (0.5 if BASE_TYPES.get(name) == "van" else 1.0) for name in names])
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def _random_colour(rng: np.random.Generator) -> RGB:
    red, green, blue = (int(value) for value in str(rng.choice(STREET_COLOURS)).split(","))
    return red, green, blue


_OCCUPIED_SHARE = 0.9  # share of the parking lanes that begin with a row of cars
_ROW_ENDS, _ROW_BEGINS = 0.06, 0.3  # probabilities from one parking space to the next


def _park_cars(site: Site, lane: Lane) -> None:
    """Park cars in a parking lane, in rows with gaps."""
    rng = site.rng.spawn(1)[0]  # a generator of its own, so that other cars do not change the trees
    at = arc_lengths(lane.centre)
    wide = lane.width > 1.85
    here = float(rng.uniform(0.5, 6.0))
    in_row = bool(rng.random() < _OCCUPIED_SHARE)
    while here < at[-1] - 6.5:
        if rng.random() < (_ROW_ENDS if in_row else _ROW_BEGINS):
            in_row = not in_row
        name = _random_car_name(rng)
        half, _ = templates().extent(name)
        if not in_row:
            here += float(rng.uniform(4.0, 8.0))
            continue
        middle = here + half[0]
        k = int(np.searchsorted(at, middle))
        span = (at > here - 0.5) & (at < middle + half[0] + 0.5)
        if k >= len(at) or not wide[span].all():
            here += 1.0
            continue
        x, y, z = interpolate(lane.centre, at, middle).tolist()
        across = lane.right[k] - lane.left[k]
        heading = np.array([across[1], -across[0]]) / max(float(np.hypot(*across[:2])), 1e-6)
        shift = across[:2] / max(float(np.hypot(*across[:2])), 1e-6) * float(rng.uniform(-0.1, 0.12))
        yaw = float(np.arctan2(heading[1], heading[0]) + rng.normal(0.0, 0.015))
        if rng.random() < 0.06:
            yaw += np.pi
        site.props.append(Prop(name, x + shift[0], y + shift[1], z, float(np.degrees(yaw)), _random_colour(rng)))
        site.boxes.append(Box(x + shift[0], y + shift[1], yaw, half[0], half[1] * 0.93))
        here = middle + half[0] + float(rng.uniform(0.5, 1.3))


def _furnish_kerb(site: Site, ring: Ring, lane_ends: np.ndarray) -> None:
    """Place lamps and trees in rows, and small items between them, at the kerb of a pavement."""
    rng = site.rng
    if not (ring.pavement_widths > 0.0).any():
        return
    line, back = frontage(ring, 0.55), frontage(ring, max(ring.pavement - 0.45, 0.8))
    clear = np.ones(len(line.points), bool)
    if len(lane_ends):
        clear = cKDTree(lane_ends).query(line.points[:, :2], p=1)[0] > 9.0
    lamp = "street" if ring.pavement > 2.9 else str(rng.choice(["street", "lantern"]))
    next_lamp, next_tree, next_item = float(rng.uniform(3, 20)), float(rng.uniform(3, 20)), float(rng.uniform(5, 25))
    trees, left = False, 0.0
    kind, spacing = "lime", 10.0
    for k in range(len(line.points)):
        if left <= 0.0:  # another piece of street, with or without a row of trees
            trees, left = bool(rng.random() < (0.75 if ring.pavement > 2.5 else 0.45)), float(rng.uniform(40.0, 110.0))
            kind, spacing = str(rng.choice(["lime", "plane", "young", "birch"])), float(rng.uniform(8.0, 13.0))
        left -= 1.0
        next_lamp, next_tree, next_item = next_lamp - 1.0, next_tree - 1.0, next_item - 1.0
        if not clear[k] or not line.urban[k]:
            continue
        if next_lamp <= 0.0:
            _place_at(site, line, k, "lamp" if lamp == "street" else "lantern", post=0.12)
            next_lamp = float(rng.uniform(26.0, 34.0)) if lamp == "street" else float(rng.uniform(18.0, 24.0))
            next_tree = max(next_tree, 3.0)
        elif trees and next_tree <= 0.0:
            tree, turn = f"{kind} {int(rng.integers(3))}", float(rng.uniform(0, 360))
            _place_at(site, line, k, tree, turn=turn, scale=float(rng.uniform(0.7, 1.0)), post=0.2)
            _tree_pit(site, line, k)
            next_tree = spacing * float(rng.uniform(0.85, 1.2)) * (2.0 if rng.random() < 0.15 else 1.0)
        elif next_item <= 0.0:
            next_item = float(rng.uniform(5.0, 17.0))
            _place_small_item(site, ring, line, back, k)
    _weeds(site, frontage(ring, ring.pavement - 0.12))


def _tree_pit(site: Site, line: Frontage, k: int) -> None:
    """Add the patch of earth around a street tree."""
    place, forward = line.points[k], line.forward[k] * 0.6
    across = np.array([-forward[1], forward[0]])
    corners = np.array([place[:2] + a * forward + b * across for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    level = np.column_stack([corners, np.full(4, place[2] + KERB + (0.012 if site.ground.flat else 0.05))])
    site.builder.quads(level[None], Tag.TERRAIN, (104, 92, 70))


def _weeds(site: Site, line: Frontage) -> None:
    """Scatter weeds along the line where a pavement meets walls and gardens."""
    rng = site.rng
    for k in np.flatnonzero(line.urban & (rng.random(len(line.points)) < 0.07)).tolist():
        _place_at(site, line, k, f"weeds {int(rng.integers(3))}", turn=90.0, scale=float(rng.uniform(0.6, 1.1)))


#: Shares of the small items on pavements, which stand at the kerb or at the back against walls and fences.
SMALL_ITEMS = {
    "bollards": 0.13, "rails": 0.07, "litter": 0.1, "post": 0.04, "parking": 0.08, "limit": 0.06, "ticket": 0.05,
    "bikes": 0.1, "column": 0.02, "bench": 0.05, "cabinet": 0.06, "bin": 0.07, "shelter": 0.04, "board": 0.05,
    "planter": 0.04, "tables": 0.02, "control": 0.01, "sacks": 0.01,
}  # fmt: skip


KINDS, SHARES = tuple(SMALL_ITEMS), np.cumsum(list(SMALL_ITEMS.values()))[:-1]


def _place_small_item(site: Site, ring: Ring, line: Frontage, back: Frontage, k: int) -> None:
    rng = site.rng
    kind = KINDS[int(np.searchsorted(SHARES, rng.random()))]
    j = int(k * len(back.points) / len(line.points)) % len(back.points)
    if kind == "bollards":
        for m in range(int(rng.integers(3, 8))):
            _place_at(site, line, k + int(1.7 * m), "bollard", post=0.1)
    elif kind == "rails":
        for m in range(int(rng.integers(2, 6))):
            _place_at(site, line, k + 2 * m, "railing", turn=90.0, post=0.2)
    elif kind in ("parking", "limit"):
        # seen along the ring the road is on its left: signs face the traffic that comes there, or follows, keeping left
        name = kind if kind == "parking" else f"limit {_limit_near(site, line.points[k % len(line.points)])}"
        _place_at(site, line, k, f"sign {name}", turn=-90.0 if site.network.keeps_left else 90.0, post=0.06)
    elif kind == "shelter":
        if ring.pavement > 2.7:
            _place_at(site, back, j, "stop", turn=0.0)
            place, inward = back.points[j], back.inward[j]
            site.boxes.append(Box(float(place[0]), float(place[1]), float(np.arctan2(inward[1], inward[0])), 0.7, 1.9))
    elif kind == "tables":
        if ring.pavement > 2.3:
            for m in range(int(rng.integers(1, 4))):
                _place_at(site, back, j + 3 * m, str(rng.choice(["table", "parasol"])), post=0.8)
    elif kind == "bikes":
        if ring.pavement > 2.3:
            _place_at(site, line, k, f"bikes {int(rng.integers(2))}", post=0.6)
    elif kind == "board":
        _place_at(site, back, j, str(rng.choice(["board", "board pale"])), turn=float(rng.normal(0.0, 20.0)), post=0.3)
    elif kind in ("bench", "cabinet", "bin", "planter", "control", "sacks"):
        _place_at(site, back, j, kind, post=0.3)
    else:
        _place_at(site, line, k, kind, post=0.2)


def _place_at(
    site: Site, line: Frontage, k: int, kind: str, turn: float = 0.0, scale: float = 1.0, post: float = 0.0
) -> None:
    """Place a prop at a sample of a line, facing the road if ``turn`` (degrees) is 0; ``post`` is its half width, m.

    Nothing is placed where a road ends.
    """
    k %= len(line.points)
    if post and site.is_at_end(line.points[k : k + 1, :2]):
        return
    x, y, z = line.points[k].tolist()
    out = -line.inward[k]
    yaw = float(np.degrees(np.arctan2(out[1], out[0]))) + turn
    site.props.append(Prop(kind, x, y, z + KERB, yaw, scale=scale))
    if post:
        site.add_post(x, y, post)


def _limit_near(site: Site, place: np.ndarray) -> int:
    """Return the speed limit, km/h, of the lane nearest to ``place`` (x, y, ...), as there are signs for it."""
    lanes = site.network.lanes
    nearest = min(lanes, key=lambda lane: float(np.abs(lane.centre[:, :2] - place[:2]).sum(axis=1).min()))
    return nearest_limit(3.6 * nearest.speed)


#: Props of the signs that clients know as actors, and CARLA's kind of each.
SIGNS = {"sign yield": "yield", "sign stop": "stop"} | {f"sign limit {n}": f"speed_limit.{n}" for n in LIMITS}


def _place_signs(site: Site) -> None:
    """Place signs for right of way, speed limits, directions and crosswalks."""
    rng, network = site.rng, site.network
    guarded = {k for signal in network.signals for k in signal.lanes}
    for k, lane in enumerate(network.lanes):
        leads = any(network.lanes[n].junction >= 0 for n in lane.next)
        if lane.junction >= 0 or not leads or k in guarded or len(lane.next) < 2 or lane.length < 25.0:
            continue
        if lane.road_type == "motorway":
            continue
        if rng.random() < 0.6:
            _place_sign(site, lane, 1.5, f"sign {rng.choice(['yield', 'yield', 'stop', 'priority'])}")
        if rng.random() < 0.25 and lane.length > 60.0:
            _place_sign(site, lane, lane.length - 14.0, f"sign limit {nearest_limit(3.6 * lane.speed)}")
    for k in sorted(guarded):
        if rng.random() < 0.3 and network.lanes[k].length > 70.0:
            _place_sign(site, network.lanes[k], 38.0, f"direction {k % len(DESTINATIONS)}", beyond=1.6)
    for polygon in network.crosswalks:
        middle = polygon[:4].mean(0)
        for k, lane in enumerate(network.lanes):
            close = lane.junction < 0 and float(np.abs(lane.centre[-1] - middle)[:2].sum()) < 9.0
            if close and rng.random() < 0.4 and k not in guarded:  # a sign would hide the light
                _place_sign(site, lane, 6.2, "sign crossing")


def _place_sign(site: Site, lane: Lane, before_end: float, kind: str, beyond: float = 0.5) -> None:
    """Place a sign for a lane on the kerb beside it, if there is one, ``before_end`` metres before its end."""
    at = arc_lengths(lane.centre)
    where = max(at[-1] - before_end, 0.0)
    place = interpolate(lane.outer, at, where)
    across = interpolate(lane.outwards, at, where)[:2]
    across /= max(float(np.hypot(*across)), 1e-6)
    for out in (0.0, 1.0, 2.0, 3.0, 4.0):
        spot = place[:2] + across * (beyond + out)
        if not site.ground.is_asphalt(*spot.tolist()):
            yaw = float(np.degrees(np.arctan2(across[1], across[0]))) + (-90.0 if lane.keeps_left else 90.0)
            if kind in SIGNS:
                k = site.network.index[lane.road, lane.section, lane.id]
                site.signs.append(PlacedSign(len(site.props), k, before_end))
            site.props.append(Prop(kind, float(spot[0]), float(spot[1]), float(place[2]) + KERB, yaw))
            site.add_post(float(spot[0]), float(spot[1]), 0.06)
            return
