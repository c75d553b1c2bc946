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

from pathlib import Path
from xml.etree.ElementTree import Element

from caffdet_cli.data.formats.hostile import LARGEST_XML, BrokenXml, parse_xml, read_bytes, short
from caffdet_cli.data.formats.records import RawObject, RawRecord, number

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LARGEST_SIDE = 1_000_000


def read_voc(path: Path, picture: Path | None = None) -> RawRecord:
    """A Pascal VOC file; its picture is not looked at.

    Raises:
        DatasetError: it cannot be read.
        BrokenXml: it is no XML, hostile, or its root is not <annotation>.
    """
    return parse_voc(read_bytes(path, LARGEST_XML))


def parse_voc(content: bytes) -> RawRecord:
    """The content of a Pascal VOC file; blanks before the XML declaration are passed over.

    Raises:
        BrokenXml: as `read_voc`.
    """
    root = parse_xml(content.lstrip())
    if root.tag != "annotation":
        raise BrokenXml(f"the root is <{short(root.tag)[1:-1]}>, not <annotation>")
    return RawRecord(_text(root, "filename"), _size(root.find("size")), tuple(map(_object, root.findall("object"))))


def _object(element: Element) -> RawObject:
    box, problem = _box(element.find("bndbox"))
    return RawObject(_text(element, "name"), box, problem, _text(element, "difficult") == "1")


def _box(element: Element | None) -> tuple[tuple[float, float, float, float] | None, str]:
    """Corners, or what is wrong with them."""
    if element is None:
        return None, "no <bndbox>"
    sides = []
    for tag in _CORNERS:
        text = _text(element, tag)
        side = number(text)
        if side is None:
            return None, f"<{tag}> is {short(text)}, a number is needed" if text else f"<{tag}> is missing or empty"
        sides.append(side)
    left, top, right, bottom = sides
    return (left, top, right, bottom), ""


def _size(element: Element | None) -> tuple[int, int] | None:
    if element is None:
        return None
    sides = [number(_text(element, tag)) for tag in ("width", "height")]
    width, height = (round(side) if side is not None and 1 <= side <= _LARGEST_SIDE else None for side in sides)
    return None if width is None or height is None else (width, height)


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()
