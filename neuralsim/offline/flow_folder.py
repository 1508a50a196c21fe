"""``neuralsim images flow IMAGES --out MOTION``: the optical flow of a folder of images.

The flow itself is computed in ``neuralsim/imaging/optical_flow.py``.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from neuralsim.base.failure import fail
from neuralsim.base.progress import ProgressLine
from neuralsim.imaging.image_files import ImageError, list_images, read_image
from neuralsim.imaging.optical_flow import backward, save
from neuralsim.offline.options import FlowOptions


def run(files: list[Path], out: Path, progress: Callable[[int], None] = lambda _: None) -> None:
    """Write the flow of the consecutive images ``files`` into the folder ``out``; ``progress`` receives the count done.

    Raises ImageError: an image cannot be read or has another size, or the disk is full.
    """
    before: np.ndarray | None = None
    for number, file in enumerate(files):
        after = cv2.cvtColor(read_image(file), cv2.COLOR_BGR2RGB)
        if before is None:
            motion, valid = np.zeros((*after.shape[:2], 2), np.float32), np.zeros(after.shape[:2], bool)
        elif before.shape != after.shape:
            sizes = " and ".join(f"{size[1]}x{size[0]}" for size in (before.shape, after.shape))
            raise ImageError(f"{file}: the images of a clip must have one size, not {sizes}")
        else:
            motion, valid = backward(before, after)
        save(out / f"{file.stem}.png", motion, valid)
        before = after
        progress(number + 1)


def run_folder(options: FlowOptions) -> int:
    """Write the flow of all images in a folder; returns the exit code. Problems are one line on stderr."""
    out = options.out
    try:
        files = list_images(options.images)
        progress = ProgressLine(len(files))
        try:
            run(files, out, progress.show_written)
        finally:
            progress.close()
    except ImageError as error:
        return fail(error)
    print(f"{out}: {len(files)} fields")
    return 0
