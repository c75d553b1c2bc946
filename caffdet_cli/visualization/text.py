"""Text in pictures. OpenCV 5 has a real font; older versions have line letters for ASCII only.

Sizes are in pixels, from the top of tall letters to the foot of deep ones about.
"""

import unicodedata
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from caffdet_cli.visualization.palette import Colour

Picture = NDArray[np.uint8]  # (H, W, 3) RGB

_WEIGHT = 450  # of 100..1000: a little stronger than a book's
_LINE_LETTERS = cv2.FONT_HERSHEY_SIMPLEX
_LINE_LETTERS_SIZE = 30  # pixels at scale 1


def line_height(size: int) -> int:
    """Height of a line of text."""
    return size + -(-size * 2 // 5)


def width_of(text: str, size: int) -> int:
    """Width of `text` in pixels."""
    shown = printable(text)
    if face := _face():
        return int(cv2.getTextSize((0, 0), shown, (0, 0), face, size, _WEIGHT)[2])
    (width, _), _ = cv2.getTextSize(shown, _LINE_LETTERS, size / _LINE_LETTERS_SIZE, _strokes(size))
    return int(width)


def shorten(text: str, size: int, width: int) -> str:
    """As much of `text` as fits into `width` pixels, with dots where something is missing."""
    if width_of(text, size) <= width:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width_of(text[:middle] + "..", size) <= width else (low, middle - 1)
    return text[:low] + ".." if low else ""


def write(picture: Picture, text: str, left: int, top: int, size: int, colour: Colour) -> None:
    """Write one line whose upper left corner is (left, top), into `picture` itself."""
    shown = printable(text)
    foot = (left, top + size + size // 16)
    if face := _face():
        whole_line = (-(1 << 20), 1 << 20)  # the font would go on in a second line at the picture's edge
        cv2.putText(picture, shown, foot, colour, face, size, _WEIGHT, cv2.PUT_TEXT_ALIGN_LEFT, whole_line)
    else:
        scale = size / _LINE_LETTERS_SIZE
        cv2.putText(picture, shown, foot, _LINE_LETTERS, scale, colour, _strokes(size), cv2.LINE_AA)


def printable(text: str) -> str:
    """`text` as the font at hand can show it: no control characters; line letters lose accents and know ASCII only."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in text)
    if _face() or shown.isascii():
        return shown
    plain = unicodedata.normalize("NFKD", shown.replace("ß", "ss"))
    return "".join(sign if sign.isascii() else "?" for sign in plain if not unicodedata.combining(sign))


@cache
def _face() -> Any:
    """OpenCV's own sans-serif font, or None before OpenCV 5."""
    return cv2.FontFace("sans") if hasattr(cv2, "FontFace") else None


def _strokes(size: int) -> int:
    return max(1, size // 14)
