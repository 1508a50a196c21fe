"""Street furniture: parked cars, lamps, rows of trees, signs, bollards, bins, shelters."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from bridge.tags import Tag
from neuralsim.town.assets.templates import templates
from neuralsim.town.core.blueprint_library import BASE_TYPES, PAINTS
from neuralsim.town.ground.blocks import KERB, Ring
from neuralsim.town.opendrive.lane import Lane
from neuralsim.town.scenery.site import Frontage, Prop, Site, frontage


def reserve(site: Site) -> None:
    """Keep free what must stay free: nothing stands in front of a traffic light."""
    for signal in site.network.signals:
        x, y = signal.position[:2]
        site.post(float(x), float(y), 0.12)


def furnish(site: Site) -> None:
    """Place everything that belongs to the street rather than to a plot."""
    for lane in site.network.others if site.look.parked else ():
        if lane.kind in ("parking", "shoulder") and lane.junction < 0 and lane.setting == "town":
            _parked(site, lane)
    mouths = _mouths(site)
    for ring in site.ground.rings:
        _kerb(site, ring, mouths)
    _signs(site)


def _mouths(site: Site) -> np.ndarray:
    """Ends of lanes at junctions, f64 (M, 2): places that need a free view."""
    ends = [
        end[:2]
        for lane in site.network.lanes
        if lane.junction >= 0
        for end in (lane.centre[0], lane.centre[-1], lane.centre[len(lane.centre) // 2])
    ]
    return np.array(ends).reshape(-1, 2)


def car(rng: np.random.Generator) -> tuple[str, tuple[float, float, float], tuple[int, int, int]]:
    """Some car or van: its template, half sizes (m) and paint."""
    book = templates()
    names = [name for name in book.vehicles if BASE_TYPES.get(name, "car") in ("car", "van")]
    weights = np.array([0.5 if BASE_TYPES.get(name) == "van" else 1.0 for name in names])
    name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    red, green, blue = (int(value) for value in str(rng.choice(PAINTS)).split(","))
    return name, book.extent(name)[0], (red, green, blue)


_BUSY = 0.9  # share of the parking lanes that begin with a row of cars
_EMPTIES, _FILLS = 0.06, 0.3  # from one place to the next, that a row ends, and that one begins


def _parked(site: Site, lane: Lane) -> None:
    """Cars in a parking lane, in rows with gaps."""
    rng, book = site.rng.spawn(1)[0], templates()  # its own: other cars move no tree
    names = [name for name in book.vehicles if BASE_TYPES.get(name, "car") in ("car", "van")]
    weights = np.array([0.5 if BASE_TYPES.get(name) == "van" else 1.0 for name in names])
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(lane.centre, axis=0), axis=1))])
    wide = lane.width > 1.85
    here = float(rng.uniform(0.5, 6.0))
    busy = bool(rng.random() < _BUSY)
    while here < at[-1] - 6.5:
        if rng.random() < (_EMPTIES if busy else _FILLS):
            busy = not busy
        name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        half, _ = book.extent(name)
        if not busy:
            here += float(rng.uniform(4.0, 8.0))
            continue
        middle = here + half[0]
        k = int(np.searchsorted(at, middle))
        span = (at > here - 0.5) & (at < middle + half[0] + 0.5)
        if k >= len(at) or not wide[span].all():
            here += 1.0
            continue
        x, y, z = (float(np.interp(middle, at, lane.centre[:, d])) for d in range(3))
        aside = lane.right[k] - lane.left[k]
        heading = np.array([aside[1], -aside[0]]) / max(float(np.hypot(*aside[:2])), 1e-6)
        shift = aside[:2] / max(float(np.hypot(*aside[:2])), 1e-6) * float(rng.uniform(-0.1, 0.12))
        yaw = float(np.arctan2(heading[1], heading[0]) + rng.normal(0.0, 0.015))
        if rng.random() < 0.06:
            yaw += np.pi
        paint = str(rng.choice(PAINTS)).split(",")
        colour = (int(paint[0]), int(paint[1]), int(paint[2]))
        site.props.append(Prop(name, x + shift[0], y + shift[1], z, float(np.degrees(yaw)), colour))
        site.boxes.append((x + shift[0], y + shift[1], yaw, half[0], half[1] * 0.93))
        here = middle + half[0] + float(rng.uniform(0.5, 1.3))


def _kerb(site: Site, ring: Ring, mouths: np.ndarray) -> None:
    """Lamps and trees in rows, and the small things between them, at the outer edge of a pavement."""
    rng = site.rng
    if not (ring.walk > 0.0).any():
        return
    line, back = frontage(ring, 0.55), frontage(ring, max(ring.pavement - 0.45, 0.8))
    clear = np.ones(len(line.points), bool)
    if len(mouths):
        clear = cKDTree(mouths).query(line.points[:, :2], p=1)[0] > 9.0
    lamp = "street" if ring.pavement > 2.9 else str(rng.choice(["street", "lantern"]))
    next_lamp, next_tree, next_small = float(rng.uniform(3, 20)), float(rng.uniform(3, 20)), float(rng.uniform(5, 25))
    trees, left = False, 0.0
    kind, spacing = "lime", 10.0
    for k in range(len(line.points)):
        if left <= 0.0:  # another piece of street: with a row of trees or without
            trees, left = bool(rng.random() < (0.75 if ring.pavement > 2.5 else 0.45)), float(rng.uniform(40.0, 110.0))
            kind, spacing = str(rng.choice(["lime", "plane", "young", "birch"])), float(rng.uniform(8.0, 13.0))
        left -= 1.0
        next_lamp, next_tree, next_small = next_lamp - 1.0, next_tree - 1.0, next_small - 1.0
        if not clear[k] or not line.urban[k]:
            continue
        if next_lamp <= 0.0:
            _at(site, line, k, "lamp" if lamp == "street" else "lantern", post=0.12)
            next_lamp = float(rng.uniform(26.0, 34.0)) if lamp == "street" else float(rng.uniform(18.0, 24.0))
            next_tree = max(next_tree, 3.0)
        elif trees and next_tree <= 0.0:
            _at(
                site,
                line,
                k,
                f"{kind} {int(rng.integers(3))}",
                turn=float(rng.uniform(0, 360)),
                scale=float(rng.uniform(0.7, 1.0)),
                post=0.2,
            )
            _pit(site, line, k)
            next_tree = spacing * float(rng.uniform(0.85, 1.2)) * (2.0 if rng.random() < 0.15 else 1.0)
        elif next_small <= 0.0:
            next_small = float(rng.uniform(5.0, 17.0))
            _small(site, ring, line, back, k)
    _weeds(site, frontage(ring, ring.pavement - 0.12))


def _pit(site: Site, line: Frontage, k: int) -> None:
    """The patch of earth that a street tree stands in."""
    place, forward = line.points[k], line.forward[k] * 0.6
    across = np.array([-forward[1], forward[0]])
    corners = np.array([place[:2] + a * forward + b * across for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    level = np.column_stack([corners, np.full(4, place[2] + KERB + (0.012 if site.ground.flat else 0.05))])
    site.builder.quads(level[None], Tag.TERRAIN, (104, 92, 70))


def _weeds(site: Site, line: Frontage) -> None:
    """Weeds here and there along the line where a pavement meets walls and gardens."""
    rng = site.rng
    for k in np.flatnonzero(line.urban & (rng.random(len(line.points)) < 0.07)).tolist():
        _at(site, line, k, f"weeds {int(rng.integers(3))}", turn=90.0, scale=float(rng.uniform(0.6, 1.1)))


#: Shares of what stands on pavements: alone at the kerb, and at the back against walls and fences.
SMALL = {
    "bollards": 0.13, "rails": 0.07, "litter": 0.1, "post": 0.04, "parking": 0.08, "limit": 0.06, "ticket": 0.05,
    "bikes": 0.1, "column": 0.02, "bench": 0.05, "cabinet": 0.06, "bin": 0.07, "shelter": 0.04, "board": 0.05,
    "planter": 0.04, "tables": 0.02, "control": 0.01, "sacks": 0.01,
}  # fmt: skip


KINDS, SHARES = tuple(SMALL), np.cumsum(list(SMALL.values()))[:-1]


def _small(site: Site, ring: Ring, line: Frontage, back: Frontage, k: int) -> None:
    rng = site.rng
    kind = KINDS[int(np.searchsorted(SHARES, rng.random()))]
    j = int(k * len(back.points) / len(line.points)) % len(back.points)
    if kind == "bollards":
        for m in range(int(rng.integers(3, 8))):
            _at(site, line, k + int(1.7 * m), "bollard", post=0.1)
    elif kind == "rails":
        for m in range(int(rng.integers(2, 6))):
            _at(site, line, k + 2 * m, "railing", turn=90.0, post=0.2)
    elif kind in ("parking", "limit"):
        # Right-hand traffic runs with the road on the left of one who looks along the ring: signs face those who come.
        _at(site, line, k, f"sign {kind}", turn=90.0, post=0.06)
    elif kind == "shelter":
        if ring.pavement > 2.7:
            _at(site, back, j, "stop", turn=0.0)
            place, inward = back.points[j], back.inward[j]
            site.boxes.append((float(place[0]), float(place[1]), float(np.arctan2(inward[1], inward[0])), 0.7, 1.9))
    elif kind == "tables":
        if ring.pavement > 2.3:
            for m in range(int(rng.integers(1, 4))):
                _at(site, back, j + 3 * m, str(rng.choice(["table", "parasol"])), post=0.8)
    elif kind == "bikes":
        if ring.pavement > 2.3:
            _at(site, line, k, f"bikes {int(rng.integers(2))}", post=0.6)
    elif kind == "board":
        _at(site, back, j, str(rng.choice(["board", "board pale"])), turn=float(rng.normal(0.0, 20.0)), post=0.3)
    elif kind in ("bench", "cabinet", "bin", "planter", "control", "sacks"):
        _at(site, back, j, kind, post=0.3)
    else:
        _at(site, line, k, kind, post=0.2)


def _at(
    site: Site, line: Frontage, k: int, kind: str, turn: float = 0.0, scale: float = 1.0, post: float = 0.0
) -> None:
    """Put a prop on a sample of a line; without ``turn`` its front looks at the road."""
    k %= len(line.points)
    x, y, z = line.points[k].tolist()
    out = -line.inward[k]
    yaw = float(np.degrees(np.arctan2(out[1], out[0]))) + turn
    site.props.append(Prop(kind, x, y, z + KERB, yaw, scale=scale))
    if post:
        site.post(x, y, post)


#: Signs that clients know as actors: their props, and CARLA's kinds of them.
SIGNS = {"sign yield": "yield", "sign stop": "stop", "sign limit": "speed_limit"}


def _signs(site: Site) -> None:
    """Signs that belong to a place: who gives way, how fast, where one crosses."""
    rng, network = site.rng, site.network
    guarded = {k for signal in network.signals for k in signal.lanes}
    for k, lane in enumerate(network.lanes):
        leads = any(network.lanes[n].junction >= 0 for n in lane.next)
        if lane.junction >= 0 or not leads or k in guarded or len(lane.next) < 2 or lane.length < 25.0:
            continue
        if lane.setting == "motorway":
            continue
        if rng.random() < 0.6:
            _beside(site, lane, 1.5, f"sign {rng.choice(['yield', 'yield', 'stop', 'priority'])}")
        if rng.random() < 0.25 and lane.length > 60.0:
            _beside(site, lane, lane.length - 14.0, "sign limit")
    for k in sorted(guarded):
        if rng.random() < 0.3 and network.lanes[k].length > 70.0:
            _beside(site, network.lanes[k], 38.0, "direction", beyond=1.6)
    for polygon in network.crosswalks:
        middle = polygon[:4].mean(0)
        for k, lane in enumerate(network.lanes):
            close = lane.junction < 0 and float(np.abs(lane.centre[-1] - middle)[:2].sum()) < 9.0
            if close and rng.random() < 0.4 and k not in guarded:  # a sign would hide the light
                _beside(site, lane, 6.2, "sign crossing")


def _beside(site: Site, lane: Lane, before_end: float, kind: str, beyond: float = 0.5) -> None:
    """A sign for a lane on the kerb to its right, where there is one, ``before_end`` metres before the lane's end."""
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(lane.centre, axis=0), axis=1))])
    where = max(at[-1] - before_end, 0.0)
    place = np.array([np.interp(where, at, lane.right[:, d]) for d in range(3)])
    across = np.array([np.interp(where, at, (lane.right - lane.left)[:, d]) for d in range(2)])
    across /= max(float(np.hypot(*across)), 1e-6)
    for out in (0.0, 1.0, 2.0, 3.0, 4.0):
        spot = place[:2] + across * (beyond + out)
        if not site.ground.asphalt(*spot.tolist()):
            yaw = float(np.degrees(np.arctan2(across[1], across[0]))) + 90.0
            if kind in SIGNS:
                k = site.network.index[lane.road, lane.section, lane.id]
                site.signs.append((len(site.props), k, before_end))
            site.props.append(Prop(kind, float(spot[0]), float(spot[1]), float(place[2]) + KERB, yaw))
            site.post(float(spot[0]), float(spot[1]), 0.06)
            return
