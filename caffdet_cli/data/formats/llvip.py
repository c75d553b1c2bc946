"""LLVIP as it is published: registered pairs of the same name, one annotation per pair.

    visible/{train,test}/NNNNNN.jpg   infrared/{train,test}/NNNNNN.jpg   Annotations/NNNNNN.xml

The folder of a picture is its split. Boxes fit both pictures and are given in pixels of the infrared one.
Source: Jia et al., LLVIP, ICCV Workshops 2021, arXiv:2108.10831.
"""

from pathlib import Path

from caffdet_cli.data.formats.frames import read_frames, report_orphans
from caffdet_cli.data.formats.layout import PICTURES, SPLITS, Frame, Frames, Raw, Request, SplitName, by_name, subfolder
from caffdet_cli.errors import DatasetError

LOOKS = "visible/{train,test}/*.jpg, infrared/{train,test}/*.jpg and Annotations/*.xml"
CLASSES = ("person",)


def looks_like_llvip(source: Path) -> bool:
    """Whether a folder has this layout."""
    folders = [subfolder(source, name) for name in ("visible", "infrared")]
    split = any(subfolder(folder, *SPLITS) for folder in folders if folder)
    return all(folders) and split and subfolder(source, "Annotations") is not None


def read_llvip(request: Request) -> Raw:
    """The splits that are there.

    Raises:
        DatasetError: a split has only one of its two picture folders, or nothing is usable.
    """
    frames: Frames = {}
    annotations = by_name(_needed(request.source, "Annotations"), [".xml"], request)
    for split in SPLITS:
        pictures = _pictures(split, request)
        if pictures is not None:
            rgb, ir = pictures
            names = sorted({*rgb, *ir})
            frames[split] = [Frame(name, rgb.get(name), ir.get(name), annotations.get(name)) for name in names]
    known = {frame.name for some in frames.values() for frame in some}
    report_orphans([path for name, path in annotations.items() if name not in known], request)
    return Raw(
        read_frames(frames, request, label_spectrum=request.label_spectrum or "ir", classes=CLASSES), ("rgb", "ir")
    )


def _pictures(split: SplitName, request: Request) -> tuple[dict[str, Path], dict[str, Path]] | None:
    """RGB and infrared pictures of a split by name; None where the data set does not have it."""
    parents = [_needed(request.source, name) for name in ("visible", "infrared")]
    folders = [subfolder(parent, split) for parent in parents]
    rgb, ir = folders
    if rgb is None and ir is None:
        return None
    if rgb is None or ir is None:
        has, lacks = parents if ir is None else reversed(parents)
        raise DatasetError(f"{has.name}/{split} is there, {lacks / split} is missing; both spectra are needed")
    return by_name(rgb, PICTURES, request), by_name(ir, PICTURES, request)


def _needed(source: Path, name: str) -> Path:
    folder = subfolder(source, name)
    if folder is None:
        raise DatasetError(f"{source} has no folder {name}; looked for {LOOKS}")
    return folder
