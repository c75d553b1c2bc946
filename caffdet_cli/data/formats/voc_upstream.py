"""Pascal VOC -> COCO exactly as CAFF-DETR's own script does it, faults included; for comparing with published files.

A picture enters when a tag after <size> is reached (else it is lost), ids are texts cut at their first dot, an
object's `image_id` comes from the XML file's name and its picture's id from <filename>, classes count from 0 in order
of first appearance, and one odd file ends it all. `voc_folder.py` is what to use for training.

Source: kevinhelvig/CAFF-DETR@de78e6a, annotation_scripts/voc_to_coco.py.
"""

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from caffdet_cli.data.formats.hostile import LARGEST_XML, BrokenXml, parse_xml, read_bytes
from caffdet_cli.errors import DatasetError

_CORNERS = {"xmin", "ymin", "xmax", "ymax"}


def voc_to_coco_as_upstream(folder: Path) -> dict[str, Any]:
    """The COCO document of the XML files in `folder`, in the order of their names.

    Raises:
        DatasetError: where the script ends with an error; the message is its last line.
    """
    conversion = _Conversion()
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.endswith(".xml"):
            conversion.add(path)
    return conversion.document


class _Conversion:
    def __init__(self) -> None:
        self._images: dict[str, dict[str, Any]] = {}  # by <filename>
        self._annotations: list[dict[str, Any]] = []
        self._categories: dict[str, int] = {}

    @property
    def document(self) -> dict[str, Any]:
        categories = [{"supercategory": "none", "id": key, "name": name} for name, key in self._categories.items()]
        images = list(self._images.values())
        return {"images": images, "type": "instances", "annotations": self._annotations, "categories": categories}

    def add(self, path: Path) -> None:
        """One file, tag by tag."""
        try:
            root = parse_xml(read_bytes(path, LARGEST_XML))
        except BrokenXml as error:
            raise DatasetError(f"xml.etree.ElementTree.ParseError: {error}") from error
        if root.tag != "annotation":
            raise _stop(f"pascal voc xml root element should be annotation, rather than {root.tag}")
        name: str | None = None
        size: dict[str, int] = {}
        entered = False
        for element in root:
            if element.tag == "filename":
                name = element.text
            elif element.tag != "folder" and not entered and name is not None and "width" in size:
                self._enter(name, size)
                entered = True
            if element.tag == "size":
                size = {side.tag: _whole(side.text) for side in element}
            elif element.tag == "object":
                self._add_object(element, _stem(path.name), entered)

    def _enter(self, name: str, size: dict[str, int]) -> None:
        if name in self._images:
            raise _stop(f"duplicated image: {name}")
        sides = {"width": size["width"], "height": size.get("height")}
        self._images[name] = {"id": _stem(name), "file_name": name, **sides}

    def _add_object(self, element: Element, image_id: str, entered: bool) -> None:
        category = None
        for part in element:
            if part.tag == "name":
                category = self._categories.setdefault(part.text or "", len(self._categories))
            elif part.tag == "bndbox":
                corners = {side.tag: _whole(side.text) for side in part}
                if category is None or not entered or corners.keys() != _CORNERS:
                    raise _stop("xml structure broken at bndbox tag")
                self._annotations.append(_annotation(corners, image_id, category, len(self._annotations) + 1))


def _annotation(corners: dict[str, int], image_id: str, category: int, key: int) -> dict[str, Any]:
    left, top, right, bottom = corners["xmin"], corners["ymin"], corners["xmax"], corners["ymax"]
    width, height = right - left, bottom - top
    return {
        "segmentation": [[left, top, left, bottom, right, bottom, right, top]],
        "area": width * height,
        "iscrowd": 0,
        "ignore": 0,
        "image_id": image_id,
        "bbox": [left, top, width, height],
        "category_id": category,
        "id": key,
    }


def _stem(name: str) -> str:
    return name.split(".")[0]


def _whole(text: str | None) -> int:
    try:
        return int(text or "")
    except ValueError as error:
        raise DatasetError(f"ValueError: {error}") from error


def _stop(message: str) -> DatasetError:
    return DatasetError(f"Exception: {message}")
