"""Label maps that no training saw, rendered: ``python tools/label_maps.py CAMVID/val CITYSCAPES_CLIPS/clip5``.

Writes docs/img/label_maps.jpg: of each folder (``image/``, ``label/`` and perhaps ``instance/`` in it) the first frame,
the last and two evenly between them, nothing chosen; from left to right the labels, the real frame, and what
`neuralsim render` makes of the labels with either shipped model.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bridge.tags import COLOURS
from neuralsim import classmaps
from neuralsim.imaging.image_files import list_images, read_ids, read_image

OUT = Path(__file__).resolve().parents[1] / "docs" / "img" / "label_maps.jpg"
CLASSES = ("camvid", "cityscapes")  # of the first folder and of the second
MODELS = ("street", "street-rt")
WIDTH = 384  # px of each picture
COUNT = 4  # frames of a folder


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    rows = [row for root, classes in zip(sys.argv[1:], CLASSES, strict=True) for row in rows_of(Path(root), classes)]
    cv2.imwrite(str(OUT), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    return 0


def rows_of(root: Path, classes: str) -> list[np.ndarray]:
    """A row of four pictures for each frame that is shown, u8 (H, 4 ``WIDTH``, 3) RGB."""
    labels = list_images(root / "label")
    chosen = [labels[round(k * (len(labels) - 1) / (COUNT - 1))] for k in range(COUNT)]
    table = classmaps.load(classes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("label", "instance"):
            (folder / kind).mkdir()
            for file in chosen:
                if (root / kind / file.name).is_file():
                    shutil.copy(root / kind / file.name, folder / kind)
        renderings = [paint(folder, classes, model) for model in MODELS]
        rows = []
        for file in chosen:
            tags = table.tags[read_ids(file)]
            real = next((root / "image").glob(f"{file.stem}.*"))
            rendered = (read_image(out / file.name)[..., ::-1] for out in renderings)
            shown = [COLOURS[tags], read_image(real)[..., ::-1], *rendered]
            size = WIDTH, WIDTH * tags.shape[0] // tags.shape[1]
            rows.append(np.hstack([cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in shown]))
    return rows


def paint(folder: Path, classes: str, model: str) -> Path:
    """The folder with what ``model`` paints of ``folder``'s labels."""
    out = folder / model
    command = [sys.executable, "-m", "neuralsim", "render", str(folder / "label"), "--classes", classes]
    instances = ["--instances", str(folder / "instance")] if any((folder / "instance").iterdir()) else []
    subprocess.run([*command, *instances, "--model", model, "--out", str(out)], check=True)
    return out


if __name__ == "__main__":
    sys.exit(main())
