"""Where labels go: near their box, inside the picture, never over each other."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]  # width, height
Spot = tuple[int, int]  # left, top

_FARTHEST = 4
"""Label heights that a label may be away from the place it would like."""


def place_labels(
    boxes: NDArray[np.int64], sizes: Sequence[Size], picture: Size, below: Sequence[bool]
) -> list[Spot | None]:
    """Find a spot for each label, first come, first served.

    Args:
        boxes: (n, 4) xyxy, pixels; the boxes that the labels belong to.
        sizes: of the labels.
        below: labels that would rather be at the lower edge of their box than at the upper one.

    Returns:
        Upper left corners; None where every spot near the box is taken: the box has to do without a label.
    """
    taken = np.zeros((len(sizes), 4), np.int64)  # xyxy, the first `count` rows
    count = 0
    spots: list[Spot | None] = []
    for box, size, low in zip(boxes.tolist(), sizes, below, strict=True):
        spot = next((spot for spot in _spots(box, size, low) if _free(spot, size, picture, taken[:count])), None)
        spots.append(spot)
        if spot is not None:
            taken[count] = (*spot, spot[0] + size[0], spot[1] + size[1])
            count += 1
    return spots


def _spots(box: Sequence[int], size: Size, low: bool) -> Iterator[Spot]:
    """Spots for one label, the best first."""
    left, top, right, bottom = box
    width, height = size
    edge = right - width  # the label's left edge, when it ends where the box ends
    outside, inside = [top - height, bottom], [top, bottom - height]
    if low:
        outside.reverse()
        inside.reverse()
    yield from ((x, y) for y in outside for x in (left, edge))
    yield from ((x, y) for y in inside for x in (left, edge))
    yield from ((x, y) for y in inside for x in (right, left - width))  # beside the box
    for step in range(1, _FARTHEST + 1):
        shift = step * height
        for y in (inside[0] - shift, inside[0] + shift, inside[1] - shift, inside[1] + shift):
            yield from ((x, y) for x in (left, edge, right, left - width, (left + edge) // 2))


def _free(spot: Spot, size: Size, picture: Size, taken: NDArray[np.int64]) -> bool:
    """Whether a label at `spot` is inside the picture and covers no other label."""
    left, top, right, bottom = *spot, spot[0] + size[0], spot[1] + size[1]
    if left < 0 or top < 0 or right > picture[0] or bottom > picture[1]:
        return False
    apart = (taken[:, 2] <= left) | (taken[:, 0] >= right) | (taken[:, 3] <= top) | (taken[:, 1] >= bottom)
    return bool(apart.all())
