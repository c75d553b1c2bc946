"""A COCO download, and folders that caffdet wrote.

annotations/instances_{train,val}2017.json    or of another year, or none
train2017/  val2017/                          or  images/train2017/  images/val2017/

or dataset.toml beside {train,val,test}.json, as `caffdet convert` writes them.
"""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.formats.coco import read_coco, said_spectrum
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
from caffdet_cli.settings.base import Spectrum

LOOKS = (
    "annotations/instances_*.json beside train2017/ and val2017/, or these in images/; "
    "or a converted folder: dataset.toml and train.json, val.json or test.json"
)

_NAME = re.compile(r"instances_(?P<folder>(?P<split>train|val|test)\d*)\.json")
_HEAD = 1 << 16  # bytes; what caffdet writes says first what it is


def looks_like_coco(source: Path) -> bool:
    """Whether a folder has this layout."""
    return bool(_files(source)) or is_converted(source)


def is_converted(source: Path) -> bool:
    """Whether `caffdet convert` wrote a folder."""
    return (source / "dataset.toml").is_file() and bool(_converted(source))


def read_coco_folder(request: Request) -> Raw:
    """A COCO download. Its pictures are RGB, unless labels are told to belong to infrared ones.

    Raises:
        DatasetError: a file is broken, or its pictures are nowhere.
    """
    found = _files(request.source)
    if not found:
        return _read_converted(request)
    spectra: dict[Spectrum, SplitName] = {}
    splits: dict[SplitName, AnnotationSet] = {}
    releases: list[str] = []
    for split in SPLITS:
        if split in found:
            head = _head(found[split][0])
            spectrum = request.label_spectrum or said_spectrum(head) or "rgb"
            releases.append(_release(head) if said_spectrum(head) else "")
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


def _converted(source: Path) -> dict[SplitName, Path]:
    return {split: path for split in SPLITS if (path := source / f"{split}.json").is_file()}


def _read_converted(request: Request) -> Raw:
    """What `caffdet convert` wrote. Boxes that reach out of their picture were left so, and stay."""
    paths = _converted(request.source)
    splits = {split: _resolved(read_coco(path, findings=request.findings)) for split, path in paths.items()}
    examples = [example for one in splits.values() for example in one.examples]
    spectra: list[Spectrum] = ["rgb"] if any(example.rgb for example in examples) else []
    spectra += ["ir"] if any(example.ir for example in examples) else []
    about = {split: _about(path) for split, path in paths.items()}
    for split, one in splits.items():  # a split may lack all pictures of the spectrum that the boxes are drawn on
        said = next((spectrum for spectrum in spectra if spectrum == about[split].get("label_spectrum")), None)
        splits[split] = replace(one, label_spectrum=said or one.label_spectrum)
    labelled = {one.label_spectrum for one in splits.values()}
    if len(labelled) > 1 or (request.label_spectrum and request.label_spectrum not in labelled):
        raise DatasetError(
            f"{request.source}: boxes are in {' and '.join(sorted(labelled))} pixels; convert the raw data set anew "
            f"with --label-spectrum {request.label_spectrum or 'ir'}"
        )
    return Raw(splits, tuple(spectra), release=_release(next(iter(about.values()))), whole_boxes=True)


def _resolved(annotations: AnnotationSet) -> AnnotationSet:
    """The same with whole paths: the way from the file to its pictures may go up and through links."""
    folder = annotations.source.parent
    real = {"": Path(os.path.realpath(folder))}

    def whole(picture: Path | None) -> Path | None:
        if picture is None:
            return None
        parent = str(picture.parent)
        if parent not in real:
            real[parent] = Path(os.path.realpath(parent))
        return real[parent] / picture.name

    examples = (replace(one, rgb=whole(one.rgb), ir=whole(one.ir)) for one in annotations.examples)
    return replace(annotations, examples=tuple(examples))


def _root(path: Path) -> Path | None:
    """Where a file that caffdet wrote has its pictures."""
    root = _head(path).get("root")
    if not isinstance(root, str) or "\0" in root:
        return None
    folder = Path(os.path.realpath(path.parent / root))
    return folder if folder.is_dir() else None


def _release(about: dict[str, Any]) -> str:
    """Which annotations a file that caffdet wrote says it holds; empty where it does not."""
    release = about.get("release")
    return release if isinstance(release, str) else ""


def _about(path: Path) -> dict[str, Any]:
    """What a file of our paired form says about itself."""
    about = _head(path).get("caffdet")
    return about if isinstance(about, dict) else {}


def _head(path: Path) -> dict[str, Any]:
    """`info` of a file that caffdet wrote, which is its second line; empty for others."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    start, info, *_ = [*head.split(b"\n", 2), b""]
    if start != b"{" or not info.startswith(b'"info": '):
        return {}
    try:
        value = json.loads(info.removeprefix(b'"info": ').rstrip(b","))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
