"""One annotation of CVC-14 -> one record. Written from descriptions: no archive of CVC-14 was opened.

    97 101 18 52 1 0 0 0 0 1 0
    121 105  15 46 0 0 0 0 0 2 0

A line is `x y w h mandatory 0 0 0 0 track 0`; x and y are the centre of the box, in pixels. Who is not mandatory (0) is
ignored: neither found nor missed. Columns have one blank or more between them. An empty file has no pedestrian.
"""

from pathlib import Path

from caffdet_cli.data.formats.hostile import read_bytes, short
from caffdet_cli.data.formats.layout import PICTURES
from caffdet_cli.data.formats.records import BrokenAnnotation, RawObject, RawRecord, number
from caffdet_cli.data.images import picture_size
from caffdet_cli.errors import DatasetError

PEDESTRIAN = "pedestrian"
_COLUMNS = 11
_MANDATORY = 4  # place of the column
_LARGEST = 1 << 20  # bytes


def read_cvc14(path: Path, picture: Path | None = None) -> RawRecord:
    """An annotation file, with the size of its picture. A picture instead is one without pedestrians.

    Raises:
        DatasetError: it cannot be read.
        BrokenAnnotation: it is not of this form.
    """
    objects = () if path.suffix.lower() in PICTURES else parse_cvc14(read_bytes(path, _LARGEST))
    return RawRecord("", _size(picture), objects)


def parse_cvc14(content: bytes) -> tuple[RawObject, ...]:
    """The content of an annotation file.

    Raises:
        BrokenAnnotation: a line is not as described.
    """
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        raise BrokenAnnotation(f"byte {error.start} is not ASCII text") from error
    lines = enumerate(text.split("\n"), start=1)
    return tuple(_object(place, line.split()) for place, line in lines if line.strip())


def _object(place: int, words: list[str]) -> RawObject:
    values = [number(word) for word in words]
    if len(words) != _COLUMNS or None in values or words[_MANDATORY] not in ("0", "1"):
        raise BrokenAnnotation(
            f"line {place}: {short(' '.join(words))}; a pedestrian is 11 numbers, x y w h of its centre, "
            "1 or 0, four others, a track and another"
        )
    across, down, width, height = (value or 0.0 for value in values[:4])
    box = (across - width / 2, down - height / 2, across + width / 2, down + height / 2)
    return RawObject(PEDESTRIAN, box, ignored=words[_MANDATORY] == "0")


def _size(picture: Path | None) -> tuple[int, int] | None:
    """Width and height; None where there is no such picture, which is told when all pictures are looked at."""
    try:
        height, width = picture_size(picture) if picture is not None else (0, 0)
    except DatasetError:
        return None
    return (width, height) if width else None
