"""Detections on disk: a COCO result file, one JSON list of {image_id, category_id, bbox, score}.

bbox is left, top, width and height in pixels of the picture the annotations refer to.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.formats.hostile import read_json, short
from caffdet_cli.errors import DatasetError
from caffdet_cli.paths import whole_file

_FARTHEST = 1e9  # pixels; areas stay far from overflow

Row = tuple[float, float, float, float, int, float]  # box xyxy, label, score


class DetectionArrays(NamedTuple):
    """Detections of one picture, in the order in which they were found or read."""

    boxes: NDArray[np.floating[Any]]  # (n, 4) xyxy, pixels of the label spectrum's picture
    labels: NDArray[np.integer[Any]]  # (n,) position in the class list
    scores: NDArray[np.floating[Any]]  # (n,)


Found = Mapping[int | str, DetectionArrays]
"""Detections by picture id."""


def read_detections(path: Path, annotations: AnnotationSet) -> dict[int | str, DetectionArrays]:
    """Detections by picture id, in the order of the file; pictures without any are left out.

    Args:
        annotations: knows the pictures and classes; labels are positions in its categories.

    Raises:
        DatasetError: the file cannot be read, is no such list, or an entry is wrong or of another data set.
    """
    entries = _load(path)
    reader = _Reader(path, annotations)
    rows: dict[int | str, list[Row]] = {}
    for index, entry in enumerate(entries):
        picture, row = reader.row(index, entry)
        rows.setdefault(picture, []).append(row)
    return {picture: _arrays(found) for picture, found in rows.items()}


def write_detections(path: Path, found: Mapping[int | str, DetectionArrays], category_ids: Sequence[int | None]) -> int:
    """Write detections as a COCO result file, one per line; whole or not at all.

    Args:
        found: detections by picture id.
        category_ids: the data set's id of each label; None for a class slot that has no meaning there.

    Returns:
        How many detections were left out because their class slot has no id.
    """
    dropped = 0
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        separator = "[\n"
        for picture, (boxes, labels, scores) in found.items():
            for box, label, score in zip(boxes.tolist(), labels.tolist(), scores.tolist(), strict=True):
                if (category := category_ids[label]) is None:
                    dropped += 1
                    continue
                left, top, right, bottom = box
                entry = {
                    "image_id": picture,
                    "category_id": category,
                    "bbox": [left, top, max(right - left, 0.0), max(bottom - top, 0.0)],
                    "score": score,
                }
                file.write(separator + json.dumps(entry, allow_nan=False))
                separator = ",\n"
        file.write("[]\n" if separator == "[\n" else "\n]\n")
    return dropped


def _load(path: Path) -> list[Any]:
    """The list in the file."""
    value = read_json(path)
    if not isinstance(value, list):
        what = "an annotation file" if isinstance(value, dict) and "annotations" in value else f"a {_kind(value)}"
        raise DatasetError(f"{path}: a list of detections is needed, this is {what}")
    return value


class _Reader:
    """Checks entries one by one."""

    def __init__(self, path: Path, annotations: AnnotationSet):
        self._path = path
        self._source = annotations.source
        self._pictures = dict.fromkeys(example.id for example in annotations.examples)
        self._labels = {category.id: label for label, category in enumerate(annotations.categories)}

    def row(self, index: int, entry: Any) -> tuple[int | str, Row]:
        """Picture id and values of one entry."""
        if not isinstance(entry, dict):
            raise self._error(index, f"a JSON object is needed, this is a {_kind(entry)}")
        left, top, width, height = self._box(index, entry)
        label, score = self._label(index, entry), self._number(index, "score", self._value(index, entry, "score"))
        return self._picture(index, entry), (left, top, left + width, top + height, label, score)

    def _picture(self, index: int, entry: dict[str, Any]) -> int | str:
        picture = self._value(index, entry, "image_id")
        if isinstance(picture, bool) or not isinstance(picture, (int, str)):
            raise self._error(index, f"image_id is a {_kind(picture)}, a whole number or a word is needed")
        if picture not in self._pictures:
            raise self._error(index, f"image_id {short(picture)} is not in {self._source}{_such_as(self._pictures)}")
        return picture

    def _label(self, index: int, entry: dict[str, Any]) -> int:
        category = self._value(index, entry, "category_id")
        if isinstance(category, bool) or not isinstance(category, int):
            raise self._error(index, f"category_id is a {_kind(category)}, a whole number is needed")
        if category not in self._labels:
            raise self._error(index, f"category_id {short(category)} is not in {self._source}{_such_as(self._labels)}")
        return self._labels[category]

    def _box(self, index: int, entry: dict[str, Any]) -> list[float]:
        bbox = self._value(index, entry, "bbox")
        if not isinstance(bbox, list) or len(bbox) != 4:
            raise self._error(index, "bbox is not a list of four numbers: left, top, width, height")
        box = [self._number(index, f"bbox[{place}]", value) for place, value in enumerate(bbox)]
        if box[2] < 0 or box[3] < 0:
            raise self._error(
                index, f"bbox {short(bbox)} has a negative width or height; left, top, width, height are needed"
            )
        return box

    def _number(self, index: int, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._error(index, f"{key} is a {_kind(value)}, a number is needed")
        if not abs(value) <= _FARTHEST:  # nor NaN, which has no order
            raise self._error(index, f"{key} = {short(value)} is not a number between -1e9 and 1e9")
        return float(value)

    def _value(self, index: int, entry: dict[str, Any], key: str) -> Any:
        if key not in entry:
            raise self._error(index, f"{key} is missing")
        return entry[key]

    def _error(self, index: int, problem: str) -> DatasetError:
        return DatasetError(f"{self._path}: entry {index}: {problem}")


def _arrays(rows: list[Row]) -> DetectionArrays:
    table = np.array(rows, np.float64).reshape(-1, 6)
    return DetectionArrays(table[:, :4], table[:, 4].astype(np.int64), table[:, 5])


def _kind(value: Any) -> str:
    """What JSON calls it."""
    names = {dict: "JSON object", list: "list", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")


def _such_as(known: Mapping[Any, object]) -> str:
    """An example of what would have been right."""
    return f", which has {short(next(iter(known)))} for example" if known else ", which has none"
