"""FLIR's thermal starter data set (ADAS, version 1): annotated thermal pictures, and an RGB camera beside. Unverified.

    {train,val,video}/thermal_annotations.json     COCO; boxes in thermal pixels; gapped ids: 1, 2, 3, 18, 91
    {train,val,video}/thermal_8_bit/FLIR_nnnnn.jpeg
    {train,val,video}/thermal_16_bit/FLIR_nnnnn.tiff
    {train,val,video}/RGB/FLIR_nnnnn.jpg           not aligned, of several sizes; some are missing

The layout was written from FLIR's read-me of July 2018 as others tell it. `video` becomes the test split.
"""

from dataclasses import replace
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.layout import PICTURES, Raw, Request, SplitName, by_name, subfolder, warn_unverified
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

LOOKS = "{train,val,video}/thermal_annotations.json beside thermal_8_bit/ and RGB/ (this one unverified)"
VARIANTS = ("8-bit", "16-bit")
SPLITS: dict[SplitName, str] = {"train": "train", "val": "val", "test": "video"}
_ANNOTATIONS = "thermal_annotations.json"
_THERMAL = {"8-bit": "thermal_8_bit", "16-bit": "thermal_16_bit"}


def looks_like_adas(source: Path) -> bool:
    """Whether a folder has this layout."""
    return any((folder / _ANNOTATIONS).is_file() for folder in _folders(source).values())


def read_adas(request: Request) -> Raw:
    """The splits that are there; ids of pictures, objects and classes stay as they are.

    Raises:
        DatasetError: a thermal folder is missing, an annotation file is broken, or nothing is usable.
    """
    if request.label_spectrum == "rgb":
        raise DatasetError(f"{request.source}: FLIR ADAS has boxes in infrared pixels only, and its RGB is not aligned")
    warn_unverified("of FLIR ADAS", request)
    folders = _folders(request.source)
    sets = {split: _read(folder, request) for split, folder in folders.items() if (folder / _ANNOTATIONS).is_file()}
    pairs = any(example.rgb is not None for one in sets.values() for example in one.examples)
    if pairs:
        what = "the RGB camera looks elsewhere, with another lens: find a rig (caffdet data align) before using pairs"
        request.findings.add("spectra not aligned", "RGB", what, "noted")
    spectra: tuple[Spectrum, ...] = ("rgb", "ir") if pairs else ("ir",)
    return Raw(sets, spectra, release="FLIR ADAS v1, thermal", dataset="flir-adas", verified=False)


def _folders(source: Path) -> dict[SplitName, Path]:
    found = {split: subfolder(source, name) for split, name in SPLITS.items()}
    return {split: folder for split, folder in found.items() if folder is not None}


def _read(folder: Path, request: Request) -> AnnotationSet:
    thermal = subfolder(folder, _THERMAL[request.variant or VARIANTS[0]])
    if thermal is None:
        raise DatasetError(f"{request.place(folder)} has no folder {_THERMAL[request.variant or VARIANTS[0]]}")
    rgb = subfolder(folder, "RGB")
    annotations = read_coco(folder / _ANNOTATIONS, ir=folder, findings=request.findings)
    infrared = by_name(thermal, PICTURES, request)
    visible = {} if rgb is None else by_name(rgb, PICTURES, request)
    examples = tuple(_paired(example, infrared, visible) for example in annotations.examples)
    if unnamed := sorted(infrared.keys() - {example.ir.stem for example in examples if example.ir}):
        what = f"{len(unnamed)} pictures that {_ANNOTATIONS} does not name are not read, for example {unnamed[0]}"
        request.findings.add("not listed", request.place(thermal), what, "noted")
    return replace(annotations, examples=examples, label_spectrum="ir")


def _paired(example: Example, infrared: dict[str, Path], visible: dict[str, Path]) -> Example:
    """The pictures of the name that the annotation says, whatever folder it puts before it."""
    stem = example.ir.stem if example.ir is not None else str(example.id)
    if stem not in infrared:  # its boxes fit no other picture
        return example
    return replace(example, rgb=visible.get(stem), ir=infrared[stem])
