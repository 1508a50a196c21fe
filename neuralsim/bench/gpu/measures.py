"""What several checks measure: differences of images in dB, and milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two u8 images, dB, 99 for equal ones."""
    error = float(np.mean(np.square(image.astype(np.float32) - reference)))
    return 99.0 if error == 0.0 else round(float(10.0 * np.log10(255.0**2 / error)), 1)


def milliseconds(step: Callable[[], object], steps: int) -> dict[str, float]:
    """Return the milliseconds of a step that is waited for: median and 95th percentile, after a tenth to warm up."""
    for _ in range(max(steps // 10, 2)):
        step()
    times = []
    for _ in range(steps):
        begun = time.perf_counter()
        step()
        times.append(1000.0 * (time.perf_counter() - begun))
    return {"p50": round(float(np.median(times)), 3), "p95": round(float(np.percentile(times, 95)), 3)}
