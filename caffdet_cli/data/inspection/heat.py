"""How many boxes cover each spot of the picture, on a grid that is laid over pictures of any size."""

import numpy as np
from numpy.typing import NDArray

GRID = 96
"""Fields in each direction."""

Grid = NDArray[np.float64]


def empty_grid() -> Grid:
    """A grid to add boxes to: its running sums in both directions are the counts (`covered`)."""
    return np.zeros((GRID + 1, GRID + 1))


def add_boxes(grid: Grid, boxes: NDArray[np.float64], size: tuple[int, int]) -> None:
    """Add boxes (n, 4), xyxy in pixels of a picture of `size` (width, height), to `grid` itself.

    A box counts in every field that it touches; what is outside the picture is left out.
    """
    scaled = boxes / np.array([*size, *size], np.float64) * GRID
    first = np.floor(scaled[:, :2]).clip(0, GRID).astype(np.int64)
    last = np.ceil(scaled[:, 2:]).clip(0, GRID).astype(np.int64)
    inside = np.all((last > first) & (boxes[:, 2:] > boxes[:, :2]), axis=1)
    (left, top), (right, bottom) = first[inside].T, last[inside].T
    for rows, columns, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        np.add.at(grid, (rows, columns), sign)


def covered(grid: Grid) -> Grid:
    """(GRID, GRID) boxes on each field."""
    return grid.cumsum(axis=0).cumsum(axis=1)[:GRID, :GRID]
