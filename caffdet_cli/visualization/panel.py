"""One diagram: curves over epochs with axes, grid and legend, on a light background.

Sizes are in pixels; letters and lines grow with the width.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import cv2
import numpy as np

from caffdet_cli.visualization import text
from caffdet_cli.visualization.axes import Axis
from caffdet_cli.visualization.palette import INK, PALETTE, PAPER, Colour
from caffdet_cli.visualization.text import Picture

# Those that show on white, in an order in which neighbours differ for colour-blind eyes too: blue, vermilion, green,
# purple, orange, sky blue, olive, rose.
LINES = tuple(PALETTE[index] for index in (7, 9, 8, 6, 3, 1, 0, 4))
GREY: Colour = (110, 110, 116)

_GRID: Colour = (228, 228, 232)
_FRAME: Colour = (150, 150, 156)
_SHIFT = 4  # OpenCV takes coordinates in sixteenths of a pixel

Spot = tuple[float, float]  # x, y


class Curve(NamedTuple):
    """A line through its points; None is a gap."""

    points: Sequence[tuple[int, float | None]]  # epoch, value
    colour: Colour
    dashed: bool = False
    mark: tuple[int, float] | None = None  # the point to look at


class Entry(NamedTuple):
    """A line of the legend."""

    words: str
    colour: Colour
    dashed: bool = False
    ring: bool = False


class Panel(NamedTuple):
    """What one diagram shows."""

    title: str
    label: str  # of the vertical axis
    x: Axis
    y: Axis
    curves: Sequence[Curve]  # the most important one first
    legend: Sequence[Entry]
    empty: str  # said where there is nothing to draw
    x_label: str = "epoch"  # of the horizontal axis


def letters(width: int) -> int:
    """Height of letters in a diagram of this width."""
    return max(10, width // 60)


def margin_of(panel: Panel, width: int) -> int:
    """Pixels that the labels left of the plot need."""
    size = letters(width)
    return text.line_height(size) + size * 3 // 2 + max(text.width_of(label, size) for _, label in panel.y.ticks)


def draw_panel(panel: Panel, width: int, left: int) -> Picture:
    """(H, width, 3) RGB, its plot `left` pixels from the left edge."""
    size = letters(width)
    line = text.line_height(size)
    rows = _rows(panel.legend, width - 2 * size, size)
    above = line * (1 + len(rows)) + size * 3 // 2
    plot = _Plot(left, above, width - size - size // 2, above + width * 2 // 5, panel.x, panel.y, size)
    picture = np.full((plot.bottom + 2 * line + size, width, 3), PAPER, np.uint8)
    text.write(picture, text.shorten(panel.title, size, width - 2 * size), size, 0, size, INK)
    for number, row in enumerate(rows):
        _draw_row(picture, row, line + size // 2 + number * line, size)
    plot.grid(picture)
    plot.labels(picture, panel.x_label, panel.label)
    if not any(value is not None for curve in panel.curves for _, value in curve.points):
        spot = (plot.left + plot.right - text.width_of(panel.empty, size)) // 2, (plot.top + plot.bottom - line) // 2
        text.write(picture, panel.empty, *spot, size, GREY)
    for curve in reversed(panel.curves):  # the first on top
        plot.curve(picture, curve)
    for curve in reversed(panel.curves):
        plot.mark(picture, curve)
    return picture


class _Plot(NamedTuple):
    """The rectangle in which the curves are, its first and last pixels, and its axes."""

    left: int
    top: int
    right: int
    bottom: int
    x: Axis
    y: Axis
    size: int

    def spot(self, epoch: float, value: float) -> Spot:
        across, up = self.x.share(epoch), self.y.share(value)
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)

    def grid(self, picture: Picture) -> None:
        thin = max(1, self.size // 14)
        for value, _ in self.y.ticks:
            y = round(self.spot(self.x.low, value)[1])
            cv2.line(picture, (self.left, y), (self.right, y), _GRID, thin)
        for epoch, _ in self.x.ticks:
            x = round(self.spot(epoch, self.y.low)[0])
            cv2.line(picture, (x, self.top), (x, self.bottom), _GRID, thin)
        cv2.line(picture, (self.left, self.top), (self.left, self.bottom), _FRAME, thin)
        cv2.line(picture, (self.left, self.bottom), (self.right, self.bottom), _FRAME, thin)

    def labels(self, picture: Picture, x_label: str, label: str) -> None:
        """Ticks and the names of the axes."""
        size, line = self.size, text.line_height(self.size)
        for value, words in self.y.ticks:
            y = round(self.spot(self.x.low, value)[1]) - line // 2
            text.write(picture, words, self.left - size // 2 - text.width_of(words, size), y, size, INK)
        for epoch, words in self.x.ticks:
            x = round(self.spot(epoch, self.y.low)[0]) - text.width_of(words, size) // 2
            text.write(picture, words, x, self.bottom + size // 3, size, INK)
        below = text.shorten(x_label, size, self.right - self.left)
        middle = (self.left + self.right - text.width_of(below, size)) // 2
        text.write(picture, below, max(self.left, middle), self.bottom + size // 3 + line, size, INK)
        _write_upwards(picture, label, size // 2, (self.top + self.bottom) // 2, size)

    def curve(self, picture: Picture, curve: Curve) -> None:
        """Lines through neighbours, and a dot at every point where there is room; hollow ones of a dashed curve."""
        wide = max(2, self.size // 7)
        few = len(curve.points) * 6 * wide < self.right - self.left
        for missing, run in groupby(curve.points, key=lambda point: point[1] is None):
            if missing:
                continue
            spots = [self.spot(epoch, value) for epoch, value in run if value is not None]
            pieces: Iterable[Sequence[Spot]] = _dashes(spots, 4.0 * wide) if curve.dashed else [spots]
            for piece in pieces:
                path = np.array([_fine(spot) for spot in piece], np.int32)
                cv2.polylines(picture, [path], False, curve.colour, wide, cv2.LINE_AA, _SHIFT)
            for spot in spots if few or len(spots) == 1 else ():
                _dot(picture, spot, curve.colour, 2.0 * wide if len(spots) == 1 else 1.3 * wide, hollow=curve.dashed)

    def mark(self, picture: Picture, curve: Curve) -> None:
        """A ring, and a dotted line down to the epoch."""
        if curve.mark is None:
            return
        x, y = self.spot(*curve.mark)
        wide = max(2, self.size // 7)
        for piece in _dashes([(x, y + 4 * wide), (x, self.bottom)], 2.0 * wide):
            cv2.line(picture, _fine(piece[0]), _fine(piece[-1]), curve.colour, max(1, wide // 2), cv2.LINE_AA, _SHIFT)
        _ring(picture, (x, y), curve.colour, wide)


def _dot(picture: Picture, spot: Spot, colour: Colour, radius: float, hollow: bool) -> None:
    cv2.circle(picture, _fine(spot), round(radius * 2**_SHIFT), colour, -1, cv2.LINE_AA, _SHIFT)
    if hollow:
        cv2.circle(picture, _fine(spot), round(radius / 2 * 2**_SHIFT), PAPER, -1, cv2.LINE_AA, _SHIFT)


def _ring(picture: Picture, spot: Spot, colour: Colour, wide: int) -> None:
    cv2.circle(picture, _fine(spot), 3 * wide << _SHIFT, PAPER, -1, cv2.LINE_AA, _SHIFT)
    cv2.circle(picture, _fine(spot), 3 * wide << _SHIFT, colour, wide, cv2.LINE_AA, _SHIFT)


def _fine(spot: Spot) -> tuple[int, int]:
    return round(spot[0] * 2**_SHIFT), round(spot[1] * 2**_SHIFT)


def _dashes(spots: Sequence[Spot], length: float) -> Iterator[list[Spot]]:
    """Every second piece of this length along a line."""
    piece, left, drawn = list(spots[:1]), length, True
    for start, end in pairwise(spots):
        whole = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        done = 0.0
        while whole - done > left:
            done += left
            corner = tuple(a + (b - a) * done / whole for a, b in zip(start, end, strict=True))
            if drawn:
                yield [*piece, (corner[0], corner[1])]
            piece, left, drawn = [(corner[0], corner[1])], length, not drawn
        left -= whole - done
        piece.append(end)
    if drawn and len(piece) > 1:
        yield piece


def _rows(entries: Sequence[Entry], width: int, size: int) -> list[list[tuple[int, Entry]]]:
    """The entries of a legend with their left edges, as many in a row as fit."""
    rows: list[list[tuple[int, Entry]]] = []
    left = width
    for entry in entries:
        words = text.shorten(entry.words, size, width - 5 * size)
        wide = text.width_of(words, size) + 5 * size
        if left + wide > width + size:
            rows.append([])
            left = 0
        rows[-1].append((left + size, entry._replace(words=words)))
        left += wide
    return rows


def _draw_row(picture: Picture, row: Sequence[tuple[int, Entry]], top: int, size: int) -> None:
    wide = max(2, size // 7)
    for left, entry in row:
        y = top + text.line_height(size) / 2
        ends = [(float(left), y), (left + 2.5 * size, y)]
        if entry.ring:
            _ring(picture, (left + 1.25 * size, y), entry.colour, wide)
        for piece in () if entry.ring else _dashes(ends, 4.0 * wide) if entry.dashed else [ends]:
            cv2.line(picture, _fine(piece[0]), _fine(piece[-1]), entry.colour, wide, cv2.LINE_AA, _SHIFT)
        text.write(picture, entry.words, left + 3 * size, top, size, INK)


def _write_upwards(picture: Picture, words: str, left: int, middle: int, size: int) -> None:
    """One line of text that reads from bottom to top, centred at the height `middle`."""
    strip = np.full((text.line_height(size), text.width_of(words, size) + size // 2, 3), PAPER, np.uint8)
    text.write(strip, words, size // 4, 0, size, INK)
    upwards = np.rot90(strip)
    top = max(0, middle - upwards.shape[0] // 2)
    room = picture[top : top + upwards.shape[0], left : left + upwards.shape[1]]
    room[:] = upwards[: room.shape[0], : room.shape[1]]
