"""What is odd about the boxes of one picture."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.annotations import Objects
from caffdet_cli.settings.base import Spectrum

_BOTH: tuple[Spectrum, ...] = ("rgb", "ir")
_ROUNDING = 1e-6  # pixels by which a box may leave the picture


def odd_boxes(objects: Objects, width: int, height: int) -> Iterator[tuple[str, int, str]]:
    """Kind of fault, row of the object, and what is wrong with it.

    Args:
        width, height: of the picture as it is on disk, pixels.
    """
    boxes, size = objects.boxes, f"{width}x{height}"
    edge = np.array([width, height], np.float64)
    outside = np.any((boxes[:, :2] >= edge) | (boxes[:, 2:] <= 0), axis=1)
    leaves = np.any((boxes[:, :2] < -_ROUNDING) | (boxes[:, 2:] > edge + _ROUNDING), axis=1)
    for row in np.flatnonzero(np.logical_or(outside, leaves)).tolist():
        if outside[row]:
            yield "box outside", row, f"its box ({corners(boxes[row])}) lies outside the picture, {size}"
        else:
            yield "box reaches out", row, f"its box ({corners(boxes[row])}) reaches out of the picture, {size}"
    for row, first in _twice(objects):
        yield "same box twice", row, f"object {objects.ids[first]} has the same class and box ({corners(boxes[row])})"


def labelled_apart(objects: Objects) -> str:
    """How far the labels of the two pictures disagree, in words; empty where they agree, or were made as one."""
    if objects.labelled is None:
        return ""
    alone = {spectrum: objects.labelled.count((spectrum,)) for spectrum in _BOTH}
    told = ", ".join(f"{count} in {spectrum} only" for spectrum, count in alone.items() if count)
    return f"of {len(objects)} objects {told}" if told else ""


def corners(box: NDArray[np.float64]) -> str:
    """Left, top, right and bottom of a box in words."""
    return ", ".join(f"{side:g}" for side in box.tolist())


def _twice(objects: Objects) -> Iterator[tuple[int, int]]:
    """Rows that repeat an earlier one, with that."""
    seen: dict[tuple[float, ...], int] = {}
    for row, (label, box) in enumerate(zip(objects.labels.tolist(), objects.boxes.tolist(), strict=True)):
        first = seen.setdefault((label, *box), row)
        if first != row:
            yield row, first
