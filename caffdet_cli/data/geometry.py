"""How a picture is flipped, resized and cut: drawn once for a pair, before any pixel is read.

A chain of steps can be followed as it is, which gives the published pixels, or merged into one window and one resize:
the same part of the picture at the same size, resampled once.
"""

import math
from typing import NamedTuple

import numpy as np

from caffdet_cli.settings.train import Augment

Random = np.random.Generator
Size = tuple[int, int]  # height, width


class Window(NamedTuple):
    """A part of a picture, in pixels."""

    top: float
    left: float
    height: float
    width: float


class Geometry(NamedTuple):
    """A flip, then sizes and windows in turns."""

    size: Size  # of the picture at the start
    flip: bool
    steps: tuple[Size | Window, ...]
    """A size: everything is resized to it. A window, in whole pixels of the size before it: it is cut out."""

    @property
    def end(self) -> Size:
        """Height and width of the result."""
        for step in reversed(self.steps):
            return (round(step.height), round(step.width)) if isinstance(step, Window) else step
        return self.size

    @property
    def window(self) -> Window:
        """The part of the picture, flipped as `flip` says, that the result shows."""
        shown, size = Window(0.0, 0.0, *self.size), self.size
        for step in self.steps:
            if isinstance(step, Window):
                down, across = shown.height / size[0], shown.width / size[1]
                top, left = shown.top + step.top * down, shown.left + step.left * across
                shown, size = Window(top, left, step.height * down, step.width * across), self._whole(step)
            else:
                size = step
        return shown

    @property
    def enough(self) -> int:
        """The shorter side, in pixels, that the whole picture has at the coarsest step: more is lost on the way."""
        enough, shown, size = min(self.size), Window(0.0, 0.0, *self.size), self.size
        for step in self.steps:
            if isinstance(step, Window):
                down, across = shown.height / size[0], shown.width / size[1]
                shown = Window(0.0, 0.0, step.height * down, step.width * across)
                size = self._whole(step)
            else:
                scale = max(step[0] / shown.height, step[1] / shown.width)
                enough, size = min(enough, math.ceil(min(self.size) * scale)), step
        return enough

    @staticmethod
    def _whole(window: Window) -> Size:
        return round(window.height), round(window.width)


def evaluation_geometry(size: Size, short_side: int, max_side: int) -> Geometry:
    """Resized by the `detr` rule."""
    return Geometry(size, False, (resize_size(*size, short_side, max_side),))


def training_geometry(size: Size, augment: Augment, random: Random) -> Geometry:
    """Flip, then a resize, or a resize, a window and a resize, as `Augment` says."""
    flip = bool(random.random() < augment.flip)
    if augment.fixed_size:
        return Geometry(size, flip, (augment.fixed_size,))
    steps: list[Size | Window] = []
    if random.random() < augment.crop:
        size_now = resize_size(*size, _choice(augment.crop_scales, random), None)
        window = _window(size_now, augment.crop_range, random)
        steps += [size_now, window]
        size_now = (round(window.height), round(window.width))
    else:
        size_now = size
    steps.append(resize_size(*size_now, _choice(augment.scales, random), augment.max_side))
    return Geometry(size, flip, tuple(steps))


def resize_size(height: int, width: int, short_side: int, max_side: int | None) -> Size:
    """Height and width after the `detr` resize rule.

    The short side becomes `short_side`; where the long side would pass `max_side` (None: no limit) the short side is
    round(max_side * short / long) instead. The long side is cut to a whole number. Nothing changes where the short
    side has its size already.
    """
    short, long = min(height, width), max(height, width)
    if max_side is not None and long / short * short_side > max_side:
        short_side = max(1, round(max_side * short / long))
    if short == short_side:
        return height, width
    other = int(short_side * long / short)
    return (other, short_side) if width < height else (short_side, other)


def _choice(values: tuple[int, ...], random: Random) -> int:
    return values[int(random.integers(len(values)))]


def _window(size: Size, sides: tuple[int, int], random: Random) -> Window:
    """A window with sides drawn from `sides`, as far as the picture has them."""
    height, width = (int(random.integers(min(sides[0], side), min(sides[1], side), endpoint=True)) for side in size)
    top = int(random.integers(0, size[0] - height, endpoint=True))
    left = int(random.integers(0, size[1] - width, endpoint=True))
    return Window(top, left, height, width)
