"""Leaves: crowns nearby get the finest detail of photographed ones, drawn on their surface.

The generator paints crowns with strokes, whatever the simulator image has in them, and nearby they are seen. There some
of their finest band of luminance is exchanged for that of a texture, a mosaic of crowns in photographs
(``tools/leaves.py``), and the band amplified, since two that know nothing of each other partly cancel: in narrow images
it keeps its contrast, in wide ones it gains some. The texture is mapped along the axes of the world, by the direction
of view, so that it stays where the leaves are, and in octaves of its size, as foliage is alike at all distances
("infinite zoom"; Bénard, Bousseau, Thollot, "Dynamic Solid Textures for Real-Time Coherent Stylization", I3D 2009). The
graph's state is not changed. In wide images, strokes have colours of their own as well, purple beside a glaring green:
leaves take theirs from around them, and it is never less green than grey.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numba
import numpy as np

from bridge.messages import Camera
from bridge.tags import Tag
from neuralsim.base import kernels
from neuralsim.renderer.repeating_texture import sample

SIDE = 512  # px of the texture, which repeats
SIGMA = 3.0  # px, of the blur that separates the bands, in images ``_NARROW`` px wide
_MARGIN = 6  # px of the texture on each side, since it repeats
#: px, widths of images between which all this grows. Strokes are as long in pixels in wide images, where trees farther
#: away have as many pixels and the eye sees more of each: broader ones are taken away there. The leaves stay as fine.
_NARROW, _WIDE = 512, 1024
_FINER = 2  # samples per texel: a bilinear sample of the texture itself would be as soft as the strokes
FLOOR = 16.0  # of 255, added to brightnesses before they are compared: ratios of black say nothing
ZERO, SCALE = 128.0, 160.0  # of the texture: no change; per unit of the ratio
_SHARE = 0.4, 0.6  # of the texture in that band, in narrow and in wide images; with .5, the narrow ones would flicker
_EVEN = 0.85  # share of the colour from around a leaf, in wide images
_REDUCTION, _AROUND = 4, 1.5  # that colour is taken from an image as many times smaller, blurred by as many of its px
_FAR = 1.0 / 20.0, 1.0 / 5.0  # m a pixel, where that begins
_NEAR = 1.0 / 32.0, 1.0 / 7.0  # ... and where it is complete
_MOST = np.float32(60.0)  # of 255, largest change of a pixel
_FADING = np.float32(3.0)  # times as fast as over a whole octave


def draw_leaves(image: np.ndarray, tag: np.ndarray, depth: np.ndarray, camera: Camera) -> None:
    """Exchange some of the finest band of crowns nearby for that of photographed leaves, in place.

    Args:
        image: u8 (H, W, 3), RGB.
        tag: u8, at least (H, W): the tags that it was generated from.
        depth: f32, at least (H, W), m.
        camera: That sees it.
    """
    tag, depth = kernels.read_only(tag), kernels.read_only(depth)
    height, width = image.shape[:2]
    wide = min(max((width - _NARROW) / (_WIDE - _NARROW), 0.0), 1.0)
    share, far, near = (np.float32(least + wide * (most - least)) for least, most in (_SHARE, _FAR, _NEAR))
    farthest = np.float32(far * camera.focal)
    first, end = _rows_nearby(tag, depth, height, width, Tag.VEGETATION, farthest)
    if first >= end:
        return
    sigma = SIGMA * (1.0 + wide)
    radius = round(2.0 * sigma)
    rows = slice(max(first - radius, 0), end + radius)
    own = cv2.cvtColor(image[rows], cv2.COLOR_RGB2GRAY)
    blurred = cv2.GaussianBlur(own, (2 * radius + 1, 2 * radius + 1), sigma)
    colours = _colours_around(image[rows]) if wide else image[rows]
    right, down = camera.jitter
    lens = np.array((camera.focal, width / 2.0 + right, height / 2.0 + down - rows.start), np.float32)
    pose = np.ascontiguousarray(camera.pose, np.float32)
    planes = image[rows], tag[rows], depth[rows], own, blurred, colours
    _draw(*planes, _texture(), pose, lens, (share, far, near, np.float32(_EVEN * wide)), Tag.VEGETATION)


def compile_kernels() -> None:
    """Compile the kernels ahead."""
    image, depth = np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 0.2, np.float32)  # m: nearby, or nothing is drawn
    tag = np.full((8, 8), Tag.VEGETATION, np.uint8)
    draw_leaves(image, tag, depth, Camera(8, 8, 70.0, np.eye(4)))


def _colours_around(image: np.ndarray) -> np.ndarray:
    """Return ``image`` u8 (H, W, 3) without anything fine."""
    height, width = image.shape[:2]
    size = max(width // _REDUCTION, 1), max(height // _REDUCTION, 1)
    small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (0, 0), _AROUND)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


@lru_cache(maxsize=1)
def _texture() -> np.ndarray:
    """Return what a pixel is times its blur, less one, f32 (1024, 1024): two samples per texel."""
    stored = cv2.imread(str(Path(__file__).with_name("leaves.png")), cv2.IMREAD_GRAYSCALE)
    assert stored is not None, "leaves.png is part of the package"
    texels = np.pad((stored.astype(np.float32) - np.float32(ZERO)) / np.float32(SCALE), _MARGIN, mode="wrap")
    finer = cv2.resize(texels, None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_LANCZOS4)
    return np.ascontiguousarray(finer[_FINER * _MARGIN : -_FINER * _MARGIN, _FINER * _MARGIN : -_FINER * _MARGIN])


@numba.njit(**kernels.FAST)
def _rows_nearby(tag, depth, height, width, wanted, farthest):  # type: ignore[no-untyped-def]
    """Return the first row with a ``wanted`` tag nearer than ``farthest``, m, and the one after the last."""
    first, end = height, 0
    for y in range(height):
        for x in range(width):
            if tag[y, x] == wanted and depth[y, x] < farthest:
                first, end = min(first, y), y + 1
                break
    return first, end


@numba.njit(inline="always")
def _sixth_power(value):  # type: ignore[no-untyped-def]
    square = value * value
    return square * square * square


@numba.njit(**kernels.FAST)
def _draw(image, tag, depth, own, blurred, colours, texture, pose, lens, amount, wanted):  # type: ignore[no-untyped-def]
    """Do what ``draw_leaves`` does, with the luminance ``own`` and ``blurred``, and the ``colours`` around each pixel.

    ``lens``: focal length, centre, px. ``amount``: share of the texture, the m a pixel between which it fades, and
    share of the colours.
    """
    focal, cx, cy = lens
    most_mixed, farthest, nearest, most_even = amount
    zero, half, one, most = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(255.0)
    floor, tenth, finer = np.float32(FLOOR), np.float32(0.1), np.float32(_FINER)
    for y in range(own.shape[0]):
        up = (cy - np.float32(y) - half) / focal
        for x in range(own.shape[1]):
            if tag[y, x] != wanted:
                continue
            far = depth[y, x]
            if not tenth < far < farthest * focal:
                continue
            mixed = most_mixed * min((farthest - far / focal) / (farthest - nearest), one)
            right = (np.float32(x) + half - cx) / focal
            # the direction of view, and the place that is seen
            east = pose[0, 0] + pose[0, 1] * right + pose[0, 2] * up
            north = pose[1, 0] + pose[1, 1] * right + pose[1, 2] * up
            high = pose[2, 0] + pose[2, 1] * right + pose[2, 2] * up
            px, py, pz = pose[0, 3] + far * east, pose[1, 3] + far * north, pose[2, 3] + far * high
            wx, wy, wz = _sixth_power(east), _sixth_power(north), _sixth_power(high)
            least = tenth * (wx + wy + wz)
            wx, wy, wz = max(wx - least, zero), max(wy - least, zero), max(wz - least, zero)
            # texels are .7 to 1.4 times as large as pixels; from one octave to the next they fade within a third of it
            level = np.log2(far / focal) + half
            whole = np.floor(level)
            share = min(max((level - whole - half) * _FADING + half, zero), one)
            size = finer * np.float32(2.0) ** -whole
            a, b = one - share, share
            total = zero
            for octave in range(2):
                w = a if octave == 0 else b
                if w <= zero:
                    continue
                scale = size if octave == 0 else size * half
                shift = np.float32(37.0) * (whole + np.float32(octave))
                s = zero
                if wx > zero:
                    s += wx * sample(texture, py * scale + shift, -pz * scale)
                if wy > zero:
                    s += wy * sample(texture, px * scale + shift, -pz * scale)
                if wz > zero:
                    s += wz * sample(texture, px * scale + shift, py * scale)
                total += w * s
            spread = np.sqrt((a * a + b * b) * (wx * wx + wy * wy + wz * wz))
            band = total / spread
            base = np.float32(blurred[y, x])
            kept = one - mixed
            gain = one / np.sqrt(kept * kept + mixed * mixed)
            change = gain * mixed * (base + floor) * band + (gain * kept - one) * (np.float32(own[y, x]) - base)
            change = min(max(change, -_MOST), _MOST)
            even = most_even * mixed / most_mixed
            r, g, b = np.float32(colours[y, x, 0]), np.float32(colours[y, x, 1]), np.float32(colours[y, x, 2])
            g = max(g, half * (r + b))
            light = np.float32(own[y, x]) + change + floor
            light /= np.float32(0.299) * r + np.float32(0.587) * g + np.float32(0.114) * b + floor
            for c in range(3):
                value = np.float32(image[y, x, c]) + change
                if even > zero:
                    value += even * (((r, g, b)[c] + floor) * light - floor - value)
                image[y, x, c] = np.uint8(min(max(value + half, zero), most))
