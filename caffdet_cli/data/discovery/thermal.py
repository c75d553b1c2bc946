"""A thermal rule for infrared pictures of more than 8 bits, from looking at some of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.images import read_picture
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.data import PercentileRule, RangeRule, Thermal

_LOOKED_AT = 8  # pictures
_LOW, _HIGH = 0.5, 99.5  # percentiles of a picture that count as its coldest and warmest
_WIDE = 3.0  # all pictures together span so many times what one does: no common range shows each of them well
_MARGIN = 0.1  # of the range, left free on both sides


def suggest_thermal(pictures: Sequence[Path]) -> tuple[Thermal | None, str]:
    """The rule for these pictures, and why; None where they have 8 bits and need none.

    Raises:
        DatasetError: not one of those that are looked at can be read, or some have 8 bits and others more.
    """
    places = np.unique(np.linspace(0, len(pictures) - 1, min(_LOOKED_AT, len(pictures))).round().astype(int))
    ranges = []
    kinds: dict[bool, Path] = {}
    for path, counts in _readable([pictures[place] for place in places.tolist()]):
        kinds.setdefault(counts.dtype == np.uint8, path)
        finite = counts[np.isfinite(counts)]
        if counts.dtype != np.uint8 and finite.size:
            ranges.append(np.percentile(finite, (_LOW, _HIGH)))
    if len(kinds) > 1:
        raise DatasetError(f"{kinds[True]} has 8 bits and {kinds[False]} more; one data set has pictures of one depth")
    if not ranges:
        return None, "8-bit infrared pictures need no thermal rule"
    return _rule(np.array(ranges))


def _readable(paths: Sequence[Path]) -> list[tuple[Path, NDArray[Any]]]:
    """Pictures with their counts; what is wrong with others, `data check` tells."""
    tried = [(path, _tried(path)) for path in paths]
    found = [(path, read) for path, read in tried if not isinstance(read, DatasetError)]
    for _, read in tried:
        if isinstance(read, DatasetError) and not found:
            raise read
    return found


def _tried(path: Path) -> NDArray[Any] | DatasetError:
    try:
        return read_picture(path)
    except DatasetError as error:
        return error


def _rule(ranges: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> tuple[Thermal, str]:
    """`range` where one range shows every picture well, else `percentile`."""
    low, high = float(ranges[:, 0].min()), float(ranges[:, 1].max())
    usual = float(np.median(ranges[:, 1] - ranges[:, 0]))
    seen = f"counts of {len(ranges)} pictures go from {low:g} to {high:g}, {usual:g} within one"
    if not 0 < high - low < _WIDE * usual:
        return PercentileRule(), f"percentile, because {seen}: no common range shows each of them well"
    margin = _MARGIN * (high - low)
    step = 10.0 ** np.floor(np.log10(high - low)) / 10
    bottom, top = np.floor((low - margin) / step) * step, np.ceil((high + margin) / step) * step
    bottom = max(bottom, 0.0) if low >= 0 else bottom
    digits = max(0, int(-np.floor(np.log10(step))))
    return RangeRule(low=round(float(bottom), digits), high=round(float(top), digits)), f"range, because {seen}"
