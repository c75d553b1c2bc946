"""How far two pictures of one scene are shifted against each other, by phase correlation of their gradients.

Edges look alike in both spectra where brightness does not. The confidence is the share of the correlation's energy at
its peak (OpenCV's response). Where a shift is large, edges weighted in another way must say the same: in the dark a few
strong lights find each other anywhere. Only a shift of the whole picture is seen: a scene whose background stands still
while people walk gives zero however late one camera is.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

TRUSTED = 0.15
"""Confidence from which a shift is believed. Pairs of registered data sets mostly have 0.15 to 0.45, two pictures of
different scenes hardly ever more than 0.12."""
LOST = 0.05
"""Confidence below which nothing of one picture is found in the other."""

_SMALLEST = 16  # pixels: smaller pictures have nothing to correlate
_BLUR = 1.0  # pixels, standard deviation
_CAP = 2.0  # standard deviations
_FAR = 4.0  # pixels from which a shift needs a second opinion
_SAME = 3.0  # pixels: closer ones confirm each other
_DISPUTED = 0.1  # confidence of a shift that the second opinion does not share: neither trusted nor lost

Grey = NDArray[np.float32]


class Shift(NamedTuple):
    """From the RGB picture to the infrared one."""

    right: float  # pixels: what is at x in RGB is at x + right in infrared
    down: float
    confidence: float  # 0 to 1

    @property
    def trusted(self) -> bool:
        return self.confidence >= TRUSTED


def shift_between(rgb: Grey, ir: Grey, size: tuple[int, int]) -> Shift | None:
    """Where the scene of one grey picture is in the other.

    Args:
        rgb, ir: (h, w) of the same view, each of any size; levels from 0 to 255.
        size: width and height of the picture in whose pixels the answer is.

    Returns:
        None where a picture is too small or has no edges.
    """
    height, width = min(rgb.shape[0], ir.shape[0]), min(rgb.shape[1], ir.shape[1])
    if min(height, width) < _SMALLEST:
        return None
    first, second = (_gradients(_resized(grey, width, height)) for grey in (rgb, ir))
    found = _correlated(_capped(first), _capped(second))
    if found is None:
        return None
    if found.trusted and max(abs(found.right), abs(found.down)) > _FAR:
        again = _correlated(_logarithms(first), _logarithms(second))
        if again is None or np.hypot(again.right - found.right, again.down - found.down) > _SAME:
            found = found._replace(confidence=_DISPUTED)
    return Shift(found.right * size[0] / width, found.down * size[1] / height, found.confidence)


def _correlated(first: Grey, second: Grey) -> Shift | None:
    """In pixels of the two."""
    if not first.any() or not second.any():
        return None
    window = cv2.createHanningWindow(first.shape[::-1], cv2.CV_32F)
    (right, down), response = cv2.phaseCorrelate(first, second, window)
    if not np.isfinite((right, down, response)).all():
        return None
    return Shift(right, down, min(1.0, max(0.0, response)))


def _resized(grey: Grey, width: int, height: int) -> Grey:
    if grey.shape == (height, width):
        return grey
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _gradients(grey: Grey) -> Grey:
    """Length of the gradient."""
    soft = cv2.GaussianBlur(grey, (0, 0), _BLUR)
    return np.asarray(cv2.magnitude(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)), np.float32)


def _capped(lengths: Grey) -> Grey:
    """Around zero; one strong edge does not decide alone."""
    mean, spread = (float(value[0, 0]) for value in cv2.meanStdDev(lengths))
    capped = np.minimum(lengths, np.float32(mean + _CAP * spread))
    return np.asarray(capped - cv2.mean(capped)[0], np.float32)


def _logarithms(lengths: Grey) -> Grey:
    """Around zero; weak edges count nearly as much as strong ones."""
    logarithms = np.log1p(lengths)
    return np.asarray(logarithms - cv2.mean(logarithms)[0], np.float32)
