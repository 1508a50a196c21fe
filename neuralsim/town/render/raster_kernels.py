"""The compiled kernels that draw: select the parts in view and draw their triangles into the visibility buffer.

All kernels are single-threaded and without fast-math: equal input gives equal bytes, and each pixel on an edge that two
triangles share belongs to exactly one of them. The geometry is explained in ``raster_arrays``.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.town.assets.meshes import ALWAYS, DISTANT, END, FAR, MIDDLE, NEAR
from neuralsim.town.render.foliage import KINDS, LEVELS, SIDE
from neuralsim.town.render.raster_arrays import LEAF, NEAR_PLANE, TILE, DrawList, lean_options, options

LEAF_AREAS = 12.0, 30.0  # px, from which a triangle has leaves: loose, part of a closed body
MASK_AREA = SIDE * SIDE / 2.0 / 1.5**2  # px, area of a triangle whose mask has 1.5 texels to a pixel
LEAF_LIMIT = 4.0 * 1.2**2  # m4, square of twice a triangle's area: larger ones stand for whole woods


@njit(**options)
def select(boxes, listed, lens, far, chosen, order_key):
    """Write the candidates in view into ``chosen`` and their nearest depths (m) into ``order_key``; return their count.

    Args:
        boxes: Those of ``SceneArrays``.
        listed: ``DrawList`` of C candidates.
        lens: ``Lens``.
        far: Depth of the far plane, m.
        chosen: i64 (C,), written.
        order_key: f64 (C,), written.
    """
    part_of, object_of, matrices = listed.part_of, listed.object_of, listed.matrices
    tan_x = (lens.width / 2.0 + abs(lens.cx - lens.width / 2.0)) / lens.focal
    tan_y = (lens.height / 2.0 + abs(lens.cy - lens.height / 2.0)) / lens.focal
    count = 0
    normals = np.empty((4, 3))
    for c in range(len(part_of)):
        m = matrices[object_of[c]]
        b = boxes[part_of[c]]
        px = m[0, 0] * b[0] + m[0, 1] * b[1] + m[0, 2] * b[2] + m[0, 3]
        ex = abs(m[0, 0]) * b[3] + abs(m[0, 1]) * b[4] + abs(m[0, 2]) * b[5]
        if px + ex < NEAR_PLANE or px - ex > far:
            continue
        for k in range(3):
            normals[0, k] = tan_x * m[0, k] - m[1, k]
            normals[1, k] = tan_x * m[0, k] + m[1, k]
            normals[2, k] = tan_y * m[0, k] - m[2, k]
            normals[3, k] = tan_y * m[0, k] + m[2, k]
        inside = True
        for s in range(4):
            axis = 1 if s < 2 else 2
            tangent = tan_x if s < 2 else tan_y
            sign = -1.0 if s % 2 == 0 else 1.0
            n = normals[s]
            offset = tangent * m[0, 3] + sign * m[axis, 3]
            middle = n[0] * b[0] + n[1] * b[1] + n[2] * b[2] + offset
            reach = abs(n[0]) * b[3] + abs(n[1]) * b[4] + abs(n[2]) * b[5]
            if middle + reach < 0.0:
                inside = False
                break
        if inside:
            chosen[count] = c
            order_key[count] = px - ex
            count += 1
    return count


@njit(**lean_options)
def _is_occluded(b, m, lens, nearness, tiles):
    """Return whether the box ``b`` f64 (6,) under the map ``m`` f64 (3, 4) is hidden in all tiles that it covers.

    ``tiles`` holds a lower bound of each tile's 1 / depth, which is updated only where it is not decisive.
    """
    width, height, focal, cx, cy, _, _ = lens
    left, right, top, bottom = 1e30, -1e30, 1e30, -1e30
    nearest = 1e30
    for corner in range(8):
        x = b[0] + (b[3] if corner & 1 else -b[3])
        y = b[1] + (b[4] if corner & 2 else -b[4])
        z = b[2] + (b[5] if corner & 4 else -b[5])
        depth = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
        if depth < 0.5:
            return False
        nearest = min(nearest, depth)
        u = focal * (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) / depth
        v = -focal * (m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]) / depth
        left, right = min(left, u), max(right, u)
        top, bottom = min(top, v), max(bottom, v)
    bound = np.float32(1.0 / nearest)
    i0, i1 = int(max(top + cy, 0.0)) // TILE, int(min(bottom + cy, height - 1.0)) // TILE
    j0, j1 = int(max(left + cx, 0.0)) // TILE, int(min(right + cx, width - 1.0)) // TILE
    for i in range(i0, i1 + 1):
        for j in range(j0, j1 + 1):
            if tiles[i, j] > bound:
                continue
            low = np.float32(1e30)
            for y in range(i * TILE, min(i * TILE + TILE, height)):
                for x in range(j * TILE, min(j * TILE + TILE, width)):
                    low = min(low, nearness[y * width + x])
                if low <= bound:
                    return False
            tiles[i, j] = low
    return True


@njit(forceinline=True, **lean_options)
def _fill(buffer, lens, number, corners, plane, leaves, is_leafy):
    """Rasterise triangle ``number`` of the buffer; return the number of pixels inside it.

    Rows are filled between the crossings of two edges. An edge's crossing is computed from its ends in order of height,
    in the same way for both triangles that share it, and a pixel belongs to the span from ceil(left - 0.5) to before
    ceil(right - 0.5): neither gaps nor double pixels.

    Args:
        buffer: ``VisibilityBuffer``.
        lens: ``Lens``.
        number: Number of the triangle, written where it is nearest.
        corners: Column and row (px) of each corner, 6 numbers.
        plane: x, y and 1 coefficients of 1 / depth at pixel (x, y).
        leaves: bool (SIDE, SIDE), leaf mask.
        is_leafy: Whether only the leaves are drawn.
    """
    nearness, ids = buffer.nearness, buffer.ids
    width, height = lens.width, lens.height
    ax, ay, bx, by, cx, cy = corners
    plane_x, plane_y, plane_1 = plane
    det = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    is_leafy = is_leafy and det != 0.0
    texels = SIDE / det if is_leafy else 0.0
    px, py, qx, qy = (cy - ay) * texels, (ax - cx) * texels, (ay - by) * texels, (bx - ax) * texels
    p1, q1 = (0.5 - ax) * px + (0.5 - ay) * py, (0.5 - ax) * qx + (0.5 - ay) * qy
    if by < ay or (by == ay and bx < ax):
        ax, ay, bx, by = bx, by, ax, ay
    if cy < by or (cy == by and cx < bx):
        bx, by, cx, cy = cx, cy, bx, by
    if by < ay or (by == ay and bx < ax):
        ax, ay, bx, by = bx, by, ax, ay
    first = int(np.ceil(max(ay - 0.5, 0.0)))
    last = int(np.ceil(min(cy - 0.5, float(height))))
    if first >= last:
        return 0
    long_slope = (cx - ax) / (cy - ay)
    high_slope = (bx - ax) / (by - ay) if by > ay else 0.0
    low_slope = (cx - bx) / (cy - by) if cy > by else 0.0
    wide = float(width)
    step = np.float32(plane_x)
    covered = 0
    for y in range(first, last):
        middle = y + 0.5
        one = ax + (middle - ay) * long_slope
        two = ax + (middle - ay) * high_slope if middle < by else bx + (middle - by) * low_slope
        left, right = min(one, two), max(one, two)
        start = int(np.ceil(min(max(left - 0.5, 0.0), wide)))
        stop = int(np.ceil(min(max(right - 0.5, 0.0), wide)))
        if start >= stop:
            continue
        base = np.float32(plane_x * start + plane_y * y + plane_1)
        if is_leafy:
            p, q = px * start + py * y + p1, qx * start + qy * y + q1
            for k in range(stop - start):
                value, at = base + step * np.float32(k), y * width + start + k
                i, j = int(min(max(q + qx * k, 0.0), SIDE - 1.0)), int(min(max(p + px * k, 0.0), SIDE - 1.0))
                if value > nearness[at] and leaves[i, j]:
                    nearness[at], ids[at] = value, number
                    covered += 1
            continue
        covered += stop - start
        offset = np.uint64(y * width + start)  # unsigned, so that numba leaves out Python's negative indexing
        for k in range(np.uint64(stop - start)):
            value = base + step * np.float32(k)
            closer = value > nearness[offset + k]
            nearness[offset + k] = value if closer else nearness[offset + k]
            ids[offset + k] = number if closer else ids[offset + k]
    return covered


class _Spans(NamedTuple):
    """What is drawn of a part at its distance: vertices in two runs, and one run of triangles with a gap."""

    first_vertex: int
    first_end: int  # end of the first run of vertices
    second: int  # start of the second run
    vertex_end: int
    first_triangle: int
    gap: int  # triangle from which on ``skipped`` ones are left out
    skipped: int
    triangle_end: int  # less ``skipped``


@njit(forceinline=True, **lean_options)
def _spans_at(nearest, vertices, triangles, lens):
    """Return the ``_Spans`` of a part whose nearest depth, times its ``detail``, is ``nearest`` m, from its rows of
    spans i32 (6,)."""
    first, last, skipped = NEAR, FAR, 0
    first_end = second = vertices[FAR]
    if nearest > lens.far_level:
        first, last = ALWAYS, DISTANT
        first_end = second = vertices[DISTANT]
        if nearest > lens.distant_level:
            last, first_end, skipped = END, vertices[MIDDLE], triangles[DISTANT] - triangles[MIDDLE]
    return _Spans(
        vertices[first],
        first_end,
        second,
        vertices[last],
        triangles[first],
        triangles[MIDDLE],
        skipped,
        triangles[last] - skipped,
    )


@njit(forceinline=True, **lean_options)
def _project(vertices, spans, m, lens, points):
    """Write the vertices f32 (3, V) in ``spans``, under the map ``m``, into ``points`` of ``VisibilityBuffer``."""
    focal, cx, cy = lens.focal, lens.cx, lens.cy
    vx, vy, vz = vertices[0], vertices[1], vertices[2]
    ahead, right, above, column, row = points[0], points[1], points[2], points[3], points[4]
    m00, m01, m02, m03 = m[0, 0], m[0, 1], m[0, 2], m[0, 3]
    m10, m11, m12, m13 = m[1, 0], m[1, 1], m[1, 2], m[1, 3]
    m20, m21, m22, m23 = m[2, 0], m[2, 1], m[2, 2], m[2, 3]
    for run in range(2):
        begin, end = (spans.first_vertex, spans.first_end) if run == 0 else (spans.second, spans.vertex_end)
        for v in range(np.uint64(begin), np.uint64(end)):
            k = v - np.uint64(spans.first_vertex)
            x, y, z = np.float64(vx[v]), np.float64(vy[v]), np.float64(vz[v])
            px = m00 * x + m01 * y + m02 * z + m03
            py = m10 * x + m11 * y + m12 * z + m13
            pz = m20 * x + m21 * y + m22 * z + m23
            ahead[k] = px
            right[k] = py
            above[k] = pz
            inverse = focal / px
            column[k] = cx + py * inverse
            row[k] = cy - pz * inverse


@njit(forceinline=True, **lean_options)
def _is_culled(corners, nearest, is_solid, lens, tiles):
    """Return whether a triangle before the near plane covers no pixel, is a back face or is certainly hidden.

    ``corners``: column and row of each, px; ``nearest``: least depth, m; ``is_solid``: part of a closed body.
    """
    ua, wa, ub, wb, ud, wd = corners
    if is_solid and (ub - ua) * (wd - wa) < (ud - ua) * (wb - wa):
        return True
    if max(ua, ub, ud) <= 0.5 or min(ua, ub, ud) >= lens.width - 0.5:
        return True
    bottom = max(wa, wb, wd)
    top = min(wa, wb, wd)
    if bottom <= 0.5 or top >= lens.height - 0.5 or np.ceil(top - 0.5) >= np.ceil(bottom - 0.5):
        return True
    left, right = min(ua, ub, ud), max(ua, ub, ud)
    if np.ceil(left - 0.5) >= np.ceil(right - 0.5):
        return True
    if bottom - top < TILE and right - left < TILE:  # it touches at most four tiles: is it behind all that they show?
        i0, j0 = int(max(top, 0.0)) // TILE, int(max(left, 0.0)) // TILE
        i1, j1 = int(min(bottom, lens.height - 1.0)) // TILE, int(min(right, lens.width - 1.0)) // TILE
        return min(tiles[i0, j0], tiles[i0, j1], tiles[i1, j0], tiles[i1, j1]) * nearest > 1.0
    return False


@njit(**lean_options)
def _clip(a, b, d, points, lens, clipped):
    """Clip a triangle against the near plane (Sutherland-Hodgman) into ``clipped``; return its number of corners.

    ``a``, ``b``, ``d``: columns of ``points``. An edge is always cut from its inner to its outer end, so that both
    triangles of an edge get the same new corner.
    """
    corners = 0
    for k in range(3):
        p = a if k == 0 else b if k == 1 else d
        q = b if k == 0 else d if k == 1 else a
        is_inside = points[0, p] >= NEAR_PLANE
        if is_inside:
            for r in range(3):
                clipped[corners, r] = points[r, p]
            corners += 1
        if is_inside != (points[0, q] >= NEAR_PLANE):
            if not is_inside:
                p, q = q, p
            share = (points[0, p] - NEAR_PLANE) / (points[0, p] - points[0, q])
            clipped[corners, 0] = NEAR_PLANE
            for r in range(1, 3):
                clipped[corners, r] = points[r, p] + share * (points[r, q] - points[r, p])
            corners += 1
    for k in range(corners):
        clipped[k, 3] = lens.cx + lens.focal * clipped[k, 1] / clipped[k, 0]
        clipped[k, 4] = lens.cy - lens.focal * clipped[k, 2] / clipped[k, 0]
    return corners


class _Facet(NamedTuple):
    """The plane of a triangle in camera space: n . p = distance, with a normal n whose square is ``square``."""

    nx: float
    ny: float
    nz: float
    distance: float
    square: float


@njit(forceinline=True, **lean_options)
def _facet(points, a, b, d):
    """Return the ``_Facet`` of the triangle whose corners are columns ``a``, ``b`` and ``d`` of ``points``."""
    ahead, right, above = points[0], points[1], points[2]
    xa, ya, za = ahead[a], right[a], above[a]
    e1x, e1y, e1z = ahead[b] - xa, right[b] - ya, above[b] - za
    e2x, e2y, e2z = ahead[d] - xa, right[d] - ya, above[d] - za
    nx = e1y * e2z - e1z * e2y
    ny = e1z * e2x - e1x * e2z
    nz = e1x * e2y - e1y * e2x
    return _Facet(nx, ny, nz, nx * xa + ny * ya + nz * za, nx * nx + ny * ny + nz * nz)


@njit(forceinline=True, **lean_options)
def _leaf_mask(t, is_solid, pixels):
    """Return the index of triangle ``t``'s leaf mask and whether it is used, for an area of ``pixels``."""
    closed = 1 if is_solid else 0
    is_leafy = pixels > LEAF_AREAS[closed]
    coarse = 0
    while coarse < LEVELS - 1 and pixels < MASK_AREA:
        coarse, pixels = coarse + 1, 4.0 * pixels
    return t % KINDS + KINDS * (closed + 2 * coarse), is_leafy


@njit(forceinline=True, **lean_options)
def _draw_triangle(scene, t, first_vertex, lens, leaves, buffer, number):
    """Draw triangle ``t`` of the scene as ``number`` of the buffer; return its number of pixels and its ``_Facet``."""
    points, triangles, solid = buffer.points, scene.triangles, scene.solid
    ahead, column, row = points[0], points[3], points[4]
    a = np.uint64(triangles[t, 0] - first_vertex)
    b = np.uint64(triangles[t, 1] - first_vertex)
    d = np.uint64(triangles[t, 2] - first_vertex)
    nearest = min(ahead[a], ahead[b], ahead[d])
    is_whole = nearest >= NEAR_PLANE
    ua, wa, ub, wb, ud, wd = column[a], row[a], column[b], row[b], column[d], row[d]
    count = 3
    if is_whole:
        if _is_culled((ua, wa, ub, wb, ud, wd), nearest, solid[t], lens, buffer.tiles):
            return 0, _Facet(0.0, 0.0, 0.0, 0.0, 0.0)
    else:
        if max(ahead[a], ahead[b], ahead[d]) < NEAR_PLANE:
            return 0, _Facet(0.0, 0.0, 0.0, 0.0, 0.0)
        count = _clip(a, b, d, points, lens, buffer.clipped)
    facet = _facet(points, a, b, d)
    if facet.distance * facet.distance <= 1e-14 * facet.square:  # seen edge-on
        return 0, facet
    inverse, per_pixel = 1.0 / facet.distance, 1.0 / lens.focal
    plane_x = facet.ny * inverse * per_pixel
    plane_y = -facet.nz * inverse * per_pixel
    plane = plane_x, plane_y, facet.nx * inverse + (0.5 - lens.cx) * plane_x + (0.5 - lens.cy) * plane_y
    if is_whole:
        mask, is_leafy = 0, False
        if scene.finish[t] == LEAF and facet.square < LEAF_LIMIT:
            pixels = 0.5 * abs((ub - ua) * (wd - wa) - (ud - ua) * (wb - wa))
            mask, is_leafy = _leaf_mask(t, solid[t], pixels)
        return _fill(buffer, lens, number, (ua, wa, ub, wb, ud, wd), plane, leaves[mask], is_leafy), facet
    covered, fan = 0, buffer.clipped
    for k in range(2, count):
        corners = fan[0, 3], fan[0, 4], fan[k - 1, 3], fan[k - 1, 4], fan[k, 3], fan[k, 4]
        covered += _fill(buffer, lens, number, corners, plane, leaves[0], False)
    return covered, facet


@njit(forceinline=True, **lean_options)
def _write_surface(surface, facet, rgb, glow, light):
    """Write what shading reads of a triangle into ``surface`` f32 (9,), a row of ``VisibilityBuffer.surface``."""
    facing = (-1.0 if facet.distance > 0.0 else 1.0) / np.sqrt(facet.square)  # towards the side that is seen
    nx, ny, nz = facet.nx * facing, facet.ny * facing, facet.nz * facing
    for r in range(3):
        surface[r] = rgb[r]
    surface[3] = max(nx * light[0] + ny * light[1] + nz * light[2], 0.0)
    surface[4] = 0.7 + 0.3 * (nx * light[3] + ny * light[4] + nz * light[5])
    surface[5] = 0.0 if glow == 0 else 1.0 if glow == 1 else light[6]
    surface[6], surface[7], surface[8] = nx, ny, nz


class Choice(NamedTuple):
    """The candidates that are drawn."""

    listed: DrawList
    order: np.ndarray  # i64 (c,), those that were chosen, nearest first
    keys: np.ndarray  # f64 (c,), their nearest depths, m


@njit(**lean_options)
def draw(scene, choice, lens, light, leaves, buffer, first, with_rgb):
    """Draw the chosen candidates from front to back, skipping hidden ones; return the number after the last used one.

    Args:
        scene: ``SceneArrays``.
        choice: ``Choice``.
        lens: ``Lens``.
        light: f64 (7,), directions of sun and up in camera space, brightness of lamps.
        leaves: ``foliage.leaf_masks``.
        buffer: ``VisibilityBuffer``, filled from triangle number ``first`` on.
        first: Above 0, which is the sky.
        with_rgb: Whether shading will follow.
    """
    listed, order, keys = choice
    used = first
    for position in range(len(order)):
        c = order[position]
        part, o = listed.part_of[c], listed.object_of[c]
        matrix = listed.matrices[o]
        if _is_occluded(scene.boxes[part], matrix, lens, buffer.nearness, buffer.tiles):
            continue
        spans = _spans_at(
            keys[position] * scene.detail[part], scene.vertex_spans[part], scene.triangle_spans[part], lens
        )
        _project(scene.vertices, spans, matrix, lens, buffer.points)
        for k in range(spans.first_triangle, spans.triangle_end):
            t = k + spans.skipped if spans.skipped and k >= spans.gap else k
            covered, facet = _draw_triangle(scene, t, spans.first_vertex, lens, leaves, buffer, used)
            if covered == 0:
                continue
            buffer.source[used] = t
            buffer.owner[used] = o
            buffer.label[used] = (
                np.uint32(scene.finish[t]) << 24
                | np.uint32(scene.tags[t]) << 16
                | np.uint32(listed.instances[o] if o else scene.instances[t])
            )
            if with_rgb:
                rgb = listed.colours[o, scene.paint[t] - 1] if scene.paint[t] else scene.colours[t]
                glow = scene.glow[t]
                if glow > 2:  # position lamps, low and high beams, brakes
                    glow = 1 if listed.lights[o] & (15 if glow == 3 else 6) else 0
                _write_surface(buffer.surface[used], facet, rgb, glow, light)
            used += 1
    return used
