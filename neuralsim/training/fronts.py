"""Fronts of real houses, taken off the pictures of a street as plane sketches.

A label map says where houses are, not what stands in their walls, and no noise looks like a shop window. The pictures
that a painter learns from show hundreds of them at a slant. Where a row of houses meets the ground its wall is a plane:
inverse depth is linear along the image's columns, and a line through the feet of the columns (RANSAC, Fischler & Bolles
1981) gives the homography that turns a piece of it upright. Of what the pieces show only luminance against the local
mean is kept, which is what a painter is told in training (``neuralsim/training/data.py``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

import cv2
import numpy as np

from neuralsim.models.classes import Channel
from neuralsim.models.facades import HEIGHT, TEXEL, WIDTH, drawn
from neuralsim.render.stage import EYE, GROUND, horizon_row
from neuralsim.training.data import LUMA, Picture, tint

#: Names of the pictures around the clip that evaluation paints: no front of that street may come back to it.
_ASIDE = re.compile(r"0016E5_0[78]")
_FOCAL = 0.5 / np.tan(np.radians(30.0))  # of the width: what a camera on a car has, when nobody says
_SIDE = 128  # texels of a piece, square
_STEP = 3.2  # m between two pieces of one wall
_NEAR, _FAR = 4.0, 26.0  # m along the wall
_LATERAL = 1.5, 14.0  # m from the camera to the wall's line
_COVERED = 0.85  # of a piece that must be house
_COARSEST = 0.45  # px per texel, along the wall
_AXIAL = 0.58  # share of its edges that run along or upwards: less is not plane, or badly turned
_CLEAR = 0.3  # share of its deviation that is finer than a hand's breadth
_CONTRAST = 0.12  # standard deviation of a sketch that shows anything at all
_GAIN = 4.5  # of a sketch, as in training
_DEVIATION = 0.42  # of a front's sketch, before it is squashed: sunlit walls would be stark beside shaded ones
#: Heights of a ground floor, signboard included, and of a storey over it, in texels: 3.1 to 3.9 m, 2.4 to 3.2 m.
_CUTS = [(ground, storey) for ground in range(62, 79) for storey in range(48, 65) if ground + storey < _SIDE]
_BAYS = 0.8, 0.5  # how far a storey, a ground floor must differ along the wall, against upwards: bays, not bands
_ALIKE = 0.5  # correlation above which two pieces show the same
_FEWEST = 8  # fronts; with less, a street would be one house
_MOST = 48


def fronts(pictures: Iterable[Picture]) -> np.ndarray:
    """u8 (2, N, HEIGHT, WIDTH): storeys and ground floors for ``neuralsim.models.facades.Fronts``, the clearest first;
    drawn ones where the pictures show too few. Deterministic."""
    series = defaultdict(list)
    for picture in pictures:
        if (picture.label == Channel.BUILDING).mean() > 0.05 and not _ASIDE.match(picture.name):
            series[picture.source, picture.name.split("_")[0]].append((_sketch(picture), picture.label))
    pieces: list[np.ndarray] = []
    for seen in series.values():
        horizon = horizon_row([label for _, label in seen[:: max(1, len(seen) // 24)]])
        for sketch, label in seen:
            for side in (-1, 1):
                pieces += _pieces(sketch, label, horizon, side)
    cut = [_strips(piece) for piece in _chosen(pieces)]
    parts = [[strips[part] for strips in cut if _windows(strips[part]) > least] for part, least in enumerate(_BAYS)]
    count = min(_MOST, *map(len, parts))
    if count < _FEWEST:
        return drawn()
    return np.stack([np.stack(strips[:count]) for strips in parts])


def _sketch(picture: Picture) -> np.ndarray:
    """f32 (H, W) in [-1, 1]: luminance against the façade's local mean."""
    luma = (picture.image.astype(np.float32) / 255.0) @ LUMA - 0.5
    local = tint(picture.image, picture.label, np.zeros(picture.label.shape, np.int32)) @ LUMA
    return np.asarray(np.tanh((cv2.GaussianBlur(luma, (0, 0), 0.5) - local) * _GAIN), np.float32)


def _wall(label: np.ndarray, focal: float, horizon: float, side: int) -> tuple[float, float] | None:
    """(a, b): inverse depth a + b * y of the wall on the left (-1) or right (1), y the ray's slope; None: none seen."""
    height, width = label.shape
    rows, columns = np.arange(height)[:, None], np.arange(width)
    foot = np.where(label == Channel.BUILDING, rows, -1).max(0)
    below = np.minimum(foot + 1, height - 1)
    stands = (foot > horizon + 4) & (foot < height - 3) & np.isin(label[below, columns], GROUND)
    columns = columns[stands & ((columns - width / 2) * side >= 0)]
    if len(columns) < 20:
        return None
    y, rho = (columns + 0.5 - width / 2) / focal, (below[columns] - horizon) / (focal * EYE)
    rng = np.random.default_rng(0)
    best = np.zeros(len(y), bool)
    for i, j in rng.integers(len(y), size=(200, 2)):
        if abs(columns[i] - columns[j]) < 8:
            continue
        b = (rho[i] - rho[j]) / (y[i] - y[j])
        near = np.abs(rho[i] + b * (y - y[i]) - rho) < 2.0 / (focal * EYE)
        best = near if near.sum() > best.sum() else best
    if best.sum() < max(20, 0.5 * len(y)):
        return None
    b, a = np.polyfit(y[best], rho[best], 1)
    return float(a), float(b)


def _pieces(sketch: np.ndarray, label: np.ndarray, horizon: float, side: int) -> list[np.ndarray]:
    """Upright pieces f32 (_SIDE, _SIDE) of one side's wall, from the ground up."""
    height, width = label.shape
    focal = _FOCAL * width
    plane = _wall(label, focal, horizon, side)
    if plane is None or abs(plane[1]) < 1e-4:
        return []
    normal = np.array(plane)  # the wall's line on the ground: normal . (ahead, right) = 1
    length = np.linalg.norm(normal)
    base, direction = normal / length**2, np.array([normal[1], -normal[0]]) / length
    direction = direction if direction[0] > 0 else -direction
    if abs(base[1]) < _LATERAL[0] or np.linalg.norm(base) > _LATERAL[1]:
        return []
    house = (label == Channel.BUILDING).astype(np.float32)
    up = (_SIDE - np.arange(_SIDE) - 0.5) * TEXEL
    out = []
    for start in np.arange(_NEAR, _FAR, _STEP):
        ahead, right = base[:, None] + direction[:, None] * (start + (np.arange(_SIDE) + 0.5) * TEXEL)
        if ahead.min() < 3.0:
            continue
        x = (right / ahead * focal + width / 2 - 0.5).astype(np.float32)
        y = (horizon + (EYE - up[:, None]) / ahead * focal - 0.5).astype(np.float32)
        x = np.broadcast_to(x, y.shape)
        inside = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
        if abs(x[0, 1] - x[0, 0]) < _COARSEST or inside.mean() < _COVERED:
            continue
        covered = cv2.remap(house, x, y, cv2.INTER_LINEAR, borderValue=0) * inside
        if covered.mean() < _COVERED:
            continue
        # what stands in front is filled from around it
        hole = cv2.dilate((covered < 0.98).astype(np.uint8), np.ones((3, 3), np.uint8))
        piece = ((cv2.remap(sketch, x, y, cv2.INTER_CUBIC).clip(-1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)
        out.append(cv2.inpaint(piece, hole, 4, cv2.INPAINT_TELEA) / np.float32(127.5) - 1.0)
    return out


def _axial(piece: np.ndarray) -> float:
    """Share of the edges within 12 degrees of level or upright, by strength, of the stronger half."""
    smooth = cv2.GaussianBlur(piece, (0, 0), 1.0)
    x, y = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    strength = np.hypot(x, y)
    strength = strength * (strength > np.percentile(strength, 60))
    angle = np.degrees(np.arctan2(np.abs(y), np.abs(x)))
    return float(strength[(angle < 12) | (angle > 78)].sum() / max(strength.sum(), 1e-9))


def _clear(piece: np.ndarray) -> float:
    """How much of what it shows is fine: a wall far off or in a moving picture is a blur."""
    fine = piece - cv2.GaussianBlur(piece, (0, 0), 2.0)
    return float(fine.std() / max(piece.std(), 1e-3))


def _chosen(pieces: list[np.ndarray]) -> list[np.ndarray]:
    """Pieces that show a plane wall with something in it, none like another, the clearest first."""
    good = [piece for piece in pieces if piece.std() > _CONTRAST and _axial(piece) > _AXIAL and _clear(piece) > _CLEAR]
    good = sorted(good, key=lambda piece: -_axial(piece) * _clear(piece))
    out: list[np.ndarray] = []
    small: list[np.ndarray] = []
    for piece in good:
        view = cv2.resize(piece, (64, 64), interpolation=cv2.INTER_AREA)
        wide = cv2.copyMakeBorder(view, 0, 0, 24, 24, cv2.BORDER_REFLECT)
        if all(cv2.matchTemplate(wide, other, cv2.TM_CCOEFF_NORMED).max() < _ALIKE for other in small):
            out.append(piece)
            small.append(view)
    return out


def _strips(piece: np.ndarray) -> np.ndarray:
    """u8 (2, HEIGHT, WIDTH): a storey and the ground floor, cut where the storey repeats with the least seam."""
    linear = np.arctanh(piece.clip(-0.98, 0.98))
    linear -= np.median(linear)
    even = np.tanh(linear * (_DEVIATION / max(float(linear.std()), 1e-3)))
    smooth = cv2.GaussianBlur(even, (0, 0), 1.2)

    def seam(cut: tuple[int, int]) -> float:
        ground, storey = cut
        return float(np.abs(smooth[_SIDE - ground - storey] - smooth[_SIDE - ground]).mean())

    ground, storey = min(_CUTS, key=seam)
    parts = even[_SIDE - ground - storey : _SIDE - ground], even[_SIDE - ground :]
    strips = [cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for part in parts]
    return np.asarray(((np.stack(strips).clip(-1.0, 1.0) + 1.0) * 127.5).round(), np.uint8)


def _windows(strip: np.ndarray) -> float:
    """Deviation of its columns' means over that of its rows'."""
    return float(strip.mean(0).std() / max(float(strip.mean(1).std()), 1e-3))
