"""A pair of pictures side by side with the same boxes, and a legend."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from caffdet_cli.settings.base import Spectrum
from caffdet_cli.visualization import text
from caffdet_cli.visualization.draw import Kind, Labelled, as_rgb, draw_frame, draw_objects, look_for
from caffdet_cli.visualization.palette import INK, PAPER, colour_of
from caffdet_cli.visualization.text import Picture

Size = tuple[int, int]  # height, width

_SMALLEST = 384
"""Smaller pictures are drawn enlarged to about this height, so that labels have room."""
_HIGHEST = 4096
"""Higher pictures are drawn smaller."""
_PIXELS = 24_000_000
"""So many a panel has at most."""
_WIDEST = 4
"""Panels are at most so many times as wide as high; a wider picture has an empty strip below it."""

_GREY = (96, 96, 102)
_KINDS: tuple[tuple[Kind, str], ...] = (("truth", "ground truth"), ("detection", "detection"))


def draw_pair(
    rgb: NDArray[np.uint8] | None,
    ir: NDArray[np.uint8] | None,
    truth: Labelled | None = None,
    detections: Labelled | None = None,
    *,
    label_spectrum: Spectrum = "ir",
    size: Size | None = None,
    spectra: Sequence[Spectrum] = ("rgb", "ir"),
    height: int | None = None,
    legend: bool = True,
) -> Picture:
    """RGB left, infrared right, at one height; ground truth dashed, detections solid.

    Args:
        rgb, ir: (H, W, 3) or (H, W) 8-bit pictures; None where one is missing: an empty panel says so.
        truth, detections: boxes in pixels of a picture of `size`; they are scaled onto each panel.
        label_spectrum: whose picture gives the size where `size` is not given; its partner's, where it is missing.
        size: height and width of the picture the boxes refer to.
        spectra: the panels, from left to right.
        height: of the panels; default: that of the larger picture, small pictures enlarged.
        legend: a line that explains colours and lines.

    Returns:
        (H', W', 3) RGB.

    Raises:
        ValueError: both pictures are missing and there is no `size`.
    """
    reference = size or _reference(rgb, ir, label_spectrum)
    tall = height or _panel_height(rgb, ir, reference)
    pictures = {"rgb": rgb, "ir": ir}
    panels = [_panel(pictures[name], name, tall, reference, truth, detections) for name in spectra]
    letters = min(look_for(panel).text for panel in panels)
    titled = [_titled(panel, name, letters) for panel, name in zip(panels, spectra, strict=True)]
    gap = np.full((titled[0].shape[0], max(2, tall // 128), 3), INK, np.uint8)
    pair = np.concatenate([part for panel in titled for part in (gap, panel)][1:], axis=1)
    if not legend:
        return pair
    return np.concatenate([pair, _legend(pair.shape[1], letters, truth, detections)], axis=0)


def scaled(objects: Labelled | None, before: Size, after: Size) -> Labelled | None:
    """Boxes of a picture of one size on the same picture of another."""
    if objects is None:
        return None
    factor = np.array([after[1] / before[1], after[0] / before[0]] * 2)
    return objects._replace(boxes=np.asarray(objects.boxes, np.float64).reshape(-1, 4) * factor)


def _reference(rgb: NDArray[np.uint8] | None, ir: NDArray[np.uint8] | None, label_spectrum: Spectrum) -> Size:
    first, second = (rgb, ir) if label_spectrum == "rgb" else (ir, rgb)
    picture = second if first is None else first
    if picture is None:
        raise ValueError("both pictures are missing, and no size is given")
    return picture.shape[0], picture.shape[1]


def _panel_height(rgb: NDArray[np.uint8] | None, ir: NDArray[np.uint8] | None, reference: Size) -> int:
    tall = max((picture.shape[0] for picture in (rgb, ir) if picture is not None), default=reference[0])
    sizes = [reference, *((picture.shape[0], picture.shape[1]) for picture in (rgb, ir) if picture is not None)]
    widest = max(min(width / height, _WIDEST) for height, width in sizes)
    return min(tall * -(-_SMALLEST // tall), _HIGHEST, int((_PIXELS / widest) ** 0.5))


def _panel(
    picture: NDArray[np.uint8] | None,
    name: str,
    height: int,
    reference: Size,
    truth: Labelled | None,
    detections: Labelled | None,
) -> Picture:
    """One spectrum."""
    before = reference if picture is None else (picture.shape[0], picture.shape[1])
    wide = max(1, round(before[1] * height / before[0]))
    after = (height, wide)
    if wide > _WIDEST * height:
        after = (max(1, _WIDEST * height * before[0] // before[1]), _WIDEST * height)
    if picture is None:
        return _empty((height, after[1]), f"no {name} picture")
    panel = np.full((height, after[1], 3), INK, np.uint8)
    panel[: after[0]] = draw_objects(
        _resized(picture, after), scaled(truth, reference, after), scaled(detections, reference, after)
    )
    return panel


def _titled(panel: Picture, name: str, letters: int) -> Picture:
    """A panel under its name."""
    title = np.full((text.line_height(letters), panel.shape[1], 3), INK, np.uint8)
    text.write(title, text.shorten(name, letters, panel.shape[1]), letters // 2, 0, letters, PAPER)
    return np.concatenate([title, panel], axis=0)


def _empty(size: Size, words: str) -> Picture:
    """A panel without a picture."""
    panel = np.full((*size, 3), _GREY, np.uint8)
    step = max(8, size[0] // 12)
    for x in range(-size[0], size[1], step):
        cv2.line(panel, (x, size[0]), (x + size[0], 0), (84, 84, 90), max(1, step // 8), cv2.LINE_AA)
    letters = look_for(panel).text
    words = text.shorten(words, letters, size[1])
    left = (size[1] - text.width_of(words, letters)) // 2
    text.write(panel, words, left, (size[0] - text.line_height(letters)) // 2, letters, PAPER)
    return panel


def _resized(picture: NDArray[np.uint8], size: Size) -> Picture:
    """At another size, as RGB."""
    method = cv2.INTER_AREA if size[0] < picture.shape[0] else cv2.INTER_CUBIC
    same = size == picture.shape[:2]
    return as_rgb(picture if same else np.asarray(cv2.resize(picture, size[::-1], interpolation=method), np.uint8))


class _Entry(NamedTuple):
    """One explanation in the legend."""

    words: str
    kind: Kind | None
    colour: tuple[int, int, int]


def _legend(width: int, size: int, truth: Labelled | None, detections: Labelled | None) -> Picture:
    """Lines that explain kinds of frames and colours of classes; at most three lines of classes."""
    given: dict[Kind, Labelled | None] = {"truth": truth, "detection": detections}
    entries = [_Entry(words, kind, _GREY) for kind, words in _KINDS if given[kind] is not None]
    names = dict.fromkeys(name for objects in given.values() if objects for name in objects.names)
    entries += [_Entry(name, None, colour_of(name)) for name in sorted(names)]
    lines = _lines(entries, width, size)
    line = text.line_height(size) + size // 3
    strip = np.full((line * len(lines) + size // 3, width, 3), INK, np.uint8)
    for row, entries_of_line in enumerate(lines):
        for left, entry in entries_of_line:
            _draw_entry(strip, entry, left, row * line + size // 3, size)
    return strip


def _lines(entries: list[_Entry], width: int, size: int) -> list[list[tuple[int, _Entry]]]:
    """The entries with their left edges, line by line; what does not fit into three lines is counted."""
    lines: list[list[tuple[int, _Entry]]] = [[]]
    left = size // 2
    for index, entry in enumerate(entries):
        words = text.shorten(entry.words, size, width - 5 * size)
        wide = text.width_of(words, size) + 4 * size
        if left + wide > width and lines[-1]:
            if len(lines) == 3:
                rest = f"+ {len(entries) - index} more"
                lines[-1][-1] = (lines[-1][-1][0], _Entry(rest, None, INK))
                break
            lines.append([])
            left = size // 2
        lines[-1].append((left, entry._replace(words=words)))
        left += wide
    return lines


def _draw_entry(strip: Picture, entry: _Entry, left: int, top: int, size: int) -> None:
    box = (left, top + size // 4, left + 2 * size, top + size + size // 8)
    if entry.kind is None:
        cv2.rectangle(strip, box[:2], box[2:], entry.colour, -1)
    else:
        draw_frame(strip, box, (200, 200, 204) if entry.kind == "detection" else _GREY, entry.kind, max(1, size // 12))
    text.write(strip, entry.words, box[2] + size // 2, top, size, PAPER)
