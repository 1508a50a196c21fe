"""Shifts of the projection by parts of a pixel, another one in each frame, for accumulation over frames.

Halton's sequence in bases 3 and 5 (Halton, 1960), fifteen points long and centred, so that their
mean is the middle of the pixel. Pixels that are looked at in every second or fourth frame only see evenly
spread points too, since neither base shares a factor with those.
"""

from __future__ import annotations

LENGTH = 15
Jitter = tuple[float, float]  # pixels by which everything in the picture is shifted: right, down
NONE: Jitter = (0.0, 0.0)


def of_frame(frame: int) -> Jitter:
    """The shift of the simulator's frame of this number; each coordinate is within half a pixel of zero."""
    return _SHIFTS[frame % LENGTH]


def _radical_inverse(number: int, base: int) -> float:
    """The digits of ``number`` mirrored at the point."""
    value, digit = 0.0, 1.0 / base
    while number:
        number, rest = divmod(number, base)
        value += rest * digit
        digit /= base
    return value


def _centred(base: int) -> list[float]:
    points = [_radical_inverse(number, base) for number in range(1, LENGTH + 1)]
    return [point - sum(points) / LENGTH for point in points]


_SHIFTS: list[Jitter] = list(zip(_centred(3), _centred(5), strict=True))
