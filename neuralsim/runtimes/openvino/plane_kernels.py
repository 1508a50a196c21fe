"""The beginning of a step, compiled: the planes that a generator is given, from tag, instance and guide.

The same as ``neuralsim/models/input_planes.py`` returns, written once, in the order in which OpenVINO's convolutions
read: a graph computes each of them in several passes and then reorders them.
"""

from __future__ import annotations

from numba import njit

from neuralsim.base import kernels

INSTANCES = 256  # of one class that have a colour of their own


@njit(**kernels.EXACT)
def embed(
    first, last, tag, instance, guide, channel,
    table, guided, embedded,
):  # fmt: skip
    """Write the rows from ``first`` to before ``last`` of ``embedded`` (H, W, C): tint and code of each pixel.

    Args:
        first: Row.
        last: Row.
        tag: u8 (H, W).
        instance: u16 (H, W).
        guide: u8 (H, W, 4).
        channel: u8 (256,), class by tag.
        table: (classes, 256, C), by class and instance.
        guided: (256,), the tint of each value of the guide.
        embedded: (H, W, C), written. As table and guided, f32 or the bits of bf16 as u16.
    """
    width, count = embedded.shape[1:]
    for y in range(first, last):
        for x in range(width):
            entry = table[channel[tag[y, x]], instance[y, x] % INSTANCES]
            if guide[y, x, 0] > 0:
                for k in range(3):
                    embedded[y, x, k] = guided[guide[y, x, k]]
                for k in range(3, count):
                    embedded[y, x, k] = entry[k]
            else:
                for k in range(count):
                    embedded[y, x, k] = entry[k]
