"""KAIST's own text files: annotations, one file per frame, and detections, one line each.

| file | a line of it |
| --- | --- |
| annotation (first line `% bbGt version=3`) | `label x y w h occlusion vx vy vw vh ignore angle` |
| detections | `frame,x,y,w,h,score`; frame counts from 1 in the order of the test list |

Coordinates are those of Matlab and are used as they are, which is what published numbers are made of.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, Objects
from caffdet_cli.data.daylight import part_of
from caffdet_cli.data.formats.detections import DetectionArrays
from caffdet_cli.data.formats.hostile import LARGEST_LIST, read_bytes, short
from caffdet_cli.errors import DatasetError
from caffdet_cli.evaluation.miss_rate_truth import Frame, MissRateTruth

CATEGORIES = (
    Category(0, "__ignore__"),
    Category(1, "person"),
    Category(2, "cyclist"),
    Category(3, "people"),
    Category(4, "person?"),
    Category(5, "person?a"),
)
"""As in the data set's own JSON, and `person?a` of the original annotations, an unsure case too."""

_PERSON = 1  # place in CATEGORIES
_WIDTH, _HEIGHT = 640, 512  # pixels, of all pictures
_LARGEST_FRAME = 1 << 20  # bytes
_FARTHEST = 1e9  # pixels
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class _Row(NamedTuple):
    """An annotated object."""

    label: int
    box: tuple[float, float, float, float]  # xyxy
    occlusion: int
    ignored: bool


def read_kaist_folder(folder: Path) -> MissRateTruth:
    """The annotations of a folder `setSS/VVVV/IIIIII.txt`, frames in the order of their names.

    Raises:
        DatasetError: there are none, or one is broken (file and line).
    """
    inner = folder / "annotations"
    paths = sorted((inner if inner.is_dir() else folder).glob("set[0-9][0-9]/V[0-9][0-9][0-9]/I*.txt"))
    if not paths:
        raise DatasetError(
            f"{folder} has no KAIST annotations, which are called set06/V000/I00019.txt; "
            "give the folder that holds set06, or a COCO file"
        )
    examples, frames, number = [], [], 0
    for path in paths:
        name = "/".join(path.with_suffix("").parts[-3:])
        rows = _read_frame(path)
        example, frame = _frame(name, rows, number)
        number += len(rows)
        examples.append(example)
        frames.append(frame)
    annotations = AnnotationSet(tuple(examples), CATEGORIES, "ir", folder)
    names = {str(frame.id): frame.id for frame in frames}
    return MissRateTruth(tuple(frames), annotations, _PERSON, names)


def read_result_lines(path: Path, truth: MissRateTruth) -> dict[int | str, DetectionArrays]:
    """Detections of pedestrians by picture id, in the order of the file.

    Raises:
        DatasetError: a line is broken or of a frame that does not exist (file and line).
    """
    ids = [frame.id for frame in truth.frames]
    rows: dict[int | str, list[list[float]]] = {}
    for place, line in _lines(path, LARGEST_LIST):
        words = line.split(",")
        if len(words) != 6:
            raise DatasetError(f"{place}: {len(words)} columns; a detection is frame,x,y,w,h,score")
        frame, left, top, width, height, score = (_number(place, word) for word in words)
        if not frame.is_integer() or not 1 <= frame <= len(ids):
            raise DatasetError(
                f"{place}: there is no frame {short(words[0].strip())}; {truth.source} has 1 to {len(ids)}"
            )
        if width < 0 or height < 0:
            raise DatasetError(f"{place}: the width or height is negative; a detection is frame,x,y,w,h,score")
        rows.setdefault(ids[int(frame) - 1], []).append([left, top, left + width, top + height, score])
    return {key: _detections(found, truth.label) for key, found in rows.items()}


def _detections(rows: list[list[float]], label: int) -> DetectionArrays:
    table = np.array(rows, np.float64)
    return DetectionArrays(table[:, :4], np.full(len(table), label), table[:, 4])


def _read_frame(path: Path) -> list[_Row]:
    lines = _lines(path, _LARGEST_FRAME)
    place, head = next(lines, (f"{path}: line 1", ""))
    if not head.startswith("%"):
        raise DatasetError(f"{place}: {short(head)}; an annotation begins with '% bbGt version=3'")
    return [_row(place, line) for place, line in lines]


def _row(place: str, line: str) -> _Row:
    label, *words = line.split()
    if len(words) != 11:
        raise DatasetError(
            f"{place}: {len(words) + 1} columns; an object has 12: label x y w h occlusion vx vy vw vh ignore angle"
        )
    labels = {category.name: place for place, category in enumerate(CATEGORIES)}
    if label not in labels:
        raise DatasetError(f"{place}: label {short(label)}; there are {', '.join(list(labels)[1:])}")
    left, top, width, height, occlusion, *_, ignore, _ = (_number(place, word) for word in words)
    if width <= 0 or height <= 0:
        raise DatasetError(f"{place}: the width and height of a box are above 0, here {width:g} and {height:g}")
    if occlusion not in (0, 1, 2):
        raise DatasetError(f"{place}: occlusion {occlusion:g}; it is 0 (none), 1 (partial) or 2 (heavy)")
    box = (left, top, left + width, top + height)
    return _Row(labels[label], box, int(occlusion), ignore == 1 or labels[label] != _PERSON)


def _frame(name: str, rows: list[_Row], number: int) -> tuple[Example, Frame]:
    """A frame whose objects have ids from `number` on."""
    boxes = np.array([row.box for row in rows], np.float64).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    ignored = np.array([row.ignored for row in rows], np.bool_)
    labels = np.array([row.label for row in rows], np.int64)
    ids = tuple(range(number, number + len(rows)))
    objects = Objects(boxes, labels, sides.prod(axis=1), ignored, ids)
    frame = Frame(
        id=name,
        part=part_of(f"{name}/"),
        width=_WIDTH,
        height=_HEIGHT,
        boxes=boxes,
        heights=sides[:, 1],
        occlusions=np.array([row.occlusion for row in rows], np.int64),
        ignored=ignored,
        first=0 if rows and number == 0 else -1,
    )
    return Example(name, None, None, _WIDTH, _HEIGHT, objects), frame


def _lines(path: Path, largest: int) -> Iterator[tuple[str, str]]:
    """Place and text of all lines that hold something."""
    try:
        text = read_bytes(path, largest).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: byte {error.start} is not text") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{path}: line {number}", line.strip()


def _number(place: str, word: str) -> float:
    plain = word.strip()
    value = float(plain) if len(plain) <= 40 and _NUMBER.fullmatch(plain) else float("nan")
    if not abs(value) <= _FARTHEST:  # nor NaN
        raise DatasetError(f"{place}: {short(plain)} is not a number between -1e9 and 1e9")
    return value
