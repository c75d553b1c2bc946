"""From a rough guess to a homography: pieces of the pictures are matched, coarse to fine, and a map put through them.

A piece is matched on all pairs at once; its place is where the sum of the correlations has its peak.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.alignment.fit import FREEDOM, Model, bent, fit_map
from caffdet_cli.data.alignment.structure import Grey, Size, Structure, fitting, resized, structure, warped_structures
from caffdet_cli.data.warp import Floats, through

MOST_PIXELS = 640
"""Longest side of the fixed picture at the finest step."""

_ACROSS, _DOWN = 9, 7  # pieces
_SIDE = 0.2  # of a piece, as a share of the width
_COVERED = 0.9  # of a piece that the moved picture must cover
_PEAK = 3  # pixels around a peak that belong to it
_PROMINENT = 0.03  # by which a peak must stand above all other places; of n pairs, this through the root of n
_USUAL = 26  # pixels, side of a piece; a smaller one matches more by chance
_TOLERANCE = 1.5  # pixels of the step, between a piece and the map that is put through all
_NEAR = 2.5  # the same when a map is judged: things at other distances are off by some
_FEWEST = 8  # pieces that a map is put through
_ENOUGH = 0.4  # of the pieces that were found must agree before their map is taken


class Step(NamedTuple):
    """One round of matching."""

    longest: int  # side of the fixed picture, pixels
    radius: int  # how far a piece may move, pixels
    model: Model  # the most freedom that this round can tell


_STEPS = (
    Step(128, 9, "similarity"),
    Step(128, 6, "affine"),
    Step(256, 7, "affine"),
    Step(256, 6, "homography"),
    Step(512, 8, "homography"),
    Step(MOST_PIXELS, 6, "homography"),
)
_LAST = Step(MOST_PIXELS, 6, "homography")


class Pieces(NamedTuple):
    """Where pieces of the warped picture are, and where their like is in the fixed one."""

    here: Floats  # (n, 2) pixels of the full fixed picture
    there: Floats  # (n, 2)
    found: NDArray[np.bool_]  # (n,) there is one clear peak; False for sky, walls and repeated things
    unit: float  # pixels of the full fixed picture that one pixel of the step is


class Fit(NamedTuple):
    """A map, and how well it does."""

    matrix: Floats  # (3, 3) moved -> fixed, pixels of the full pictures
    pieces: int  # that were found at the end
    agreeing: int  # of these, how many lie where the map puts them
    residual: float  # root mean square of what these are off, pixels of the full fixed picture
    spread: float  # share of the compared area that the agreeing ones enclose
    bend: float = 0.0  # how far a corner is from where turn, size and shift alone would put it, by the width


def refine(moved: Sequence[Grey], fixed: Sequence[Grey], guess: Floats, model: Model = "homography") -> Fit:
    """The map near `guess` that most pieces agree on, of the freedom that `model` allows."""
    matrix = guess
    sizes = [(one.shape[1], one.shape[0]) for one in (moved[0], fixed[0])]
    for step in _STEPS:
        pieces = match_pieces(moved, fixed, matrix, step)
        better = _through_pieces(pieces, matrix, step, min(step.model, model, key=FREEDOM.index), sizes)
        matrix = matrix if better is None else better
    return judged(moved, fixed, matrix)


def judged(moved: Sequence[Grey], fixed: Sequence[Grey], matrix: Floats) -> Fit:
    """How well a map does, seen by matching once more."""
    pieces = match_pieces(moved, fixed, matrix, _LAST)
    off = np.linalg.norm(pieces.there - pieces.here, axis=1)
    good = pieces.found & (off < _NEAR * pieces.unit)
    residual = float(np.sqrt(np.mean(off[good] ** 2))) if good.any() else 0.0
    spread = _area(pieces.here[good]) / max(_area(pieces.here), 1e-9)
    bend = bent(matrix, (moved[0].shape[1], moved[0].shape[0]))
    return Fit(matrix, int(pieces.found.sum()), int(good.sum()), residual, spread, bend)


def match_pieces(moved: Sequence[Grey], fixed: Sequence[Grey], matrix: Floats, step: Step) -> Pieces:
    """Match pieces of the moved pictures, warped by `matrix`, within `step.radius` of where they are."""
    full = fixed[0].shape[1], fixed[0].shape[0]
    size = fitting(full, step.longest)
    scale = np.array([size[0] / full[0], size[1] / full[1]])
    maps = warped_structures(moved, np.diag([*scale, 1.0]) @ matrix, size)
    wholes = [structure(resized(one, size)) for one in fixed]
    side = max(8, round(_SIDE * size[0]))
    prominent = _PROMINENT * max(1.0, _USUAL / side) / math.sqrt(len(fixed))
    here, there, found = [], [], []
    for left, top in _corners(size, side, step.radius):
        if maps[0].inside[top : top + side, left : left + side].mean() < _COVERED:
            continue
        shift = _peak(_correlation(maps, wholes, left, top, side, step.radius), prominent)
        middle = np.array([left, top]) + side / 2
        here.append(middle / scale)
        there.append((middle + (0.0 if shift is None else shift)) / scale)
        found.append(shift is not None)
    empty = np.zeros((0, 2))
    return Pieces(np.array(here or empty), np.array(there or empty), np.array(found, np.bool_), full[0] / size[0])


def _corners(size: Size, side: int, radius: int) -> list[tuple[int, int]]:
    """Upper left corners of the pieces that have room to move."""
    last_left, last_top = size[0] - side - radius, size[1] - side - radius
    if min(last_left, last_top) <= radius:
        return []
    lefts = np.linspace(radius, last_left, _ACROSS).astype(int).tolist()
    tops = np.linspace(radius, last_top, _DOWN).astype(int).tolist()
    return [(left, top) for top in tops for left in lefts]


def _correlation(
    maps: Sequence[Structure], wholes: Sequence[Structure], left: int, top: int, side: int, radius: int
) -> Floats:
    """(2 * radius + 1, 2 * radius + 1): likeness by shift, in y and x, over all pairs."""
    rows, columns = slice(top - radius, top + side + radius), slice(left - radius, left + side + radius)
    wide = 2 * radius + 1
    product, around, own = np.zeros((wide, wide)), np.zeros((wide, wide)), 0.0
    for one, whole in zip(maps, wholes, strict=True):
        piece = one.directions[top : top + side, left : left + side]
        place = whole.directions[rows, columns]
        for channel in range(piece.shape[2]):
            product += cv2.matchTemplate(
                np.ascontiguousarray(place[..., channel]), np.ascontiguousarray(piece[..., channel]), cv2.TM_CCORR
            )
        squares = cv2.integral(np.einsum("hwd,hwd->hw", place, place))
        around += squares[side:, side:] - squares[:-side, side:] - squares[side:, :-side] + squares[:-side, :-side]
        own += float((piece * piece).sum())
    return np.asarray(product / np.sqrt(np.maximum(around * own, 1e-6)), np.float64)


def _peak(likeness: Floats, prominent: float) -> Floats | None:
    """The shift (x, y) of the highest place, between pixels; None where another place is nearly as high."""
    radius = likeness.shape[0] // 2
    y, x = (int(place) for place in np.unravel_index(int(likeness.argmax()), likeness.shape))
    rest = likeness.copy()
    rest[max(0, y - _PEAK) : y + _PEAK + 1, max(0, x - _PEAK) : x + _PEAK + 1] = 0.0
    if likeness[y, x] < float(rest.max()) + prominent:
        return None
    inside = 0 < y < 2 * radius and 0 < x < 2 * radius
    more = (_vertex(likeness[y, x - 1 : x + 2]), _vertex(likeness[y - 1 : y + 2, x])) if inside else (0.0, 0.0)
    return np.array([x - radius + more[0], y - radius + more[1]])


def _vertex(three: Floats) -> float:
    """Where the parabola through three neighbours has its top, from the middle one."""
    bend = three[0] - 2 * three[1] + three[2]
    return 0.0 if bend >= 0 else float((three[0] - three[2]) / (2 * bend))


def _through_pieces(pieces: Pieces, matrix: Floats, step: Step, model: Model, sizes: Sequence[Size]) -> Floats | None:
    """The map through the pieces that agree; None where too few do."""
    if pieces.found.sum() < _FEWEST:
        return None
    start = through(np.asarray(np.linalg.inv(matrix), np.float64), pieces.here[pieces.found])
    loose = 2.0 if step.longest == _STEPS[0].longest else 1.0
    fitted, agreeing = fit_map(start, pieces.there[pieces.found], model, loose * _TOLERANCE * pieces.unit, sizes)
    wanted = max(_FEWEST, _ENOUGH * int(pieces.found.sum()))
    return fitted if fitted is not None and agreeing >= wanted else None


def _area(points: Floats) -> float:
    """Of the convex hull."""
    return float(cv2.contourArea(cv2.convexHull(points.astype(np.float32)))) if len(points) > 2 else 0.0
