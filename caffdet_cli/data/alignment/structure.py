"""What a visible and a thermal picture of one scene have in common: where edges run, not which side is brighter.

`structure` gives every pixel a short vector: how strongly edges run in each of `DIRECTIONS` directions around it, made
as strong in the shade as in the sun. Two such maps are compared by correlation.

The idea: channel features of orientated gradients (CFOG), Ye et al., IEEE Transactions on Geoscience and Remote Sensing
57(11), 2019, doi 10.1109/TGRS.2019.2924684.

Shapes: H x W pixels, D directions. Sizes are (width, height), as OpenCV has them.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.warp import Floats, warp

Grey = NDArray[np.float32]  # (H, W), 0..1
Size = tuple[int, int]  # width, height

DIRECTIONS = 6

_FINE, _POOLED, _AROUND = 1.0, 1.5, 12.0  # pixels: before the gradient, of the directions, of the contrast
_FAINT = 0.3  # share of the usual contrast that is taken for noise
_RIM = 9  # pixels at the border of a warped picture whose edges are those of the border


class Structure(NamedTuple):
    """A map of edge directions."""

    directions: NDArray[np.float32]  # (H, W, D), mean 0 over the picture; 0 outside
    inside: NDArray[np.float32]  # (H, W) 1 where the picture is, 0 outside


def grey(picture: NDArray[Any]) -> Grey:
    """A picture of any depth as (H, W) in 0..1: the darkest and brightest hundredth are cut off."""
    values = np.nan_to_num(picture.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if values.ndim == 3:
        values = np.asarray(cv2.cvtColor(values, cv2.COLOR_RGB2GRAY), np.float32)
    low, high = np.percentile(values, (1, 99))
    return np.asarray(((values - low) / max(high - low, 1e-6)).clip(0, 1), np.float32)


def resized(picture: Grey, size: Size) -> Grey:
    """A picture at another size."""
    if picture.shape[::-1] == size:
        return picture
    method = cv2.INTER_AREA if size[0] < picture.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.float32)


def fitting(size: Size, longest: int) -> Size:
    """The size with this longest side, never larger than before."""
    share = min(1.0, longest / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def structure(picture: Grey) -> Structure:
    """Edge directions of a whole picture."""
    return _structure(picture, np.ones(picture.shape, np.float32))


def warped_structures(pictures: Sequence[Grey], matrix: Floats, size: Size) -> list[Structure]:
    """Edge directions of pictures of one size after a homography onto a canvas of `size`."""
    covered = warp(np.ones(pictures[0].shape, np.float32), matrix, size[::-1])
    inside = cv2.erode(
        np.asarray(covered > 0.5, np.uint8),
        np.ones((_RIM, _RIM), np.uint8),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return [_structure(warp(one, matrix, size[::-1]), inside.astype(np.float32)) for one in pictures]


def _structure(picture: Grey, inside: NDArray[np.float32]) -> Structure:
    smooth = cv2.GaussianBlur(picture, (0, 0), _FINE)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, *step, ksize=3) for step in ((1, 0), (0, 1)))
    strength = 1 / _contrast(across * across + down * down, inside)
    angles = [math.pi * step / DIRECTIONS for step in range(DIRECTIONS)]
    # Without a sign: what is bright before dark in one spectrum may be dark before bright in the other.
    channels = [np.abs(across * math.cos(angle) + down * math.sin(angle)) * strength * inside for angle in angles]
    pooled = np.asarray(cv2.GaussianBlur(np.stack(channels, axis=2), (0, 0), _POOLED), np.float32)
    pooled /= np.sqrt((pooled * pooled).sum(axis=2, keepdims=True)) + _FAINT
    area = max(float(inside.sum()), 1.0)
    pooled -= (pooled * inside[..., None]).sum(axis=(0, 1)) / area
    return Structure(np.asarray(pooled * inside[..., None], np.float32), inside)


def _contrast(squares: NDArray[np.float32], inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """The usual gradient around each pixel; never less than a share of that of the whole picture."""
    weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), _AROUND), 1e-3)
    local = np.sqrt(cv2.GaussianBlur(squares * inside, (0, 0), _AROUND) / weight)
    usual = float(np.median(local[inside > 0])) if inside.any() else 0.0
    return np.asarray(local + _FAINT * usual + 1e-6, np.float32)
