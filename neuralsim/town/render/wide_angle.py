"""Wide-angle lenses: which way each pixel looks, and images put together from views of the faces of a cube.

Models, signs and the cube are those of CARLA's ``sensor.camera.*.wide_angle_lens`` (carla PR 9229,
``WideAngleLens.usf``, ``CameraModelCommon.ush``, ``ToPerspective.usf``, ``CameraModelUtil.cpp``): the field of view is
vertical, and pixel (row i, column j) looks along the ray through (j - width // 2, i - height // 2), without a half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import atan, ceil, degrees, isfinite, pi, radians
from typing import NamedTuple

import numpy as np
from numba import njit

from neuralsim.base import kernels

SUFFIX = ".wide_angle_lens"  # of the blueprints of such cameras
#: Attributes of the model kannala-brandt, and CARLA's values.
COEFFICIENTS = {"k0": 0.083092216, "k1": 0.011121266, "k2": 0.008587261, "k3": 0.0008542189}
OVERLAP = 0.1  # of half a face, by which the faces of generated views are larger, to be blended with their neighbours
DENSITY = 0.75  # pixels of a generated face per pixel of the lens, where both look ahead
_STEP = 16  # px, of which the side of a generated face is a multiple
_DOUBLING_LIMIT = (
    2048  # px, up to which faces of exact images have twice the image's longer side: no label is half a pixel off
)
_GAIN_FLOOR = 8.0  # grey value that steadies the gain of dark faces
_GAIN_LIMIT = 1.5  # of a face
_FACE_FLOOR = 0.01  # of half a face: a little more than a degree
_NEWTON_STEPS = 32  # CARLA's
_BLENDED = 3  # faces that meet at a corner of the cube


class _Model(NamedTuple):
    """Distance of a ray from the principal point, in focal lengths, by its angle (rad) to the axis, and back."""

    distance: Callable[[np.ndarray], np.ndarray]
    angle: Callable[[np.ndarray], np.ndarray]
    widest: float  # degrees of the full field of view


_MODELS = {
    "perspective": _Model(np.tan, np.arctan, 179.0),
    "stereographic": _Model(lambda a: 2.0 * np.tan(a / 2.0), lambda r: 2.0 * np.arctan(r / 2.0), 359.0),
    "equidistant": _Model(lambda a: a, lambda r: r, 360.0),
    "equisolid": _Model(lambda a: 2.0 * np.sin(a / 2.0), lambda r: 2.0 * np.arcsin(r / 2.0), 360.0),
    "orthographic": _Model(np.sin, np.arcsin, 180.0),
}
MODELS = (*_MODELS, "kannala-brandt")
#: Axes of a face in those of the camera: forward, right, up; the first looks ahead.
_AXES = np.array(
    [
        [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
        [(-1, 0, 0), (0, -1, 0), (0, 0, 1)],
        [(0, 1, 0), (-1, 0, 0), (0, 0, 1)],
        [(0, -1, 0), (1, 0, 0), (0, 0, 1)],
        [(0, 0, 1), (0, 1, 0), (-1, 0, 0)],
        [(0, 0, -1), (0, 1, 0), (1, 0, 0)],
    ],
    np.float64,
)


class Face(NamedTuple):
    """A square pinhole view from the place of a camera."""

    number: int  # of the cube's face
    side: int  # px
    fov: float  # degrees

    @property
    def turn(self) -> np.ndarray:
        """The pose of the view, f64 (4, 4), camera <- view."""
        pose = np.eye(4)
        pose[:3, :3] = _AXES[self.number].T
        return pose


class Cube(NamedTuple):
    """The faces that an image of N pixels is made of, and where in them its pixels lie."""

    faces: tuple[Face, ...]
    targets: tuple[np.ndarray, ...]  # i32 (n,) for each face, the pixels of the image that lie in it
    sources: tuple[np.ndarray, ...]  # i32 (n,), the pixels of the face next to which they lie
    place: np.ndarray  # f32 (K, N, 2), column and row in each of the faces to be blended
    face: np.ndarray  # u8 (K, N), its index in ``faces``
    weight: np.ndarray  # f32 (K, N), their sum is the brightness that ``fov_mask`` leaves
    #: i64 (2, n) for each face: pixels of the first face, and those of this one that show the same.
    shared: tuple[np.ndarray, ...]

    def blend(self, views: np.ndarray, out: np.ndarray, gains: np.ndarray | None = None) -> None:
        """Write the image u8 (N, 3) of ``views`` u8 (F, S, S, 3), bilinear; ``gains`` f32 (F, 3) brighten them."""
        gains = np.ones((len(views), 3), np.float32) if gains is None else gains
        _blend(views, self.place, self.face, self.weight, gains, out)

    def gains(self, views: np.ndarray) -> np.ndarray:
        """Return f32 (F, 3), RGB, by which ``views`` u8 (F, S, S, 3) become like the first one where they meet it."""
        pixels, gains = views.reshape(len(views), -1, 3), np.ones((len(views), 3), np.float32)
        for face, (ahead, here) in enumerate(self.shared):
            if len(here):
                mean = [each.mean(0) + _GAIN_FLOOR for each in (pixels[0, ahead], pixels[face, here])]
                gains[face] = np.clip(mean[0] / mean[1], 1.0 / _GAIN_LIMIT, _GAIN_LIMIT)
        return gains


@dataclass(frozen=True)
class WideAngle:
    """A lens, by the attributes of its camera; angles in degrees where nothing else is said."""

    width: int
    height: int
    model: str = "equidistant"
    fov: float = 180.0  # vertical
    coefficients: tuple[float, ...] = tuple(COEFFICIENTS.values())
    focal_length: float = 0.0  # px, 0: by ``fov``
    perspective: bool = False  # show what the lens sees as a pinhole camera of the same vertical field of view does
    equirectangular: bool = False  # show all around; the lens plays no part
    longitude_offset: float = 0.0
    fov_mask: bool = False  # black outside ``fov``
    fade: float = 0.0  # rad of the full angle, over which ``fov_mask`` fades

    def __post_init__(self) -> None:
        """Raise ValueError, in one line, for what the lens cannot show."""
        if self.model not in MODELS:
            raise ValueError(f"camera_model is {self.model!r:.40}: choose one of {', '.join(MODELS)}")
        widest = self._model.widest
        if self.equirectangular:
            widest = 360.0
        elif self.perspective:
            widest = min(widest, 179.0)
        if not 1.0 <= self.fov <= widest:
            text = "with perspective=true" if self.perspective and widest == 179.0 else self.model
            raise ValueError(f"fov is {self.fov:g}: choose 1 to {widest:g} degrees, the most that {text} can show")
        distance = self._model.distance(np.linspace(0.0, radians(self.fov) / 2.0, 200))
        if not self.equirectangular and np.diff(distance).min() < -1e-9:
            raise ValueError(f"k0 to k3 bend rays back within a fov of {self.fov:g} degrees: choose a smaller fov")
        if self.focal_length < 0.0 or self.fade < 0.0:
            name = "focal_length" if self.focal_length < 0.0 else "fov_fade_size"
            raise ValueError(f"{name} is negative: choose 0 or more")

    @classmethod
    def of(cls, attributes: Mapping[str, str]) -> WideAngle:
        """Return the lens of a camera. Raises ValueError, in one line."""

        def number(name: str, default: float = 0.0) -> float:
            value = float(attributes.get(name, default))
            if not isfinite(value):
                raise ValueError(f"{name} is {value}: choose a finite number")
            return value

        def flag(name: str) -> bool:
            return attributes.get(name, "").lower() == "true"

        return cls(
            int(attributes.get("image_size_x", 800)),
            int(attributes.get("image_size_y", 600)),
            attributes.get("camera_model", "perspective"),
            number("fov", 90.0) or 90.0,
            tuple(number(name, default) for name, default in COEFFICIENTS.items()),
            number("focal_length"),
            flag("perspective"),
            flag("equirectangular"),
            number("longitude_offset"),
            flag("fov_mask"),
            number("fov_fade_size"),
        )

    @property
    def focal(self) -> float:
        """Pixels per radian in the middle of the image."""
        if self.equirectangular:
            return self.width / (2.0 * pi)
        return self.focal_length or self.height / 2.0 / float(self._model.distance(np.array(radians(self.fov) / 2.0)))

    @property
    def _model(self) -> _Model:
        if self.model != "kannala-brandt":
            return _MODELS[self.model]
        powers = np.arange(1, len(self.coefficients) + 1) * 2
        terms = np.array(self.coefficients, np.float64)

        def distance(angle: np.ndarray) -> np.ndarray:
            return np.asarray(angle * (1.0 + (terms * angle[..., None] ** powers).sum(-1)))

        def slope(angle: np.ndarray) -> np.ndarray:
            return np.asarray(1.0 + ((powers + 1) * terms * angle[..., None] ** powers).sum(-1))

        def angle(distance_: np.ndarray) -> np.ndarray:
            value = distance_
            for _ in range(_NEWTON_STEPS):
                value = value - (distance(value) - distance_) / slope(value)
            return value

        return _Model(distance, angle, 360.0)

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the unit vectors in camera axes along which pixels look, f64 (H, W, 3), and brightness f32 (H, W).

        The vectors are NaN, and the brightness 0, where the lens shows nothing.
        """
        rows, columns = np.mgrid[: self.height, : self.width].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            if self.equirectangular:
                longitude = (2.0 * columns / self.width - 1.0) * pi + radians(self.longitude_offset)
                latitude = (2.0 * rows / self.height - 1.0) * pi / 2.0
                level = np.cos(latitude)
                rays = np.stack([-level * np.sin(longitude), level * np.cos(longitude), -np.sin(latitude)], -1)
                angle = np.arccos(np.clip(rays[..., 0], -1.0, 1.0))
            else:
                right, down = columns - self.width // 2, rows - self.height // 2
                if self.perspective:
                    pinhole = self.height / 2.0 / np.tan(radians(self.fov) / 2.0)
                    angle = np.arctan(np.hypot(right, down) / pinhole)
                    place = self.focal * self._model.distance(angle)
                    bearing = np.arctan2(down, right)
                    x = place * np.cos(bearing) + self.width // 2
                    y = place * np.sin(bearing) + self.height // 2
                    angle[(x < 0) | (x > self.width) | (y < 0) | (y > self.height)] = np.nan
                else:
                    angle = self._model.angle(np.hypot(right, down) / self.focal)
                    angle = np.where((angle >= 0.0) & (angle <= pi), angle, np.nan)
                    bearing = np.arctan2(down, right)
                aside = np.sin(angle)
                rays = np.stack([np.cos(angle), aside * np.cos(bearing), -aside * np.sin(bearing)], -1)
            light = np.isfinite(angle).astype(np.float32)
            if self.fov_mask:
                over = (2.0 * angle - radians(self.fov) + self.fade) / max(self.fade, 1e-9)
                over = np.clip(np.nan_to_num(over, nan=1.0), 0.0, 1.0)
                light *= (1.0 - over * over * (3.0 - 2.0 * over)).astype(np.float32)
        return rays, light

    def cube(self, generated: bool = False) -> Cube:
        """Return the faces for exact images, or those, overlapping, for ``generated`` ones."""
        return _cube(self, generated)


@lru_cache(16)
def _cube(lens: WideAngle, generated: bool) -> Cube:
    rays, light = lens.rays()
    rays, light = rays.reshape(-1, 3), light.reshape(-1)
    seen = np.flatnonzero(light > 0.0)
    # In the axes of each face: how far ahead, to the right and up a ray goes.
    ahead, right, up = np.einsum("fak,nk->afn", _AXES, rays[seen])
    nearest = ahead.argmax(0)
    numbers = np.unique(nearest)
    is_blended = generated and len(numbers) > 1
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = right / ahead, -up / ahead  # -1 .. 1 inside the face
    reach = np.maximum(np.abs(x), np.abs(y))
    weight = (np.arange(len(_AXES))[:, None] == nearest).astype(np.float64)
    extent = 1.0  # of half a face
    if is_blended:
        extent += OVERLAP
        weight = np.where(ahead > 0.0, np.clip((extent - reach) / (2.0 * OVERLAP), 0.0, 1.0), 0.0)
    elif len(numbers) == 1:  # a narrow lens: no more than it sees
        extent = min(extent, max(1.01 * float(reach[0].max()), _FACE_FLOOR))
    side = max(lens.width, lens.height)
    side = max(side, min(2 * side, _DOUBLING_LIMIT))
    if generated:
        side = max(_STEP * ceil(2.0 * extent * DENSITY * lens.focal / _STEP), 2 * _STEP)
    x, y = x / extent, y / extent
    faces = tuple(Face(int(number), side, 2.0 * degrees(atan(extent))) for number in numbers)
    targets, sources = [], []
    for number in numbers:
        inside = nearest == number
        at = np.stack([x[number, inside], y[number, inside]])
        column, row = np.clip((at + 1.0) / 2.0 * side, 0, side - 1).astype(np.int32)
        targets.append(seen[inside].astype(np.int32))
        sources.append(row * side + column)
    weight = weight[numbers]
    at = np.clip((np.nan_to_num(np.stack([x, y])[:, numbers]).clip(-1.0, 1.0) + 1.0) / 2.0 * side, 0, side - 1)
    flat = at[1].astype(np.int64) * side + at[0].astype(np.int64)
    meets = [(weight[0] > 0.0) & (each > 0.0) & (k > 0) for k, each in enumerate(weight)]
    shared = tuple(np.stack([flat[0, both], flat[k, both]]) for k, both in enumerate(meets))
    order = np.argsort(-weight, axis=0)[: _BLENDED if is_blended else 1]
    chosen = np.take_along_axis(weight, order, 0)
    chosen *= light[seen] / np.maximum(chosen.sum(0), 1e-9)
    place = np.stack([np.take_along_axis(each[numbers], order, 0) for each in (x, y)], -1)
    shape = len(order), len(light)
    whole = Cube(
        faces,
        tuple(targets),
        tuple(sources),
        place=np.zeros((*shape, 2), np.float32),
        face=np.zeros(shape, np.uint8),
        weight=np.zeros(shape, np.float32),
        shared=shared,
    )
    whole.face[:, seen], whole.weight[:, seen] = order, chosen
    whole.place[:, seen] = np.clip((np.clip(np.nan_to_num(place), -1.0, 1.0) + 1.0) / 2.0 * side - 0.5, 0.0, side - 1.0)
    return whole


@njit(**kernels.EXACT)
def _blend(
    views: np.ndarray, place: np.ndarray, face: np.ndarray, weight: np.ndarray, gains: np.ndarray, out: np.ndarray
) -> None:
    last = views.shape[1] - 1
    for pixel in range(out.shape[0]):
        red = green = blue = np.float32(0.5)
        for k in range(len(weight)):
            share = weight[k, pixel]
            if share <= 0:
                continue
            view, gain, x, y = views[face[k, pixel]], gains[face[k, pixel]], place[k, pixel, 0], place[k, pixel, 1]
            left, top = int(x), int(y)
            right, bottom = min(left + 1, last), min(top + 1, last)
            a, b = x - np.float32(left), y - np.float32(top)
            for row, part in ((top, np.float32(1.0) - b), (bottom, b)):
                near, far = share * part * (np.float32(1.0) - a), share * part * a
                red += gain[0] * (near * np.float32(view[row, left, 0]) + far * np.float32(view[row, right, 0]))
                green += gain[1] * (near * np.float32(view[row, left, 1]) + far * np.float32(view[row, right, 1]))
                blue += gain[2] * (near * np.float32(view[row, left, 2]) + far * np.float32(view[row, right, 2]))
        white = np.float32(255.0)
        out[pixel, 0] = np.uint8(min(red, white))
        out[pixel, 1] = np.uint8(min(green, white))
        out[pixel, 2] = np.uint8(min(blue, white))
