"""The geometry of a camera rig: which pictures are warped, and how."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from caffdet_cli.settings.base import Settings, Spectrum

Row = tuple[float, float, float]
Matrix = tuple[Row, Row, Row]
Side = Annotated[int, Field(gt=0, le=1_000_000)]

_SMALLEST_SHARE = 1e-3
"""Of the other picture's area that the warped one must have at least; and not more than one by this share."""


class Rig(Settings):
    """One homography for all pairs of two cameras that are fixed to each other.

    A point (x, y) is in pixels from the picture's upper left corner, so that the middle of the first pixel is
    (0.5, 0.5); it is also how boxes count.
    """

    moved: Spectrum
    """The spectrum whose pictures are warped onto those of the other one."""
    homography: Matrix
    """(x, y, 1) of the moved picture -> (u, v, w); its place in the other picture is (u / w, v / w)."""
    moved_size: tuple[Side, Side]
    """Width and height of the moved picture in the pixels of the homography."""
    fixed_size: tuple[Side, Side]
    """Width and height of the other picture in the pixels of the homography."""
    residual: Annotated[float, Field(ge=0)] = 0.0
    """How well it fits: root of the mean squared distance of what was matched, in pixels of the fixed picture."""
    pairs: Annotated[int, Field(ge=0)] = 0
    """Pairs that it was estimated from."""
    made_by: str = ""

    @field_validator("homography")
    @classmethod
    def _last_number_is_one(cls, matrix: Matrix) -> Matrix:
        """A homography is the same times any number; the one whose last number is 1 is kept."""
        last = matrix[2][2]
        if last == 0:
            raise ValueError("its last number is 0: the moved picture's upper left corner would lie nowhere")
        first, second, third = ((a / last, b / last, c / last) for a, b, c in matrix)
        return first, second, third

    @model_validator(mode="after")
    def _is_a_picture_of_a_picture(self) -> "Rig":
        if problem := fault(self.homography, self.moved_size, self.fixed_size):
            raise ValueError(f"homography: {problem}")
        return self


def fault(matrix: Matrix, moved_size: tuple[int, int], fixed_size: tuple[int, int]) -> str | None:
    """Why no two cameras can have this homography, or None.

    The moved picture must come out whole: not folded, not mirrored, not a line, and not absurdly small or large.
    """
    (a, b, c), (d, e, f), (g, h, i) = matrix
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    if not 1e-12 < abs(determinant) < 1e12:
        return f"it cannot be turned round (determinant {determinant:.3g})"
    corners = list(_corners(moved_size))
    depths = [g * x + h * y + i for x, y in corners]
    if min(depths) < 0.05 * max(depths):
        return "the moved picture reaches the horizon, where its corners meet again: it would be folded"
    places = [((a * x + b * y + c) / w, (d * x + e * y + f) / w) for (x, y), w in zip(corners, depths, strict=True)]
    turns = list(_turns(places))
    if max(turns) < 0:
        return "it mirrors the picture"
    share = sum(turns) / 4 / (fixed_size[0] * fixed_size[1])
    if min(turns) <= 0 or not _SMALLEST_SHARE < share < 1 / _SMALLEST_SHARE:
        return "the warped picture is folded, or absurdly small or large beside the other one"
    return None


def _corners(size: tuple[int, int]) -> Iterator[tuple[float, float]]:
    """Clockwise from the upper left one."""
    width, height = size
    yield from ((0.0, 0.0), (float(width), 0.0), (float(width), float(height)), (0.0, float(height)))


def _turns(places: list[tuple[float, float]]) -> Iterator[float]:
    """At each corner of a quadrangle the area that its two sides span; all positive where it is convex."""
    for index in range(4):
        (x0, y0), (x1, y1), (x2, y2) = (places[(index + step) % 4] for step in (-1, 0, 1))
        yield (x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1)
