"""Where labels go: near their box, inside the picture, never over each other."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]  # width, height
Spot = tuple[int, int]  # left, top

_FARTHEST = 4
"""Label heights that a label may be away from the place it would like."""
_GIVE_UP = 500
"""So many labels without a place, one after the other, and the picture is full."""


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
    count = without = 0
    spots: list[Spot | None] = []
    for box, size, low in zip(boxes.tolist(), sizes, below, strict=True):
        spot = None if without == _GIVE_UP else _first_free(list(_spots(box, size, low)), size, picture, taken[:count])
        spots.append(spot)
        if spot is None:
            without = min(without + 1, _GIVE_UP)
        else:
            taken[count] = (*spot, spot[0] + size[0], spot[1] + size[1])
            count, without = count + 1, 0
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


def _first_free(spots: list[Spot], size: Size, picture: Size, taken: NDArray[np.int64]) -> Spot | None:
    """The first spot where a label is inside the picture and covers no other label."""
    left, top = np.array(spots, np.int64).T[:, :, None]  # (spots, 1) each
    right, bottom = left + size[0], top + size[1]
    inside = (left >= 0) & (top >= 0) & (right <= picture[0]) & (bottom <= picture[1])
    apart = (taken[:, 2] <= left) | (taken[:, 0] >= right) | (taken[:, 3] <= top) | (taken[:, 1] >= bottom)
    free = inside[:, 0] & apart.all(axis=1)  # apart: (spots, labels)
    first = int(free.argmax())
    return spots[first] if free[first] else None
