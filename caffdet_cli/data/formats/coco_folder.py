"""A COCO download.

annotations/instances_{train,val}2017.json    or of another year
train2017/  val2017/                          or  images/train2017/  images/val2017/
"""

import re
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.layout import (
    SPLITS,
    Raw,
    Request,
    SplitName,
    entries,
    first_filled,
    holds_something,
    subfolder,
)
from caffdet_cli.errors import DatasetError

LOOKS = "annotations/instances_*.json beside train2017/ and val2017/, or these in images/"

_NAME = re.compile(r"instances_(?P<folder>(?P<split>train|val|test)\d*)\.json")


def looks_like_coco(source: Path) -> bool:
    """Whether a folder has this layout."""
    return bool(_files(source))


def read_coco_folder(request: Request) -> Raw:
    """A COCO download. Its pictures are RGB, unless labels are told to belong to infrared ones.

    Raises:
        DatasetError: a file is broken, or its pictures are nowhere.
    """
    found = _files(request.source)
    splits = {split: _read(*found[split], request) for split in SPLITS if split in found}
    return Raw(splits, ("ir",) if request.label_spectrum == "ir" else ("rgb",))


def _files(source: Path) -> dict[SplitName, tuple[Path, str]]:
    """The annotation file of each split, of the latest year, and the name of its picture folder."""
    annotations = subfolder(source, "annotations")
    found: dict[SplitName, tuple[Path, str]] = {}
    for path in sorted(entries(annotations)) if annotations else []:
        if match := _NAME.fullmatch(path.name):
            split: SplitName = next(name for name in SPLITS if name == match["split"])
            found[split] = path, match["folder"]
    return found


def _read(path: Path, name: str, request: Request) -> AnnotationSet:
    folder = first_filled(request.source, (name, f"images/{name}"))
    if folder is None or not holds_something(folder):
        raise DatasetError(f"{request.source}: there are no pictures in {name} or images/{name}; unpack them there")
    if request.label_spectrum == "ir":
        return read_coco(path, ir=folder, findings=request.findings)
    return read_coco(path, rgb=folder, findings=request.findings)
