"""One YOLO label file -> one record.

    class  centre x  centre y  width  height          one object a line, in fractions of the picture
    0 0.481719 0.634028 0.690625 0.713278

An empty file is a picture without objects. Sizes come from the picture's header, after its EXIF rotation. Lines of
other forms are read only where that form was asked for: `corners` (class x1 y1 .. x4 y4, oriented boxes) and `polygons`
(class x1 y1 x2 y2 ..; the box around each is taken).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from caffdet_cli.data.formats.hostile import read_bytes, short
from caffdet_cli.data.formats.records import BrokenAnnotation, RawObject, RawRecord, Reader, hull, number
from caffdet_cli.data.images import picture_size

Form = Literal["boxes", "corners", "polygons"]

LARGEST_LABELS = 16 << 20  # bytes
ROUNDING = 1e-3
"""Of a side: by so much a box may leave its picture through rounding, and is cut without a word."""

_BOX = ("centre x", "centre y", "width", "height")
_MOST_CLASSES = 1_000_000


def yolo_reader(names: Mapping[int, str] | None, form: Form = "boxes") -> Reader:
    """A reader of label files.

    Args:
        names: of the class numbers; None: classes are called by their numbers.
        form: of the lines; lines of five columns are boxes in each.
    """

    def read(path: Path, picture: Path | None = None) -> RawRecord:
        """Without a picture boxes are fractions, good for counting only."""
        content = read_bytes(path, LARGEST_LABELS)
        if picture is None:
            return RawRecord("", None, parse_yolo(content, (1, 1), names, form))
        height, width = picture_size(picture)
        return RawRecord("", (width, height), parse_yolo(content, (width, height), names, form))

    return read


def parse_yolo(
    content: bytes, size: tuple[int, int], names: Mapping[int, str] | None = None, form: Form = "boxes"
) -> tuple[RawObject, ...]:
    """The objects of a label file.

    Args:
        size: width and height of the picture in pixels.

    Raises:
        BrokenAnnotation: it is no text, or a line has another number of columns than the form has.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BrokenAnnotation(f"byte {error.start}: no text in UTF-8") from error
    rows = ((line, columns) for line, row in enumerate(text.splitlines(), 1) if (columns := row.split()))
    return tuple(_object(line, columns, size, names, form) for line, columns in rows)


def _object(
    line: int, columns: Sequence[str], size: tuple[int, int], names: Mapping[int, str] | None, form: Form
) -> RawObject:
    _check_columns(line, len(columns), form)
    key = _class(columns[0])
    if key is None:
        return RawObject("", None, f"line {line}: class is {short(columns[0])}, a whole number from 0 is needed")
    name = str(key) if names is None else names.get(key, f"number {key}")
    if len(columns) == len(_BOX) + 1:
        return _box(line, name, columns[1:], size)
    return _points(line, name, columns[1:], size, form)


def _check_columns(line: int, columns: int, form: Form) -> None:
    """Columns mean something else in each form, so a wrong number of them puts the whole file in doubt."""
    if (
        columns == 5
        or (form == "corners" and columns == 9)
        or (form == "polygons" and columns >= 7 and columns % 2 == 1)
    ):
        return
    what = f"line {line} has {columns} columns"
    if columns == 6:
        raise BrokenAnnotation(f"{what}: with a sixth, a confidence, it is a detection and no label; leave it out")
    if form == "boxes" and columns == 9:
        raise BrokenAnnotation(f"{what}: four corners? The format yolo reads them with --variant corners")
    if form != "polygons" and columns >= 7 and columns % 2 == 1:
        raise BrokenAnnotation(f"{what}: a polygon? The format yolo takes the boxes around, with --variant polygons")
    raise BrokenAnnotation(f"{what}; a label is: class, {', '.join(_BOX)}")


def _class(text: str) -> int | None:
    """Some tools write the number of a class as 0.0."""
    value = number(text)
    whole = value is not None and value.is_integer() and 0 <= value < _MOST_CLASSES
    return int(value) if value is not None and whole else None


def _box(line: int, name: str, columns: Sequence[str], size: tuple[int, int]) -> RawObject:
    values = [number(text) for text in columns]
    for value, text, what in zip(values, columns, _BOX, strict=True):
        lowest = 0.0 if what in ("width", "height") else -ROUNDING
        if value is None or not lowest <= value <= 1 + ROUNDING:
            return RawObject(name, None, _no_fraction(line, what, text))
    across, down, width, height = (value or 0.0 for value in values)
    left, right = (_pixels(across + side * width / 2, size[0]) for side in (-1, 1))
    top, bottom = (_pixels(down + side * height / 2, size[1]) for side in (-1, 1))
    return RawObject(name, (left, top, right, bottom))


def _points(line: int, name: str, columns: Sequence[str], size: tuple[int, int], form: Form) -> RawObject:
    sides = []
    for at, text in enumerate(columns):
        value = number(text)
        if value is None or not -ROUNDING <= value <= 1 + ROUNDING:
            return RawObject(name, None, _no_fraction(line, f"{'xy'[at % 2]}{at // 2 + 1}", text))
        sides.append(_pixels(value, size[at % 2]))
    points = tuple(zip(sides[::2], sides[1::2], strict=True))
    return RawObject(name, hull(points), corners=points if form == "corners" else None)


def _no_fraction(line: int, what: str, text: str) -> str:
    return f"line {line}: {what} is {short(text)}, a fraction of the picture from 0 to 1 is needed"


def _pixels(fraction: float, side: int) -> float:
    """A position in pixels; what rounding put out of the picture lies on its border."""
    if -ROUNDING <= fraction <= 1 + ROUNDING:
        fraction = min(max(fraction, 0.0), 1.0)
    return fraction * side
