"""The shift between the spectra of a whole data set, and pairs that differ from it: perhaps not of one moment."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from caffdet_cli.data.inspection.shift import LOST, Shift

LARGE = 0.01
"""Share of the picture's longer side from which the shift of a data set is worth a word."""

_FEWEST = 5  # trusted shifts from which a median says something
_APART = 0.016  # share of the longer side: closer to the median is measurement
_MOSTLY = 0.7  # share of trusted shifts from which a pair that has nothing in common is worth a word
_SPREADS = 4.0  # a doubt is so many times farther from the median than half of the pairs are


class Alignment(NamedTuple):
    """What the shifts of many pairs say together; pixels of the label spectrum."""

    pairs: int  # with both pictures
    trusted: int  # of them
    right: float | None  # the median of trusted shifts; None: too few
    down: float | None
    spread: float | None  # half of the trusted shifts are closer to the median
    doubts: tuple[int, ...]  # positions of pairs far from the median, the farthest first
    large: bool  # the median itself is far from zero
    strangers: tuple[int, ...] = ()  # positions of pairs with nothing in common, where most have much


def alignment(shifts: Sequence[Shift | None], sides: Sequence[int]) -> Alignment:
    """Sum up the shifts of pairs.

    Args:
        sides: longer side of each pair's label picture, pixels.
    """
    measured = [index for index, shift in enumerate(shifts) if shift is not None]
    sure = [(index, shift) for index, shift in enumerate(shifts) if shift is not None and shift.trusted]
    if len(sure) < _FEWEST:
        return Alignment(len(measured), len(sure), None, None, None, (), False)
    spots = np.array([shift[:2] for _, shift in sure])
    reach = np.array([max(1, sides[index]) for index, _ in sure], np.float64)
    middle = np.median(spots, axis=0)
    away = np.hypot(*(spots - middle).T)
    spread = float(np.median(away))
    far = away > np.maximum(_APART * reach, _SPREADS * spread)
    order = np.argsort(-away, kind="stable")
    doubts = tuple(sure[at][0] for at in order.tolist() if far[at])
    large = bool(np.hypot(*middle) > LARGE * np.median(reach))
    lost = tuple(index for index, shift in enumerate(shifts) if shift is not None and shift.confidence < LOST)
    strangers = lost if len(sure) >= _MOSTLY * len(measured) else ()
    return Alignment(len(measured), len(sure), float(middle[0]), float(middle[1]), spread, doubts, large, strangers)
