"""Annotation records of a COCO file as columns, checked one by one."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeGuard

from caffdet_cli.data.annotations import Category
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.hostile import short
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

_FARTHEST = 1e9  # pixels; areas stay far from overflow
_LARGEST_ID = 1 << 53  # what any JSON reader keeps exactly

Id = int | str


class Rows:
    """Annotation records as columns."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.labels: list[int] = []
        self.boxes: list[list[float]] = []  # left, top, width, height
        self.areas: list[float] = []
        self.crowd: list[bool] = []
        self.ids: list[Id] = []
        self.occlusions: list[int | None] = []
        self.corners: list[tuple[float, ...] | None] = []
        self.labelled: list[tuple[Spectrum, ...]] = []

    def __len__(self) -> int:
        return len(self.frames)


def is_id(value: object) -> TypeGuard[Id]:
    """Whether a value is a text or a whole number that is not too large."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < _LARGEST_ID
    return isinstance(value, str)


def read_rows(
    path: Path,
    records: Sequence[Any],
    frames: Mapping[Id, int],
    categories: Sequence[Category],
    findings: FindingLog,
    *,
    own: bool = False,
) -> Rows:
    """The usable records in the order of the file; the others are written down.

    Args:
        frames: position of each picture by its id.
        own: a file of our own form, where four corners are an oriented box and no mask, and occlusion is a level.

    Raises:
        DatasetError: there are records, and none belongs to a known picture and class and has a box.
    """
    findings.saw(boxes=len(records))
    reader = _RowReader(frames, categories, own)
    kinds = set()
    for number, record in enumerate(records):
        problem = reader.take(record)
        if problem is not None:
            kinds.add(problem[0])
            findings.add(problem[0], f"{path.name}: annotations[{number}]", problem[1], "dropped", boxes=1)
    if not len(reader.rows) and kinds - {"box without area"}:
        raise DatasetError(f"{path}: none of its {len(records)} annotations can be used: {findings.summary()}")
    for number, what in reader.renumber():
        findings.add("duplicate id", f"{path.name}: annotations[{number}]", what, "repaired")
    return reader.rows


class _RowReader:
    """Checks annotation records one by one."""

    def __init__(self, frames: Mapping[Id, int], categories: Sequence[Category], own: bool):
        self.rows = Rows()
        self._own = own
        self._frames = frames
        self._labels = {category.id: label for label, category in enumerate(categories)}
        self._first: dict[Id, int] = {}  # annotation id -> row
        self._wanting: list[tuple[int, int, Id | None]] = []  # number of the record, row, id that is taken or missing
        self._number = -1

    def take(self, record: Any) -> tuple[str, str] | None:
        """Add a record to the rows, or say why not: kind of finding, and what is wrong."""
        self._number += 1
        if not isinstance(record, dict):
            return "broken annotation", f"{short(record)} is no object"
        frame = _looked_up(self._frames, record.get("image_id"))
        if frame is None:
            return "unknown picture", f"image_id {short(record.get('image_id'))} is not in images"
        label = _looked_up(self._labels, record.get("category_id"))
        if label is None:
            return "unknown class", f"category_id {short(record.get('category_id'))} is not in categories"
        box: object = record.get("bbox")
        if not _are_numbers(box):
            return "broken box", f"bbox {short(box)} is not left, top, width, height"
        if box[2] <= 0 or box[3] <= 0:
            return "box without area", f"bbox {short(box)}"
        return self._add(record, frame, label, box)

    def _add(self, record: dict[str, Any], frame: int, label: int, box: list[float]) -> tuple[str, str] | None:
        rows: Rows = self.rows
        key: Any = record.get("id")  # replaced by `renumber` where it is no id
        if not is_id(key):
            self._wanting.append((self._number, len(rows), None))
        elif key in self._first:
            before = self._first[key]
            if (rows.frames[before], rows.labels[before], rows.boxes[before]) == (frame, label, box):
                return "duplicate id", f"the same object again, id {short(key)}"
            self._wanting.append((self._number, len(rows), key))
        else:
            self._first[key] = len(rows)
        area: Any = record.get("area")
        rows.frames.append(frame)
        rows.labels.append(label)
        rows.boxes.append(box)
        rows.areas.append(area if _is_area(area) else box[2] * box[3])
        rows.crowd.append(_is_set(record.get("iscrowd")) or _is_set(record.get("ignore")))
        rows.ids.append(key)
        rows.occlusions.append(_level(record.get("occlusion")) if self._own else None)
        rows.corners.append(_corners(record.get("segmentation")) if self._own else None)
        rows.labelled.append(_spectra(record.get("labelled_in")) if self._own else ())
        return None

    def renumber(self) -> Iterable[tuple[int, str]]:
        """Give objects whose id is missing or taken one of their own; yields what was done."""
        last = max((key for key in self._first if isinstance(key, int)), default=0)
        start = max(last, 0) + 1 if last + len(self._wanting) < _LARGEST_ID - 1 else 1
        free = (key for key in count(start) if key not in self._first)
        for key, (number, row, old) in zip(free, self._wanting, strict=False):
            self.rows.ids[row] = key
            yield number, f"{'no id' if old is None else f'id {short(old)} is taken'}; it has {key} here"


def _looked_up(table: Mapping[Any, int], key: object) -> int | None:
    return table.get(key) if is_id(key) else None


def _are_numbers(box: object) -> TypeGuard[list[float]]:
    """Four numbers in a sane range; not NaN, which is in no range."""
    if not isinstance(box, list) or len(box) != 4:
        return False
    return _in_range(box)


def _in_range(sides: list[Any]) -> bool:
    return all(type(side) in (int, float) and -_FARTHEST < side < _FARTHEST for side in sides)


def _is_area(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < _FARTHEST**2


def _level(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= 2 else None


def _spectra(names: Any) -> tuple[Spectrum, ...]:
    """In which pictures an object was labelled; what is none of them is passed over."""
    both: tuple[Spectrum, ...] = ("rgb", "ir")
    return tuple(one for one in both if one in names) if isinstance(names, list) else ()


def _corners(polygons: Any) -> tuple[float, ...] | None:
    """x1, y1 .. x4, y4 of the one polygon with four corners that a segmentation is."""
    one = polygons[0] if isinstance(polygons, list) and len(polygons) == 1 else None
    if not isinstance(one, list) or len(one) != 8:
        return None
    return tuple(map(float, one)) if _in_range(one) else None


def _is_set(flag: object) -> bool:
    """Whether a 0/1 flag is 1."""
    return isinstance(flag, (int, float)) and flag == 1
