"""Sharpening: an unsharp mask makes generated images as detailed as a camera's.

A past that is resampled in every frame loses its finest detail (Yang et al., "A Survey of Temporal Antialiasing
Techniques", Computer Graphics Forum 2020, section 6.1). The graph restores some of it inside of objects, at 5x5 pixels
(``neuralsim/models/blending.py``); this mask is finer. Outlines are left out: those of labels have steps, of which it
would make teeth. The graph's state is not sharpened, so nothing builds up. Where nothing moves, the past is not
resampled, and what the graph restores does build up, until asphalt looks woven: there its past is blurred a little.
"""

import cv2
import numpy as np

from bridge.tags import MOVERS, Tag

SIGMA = 0.7  # px
_GROUND = [Tag.ROAD, Tag.ROAD_LINE, Tag.SIDEWALK, Tag.GROUND, Tag.TERRAIN]
#: u8 (256,), by tag: not the sky, which has nothing to sharpen, nor crowns, whose leaves would become specks, nor what
#: moves, which has as much detail as in photographs already.
_SHARPENED = (~np.isin(np.arange(256), (Tag.SKY, Tag.VEGETATION, *MOVERS))).astype(np.uint8)
#: u8 (256,), by tag: what is sharpened once it was scaled down. Roads and grass of photographs have less detail.
_SHARPENED_WHEN_SCALED = np.ones(256, np.uint8)
_SHARPENED_WHEN_SCALED[[Tag.SKY, *_GROUND]] = 0
_SHARPENED_WHEN_SCALED[[Tag.SIDEWALK]] = 1
#: The contrast that people get, the blur of what is around them, as a share of the width, and of how many pixels' mean
#: it is computed.
_CONTRAST_OF_PEOPLE, _AROUND_PEOPLE, _COARSER = 0.3, 1.0 / 64.0, 4
_NEAR_PEOPLE = 3.0, 5.0  # m, from where on people get half of it, and all
_PART, _ALL = 1, 2  # of it
_LEAST_OF_PEOPLE = 0.8  # of what it was before: dark clothes keep their folds
_PEOPLE = np.isin(np.arange(256), (Tag.PEDESTRIAN, Tag.RIDER)).astype(np.uint8)  # u8 (256,), by tag
_NEIGHBOURHOOD = np.ones((3, 3), np.uint8)
_OUTLINE = np.ones((5, 5), np.uint8)  # within which there is another tag next to an outline
#: How much darker than all pixels around it a pixel may become, or brighter, of 255 in each channel: lenses make no
#: black dots, and no pale line along the outline of what is dark.
_BEYOND = np.full(4, 8.0)

#: By tag: share of the differences to its four neighbours, in their sum, that a pixel of the past loses per frame
#: while nothing moves. The ground, near by and moving fast otherwise, has more of it.
_LOSS = np.full(256, 0.03, np.float32)
_LOSS[Tag.UNLABELED] = 0.0  # as along outlines, which get this tag in ``soften_past``
_LOSS[_GROUND] = 0.125  # which ends a checkerboard at once; from 0.25 on, it would grow
#: u8 (256,), by tag: it, or for all of the ground the same, since its markings are to be softened, too.
_SURFACE = np.arange(256, dtype=np.uint8)
_SURFACE[_GROUND] = Tag.ROAD
_RIM = 2  # px along the border of the past that the padding of convolutions has changed
_MOVING, _CLIPPED = 0.15, 1.0  # px, mean motion from which on resampling blurs enough, and the most that counts in it


def stillness(motion: np.ndarray | None) -> float:
    """Return 1 for a view in which nothing moves, 0 from where resampling the past blurs enough.

    A car that crosses a view that stands still counts for little. ``motion``: f16 (H, W, 2), px since the last frame;
    None: unknown.
    """
    if motion is None:
        return 0.0
    longest = np.abs(motion[::8, ::8].astype(np.float32)).max(-1)
    return max(1.0 - float(np.minimum(longest, _CLIPPED).mean()) / _MOVING, 0.0)


def soften_past(past: np.ndarray, tag: np.ndarray, still: float) -> None:
    """Blur the graph's past inside of objects, in place, as resampling it does in a moving view.

    Args:
        past: f32 (1, C, H, W), the state ``past_rgb``.
        tag: u8 (H, W).
        still: What ``stillness`` returned.
    """
    inside = _inside(cv2.LUT(tag, _SURFACE), _NEIGHBOURHOOD)
    share = cv2.LUT(cv2.bitwise_and(tag, inside), _LOSS * np.float32(still))
    for plane in past[0]:
        differences = cv2.Laplacian(plane, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REPLICATE)
        cv2.add(plane, cv2.multiply(differences, share, differences), plane)


def mend_border(past: np.ndarray) -> None:
    """Replace the outermost pixels of the graph's past, f32 (1, C, H, W), by those inside of them, in place.

    The graph's convolutions pad with zeros. Of what that leaves at the border, a view that turns would carry one line
    after the other into the image.
    """
    past[..., :_RIM, :], past[..., -_RIM:, :] = past[..., _RIM : _RIM + 1, :], past[..., -_RIM - 1 : -_RIM, :]
    past[..., :_RIM], past[..., -_RIM:] = past[..., _RIM : _RIM + 1], past[..., -_RIM - 1 : -_RIM]


def sharpen(image: np.ndarray, tag: np.ndarray, amount: float) -> None:
    """Add ``amount`` times the detail that a blur removes to ``image`` u8 (H, W, 3), in place.

    ``tag``: u8, at least (H, W), the tags that the image was generated from. The sky has nothing to sharpen.
    """
    _sharpen_inside(image, tag, amount, _SHARPENED, _OUTLINE)


def sharpen_scaled(image: np.ndarray, tag: np.ndarray, amount: float) -> None:
    """Sharpen an image that was scaled down, as ``sharpen`` does: crowns and movers, too, but neither road nor grass.

    Its outlines have no steps, so that it is sharpened nearer to them, and its leaves are too small to become specks.
    """
    _sharpen_inside(image, tag, amount, _SHARPENED_WHEN_SCALED, _NEIGHBOURHOOD)


def _sharpen_inside(
    image: np.ndarray, tag: np.ndarray, amount: float, chosen: np.ndarray, neighbourhood: np.ndarray
) -> None:
    """Sharpen what is ``chosen``, u8 (256,) by tag, where all of the ``neighbourhood`` u8 (H, W) has the same tag."""
    height, width = image.shape[:2]
    tag = np.ascontiguousarray(tag[:height, :width])
    mask = cv2.bitwise_and(cv2.LUT(tag, chosen), _inside(tag, neighbourhood))
    image, mask = _rows_around(image, mask)
    if not len(image):
        return
    cv2.copyTo(_sharpened(image, amount), mask, image)


def raise_contrast_of_people(image: np.ndarray, tag: np.ndarray, daylight: float, depth: np.ndarray) -> None:
    """Add to people of ``image`` u8 (H, W, 3) by how much they differ from what is around them, in place.

    The generator makes their clothes more like the street behind them than in photographs. This is an unsharp mask as
    wide as an arm or a leg; people nearby, whose clothes would become black, get half of it, or nothing.

    Args:
        image: As generated.
        tag: u8, at least (H, W).
        daylight: From 0, by night, when there is more noise than contrast, to 1, by day.
        depth: f32, at least (H, W), m.
    """
    if daylight <= 0.0:
        return
    height, width = image.shape[:2]
    people = cv2.LUT(np.ascontiguousarray(tag[:height, :width]), _PEOPLE)
    far = depth[:height, :width]
    people = people * np.add(far > _NEAR_PEOPLE[0], far > _NEAR_PEOPLE[1], dtype=np.uint8)
    sigma = _AROUND_PEOPLE * width
    image, people = _rows_around(image, people, round(2.0 * sigma))
    if not len(image):
        return
    size = max(image.shape[1] // _COARSER, 1), max(image.shape[0] // _COARSER, 1)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    around = cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / _COARSER), image.shape[1::-1])
    amount = _CONTRAST_OF_PEOPLE * daylight
    raised = cv2.addWeighted(image, 1.0 + amount, around, -amount, 0.0)
    cv2.max(raised, cv2.convertScaleAbs(image, alpha=_LEAST_OF_PEOPLE), raised)
    half = cv2.addWeighted(image, 0.5, raised, 0.5, 0.0)
    cv2.copyTo(raised, (people == _ALL).view(np.uint8), image)
    cv2.copyTo(half, (people == _PART).view(np.uint8), image)


def _sharpened(image: np.ndarray, amount: float) -> np.ndarray:
    """Return ``image`` u8 (H, W, 3) plus ``amount`` times the detail that a blur removes, without contours."""
    blurred = cv2.GaussianBlur(image, (3, 3), SIGMA)
    sharp = cv2.addWeighted(image, 1.0 + amount, blurred, -amount, 0.0)
    darkest, brightest = cv2.erode(image, _NEIGHBOURHOOD), cv2.dilate(image, _NEIGHBOURHOOD)
    cv2.max(sharp, cv2.subtract(darkest, _BEYOND, darkest), sharp)
    return np.asarray(cv2.min(sharp, cv2.add(brightest, _BEYOND, brightest), sharp))


def _inside(labels: np.ndarray, neighbourhood: np.ndarray) -> np.ndarray:
    """Return where ``labels`` u8 (H, W) are the same in all of the ``neighbourhood``, u8 (H, W): 255, else 0."""
    return cv2.compare(cv2.dilate(labels, neighbourhood), cv2.erode(labels, neighbourhood), cv2.CMP_EQ)


def _rows_around(image: np.ndarray, mask: np.ndarray, beyond: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of ``image`` and ``mask`` in which ``mask`` u8 (H, W) is not 0, and ``beyond`` on each side."""
    _, top, _, height = cv2.boundingRect(mask)
    rows = slice(max(top - beyond, 0), top + height + beyond if height else 0)
    return image[rows], mask[rows]
