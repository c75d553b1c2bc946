"""Masks of COCO files for `--metric segm`, as run lengths that pycocotools' C code can be trusted with.

A mask is a list of polygons, a list of run lengths, or a packed text of run lengths. What comes from a file is checked
before C code sees it: broken run lengths would make it read and write outside its memory.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.formats.hostile import read_json, short
from caffdet_cli.errors import DatasetError
from caffdet_cli.evaluation.engines import Size
from caffdet_cli.evaluation.raw_records import raw_objects

Mask = dict[str, Any]  # {"size": [height, width], "counts": bytes}
Masks = dict[int | str, list[Mask]]

_MOST_PIXELS = 2**31 - 1
_LONGEST_OUTLINE = 2_000_000  # pixels; C code keeps five points for each


def masks_of_truth(annotations: AnnotationSet) -> Masks:
    """The masks of all objects, by picture id, in the order of its objects.

    Raises:
        DatasetError: an object has none, or it is broken.
    """
    document = read_json(annotations.source)
    masks: Masks = {}
    for example, records in zip(annotations.examples, raw_objects(annotations, document), strict=True):
        size = example.height, example.width
        masks[example.id] = [
            read_mask(record.content.get("segmentation"), size, f"{annotations.source}: annotations[{record.number}]")
            for record in records
        ]
    return masks


def masks_of_detections(path: Path, annotations: AnnotationSet) -> Masks:
    """The masks of a file that `read_detections` has taken, by picture id, in its order.

    Raises:
        DatasetError: a detection has none, or it is broken.
    """
    sizes = {example.id: (example.height, example.width) for example in annotations.examples}
    masks: Masks = {}
    for index, entry in enumerate(read_json(path)):
        key = entry["image_id"]
        mask = read_mask(entry.get("segmentation"), sizes[key], f"{path}: entry {index}")
        masks.setdefault(key, []).append(mask)
    return masks


def read_mask(value: Any, size: Size, place: str) -> Mask:
    """One mask of a picture of this height and width.

    Raises:
        DatasetError: it is missing, broken, or of another size; `place` is its record's.
    """
    where = f"{place}.segmentation"
    if size[0] * size[1] > _MOST_PIXELS:
        raise DatasetError(f"{where}: its picture has {size[0]} x {size[1]} pixels, too many for masks")
    if isinstance(value, list) and value:
        return _of_polygons(value, size, where)
    if isinstance(value, dict):
        return _of_runs(value, size, where)
    state = "is missing" if value is None or value == [] else f"is {short(value)}"
    raise DatasetError(f"{where} {state}; --metric segm needs a mask there: polygons or run lengths")


def _of_polygons(value: list[Any], size: Size, where: str) -> Mask:
    for number, polygon in enumerate(value):
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise DatasetError(
                f"{where}[{number}] is {short(polygon)}; a polygon is x, y, x, y, ... of 3 points or more"
            )
        if not all(type(side) in (int, float) and abs(side) <= _LONGEST_OUTLINE for side in polygon):  # nor NaN
            raise DatasetError(f"{where}[{number}] holds something else than coordinates in pixels")
    if sum(map(_outline, value)) > _LONGEST_OUTLINE:
        raise DatasetError(f"{where}: its outline is longer than {_LONGEST_OUTLINE} pixels")
    packed: Mask = coco_mask.merge(coco_mask.frPyObjects([list(map(float, each)) for each in value], *size))
    return packed


def _outline(polygon: Sequence[float]) -> float:
    points = list(zip(polygon[::2], polygon[1::2], strict=True))
    return sum(math.dist(one, other) for one, other in pairwise([*points, points[0]]))


def _of_runs(value: dict[str, Any], size: Size, where: str) -> Mask:
    if value.get("size") != list(size):
        raise DatasetError(f"{where}.size is {short(value.get('size'))}, its picture has {list(size)} (height, width)")
    counts = value.get("counts")
    runs = _unpacked(counts) if isinstance(counts, str) else _listed(counts)
    if runs is None or (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise DatasetError(f"{where}.counts: these are no run lengths that make up a picture of {size[0]} x {size[1]}")
    if isinstance(counts, str):
        return {"size": list(size), "counts": counts.encode("ascii")}
    packed: Mask = coco_mask.frPyObjects({"size": list(size), "counts": runs.tolist()}, *size)
    return packed


def _listed(counts: Any) -> NDArray[np.int64] | None:
    """Run lengths as numbers; None if they are not."""
    if not isinstance(counts, list) or not all(type(run) is int and 0 <= run <= _MOST_PIXELS for run in counts):
        return None
    return np.array(counts, np.int64)


def _unpacked(counts: str) -> NDArray[np.int64] | None:
    """Run lengths of a packed text; None if it is broken.

    A character has five bits, the lowest first, and one that says whether more follow; the last one's highest bit is
    the sign. From the fourth number on it is the difference to the last but one.
    """
    signs = np.frombuffer(counts.encode("utf-8", "replace"), np.uint8).astype(np.int64) - 48
    if not len(signs) or signs.min() < 0 or signs.max() > 63 or signs[-1] & 32:
        return None
    ends = np.flatnonzero((signs & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:
        return None
    shifts = 5 * (np.arange(len(signs)) - np.repeat(starts, lengths))
    values = np.add.reduceat((signs & 31) << shifts, starts)
    values -= np.where(signs[ends] & 16, 1 << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
