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
Some files have an oriented box, `<polygon> <x1>..</x1> <y1>..</y1> .. <x4> <y4> </polygon>`, beside the upright one or
instead of it. Files that caffdet wrote may also have `<ignored>1</ignored>` and `<occlusion>0..2</occlusion>`.
"""

from pathlib import Path
from xml.etree.ElementTree import Element

from caffdet_cli.data.formats.hostile import LARGEST_XML, BrokenXml, parse_xml, read_bytes, short
from caffdet_cli.data.formats.records import Corners, RawObject, RawRecord, hull, number

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_POLYGON = tuple(f"{axis}{corner}" for corner in "1234" for axis in "xy")
_OCCLUSIONS = {"0": 0, "1": 1, "2": 2}
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
    box, corners, problem = _boxes(element)
    ignored = _text(element, "ignored") == "1"
    return RawObject(
        _text(element, "name"),
        box,
        problem,
        difficult=_text(element, "difficult") == "1" and not ignored,
        ignored=ignored,
        occlusion=_OCCLUSIONS.get(_text(element, "occlusion")),
        corners=corners,
    )


def _boxes(element: Element) -> tuple[tuple[float, float, float, float] | None, Corners | None, str]:
    """The upright and the oriented box, or what is wrong with them."""
    polygon, upright = element.find("polygon"), element.find("bndbox")
    if polygon is None or polygon.find("x1") is None:  # other tools call other things a polygon
        sides, problem = _sides(upright, "bndbox", _CORNERS)
        return (None if problem else (sides[0], sides[1], sides[2], sides[3])), None, problem
    points, problem = _sides(polygon, "polygon", _POLYGON)
    if problem:
        return None, None, problem
    corners = tuple(zip(points[::2], points[1::2], strict=True))
    if upright is None:
        return hull(corners), corners, ""
    sides, problem = _sides(upright, "bndbox", _CORNERS)
    return (None, None, problem) if problem else ((sides[0], sides[1], sides[2], sides[3]), corners, "")


def _sides(element: Element | None, called: str, tags: tuple[str, ...]) -> tuple[list[float], str]:
    """Numbers, or what is wrong with them."""
    if element is None:
        return [], f"no <{called}>"
    sides = []
    for tag in tags:
        text = _text(element, tag)
        side = number(text)
        if side is None:
            return [], f"<{tag}> is {short(text)}, a number is needed" if text else f"<{tag}> is missing or empty"
        sides.append(side)
    return sides, ""


def _size(element: Element | None) -> tuple[int, int] | None:
    if element is None:
        return None
    sides = [number(_text(element, tag)) for tag in ("width", "height")]
    width, height = (round(side) if side is not None and 1 <= side <= _LARGEST_SIDE else None for side in sides)
    return None if width is None or height is None else (width, height)


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()
