"""Build the texture of leaves that crowns nearby are drawn with, from photographs with labels.

``python -m tools.leaves FOLDER --out FILE``; this package's texture is from LabelMeFacade. It is a
mosaic of pieces of crowns, of which it keeps the finest band alone: its ratio to its own blur.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np

from bridge.process.options import Arg, Options, parse
from neuralsim.renderer.postprocessing.leaves import FLOOR, SCALE, SIDE, SIGMA, ZERO

_VEGETATION = 21  # of Cityscapes' labels
_WIDTH = 512  # px, to which photographs are scaled
_PIECE, _SEAM = 64, 16  # px
_COVERED = 0.98  # least share of a piece that is a crown
_BRIGHT, _SKY = (25, 160), 220  # of 255: limits of the mean of a piece, and what hardly a pixel of it exceeds
_LEAST, _LINE = 0.08, 0.12  # of the band: its deviation in each quarter, and the mean of a row or column


def pieces(folder: Path) -> list[np.ndarray]:
    """Return all pieces of crowns, f32 (80, 80), 0..255, in the photographs of ``folder`` (``image``, ``label``)."""
    side, found = _PIECE + _SEAM, []
    for path in sorted((folder / "image").iterdir()):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        label = cv2.imread(str(folder / "label" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
        if image is None or label is None:
            continue
        size = _WIDTH, image.shape[0] * _WIDTH // image.shape[1]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        crown = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST) == _VEGETATION
        for y in range(0, size[1] - side, side // 2):
            for x in range(0, size[0] - side, side // 2):
                part = slice(y, y + side), slice(x, x + side)
                piece = image[part].astype(np.float32)
                if crown[part].mean() > _COVERED and _BRIGHT[0] < piece.mean() < _BRIGHT[1] and _is_foliage(piece):
                    found.append(piece)
    return found


def _band(piece: np.ndarray) -> np.ndarray:
    """Return what each pixel of ``piece`` is times its blur, less one."""
    return np.asarray((piece + FLOOR) / (cv2.GaussianBlur(piece, (0, 0), SIGMA) + FLOOR) - 1.0)


def _is_foliage(piece: np.ndarray) -> bool:
    """Return whether it has leaves everywhere, and neither a trunk, nor sky behind branches."""
    band = _band(piece)
    quarters = [part.std() for half in np.split(band, 2) for part in np.split(half, 2, axis=1)]
    lines = max(np.abs(band.mean(axis=axis)).max() for axis in (0, 1))
    return bool(min(quarters) > _LEAST and lines < _LINE and np.percentile(piece, 98) < _SKY)


def mosaic(found: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return the texture u8 (512, 512), which repeats at its sides, of pieces in random order, mirrored or not."""
    ramp = np.sin(np.linspace(0.0, np.pi / 2.0, _SEAM))  # its squares add up to one: contrast is the same in a seam
    window = np.concatenate((ramp, np.ones(_PIECE - _SEAM), ramp[::-1]))
    total = np.zeros((SIDE, SIDE))
    order = rng.permutation(len(found))
    for number, (y, x) in enumerate(np.ndindex(SIDE // _PIECE, SIDE // _PIECE)):
        band = _band(found[order[number]])
        band = band[:, ::-1] if rng.random() < 0.5 else band
        rows, columns = ((np.arange(len(band)) + first * _PIECE) % SIDE for first in (y, x))
        total[np.ix_(rows, columns)] += band * window[:, None] * window
    return np.clip(np.rint(ZERO + SCALE * total), 0.0, 255.0).astype(np.uint8)


class LeavesOptions(Options):
    """Build the texture of leaves that crowns are drawn with."""

    folder: Annotated[Path, Arg("FOLDER", positional=True)]
    """Photographs of streets: folders image, and label by Cityscapes' numbers."""
    out: Path
    """The .png file to write."""


def main() -> None:
    """Run the command line."""
    options = parse(LeavesOptions, None, "leaves")
    found = pieces(options.folder)
    cv2.imwrite(str(options.out), mosaic(found, np.random.default_rng(0)))


if __name__ == "__main__":
    main()
