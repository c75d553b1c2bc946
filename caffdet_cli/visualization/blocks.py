"""Block diagrams: labels, rounded boxes, lines with arrows and small pictures, laid out first and painted afterwards.

Coordinates are pixels from the upper left corner.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from caffdet_cli.visualization import text
from caffdet_cli.visualization.palette import INK, PAPER, Colour
from caffdet_cli.visualization.text import Picture

Spot = tuple[int, int]  # x, y
Box = tuple[int, int, int, int]  # left, top, right, bottom

_RADIUS = 7
_DASH = 7
_SHIFT = 3  # OpenCV takes coordinates in eighths of a pixel


class Label(NamedTuple):
    """One line of text."""

    words: str
    left: int
    top: int
    size: int
    colour: Colour = INK

    @property
    def box(self) -> Box:
        """Where it is, its line included."""
        return (
            self.left,
            self.top,
            self.left + text.width_of(self.words, self.size),
            self.top + text.line_height(self.size),
        )


class Block(NamedTuple):
    """A box with round corners."""

    box: Box
    fill: Colour
    edge: Colour
    dashed: bool = False
    radius: int = _RADIUS


class Line(NamedTuple):
    """A way from spot to spot, with an arrow at its end."""

    spots: Sequence[Spot]
    colour: Colour
    dashed: bool = False
    arrow: bool = True
    wide: int = 2


class Image(NamedTuple):
    """A small picture in a frame."""

    picture: Picture
    left: int
    top: int
    edge: Colour


@dataclass
class Diagram:
    """What is to be painted, in any order: lines lie below boxes, letters above everything."""

    width: int
    lines: list[Line] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def say(self, words: str, middle: int, top: int, size: int, colour: Colour = INK, room: int | None = None) -> None:
        """A label centred at `middle`; made smaller, and in the end shorter, where it is wider than `room`."""
        fitting = _fitting(words, size, room)
        self.labels.append(
            Label(fitting[0], middle - text.width_of(*fitting) // 2, top + size - fitting[1], fitting[1], colour)
        )

    def say_left(
        self, words: str, left: int, top: int, size: int, colour: Colour = INK, room: int | None = None
    ) -> None:
        """A label that begins at `left`."""
        fitting = _fitting(words, size, room)
        self.labels.append(Label(fitting[0], left, top + size - fitting[1], fitting[1], colour))

    def paint(self, height: int) -> Picture:
        """(height, width, 3) RGB."""
        picture = np.full((height, self.width, 3), PAPER, np.uint8)
        for line in self.lines:
            _paint_line(picture, line)
        for block in self.blocks:
            _paint_block(picture, block)
        for image in self.images:
            _paint_image(picture, image)
        for label in self.labels:
            text.write(picture, label.words, label.left, label.top, label.size, label.colour)
        return picture


def tint(colour: Colour, share: float) -> Colour:
    """A colour mixed with white; share 1 is the colour itself."""
    red, green, blue = (round(255 + (part - 255) * share) for part in colour)
    return red, green, blue


def _fitting(words: str, size: int, room: int | None) -> tuple[str, int]:
    if room is None:
        return words, size
    while size > 11 and text.width_of(words, size) > room:
        size -= 1
    return text.shorten(words, size, room), size


def _paint_line(picture: Picture, line: Line) -> None:
    spots = [(float(x), float(y)) for x, y in line.spots]
    if line.arrow:  # the line ends inside the arrow's head
        (x0, y0), (x1, y1) = spots[-2:]
        length = max(1.0, float(np.hypot(x1 - x0, y1 - y0)))
        ahead = ((x1 - x0) / length, (y1 - y0) / length)
        head = 4.0 + 3.0 * line.wide
        foot = (x1 - ahead[0] * head, y1 - ahead[1] * head)
        side = (-ahead[1] * head * 0.5, ahead[0] * head * 0.5)
        corners = [(x1, y1), (foot[0] + side[0], foot[1] + side[1]), (foot[0] - side[0], foot[1] - side[1])]
        cv2.fillPoly(picture, [_fine(corners)], line.colour, cv2.LINE_AA, _SHIFT)
        spots[-1] = (foot[0] + ahead[0], foot[1] + ahead[1])
    _paint_way(picture, spots, line.colour, line.wide, line.dashed)


def _paint_way(picture: Picture, spots: Sequence[tuple[float, float]], colour: Colour, wide: int, dashed: bool) -> None:
    if not dashed:
        cv2.polylines(picture, [_fine(spots)], False, colour, wide, cv2.LINE_AA, _SHIFT)
        return
    left, drawn = float(_DASH), True
    for start, end in pairwise(spots):
        whole, done = float(np.hypot(end[0] - start[0], end[1] - start[1])), 0.0
        while done < whole:
            step = min(left, whole - done)
            ends = [
                (
                    start[0] + (end[0] - start[0]) * reached / whole,
                    start[1] + (end[1] - start[1]) * reached / whole,
                )
                for reached in (done, done + step)
            ]
            if drawn:
                cv2.polylines(picture, [_fine(ends)], False, colour, wide, cv2.LINE_AA, _SHIFT)
            done, left = done + step, left - step
            if left <= 0:
                left, drawn = float(_DASH) * (0.7 if drawn else 1.0), not drawn


def _paint_block(picture: Picture, block: Block) -> None:
    outline = _rounded(block.box, block.radius)
    cv2.fillPoly(picture, [_fine(outline)], block.fill, cv2.LINE_AA, _SHIFT)
    _paint_way(picture, [*outline, outline[0]], block.edge, 2 if block.dashed else 1, block.dashed)


def _rounded(box: Box, radius: int) -> list[tuple[float, float]]:
    """The rim of a box, clockwise."""
    left, top, right, bottom = box
    radius = min(radius, (right - left) // 2, (bottom - top) // 2)
    corners = (
        (right - radius, top + radius, -90),
        (right - radius, bottom - radius, 0),
        (left + radius, bottom - radius, 90),
        (left + radius, top + radius, 180),
    )
    angles = np.radians(np.linspace(0, 90, 7))
    return [
        (x + radius * float(np.cos(np.radians(start) + turn)), y + radius * float(np.sin(np.radians(start) + turn)))
        for x, y, start in corners
        for turn in angles
    ]


def _paint_image(picture: Picture, image: Image) -> None:
    height, width = image.picture.shape[:2]
    picture[image.top : image.top + height, image.left : image.left + width] = image.picture
    corners = (image.left - 2, image.top - 2), (image.left + width + 1, image.top + height + 1)
    cv2.rectangle(picture, *corners, image.edge, 3)


def _fine(spots: Sequence[tuple[float, float]]) -> NDArray[np.int32]:
    return np.asarray(np.round(np.array(spots) * 2**_SHIFT), np.int32)
