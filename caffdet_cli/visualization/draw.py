"""Boxes on one picture: ground truth dashed, detections solid, labels that can be read.

Pictures are (H, W, 3) RGB or (H, W) grey, 8 bit. Boxes are xyxy in pixels; lines and letters grow with the picture.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from caffdet_cli.visualization import text
from caffdet_cli.visualization.labels import place_labels
from caffdet_cli.visualization.palette import INK, PAPER, Colour, colour_of, text_colour_on
from caffdet_cli.visualization.text import Picture

Kind = Literal["truth", "detection"]


class Labelled(NamedTuple):
    """The objects of one picture as drawing takes them."""

    boxes: NDArray[np.floating[Any]] | NDArray[np.integer[Any]]  # (n, 4) xyxy, pixels
    names: Sequence[str]
    scores: Sequence[float] | None = None


class Look(NamedTuple):
    """Sizes that fit a picture, pixels."""

    line: int
    text: int


def draw_boxes(
    picture: NDArray[np.uint8],
    boxes: NDArray[np.floating[Any]],
    names: Sequence[str],
    scores: Sequence[float] | None = None,
    kind: Kind = "detection",
) -> Picture:
    """A copy of `picture` with boxes of one kind; see `draw_objects`."""
    objects = Labelled(boxes, names, scores)
    return draw_objects(picture, truth=objects) if kind == "truth" else draw_objects(picture, detections=objects)


def draw_objects(
    picture: NDArray[np.uint8], truth: Labelled | None = None, detections: Labelled | None = None
) -> Picture:
    """A copy of `picture` with ground truth (dashed) and detections (solid).

    A box that is not finite or lies outside is left out. Where boxes crowd, labels of the best detections come
    first, and a box without room for its label has none.

    Returns:
        (H, W, 3) RGB.
    """
    canvas = as_rgb(picture)
    look = look_for(canvas)
    found = [] if detections is None else _marks(detections, "detection", canvas, look)
    real = [] if truth is None else _marks(truth, "truth", canvas, look)
    for mark in [*reversed(found), *real]:  # the best on top
        draw_frame(canvas, mark.box, mark.colour, mark.kind, look.line)
    _labels(canvas, found + real, look)
    return canvas


def as_rgb(picture: NDArray[np.uint8]) -> Picture:
    """A copy with three channels."""
    return np.array(picture, np.uint8) if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)


def look_for(picture: NDArray[np.uint8]) -> Look:
    """Line and letter sizes for a picture."""
    side = min(picture.shape[:2])
    return Look(line=max(1, round(side / 256)), text=max(10, round(side / 36)))


class _Mark(NamedTuple):
    """One box as it will be drawn."""

    box: tuple[int, int, int, int]  # xyxy, first and last pixel
    label: str
    colour: Colour
    kind: Kind


def _marks(objects: Labelled, kind: Kind, picture: Picture, look: Look) -> list[_Mark]:
    """The boxes that can be seen; detections by descending score."""
    boxes = np.asarray(objects.boxes, np.float64).reshape(-1, 4)
    height, width = picture.shape[:2]
    seen = np.isfinite(boxes).all(axis=1)
    seen &= (boxes[:, 2] > 0) & (boxes[:, 3] > 0) & (boxes[:, 0] < width) & (boxes[:, 1] < height)
    scores = None if objects.scores is None else np.asarray(objects.scores, np.float64)
    order = np.arange(len(boxes)) if scores is None else np.argsort(-scores, kind="stable")
    marks = []
    for index in order[seen[order]].tolist():
        name = objects.names[index]
        label = name if scores is None else f"{name} {scores[index]:.2f}"
        label = text.shorten(label, look.text, width - look.text)
        marks.append(_Mark(_pixels(boxes[index], width, height), label, colour_of(name), kind))
    return marks


def _pixels(box: NDArray[np.float64], width: int, height: int) -> tuple[int, int, int, int]:
    """First and last pixel of a box, inside the picture."""
    left, top = np.clip(np.round(box[:2]), 0, (width - 1, height - 1)).astype(int).tolist()
    right, bottom = np.clip(np.round(box[2:]) - 1, (left, top), (width - 1, height - 1)).astype(int).tolist()
    return left, top, right, bottom


def draw_frame(picture: Picture, box: tuple[int, int, int, int], colour: Colour, kind: Kind, line: int) -> None:
    """One frame, into `picture` itself; `box` is its first and last pixel.

    A detection is solid with a dark rim: it shows on bright and on dark. Ground truth has coloured and white dashes:
    it shows even on top of a detection of the same colour.
    """
    left, top, right, bottom = box
    if kind == "detection":
        cv2.rectangle(picture, (left, top), (right, bottom), INK, line + 2)
        cv2.rectangle(picture, (left, top), (right, bottom), colour, line)
        return
    dash = 4 * line + 2
    cv2.rectangle(picture, (left, top), (right, bottom), PAPER, line)
    for x in range(left, right + 1, 2 * dash):
        for y in (top, bottom):
            cv2.line(picture, (x, y), (min(x + dash - 1, right), y), colour, line)
    for y in range(top, bottom + 1, 2 * dash):
        for x in (left, right):
            cv2.line(picture, (x, y), (x, min(y + dash - 1, bottom)), colour, line)


def _labels(picture: Picture, marks: list[_Mark], look: Look) -> None:
    """Write the labels where there is room."""
    pad = max(2, look.text // 4)
    sizes = [(text.width_of(mark.label, look.text) + 2 * pad, text.line_height(look.text)) for mark in marks]
    boxes = np.array([mark.box for mark in marks], np.int64).reshape(-1, 4)
    below = [mark.kind == "truth" for mark in marks]
    spots = place_labels(boxes, sizes, (picture.shape[1], picture.shape[0]), below)
    for mark, size, spot in zip(marks, sizes, spots, strict=True):
        if spot is None or not mark.label:
            continue
        plate = mark.colour if mark.kind == "detection" else INK
        ink = text_colour_on(plate) if mark.kind == "detection" else mark.colour
        left, top = spot
        cv2.rectangle(picture, (left, top), (left + size[0] - 1, top + size[1] - 1), plate, -1)
        text.write(picture, mark.label, left + pad, top, look.text, ink)
