"""Rays against everything that is drawn: the triangles of the scene, of its props and of the actors where they are now.

Each mesh has a tree of boxes over its triangles in Morton order (Morton 1966; Lauterbach et al. 2009), stored as an
implicit heap: node k has children 2 k + 1 and 2 k + 2. One more tree holds the props; actors, which move, are a list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from bridge.town.raster import Placements, Scene
from bridge.town.stage import Poses

LEAF = 4  # items per leaf
NOWHERE = 1e30  # m, where the boxes of empty leaves are
STACK = 64


@dataclass
class Hits:
    """What rays have met: ``distance`` f64 (N,) in units of the direction's length, inf = nothing; ``tag`` u8 (N,);
    ``who`` i64 (N,), id of the actor or 0 for scenery; ``normal`` f64 (N, 3), units towards the ray's origin."""

    distance: np.ndarray
    tag: np.ndarray
    who: np.ndarray
    normal: np.ndarray


@dataclass
class _Tree:
    boxes: np.ndarray  # f64 (2 P - 1, 6): low, high
    order: np.ndarray  # items, leaf by leaf
    leaves: int  # P


def _tree(low: np.ndarray, high: np.ndarray) -> _Tree:
    """A tree over boxes, f64 (N, 3) each."""
    count = max(len(low), 1)
    order = np.argsort(_morton((low + high) / 2.0), kind="stable")
    leaves = 1 << max(0, int(np.ceil(np.log2(-(-count // LEAF)))))
    low_of, high_of = np.full((leaves * LEAF, 3), NOWHERE), np.full((leaves * LEAF, 3), -NOWHERE)
    low_of[: len(low)], high_of[: len(low)] = low[order], high[order]
    levels = [np.stack([low_of.reshape(-1, LEAF, 3).min(1), high_of.reshape(-1, LEAF, 3).max(1)], axis=1)]
    while len(levels[0]) > 1:
        pairs = levels[0].reshape(-1, 2, 2, 3)
        levels.insert(0, np.stack([pairs[:, :, 0].min(1), pairs[:, :, 1].max(1)], axis=1))
    boxes = np.concatenate(levels)
    boxes[boxes[:, 0, 0] > boxes[:, 1, 0]] = NOWHERE  # empty: a point that no ray reaches
    return _Tree(np.ascontiguousarray(boxes.reshape(-1, 6)), order, leaves)


def _morton(points: np.ndarray) -> np.ndarray:
    """Z-order of points (N, 3): the bits of three 20-bit coordinates, interleaved."""
    if not len(points):
        return np.zeros(0, np.uint64)
    span = np.maximum(np.ptp(points, axis=0).max(), 1e-9)
    whole = ((points - points.min(0)) / span * (2**20 - 1)).astype(np.uint64)
    code = np.zeros(len(points), np.uint64)
    for bit in range(20):
        for axis in range(3):
            code |= ((whole[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return code


class Rays:
    """Casts rays into one scene. Its trees are built once, of the finest level of detail."""

    def __init__(self, scene: Scene, props: Placements) -> None:
        still = [np.arange(part[4], part[6]) for part in scene.parts[: scene.chunks]]
        groups = [np.concatenate([*still, np.zeros(0, np.int64)])]
        groups += [np.arange(part[4], part[6]) for part in scene.parts[scene.chunks :]]
        corners = scene.vertices.T.astype(np.float64)
        shapes, boxes, tags, trees, sizes = [], [], [], [], []
        node = item = 0
        for chosen in groups:
            chosen = np.asarray(chosen, np.int64)
            points = corners[scene.triangles[chosen]].reshape(-1, 3, 3)
            tree = _tree(points.min(1), points.max(1))
            points = points[tree.order]
            edges = [points[:, 0], points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]]
            shapes.append(np.concatenate(edges, axis=1))
            tags.append(scene.tags[chosen][tree.order])
            boxes.append(tree.boxes)
            trees.append((node, tree.leaves, item, len(chosen)))
            sizes.append(tree.boxes[0])
            node, item = node + len(tree.boxes), item + len(chosen)
        self._triangles, self._tags = np.ascontiguousarray(np.concatenate(shapes)), np.concatenate(tags)
        self._boxes, self._trees = np.ascontiguousarray(np.concatenate(boxes)), np.array(trees, np.int64)
        self._size = np.array(sizes)  # f64 (1 + templates, 6), bounding box of each mesh in its own axes
        self._props = _placed(props.pose, props.template, np.zeros(len(props), np.int64), self._size)
        tree = _tree(self._props.low, self._props.high)
        self._prop_boxes, self._prop_order, self._prop_leaves = tree.boxes, tree.order, tree.leaves

    def cast(
        self, origin: np.ndarray, direction: np.ndarray, reach: float, poses: Poses, ignore: int = 0, still: bool = True
    ) -> Hits:
        """The nearest thing on each ray within ``reach`` directions' lengths.

        ``origin`` f64 (N, 3) or (3,), m; ``direction`` f64 (N, 3); ``ignore``: actor that rays go through; ``still``:
        whether they meet what is no actor.
        """
        direction = np.array(direction, np.float64).reshape(-1, 3)
        count = len(direction)
        origin = np.array(np.broadcast_to(np.asarray(origin, np.float64), (count, 3)))
        seen = np.flatnonzero((poses.template >= 0) & (poses.ids != ignore))
        actors = _placed(poses.matrix[seen], poses.template[seen], poses.ids[seen], self._size)
        hits = Hits(
            np.empty(count), np.zeros(count, np.uint8), np.zeros(count, np.int64), np.zeros((count, 3), np.float64)
        )
        _cast(
            origin, direction, reach, still, self._triangles, self._tags, self._boxes, self._trees,
            self._prop_boxes, self._prop_order, self._prop_leaves, self._props.inverse, self._props.mesh,
            actors.low, actors.high, actors.inverse, actors.mesh, actors.who,
            hits.distance, hits.tag, hits.who, hits.normal,
        )  # fmt: skip
        return hits


@dataclass
class _Placed:
    low: np.ndarray
    high: np.ndarray
    inverse: np.ndarray  # f64 (N, 3, 4), mesh <- world
    mesh: np.ndarray
    who: np.ndarray


def _placed(pose: np.ndarray, template: np.ndarray, who: np.ndarray, size: np.ndarray) -> _Placed:
    box = size[1 + template].reshape(-1, 2, 3)
    middle, half = box.mean(1), (box[:, 1] - box[:, 0]) / 2.0
    centre = np.einsum("nij,nj->ni", pose[:, :3, :3], middle) + pose[:, :3, 3]
    reach = np.einsum("nij,nj->ni", np.abs(pose[:, :3, :3]), half)
    inverse = np.ascontiguousarray(np.linalg.inv(pose)[:, :3]) if len(pose) else np.zeros((0, 3, 4))
    return _Placed(centre - reach, centre + reach, inverse, 1 + template.astype(np.int64), who.astype(np.int64))


@njit(cache=True, nogil=True, inline="always")
def _entry(box, ox, oy, oz, ix, iy, iz, best):  # type: ignore[no-untyped-def]
    """Where a ray enters a box (low, high), inf when it does not before ``best`` (Kay and Kajiya 1986)."""
    a, b = (box[0] - ox) * ix, (box[3] - ox) * ix
    near, far = min(a, b), max(a, b)
    a, b = (box[1] - oy) * iy, (box[4] - oy) * iy
    near, far = max(near, min(a, b)), min(far, max(a, b))
    a, b = (box[2] - oz) * iz, (box[5] - oz) * iz
    near, far = max(near, min(a, b)), min(far, max(a, b))
    return near if far >= max(near, 0.0) and near < best else np.inf


@njit(cache=True, nogil=True, inline="always")
def _inverse(x):  # type: ignore[no-untyped-def]
    return 1.0 / x if abs(x) > 1e-12 else 1e12


@njit(cache=True, nogil=True)
def _descend(boxes, base, node, ox, oy, oz, ix, iy, iz, best, stack, top):  # type: ignore[no-untyped-def]
    """Push those children of ``node`` that the ray enters before ``best``, the nearer one last; the new height."""
    left, right = 2 * node + 1, 2 * node + 2
    a = _entry(boxes[base + left], ox, oy, oz, ix, iy, iz, best)
    b = _entry(boxes[base + right], ox, oy, oz, ix, iy, iz, best)
    if b < a:
        a, b, left, right = b, a, right, left
    if b < np.inf:
        stack[top] = right
        top += 1
    if a < np.inf:
        stack[top] = left
        top += 1
    return top


@njit(cache=True, nogil=True)
def _mesh(ox, oy, oz, dx, dy, dz, best, triangles, boxes, tree, stack):  # type: ignore[no-untyped-def]
    """Nearest triangle of one mesh before ``best``: distance, its index or -1 (Moeller and Trumbore 1997)."""
    base, leaves, first, count = tree[0], tree[1], tree[2], tree[3]
    found = -1
    ix, iy, iz = _inverse(dx), _inverse(dy), _inverse(dz)
    top = 0
    if _entry(boxes[base], ox, oy, oz, ix, iy, iz, best) < np.inf:
        stack[0] = 0
        top = 1
    while top > 0:
        top -= 1
        node = stack[top]
        if node < leaves - 1:
            top = _descend(boxes, base, node, ox, oy, oz, ix, iy, iz, best, stack, top)
            continue
        start = (node - leaves + 1) * LEAF
        for k in range(first + start, first + min(start + LEAF, count)):
            t = triangles[k]
            px, py, pz = dy * t[8] - dz * t[7], dz * t[6] - dx * t[8], dx * t[7] - dy * t[6]
            det = t[3] * px + t[4] * py + t[5] * pz
            if abs(det) < 1e-14:
                continue
            sx, sy, sz = ox - t[0], oy - t[1], oz - t[2]
            u = (sx * px + sy * py + sz * pz) / det
            if u < 0.0 or u > 1.0:
                continue
            qx, qy, qz = sy * t[5] - sz * t[4], sz * t[3] - sx * t[5], sx * t[4] - sy * t[3]
            v = (dx * qx + dy * qy + dz * qz) / det
            if v < 0.0 or u + v > 1.0:
                continue
            at = (t[6] * qx + t[7] * qy + t[8] * qz) / det
            if 1e-6 < at < best:
                best, found = at, k
    return best, found


@njit(cache=True, nogil=True)
def _local(m, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """A ray in the axes of something placed; distances stay what they are, for the direction is not normalised."""
    return (
        m[0, 0] * ox + m[0, 1] * oy + m[0, 2] * oz + m[0, 3],
        m[1, 0] * ox + m[1, 1] * oy + m[1, 2] * oz + m[1, 3],
        m[2, 0] * ox + m[2, 1] * oy + m[2, 2] * oz + m[2, 3],
        m[0, 0] * dx + m[0, 1] * dy + m[0, 2] * dz,
        m[1, 0] * dx + m[1, 1] * dy + m[1, 2] * dz,
        m[2, 0] * dx + m[2, 1] * dy + m[2, 2] * dz,
    )


@njit(cache=True, nogil=True)
def _cast(  # type: ignore[no-untyped-def]
    origin, direction, reach, still, triangles, tags, boxes, trees,
    prop_boxes, prop_order, prop_leaves, prop_inverse, prop_mesh,
    low, high, inverse, mesh, who, distance, tag, whom, normal,
):  # fmt: skip
    stack, inner = np.empty(STACK, np.int64), np.empty(STACK, np.int64)
    box = np.empty(6)
    eye = np.eye(3, 4)
    for n in range(len(direction)):
        ox, oy, oz = origin[n]
        dx, dy, dz = direction[n]
        ix, iy, iz = _inverse(dx), _inverse(dy), _inverse(dz)
        best, hit, owner = reach, -1, 0
        frame = eye
        if still:
            best, hit = _mesh(ox, oy, oz, dx, dy, dz, best, triangles, boxes, trees[0], inner)
            top = 0
            if len(prop_order) and _entry(prop_boxes[0], ox, oy, oz, ix, iy, iz, best) < np.inf:
                stack[0] = 0
                top = 1
            while top > 0:
                top -= 1
                node = stack[top]
                if node < prop_leaves - 1:
                    top = _descend(prop_boxes, 0, node, ox, oy, oz, ix, iy, iz, best, stack, top)
                    continue
                start = (node - prop_leaves + 1) * LEAF
                for k in range(start, min(start + LEAF, len(prop_order))):
                    p = prop_order[k]
                    a, b, c, d, e, f = _local(prop_inverse[p], ox, oy, oz, dx, dy, dz)
                    at, found = _mesh(a, b, c, d, e, f, best, triangles, boxes, trees[prop_mesh[p]], inner)
                    if found >= 0:
                        best, hit, frame = at, found, prop_inverse[p]
        for k in range(len(mesh)):
            box[:3], box[3:] = low[k], high[k]
            if _entry(box, ox, oy, oz, ix, iy, iz, best) == np.inf:
                continue
            a, b, c, d, e, f = _local(inverse[k], ox, oy, oz, dx, dy, dz)
            at, found = _mesh(a, b, c, d, e, f, best, triangles, boxes, trees[mesh[k]], inner)
            if found >= 0:
                best, hit, frame, owner = at, found, inverse[k], who[k]
        if hit < 0:
            distance[n] = np.inf
            continue
        t = triangles[hit]
        cx, cy, cz = t[4] * t[8] - t[5] * t[7], t[5] * t[6] - t[3] * t[8], t[3] * t[7] - t[4] * t[6]
        # Normals go to the world by the transpose of the matrix that brings points from there.
        nx = frame[0, 0] * cx + frame[1, 0] * cy + frame[2, 0] * cz
        ny = frame[0, 1] * cx + frame[1, 1] * cy + frame[2, 1] * cz
        nz = frame[0, 2] * cx + frame[1, 2] * cy + frame[2, 2] * cz
        size = max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-30)
        if nx * dx + ny * dy + nz * dz > 0.0:
            size = -size
        normal[n, 0], normal[n, 1], normal[n, 2] = nx / size, ny / size, nz / size
        distance[n], tag[n], whom[n] = best, tags[hit], owner
