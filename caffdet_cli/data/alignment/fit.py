"""A map through matched points: the plainest that explains them.

Two cameras side by side see nearly the same: what is more than turn, size and shift is small. Without that knowledge a
homography through pieces in one half of the picture goes astray in the other half.

Shapes: n points.
"""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from caffdet_cli.data.warp import Floats, through

Model = Literal["similarity", "affine", "homography"]
"""Turn, size and shift; also shear; also perspective."""

FREEDOM: tuple[Model, ...] = ("similarity", "affine", "homography")

_PARAMETERS = {"similarity": 4, "affine": 6, "homography": 8}
_FEWEST = 4  # points
# In halves of the picture's width:
_NOISE = 0.015  # of a matched piece; most of it is parallax: 5 pixels of 640
_SMALL = 0.015  # shear, stretch and perspective as they are usual: 5 pixels of 640 at the border


def fit_map(
    start: Floats, end: Floats, model: Model, tolerance: float, sizes: Sequence[tuple[int, int]]
) -> tuple[Floats | None, int]:
    """The map (3, 3) that brings most points (n, 2) within `tolerance`, and how many these are.

    Args:
        sizes: width and height of the pictures that `start` and `end` are in.
    """
    match model:
        case "homography":
            found, good = cv2.findHomography(start, end, cv2.RANSAC, tolerance, maxIters=5000)
        case "affine":
            found, good = cv2.estimateAffine2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=tolerance)
        case "similarity":
            found, good = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=tolerance)
    if found is None or not np.isfinite(found).all():
        return None, 0
    rows = np.flatnonzero(good)
    if len(rows) < _FEWEST:
        return None, 0
    return plainest(start[rows], end[rows], model, sizes), len(rows)


def plainest(start: Floats, end: Floats, model: Model, sizes: Sequence[tuple[int, int]]) -> Floats:
    """The map nearest to the points, with no more shear and perspective than they call for."""
    before, after = (_halves(size) for size in sizes)
    here, there = through(before, start), through(after, end)
    free = _PARAMETERS[model]

    def off(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        apart = through(_matrix(numbers), here) - there
        return np.concatenate([apart.ravel() / _NOISE, numbers[4:] / _SMALL])

    first = np.zeros(free)
    first[:4] = _similarity(here, there)
    found = least_squares(off, first, method="lm", x_scale="jac").x
    return np.asarray(np.linalg.inv(after) @ _matrix(found) @ before, np.float64)


def bent(matrix: Floats, size: tuple[int, int]) -> float:
    """How far the furthest corner of a picture is from where the nearest similarity puts it, by the warped width."""
    width, height = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    places = through(matrix, corners)
    a, b, x, y = _similarity(corners, places)
    straight = through(np.array([[a, -b, x], [b, a, y], [0.0, 0.0, 1.0]]), corners)
    return float(np.linalg.norm(places - straight, axis=1).max() / max(np.hypot(a, b) * width, 1e-9))


def _matrix(numbers: NDArray[np.float64]) -> Floats:
    """Turn and size, shift, shear and stretch, perspective; what is missing is 0."""
    a, b, x, y, c, d, g, h = np.concatenate([numbers, np.zeros(8 - len(numbers))])
    return np.array([[a + c, d - b, x], [d + b, a - c, y], [g, h, 1.0]])


def _similarity(here: Floats, there: Floats) -> Floats:
    """a, b, x, y of the similarity with the smallest sum of squares."""
    x, y = here.T
    one, none = np.ones(len(here)), np.zeros(len(here))
    equations = np.concatenate([np.stack([x, -y, one, none], axis=1), np.stack([y, x, none, one], axis=1)])
    return np.asarray(np.linalg.lstsq(equations, there.T.ravel(), rcond=None)[0], np.float64)


def _halves(size: tuple[int, int]) -> Floats:
    """Pixels -> halves of the width from the middle of the picture."""
    half = size[0] / 2
    return np.array([[1 / half, 0.0, -1.0], [0.0, 1 / half, -size[1] / size[0]], [0.0, 0.0, 1.0]])
