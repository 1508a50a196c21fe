"""Triangle meshes with a meaning per triangle, and the primitives everything in the town is built from.

Axes are UE's: x forward, y right, z up; metres. Vehicles, people and street furniture made of these primitives are in
``vehicle_meshes``, ``people_meshes`` and ``prop_meshes``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

RGB = tuple[int, int, int]

#: Triangles of this colour take the colour of the placement (a car's paint, a walker's coat).
PAINT: RGB = (255, 0, 255)

#: Levels of detail of a triangle: drawn near the camera only, always, far from it only; of what is far, up to a second
#: distance only, from there on only. ``END``: where the last one ends, in tables of where each begins.
NEAR, ALWAYS, FAR, MIDDLE, DISTANT, END = range(6)


@dataclass(frozen=True)
class Mesh:
    """Triangles, two-sided and of any winding unless ``solid``.

    ``vertices`` f32 (V, 3), metres; ``triangles`` i32 (T, 3); ``tags`` u8 (T,), CARLA tags; ``colours`` u8 (T, 3),
    RGB albedo of the shaded view (``PAINT``: the placement's); ``instances`` u16 (T,), read for the static mesh only,
    objects take theirs from the placement; ``levels`` u8 (T,), ``ALWAYS`` (default) or another; ``solid``
    bool (T,), default False: part of a closed body whose back faces are never seen, wound so that (b - a) x (c - a)
    points outwards.
    Raises ValueError when the arrays do not fit together.
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

        def given(values: np.ndarray | None, default: int, dtype: type) -> np.ndarray:
            return np.full(count, default, dtype) if values is None else np.ascontiguousarray(values, dtype)

        fields: dict[str, np.ndarray] = {
            "triangles": np.ascontiguousarray(self.triangles, np.int32).reshape(-1, 3),
            "tags": np.ascontiguousarray(self.tags, np.uint8),
            "colours": np.ascontiguousarray(self.colours, np.uint8).reshape(-1, 3),
            "instances": given(self.instances, 0, np.uint16),
            "levels": given(self.levels, ALWAYS, np.uint8),
            "solid": given(self.solid, False, np.bool_),
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
        """Mesh with one tag, colour and instance for all its triangles.

        ``vertices`` f32 (V, 3), m; ``triangles`` i32 (T, 3); ``tag``: semantic tag; ``colour``: RGB, 0 .. 255;
        ``instance``: number.
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
        """A mesh without triangles."""
        return Mesh.of(np.zeros((0, 3)), np.zeros((0, 3)), 0, (0, 0, 0))

    def transformed(self, matrix: np.ndarray) -> Mesh:
        """The mesh under a 4x4 affine matrix, parent <- local."""
        m = np.asarray(matrix, np.float64)
        triangles = self.triangles if np.linalg.det(m[:3, :3]) > 0.0 else self.triangles[:, ::-1]
        return replace(self, triangles=triangles, vertices=(self.vertices @ m[:3, :3].T + m[:3, 3]).astype(np.float32))

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0, scale: float = 1.0) -> Mesh:
        """Scaled, turned about z by ``yaw`` (degrees, from x towards y), then shifted by metres.

        ``x``, ``y``, ``z`` in m; ``scale``: factor.
        """
        c, s = scale * np.cos(np.radians(yaw)), scale * np.sin(np.radians(yaw))
        return self.transformed(np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, scale, z], [0, 0, 0, 1.0]]))

    def with_instance(self, instance: int) -> Mesh:
        """The mesh with one instance number for all its triangles."""
        return replace(self, instances=np.full(len(self.triangles), instance, np.uint16))

    def only(self, chosen: np.ndarray) -> Mesh:
        """The mesh with the triangles ``chosen`` (bool (T,), or their numbers) alone."""
        names = ("triangles", "tags", "colours", "instances", "levels", "solid")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def with_level(self, level: int) -> Mesh:
        """The mesh drawn only in one level of detail, or ``ALWAYS``."""
        return replace(self, levels=np.full(len(self.triangles), level, np.uint8))

    def closed(self) -> Mesh:
        """The mesh marked as a solid, its triangles (all of one winding) turned so that normals point outwards."""
        p = self.vertices[self.triangles].astype(np.float64)
        p -= p.reshape(-1, 3).mean(axis=0)
        volume = np.einsum("ij,ij->", p[:, 0], np.cross(p[:, 1], p[:, 2]))
        triangles = self.triangles if volume > 0.0 else self.triangles[:, ::-1]
        return replace(self, triangles=triangles, solid=np.ones(len(triangles), bool))

    def painted(self, colour: RGB) -> Mesh:
        """``PAINT`` triangles in a fixed colour: what a placement does for objects, for use in the static mesh."""
        paint = (self.colours == np.array(PAINT, np.uint8)).all(axis=1)
        return replace(self, colours=np.where(paint[:, None], np.array(colour, np.uint8), self.colours))

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner, f32 (3,) each, metres."""
        return self.vertices.min(axis=0), self.vertices.max(axis=0)


def merge(meshes: Iterable[Mesh]) -> Mesh:
    """One mesh of many, in their order."""
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
    (0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1),
    (2, 3, 7), (2, 7, 6), (1, 5, 7), (1, 7, 3), (0, 2, 6), (0, 6, 4),
]  # fmt: skip


def box(size: ArrayLike, centre: ArrayLike, tag: int, colour: RGB) -> Mesh:
    """Axis-aligned box; ``size`` and ``centre`` in metres (x, y, z)."""
    return Mesh.of(_BOX * np.asarray(size, float) + np.asarray(centre, float), _BOX_TRIANGLES, tag, colour).closed()


def quad(corners: ArrayLike, tag: int, colour: RGB) -> Mesh:
    """Quadrilateral of four corners (4, 3) in order around it."""
    return Mesh.of(corners, [(0, 1, 2), (0, 2, 3)], tag, colour)


def quad_strip(left: ArrayLike, right: ArrayLike, tag: int, colour: RGB) -> Mesh:
    """Ribbon between two polylines (N, 3) of equal length: road surfaces, markings, kerbs, walls."""
    a, b = np.asarray(left, float), np.asarray(right, float)
    if a.shape != b.shape or len(a) < 2:
        raise ValueError(f"strip needs two equally long lines of 2 points or more, got {a.shape} and {b.shape}")
    i = np.arange(len(a) - 1)
    n = len(a)
    triangles = np.concatenate([np.stack([i, i + 1, i + n], 1), np.stack([i + 1, i + n + 1, i + n], 1)])
    return Mesh.of(np.concatenate([a, b]), triangles, tag, colour)


def triangulate(polygon: ArrayLike) -> np.ndarray:
    """Triangles, i32 (N - 2, 3), of a simple polygon (N, 2), convex or not, by ear clipping.

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
    """Horizontal face of a simple polygon (N, 2) at height ``z``."""
    p = np.asarray(polygon, float)[:, :2]
    return Mesh.of(np.column_stack([p, np.full(len(p), z)]), triangulate(p), tag, colour)


def prism(polygon: ArrayLike, bottom: float, top: float, tag: int, colour: RGB, lid: RGB | None = None) -> Mesh:
    """Upright walls around a simple polygon (N, 2) from ``bottom`` to ``top``, closed above (colour ``lid``).

    Open below, but counted as a solid: it is never seen from below.

    ``polygon`` f64 (N, 2), m; ``tag``: semantic tag; ``colour``: RGB, 0 .. 255 of the walls.
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


def tube(path: ArrayLike, radii: ArrayLike, tag: int, colour: RGB, sides: int = 8, squash: float = 1.0) -> Mesh:
    """Round body along a path (N, 3) with a radius per point: limbs, trunks, poles. Closed at both ends.

    ``squash`` scales the second axis of the cross-section (its y where the path is upright).

    ``path`` f64 (N, 3) and ``radii`` (N,), m; ``tag``: semantic tag; ``colour``: RGB, 0 .. 255; ``sides``: of the
    cross-section.
    """
    p = np.asarray(path, float)
    r = np.broadcast_to(np.asarray(radii, float), (len(p),))
    along = np.gradient(p, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-12
    helper = np.where(np.abs(along[:, :1]) < 0.8, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    v = np.cross(along, helper)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    u = np.cross(v, along)
    angle = 2.0 * np.pi * (np.arange(sides) + 0.5) / sides
    ring = u[:, None] * np.cos(angle)[None, :, None] + squash * v[:, None] * np.sin(angle)[None, :, None]
    return loft(p[:, None] + r[:, None, None] * ring, tag, colour)


def loft(sections: ArrayLike, tag: int, colour: RGB, closed: bool = True, caps: bool = True) -> Mesh:
    """Skin over a row of cross-sections (S, K, 3), each a ring of K points (``closed``) or an open line.

    Closed with caps it is a solid. Triangles of panel (s, k), between sections s, s + 1 and points k, k + 1, are number
    2 * (s * panels + k) and the next, where panels = K for rings and K - 1 for lines; caps (fans about the centres of
    the end sections) follow.

    ``sections`` f64 (S, K, 3), m; ``tag``: semantic tag; ``colour``: RGB, 0 .. 255; ``caps``: whether the ends are
    closed.
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
    """Upright cylinder about the z axis.

    ``radius``, ``bottom`` and ``top`` in m; ``tag``: semantic tag; ``colour``: RGB, 0 .. 255; ``sides``: number of
    walls.
    """
    return tube([(0, 0, bottom), (0, 0, top)], radius, tag, colour, sides)


def wheel(radius: float, width: float, tag: int, tyre: RGB, rim: RGB, sides: int = 14, fine: bool = True) -> Mesh:
    """Wheel about the y axis, centred at the origin.

    Tyre (``fine``: rounded shoulders), on both faces a paler rim with spokes.

    ``radius`` and ``width`` in m; ``tag``: semantic tag; ``tyre``, ``rim``: RGB, 0 .. 255; ``sides``: of the circle.
    """
    angle = 2.0 * np.pi * np.arange(sides) / sides
    circle = np.stack([np.cos(angle), np.zeros(sides), np.sin(angle)], 1)
    half = width / 2.0
    rings = (
        [(0.93, -half), (1.0, -0.7 * half), (1.0, 0.7 * half), (0.93, half)] if fine else [(1.0, -half), (1.0, half)]
    )
    body = loft([circle * radius * r + [0.0, y, 0.0] for r, y in rings], tag, tyre)
    faces = []
    for y in (-half - 0.008, half + 0.008):
        corners = np.concatenate([circle * radius * 0.62 + [0.0, y, 0.0], [[0.0, y, 0.0]]])
        face = Mesh.of(corners, [(k, (k + 1) % sides, sides) for k in range(sides)], tag, rim)
        spokes = np.where(np.arange(sides)[:, None] % 3 > 0, np.array(rim), np.array(rim) // 2)
        faces.append(replace(face, colours=spokes.astype(np.uint8)))
    return merge([body, *faces])


def sphere(radii: ArrayLike, centre: ArrayLike, tag: int, colour: RGB, sides: int = 10, rings: int = 6) -> Mesh:
    """Ellipsoid with semi-axes ``radii`` (x, y, z).

    ``centre`` in m; ``tag``: semantic tag; ``colour``: RGB, 0 .. 255; ``sides``, ``rings``: number of facets round and
    from pole to pole.
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
    """Irregular lump, an ellipsoid whose surface is pushed in and out by up to ``rough`` of its radius.

    ``radii`` and ``centre`` in m; ``tag``: semantic tag; ``colour``: RGB, 0 .. 255; ``seed``: of the shape; ``detail``:
    number of rings.
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
    """``count`` leaves that stick out of a body by up to about ``size`` m: its ragged edge.

    Each is a triangle whose base lies in the surface, so that none of them hovers.
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
