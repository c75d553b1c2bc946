"""Writing Pascal VOC: one XML file per picture or pair, as `voc_xml` reads it.

A region that evaluation ignores is <difficult>, as VOC's own evaluation has it, and <ignored>; a level of occlusion is
<occluded> and <occlusion>; an oriented box is <polygon> beside the upright one around it.
"""

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from caffdet_cli.data.annotations import AnnotationSet, Example, Objects

_DECIMALS = 6  # of a pixel, as COCO files have it
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_POLYGON = tuple(f"{axis}{corner}" for corner in "1234" for axis in "xy")


def voc_text(example: Example, annotations: AnnotationSet, picture: str) -> str:
    """The annotation of one picture or pair.

    Args:
        annotations: that it is of, for names of classes.
        picture: name of the file that the boxes are drawn on.
    """
    root = Element("annotation")
    _add(root, {"folder": Path(picture).parent.name, "filename": Path(picture).name})
    _add(SubElement(root, "size"), {"width": example.width, "height": example.height, "depth": 3})
    _add(root, {"segmented": 0})
    for row in range(len(example.objects)):
        _object(SubElement(root, "object"), example.objects, row, annotations)
    ElementTree.indent(root, "  ")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _object(element: Element, objects: Objects, row: int, annotations: AnnotationSet) -> None:
    ignored = int(objects.crowd[row])
    _add(element, {"name": annotations.categories[objects.labels[row]].name, "difficult": ignored})
    if ignored:
        _add(element, {"ignored": 1})
    if objects.occlusions is not None:
        level = int(objects.occlusions[row])
        _add(element, {"occluded": int(level > 0), "occlusion": level})
    box = zip(_CORNERS, objects.boxes[row].tolist(), strict=True)
    _add(SubElement(element, "bndbox"), {tag: _number(side) for tag, side in box})
    corners = None if objects.corners is None else objects.corners[row]
    if corners is not None:
        polygon = zip(_POLYGON, corners, strict=True)
        _add(SubElement(element, "polygon"), {tag: _number(side) for tag, side in polygon})


def _add(parent: Element, values: Mapping[str, object]) -> None:
    for tag, value in values.items():
        SubElement(parent, tag).text = str(value)


def _number(value: float) -> int | float:
    """Whole numbers without a point."""
    rounded = round(value, _DECIMALS)
    return int(rounded) if rounded.is_integer() else rounded
