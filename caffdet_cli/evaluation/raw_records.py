"""The records of a COCO file behind the objects that were read from it, for keys that a metric needs and nobody else.

Objects come in the order of the file; what could not be used is missing among them. So the records of a picture are
gone through once, and each object takes the next one with its class and box.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.formats.coco_rows import is_id
from caffdet_cli.errors import DatasetError


class Numbered(NamedTuple):
    """A record and its place in the list `annotations`."""

    number: int
    content: Mapping[str, Any]


def raw_objects(annotations: AnnotationSet, document: Mapping[str, Any]) -> list[list[Numbered]]:
    """The records of the objects of each picture.

    Args:
        document: content of `annotations.source`.

    Raises:
        DatasetError: the file is another one than that which was read.
    """
    by_picture: dict[int | str, list[Numbered]] = {}
    first: dict[int | str, Any] = {}  # by annotation id
    for number, record in enumerate(document["annotations"]):
        if not isinstance(record, dict) or not is_id(record.get("image_id")):
            continue
        corners = _corners(record.get("bbox"))
        what = record["image_id"], record.get("category_id"), corners
        if corners is None or (is_id(record.get("id")) and _is_again(first, record["id"], what)):
            continue
        by_picture.setdefault(record["image_id"], []).append(Numbered(number, record))
    return [list(_own(annotations, example, iter(by_picture.get(example.id, ())))) for example in annotations.examples]


def raw_images(document: Mapping[str, Any]) -> dict[int | str, Mapping[str, Any]]:
    """Image records by id, the first of an id."""
    images: dict[int | str, Mapping[str, Any]] = {}
    for record in document["images"]:
        if isinstance(record, dict) and is_id(record.get("id")):
            images.setdefault(record["id"], record)
    return images


def _own(annotations: AnnotationSet, example: Example, records: Iterator[Numbered]) -> Iterator[Numbered]:
    objects = example.objects
    for label, corners in zip(objects.labels.tolist(), objects.boxes.tolist(), strict=True):
        category = annotations.categories[label].id
        for record in records:
            if record.content.get("category_id") == category and _corners(record.content.get("bbox")) == corners:
                yield record
                break
        else:
            raise DatasetError(f"{annotations.source} was changed while it was read; try again")


def _is_again(first: dict[int | str, Any], key: int | str, what: Any) -> bool:
    """Whether the same object came before under this id; `read_coco` drops such a one."""
    before = first.setdefault(key, what)
    return before is not what and before == what


def _corners(bbox: Any) -> list[float] | None:
    """As `read_coco` makes them of left, top, width and height; None of a box that it drops."""
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(type(side) in (int, float) for side in bbox):
        return None
    left, top, width, height = bbox
    try:
        if width <= 0 or height <= 0:
            return None
        return [float(left), float(top), float(width) + float(left), float(height) + float(top)]
    except OverflowError:
        return None
