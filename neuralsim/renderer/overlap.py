"""What two cameras of a rig both see looks the same in both: one takes over the other's generated pixels.

Each surface point that the second camera sees is looked up in the image of the first, by depth. The generator alone
gives both the same colours, but not the same detail, for its filters see the surface at another scale and place.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from bridge.messages import Camera, Frame
from bridge.tags import Tag
from neuralsim.base import kernels
from neuralsim.renderer.frame_renderer import GeneratedImage

_SKY = int(Tag.SKY)  # drawn by direction, the same in all images
_MOST_APART = 20.0  # m between two cameras of one rig
_BORDER = np.float32(0.03)  # of the width: over this margin the first image fades out
_NEAREST = np.float32(0.3)  # m
_TOLERANCE, _LEAST_TOLERANCE = np.float32(0.02), np.float32(0.1)  # of the depth, and in metres
#: Pixels of the first image per pixel of the second, along one axis, from which on they are taken over at all, and
#: entirely: what is much farther from the first camera would be blurred.
_COARSE, _FINE = np.float32(0.4), np.float32(0.7)
_STEP = 8  # px, of the grid that is searched for the overlap


class Neighbour(NamedTuple):
    """A camera's finished view of one tick."""

    frame: Frame
    rgb: np.ndarray  # u8 (H, W, 3), as generated


def may_overlap(one: Camera, other: Camera) -> bool:
    """Return whether two cameras stand so close and look so much the same way that their views may overlap."""
    if np.linalg.norm(one.pose[:3, 3] - other.pose[:3, 3]) > _MOST_APART:
        return False
    angle = np.arccos(np.clip(one.pose[:3, 0] @ other.pose[:3, 0], -1.0, 1.0))
    return bool(angle < _half_diagonal(one) + _half_diagonal(other))


def take_over(rgb: np.ndarray, frame: Frame, neighbour: Neighbour) -> None:
    """Blend the pixels of a ``neighbour`` into the image ``rgb`` u8 (H, W, 3) of ``frame``, in place.

    Both are of the same tick, with the planes ``tag``, ``instance`` and ``depth``. Nothing happens where the cameras
    cannot see the same.
    """
    if not may_overlap(frame.camera, neighbour.frame.camera):
        return
    here, there = frame.camera, neighbour.frame.camera
    pose = np.linalg.inv(there.pose) @ here.pose
    lens = _lens(here), _lens(there)
    planes, others = ([each.planes[name] for name in ("tag", "instance", "depth")] for each in (frame, neighbour.frame))
    _blend(rgb, *planes, pose.astype(np.float32), lens[0], *others, lens[1], neighbour.rgb)


def match_overlap(image: GeneratedImage, neighbours: list[Neighbour]) -> None:
    """Let an image take over, in place, what ``neighbours`` of the same tick show as well, and add it to them."""
    frame = image.inputs.frame
    for neighbour in neighbours:
        take_over(image.rgb, frame, neighbour)
    neighbours.append(Neighbour(frame, image.rgb.copy()))


def compile_kernels() -> None:
    """Compile the kernel ahead."""
    planes: dict[str, np.ndarray] = {
        "tag": np.zeros((1, 1), np.uint8), "instance": np.zeros((1, 1), np.uint16), "depth": np.ones((1, 1), np.float32)
    }  # fmt: skip
    frame, rgb = Frame(0, 0, 0.0, Camera(1, 1, 70.0, np.eye(4)), planes), np.zeros((1, 1, 3), np.uint8)
    take_over(rgb, frame, Neighbour(frame, rgb.copy()))


def _half_diagonal(camera: Camera) -> float:
    return float(np.arctan(np.hypot(camera.width, camera.height) / 2.0 / camera.focal))


def _lens(camera: Camera) -> np.ndarray:
    """Return focal length and principal point, f32 (3,) px; pixel centres lie at whole numbers."""
    right, down = camera.jitter
    return np.array((camera.focal, camera.width / 2 - 0.5 + right, camera.height / 2 - 0.5 + down), np.float32)


@njit(**kernels.EXACT)
def _project(pose, lens, other_lens, i, j, depth):  # type: ignore[no-untyped-def]
    """Return column and row, px, and depth, m, in the other camera of pixel (i, j) at ``depth``."""
    right, up = (np.float32(j) - lens[1]) / lens[0] * depth, (lens[2] - np.float32(i)) / lens[0] * depth
    x = pose[0, 0] * depth + pose[0, 1] * right + pose[0, 2] * up + pose[0, 3]
    y = pose[1, 0] * depth + pose[1, 1] * right + pose[1, 2] * up + pose[1, 3]
    z = pose[2, 0] * depth + pose[2, 1] * right + pose[2, 2] * up + pose[2, 3]
    if x < _NEAREST:
        return np.float32(-1.0), np.float32(-1.0), np.float32(0.0)
    return y / x * other_lens[0] + other_lens[1], other_lens[2] - z / x * other_lens[0], x


@njit(**kernels.EXACT)
def _columns(depth, pose, lens, shape, other_lens):  # type: ignore[no-untyped-def]
    """Return the first column and the one after the last that may lie in the other camera's view."""
    first, last = depth.shape[1], 0
    for i in range(0, depth.shape[0], _STEP):
        for j in range(0, depth.shape[1], _STEP):
            u, v, x = _project(pose, lens, other_lens, i, j, depth[i, j])
            if x > 0 and -_STEP <= u <= shape[1] + _STEP and -_STEP <= v <= shape[0] + _STEP:
                first, last = min(first, j - 2 * _STEP), max(last, j + 2 * _STEP)
    return max(first, 0), min(last, depth.shape[1])


@njit(**kernels.EXACT)
def _share(u, v, shape, density):  # type: ignore[no-untyped-def]
    """Return how much of the other image's pixel at (u, v) is taken, 0..1."""
    zero, one = np.float32(0.0), np.float32(1.0)
    inside = min(min(u, np.float32(shape[1] - 1) - u), min(v, np.float32(shape[0] - 1) - v))
    border = min(max(inside / (_BORDER * np.float32(shape[1])), zero), one)
    return border * min(max((density - _COARSE) / (_FINE - _COARSE), zero), one)


@njit(**kernels.EXACT)
def _blend(rgb, tag, instance, depth, pose, lens, tags, instances, depths, other_lens, other):  # type: ignore[no-untyped-def]
    shape = other.shape
    scale, one = other_lens[0] / lens[0], np.float32(1.0)
    first, last = _columns(depth, pose, lens, shape, other_lens)
    for i in range(rgb.shape[0]):
        for j in range(first, last):
            if tag[i, j] == _SKY:
                continue
            u, v, x = _project(pose, lens, other_lens, i, j, depth[i, j])
            if not (x > 0 and 0 <= u < shape[1] - 1 and 0 <= v < shape[0] - 1):
                continue
            share = _share(u, v, shape, scale * depth[i, j] / x)
            if share <= 0:
                continue
            left, top = int(u), int(v)
            a, b = u - np.float32(left), v - np.float32(top)
            red = green = blue = total = np.float32(0.0)
            tolerance = _TOLERANCE * x + _LEAST_TOLERANCE
            for m in range(2):
                for n in range(2):
                    y, k = top + m, left + n
                    if (
                        tags[y, k] == tag[i, j] and instances[y, k] == instance[i, j]
                        and abs(depths[y, k] - x) < tolerance
                    ):  # fmt: skip
                        weight = (b if m else one - b) * (a if n else one - a)
                        red += weight * np.float32(other[y, k, 0])
                        green += weight * np.float32(other[y, k, 1])
                        blue += weight * np.float32(other[y, k, 2])
                        total += weight
            if total < np.float32(0.25):
                continue
            own, half = one - share, np.float32(0.5)
            share /= total
            rgb[i, j, 0] = np.uint8(own * np.float32(rgb[i, j, 0]) + share * red + half)
            rgb[i, j, 1] = np.uint8(own * np.float32(rgb[i, j, 1]) + share * green + half)
            rgb[i, j, 2] = np.uint8(own * np.float32(rgb[i, j, 2]) + share * blue + half)
