"""Many pictures on one sheet, and pictures into files."""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from caffdet_cli.errors import OutputError
from caffdet_cli.paths import whole_file
from caffdet_cli.visualization import text
from caffdet_cli.visualization.draw import as_rgb
from caffdet_cli.visualization.palette import PAPER, Colour
from caffdet_cli.visualization.text import Picture

_TABLE: Colour = (52, 54, 60)
_GAP = 12  # pixels between tiles
_CAPTION = 14  # pixels, size of the letters
_SUFFIXES = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 4], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 92]}
_SUFFIXES[".jpeg"] = _SUFFIXES[".jpg"]


def contact_sheet(
    tiles: Sequence[NDArray[np.uint8]], captions: Sequence[str], columns: int | None = None, max_side: int = 4096
) -> Picture:
    """A grid of pictures, each with its name below.

    Args:
        tiles: one or more pictures (H, W, 3) or (H, W) of any size; shrunk to fit into a cell, never enlarged.
        captions: one per tile; a long one is shortened.
        columns: default: as many as make the sheet about as wide as high.
        max_side: the sheet is neither wider nor higher, as long as each cell has a pixel.

    Returns:
        (H, W, 3) RGB.
    """
    widest, highest = max(tile.shape[1] for tile in tiles), max(tile.shape[0] for tile in tiles)
    foot = text.line_height(_CAPTION)
    columns = columns or max(1, min(len(tiles), round(math.sqrt(len(tiles) * (highest + foot) / widest))))
    rows = -(-len(tiles) // columns)
    room = (max_side - _GAP) // columns - _GAP, (max_side - _GAP) // rows - _GAP - foot
    share = min(1.0, room[0] / widest, room[1] / highest)
    cell = max(1, int(widest * share)), max(1, int(highest * share))
    sheet = np.full((_GAP + rows * (cell[1] + foot + _GAP), _GAP + columns * (cell[0] + _GAP), 3), _TABLE, np.uint8)
    for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        row, column = divmod(index, columns)
        left, top = _GAP + column * (cell[0] + _GAP), _GAP + row * (cell[1] + foot + _GAP)
        left, foot_of_tile = _paste(sheet, tile, left, top, cell)
        words = text.shorten(caption, _CAPTION, cell[0])
        text.write(sheet, words, left, foot_of_tile, _CAPTION, PAPER)
    return sheet


def save_picture(picture: NDArray[np.uint8], path: Path) -> None:
    """Write an RGB or grey picture as PNG or JPEG, by the name's ending; whole or not at all.

    Raises:
        OutputError: the ending is neither .png nor .jpg, or the place cannot be written.
        DiskFull: there is no room.
    """
    parameters = _SUFFIXES.get(path.suffix.lower())
    if parameters is None:
        raise OutputError(f"cannot write {path}: pictures are written as .png or .jpg")
    stored = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    _, data = cv2.imencode(path.suffix, stored, parameters)
    with whole_file(path) as part:
        part.write_bytes(data.tobytes())


def _paste(sheet: Picture, tile: NDArray[np.uint8], left: int, top: int, cell: tuple[int, int]) -> tuple[int, int]:
    """Put a tile into its cell (width, height), in the middle of the width; its lower left corner."""
    height, width = tile.shape[:2]
    share = min(1.0, cell[0] / width, cell[1] / height)
    size = max(1, int(width * share)), max(1, int(height * share))
    small = tile if share == 1.0 else np.asarray(cv2.resize(tile, size, interpolation=cv2.INTER_AREA), np.uint8)
    left += (cell[0] - small.shape[1]) // 2
    sheet[top : top + small.shape[0], left : left + small.shape[1]] = as_rgb(small)
    return left, top + small.shape[0]
