"""The planes of a camera's frames in memory that a client on this machine maps: no image is sent, decoded or copied."""

from collections.abc import Sequence

import numpy as np
from numba import njit

from bridge.image_decoding import UNCOUNTED
from bridge.link.motion import to_half
from bridge.link.shared_memory import ShmRing
from bridge.messages import PLANES
from bridge.tags import Tag
from neuralsim.base import kernels
from neuralsim.town.carla_server.camera_images import FAR
from neuralsim.town.core.sensor_blueprints import ColourPlane
from neuralsim.town.render.raster import Planes

_COLOURS: tuple[ColourPlane, ...] = ("rgb", "rgb_half")
_SKY = np.uint8(Tag.SKY)


@njit(**kernels.EXACT)
def _write(planes, across, down, tag, instance, depth, motion):  # type: ignore[no-untyped-def]
    """Write what a client would decode from CARLA's images: depth in steps of 24 bits, no instances of surfaces."""
    scale, step = 16777215.0 / FAR, np.float32(FAR / 16777215.0)
    height, width = planes.tag.shape
    steps, back = np.empty(2 * width), np.empty(2 * width, np.float32)
    steps[::2], steps[1::2] = -across, down
    back[::2], back[1::2] = -1.0 / across, 1.0 / down
    for i in range(height):  # each loop over a row without branches, so that it is vectorised
        seen, far, moved = planes.tag[i], planes.depth[i], planes.motion[i].reshape(-1)
        labels, numbers, away, flow = tag[i], instance[i], depth[i], motion[i].reshape(-1)
        for x in range(np.uint64(width)):
            value = np.int32(min(max(far[x], 0.0), FAR) * scale + 0.5)
            away[x] = np.float32(value) * step
        for x in range(np.uint64(width)):
            label = np.uint32(seen[x])
            counts = ((UNCOUNTED >> min(label, np.uint32(31))) & np.uint32(1)) ^ np.uint32(1)
            numbers[x] = np.uint16(planes.instance[i, x] * counts)
            labels[x] = np.uint8(_SKY if label == 0 and away[x] > 999.0 else label)
        for x in range(np.uint64(2 * width)):
            flow[x] = to_half(np.float32(moved[x] * steps[x]) * back[x])


class PlaneMemory:
    """The memory of one camera. ``names``: the planes of ``bridge.messages.PLANES`` that its client asks for.

    Raises:
        ValueError: There is no such plane, or more than one with colours.
    """

    def __init__(self, names: Sequence[str]) -> None:
        known = {"tag", "instance", "depth", "motion", *_COLOURS}
        colours = [name for name in _COLOURS if name in names]
        if not names or not known.issuperset(names) or len(colours) > 1:
            raise ValueError(f"a camera has no planes {','.join(names)!r}: choose of {', '.join(sorted(known))}")
        self.picture: ColourPlane = colours[0] if colours else ""
        self._names, self._ring, self._frames = names, ShmRing(), 0
        self._scratch: dict[str, np.ndarray] = {}

    def put(self, planes: Planes) -> bytes | None:
        """Return the pixels of an image with one row that says where the planes of a frame are; None where there is no
        memory for them. What a client still reads is not overwritten."""
        height, width = planes.tag.shape
        if not self._scratch or self._scratch["tag"].shape != (height, width):
            shapes = {"tag": (), "instance": (), "depth": (), "motion": (2,)}
            self._scratch = {name: np.empty((height, width, *more), PLANES[name][0]) for name, more in shapes.items()}
        own = self._scratch
        if not self._scratch.keys().isdisjoint(self._names):
            motion = own["motion"].view(np.uint16)
            _write(planes, 2.0 / width, 2.0 / height, own["tag"], own["instance"], own["depth"], motion)
        self._frames += 1
        colours = np.zeros((height, width, 3), np.uint8) if planes.rgb is None else planes.rgb
        parts = [colours if name in _COLOURS else own[name] for name in self._names]
        reference = self._ring.put(self._frames, parts, self._frames, keep=False)
        return None if reference is None else framed(reference)

    def close(self) -> None:
        """Release the memory; clients keep what they have mapped."""
        self._ring.close()


def framed(reference: bytes) -> bytes:
    """Return ``reference`` after its length as pixels BGRA: CARLA's client overwrites alpha."""
    data = len(reference).to_bytes(3, "little") + reference
    pixels = np.full((-(-len(data) // 3), 4), 255, np.uint8)
    pixels[:, :3] = np.frombuffer(data + bytes(-len(data) % 3), np.uint8).reshape(-1, 3)
    return pixels.tobytes()
