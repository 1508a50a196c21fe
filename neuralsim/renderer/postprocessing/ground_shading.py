"""Shadows on the ground: the generated ground follows the simulator image in its broad shadows.

A generator trained on photographs follows the fine detail of its guide, but hardly its low frequencies: what lies under
a vehicle, or in the shadow of a house, stays as bright as the street around it. Here the ground is darkened where its
brightness, over its own mean nearby, exceeds the simulator's over its own (a ratio image: Liu, Shan, Zhang, "Expressive
Expression Mapping with Ratio Images", SIGGRAPH 2001), and brightened a little in sunlit places within shadows. Of
roads, texture and patches are the generator's; pavements and what else is beside them are as uneven as the simulator's,
in both directions; so is all that is wet, where the simulator mirrors lamps, vehicles and posts, of which a generator
leaves vague stripes. The graph's state is not changed.
"""

import cv2
import numba
import numpy as np

from bridge.tags import Tag
from neuralsim.base import kernels

_SCALE = 4  # px of the image per pixel of the ratio
_NEAR, _FAR = 1.0, 16.0  # standard deviations of what is compared and of the mean nearby, in pixels of the ratio
_COARSER = 4  # pixels of the ratio per pixel of that mean
_STRENGTH = 0.8  # share of the simulator's contrast, as an exponent
_PATCHES = 0.25  # of the logarithm: smaller differences are those of a road's surface, not of its light
_MIRRORED = 0.8  # of the logarithm: by how much a wet road is brighter where it mirrors a lamp, at most
_LEAST = 0.4  # of the ratio
#: Of the logarithm: contrasts of the simulator from which on they are those of shadows and sunlit places, which a road
#: follows without tolerance; how soft that limit is; and by how much sunlit places are brightened, at most.
_STRONG, _SOFT, _SUNLIT = np.float32(0.35), np.float32(0.2), np.float32(0.15)
_FLOOR = 6.0  # of 255, added to all brightnesses: those of black say nothing
_ROAD, _BESIDES = 1, 2
_GROUND = np.zeros(256, np.uint8)
_GROUND[[Tag.ROAD]] = _ROAD
_GROUND[[Tag.SIDEWALK, Tag.TERRAIN, Tag.GROUND]] = _BESIDES


def follow_shading(image: np.ndarray, tag: np.ndarray, simulated: np.ndarray, wet: float = 0.0) -> None:
    """Darken the ground of ``image`` where ``simulated`` has a shadow that it lacks, and shade pavements alike.

    Args:
        image: u8 (H, W, 3), RGB, as generated.
        tag: u8, at least (H, W): the tags that it was generated from.
        simulated: u8 (H, W, 3), the simulator image, or half as high and wide.
        wet: How much the ground mirrors, from 0 to 1; roads are shaded as pavements are then.
    """
    height, width = image.shape[:2]
    ground = cv2.LUT(np.ascontiguousarray(tag[:height, :width]), _GROUND)
    top = _first_row(ground) // (2 * _SCALE) * 2 * _SCALE
    if top >= height - 2 * _SCALE:
        return
    size = width // _SCALE, (height - top) // _SCALE
    rows = slice(top * simulated.shape[0] // height, None)
    bright = [
        cv2.resize(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA).astype(np.float32)
        for each in (image[top:], simulated[rows])
    ]
    ratios = np.ones((2, size[1], size[0]), np.float32)
    for kind in (_ROAD, _BESIDES):
        part = (ground[top:] == kind) * np.uint8(255)
        # only pixels of the ratio that show nothing else: colours of vehicles would bleed into the ground around them
        share = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) > 200).astype(np.float32)
        if not share.any():
            continue
        known = cv2.merge([(each + _FLOOR) * share for each in bright] + [share])
        near, far = _around(known)
        sharp = 1.0 if kind == _BESIDES else wet  # kerbs are narrow, and so is what a wet road mirrors
        if sharp > 0.0:
            near += np.float32(sharp) * (known - near) * (share > 0.0)[..., None]
        tolerated, most = (_PATCHES * (1.0 - wet), 0.0) if kind == _ROAD else (0.0, _PATCHES)
        _compare(near, far, tolerated, max(most, _MIRRORED * wet), ratios[kind - 1])
    _scale(image[top:], ground[top:], ratios)


def _around(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the means nearby and further around, not yet divided by how much is known: both f32 (h, w, 3).

    ``known``: f32 (h, w, 3), both brightnesses where they are known and 0 elsewhere, and 1 where they are known.
    """
    height, width = known.shape[:2]
    coarse = cv2.resize(known, (-(-width // _COARSER), -(-height // _COARSER)), interpolation=cv2.INTER_AREA)
    far = cv2.GaussianBlur(coarse, (0, 0), _FAR / _COARSER)
    return cv2.GaussianBlur(known, (0, 0), _NEAR), cv2.resize(far, (width, height), interpolation=cv2.INTER_LINEAR)


@numba.njit(**kernels.FAST)
def _compare(near: np.ndarray, far: np.ndarray, tolerated: float, most: float, ratio: np.ndarray) -> None:
    """Write to ``ratio`` f32 (h, w) by how much the simulator's shadows exceed the image's, as by ``_around``.

    Logarithms: ``tolerated`` is how much darker it may be without effect, ``most`` what is added to bright places.
    Where the simulator has strong contrasts, nothing is tolerated, and bright places get up to ``_SUNLIT``.
    """
    zero, one, least = np.float32(0.0), np.float32(1.0), np.float32(1e-3)
    for y in range(ratio.shape[0]):
        for x in range(ratio.shape[1]):
            count, around = max(near[y, x, 2], least), max(far[y, x, 2], least)
            ours = max(near[y, x, 0] / count, one) / max(far[y, x, 0] / around, one)
            theirs = max(near[y, x, 1] / count, one) / max(far[y, x, 1] / around, one)
            strong = min(max((abs(np.log(theirs)) - _STRONG) / _SOFT, zero), one)
            beyond = np.log(theirs / ours) + np.float32(tolerated) * (one - strong)
            beyond = min(beyond, max(np.float32(most), strong * _SUNLIT))
            ratio[y, x] = max(np.exp(np.float32(_STRENGTH) * beyond), np.float32(_LEAST))


@numba.njit(**kernels.FAST)
def _first_row(ground: np.ndarray) -> int:
    """The first row with ground."""
    for y in range(ground.shape[0]):
        for x in range(ground.shape[1]):
            if ground[y, x]:
                return y
    return ground.shape[0]


@numba.njit(**kernels.FAST)
def _scale(image: np.ndarray, ground: np.ndarray, ratios: np.ndarray) -> None:
    """Multiply the pixels of each kind of ``ground`` by its interpolated one of ``ratios`` f32 (2, h, w)."""
    high, wide = ratios.shape[1:]
    per, half, one = np.float32(1.0 / _SCALE), np.float32(0.5), np.float32(1.0)
    for y in range(image.shape[0]):
        v = min(max((np.float32(y) + half) * per - half, np.float32(0.0)), np.float32(high - 1))
        i = min(int(v), max(high - 2, 0))
        below = min(i + 1, high - 1)
        b = v - np.float32(i)
        for x in range(image.shape[1]):
            if ground[y, x]:
                u = min(max((np.float32(x) + half) * per - half, np.float32(0.0)), np.float32(wide - 1))
                j = min(int(u), max(wide - 2, 0))
                right = min(j + 1, wide - 1)
                a = u - np.float32(j)
                ratio = ratios[ground[y, x] - 1]
                upper = ratio[i, j] + (ratio[i, right] - ratio[i, j]) * a
                lower = ratio[below, j] + (ratio[below, right] - ratio[below, j]) * a
                factor = upper + (lower - upper) * b
                if factor == one:
                    continue
                for c in range(3):
                    value = np.float32(image[y, x, c]) * factor + half
                    image[y, x, c] = np.uint8(min(value, np.float32(255.0)))


def compile_kernels() -> None:
    """Compile what a frame would wait for."""
    plane = np.full((16, 16), Tag.ROAD, np.uint8)
    follow_shading(np.zeros((16, 16, 3), np.uint8), plane, np.zeros((16, 16, 3), np.uint8))
