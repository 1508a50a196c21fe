"""What is written of a clip: an image per frame, side-by-side images, videos; and what is there already."""

import json
import os
from pathlib import Path

import cv2
import numpy as np

from bridge.tags import COLOURS
from bridge.untrusted import limits
from bridge.untrusted.files import FileRefused, read_text
from neuralsim.base.failure import reason
from neuralsim.imaging.image_files import ImageError, read_image, write_png
from neuralsim.recording import RecordingError
from neuralsim.recording.writing.mp4 import Mp4Writer

_RECORD = "render.json"
_UNFINISHED = ".part.png"  # ending of an image that is being written
_KEPT = "unfinished"  # folder of the images of a video that is not finished


class Output:
    """The files of one clip.

    Args:
        out: The folder of all clips.
        key: Path of the clip in it, "" for the folder itself.
        name: Name of its videos.
        formats: "png", "mp4" or both.
        compare: Whether there are side-by-side images.
        fps: Rate of the videos.
    """

    def __init__(self, out: Path, key: str, name: str, formats: tuple[str, ...], compare: bool, fps: float) -> None:
        self._folder = out / key if key else out
        self._name, self._formats, self._fps = name, formats, fps
        images = self._folder if "png" in formats else self._folder / _KEPT
        self._images = images
        self._compared = images / "compare" if compare else None

    def path(self, stem: str) -> Path:
        """Return the image of a frame."""
        return self._images / f"{stem}.png"

    def is_written(self, stem: str) -> bool:
        """Return whether a frame is there already, in an image or in the finished videos."""
        if "png" not in self._formats and self._videos_exist():
            return True
        return self.path(stem).is_file() and (self._compared is None or (self._compared / f"{stem}.png").is_file())

    def write(self, stem: str, image: np.ndarray, recorded: np.ndarray | None, tag: np.ndarray) -> None:
        """Write a frame; an interruption leaves no half of one.

        Args:
            stem: Its name.
            image: u8 (H, W, 3) RGB, the rendered image.
            recorded: The recorded one at the same size, None: the tags are shown in its place.
            tag: u8 (H, W).
        """
        if self._compared is not None:
            shown = COLOURS[np.minimum(tag, len(COLOURS) - 1)] if recorded is None else recorded
            if shown.shape != image.shape:
                shown = cv2.resize(shown, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
            _write(self._compared / f"{stem}.png", np.hstack([shown, image]))
        _write(self.path(stem), image)

    def finish(self, stems: list[str]) -> list[Path]:
        """Write the videos of the images that exist; return all files but single images. Raises RecordingError."""
        if "mp4" not in self._formats or ("png" not in self._formats and self._videos_exist()):
            return self._videos() if "mp4" in self._formats else []
        for folder, path in zip(self._folders(), self._videos(), strict=True):
            self._write_video(path, [folder / f"{stem}.png" for stem in stems if (folder / f"{stem}.png").is_file()])
        if "png" not in self._formats:
            for folder in reversed(self._folders()):
                for stem in stems:
                    (folder / f"{stem}.png").unlink(missing_ok=True)
                if not any(folder.iterdir()):
                    folder.rmdir()
        return self._videos()

    def _folders(self) -> list[Path]:
        return [self._images] + ([self._compared] if self._compared is not None else [])

    def _videos(self) -> list[Path]:
        names = [self._name] + ([f"{self._name}_compare"] if self._compared is not None else [])
        return [self._folder / f"{name}.mp4" for name in names]

    def _videos_exist(self) -> bool:
        return all(path.is_file() for path in self._videos())

    def _write_video(self, path: Path, images: list[Path]) -> None:
        if not images:
            return
        unfinished = path.with_suffix(".part.mp4")
        video: Mp4Writer | None = None
        try:
            for number, file in enumerate(images):
                image = cv2.cvtColor(read_image(file), cv2.COLOR_BGR2RGB)
                if video is None:
                    video = Mp4Writer(unfinished, (image.shape[1], image.shape[0]), rate=self._fps, block=True)
                video.write(image, number / self._fps)
                if video.error:
                    break
        finally:
            if video is not None:
                video.close()
        if video is not None and video.error:
            raise RecordingError(video.error)
        os.replace(unfinished, path)


def begin(out: Path, command: dict[str, object]) -> None:
    """Note in the folder what is rendered into it, so that the same ``command`` goes on.

    Raises ImageError where it holds images of another command, or cannot be written.
    """
    file = out / _RECORD
    try:
        before = json.loads(read_text(file, limits.MIB)) if file.exists() else None
    except (OSError, FileRefused, ValueError):
        before = {}
    text = json.loads(json.dumps(command))
    if before is not None and before != text:
        differs = sorted(
            key
            for key in {*text, *(before if isinstance(before, dict) else {})}
            if not isinstance(before, dict) or before.get(key) != text.get(key)
        )
        raise ImageError(
            f"{file}: {out} holds images of another command ({', '.join(differs)}); choose another folder for --out"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ImageError(f"{file}: {reason(error)}") from None


def _write(path: Path, image: np.ndarray) -> None:
    """Write an image u8 (H, W, 3) RGB as a PNG that is whole or not there. Raises ImageError."""
    unfinished = path.with_name(f".{path.stem}{_UNFINISHED}")
    write_png(unfinished, image[..., ::-1])
    try:
        os.replace(unfinished, path)
    except OSError as error:
        raise ImageError(f"{path}: {reason(error)}") from None
