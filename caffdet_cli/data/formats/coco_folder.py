"""A COCO download, and folders with a `dataset.toml` (`toml_folder`).

annotations/instances_{train,val}2017.json    or of another year, or none
train2017/  val2017/                          or  images/train2017/  images/val2017/
"""

import os
import re
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.formats.coco import read_coco, said_spectrum
from caffdet_cli.data.formats.coco_head import head, release_of
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
from caffdet_cli.data.formats.toml_folder import has_toml, read_toml_folder
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

LOOKS = (
    "annotations/instances_*.json beside train2017/ and val2017/, or these in images/; "
    "or a folder that is converted or described: dataset.toml and the annotations that it names"
)

_NAME = re.compile(r"instances_(?P<folder>(?P<split>train|val|test)\d*)\.json")


def looks_like_coco(source: Path) -> bool:
    """Whether a folder has this layout."""
    return bool(_files(source)) or has_toml(source)


def read_coco_folder(request: Request) -> Raw:
    """A COCO download. Its pictures are RGB, unless labels are told to belong to infrared ones.

    Raises:
        DatasetError: a file is broken, or its pictures are nowhere.
    """
    if has_toml(request.source):  # it says where pictures are and what they mean, whatever the layout
        return read_toml_folder(request)
    found = _files(request.source)
    spectra: dict[Spectrum, SplitName] = {}
    splits: dict[SplitName, AnnotationSet] = {}
    releases: list[str] = []
    for split in SPLITS:
        if split in found:
            info = head(found[split][0])
            spectrum = request.label_spectrum or said_spectrum(info) or "rgb"
            releases.append(release_of(info) if said_spectrum(info) else "")
            spectra.setdefault(spectrum, split)
            splits[split] = _read(*found[split], spectrum, request)
    if len(spectra) > 1:
        raise DatasetError(f"{request.source}: rgb pictures in {spectra['rgb']}, ir pictures in {spectra['ir']}")
    return Raw(splits, tuple(spectra), release=releases[0])


def _files(source: Path) -> dict[SplitName, tuple[Path, str]]:
    """The annotation file of each split, of the latest year, and the name of its picture folder."""
    annotations = subfolder(source, "annotations")
    found: dict[SplitName, tuple[Path, str]] = {}
    for path in sorted(entries(annotations)) if annotations else []:
        if (match := _NAME.fullmatch(path.name)) and path.is_file():
            split: SplitName = next(name for name in SPLITS if name == match["split"])
            found[split] = path, match["folder"]
    return found


def _read(path: Path, name: str, spectrum: Spectrum, request: Request) -> AnnotationSet:
    folder = first_filled(request.source, (name, f"images/{name}"))
    if folder is None or not holds_something(folder):
        folder = _root(path)
    if folder is None:
        raise DatasetError(f"{request.source}: there are no pictures in {name} or images/{name}; unpack them there")
    if spectrum == "ir":
        return read_coco(path, ir=folder, findings=request.findings)
    return read_coco(path, rgb=folder, findings=request.findings)


def _root(path: Path) -> Path | None:
    """Where a file that caffdet wrote has its pictures."""
    root = head(path).get("root")
    if not isinstance(root, str) or "\0" in root:
        return None
    folder = Path(os.path.realpath(path.parent / root))
    return folder if folder.is_dir() else None
