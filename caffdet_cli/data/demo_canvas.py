"""What the scenes of the demo data set are drawn on, and with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

FINE = 3
"""Canvas pixels per picture pixel, along each side: drawn fine and averaged, edges come out smooth."""

Bytes = NDArray[np.uint8]
Colour = tuple[int, int, int]  # red, green, blue
Point = tuple[float, float]

DARK: Colour = (0, 0, 0)


class Paint(NamedTuple):
    """What a surface looks like. None leaves a canvas as it is."""

    colour: Colour | None
    heat: int | None
    light: Colour | None = DARK


@dataclass(frozen=True, eq=False)
class Canvas:
    """One scene while it is drawn: what daylight shows, what is warm, what shines by itself at night."""

    colour: Bytes  # (H * FINE, W * FINE, 3)
    heat: Bytes  # (H * FINE, W * FINE)
    light: Bytes  # (H * FINE, W * FINE, 3)
    cover: Bytes  # (H * FINE, W * FINE), 255 where the object at hand is

    @classmethod
    def blank(cls, size: tuple[int, int]) -> "Canvas":
        """Nothing drawn yet, for a picture of this height and width."""
        height, width = size[0] * FINE, size[1] * FINE
        return cls(
            colour=np.zeros((height, width, 3), np.uint8),
            heat=np.zeros((height, width), np.uint8),
            light=np.zeros((height, width, 3), np.uint8),
            cover=np.zeros((height, width), np.uint8),
        )

    @property
    def height(self) -> int:
        return len(self.heat)

    @property
    def width(self) -> int:
        return len(self.heat[0])

    def polygon(self, corners: Sequence[tuple[int, int]], paint: Paint, *, part: bool = False) -> None:
        """A filled polygon, canvas pixels; `part` = of the object at hand."""
        points = np.array(corners, np.int32)
        for target, value in self._targets(paint, part):
            cv2.fillPoly(target, [points], value)

    def rectangle(self, left: int, top: int, right: int, bottom: int, paint: Paint) -> None:
        """A filled upright rectangle, canvas pixels."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], paint)

    def ellipse(self, centre: tuple[int, int], radii: tuple[int, int], paint: Paint, *, part: bool = False) -> None:
        """A filled upright ellipse, canvas pixels."""
        for target, value in self._targets(paint, part):
            cv2.ellipse(target, centre, radii, 0, 0, 360, value, -1)

    def _targets(self, paint: Paint, part: bool) -> list[tuple[Bytes, Sequence[int]]]:
        targets: list[tuple[Bytes, Sequence[int]]] = []
        if paint.colour is not None:
            targets.append((self.colour, paint.colour))
        if paint.heat is not None:
            targets.append((self.heat, (paint.heat,)))
        if paint.light is not None:
            targets.append((self.light, paint.light))
        if part:
            targets.append((self.cover, (255,)))
        return targets


@dataclass(frozen=True)
class Brush:
    """Draws one object in its own units: x towards its front, y up, (0, 0) below its middle, 1 = its height."""

    canvas: Canvas
    x: int  # canvas pixels of (0, 0)
    y: int
    unit: int  # canvas pixels
    facing: int  # 1 = front to the right, -1 = to the left

    def polygon(self, points: Sequence[Point], paint: Paint, *, part: bool = True) -> None:
        """A filled polygon; `part` = it belongs to the object, so the box goes around it."""
        self.canvas.polygon([self._place(x, y) for x, y in points], paint, part=part)

    def ellipse(self, centre: Point, radii: Point, paint: Paint) -> None:
        """A filled upright ellipse."""
        across = (round(radii[0] * self.unit), round(radii[1] * self.unit))
        self.canvas.ellipse(self._place(*centre), across, paint, part=True)

    def rectangle(
        self, left: float, bottom: float, right: float, top: float, paint: Paint, *, part: bool = True
    ) -> None:
        """A filled upright rectangle."""
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], paint, part=part)

    def ground(self) -> Colour:
        """Colour of most of the ground under the object; a lane mark on it does not count."""
        row = self.canvas.colour[min(self.y, self.canvas.height - 1)]
        under = row[max(0, self.x - self.unit) : self.x + self.unit]  # (n, 3)
        red, green, blue = np.sort(under, axis=0)[len(under) // 2].tolist()
        return red, green, blue

    def _place(self, x: float, y: float) -> tuple[int, int]:
        return self.x + round(self.facing * x * self.unit), self.y - round(y * self.unit)


def pick(rng: Generator, colours: Sequence[Colour]) -> Colour:
    """One of `colours`."""
    return colours[int(rng.integers(0, len(colours)))]
