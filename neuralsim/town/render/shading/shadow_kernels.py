"""The compiled shadows and headlamp beams of moving bodies, the shadow map of static ones, and wet reflections."""

import numpy as np
from numba import njit

from neuralsim.town.assets.lit_bodies import BELT, HALF_WIDTH, HIGH_BEAM, LENGTH, LIT, LOW_BEAM, SCALE, SILL, TALL
from neuralsim.town.render.raster_arrays import NEAR_PLANE, options

OCCLUSION_REACH = 0.55  # m around a body within which it occludes the sky
OCCLUSION_DEPTH = 0.8  # share of the sky's light that is occluded under a body
LOW_BEAM_RANGE = 60.0  # m
HIGH_BEAM_RANGE = 120.0  # m
LAMP_HEIGHT = 0.66  # m
HIGH_BEAM_TOP = 3.0  # m, height up to which high beams reach
CUTOFF_FALL = 0.01  # m per metre, by which the edge of a low beam sinks (about as in ECE R112)
CUTOFF_RISE = 0.12  # m per metre, by which it rises towards the pavement
CUTOFF_BLUR = 0.3  # m, over which that edge is soft
STRAY_SHARE = 0.1  # of a low beam's light, that goes above its edge
BEAM_SPREAD = 1.7  # half width of a beam over that of its cone, where hardly any light is left
WALKER_WIDTH = 0.6  # of the box of somebody who walks, the ellipse that casts shadows
SHADOW_TOP = 4.0  # m above a body's foot, up to which it casts shadows and light
UPWARD_START = 8.0  # m ahead, from where on its light is followed as high as that
BEAM_PEAK = 11.0  # m ahead, about which the ground is lit best


@njit(forceinline=True, **options)
def _through(x, y, z, sun, half_x, half_y, low, high, middle):
    """Return the length (m) of the ray from (x, y, z) along ``sun`` f64 (3,) in a box centred at x = ``middle``."""
    enter, leave = 0.0, 1e9
    for axis in range(3):
        at = x - middle if axis == 0 else y if axis == 1 else z
        way = sun[axis]
        least = -half_x if axis == 0 else -half_y if axis == 1 else low
        most = half_x if axis == 0 else half_y if axis == 1 else high
        if abs(way) < 1e-6:
            if at < least or at > most:
                return 0.0
            continue
        one, two = (least - at) / way, (most - at) / way
        enter, leave = max(enter, min(one, two)), min(leave, max(one, two))
    return max(leave - enter, 0.0)


@njit(forceinline=True, **options)
def _through_upright(x, y, z, sun, half_x, half_y, tall):
    """Return the length (m) of the ray from (x, y, z) along ``sun`` f64 (3,) in an upright elliptic cylinder."""
    if sun[2] < 1e-6 or z > tall:
        return 0.0
    px, py, wx, wy = x / half_x, y / half_y, sun[0] / half_x, sun[1] / half_y
    square, half, beyond = max(wx * wx + wy * wy, 1e-12), px * wx + py * wy, px * px + py * py - 1.0
    inside = half * half - square * beyond
    if inside <= 0.0:
        return 0.0
    root = np.sqrt(inside)
    enter = max((-half - root) / square, 0.0, -z / sun[2])
    return max(min((root - half) / square, (tall - z) / sun[2]) - enter, 0.0)


@njit(**options)
def _bounds(body, matrix, sun, lens, reach):
    """Return left, top, right, bottom (px) of where a body's shadow and beams may fall; right < left: nowhere.

    ``sun`` f64 (3,): direction to the sun in the body's axes; ``reach``: of its headlamps, m, 0 if they are off.
    """
    width, height, focal, cx, cy, _, _ = lens
    left, top, right, bottom = 1e9, 1e9, -1e9, -1e9
    seen = False
    stretch = body[TALL] / max(sun[2], 0.12) if sun[2] > 0.0 else 0.0
    for corner in range(24):
        x = (body[LENGTH] + OCCLUSION_REACH) * (1.0 if corner & 1 else -1.0)
        y = (body[HALF_WIDTH] + OCCLUSION_REACH) * (1.0 if corner & 2 else -1.0)
        z = body[TALL] if corner & 4 else -0.4
        if corner & 8:
            z = -0.4
            if corner & 4:
                x, y = x - sun[0] * stretch, y - sun[1] * stretch
        if corner >= 16:  # where the beams end, and where they are as high as they are followed
            if reach == 0.0:
                break
            ahead = reach if corner < 20 else UPWARD_START
            wide = BEAM_SPREAD * (body[HALF_WIDTH] + 0.25 * ahead)
            x, y = body[LENGTH] + ahead, wide if corner & 1 else -wide
            z = SHADOW_TOP if corner & 2 else -0.4
        px = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + matrix[0, 3]
        py = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + matrix[1, 3]
        pz = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + matrix[2, 3]
        seen = seen or px > NEAR_PLANE
        px = max(px, 0.4)
        u, v = cx + focal * py / px, cy - focal * pz / px
        left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
    if not seen:
        return 0, 0, -1, -1
    return int(max(left, 0.0)), int(max(top, 0.0)), int(min(right + 1.0, width)), int(min(bottom + 1.0, height))


@njit(**options)
def cast_shadows(chosen, listed, shot, to_sun, is_sunny, planes, moving):
    """Darken ``moving.shares`` under and behind moving bodies, and light ``moving.beams`` before their headlamps.

    Args:
        chosen: i64 (B,), the objects that cast.
        listed: ``DrawList``.
        shot: ``shading_kernels.Shot``.
        to_sun: f64 (3,), direction to the sun in camera space.
        is_sunny: Whether the sun shines.
        planes: ``Planes``, of which depth and instance are read.
        moving: ``shading_kernels.MovingLight``, changed.
    """
    lens, depth, instance, shares, beams = shot.lens, planes.depth, planes.instance, moving.shares, moving.beams
    focal, cx, cy = lens.focal, lens.cx, lens.cy
    local = np.empty(3)
    for k in range(len(chosen)):
        o = chosen[k]
        body, m, forward = shot.bodies[o], shot.inverses[o], listed.matrices[o]
        for r in range(3):
            local[r] = (m[r, 0] * to_sun[0] + m[r, 1] * to_sun[1] + m[r, 2] * to_sun[2]) if is_sunny else 0.0
        is_high = int(body[LIT]) & HIGH_BEAM != 0
        has_beam = shot.light.dark > 0.0 and int(body[LIT]) & (LOW_BEAM | HIGH_BEAM) != 0
        reach = (HIGH_BEAM_RANGE if is_high else LOW_BEAM_RANGE) if has_beam else 0.0
        left, top, right, bottom = _bounds(body, forward, local, lens, reach)
        half_x, half_y, tall, sill, belt = body[LENGTH], body[HALF_WIDTH], body[TALL], body[SILL], body[BELT]
        is_walker = body[SCALE] > 0.0
        if is_walker:  # the box has room for arms and strides
            half_x, half_y = WALKER_WIDTH * half_x, WALKER_WIDTH * half_y
        number = listed.instances[o]
        m0, m1 = forward[0, 0], forward[0, 1]
        far = abs(m0) * half_x + abs(m1) * half_y + OCCLUSION_REACH
        nearest, farthest = forward[0, 3] - far, forward[0, 3] + far
        if is_sunny:
            long = tall / max(local[2], 0.12)
            way = -long * (m0 * local[0] + m1 * local[1])
            nearest, farthest = nearest + min(way, 0.0), farthest + max(way, 0.0)
        if has_beam:
            nearest, farthest = nearest - max(-m0, 0.3) * reach, farthest + max(m0, 0.3) * reach
        for y2 in range(top // 2, (bottom + 1) // 2):
            for x2 in range(left // 2, (right + 1) // 2):
                i, j = 2 * y2, 2 * x2
                for corner in range(3):  # at the body's outline, take a pixel next to it
                    if instance[i, j] == number:
                        i = min(2 * y2 + (corner != 1), instance.shape[0] - 1)
                        j = min(2 * x2 + (corner > 0), instance.shape[1] - 1)
                d = float(depth[i, j])
                if d < nearest or d > farthest or instance[i, j] == number:
                    continue
                up = -(i + 0.5 - cy) / focal
                aside = (j + 0.5 - cx) / focal
                z = d * (m[2, 0] + m[2, 1] * aside + m[2, 2] * up) + m[2, 3]
                if z > SHADOW_TOP or z < -2.5:
                    continue
                x = d * (m[0, 0] + m[0, 1] * aside + m[0, 2] * up) + m[0, 3]
                y = d * (m[1, 0] + m[1, 1] * aside + m[1, 2] * up) + m[1, 3]
                if z < 0.4:
                    beyond_x, beyond_y = max(abs(x) - half_x, 0.0), max(abs(y) - half_y, 0.0)
                    near = 1.0 - np.sqrt(beyond_x * beyond_x + beyond_y * beyond_y) / OCCLUSION_REACH
                    if near > 0.0:
                        under = min(1.0, max(min(half_x - abs(x), half_y - abs(y)), 0.0) * 2.0)
                        share = 1.0 - (0.45 + (OCCLUSION_DEPTH - 0.45) * under) * near * near * min(1.0, 1.6 - 4.0 * z)
                        shares[y2, x2, 1] = np.uint8(shares[y2, x2, 1] * min(share, 1.0))
                if is_sunny:
                    if is_walker:
                        way = _through_upright(x, y, z, local, half_x, half_y, tall)
                    else:
                        way = _through(x, y, z, local, half_x, half_y, sill, belt if belt > 0.0 else tall, 0.0)
                        if belt > 0.0:  # above the belt line there is only the cabin
                            way += _through(
                                x, y, z, local, 0.5 * half_x, 0.85 * half_y, belt - 0.1, tall, -0.16 * half_x
                            )
                    if way > 0.0:
                        shares[y2, x2, 0] = np.uint8(shares[y2, x2, 0] * max(1.0 - way * 4.0, 0.0))
                ahead = x - half_x
                if has_beam and 0.3 < ahead < reach:
                    spread, far = y / (half_y + 0.25 * ahead), ahead / BEAM_PEAK
                    strength = np.exp(-1.6 * spread * spread) * (1.0 - ahead / reach)
                    strength *= min(0.3 + 0.1 * ahead, 1.0) / (1.0 + 0.3 * far * far)
                    if is_high:
                        strength *= min(max((HIGH_BEAM_TOP - z) * 2.0 + 1.0, 0.0), 1.0)
                    else:
                        cut = LAMP_HEIGHT - CUTOFF_FALL * ahead + CUTOFF_RISE * min(max(y - half_y, 0.0), 3.0)
                        stray = STRAY_SHARE * min(SHADOW_TOP - z, 1.0)
                        strength *= stray + (1.0 - stray) * min(max((cut - z) / CUTOFF_BLUR + 0.5, 0.0), 1.0)
                    beams[y2, x2] = np.uint8(min(beams[y2, x2] + 255.0 * strength, 255.0))


@njit(**options)
def project(vertices, triangles, matrix, top):
    """Raise ``top`` f32 (h, w) to the greatest height of the triangles at the centre of each texel (orthographic).

    ``vertices`` f32 (3, V); ``triangles`` i32 (T, 3); ``matrix`` f64 (3, 4): texel right, texel down and height.
    """
    high, wide = top.shape
    m = matrix
    u, v, w = np.empty(3), np.empty(3), np.empty(3)
    for t in range(len(triangles)):
        for k in range(3):
            a = triangles[t, k]
            x, y, z = vertices[0, a], vertices[1, a], vertices[2, a]
            u[k] = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
            v[k] = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
            w[k] = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        area = (u[1] - u[0]) * (v[2] - v[0]) - (u[2] - u[0]) * (v[1] - v[0])
        if abs(area) < 1e-9:
            continue
        j0, j1 = int(max(np.ceil(u.min()), 0.0)), int(min(np.floor(u.max()), wide - 1.0))
        for i in range(int(max(np.ceil(v.min()), 0.0)), int(min(np.floor(v.max()), high - 1.0)) + 1):
            for j in range(j0, j1 + 1):
                a = ((u[1] - j) * (v[2] - i) - (u[2] - j) * (v[1] - i)) / area
                b = ((u[2] - j) * (v[0] - i) - (u[0] - j) * (v[2] - i)) / area
                if a >= 0.0 and b >= 0.0 and a + b <= 1.0:
                    top[i, j] = max(top[i, j], np.float32(a * w[0] + b * w[1] + (1.0 - a - b) * w[2]))


RIPPLE_STEP = 0.08  # rows between the samples of a reflection, per row from where the ground begins


@njit(**options)
def mirror(rgb, label, wet, reflects):
    """Blend reflections into wet ground: each image column is mirrored at the row where the ground begins.

    ``rgb`` u8 (H, W, 3), changed; ``label`` u8 (H, W), tags; ``wet`` 0..1; ``reflects`` f32 (256,), by tag: share of
    the reflection close to where the ground begins.
    """
    height, width = label.shape
    for x in range(width):
        foot = -1  # last row above the ground
        for i in range(height):
            share = reflects[label[i, x]] * wet
            if share <= 0.0:
                foot = i
                continue
            row = 2 * foot + 1 - i
            if foot < 0 or row < 0:
                continue
            depth = (i - foot) / height
            share *= max(1.0 - 1.6 * depth, 0.15)
            step = 1 + int(
                RIPPLE_STEP * (i - foot)
            )  # ripples stretch reflections upright, the more the nearer they are
            far, above = max(row - 2 * step, 0), max(row - step, 0)
            below, near = min(row + step, foot), min(row + 2 * step, foot)
            # and blur them a little sideways
            left, right = max(x - 1 - step // 2, 0), min(x + 1 + step // 2, width - 1)
            for c in range(3):
                seen = 0.2 * (np.float64(rgb[row, x, c]) + rgb[above, left, c] + rgb[below, right, c])
                seen += 0.1 * (
                    np.float64(rgb[far, x, c]) + rgb[near, x, c] + rgb[above, right, c] + rgb[below, left, c]
                )
                rgb[i, x, c] = np.uint8(rgb[i, x, c] + (seen - rgb[i, x, c]) * share)
