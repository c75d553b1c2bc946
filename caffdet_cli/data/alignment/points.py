"""A rig from points named by hand: the same thing seen in both pictures, four times or more.

The file is CSV with a header: `pair,rgb_x,rgb_y,ir_x,ir_y`, in pixels from the upper left corner of each picture.
`pair` is the name of one of the two pictures, and may be left out; it tells where the points were seen.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from caffdet_cli.data.alignment.estimate import Estimate, rig_of
from caffdet_cli.data.alignment.fit import Model
from caffdet_cli.data.formats.hostile import read_bytes, short
from caffdet_cli.data.warp import Floats, through
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

LARGEST = 1 << 20  # bytes
FEWEST = 4

_COLUMNS = ("rgb_x", "rgb_y", "ir_x", "ir_y")
_LONGEST = 1e6  # pixels
_LOOSE = 0.02  # share of the picture's width that points may be off, root mean square
_NARROW = 0.01  # share of the picture's area that the points must enclose


class Point(NamedTuple):
    """One thing in both pictures of a pair."""

    line: int  # of the file
    pair: str  # "" where it is not said
    rgb: tuple[float, float]
    ir: tuple[float, float]


def read_points(path: Path) -> list[Point]:
    """The points of a file.

    Raises:
        DatasetError: unreadable, no such columns, a number that is none (with its line), or too few points.
    """
    try:
        text = read_bytes(path, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: byte {error.start}: a list of points is text in UTF-8") from error
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if missing := [name for name in _COLUMNS if name not in header]:
            raise DatasetError(
                f"{path}: line 1: there is no column {missing[0]!r}; the first line is pair,{','.join(_COLUMNS)}"
            )
        points = [_point(f"{path}: line {rows.line_num}", rows.line_num, header, row) for row in rows if any(row)]
    except csv.Error as error:
        raise DatasetError(f"{path}: line {rows.line_num}: this is no CSV: {error}") from error
    if len(points) < FEWEST:
        raise DatasetError(f"{path} has {len(points)} points; {FEWEST} are needed, better 8 all over the picture")
    return points


def rig_from_points(
    points: Sequence[Point],
    rgb_size: tuple[int, int],
    ir_size: tuple[int, int],
    moved: Spectrum = "rgb",
    *,
    model: Model = "homography",
    made_by: str = "",
    source: str = "the points",
) -> Estimate:
    """The rig that comes nearest to all points.

    Args:
        rgb_size, ir_size: width and height of the pictures.
        source: how messages call the points.

    Raises:
        DatasetError: a point is outside its picture, they lie on a line, or no map comes near all of them; the line
            that fits worst is named.
    """
    for point in points:
        for name, (x, y), (width, height) in (("rgb", point.rgb, rgb_size), ("ir", point.ir, ir_size)):
            if not (0 <= x <= width and 0 <= y <= height):
                raise DatasetError(
                    f"{source}: line {point.line}: ({x:g}, {y:g}) is outside of the {name} picture, {width}x{height}"
                )
    rgb, ir = (np.array([getattr(point, name) for point in points], np.float64) for name in ("rgb", "ir"))
    start, end = (rgb, ir) if moved == "rgb" else (ir, rgb)
    moved_size, fixed_size = (rgb_size, ir_size) if moved == "rgb" else (ir_size, rgb_size)
    matrix = _least_squares(start, end, model)
    if matrix is None or min(_share(start, moved_size), _share(end, fixed_size)) < _NARROW:
        raise DatasetError(f"{source}: the points lie on a line or close together; take some in every corner")
    off = np.linalg.norm(through(matrix, start) - end, axis=1)
    residual = float(np.sqrt(np.mean(off**2)))
    if not residual < _LOOSE * fixed_size[0]:
        worst = points[_culprit(start, end, model, off)]
        raise DatasetError(
            f"{source}: no {model} comes near all points, they are {residual:.1f} pixels off; line {worst.line} fits "
            "worst: look whether it is the same thing in both pictures"
        )
    pairs = len({point.pair for point in points})
    rig = rig_of(matrix, moved, moved_size, fixed_size, residual, pairs, made_by)
    return Estimate(rig, len(points), len(points))


def _point(place: str, line: int, header: Sequence[str], row: Sequence[str]) -> Point:
    cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
    rgb_x, rgb_y, ir_x, ir_y = _numbers(place, cells)
    return Point(line, cells.get("pair", ""), (rgb_x, rgb_y), (ir_x, ir_y))


def _numbers(place: str, cells: dict[str, str]) -> Iterator[float]:
    for name in _COLUMNS:
        text = cells.get(name, "")
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not abs(number) <= _LONGEST:
            raise DatasetError(f"{place}: {name} is {short(text)}, a number of pixels is needed")
        yield number


def _least_squares(start: Floats, end: Floats, model: Model) -> Floats | None:
    """The map (3, 3) with the smallest sum of squared distances; None where the points do not tell it."""
    if model == "homography":
        found, _ = cv2.findHomography(start, end, 0)
        return None if found is None or not np.isfinite(found).all() else np.asarray(found, np.float64)
    count = len(start)
    one, none = np.ones(count), np.zeros(count)
    x, y = start.T
    if model == "affine":
        across, down = [x, y, one, none, none, none], [none, none, none, x, y, one]
    else:
        across, down = [x, -y, one, none], [y, x, none, one]
    equations = np.concatenate([np.stack(across, axis=1), np.stack(down, axis=1)])
    numbers, _, rank, _ = np.linalg.lstsq(equations, end.T.ravel(), rcond=None)
    if rank < equations.shape[1]:
        return None
    a, b, c, d, e, f = numbers if model == "affine" else (*numbers[[0]], -numbers[1], *numbers[[2, 1, 0, 3]])
    return np.array([[a, b, c], [d, e, f], [0.0, 0.0, 1.0]])


def _culprit(start: Floats, end: Floats, model: Model, off: Floats) -> int:
    """The point without which the others fit best; of few points the one that is furthest off."""
    if len(start) < FEWEST + 2:
        return int(off.argmax())
    rests = []
    for index in range(len(start)):
        others = np.delete(np.arange(len(start)), index)
        matrix = _least_squares(start[others], end[others], model)
        far = math.inf
        if matrix is not None:
            far = float(np.linalg.norm(through(matrix, start[others]) - end[others]))
        rests.append(far)
    return int(np.argmin(rests))


def _share(points: Floats, size: tuple[int, int]) -> float:
    """Of the picture's area, what the points enclose."""
    return float(cv2.contourArea(cv2.convexHull(points.astype(np.float32)))) / (size[0] * size[1])
