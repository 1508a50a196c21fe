"""The compiled inner loops of the rasteriser: what to draw, triangles into the visibility buffer, planes out of it.

Camera space is UE's: x along the optical axis, y right, z up. A pixel (row i, column j) looks along the ray
(1, (j + 0.5 - cx) / f, -(i + 0.5 - cy) / f). The visibility buffer holds 1 / depth, which is linear over a triangle in
the picture (its plane n . p = d gives 1 / x = n . ray / d), and the number of the triangle in front.

All kernels are single-threaded and without fast-math: equal input gives equal bytes, and triangles that share an edge
share every pixel on it exactly once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.town.assets.meshes import ALWAYS, DISTANT, END, FAR, MIDDLE, NEAR
from neuralsim.town.render.foliage import KINDS, LEVELS, SIDE

NEAR_PLANE = 0.06  # m; nearer surfaces are cut off
TILE = 8  # pixels, side of an occlusion tile

#: Finishes of triangles.
PLAIN, ASPHALT, MARKING, PAVING, GRASS, WALL, ROOF, BODY, WINDOW, LEAF = range(10)
_LEAVES_FROM = 12.0, 30.0  # px, area of a triangle from which it has leaves: of a loose one, of one of a closed body
_TEXELS_OF_ONE = SIDE * SIDE / 2.0 / 1.5**2  # px, area of a triangle in which a pixel is 1.5 texels of its mask
_LARGEST_LEAVES = 4.0 * 1.2**2  # m4, square of twice the area of a triangle of leaves: larger ones are whole woods

#: Of every compiled function of the rasteriser; and of those that allocate nothing, which need not count references.
options = {"cache": True, "nogil": True, "error_model": "numpy"}
lean_options = {**options, "_nrt": False}


class SceneArrays(NamedTuple):
    """The geometry of a scene: P parts (chunks of the static mesh, then templates) of V vertices and T triangles."""

    vertices: np.ndarray  # f32 (3, V), m
    triangles: np.ndarray  # i32 (T, 3)
    tags: np.ndarray  # u8 (T,)
    instances: np.ndarray  # u16 (T,), of the static mesh
    solid: np.ndarray  # bool (T,): part of a closed body, back faces are culled
    colours: np.ndarray  # u8 (T, 3), RGB
    paint: np.ndarray  # bool (T,): takes the placement's colour
    glow: np.ndarray  # u8 (T,): 1 shines by itself, 2 when it is dark
    finish: np.ndarray  # u8 (T,)
    vertex_spans: np.ndarray  # i32 (P, 6): a part's first vertex of each level of detail, and its END
    triangle_spans: np.ndarray  # i32 (P, 6): the same of its triangles
    boxes: np.ndarray  # f64 (P, 6), centre and half size, m


class DrawList(NamedTuple):
    """C candidates for drawing, each a part under an object's transform, of N objects (0: the static world)."""

    part_of: np.ndarray  # i32 (C,)
    object_of: np.ndarray  # i32 (C,)
    matrices: np.ndarray  # f64 (N, 3, 4), camera <- local
    colours: np.ndarray  # u8 (N, 3), RGB of the painted triangles
    instances: np.ndarray  # u16 (N,)


class Motions(NamedTuple):
    """The motion of N objects since the previous frame."""

    shift: np.ndarray  # i32 (N,), triangles from the part drawn to the previous frame's; not 0 if the shape changes
    previous: np.ndarray  # f64 (N, 3, 4), previous camera <- local
    warps: np.ndarray  # f64 (N, 3, 4), previous camera <- camera, through the object's motion


class VisibilityBuffer(NamedTuple):
    """The nearest surface per pixel, and the triangles drawn so far; triangle number 0 is the sky."""

    nearness: np.ndarray  # f32 (H * W,), 1 / depth
    ids: np.ndarray  # i32 (H * W,), number of the drawn triangle
    tiles: np.ndarray  # f32 (H / TILE, W / TILE), lower bounds of nearness
    source: np.ndarray  # i32 (n,), index of each drawn triangle in the scene
    owner: np.ndarray  # i32 (n,), its object
    label: np.ndarray  # u32 (n,), finish * 2^24 + tag * 2^16 + instance
    shaded: np.ndarray  # f32 (n, 9): RGB, shares of the sun's and the sky's light, glow, normal in the camera
    points: np.ndarray  # f64 (5, V), scratch: a part's vertices in the camera, and projected


class Lens(NamedTuple):
    """A pinhole camera: size, focal length, principal point in pixels, and the depths (m) from which parts are drawn
    in level FAR, and in level DISTANT instead of MIDDLE."""

    width: int
    height: int
    focal: float
    cx: float
    cy: float
    far_level: float
    distant_level: float


class Planes(NamedTuple):
    """The picture of a camera."""

    tag: np.ndarray  # u8 (H, W)
    instance: np.ndarray  # u16 (H, W)
    depth: np.ndarray  # f32 (H, W), metres along the camera's axis, 1000 for the sky
    motion: np.ndarray  # f32 (H, W, 2), pixels: the surface point's position in the previous frame minus the pixel's
    rgb: np.ndarray | None  # u8 (H, W, 3)


@njit(inline="always", **lean_options)
def _product(a, b, out):  # type: ignore[no-untyped-def]
    """The product of two affine maps f64 (3, 4) or (4, 4), whose last row is 0 0 0 1."""
    for r in range(3):
        for c in range(4):
            out[r, c] = a[r, 0] * b[0, c] + a[r, 1] * b[1, c] + a[r, 2] * b[2, c] + (a[r, 3] if c == 3 else 0.0)


@njit(**lean_options)
def chain(camera, before, pose, previous_pose, now, then, inverses, warps):  # type: ignore[no-untyped-def]
    """Fill in the maps f64 (N + 1, 3, 4) of N objects from their poses f64 (N, 4, 4), world <- local, and of the world.

    ``camera``, ``before``: camera <- world, of this frame and the one before. ``now``: camera <- local; ``then``:
    previous camera <- local; ``inverses``: local <- camera; ``warps``: previous camera <- camera. Entries 0 of the
    first three are given: those of the world.
    """
    for n in range(1, len(now)):
        m, back = now[n], inverses[n]
        _product(camera, pose[n - 1], m)
        _product(before, previous_pose[n - 1], then[n])
        for r in range(3):  # rows of the inverse times the determinant: cross products of the columns
            u, w = (r + 1) % 3, (r + 2) % 3
            for c in range(3):
                a, b = (c + 1) % 3, (c + 2) % 3
                back[r, c] = m[a, u] * m[b, w] - m[b, u] * m[a, w]
        scale = 1.0 / (back[0, 0] * m[0, 0] + back[0, 1] * m[1, 0] + back[0, 2] * m[2, 0])
        for r in range(3):
            for c in range(3):
                back[r, c] *= scale
            back[r, 3] = -(back[r, 0] * m[0, 3] + back[r, 1] * m[1, 3] + back[r, 2] * m[2, 3])
    for n in range(len(now)):
        _product(then[n], inverses[n], warps[n])


@njit(**options)
def select(boxes, listed, lens, far, chosen, order_key):  # type: ignore[no-untyped-def]
    """Fill ``chosen`` with the candidates in view and ``order_key`` with their nearest depths; returns the count.

    ``boxes``: of ``SceneArrays``; ``listed``: ``DrawList`` of C candidates; ``lens``: ``Lens``; ``far``: far plane, m;
    ``chosen`` i64 (C,) and ``order_key`` f64 (C,) are written.
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


@njit(**options)
def _occluded(b, m, lens, nearness, tiles):  # type: ignore[no-untyped-def]
    """Whether the box ``b`` f64 (6,) under ``m`` f64 (3, 4) is hidden in all tiles that it covers.

    ``tiles`` holds a lower bound of each tile's 1 / depth, updated only where it does not decide.
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


@njit(inline="always", **options)
def _fill(nearness, ids, width, height, number, ax, ay, bx, by, cx, cy, plane_x, plane_y, plane_1, leaves, leafy):  # type: ignore[no-untyped-def]
    """Rasterise one projected triangle. 1 / depth at pixel (x, y) is plane_x * x + plane_y * y + plane_1.

    Row by row between the two edges' crossings. An edge's crossing is computed from its ends in order of height, in the
    same way for both triangles that share it, and a pixel belongs to the span from ceil(left - 0.5) to before
    ceil(right - 0.5): neither gaps nor double pixels. Returns the number of pixels inside the triangle.

    ``leaves`` bool (SIDE, SIDE): only its leaves, if it is ``leafy``.
    """
    det = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    leafy = leafy and det != 0.0
    texels = SIDE / det if leafy else 0.0
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
        if leafy:
            p, q = px * start + py * y + p1, qx * start + qy * y + q1
            for k in range(stop - start):
                value, at = base + step * np.float32(k), y * width + start + k
                i, j = int(min(max(q + qx * k, 0.0), SIDE - 1.0)), int(min(max(p + px * k, 0.0), SIDE - 1.0))
                if value > nearness[at] and leaves[i, j]:
                    nearness[at], ids[at] = value, number
                    covered += 1
            continue
        covered += stop - start
        offset = np.uint64(y * width + start)  # unsigned: numba then leaves out Python's wrap-around of indices
        for k in range(np.uint64(stop - start)):
            value = base + step * np.float32(k)
            closer = value > nearness[offset + k]
            nearness[offset + k] = value if closer else nearness[offset + k]
            ids[offset + k] = number if closer else ids[offset + k]
    return covered


@njit(**options)
def draw(scene, listed, order, keys, lens, light, leaves, buffer, with_rgb):  # type: ignore[no-untyped-def]
    """Draw the chosen candidates, front to back, without hidden ones; returns 1 + the number of triangles used.

    ``scene``: ``SceneArrays``; ``listed``: ``DrawList``; ``order`` i64 (c,): the candidates chosen, nearest first;
    ``keys`` f64 (c,): their nearest depths, m; ``lens``: ``Lens``; ``light`` f64 (7,): directions of sun and up in the
    camera, how bright lamps are; ``leaves``: ``foliage.leaf_masks``; ``buffer``: ``VisibilityBuffer``, filled from
    triangle number 1 on; ``with_rgb``: whether to shade.
    """
    vertices, triangles, tags, instances, solid, colours, paint, glow, finish, _, _, boxes = scene
    part_of, object_of, matrices, object_colours, object_instances = listed
    nearness, ids, tiles, source, owner, label, shaded, points = buffer
    width, height, focal, cx, cy, far_level, distant_level = lens
    used, per_pixel = 1, 1.0 / focal
    clip = np.empty((4, 3))
    flat = np.empty((4, 2))
    vx, vy, vz = vertices[0], vertices[1], vertices[2]
    ahead, right, above, column, row = points[0], points[1], points[2], points[3], points[4]
    for position in range(len(order)):
        c = order[position]
        part = part_of[c]
        o = object_of[c]
        m = matrices[o]
        if _occluded(boxes[part], m, lens, nearness, tiles):
            continue
        spans, corners_of = scene.triangle_spans[part], scene.vertex_spans[part]
        first, last, left_out = NEAR, FAR, 0  # levels, and triangles of MIDDLE that are left out
        split = corners_of[FAR]  # vertices after it are projected from ``after`` on
        after = split
        if keys[position] > far_level:
            first, last = ALWAYS, DISTANT
            split = after = corners_of[DISTANT]
            if keys[position] > distant_level:
                last, split, left_out = END, corners_of[MIDDLE], spans[DISTANT] - spans[MIDDLE]
        v0, t0, middle = corners_of[first], spans[first], spans[MIDDLE]
        m00, m01, m02, m03 = m[0, 0], m[0, 1], m[0, 2], m[0, 3]
        m10, m11, m12, m13 = m[1, 0], m[1, 1], m[1, 2], m[1, 3]
        m20, m21, m22, m23 = m[2, 0], m[2, 1], m[2, 2], m[2, 3]
        for piece in range(2):
            begin, end = (v0, split) if piece == 0 else (after, corners_of[last])
            for v in range(np.uint64(begin), np.uint64(end)):
                k = v - np.uint64(v0)
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
        for drawn in range(t0, spans[last] - left_out):
            t = drawn + left_out if left_out and drawn >= middle else drawn
            a, b, d = np.uint64(triangles[t, 0] - v0), np.uint64(triangles[t, 1] - v0), np.uint64(triangles[t, 2] - v0)
            xa, xb, xd = ahead[a], ahead[b], ahead[d]
            low = min(xa, xb, xd)
            whole = low >= NEAR_PLANE
            corners = 3
            if whole:
                ua, ub, ud = column[a], column[b], column[d]
                wa, wb, wd = row[a], row[b], row[d]
                if solid[t] and (ub - ua) * (wd - wa) < (ud - ua) * (wb - wa):  # the back of a closed body
                    continue
                if max(ua, ub, ud) <= 0.5 or min(ua, ub, ud) >= width - 0.5:
                    continue
                bottom = max(wa, wb, wd)
                top = min(wa, wb, wd)
                if bottom <= 0.5 or top >= height - 0.5 or np.ceil(top - 0.5) >= np.ceil(bottom - 0.5):
                    continue
                leftmost, rightmost = min(ua, ub, ud), max(ua, ub, ud)
                if np.ceil(leftmost - 0.5) >= np.ceil(rightmost - 0.5):
                    continue
                if bottom - top < TILE and rightmost - leftmost < TILE:  # small: behind what its tiles are full of?
                    i0, j0 = int(max(top, 0.0)) // TILE, int(max(leftmost, 0.0)) // TILE
                    i1, j1 = int(min(bottom, height - 1.0)) // TILE, int(min(rightmost, width - 1.0)) // TILE
                    if min(tiles[i0, j0], tiles[i0, j1], tiles[i1, j0], tiles[i1, j1]) * low > 1.0:
                        continue
            else:
                if max(xa, xb, xd) < NEAR_PLANE:
                    continue
                # Sutherland-Hodgman against x = NEAR_PLANE; always from the inner to the outer corner of an edge, so
                # that both triangles of an edge get the same new corner.
                corners = 0
                for k in range(3):
                    p = triangles[t, k] - v0
                    q = triangles[t, (k + 1) % 3] - v0
                    if ahead[p] >= NEAR_PLANE:
                        for r in range(3):
                            clip[corners, r] = points[r, p]
                        corners += 1
                    if (ahead[p] >= NEAR_PLANE) != (ahead[q] >= NEAR_PLANE):
                        if ahead[p] < NEAR_PLANE:
                            p, q = q, p
                        share = (ahead[p] - NEAR_PLANE) / (ahead[p] - ahead[q])
                        clip[corners, 0] = NEAR_PLANE
                        for r in range(1, 3):
                            clip[corners, r] = points[r, p] + share * (points[r, q] - points[r, p])
                        corners += 1
                for k in range(corners):
                    flat[k, 0] = cx + focal * clip[k, 1] / clip[k, 0]
                    flat[k, 1] = cy - focal * clip[k, 2] / clip[k, 0]
            ya, yb, yd = right[a], right[b], right[d]
            za, zb, zd = above[a], above[b], above[d]
            e1x, e1y, e1z = xb - xa, yb - ya, zb - za
            e2x, e2y, e2z = xd - xa, yd - ya, zd - za
            nx = e1y * e2z - e1z * e2y
            ny = e1z * e2x - e1x * e2z
            nz = e1x * e2y - e1y * e2x
            distance = nx * xa + ny * ya + nz * za
            square = nx * nx + ny * ny + nz * nz
            if distance * distance <= 1e-14 * square:  # seen edge-on
                continue
            inverse = 1.0 / distance
            plane_x = ny * inverse * per_pixel
            plane_y = -nz * inverse * per_pixel
            plane_1 = nx * inverse + (0.5 - cx) * plane_x + (0.5 - cy) * plane_y
            mask, leafy = leaves[0], False
            if whole and finish[t] == LEAF and square < _LARGEST_LEAVES:
                closed = 1 if solid[t] else 0
                pixels = 0.5 * abs((ub - ua) * (wd - wa) - (ud - ua) * (wb - wa))
                leafy = pixels > _LEAVES_FROM[closed]
                coarse = 0
                while coarse < LEVELS - 1 and pixels < _TEXELS_OF_ONE:
                    coarse, pixels = coarse + 1, 4.0 * pixels
                mask = leaves[t % KINDS + KINDS * (closed + 2 * coarse)]
            if whole:
                covered = _fill(
                    nearness, ids, width, height, used, ua, wa, ub, wb, ud, wd, plane_x, plane_y, plane_1, mask, leafy
                )
            else:
                covered = 0
                for k in range(2, corners):
                    covered += _fill(
                        nearness, ids, width, height, used, flat[0, 0], flat[0, 1],
                        flat[k - 1, 0], flat[k - 1, 1], flat[k, 0], flat[k, 1], plane_x, plane_y, plane_1, mask, leafy,
                    )  # fmt: skip
            if covered == 0:
                continue
            source[used] = t
            owner[used] = o
            label[used] = (
                np.uint32(finish[t]) << 24
                | np.uint32(tags[t]) << 16
                | np.uint32(object_instances[o] if o else instances[t])
            )
            if with_rgb:
                facing = (-1.0 if distance > 0.0 else 1.0) / np.sqrt(square)  # the side that is seen
                nx, ny, nz = nx * facing, ny * facing, nz * facing
                for r in range(3):
                    shaded[used, r] = object_colours[o, r] if paint[t] else colours[t, r]
                shaded[used, 3] = max(nx * light[0] + ny * light[1] + nz * light[2], 0.0)
                shaded[used, 4] = 0.7 + 0.3 * (nx * light[3] + ny * light[4] + nz * light[5])
                shaded[used, 5] = 0.0 if glow[t] == 0 else 1.0 if glow[t] == 1 else light[6]
                shaded[used, 6], shaded[used, 7], shaded[used, 8] = nx, ny, nz
            used += 1
    return used


@njit(**options)
def _previous_of(vertices, triangles, t, before, now, then, result):  # type: ignore[no-untyped-def]
    """Linear map from a ray of this frame to the triangle's point in the previous camera, for bodies that change shape.

    With corners p0 p1 p2 in this camera (columns of P) and q0 q1 q2 in the previous one (Q), the point of ray r is
    P b with weights b proportional to P^-1 r, and was at Q b: the map is Q P^-1, up to the scale that projection
    removes.
    """
    p = np.empty((3, 3))
    q = np.empty((3, 3))
    for k in range(3):
        v, w = triangles[t, k], triangles[before, k]
        for r in range(3):
            p[r, k] = now[r, 3]
            q[r, k] = then[r, 3]
            for s in range(3):
                p[r, k] += now[r, s] * vertices[s, v]
                q[r, k] += then[r, s] * vertices[s, w]
    for r in range(3):  # rows of P^-1 times its determinant: cross products of the columns
        u, w = (r + 1) % 3, (r + 2) % 3
        cx = p[1, u] * p[2, w] - p[2, u] * p[1, w]
        cy = p[2, u] * p[0, w] - p[0, u] * p[2, w]
        cz = p[0, u] * p[1, w] - p[1, u] * p[0, w]
        determinant = cx * p[0, r] + cy * p[1, r] + cz * p[2, r]
        for k in range(3):
            if r == 0:
                result[k, 0] = result[k, 1] = result[k, 2] = 0.0
            result[k, 0] += q[k, r] * cx / determinant
            result[k, 1] += q[k, r] * cy / determinant
            result[k, 2] += q[k, r] * cz / determinant


@njit(**options)
def resolve(buffer, scene, matrices, motions, lens, first_row, last_row, planes):  # type: ignore[no-untyped-def]
    """Compute the rows from ``first_row`` to before ``last_row`` of all planes but ``rgb`` from the visibility buffer.

    ``buffer``: ``VisibilityBuffer``; ``scene``: ``SceneArrays``; ``matrices``: of the ``DrawList``, used with
    ``motions`` (``Motions``) where a body changes shape; ``lens``: ``Lens``; ``planes``: ``Planes``, written.
    """
    width, height, focal, cx, cy, _, _ = lens
    nearness, ids = buffer.nearness.reshape(height, width), buffer.ids.reshape(height, width)
    source, owner, label = buffer.source, buffer.owner, buffer.label
    vertices, triangles = scene.vertices, scene.triangles
    shift, previous, warps = motions
    tag, instance, depth, motion, _ = planes
    f, cx, cy = np.float32(focal), np.float32(cx), np.float32(cy)
    limit = np.float32(30000.0)  # keeps motion inside f16 where the point was beside or behind the previous camera
    half, one, least = np.float32(0.5), np.float32(1.0), np.float32(1e-4)
    local = np.empty((3, 3))
    line = np.empty(width, np.float32)
    for x in range(width):
        line[x] = (np.float32(x) + half - cx) / f
    for i in range(first_row, last_row):
        iz, number = nearness[i], ids[i]
        rz = -(np.float32(i) + half - cy) / f
        middle = np.float32(i) + half
        moved = motion[i]
        j = 0
        while j < width:
            first = number[j]
            o = owner[first]
            stop = j + 1  # the run of pixels that share one map to the previous frame
            last = first
            while stop < width and (number[stop] == last or (owner[number[stop]] == o and shift[o] == 0)):
                last = number[stop]
                stop += 1
            if shift[o] != 0:
                t = source[first]
                _previous_of(vertices, triangles, t, t + shift[o], matrices[o], previous[o], local)
                a00, a01 = np.float32(local[0, 1]), np.float32(local[0, 0] + local[0, 2] * rz)
                a10, a11 = np.float32(local[1, 1]), np.float32(local[1, 0] + local[1, 2] * rz)
                a20, a21 = np.float32(local[2, 1]), np.float32(local[2, 0] + local[2, 2] * rz)
                b0 = b1 = b2 = np.float32(0.0)
            else:
                w = warps[o]
                a00, a01, b0 = np.float32(w[0, 1]), np.float32(w[0, 0] + w[0, 2] * rz), np.float32(w[0, 3])
                a10, a11, b1 = np.float32(w[1, 1]), np.float32(w[1, 0] + w[1, 2] * rz), np.float32(w[1, 3])
                a20, a21, b2 = np.float32(w[2, 1]), np.float32(w[2, 0] + w[2, 2] * rz), np.float32(w[2, 3])
            for k in range(np.uint64(stop - j)):
                x = np.uint64(j) + k
                n, ry = iz[x], line[x]
                inverse = f / max(a01 + a00 * ry + b0 * n, least)
                du = cx + inverse * (a11 + a10 * ry + b1 * n) - (np.float32(x) + half)
                dv = cy - inverse * (a21 + a20 * ry + b2 * n) - middle
                moved[x, 0] = min(max(du, -limit), limit)
                moved[x, 1] = min(max(dv, -limit), limit)
            j = stop
        far, tag_row, instance_row = depth[i], tag[i], instance[i]
        for x in range(np.uint64(width)):
            far[x] = min(one / max(iz[x], np.float32(1e-9)), np.float32(1000.0))
            both = label[np.uint32(number[x])]
            tag_row[x] = np.uint8(both >> 16)
            instance_row[x] = np.uint16(both)
