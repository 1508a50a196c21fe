"""Decode images: the only place that passes untrusted bytes to OpenCV's codecs."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

# Its warnings about damaged images would come in addition to our one line.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
_STDERR = threading.Lock()  # held while it is redirected
_CODECS = re.compile(rb"Corrupt JPEG|Premature end of JPEG|Invalid SOS|Unsupported marker|libpng |.*JPEG datastream")
_HARMLESS = re.compile(rb"libpng warning|Corrupt JPEG data: \d+ extraneous bytes")


def decode(data: bytes, flags: int = cv2.IMREAD_COLOR) -> np.ndarray | None:
    """Return the image in ``data`` (BGR).

    None for one that is damaged, even in part, has more than ``limits.PIXELS`` pixels, or is no image.
    """
    with _codecs_silenced() as complaints:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            image = None
    return None if image is None or complaints else np.asarray(image)


@contextmanager
def _codecs_silenced() -> Iterator[list[bytes]]:
    """Keep the messages of libjpeg and libpng off stderr; the list receives those about lost pixels.

    libjpeg continues after such errors and fills in grey. Output of others meanwhile is passed through.
    """
    complaints: list[bytes] = []
    with _STDERR, open(os.memfd_create("codecs"), "r+b", buffering=0) as capture:
        stderr = os.dup(2)
        os.dup2(capture.fileno(), 2)
        try:
            yield complaints
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            capture.seek(0)
            for line in capture.read().splitlines(keepends=True):
                if not _CODECS.match(line):
                    os.write(2, line)
                elif not _HARMLESS.match(line):
                    complaints.append(line)
