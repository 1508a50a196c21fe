"""The compiled per-tick decisions of the traffic: right of way, acceleration, lane changes.

Kernels take the lane graph as ``LaneArrays`` and the vehicles as a ``Fleet``.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.town.dynamics.lanes import LEVEL, look_ahead
from neuralsim.town.dynamics.vehicle_dynamics import overlap

HORIZON = 60.0  # m, least look-ahead for junctions
YIELD_TIMEOUT = 12.0  # s of yielding after which smaller gaps are accepted


class Fleet(NamedTuple):
    """N vehicles of the traffic with routes of R lanes. Kernels update the arrays in place."""

    routes: np.ndarray  # i64 (N, R), lanes, the one behind first; -1 = none
    s: np.ndarray  # f64 (N,), m along routes[:, 1]
    speed: np.ndarray  # f64 (N,), m/s
    half: np.ndarray  # f64 (N,), half length, m
    wide: np.ndarray  # f64 (N,), half width, m
    speed_factor: np.ndarray  # f64 (N,), share of the speed limit that is driven
    fastest: np.ndarray  # f64 (N,), top speed, m/s
    braking: np.ndarray  # bool (N,)
    blinker: np.ndarray  # i8 (N,): -1 left, 1 right
    waited: np.ndarray  # f64 (N,), s since it last moved
    granted: np.ndarray  # i64 (N,), junction lane granted to it, -1 = none
    refused: np.ndarray  # i64 (N,), junction lane refused to it, -1 = none
    changed: np.ndarray  # f64 (N,), s since the last lane change began


class _Intents(NamedTuple):
    """Which junction lane each vehicle heads for and when, and how long vehicles have waited for each lane."""

    aims: np.ndarray  # i64 (N,), -1 = none
    arrivals: np.ndarray  # f64 (N,), s
    patience: np.ndarray  # f64 (K,), s per lane


@njit(**kernels.EXACT)
def _may_enter(i, lane, beyond, line, fleet, intents, holders, bodies, lanes):
    """Decide whether vehicle ``i`` may enter a junction's ``lane`` and go on to lane ``beyond``, ``line`` m ahead.

    Return 0: yes. 1: no, a crossing lane is occupied, or a vehicle with the right of way approaches or has waited long.
    2: no, there is no room beyond. ``holders`` i64 (K,): vehicles granted each lane; ``bodies`` as in ``look_ahead``.
    """
    speed, waited, half, routes, own = fleet.speed, fleet.waited, fleet.half, fleet.routes, len(fleet.s)
    aims, arrivals, patience = intents
    length, first, at, points = lanes.length, lanes.first, lanes.at, lanes.points
    conflict_first, conflicts, yields = lanes.conflict_first, lanes.conflicts, lanes.yields
    mine = line / max(speed[i], 3.0)
    gap = 3.2 if waited[i] < YIELD_TIMEOUT else 1.6 if waited[i] < 2.0 * YIELD_TIMEOUT else 0.0
    for c in range(conflict_first[lane], conflict_first[lane + 1]):
        other = conflicts[c]
        if holders[other] > 0 or patience[other] > waited[i] + 6.0:
            return 1
        for j in range(own, len(bodies)):  # bodies that are not traffic and block the way
            if bodies[j, 4] < 0.5 or abs(bodies[j, 6] - points[first[other], 2]) > LEVEL:
                continue
            for p in range(first[other], first[other + 1]):
                if (points[p, 0] - bodies[j, 0]) ** 2 + (points[p, 1] - bodies[j, 1]) ** 2 < 6.0:
                    return 1
        if yields[c]:
            for j in range(own):
                if j == i:
                    continue
                if routes[j, 1] == other:  # on it without a grant: on a motorway none is needed
                    return 1
                late = 5.0 if speed[i] < 4.0 and speed[j] > 14.0 else gap  # from a standstill into fast traffic
                if aims[j] == other and gap > 0.0 and abs(arrivals[j] - mine) < late:
                    return 1
    if beyond >= 0:
        need = min(2.0 * half[i] + 3.0, length[beyond] - 0.1)
        for j in range(len(bodies)):
            if j == i or bodies[j, 5] > 2.5 or abs(bodies[j, 6] - points[first[beyond], 2]) > LEVEL:
                continue
            for p in range(first[beyond], first[beyond + 1]):
                if at[p] > need + bodies[j, 3]:
                    break
                if (points[p, 0] - bodies[j, 0]) ** 2 + (points[p, 1] - bodies[j, 1]) ** 2 < 1.5:
                    return 2
    return 0


@njit(**kernels.EXACT)
def _approach(fleet, lights, lanes, intents):
    """Write the junction lane that each vehicle reaches next (-1: none, or a red light before it), and when."""
    routes, s, speed, half = fleet.routes, fleet.s, fleet.speed, fleet.half
    length, junction, aims, arrivals = lanes.length, lanes.junction, intents.aims, intents.arrivals
    for i in range(len(s)):
        aims[i], arrivals[i] = -1, 1e9
        ahead = -s[i] - half[i]
        for k in range(1, routes.shape[1] - 1):
            here, then = routes[i, k], routes[i, k + 1]
            if here < 0 or then < 0:
                break
            ahead += length[here]
            if junction[then] >= 0 and junction[here] < 0:
                if lights[here] != 1 and speed[i] > 1.0:
                    aims[i], arrivals[i] = then, max(ahead, 0.0) / speed[i]
                break


@njit(**kernels.EXACT)
def _distance_to_wait(i, fleet, intents, holders, lights, crossed, bodies, lanes):
    """Return the distance (m) to the first place on vehicle ``i``'s route where it has to wait, 1e9 for none.

    That is a junction lane that is not granted, a light, pedestrians, or the end of the road. This also grants or
    refuses junction lanes and sets the blinker. Arguments as in ``drive`` and ``_may_enter``.
    """
    route, v, granted, blinker = fleet.routes[i], fleet.speed[i], fleet.granted, fleet.blinker
    length, junction, stop, turns, major = lanes.length, lanes.junction, lanes.stop, lanes.turn, lanes.major
    cross_first, cross_at, cross_id = lanes.cross_first, lanes.cross_at, lanes.cross_id
    wait = 1e9
    ahead = -fleet.s[i] - fleet.half[i]
    horizon = max(HORIZON, v * v / 4.0 + 30.0)
    blinker[i] = 0
    for k in range(1, len(route) - 1):
        if route[k] < 0:
            break
        for c in range(cross_first[route[k]], cross_first[route[k] + 1]):
            line = ahead + cross_at[c] - 1.2
            if crossed[cross_id[c]] and line > -0.8 and line > v * v / 10.0 - 1.0:
                wait = min(wait, max(line, 0.1))
        own_light = lights[route[k]]  # of a light on its road, away from any junction
        if own_light != 0 and junction[route[k]] < 0 and (route[k + 1] < 0 or junction[route[k + 1]] < 0):
            line = ahead + length[route[k]] - stop[route[k]]
            if line > -1.0 and (own_light == 1 or (own_light == 2 and line > v * v / 8.0)):
                wait = min(wait, max(line, 0.1))
        if route[k + 1] < 0:
            wait = min(wait, ahead + length[route[k]] - 1.0)  # the road ends here
            break
        ahead += length[route[k]]
        if ahead > horizon:
            break
        lane = route[k + 1]
        if junction[lane] < 0 or junction[route[k]] >= 0:
            continue
        if turns[lane] != 0 and ahead < 35.0:
            blinker[i] = turns[lane]
        if granted[i] == lane:
            continue
        light = lights[route[k]]
        if major[lane] and light == 0:
            continue
        line = ahead - stop[route[k]]
        if line < -3.0 and light != 0:
            light = 3  # already past its light
        may_go = light == 0 or light == 3 or (light == 2 and line < v * v / 8.0)
        if may_go and granted[i] < 0 and line < v * v / 5.0 + 6.0:
            beyond = route[k + 2] if k + 2 < len(route) else -1
            answer = _may_enter(i, lane, beyond, max(line, 0.0), fleet, intents, holders, bodies, lanes)
            if answer == 1:
                fleet.refused[i] = lane
            elif answer == 0:
                granted[i] = lane
                holders[lane] += 1
                continue
        wait = min(wait, line)
        break
    if junction[route[1]] >= 0 and turns[route[1]] != 0:
        blinker[i] = turns[route[1]]
    return wait


@njit(**kernels.EXACT)
def _acceleration(v, allowed, free, leader_speed, wait):
    """Return the acceleration (m/s2) of the Intelligent Driver Model at speed ``v`` (m/s).

    ``allowed``: desired speed, m/s; ``free``: m to a leader at ``leader_speed``, m/s; ``wait``: m to where it waits.
    """
    strongest = 1.7 * (1.0 - (v / max(allowed, 0.1)) ** 4)
    strongest = max(strongest, -3.0)
    for obstacle in range(2):
        gap = free if obstacle == 0 else wait
        if gap > 260.0:
            continue
        standing = 2.2 if obstacle == 0 else 0.6
        approach = v - (leader_speed if obstacle == 0 else 0.0)
        desired_gap = standing + max(0.0, 1.15 * v + v * approach / (2.0 * np.sqrt(1.7 * 2.6)))
        strongest = min(strongest, 1.7 * (1.0 - (v / max(allowed, 0.1)) ** 4 - (desired_gap / max(gap, 0.05)) ** 2))
        if gap < 0.3:
            strongest = -8.0
    return max(strongest, -8.0)


@njit(**kernels.EXACT)
def _would_hit(i, step, fleet, bodies):
    """Return whether vehicle ``i``, moved on by ``step`` m, overlaps a body that is not traffic."""
    for j in range(len(fleet.s), len(bodies)):
        if abs(bodies[j, 6] - bodies[i, 6]) < LEVEL and overlap(
            bodies[i, 0] + step * np.cos(bodies[i, 2]), bodies[i, 1] + step * np.sin(bodies[i, 2]),
            bodies[i, 2], fleet.half[i], fleet.wide[i],
            bodies[j, 0], bodies[j, 1], bodies[j, 2], bodies[j, 3], bodies[j, 4],
        )[0] > 0.0:  # fmt: skip
            return True
    return False


@njit(**kernels.EXACT)
def _advance(i, step, fleet, holders, length):
    """Move vehicle ``i`` by ``step`` m along its route, and release the junction lane that it has left."""
    route, s, granted = fleet.routes[i], fleet.s, fleet.granted
    s[i] += step
    while s[i] > length[route[1]] and route[2] >= 0:
        s[i] -= length[route[1]]
        for k in range(len(route) - 1):
            route[k] = route[k + 1]
        route[len(route) - 1] = -1
    if granted[i] >= 0 and route[1] != granted[i] and route[0] == granted[i] and s[i] > fleet.half[i] + 0.5:
        holders[granted[i]] -= 1
        granted[i] = -1


@njit(**kernels.EXACT)
def drive(delta, turn, fleet, holders, lights, crossed, bodies, probe, lanes):
    """Advance every vehicle by one tick: grants, acceleration, motion along the route.

    Args:
        delta: s.
        turn: Number of the tick, which rotates the order.
        fleet: ``Fleet``, updated.
        holders: i64 (K,), number of vehicles granted each lane, updated.
        lights: i8 (K,), 0 none, 1 red, 2 yellow, 3 green.
        crossed: bool per crosswalk, pedestrians on it or waiting.
        bodies: As in ``look_ahead``, those of the fleet first.
        probe: As in ``look_ahead``.
        lanes: ``LaneArrays``.
    """
    speed, refused, waited = fleet.speed, fleet.refused, fleet.waited
    count = len(speed)
    patience = np.zeros(len(lanes.length))
    intents = _Intents(np.empty(count, np.int64), np.empty(count), patience)
    _approach(fleet, lights, lanes, intents)
    for i in range(count):
        if refused[i] >= 0 and waited[i] > YIELD_TIMEOUT:
            patience[refused[i]] = max(patience[refused[i]], waited[i])
        refused[i] = -1
    for n in range(count):
        i = (n + turn) % count  # each is first in turn, so that none starves at a junction
        v = speed[i]
        wait = _distance_to_wait(i, fleet, intents, holders, lights, crossed, bodies, lanes)
        free, leader_speed, allowed = look_ahead(
            i, fleet.routes[i], fleet.s[i], fleet.half[i], fleet.wide[i], v, lanes, bodies, probe
        )
        allowed = min(allowed * fleet.speed_factor[i], fleet.fastest[i])
        acceleration = _acceleration(v, allowed, free, leader_speed, wait)
        v = max(0.0, v + acceleration * delta)
        if (v < 0.12 and acceleration < 0.3) or (v > 0.0 and _would_hit(i, v * delta, fleet, bodies)):
            v = 0.0
        fleet.braking[i] = acceleration < -0.6 or v == 0.0
        speed[i] = v
        _advance(i, v * delta, fleet, holders, lanes.length)


@njit(**kernels.EXACT)
def _ahead_and_behind(i, lane, where, bodies, lanes):
    """Return the free distance ahead of ``where`` (m) on a lane and the speed of the body there, then the same behind.

    Distances are m from centre to the nearest end of the body, speeds m/s.
    """
    first, at, points = lanes.first, lanes.at, lanes.points
    front, leader_speed, back, follower_speed = 1e9, 1e9, 1e9, 0.0
    for j in range(len(bodies)):
        if j == i or abs(bodies[j, 6] - bodies[i, 6]) > LEVEL:
            continue
        best, spot = 5.3, -1  # m2, squared distance within which a body is on the lane
        for p in range(first[lane], first[lane + 1]):
            d = (points[p, 0] - bodies[j, 0]) ** 2 + (points[p, 1] - bodies[j, 1]) ** 2
            if d < best:
                best, spot = d, p
        if spot < 0:
            continue
        gap = at[spot] - where
        if gap >= 0.0 and gap - bodies[j, 3] < front:
            front, leader_speed = gap - bodies[j, 3], bodies[j, 5]
        if gap < 0.0 and -gap - bodies[j, 3] < back:
            back, follower_speed = -gap - bodies[j, 3], bodies[j, 5]
    return front, leader_speed, back, follower_speed


@njit(**kernels.EXACT)
def lane_changes(turn, fleet, bodies, lanes):
    """Return the lane that each vehicle changes to now, i64 (N,), -1 = none. Each vehicle decides once in ten ticks.

    Vehicles leave a lane that ends, overtake slower vehicles, and keep right where that costs nothing. They never cut
    in (after MOBIL: Kesting, Treiber, Helbing 2007, with fixed gaps).
    """
    routes, s, speed, half, granted = fleet.routes, fleet.s, fleet.speed, fleet.half, fleet.granted
    left, right, leaves, length = lanes.left, lanes.right, lanes.leaves, lanes.length
    result = np.full(len(s), -1, np.int64)
    for i in range(len(s)):
        lane = routes[i, 1]
        if (i + turn) % 10 or lane < 0 or granted[i] >= 0 or fleet.changed[i] < 6.0 or speed[i] < 1.0:
            continue
        rest = length[lane] - s[i]
        if s[i] < 14.0 or rest < 25.0 + speed[i]:
            continue
        front, leader_speed, _, _ = _ahead_and_behind(i, lane, s[i], bodies, lanes)
        front -= half[i]
        desired = min(lanes.pace[lanes.first[lane]] * fleet.speed_factor[i], fleet.fastest[i])
        is_slowed = front < 20.0 + 1.6 * speed[i] and leader_speed < desired - 2.0
        for side in range(2):
            target = left[lane] if side == 0 else right[lane]
            if target < 0:
                continue
            if side == 0 and not (is_slowed or leaves[lane] == 2):
                continue
            if side == 1 and (leaves[target] != 0 or leaves[lane] != 0 or is_slowed or speed[i] < 12.0):
                continue
            where = s[i] * length[target] / length[lane]
            fore, fast, back, follower_speed = _ahead_and_behind(i, target, where, bodies, lanes)
            fore, back = fore - half[i], back - half[i]
            v = speed[i]
            if fore < 4.0 + 0.5 * v + 2.0 * max(v - fast, 0.0):
                continue
            if back < 4.0 + 0.4 * follower_speed + 2.2 * max(follower_speed - v, 0.0):
                continue
            if side == 0 and leaves[lane] != 2 and fast < leader_speed + 1.0 and fore < 40.0 + 1.6 * v:
                continue  # no better there
            if side == 1 and fore < 60.0 + 2.5 * v and fast < desired:
                continue
            result[i] = target
            break
    return result
