"""Triangle meshes with a semantic tag per triangle, and the primitives from which the town is built.

Axes are those of Unreal Engine: x forward, y right, z up; metres. Vehicles, people and street furniture made of these
primitives are in ``vehicle_meshes``, ``people_meshes`` and ``prop_meshes``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

RGB = tuple[int, int, int]

#: Triangles of this colour take the colour of the placement (the paint of a car, the coat of a walker), those of the
#: next six the further colours of its palette (``looks.palettes``).
PAINT: RGB = (255, 0, 255)
LOWER: RGB = (255, 0, 254)  # trousers and skirts
SHIRT: RGB = (255, 0, 253)
HAIR: RGB = (255, 0, 252)
SKIN: RGB = (255, 0, 251)
SLEEVE: RGB = (255, 0, 250)  # as PAINT
UMBRELLA: RGB = (255, 0, 249)
PALETTE = (PAINT, LOWER, SHIRT, HAIR, SKIN, SLEEVE, UMBRELLA)

#: Levels of detail of a triangle: drawn only near the camera, always, only far from it; only up to and only beyond a
#: second distance. ``END`` is the end of the last level in tables of their offsets.
NEAR, ALWAYS, FAR, MIDDLE, DISTANT, END = range(6)


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh; triangles are two-sided and of any winding unless ``solid``.

    Attributes:
        vertices: f32 (V, 3), metres.
        triangles: i32 (T, 3), indices of vertices.
        tags: u8 (T,), CARLA tags.
        colours: u8 (T, 3), RGB albedo of the shaded view (``PAINT``: that of the placement).
        instances: u16 (T,), used for the static mesh only; objects have the instance of their placement.
        levels: u8 (T,), levels of detail, by default ``ALWAYS``.
        solid: bool (T,), by default False: part of a closed body whose back faces are never seen, wound so that
            (b - a) x (c - a) points outwards.

    Raises:
        ValueError: The lengths of the arrays do not match, or triangles refer to missing vertices.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    tags: np.ndarray
    colours: np.ndarray
    instances: np.ndarray = None  # type: ignore[assignment]  # filled in below, as the next two
    levels: np.ndarray = None  # type: ignore[assignment]
    solid: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        count = len(self.triangles)

        def or_default(values: np.ndarray | None, default: int, dtype: type) -> np.ndarray:
            return np.full(count, default, dtype) if values is None else np.ascontiguousarray(values, dtype)

        fields: dict[str, np.ndarray] = {
            "triangles": np.ascontiguousarray(self.triangles, np.int32).reshape(-1, 3),
            "tags": np.ascontiguousarray(self.tags, np.uint8),
            "colours": np.ascontiguousarray(self.colours, np.uint8).reshape(-1, 3),
            "instances": or_default(self.instances, 0, np.uint16),
            "levels": or_default(self.levels, ALWAYS, np.uint8),
            "solid": or_default(self.solid, False, np.bool_),
        }
        for name, value in fields.items():
            if len(value) != count:
                raise ValueError(f"mesh with {count} triangles has {len(value)} {name}: give one per triangle")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "vertices", np.ascontiguousarray(self.vertices, np.float32).reshape(-1, 3))
        if count and (self.triangles.min() < 0 or self.triangles.max() >= len(self.vertices)):
            raise ValueError("mesh refers to vertices it does not have: check the triangle indices")

    @staticmethod
    def of(vertices: ArrayLike, triangles: ArrayLike, tag: int, colour: RGB, instance: int = 0) -> Mesh:
        """Return a mesh with one tag, colour and instance for all its triangles.

        Args:
            vertices: f32 (V, 3), metres.
            triangles: i32 (T, 3).
            tag: Semantic tag.
            colour: RGB, 0 .. 255.
            instance: Instance number.
        """
        tri = np.asarray(triangles, np.int32).reshape(-1, 3)
        return Mesh(
            np.asarray(vertices, np.float32),
            tri,
            np.full(len(tri), tag, np.uint8),
            np.tile(np.array(colour, np.uint8), (len(tri), 1)),
            np.full(len(tri), instance, np.uint16),
        )

    @staticmethod
    def empty() -> Mesh:
        """Return a mesh without triangles."""
        return Mesh.of(np.zeros((0, 3)), np.zeros((0, 3)), 0, (0, 0, 0))

    def transformed(self, matrix: np.ndarray) -> Mesh:
        """Return the mesh transformed by an affine matrix (4, 4), parent <- local."""
        m = np.asarray(matrix, np.float64)
        triangles = self.triangles if np.linalg.det(m[:3, :3]) > 0.0 else self.triangles[:, ::-1]
        return replace(self, triangles=triangles, vertices=(self.vertices @ m[:3, :3].T + m[:3, 3]).astype(np.float32))

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0, scale: float = 1.0) -> Mesh:
        """Return the mesh scaled, rotated about z by ``yaw`` (degrees, from x towards y), then translated (metres)."""
        c, s = scale * np.cos(np.radians(yaw)), scale * np.sin(np.radians(yaw))
        return self.transformed(np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, scale, z], [0, 0, 0, 1.0]]))

    def with_instance(self, instance: int) -> Mesh:
        """Return the mesh with one instance number for all its triangles."""
        return replace(self, instances=np.full(len(self.triangles), instance, np.uint16))

    def only(self, chosen: np.ndarray) -> Mesh:
        """Return the mesh with only the triangles ``chosen`` (bool (T,), or their indices)."""
        names = ("triangles", "tags", "colours", "instances", "levels", "solid")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def with_level(self, level: int) -> Mesh:
        """Return the mesh with one level of detail for all its triangles."""
        return replace(self, levels=np.full(len(self.triangles), level, np.uint8))

    def closed(self) -> Mesh:
        """Return the mesh as a solid; its triangles, all of one winding, are flipped if their normals point inwards."""
        p = self.vertices[self.triangles].astype(np.float64)
        p -= p.reshape(-1, 3).mean(axis=0)
        volume = np.einsum("ij,ij->", p[:, 0], np.cross(p[:, 1], p[:, 2]))
        triangles = self.triangles if volume > 0.0 else self.triangles[:, ::-1]
        return replace(self, triangles=triangles, solid=np.ones(len(triangles), bool))

    def with_paint(self, colour: RGB) -> Mesh:
        """Return the mesh with a fixed colour for its ``PAINT`` triangles, for use in the static mesh."""
        paint = (self.colours == np.array(PAINT, np.uint8)).all(axis=1)
        return replace(self, colours=np.where(paint[:, None], np.array(colour, np.uint8), self.colours))

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner of the bounding box, f32 (3,) each, metres."""
        return self.vertices.min(axis=0), self.vertices.max(axis=0)


def corner_normals(mesh: Mesh, crease: float = 48.0) -> np.ndarray:
    """Return smooth unit normals at the corners of each triangle, i8 (T, 9) in 127ths.

    A corner's normal is the mean, by area, of those of the triangles of its level at the same point that are inclined
    to its own by less than ``crease`` degrees: edges sharper than that stay sharp.
    """
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    unit = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    place = np.round(corners.reshape(-1, 3) * 2e3).astype(np.int64)
    place -= place.min(axis=0, initial=0)
    _, size_y, size_z = (place.max(axis=0, initial=0) + 1).tolist()
    key = ((place[:, 0] * size_y + place[:, 1]) * size_z + place[:, 2]) * END + np.repeat(mesh.levels, 3)
    _, point = np.unique(key, return_inverse=True)
    order = np.argsort(point, kind="stable")
    count = np.bincount(point)
    first = np.cumsum(count) - count
    sizes = count[point]
    mine = np.repeat(np.arange(len(point)), sizes)  # pairs of corners at one point
    others = order[np.repeat(first[point] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())]
    is_smooth = np.einsum("ij,ij->i", unit[mine // 3], unit[others // 3]) > np.cos(np.radians(crease))
    weighted = normal[others // 3] * is_smooth[:, None]
    total = np.stack([np.bincount(mine, weighted[:, k], len(point)) for k in range(3)], 1).astype(np.float64)
    mean = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return np.round(127.0 * mean).astype(np.int8).reshape(-1, 9)


def merge(meshes: Iterable[Mesh]) -> Mesh:
    """Return one mesh of many, in their order."""
    parts = list(meshes)
    if not parts:
        return Mesh.empty()
    offsets = np.cumsum([0] + [len(m.vertices) for m in parts[:-1]])
    return Mesh(
        np.concatenate([m.vertices for m in parts]),
        np.concatenate([m.triangles + o for m, o in zip(parts, offsets, strict=True)]),
        np.concatenate([m.tags for m in parts]),
        np.concatenate([m.colours for m in parts]),
        np.concatenate([m.instances for m in parts]),
        np.concatenate([m.levels for m in parts]),
        np.concatenate([m.solid for m in parts]),
    )


_BOX = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_BOX_TRIANGLES = [
    (0, 1, 3),
    (0, 3, 2),
    (4, 6, 7),
    (4, 7, 5),
    (0, 4, 5),
    (0, 5, 1),
    (2, 3, 7),
    (2, 7, 6),
    (1, 5, 7),
    (1, 7, 3),
    (0, 2, 6),
    (0, 6, 4),
]


def box(size: ArrayLike, centre: ArrayLike, tag: int, colour: RGB) -> Mesh:
    """Return an axis-aligned box; ``size`` and ``centre`` in metres (x, y, z)."""
    return Mesh.of(_BOX * np.asarray(size, float) + np.asarray(centre, float), _BOX_TRIANGLES, tag, colour).closed()


def quad(corners: ArrayLike, tag: int, colour: RGB) -> Mesh:
    """Return a quadrilateral of four corners (4, 3), in order around it."""
    return Mesh.of(corners, [(0, 1, 2), (0, 2, 3)], tag, colour)


def quad_strip(left: ArrayLike, right: ArrayLike, tag: int, colour: RGB) -> Mesh:
    """Return a ribbon between two polylines (N, 3) with equally many points: road surfaces, markings, kerbs, walls."""
    a, b = np.asarray(left, float), np.asarray(right, float)
    if a.shape != b.shape or len(a) < 2:
        raise ValueError(f"a strip needs two lines with the same number of points, 2 or more: {a.shape} and {b.shape}")
    i = np.arange(len(a) - 1)
    n = len(a)
    triangles = np.concatenate([np.stack([i, i + 1, i + n], 1), np.stack([i + 1, i + n + 1, i + n], 1)])
    return Mesh.of(np.concatenate([a, b]), triangles, tag, colour)


def triangulate(polygon: ArrayLike) -> np.ndarray:
    """Return the triangles, i32 (N - 2, 3), of a simple polygon (N, 2), convex or not, by ear clipping.

    Source: Meisters, "Polygons have ears", American Mathematical Monthly 82 (1975).
    """
    p = np.asarray(polygon, float)[:, :2]
    x, y = p[:, 0], p[:, 1]
    ring = list(range(len(p)))
    if float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) < 0.0:
        ring.reverse()

    def cross(a: int, b: int, c: int) -> float:
        return float((x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a]))

    result = []
    while len(ring) > 3:
        for k in range(len(ring)):
            a, b, c = ring[k - 1], ring[k], ring[(k + 1) % len(ring)]
            if cross(a, b, c) <= 0.0:
                continue
            if not any(
                cross(a, b, q) >= 0.0 and cross(b, c, q) >= 0.0 and cross(c, a, q) >= 0.0
                for q in ring
                if q not in (a, b, c)
            ):
                break
        else:  # degenerate remainder (collinear or touching points): any corner will do
            k = 0
            a, b, c = ring[-1], ring[0], ring[1]
        result.append((a, b, c))
        ring.pop(k)
    if len(ring) == 3:
        result.append((ring[0], ring[1], ring[2]))
    return np.array(result, np.int32).reshape(-1, 3)


def flat(polygon: ArrayLike, z: float, tag: int, colour: RGB) -> Mesh:
    """Return the horizontal face of a simple polygon (N, 2) at height ``z``, metres."""
    p = np.asarray(polygon, float)[:, :2]
    return Mesh.of(np.column_stack([p, np.full(len(p), z)]), triangulate(p), tag, colour)


def prism(polygon: ArrayLike, bottom: float, top: float, tag: int, colour: RGB, lid: RGB | None = None) -> Mesh:
    """Return a prism: upright walls on a simple polygon, with a lid. It is open below but counts as a solid.

    Args:
        polygon: f64 (N, 2), metres.
        bottom: Height of the lower edge, metres.
        top: Height of the lid, metres.
        tag: Semantic tag.
        colour: RGB of the walls, 0 .. 255.
        lid: RGB of the lid, by default that of the walls.
    """
    p = np.asarray(polygon, float)[:, :2]
    if float(np.dot(p[:, 0], np.roll(p[:, 1], -1)) - np.dot(p[:, 1], np.roll(p[:, 0], -1))) < 0.0:
        p = p[::-1]
    ring = np.concatenate([p, p[:1]])
    walls = quad_strip(
        np.column_stack([ring, np.full(len(ring), bottom)]),
        np.column_stack([ring, np.full(len(ring), top)]),
        tag,
        colour,
    )
    return merge([walls, flat(p, top, tag, lid or colour)]).closed()


def tube(
    path: ArrayLike, radii: ArrayLike, tag: int, colour: RGB, sides: int = 8, across: ArrayLike | None = None
) -> Mesh:
    """Return a tube along a path with a radius per point, closed at both ends: limbs, trunks, poles.

    Args:
        path: f64 (N, 3), metres.
        radii: One radius or (N,), metres.
        tag: Semantic tag.
        colour: RGB, 0 .. 255.
        sides: Number of sides of the cross-section.
        across: Direction (3,) at right angles to the whole path, from which the sides are counted; None: any.
    """
    p = np.asarray(path, float)
    r = np.broadcast_to(np.asarray(radii, float), (len(p),))
    along = np.gradient(p, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-12
    helper = np.where(np.abs(along[:, :1]) < 0.8, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    if across is not None:
        helper = np.broadcast_to(np.asarray(across, float), helper.shape)
    v = np.cross(along, helper)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    u = np.cross(v, along)
    angle = 2.0 * np.pi * (np.arange(sides) + 0.5) / sides
    ring = u[:, None] * np.cos(angle)[None, :, None] + v[:, None] * np.sin(angle)[None, :, None]
    return loft(p[:, None] + r[:, None, None] * ring, tag, colour)


def loft(sections: ArrayLike, tag: int, colour: RGB, closed: bool = True, caps: bool = True) -> Mesh:
    """Return the skin over a row of cross-sections; with ``closed`` and ``caps`` it is a solid.

    The triangles of panel (s, k), between sections s, s + 1 and points k, k + 1, are those with the indices
    2 * (s * panels + k) and the next, where panels = K for rings and K - 1 for lines. The caps follow, as fans around
    the centres of the end sections.

    Args:
        sections: f64 (S, K, 3), metres.
        tag: Semantic tag.
        colour: RGB, 0 .. 255.
        closed: Whether each section is a ring of K points, not an open line.
        caps: Whether the ends are closed.
    """
    p = np.asarray(sections, float)
    count, size = p.shape[:2]
    panels = size if closed else size - 1
    s, k = np.meshgrid(np.arange(count - 1), np.arange(panels), indexing="ij")
    a, b = s * size + k, s * size + (k + 1) % size
    c, d = a + size, b + size
    triangles = np.stack([np.stack([a, c, b], -1), np.stack([b, c, d], -1)], 2).reshape(-1, 3)
    vertices = p.reshape(-1, 3)
    if caps:
        j = np.arange(size if closed else size - 1)
        ends = []
        for centre, first, turn in ((len(vertices), 0, 1), (len(vertices) + 1, (count - 1) * size, -1)):
            fan = np.stack([np.full(len(j), centre), first + j, first + (j + 1) % size], 1)
            ends.append(fan[:, ::turn])
        triangles = np.concatenate([triangles, *ends])
        vertices = np.concatenate([vertices, p[[0, -1]].mean(axis=1)])
    mesh = Mesh.of(vertices, triangles, tag, colour)
    return mesh.closed() if closed and caps else mesh


def cylinder(radius: float, bottom: float, top: float, tag: int, colour: RGB, sides: int = 8) -> Mesh:
    """Return an upright cylinder about the z axis with that many ``sides``; lengths in metres."""
    return tube([(0, 0, bottom), (0, 0, top)], radius, tag, colour, sides)


def sphere(radii: ArrayLike, centre: ArrayLike, tag: int, colour: RGB, sides: int = 10, rings: int = 6) -> Mesh:
    """Return an ellipsoid.

    Args:
        radii: Semi-axes (x, y, z), metres.
        centre: Centre, metres.
        tag: Semantic tag.
        colour: RGB, 0 .. 255.
        sides: Number of facets around the z axis.
        rings: Number of facets from pole to pole.
    """
    polar = np.pi * np.arange(rings + 1) / rings
    angle = 2.0 * np.pi * np.arange(sides) / sides
    unit = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(angle),
            np.sin(polar)[:, None] * np.sin(angle),
            np.repeat(np.cos(polar)[:, None], sides, axis=1),
        ],
        -1,
    )
    ball = loft(unit * np.asarray(radii, float) + np.asarray(centre, float), tag, colour, caps=False).closed()
    second = np.arange(2 * sides * rings) % 2 == 1  # of each panel; at a pole one of its two triangles has no area
    panel = np.arange(2 * sides * rings) // (2 * sides)
    return ball.only(~((panel == 0) & ~second | (panel == rings - 1) & second))


def blob(
    radii: ArrayLike, centre: ArrayLike, tag: int, colour: RGB, seed: int, detail: int = 7, rough: float = 0.28
) -> Mesh:
    """Return an irregular lump: an ellipsoid whose surface is pushed in and out by up to ``rough`` of its radius.

    Args:
        radii: Semi-axes (x, y, z), metres.
        centre: Centre, metres.
        tag: Semantic tag.
        colour: Mean colour, RGB, 0 .. 255.
        seed: Seed of the shape and of the shades of its triangles.
        detail: Number of facets from pole to pole, plus 2.
        rough: Maximum relative displacement.
    """
    rng = np.random.default_rng(seed)
    ball = sphere((1, 1, 1), (0, 0, 0), tag, colour, sides=detail + 2, rings=max(detail - 2, 3))
    sides, rings = detail + 2, max(detail - 2, 3)
    push = 1.0 + rough * rng.uniform(-1.0, 1.0, (rings + 1, sides))
    push[0], push[-1] = push[0, 0], push[-1, 0]
    shade = rng.uniform(0.8, 1.15, len(ball.triangles))[:, None]
    return replace(
        ball,
        vertices=ball.vertices * push.reshape(-1, 1) * np.asarray(radii, float) + np.asarray(centre, float),
        colours=np.clip(ball.colours * shade, 0, 255).astype(np.uint8),
    )


def fringe(body: Mesh, count: int, size: float, rng: np.random.Generator) -> Mesh:
    """Return ``count`` leaves that stick out of a body by up to about ``size`` m, which give it a ragged edge.

    Each is a triangle whose base is in the surface, so that none of them floats.
    """
    corners = body.vertices[body.triangles].astype(float)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normal, axis=1)
    normal /= np.maximum(areas, 1e-12)[:, None]
    which = rng.choice(len(corners), count, p=areas / areas.sum())
    share = rng.dirichlet((1.0, 1.0, 1.0), count)
    foot = np.einsum("nk,nkc->nc", share, corners[which])
    normal = normal[which] * np.sign(np.einsum("nc,nc->n", normal[which], foot - body.vertices.mean(0)))[:, None]
    base = np.cross(normal, rng.normal(size=(count, 3)))
    base *= 0.7 * size * rng.uniform(0.6, 1.2, (count, 1)) / np.maximum(np.linalg.norm(base, axis=1), 1e-9)[:, None]
    sunk = foot - 0.3 * size * normal
    tip = foot + normal * size * rng.uniform(0.3, 1.0, (count, 1)) + rng.normal(scale=0.35 * size, size=(count, 3))
    vertices = np.stack([sunk - base, sunk + base, tip], 1).reshape(-1, 3)
    shade = rng.uniform(0.8, 1.2, (count, 1))
    return Mesh(
        vertices,
        np.arange(3 * count).reshape(-1, 3),
        body.tags[which],
        np.clip(body.colours[which] * shade, 0, 255).astype(np.uint8),
    )
