"""The compiled kernels around drawing: the maps of all objects, and the image planes from the visibility buffer."""

import numpy as np
from numba import njit

from neuralsim.town.render.raster_arrays import lean_options, options


@njit(inline="always", **lean_options)
def _product(a, b, out):
    """Write the product of two affine maps f64 (3, 4) or (4, 4), whose last row is 0 0 0 1, into ``out``."""
    for r in range(3):
        for c in range(4):
            out[r, c] = a[r, 0] * b[0, c] + a[r, 1] * b[1, c] + a[r, 2] * b[2, c] + (a[r, 3] if c == 3 else 0.0)


@njit(**lean_options)
def chain(camera, before, pose, previous_pose, now, then, inverses, warps):
    """Write the maps f64 (N + 1, 3, 4) of N objects and, as number 0, of the world.

    Args:
        camera: f64 (4, 4), camera <- world of this frame.
        before: The same of the previous frame.
        pose: f64 (N, 4, 4), world <- local, of the objects in this frame.
        previous_pose: The same in the previous frame.
        now: Written: camera <- local. Entry 0 of this and the next two is given.
        then: Written: previous camera <- local.
        inverses: Written: local <- camera.
        warps: Written: previous camera <- camera, following the object.
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
def _previous_of(vertices, triangles, t, before, now, then, result):
    """Write the linear map from a ray of this frame to the triangle's point in the previous camera into ``result``.

    It is for bodies that change shape: ``t`` is the triangle drawn, ``before`` its counterpart in the previous frame.

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
def resolve(buffer, scene, matrices, motions, lens, first_row, last_row, planes):
    """Write the rows ``first_row`` <= i < ``last_row`` of all planes but ``rgb`` from the visibility buffer.

    Args:
        buffer: ``VisibilityBuffer``.
        scene: ``SceneArrays``.
        matrices: Those of the ``DrawList``, used where a body changes shape.
        motions: ``Motions``.
        lens: ``Lens``.
        first_row: First row to write.
        last_row: End of the rows to write.
        planes: ``Planes``, written.
    """
    width, height, focal, cx, cy, _, _ = lens
    nearness, ids = buffer.nearness.reshape(height, width), buffer.ids.reshape(height, width)
    source, owner, label = buffer.source, buffer.owner, buffer.label
    vertices, triangles = scene.vertices, scene.triangles
    shift, previous, warps = motions
    tag, instance, depth, motion, _ = planes
    f, cx, cy = np.float32(focal), np.float32(cx), np.float32(cy)
    limit = np.float32(30000.0)  # keeps motion within f16 where the point was next to or behind the previous camera
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
