"""Measures of images and their features, each a plain function of arrays."""

import cv2
import numpy as np
from scipy import linalg

from neuralsim.base.colour import luma

_PATCH = 64  # side of the patches whose mean features are compared, px
_KID_SUBSETS = 10
_KID_SIZE = 500  # features in each


def sharpness(picture: np.ndarray) -> float:
    """Return the variance of the Laplacian of the luminance of u8 (H, W, 3) after a Gaussian of 1 px against noise."""
    grey = luma(cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1.0))
    inner = grey[1:-1, 1:-1]
    return float(np.var(grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner))


def warp(image: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Return f32 (H, W, C): ``image`` of the frame before seen from this one, bilinear, backward ``motion`` (H, W, 2)
    px."""
    height, width = motion.shape[:2]
    x = np.clip(np.arange(width, dtype=np.float32)[None, :] + motion[..., 0], 0, width - 1.001)
    y = np.clip(np.arange(height, dtype=np.float32)[:, None] + motion[..., 1], 0, height - 1.001)
    column, row = x.astype(np.int64), y.astype(np.int64)
    u, v = (x - column)[..., None], (y - row)[..., None]
    image = image.astype(np.float32)
    top = image[row, column] * (1 - u) + image[row, column + 1] * u
    bottom = image[row + 1, column] * (1 - u) + image[row + 1, column + 1] * u
    return np.asarray(top * (1 - v) + bottom * v)


def warping_error(before: np.ndarray, after: np.ndarray, motion: np.ndarray, seen: np.ndarray) -> float:
    """Return the mean absolute difference, of 255, between ``after`` and ``before`` moved by ``motion``, where ``seen``
    in both.

    Images (H, W, 3); motion f32 (H, W, 2), pixels back; seen bool (H, W).
    """
    return float(np.abs(after.astype(np.float32) - warp(before, motion))[seen].mean())


def patches(feature: np.ndarray, stride: int) -> np.ndarray:
    """Return f64 (n, C): means of features f32 (C, h, w) over squares of about 64 px, from left and right rims inwards.

    Statistics over whole images need more images than channels, which a clip of a hundred frames does not have;
    patches are some thousands, and what makes an image look real is local at these strides.
    """
    side = max(1, _PATCH // stride)
    channels, height, width = feature.shape
    rows, columns = height // side, width // side
    top, left = (height - rows * side) // 2, (width - columns * side) // 2
    cut = feature[:, top : top + rows * side, left : left + columns * side].astype(np.float64)
    return np.asarray(cut.reshape(channels, rows, side, columns, side).mean((2, 4)).reshape(channels, -1).T)


def frechet(a: np.ndarray, b: np.ndarray, shrink: bool = False) -> float:
    """Return the Fréchet distance between Gaussians fitted to two samples (n, C) (Heusel et al., NeurIPS 2017).

    ``shrink``: covariances by Ledoit and Wolf (2004), for samples that are not many times larger than C.
    """
    mean = a.mean(0) - b.mean(0)
    first, second = (shrunk(x) if shrink else np.cov(x, rowvar=False) for x in (a, b))
    # tr((AB)^1/2) is the sum of the square roots of the eigenvalues of A^1/2 B A^1/2, which is symmetric
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0.0))) @ vectors.T
    cross = np.sqrt(linalg.eigvalsh(root @ second @ root).clip(0.0)).sum()
    return float(mean @ mean + np.trace(first) + np.trace(second) - 2.0 * cross)


def shrunk(x: np.ndarray) -> np.ndarray:
    """Return the covariance f64 (C, C) of a sample (n, C), drawn towards a multiple of one as Ledoit and Wolf (2004)
    estimate."""
    n, channels = x.shape
    centred = x - x.mean(0)
    sample = centred.T @ centred / n
    scale = np.trace(sample) / channels
    apart = np.square(sample - scale * np.eye(channels)).sum() / channels
    squares = np.square(centred)
    scatter = ((squares.T @ squares).sum() / n - np.square(sample).sum()) / (n * channels)
    share = min(1.0, max(0.0, scatter / apart)) if apart > 0 else 0.0
    return np.asarray(share * scale * np.eye(channels) + (1.0 - share) * sample)


def kid(a: np.ndarray, b: np.ndarray, seed: int = 0) -> float:
    """Return the kernel distance (Bińkowski et al., ICLR 2018): unbiased MMD^2 of samples (n, C), kernel (x.y / C +
    1)^3.

    Features are divided by their common mean square first, so that layers can be compared. Mean over subsets.
    """
    rng = np.random.default_rng(seed)
    scale = np.sqrt(np.mean(np.square(np.concatenate([a, b]))) + 1e-12)
    size = min(_KID_SIZE, len(a), len(b))
    estimates = []
    for _ in range(_KID_SUBSETS):
        x = a[rng.choice(len(a), size, replace=False)] / scale
        y = b[rng.choice(len(b), size, replace=False)] / scale
        kxx, kyy, kxy = ((u @ v.T / a.shape[1] + 1.0) ** 3 for u, v in ((x, x), (y, y), (x, y)))
        same = (kxx.sum() - np.trace(kxx) + kyy.sum() - np.trace(kyy)) / (size * (size - 1))
        estimates.append(same - 2.0 * kxy.mean())
    return float(np.mean(estimates))


def psnr(a: np.ndarray, b: np.ndarray, seen: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio, dB, of images (H, W, 3) in 0..255 where ``seen`` (H, W); infinite when
    equal."""
    error = float(np.square(a.astype(np.float64) - b.astype(np.float64))[seen].mean())
    return float("inf") if error == 0.0 else float(10.0 * np.log10(255.0**2 / error))
