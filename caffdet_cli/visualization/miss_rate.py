"""Miss rates as a picture: curves over false alarms per picture, both logarithmic."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.visualization.axes import Axis
from caffdet_cli.visualization.panel import GREY, LINES, Curve, Entry, Panel, draw_panel, margin_of
from caffdet_cli.visualization.text import Picture

_FPPI = Axis(1e-3, 10.0, tuple((10.0**power, f"{10.0**power:g}") for power in range(-3, 2)), logarithmic=True)
_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_SAMPLES = 500  # along the horizontal axis
_WORDS = "false alarms per picture, logarithmic; the mean in the legend is of 0.01 to 1"


class MissRateCurve(NamedTuple):
    """One line of the diagram."""

    words: str  # for the legend
    fppi: NDArray[np.float64]  # false alarms per picture, rising
    miss: NDArray[np.float64]  # 0..1, of the same length


def draw_miss_rates(title: str, curves: Sequence[MissRateCurve], width: int = 1200) -> Picture:
    """As many curves as can be told apart, the first on top.

    Returns:
        (H, width, 3) RGB.
    """
    points = [_points(curve) for curve in curves[: len(LINES)]]
    lowest = min((miss for line in points for _, miss in line if miss is not None), default=0.1)
    low = max((tick for tick in _TICKS if tick <= min(lowest, 0.5)), default=_TICKS[0])
    y = Axis(low, 1.0, tuple((tick, f"{tick:g}") for tick in _TICKS if tick >= low), logarithmic=True)
    lines = [
        Curve([(place, None if miss is None else max(miss, low)) for place, miss in line], colour)
        for line, colour in zip(points, LINES, strict=False)
    ]
    legend = [Entry(curve.words, colour) for curve, colour in zip(curves, LINES, strict=False)]
    if hidden := len(curves) - len(legend):
        legend.append(Entry(f"and {hidden} more", GREY, dashed=True))
    panel = Panel(title, "miss rate, logarithmic", _FPPI, y, lines, legend, "no object counts", _WORDS)
    return draw_panel(panel, width, margin_of(panel, width))


def _points(curve: MissRateCurve) -> list[tuple[Any, float | None]]:
    """The curve at places that are evenly spread on the axis; none before the first detection and after the last."""
    places = np.geomspace(_FPPI.low, _FPPI.high, _SAMPLES)
    if not len(curve.fppi):
        return [(place, 1.0) for place in places.tolist()]
    last = np.searchsorted(curve.fppi, places, side="right") - 1
    inside = (last >= 0) & (places <= max(float(curve.fppi[-1]), _FPPI.low))
    return [
        (place, float(curve.miss[at]) if there else None)
        for place, at, there in zip(places.tolist(), last.tolist(), inside.tolist(), strict=True)
    ]
