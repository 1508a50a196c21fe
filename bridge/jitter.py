"""Subpixel shifts of the projection, a different one in each frame, for accumulation over frames.

The shifts are Halton's sequence in bases 3 and 5 (Halton, 1960), fifteen points long and centred, so that their mean is
the middle of the pixel. Pixels that are sampled only in every second or fourth frame get evenly spread points too,
since neither base has a factor in common with 2 or 4.
"""

LENGTH = 15
Jitter = tuple[float, float]  # pixels by which the whole image is shifted: right, down
NONE: Jitter = (0.0, 0.0)


def frame_jitter(frame: int) -> Jitter:
    """Return the shift for the simulator frame with this number; each coordinate is within half a pixel of zero."""
    return _SHIFTS[frame % LENGTH]


def _radical_inverse(number: int, base: int) -> float:
    """Return the digits of ``number`` mirrored at the radix point."""
    value, digit = 0.0, 1.0 / base
    while number:
        number, remainder = divmod(number, base)
        value += remainder * digit
        digit /= base
    return value


def _centred(base: int) -> list[float]:
    points = [_radical_inverse(number, base) for number in range(1, LENGTH + 1)]
    return [point - sum(points) / LENGTH for point in points]


_SHIFTS: list[Jitter] = list(zip(_centred(3), _centred(5), strict=True))
