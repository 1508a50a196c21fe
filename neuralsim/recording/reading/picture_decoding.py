"""Decoding pictures: the one place that hands bytes of strangers to OpenCV's codecs."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

# Its warnings about damaged pictures would come beside our one line.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
_STDERR = threading.Lock()  # held while it is redirected
_CODECS = re.compile(rb"Corrupt JPEG|Premature end of JPEG|Invalid SOS|Unsupported marker|libpng |.*JPEG datastream")
_HARMLESS = re.compile(rb"libpng warning|Corrupt JPEG data: \d+ extraneous bytes")


def decode(data: bytes, flags: int = cv2.IMREAD_COLOR) -> np.ndarray | None:
    """The picture in ``data`` as OpenCV has it (BGR); None for one that is damaged, in part too, has more than
    ``limits.PIXELS``, or is none."""
    with _codecs_silenced() as said:
        try:
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            picture = None
    return None if picture is None or said else np.asarray(picture)


@contextmanager
def _codecs_silenced() -> Iterator[list[bytes]]:
    """Keep what libjpeg and libpng write on stderr by themselves off it; fills the list with complaints that cost
    pixels. libjpeg goes on after those and paints grey. What others write meanwhile comes through."""
    complaints: list[bytes] = []
    with _STDERR, open(os.memfd_create("codecs"), "r+b", buffering=0) as said:
        kept = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield complaints
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            for line in said.read().splitlines(keepends=True):
                if not _CODECS.match(line):
                    os.write(2, line)
                elif not _HARMLESS.match(line):
                    complaints.append(line)
