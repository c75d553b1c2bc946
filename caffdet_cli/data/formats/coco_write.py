"""Writing COCO, our paired form or plain: one record per line, the same bytes for the same annotations."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.formats.coco import FORMAT_VERSION
from caffdet_cli.paths import whole_file
from caffdet_cli.settings.base import Spectrum

_DECIMALS = 6  # of a pixel: hides the rounding of corner - corner


def write_coco(
    annotations: AnnotationSet,
    path: Path,
    *,
    root: Path,
    made_by: str,
    root_as: str | None = None,
    release: str = "",
    other_sizes: Mapping[int | str, tuple[int, int]] | None = None,
) -> None:
    """Write one split, whole or not at all.

    Args:
        root: folder that all pictures are in; their names are written relative to it.
        made_by: how the file was made, for `info.caffdet.made_by`.
        root_as: how `root` is called in the file, relative to the file's folder or absolute; None: the way from there.
        release: which annotations these are, for `info.caffdet.release`.
        other_sizes: width and height of the partner by picture id, where it differs from the label spectrum's.

    Raises:
        ValueError: a picture is not in `root`.
        DiskFull, OutputError: the file cannot be written.
    """
    called = os.path.relpath(root, path.parent) if root_as is None else root_as
    info = _info(annotations, called, made_by, release)
    _write(path, info, (_image(one, root, other_sizes or {}) for one in annotations.examples), annotations)


def write_plain_coco(
    annotations: AnnotationSet,
    path: Path,
    *,
    spectrum: Spectrum,
    root: Path,
    made_by: str,
    root_as: str | None = None,
    release: str = "",
) -> None:
    """Write the pictures of one spectrum as plain COCO, whole or not at all.

    Args:
        root, made_by, root_as, release: as `write_coco`.

    Raises:
        ValueError: a picture is missing or not in `root`.
        DiskFull, OutputError: the file cannot be written.
    """
    called = os.path.relpath(root, path.parent) if root_as is None else root_as
    info = {"description": "COCO", "root": called, "spectrum": spectrum, "made_by": made_by}
    info |= {"release": release} if release else {}
    _write(path, info, (_single(one, spectrum, root) for one in annotations.examples), annotations)


def _write(path: Path, info: dict[str, Any], images: Iterable[dict[str, Any]], annotations: AnnotationSet) -> None:
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{\n"info": ')
        file.write(_line(info))
        _list(file, "images", images)
        _list(file, "annotations", _records(annotations))
        _list(file, "categories", (category._asdict() for category in annotations.categories))
        file.write("\n}\n")


def _single(example: Example, spectrum: Spectrum, root: Path) -> dict[str, Any]:
    picture = example.rgb if spectrum == "rgb" else example.ir
    if picture is None:
        raise ValueError(f"{example.id!r} has no {spectrum} picture")
    size = {"width": example.width, "height": example.height}
    return {"id": example.id, **size, "file_name": picture.relative_to(root).as_posix()}


def _info(annotations: AnnotationSet, root: str, made_by: str, release: str) -> dict[str, Any]:
    info: dict[str, Any] = {"description": "RGB + infrared pairs in COCO form"}
    if root not in ("", "."):
        info["root"] = root
    about = {"version": FORMAT_VERSION, "label_spectrum": annotations.label_spectrum, "made_by": made_by}
    return {**info, "caffdet": {**about, "release": release} if release else about}


def _image(example: Example, root: Path, other_sizes: Mapping[int | str, tuple[int, int]]) -> dict[str, Any]:
    record: dict[str, Any] = {"id": example.id, "width": example.width, "height": example.height}
    if example.id in other_sizes:
        record["width_other"], record["height_other"] = other_sizes[example.id]
    return {**record, "file_name": _name(example.rgb, root), "file_name_IR": _name(example.ir, root)}


def _name(picture: Path | None, root: Path) -> str | None:
    return None if picture is None else picture.relative_to(root).as_posix()


def _records(annotations: AnnotationSet) -> Iterator[dict[str, Any]]:
    for example in annotations.examples:
        objects = example.objects
        none = [None] * len(objects)
        columns = (objects.ids, objects.boxes.tolist(), objects.labels.tolist(), objects.areas.tolist())
        corners = none if objects.corners is None else objects.corners
        occlusions = none if objects.occlusions is None else objects.occlusions.tolist()
        labelled = none if objects.labelled is None else objects.labelled
        more = (objects.crowd.tolist(), corners, occlusions, labelled)
        for key, (left, top, right, bottom), label, area, crowd, polygon, occlusion, spectra in zip(
            *columns, *more, strict=True
        ):
            record = {
                "id": key,
                "image_id": example.id,
                "category_id": annotations.categories[label].id,
                "bbox": [_number(left), _number(top), _number(right - left), _number(bottom - top)],
                "area": _number(area),
                "iscrowd": int(crowd),
                "segmentation": [] if polygon is None else [[_number(side) for side in polygon]],
            }
            if occlusion is not None:  # what scripts for a miss rate read
                record |= {"height": record["bbox"][3], "occlusion": occlusion, "ignore": int(crowd)}
            if spectra:
                record["labelled_in"] = list(spectra)
            yield record


def _number(value: float) -> int | float:
    """Whole numbers without a point."""
    rounded = round(value, _DECIMALS)
    return int(rounded) if rounded.is_integer() else rounded


def _list(file: TextIO, key: str, records: Iterable[dict[str, Any]]) -> None:
    file.write(f',\n"{key}": [')
    separator = "\n"
    for record in records:
        file.write(separator + _line(record))
        separator = ",\n"
    file.write("]" if separator == "\n" else "\n]")


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False)  # ASCII, so that names that are no UTF-8 survive
