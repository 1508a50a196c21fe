"""Decoding of CARLA's camera images, BGRA read as little-endian u32 words, into the planes of a frame."""

import numpy as np
from numba import njit

from bridge.instance_values import mark_values
from bridge.link.motion import Movers, PoseMotion, from_flow
from bridge.messages import Camera
from bridge.tags import COUNT, Tag

#: By a server's tag: ours. What no table knows is OTHER; of CARLA 1.0's, 29 is Rock (its ``ObjectLabel.h``).
_KNOWN = np.full(256, Tag.OTHER, np.uint8)
_KNOWN[:COUNT] = range(COUNT)
_LAST, _OTHER = np.uint8(COUNT - 1), np.uint8(Tag.OTHER)
_NEWER = {29: Tag.TERRAIN}
_KNOWN[list(_NEWER)] = list(_NEWER.values())
#: Bit by tag: surfaces that are no things; a server's pieces of road have ids, too.
UNCOUNTED = np.uint32(
    sum(
        1 << tag
        for tag in (
            Tag.UNLABELED, Tag.ROAD, Tag.SIDEWALK, Tag.SKY, Tag.ROAD_LINE, Tag.GROUND, Tag.TERRAIN, Tag.WATER,
        )
    )
)  # fmt: skip


@njit(cache=True, nogil=True)
def split_instance(words: np.ndarray, tag: np.ndarray, instance: np.ndarray) -> int:
    """Decode instance segmentation: the tag is in R, the id is G + 256 B; 0 for surfaces that are no things.

    Returns the server's largest tag that is in no table and was taken for OTHER, 0 if there is none.
    """
    largest = np.uint32(0)
    for k in range(words.size):  # without branches and tables, so that it is vectorised
        word = words[k]
        raw = (word >> np.uint32(16)) & np.uint32(0xFF)
        largest = max(largest, raw)
        tag[k] = np.uint8(raw)
        ident = ((word >> np.uint32(8)) & np.uint32(0xFF)) | ((word & np.uint32(0xFF)) << np.uint32(8))
        counts = ((UNCOUNTED >> min(raw, np.uint32(31))) & np.uint32(1)) ^ np.uint32(1)
        instance[k] = np.uint16(ident * counts)
    return _name_newer(tag, instance) if largest > _LAST else 0


@njit(cache=True, nogil=True)
def _name_newer(tag: np.ndarray, instance: np.ndarray) -> int:
    """Give tags of newer servers their meaning here; return the largest that is in no table, 0 if there is none."""
    unknown = 0
    for k in range(tag.size):
        raw = tag[k]
        if raw > _LAST:
            tag[k] = _KNOWN[raw]
            if tag[k] == _OTHER:
                unknown = max(unknown, int(raw))
            if (UNCOUNTED >> np.uint32(tag[k])) & np.uint32(1):
                instance[k] = 0
    return unknown


@njit(cache=True, nogil=True)
def decode_depth(words: np.ndarray, depth: np.ndarray) -> None:
    """Decode depth: 1000 m * (R + 256 G + 65536 B) / (2^24 - 1)."""
    scale = np.float32(1000.0 / 16777215.0)
    for k in range(words.size):
        word = words[k]
        red, blue = (word >> np.uint32(16)) & np.uint32(0xFF), (word & np.uint32(0xFF)) << np.uint32(16)
        depth[k] = np.float32(np.int32(red | (word & np.uint32(0xFF00)) | blue)) * scale


@njit(cache=True, nogil=True)
def name_sky(tag: np.ndarray, depth: np.ndarray) -> None:
    """Tag what is untagged at the far plane as sky: an instance camera shows meshes with a tag, and CARLA's sky dome
    may be none."""
    for k in range(tag.size):
        if tag[k] == 0 and depth[k] > 999.0:
            tag[k] = 11


@njit(cache=True, nogil=True)
def decode_colours(words: np.ndarray, rgb: np.ndarray) -> None:
    """Decode the colours of ``words`` u32 (N,) into ``rgb`` u8 (N, 3)."""
    for k in range(words.size):
        word = words[k]
        rgb[k, 0] = np.uint8(word >> np.uint32(16))
        rgb[k, 1] = np.uint8(word >> np.uint32(8))
        rgb[k, 2] = np.uint8(word)


def compile_kernels() -> None:
    """Compile the kernels, or load them from the cache, so that the first images need not wait.

    The arguments are of the types that occur later: CARLA's buffers are read-only.
    """
    words, flow = np.frombuffer(bytes(256), "<u4"), np.frombuffer(bytes(512), "<f4").reshape(8, 8, 2)
    depth, pose = np.zeros((8, 8), np.float32), np.eye(4)
    split_instance(words, np.zeros(64, np.uint8), np.zeros(64, np.uint16))
    decode_depth(words, depth.reshape(-1))
    name_sky(np.zeros(64, np.uint8), depth.reshape(-1))
    decode_colours(words, np.zeros((64, 3), np.uint8))
    tag, instance = np.frombuffer(bytes(64), np.uint8), np.frombuffer(bytes(128), np.uint16)
    mark_values(tag, instance, np.zeros(256, bool), np.zeros(1 << 16, bool))
    camera, motion = Camera(8, 8, 70.0, pose), np.zeros((8, 8, 2), np.float16)
    from_flow(flow, depth, camera, pose, motion)
    planes: dict[str, np.ndarray] = {"tag": np.zeros((8, 8), np.uint8), "instance": np.zeros((8, 8), np.uint16)}
    planes["depth"] = depth
    mover = Movers(np.ones(1, np.uint16), pose[None], pose[None], np.ones((1, 3)), np.zeros((1, 4, 4)))
    PoseMotion()(planes, camera, pose, mover, motion)
