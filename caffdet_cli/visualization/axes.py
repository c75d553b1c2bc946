"""Axes of a diagram: which part of the numbers is shown, and where the ticks are."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Axis(NamedTuple):
    """From `low` to `high`; ticks have their labels."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, from 0 (low) to 1 (high)."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def axis_for(values: Sequence[float], *, within: tuple[float, float] | None = None) -> Axis:
    """An axis on which all the values can be told apart: logarithmic where they are positive and far from each other.

    Args:
        within: the values' natural limits, between which they are shown evenly.
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    if within is None and low > 1e-30 and high / low >= 8:
        return _logarithmic(low, high)
    if high - low <= 1e-6 * max(abs(low), abs(high)):  # they are all the same
        room = 0.05 if within else 0.1 * abs(low) or 1.0
        low, high = low - room, high + room
    if within:
        low, high = max(low, within[0]), min(high, within[1])
    return _even(low, high)


def epoch_axis(epochs: Sequence[int]) -> Axis:
    """An axis of whole numbers, with room at both ends."""
    low, high = min(epochs), max(epochs)
    step = max(1, round(_round_step((high - low) / 12)))
    ticks = range(-(-low // step) * step, high + 1, step)
    room = max(0.02 * (high - low), 0.2)
    return Axis(low - room, high + room, tuple((tick, str(tick)) for tick in ticks))


def _even(low: float, high: float) -> Axis:
    """Ticks at equal distances; the first and the last one are the ends."""
    step = _round_step((high - low) / 6)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(index * step, decimals) for index in range(first, last + 1)]
    return Axis(ticks[0], ticks[-1], tuple((tick, _number(tick, decimals)) for tick in ticks))


def _logarithmic(low: float, high: float) -> Axis:
    """Ticks at 1, 2 and 5 times a power of ten, or at powers of ten where these would be too many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    fine = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    start = max(index for index, tick in enumerate(fine) if tick <= low * (1 + 1e-9))
    end = min(index for index, tick in enumerate(fine) if tick >= high * (1 - 1e-9))
    ticks = fine[start : end + 1]
    if len(ticks) > 12:
        apart = max(1, (last - first) // 6)
        ticks = [10.0**power for power in range(first, last + 1, apart)]
    return Axis(fine[start], fine[end], tuple((t, f"{t:g}") for t in ticks if fine[start] <= t <= fine[end]), True)


def _round_step(least: float) -> float:
    """The next larger of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if abs(value) < 1e6 and decimals <= 4 else f"{value:g}"
