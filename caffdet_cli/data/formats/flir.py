"""FLIR: the aligned pairs in their two published layouts, and the ADAS set they are taken from (`flir_adas`).

Boxes are in pixels of the infrared picture.

The "align" archive (Zhang et al., ICIP 2020):

    JPEGImages/X_RGB.jpg  JPEGImages/X_PreviewData.jpeg  Annotations/X_PreviewData.xml
    align_train.txt  align_validation.txt   or   ImageSets/Main/*.txt

Only listed frames are read: about half of the archive's pairs have neither a label nor a place in a list.

The layout that CAFF-DETR reads:

    {train,val}_RGB/  {train,val}_thermal/  annotations/{train,val}.json
"""

import re
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.coco_names import flir_rgb_name
from caffdet_cli.data.formats.flir_adas import LOOKS as ADAS_LOOKS
from caffdet_cli.data.formats.flir_adas import looks_like_adas, read_adas
from caffdet_cli.data.formats.frames import read_frames
from caffdet_cli.data.formats.layout import (
    PICTURES,
    SPLITS,
    Frame,
    Frames,
    Raw,
    Request,
    SplitName,
    by_name,
    entries,
    list_files,
    note_unlisted,
    read_list,
    subfolder,
)
from caffdet_cli.errors import DatasetError

LOOKS = (
    "JPEGImages/*_PreviewData.jpeg, Annotations/*_PreviewData.xml and align_train.txt; "
    "or train_RGB/, train_thermal/ and annotations/train.json; or " + ADAS_LOOKS
)
CLASSES = ("person", "car", "bicycle")
LISTS: dict[SplitName, tuple[str, ...]] = {
    "train": ("align_train", "train"),
    "val": ("align_validation", "align_val", "validation", "val"),
    "test": ("align_test", "test"),
}
_MARK = "_PreviewData"
_NUMBER = re.compile(r"\D*(\d+)\D*", re.ASCII)  # one number, FLIR_00002


def looks_like_flir(source: Path) -> bool:
    """Whether a folder has one of the layouts."""
    return _has_coco(source) or _has_align(source) or looks_like_adas(source)


def read_flir(request: Request) -> Raw:
    """The splits that are there.

    Raises:
        DatasetError: lists or folders are missing, an annotation file is broken, or nothing is usable.
    """
    if not _has_coco(request.source) and not _has_align(request.source):
        return read_adas(request)
    if request.variant is not None:
        raise DatasetError(f"{request.source} is FLIR-aligned, whose pictures have 8 bits; leave --variant out")
    splits = _read_coco_layout(request) if _has_coco(request.source) else _read_align(request)
    return Raw(splits, ("rgb", "ir"))


def _has_align(source: Path) -> bool:
    folder = subfolder(source, "JPEGImages")
    named = folder is not None and any(path.stem.endswith(_MARK) for path in entries(folder))
    return named and subfolder(source, "Annotations") is not None


def _has_coco(source: Path) -> bool:
    return any(_annotations(source, split).is_file() and _folders(source, split)[1].is_dir() for split in SPLITS)


def _annotations(source: Path, split: SplitName) -> Path:
    return source / "annotations" / f"{split}.json"


def _folders(source: Path, split: SplitName) -> tuple[Path, Path]:
    return source / f"{split}_RGB", source / f"{split}_thermal"


def _read_align(request: Request) -> dict[SplitName, AnnotationSet]:
    """The align archive; a frame is called after its infrared picture, its id is the number in that name."""
    source = request.source
    pictures = by_name(_needed(source, "JPEGImages"), PICTURES, request)
    annotations = by_name(_needed(source, "Annotations"), [".xml"], request)
    found = {
        name: Frame(name, pictures.get(flir_rgb_name(name) or ""), pictures.get(name), annotations.get(name))
        for name in sorted({*pictures, *annotations})
        if name.endswith(_MARK)
    }
    frames: Frames = {}
    for split, path in _lists(source).items():
        listed = (name if name.endswith(_MARK) else f"{name}{_MARK}" for name in read_list(path, request))
        frames[split] = [found.get(name) or Frame(name, None, None, None) for name in dict.fromkeys(listed)]
    note_unlisted(found, frames, request)
    numbers = {name: match[1] for name in found if (match := _NUMBER.fullmatch(name.removesuffix(_MARK)))}
    return read_frames(frames, request, label_spectrum=request.label_spectrum or "ir", classes=CLASSES, numbers=numbers)


def _lists(source: Path) -> dict[SplitName, Path]:
    for folder in (source, source / "ImageSets" / "Main"):
        if lists := list_files(folder, LISTS):
            return lists
    raise DatasetError(
        f"{source} has no list of frames: looked for align_train.txt and align_validation.txt there and in "
        "ImageSets/Main; without one it is unknown which pairs are labelled"
    )


def _read_coco_layout(request: Request) -> dict[SplitName, AnnotationSet]:
    """CAFF's layout; ids of pictures, objects and classes stay as they are."""
    source = request.source
    sets: dict[SplitName, AnnotationSet] = {}
    for split in SPLITS:
        path = _annotations(source, split)
        if not path.is_file():
            continue
        rgb, ir = _folders(source, split)
        if missing := [folder for folder in (rgb, ir) if not folder.is_dir()]:
            raise DatasetError(f"{request.place(path)} is there, {missing[0]} is missing; both spectra are needed")
        sets[split] = read_coco(
            path, rgb=rgb, ir=ir, label_spectrum=request.label_spectrum or "ir", findings=request.findings
        )
    return sets


def _needed(source: Path, name: str) -> Path:
    folder = subfolder(source, name)
    if folder is None:
        raise DatasetError(f"{source} has no folder {name}; looked for {LOOKS}")
    return folder
