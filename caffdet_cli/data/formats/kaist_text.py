"""One annotation of KAIST -> one record: its own text form, or a Pascal VOC file of a re-packed copy.

    % bbGt version=3
    person 282 209 52 111 0 0 0 0 0 0 0

A line is `label x y w h occlusion vx vy vw vh ignore angle`; occlusion is 0 none, 1 partial, 2 heavy. Coordinates count
from 1, as Matlab's do, and stay as they are: published numbers are made of them so.

Groups, unsure cases and cyclists are persons that are ignored: neither found nor missed.
Source: Hwang et al., Multispectral Pedestrian Detection, CVPR 2015; github.com/SoonminHwang/rgbt-ped-detection.
"""

from pathlib import Path

from caffdet_cli.data.formats.hostile import read_bytes, short
from caffdet_cli.data.formats.records import BrokenAnnotation, RawObject, RawRecord, number
from caffdet_cli.data.formats.voc_xml import read_voc

SIZE = (640, 512)
"""Width and height of all pictures, in pixels."""

PERSON = "person"
IGNORED = frozenset(("people", "person?", "person?a", "cyclist"))
"""Other labels, in small letters."""

_HEAD = ["%", "bbGt", "version=3"]
_COLUMNS = ("label", "x", "y", "w", "h", "occlusion", "vx", "vy", "vw", "vh", "ignore", "angle")
_LARGEST = 1 << 20  # bytes


def read_kaist(path: Path, picture: Path | None = None) -> RawRecord:
    """An annotation in one of the two forms; its picture is not looked at.

    Raises:
        DatasetError: it cannot be read.
        BrokenAnnotation: it is not of its form.
    """
    if path.suffix.lower() == ".xml":
        record = read_voc(path)
        return record._replace(objects=tuple(map(_as_person, record.objects)))
    return parse_kaist(read_bytes(path, _LARGEST))


def parse_kaist(content: bytes) -> RawRecord:
    """The content of a text file.

    Raises:
        BrokenAnnotation: it is no text, or does not begin as one.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BrokenAnnotation(f"byte {error.start} is not text") from error
    lines = [(place, line.split()) for place, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines or lines[0][1] != _HEAD:
        begins = f"begins with {short(' '.join(lines[0][1]))}" if lines else "is empty"
        raise BrokenAnnotation(f"it {begins}; an annotation of KAIST begins with '{' '.join(_HEAD)}'")
    return RawRecord("", SIZE, tuple(_as_person(_object(*line)) for line in lines[1:]))


def _as_person(one: RawObject) -> RawObject:
    """All that are ignored are persons too, so that there is one class; other names stay, to be reported."""
    name = one.name.casefold()
    if name in IGNORED:
        return one._replace(name=PERSON, ignored=True)
    return one._replace(name=PERSON) if name == PERSON else one


def _object(place: int, words: list[str]) -> RawObject:
    label = words[0]
    if len(words) != len(_COLUMNS):
        return _broken(label, f"line {place}: {len(words)} columns, an object has {len(_COLUMNS)}")
    values = {}
    for column, word in zip(_COLUMNS[1:], words[1:], strict=True):
        value = number(word)
        if value is None:
            return _broken(label, f"line {place}: {column} is {short(word)}, a number is needed")
        values[column] = value
    if values["occlusion"] not in (0, 1, 2):
        return _broken(label, f"line {place}: occlusion {values['occlusion']:g}, it is 0, 1 or 2")
    left, top = values["x"], values["y"]
    return RawObject(
        name=label,
        box=(left, top, left + values["w"], top + values["h"]),
        ignored=values["ignore"] == 1,
        occlusion=int(values["occlusion"]),
    )


def _broken(label: str, problem: str) -> RawObject:
    return RawObject(label, None, problem)
