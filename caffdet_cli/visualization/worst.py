"""The page of the worst: findings of `caffdet data check` as pictures."""

from collections.abc import Sequence

import numpy as np

from caffdet_cli.data.annotations import Example
from caffdet_cli.data.images import read_picture
from caffdet_cli.data.inspection.notes import Case, Shown
from caffdet_cli.data.thermal import to_model_range
from caffdet_cli.data.warp import warp_file
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.data import PercentileRule
from caffdet_cli.settings.rig import Rig
from caffdet_cli.visualization import text
from caffdet_cli.visualization.draw import Labelled
from caffdet_cli.visualization.pair import draw_pair
from caffdet_cli.visualization.palette import INK, PAPER
from caffdet_cli.visualization.sheet import contact_sheet
from caffdet_cli.visualization.text import Picture

_HEIGHT = 240  # pixels of a pair on the page, or of two one above the other
_LETTERS = 14  # pixels
_RULE = PercentileRule()  # of each picture: something is to be seen whatever the data set's rule
_FAULT = (240, 228, 66)  # yellow, as of PALETTE


def worst_page(cases: Sequence[Case], spectra: Sequence[Spectrum]) -> Picture:
    """One tile per case: its kind, where, the pair or the two pairs with their boxes, and what is wrong.

    Args:
        cases: one at least.
        spectra: the panels, from left to right.

    Returns:
        (H, W, 3) RGB.
    """
    tiles = [_tile(case, spectra) for case in cases]
    width = max(tile.shape[1] for tile in tiles)
    return contact_sheet([_widened(tile, width) for tile in tiles], [case.what for case in cases])


def _tile(case: Case, spectra: Sequence[Spectrum]) -> Picture:
    height = _HEIGHT // len(case.shown)
    drawn = [_drawn(shown, spectra, height) for shown in case.shown]
    width = max(picture.shape[1] for picture in drawn)
    return np.concatenate([_head(case, width), *(_widened(picture, width) for picture in drawn)])


def _head(case: Case, width: int) -> Picture:
    """Kind and place above the pictures."""
    line = text.line_height(_LETTERS)
    strip = np.full((2 * line, width, 3), INK, np.uint8)
    for row, (words, colour) in enumerate(((case.kind, _FAULT), (case.place, PAPER))):
        shown = text.shorten(words, _LETTERS, width - _LETTERS)
        text.write(strip, shown, _LETTERS // 2, row * line, _LETTERS, colour)
    return strip


def _drawn(shown: Shown, spectra: Sequence[Spectrum], height: int) -> Picture:
    example = shown.example
    names = [shown.classes[label] for label in example.objects.labels.tolist()]
    return draw_pair(
        _readable(example, "rgb", shown.rig),
        _readable(example, "ir", shown.rig),
        Labelled(example.objects.boxes, names),
        size=(example.height, example.width),
        spectra=spectra,
        height=height,
        legend=False,
    )


def _readable(example: Example, spectrum: Spectrum, rig: Rig | None) -> Picture | None:
    """A picture as 8-bit RGB, warped by the rig; None where it is missing or broken, which may be the finding."""
    path = example.rgb if spectrum == "rgb" else example.ir
    if path is None:
        return None
    try:
        read = warp_file(read_picture(path), path, rig, spectrum, (example.height, example.width))
        picture = to_model_range(read, spectrum, _RULE)
    except DatasetError:
        return None
    return np.asarray(picture if picture.dtype == np.uint8 else np.round(picture * 255), np.uint8)


def _widened(picture: Picture, width: int) -> Picture:
    """With an empty strip at its right, if it is narrower."""
    room = ((0, 0), (0, width - picture.shape[1]), (0, 0))
    return np.pad(picture, room, constant_values=INK[0])
