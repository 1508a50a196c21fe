"""Ray casting against all drawn geometry: the scene, its props and the actors at their current poses.

Each mesh has a bounding volume hierarchy over its triangles (``bvh``), and there is one over the props. That over the
actors, which move, is rebuilt for each cast.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.base import kernels
from neuralsim.town.raycasting.bvh import build_bvh
from neuralsim.town.render.actor_poses import Poses
from neuralsim.town.render.scene import Placements, Scene

STACK = 96  # nodes, enough for the deepest tree


class Hits(NamedTuple):
    """The nearest hits of N rays."""

    distance: np.ndarray  # f64 (N,), in units of the direction's length, inf = nothing
    tag: np.ndarray  # u8 (N,)
    actor: np.ndarray  # i64 (N,), id of the actor, 0 for scenery
    normal: np.ndarray  # f64 (N, 3), unit vectors towards the ray's origin


class MeshArrays(NamedTuple):
    """The triangles of all meshes with the hierarchies over them: T triangles, N nodes."""

    triangles: np.ndarray  # f64 (T, 9): a corner and the two edges from it, m
    tags: np.ndarray  # u8 (T,)
    bounds: np.ndarray  # f32 (N, 12), see ``bvh``
    link: np.ndarray  # i32 (N, 4), see ``bvh``


class Instances(NamedTuple):
    """M meshes placed in the world, in the order of the leaves of the hierarchy over them."""

    bounds: np.ndarray  # f32 (N, 12), see ``bvh``
    link: np.ndarray  # i32 (N, 4), see ``bvh``
    inverse: np.ndarray  # f64 (M, 3, 4), mesh <- world
    root: np.ndarray  # i64 (M,), node at which each mesh's hierarchy begins
    actor: np.ndarray  # i64 (M,), id of the actor, 0 for scenery


class Rays:
    """A ray caster for one scene. Its trees are built once, over the finest level of detail."""

    def __init__(self, scene: Scene, props: Placements) -> None:
        groups = [scene.finest_static(), *(scene.finest(scene.chunks + t) for t in range(scene.templates))]
        corners = scene.vertices.T.astype(np.float64)
        shapes, bounds, links, tags, roots, sizes = [], [], [], [], [], []
        node = item = 0
        for chosen in groups:
            chosen = np.asarray(chosen, np.int64)
            points = corners[scene.triangles[chosen]].reshape(-1, 3, 3)
            a, b, c = points[:, 0], points[:, 1], points[:, 2]
            low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
            sizes.append(np.concatenate([low.min(0), high.max(0)]) if len(low) else np.zeros(6))
            tree = build_bvh(low, high)
            points = points[tree.order]
            edges = [points[:, 0], points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]]
            shapes.append(np.concatenate(edges, axis=1))
            tags.append(scene.tags[chosen][tree.order])
            leaf = tree.link[:, 1::2] > 0
            tree.link[:, 0::2] += np.where(leaf, item, node)
            bounds.append(tree.bounds)
            links.append(tree.link)
            roots.append(node)
            node, item = node + len(tree.link), item + len(tree.order)
        self._meshes = MeshArrays(
            np.ascontiguousarray(np.concatenate(shapes)),
            np.concatenate(tags),
            np.concatenate(bounds),
            np.concatenate(links),
        )
        self._roots = np.array(roots, np.int64)
        self._size = np.array(sizes)  # f64 (1 + templates, 6), bounding box of each mesh in its own axes
        self._props = self._placed(props.pose, props.template, np.zeros(len(props), np.int64))

    def cast(
        self, origin: np.ndarray, direction: np.ndarray, reach: float, poses: Poses, ignore: int = 0, still: bool = True
    ) -> Hits:
        """Return the nearest hit of each ray.

        Args:
            origin: f64 (N, 3) or (3,), m.
            direction: f64 (N, 3).
            reach: Range, in lengths of the direction.
            poses: Those of the actors now.
            ignore: Id of an actor that rays pass through, 0 = none.
            still: Whether rays hit scenery too, not only actors.
        """
        direction = np.array(direction, np.float64).reshape(-1, 3)
        count = len(direction)
        origin = np.array(np.broadcast_to(np.asarray(origin, np.float64), (count, 3)), order="C")
        seen = np.flatnonzero((poses.template >= 0) & (poses.ids != ignore))
        actors = self._placed(poses.matrix[seen], poses.template[seen], poses.ids[seen])
        hits = Hits(
            np.empty(count), np.zeros(count, np.uint8), np.zeros(count, np.int64), np.zeros((count, 3), np.float64)
        )
        _cast(origin, direction, reach, still, self._meshes, self._roots[0], self._props, actors, hits)
        return hits

    def _placed(self, pose: np.ndarray, template: np.ndarray, actor: np.ndarray) -> Instances:
        """Return meshes of templates i64 (M,) placed at ``pose`` f64 (M, 4, 4), of these actors (0: scenery)."""
        box = self._size[1 + template].reshape(-1, 2, 3)
        middle, half = box.mean(1), (box[:, 1] - box[:, 0]) / 2.0
        centre = np.einsum("nij,nj->ni", pose[:, :3, :3], middle) + pose[:, :3, 3]
        reach = np.einsum("nij,nj->ni", np.abs(pose[:, :3, :3]), half)
        tree = build_bvh(centre - reach, centre + reach)
        order = tree.order
        inverse = np.ascontiguousarray(np.linalg.inv(pose[order])[:, :3]) if len(pose) else np.zeros((0, 3, 4))
        roots = self._roots[1 + template[order]]
        return Instances(tree.bounds, tree.link, inverse, roots, actor[order].astype(np.int64))


@njit(**kernels.EXACT)
def _entry(bounds, node, side, ox, oy, oz, ix, iy, iz, best):  # type: ignore[no-untyped-def]
    """Return where a ray enters a child's box, inf if not before ``best`` (Kay and Kajiya, SIGGRAPH 1986)."""
    a, b = (bounds[node, side] - ox) * ix, (bounds[node, side + 3] - ox) * ix
    near, far = (a, b) if a < b else (b, a)
    a, b = (bounds[node, side + 1] - oy) * iy, (bounds[node, side + 4] - oy) * iy
    low, high = (a, b) if a < b else (b, a)
    near, far = low if low > near else near, high if high < far else far
    a, b = (bounds[node, side + 2] - oz) * iz, (bounds[node, side + 5] - oz) * iz
    low, high = (a, b) if a < b else (b, a)
    near, far = low if low > near else near, high if high < far else far
    near = near if near > 0.0 else 0.0
    return near if far >= near and near < best else np.inf


@njit(**kernels.EXACT)
def _inverse(x):  # type: ignore[no-untyped-def]
    """Return 1 / x, a large number for x near 0."""
    return 1.0 / x if abs(x) > 1e-12 else 1e12


@njit(**kernels.EXACT)
def _mesh(ray, best, meshes, root, stack):  # type: ignore[no-untyped-def]
    """Return distance and index (-1: none) of the nearest triangle of a mesh (Moeller and Trumbore 1997).

    ``root``: its root node; ``stack``: scratch i64 (STACK,), f64 (STACK,).
    """
    ox, oy, oz, dx, dy, dz = ray
    triangles, _, bounds, link = meshes
    nodes, entries = stack
    nearest = -1
    ix, iy, iz = _inverse(dx), _inverse(dy), _inverse(dz)
    nodes[0], entries[0] = root, 0.0
    top = 1
    while top > 0:
        top -= 1
        if entries[top] >= best:
            continue
        node = np.uint64(nodes[top])
        at_left = _entry(bounds, node, 0, ox, oy, oz, ix, iy, iz, best)
        at_right = _entry(bounds, node, 6, ox, oy, oz, ix, iy, iz, best)
        second = at_left > at_right  # the nearer child comes first
        for turn in range(2):
            side = 2 * int(second) if turn == 0 else 2 - 2 * int(second)
            count = link[node, side + 1]
            if (at_right if side else at_left) == np.inf or count == 0:
                continue
            first = np.uint64(link[node, side])
            for n in range(np.uint64(count)):
                k = first + n
                ax, ay, az = triangles[k, 3], triangles[k, 4], triangles[k, 5]
                bx, by, bz = triangles[k, 6], triangles[k, 7], triangles[k, 8]
                px, py, pz = dy * bz - dz * by, dz * bx - dx * bz, dx * by - dy * bx
                det = ax * px + ay * py + az * pz
                if abs(det) < 1e-14:
                    continue
                sx, sy, sz = ox - triangles[k, 0], oy - triangles[k, 1], oz - triangles[k, 2]
                u = (sx * px + sy * py + sz * pz) / det
                if u < 0.0 or u > 1.0:
                    continue
                qx, qy, qz = sy * az - sz * ay, sz * ax - sx * az, sx * ay - sy * ax
                v = (dx * qx + dy * qy + dz * qz) / det
                if v < 0.0 or u + v > 1.0:
                    continue
                at = (bx * qx + by * qy + bz * qz) / det
                if 1e-6 < at < best:
                    best, nearest = at, np.int64(k)
        near, far = (2, 0) if second else (0, 2)
        for side in (far, near):
            at = at_right if side else at_left
            if at < best and link[node, side + 1] == 0:
                nodes[top], entries[top] = link[node, side], at
                top += 1
    return best, nearest


@njit(**kernels.EXACT)
def _local(m, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Return a ray in the axes of an instance. Its direction is not normalised, so that distances stay the same."""
    return (
        m[0, 0] * ox + m[0, 1] * oy + m[0, 2] * oz + m[0, 3],
        m[1, 0] * ox + m[1, 1] * oy + m[1, 2] * oz + m[1, 3],
        m[2, 0] * ox + m[2, 1] * oy + m[2, 2] * oz + m[2, 3],
        m[0, 0] * dx + m[0, 1] * dy + m[0, 2] * dz,
        m[1, 0] * dx + m[1, 1] * dy + m[1, 2] * dz,
        m[2, 0] * dx + m[2, 1] * dy + m[2, 2] * dz,
    )


@njit(**kernels.EXACT)
def _instances(ray, best, meshes, placed, stack, inner):  # type: ignore[no-untyped-def]
    """Return distance and index (-1: none) of the nearest triangle before ``best``, and the index of its instance."""
    ox, oy, oz, dx, dy, dz = ray
    tree_bounds, tree_link, inverse, root, _ = placed
    nodes, entries = stack
    nearest, instance = -1, -1
    ix, iy, iz = _inverse(dx), _inverse(dy), _inverse(dz)
    nodes[0], entries[0] = 0, 0.0
    top = 1
    while top > 0:
        top -= 1
        if entries[top] >= best:
            continue
        node = np.uint64(nodes[top])
        at_left = _entry(tree_bounds, node, 0, ox, oy, oz, ix, iy, iz, best)
        at_right = _entry(tree_bounds, node, 6, ox, oy, oz, ix, iy, iz, best)
        near, far = (2, 0) if at_left > at_right else (0, 2)
        for side in (near, far):
            if (at_right if side else at_left) < best:
                for k in range(tree_link[node, side], tree_link[node, side] + tree_link[node, side + 1]):
                    at, hit = _mesh(_local(inverse[k], ox, oy, oz, dx, dy, dz), best, meshes, root[k], inner)
                    if hit >= 0:
                        best, nearest, instance = at, hit, k
        for side in (far, near):
            at = at_right if side else at_left
            if at < best and tree_link[node, side + 1] == 0:
                nodes[top], entries[top] = tree_link[node, side], at
                top += 1
    return best, nearest, instance


@njit(**kernels.EXACT)
def _cast(origin, direction, reach, still, meshes, ground, props, actors, hits):  # type: ignore[no-untyped-def]
    """Write the ``Hits`` of rays with the static mesh (root node ``ground``), ``props`` and ``actors`` into ``hits``.

    Args:
        origin: f64 (N, 3).
        direction: f64 (N, 3).
        reach: Range, in lengths of the direction.
        still: Whether rays hit scenery too, not only actors.
        meshes: ``MeshArrays``.
        ground: Root node of the static mesh.
        props: ``Instances``.
        actors: ``Instances``.
        hits: ``Hits``, written.
    """
    stack, inner = (np.empty(STACK, np.int64), np.empty(STACK)), (np.empty(STACK, np.int64), np.empty(STACK))
    distance, tag, whom, normal = hits
    triangles, tags = meshes.triangles, meshes.tags
    eye = np.eye(3, 4)
    for n in range(len(direction)):
        ox, oy, oz = origin[n]
        dx, dy, dz = direction[n]
        ray = (ox, oy, oz, dx, dy, dz)
        best, hit, owner = reach, -1, 0
        frame = eye
        if still:
            best, hit = _mesh(ray, best, meshes, ground, inner)
            best, other, k = _instances(ray, best, meshes, props, stack, inner)
            if other >= 0:
                hit, frame, owner = other, props.inverse[k], props.actor[k]
        best, other, k = _instances(ray, best, meshes, actors, stack, inner)
        if other >= 0:
            hit, frame, owner = other, actors.inverse[k], actors.actor[k]
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
