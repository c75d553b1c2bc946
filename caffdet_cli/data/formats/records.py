"""What any raw annotation file says of one picture, whatever its form: text, XML or JSON."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.settings.base import Spectrum

FARTHEST = 1e9  # pixels

Corners = tuple[tuple[float, float], ...]


class BrokenAnnotation(ValueError):
    """An annotation file is not of its form; the message says where in it."""


class RawObject(NamedTuple):
    """One object; `problem` says why `box` is None."""

    name: str  # empty: there is none
    box: tuple[float, float, float, float] | None  # xyxy, pixels
    problem: str = ""
    difficult: bool = False
    ignored: bool = False
    """Neither found nor missed: evaluation ignores it, training leaves it out."""
    occlusion: int | None = None
    """0 none, 1 partial, 2 heavy; None: the format does not tell."""
    corners: Corners | None = None
    """Of an oriented box, four points (x, y) in pixels, in the order of the file."""
    labelled: tuple[Spectrum, ...] = ()
    """In which pictures of a pair that was labelled twice; else empty."""


class RawRecord(NamedTuple):
    """One picture's annotation."""

    filename: str  # empty: there is none
    size: tuple[int, int] | None  # width, height in pixels; None: missing, or no numbers
    objects: tuple[RawObject, ...]


Reader = Callable[[Path, Path | None], RawRecord]
"""Reads an annotation file; also told the picture it was made on, for forms in fractions of its size.

Raises `BrokenAnnotation` or a `DatasetError`."""


def number(text: str) -> float | None:
    """A finite number of any spelling: `12`, `12.5`, ` 1.2e1 `; not `1_2` or digits of other scripts."""
    if not text.isascii() or "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < FARTHEST else None


def hull(corners: Corners) -> tuple[float, float, float, float]:
    """The horizontal box around corners, xyxy."""
    across, down = zip(*corners, strict=True)
    return min(across), min(down), max(across), max(down)
