"""Covers of manholes and gullies: where streets in towns have them."""

import numpy as np

from neuralsim.town.assets.road_meshes import COVER_RADIUS, COVERS, GULLY
from neuralsim.town.ground.road_surface import Street, streets
from neuralsim.town.opendrive.network import ASPHALT, Network
from neuralsim.town.scenery.site import Prop

_LIFT = 0.006  # m above the asphalt, below markings
_COVERS, _GULLIES = 30.0, 24.0  # m of lane per each, on average
_FARTHEST = 0.9  # m from the middle of a lane to the middle of a cover
_KERB = 0.08  # m from the edge of a lane to a gully


def road_props(network: Network) -> list[Prop]:
    """Return the covers of manholes and the gullies of all streets in towns."""
    outermost: dict[tuple[int, int, bool], int] = {}
    for lane in [*network.lanes, *(lane for lane in network.other_lanes if lane.kind in ASPHALT)]:
        side = lane.road, lane.section, lane.id > 0
        outermost[side] = max(outermost.get(side, 0), abs(lane.id))
    props = []
    for street, rng in streets(network, 1):
        lane = street.lane
        props += [
            _cover(street, rng)
            for _ in range(rng.poisson(street.length / _COVERS))
            if street.most_aside() > COVER_RADIUS
        ]
        if lane.outer_marking is None and abs(lane.id) == outermost[lane.road, lane.section, lane.id > 0]:
            props += [
                _gully(street, at) for at in np.arange(rng.uniform(0.0, _GULLIES), street.length, _GULLIES).tolist()
            ]
    return props


def _cover(street: Street, rng: np.random.Generator) -> Prop:
    """Return the cover of a manhole somewhere near the middle of a lane."""
    most = min(street.most_aside() - COVER_RADIUS, _FARTHEST)
    at, aside, kind = rng.uniform(0.0, street.length), rng.uniform(-most, most), rng.integers(COVERS)
    x, y, z, yaw = street.pose(at, aside, COVER_RADIUS)
    return Prop(f"cover {kind}", x, y, z + _LIFT, yaw)


def _gully(street: Street, at: float) -> Prop:
    """Return the grate at the kerb, ``at`` m along a lane."""
    aside = (street.half_width(at) - _KERB - GULLY[1] / 2.0) * (-1.0 if street.lane.keeps_left else 1.0)
    x, y, z, yaw = street.pose(at, aside, GULLY[0] / 2.0)
    return Prop("gully", x, y, z + _LIFT, yaw)
