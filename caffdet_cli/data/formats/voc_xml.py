"""One Pascal VOC file -> one record, whatever the order of its tags and the spelling of its numbers.

    <annotation>
      <filename>000001.jpg</filename>
      <size> <width>640</width> <height>512</height> </size>
      <object>
        <name>person</name>
        <bndbox> <xmin>1</xmin> <ymin>2</ymin> <xmax>30</xmax> <ymax>40</ymax> </bndbox>
      </object>
    </annotation>

Corners are positions in pixels: width = xmax - xmin. Parts inside an object, poses and flags are passed over.
"""

import math
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

from caffdet_cli.data.formats.hostile import LARGEST_XML, BrokenXml, parse_xml, read_bytes, short

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_FARTHEST = 1e9  # pixels
_LARGEST_SIDE = 1_000_000


class VocObject(NamedTuple):
    """One object; `problem` says why `box` is None."""

    name: str  # empty: there is none
    box: tuple[float, float, float, float] | None  # xyxy, pixels
    problem: str
    difficult: bool


class VocRecord(NamedTuple):
    """One picture's annotation."""

    filename: str  # empty: there is none
    size: tuple[int, int] | None  # width, height in pixels; None: missing, or no numbers
    objects: tuple[VocObject, ...]


def read_voc(path: Path) -> VocRecord:
    """A Pascal VOC file.

    Raises:
        DatasetError: it cannot be read.
        BrokenXml: it is no XML, hostile, or its root is not <annotation>.
    """
    return parse_voc(read_bytes(path, LARGEST_XML))


def parse_voc(content: bytes) -> VocRecord:
    """The content of a Pascal VOC file; blanks before the XML declaration are passed over.

    Raises:
        BrokenXml: as `read_voc`.
    """
    root = parse_xml(content.lstrip())
    if root.tag != "annotation":
        raise BrokenXml(f"the root is <{short(root.tag)[1:-1]}>, not <annotation>")
    return VocRecord(_text(root, "filename"), _size(root.find("size")), tuple(map(_object, root.findall("object"))))


def _object(element: Element) -> VocObject:
    box, problem = _box(element.find("bndbox"))
    return VocObject(_text(element, "name"), box, problem, _text(element, "difficult") == "1")


def _box(element: Element | None) -> tuple[tuple[float, float, float, float] | None, str]:
    """Corners, or what is wrong with them."""
    if element is None:
        return None, "no <bndbox>"
    sides = []
    for tag in _CORNERS:
        text = _text(element, tag)
        side = _number(text)
        if side is None:
            return None, f"<{tag}> is {short(text)}, a number is needed" if text else f"<{tag}> is missing or empty"
        sides.append(side)
    left, top, right, bottom = sides
    return (left, top, right, bottom), ""


def _size(element: Element | None) -> tuple[int, int] | None:
    if element is None:
        return None
    sides = [_number(_text(element, tag)) for tag in ("width", "height")]
    width, height = (round(side) if side is not None and 1 <= side <= _LARGEST_SIDE else None for side in sides)
    return None if width is None or height is None else (width, height)


def _number(text: str) -> float | None:
    """A finite number of any spelling: `12`, `12.5`, ` 1.2e1 `."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < _FARTHEST else None


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()
