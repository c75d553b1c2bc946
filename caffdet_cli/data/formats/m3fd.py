"""M3FD: registered pairs of the same name, one annotation per pair, in two layouts.

The archive (its capitals differ between copies, and were not seen):

    Vis/NNNNN.png   Ir/NNNNN.png   Annotation/NNNNN.xml        Pascal VOC, classes by name

As TarDAL reads it:

    vi/NNNNN.png    ir/NNNNN.png   labels/NNNNN.txt            YOLO labels, classes by number
    meta/{train,val}.txt                                       optional: the split, one file name a line

There is no official split. Lists in meta/ make one; without them all is `train`, because neighbouring frames are alike
and a random split would put the same scene on both sides (`holding_out` does not). meta/scenario.json, from which
TarDAL makes lists, is not read: nobody here has seen one.

Source: Liu et al., TarDAL, CVPR 2022, arXiv:2203.16220; JinyuanLiu-CV/TarDAL@6a9edd7, loader/m3fd.py.
"""

import re
from pathlib import Path

from caffdet_cli.data.formats.frames import read_frames
from caffdet_cli.data.formats.layout import (
    PICTURES,
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
    warn_unverified,
)
from caffdet_cli.data.formats.records import Reader
from caffdet_cli.data.formats.voc_xml import read_voc
from caffdet_cli.data.formats.yolo_names import TEXT_NAME, read_classes_txt
from caffdet_cli.data.formats.yolo_text import yolo_reader
from caffdet_cli.errors import DatasetError

LOOKS = "vi/, ir/ and labels/*.txt, or Vis/, Ir/ and Annotation/*.xml (this one unverified)"
CLASSES = ("People", "Car", "Bus", "Lamp", "Motorcycle", "Truck")
"""In the order of TarDAL's class numbers; its README has Motorcycle before Lamp."""
LISTS: dict[SplitName, tuple[str, ...]] = {"train": ("train",), "val": ("val",), "test": ("test",)}

_NUMBER = re.compile(r"\d{5}", re.ASCII)


def looks_like_m3fd(source: Path) -> bool:
    """Whether a folder has one of the two layouts."""
    rgb, ir = _rgb(source), subfolder(source, "ir")
    if rgb is None or ir is None:
        return False
    if subfolder(source, "Annotation") is not None:
        return True
    numbered = subfolder(source, "meta") is not None or any(_NUMBER.fullmatch(path.stem) for path in entries(rgb))
    return subfolder(source, "labels") is not None and numbered


def read_m3fd(request: Request) -> Raw:
    """All pairs, split as meta/ says.

    Raises:
        DatasetError: a folder is missing, a list or classes.txt is broken, or nothing is usable.
    """
    if not looks_like_m3fd(request.source):
        raise DatasetError(f"{request.source} has not the folders of M3FD; looked for {LOOKS}")
    folders = [_rgb(request.source), subfolder(request.source, "ir")]
    rgb, ir = (by_name(folder, PICTURES, request) for folder in folders if folder is not None)
    annotations, read, verified = _annotations(request)
    found = {
        name: Frame(name, rgb.get(name), ir.get(name), annotations.get(name))
        for name in sorted({*rgb, *ir, *annotations})
    }
    sets = read_frames(
        _split(found, request),
        request,
        label_spectrum=request.label_spectrum or "ir",
        classes=CLASSES,
        read=read,
    )
    return Raw(sets, ("rgb", "ir"), verified=verified)


def _annotations(request: Request) -> tuple[dict[str, Path], Reader, bool]:
    """Annotation files by name, their reader, and whether such files were seen before."""
    archive, labels = (subfolder(request.source, name) for name in ("Annotation", "labels"))
    if archive is not None:
        _warn(archive, labels, request)
        return by_name(archive, [".xml"], request), read_voc, False
    if labels is not None:
        return _label_files(labels, request), _numbered(labels, request), True
    return {}, read_voc, True


def _rgb(source: Path) -> Path | None:
    return subfolder(source, "vi", "vis")


def _warn(folder: Path, labels: Path | None, request: Request) -> None:
    """The archive was never opened, and a copy may have both kinds of annotations."""
    warn_unverified(f"with {folder.name}/", request)
    if labels is not None:
        what = f"not read: {folder.name}/ has names of classes, which are surer than numbers"
        request.findings.add("two annotations", request.place(labels), what, "noted")


def _label_files(folder: Path, request: Request) -> dict[str, Path]:
    found = by_name(folder, [".txt"], request)
    found.pop(Path(TEXT_NAME).stem, None)
    return found


def _numbered(folder: Path, request: Request) -> Reader:
    """A reader with the class names of classes.txt, else those of TarDAL."""
    told = read_classes_txt([request.source, folder])
    if told is not None:
        return yolo_reader(told[1])
    what = "class numbers without names are read as TarDAL's: " + ", ".join(
        f"{key} {name}" for key, name in enumerate(CLASSES)
    )
    request.findings.add("class names", request.place(folder), f"{what}; a {TEXT_NAME} says otherwise", "noted")
    return yolo_reader(dict(enumerate(CLASSES)))


def _split(found: dict[str, Frame], request: Request) -> Frames:
    folder = subfolder(request.source, "meta")
    lists = {} if folder is None else list_files(folder, LISTS)
    if not lists:
        what = (
            "M3FD has none, and no list was found: meta/train.txt and meta/val.txt make one, and so does --val 0.2; "
            "all is train"
        )
        request.findings.add("no official split", "meta", what, "noted")
        return {"train": list(found.values())}
    frames: Frames = {
        split: [found.get(name) or Frame(name, None, None, None) for name in read_list(path, request)]
        for split, path in lists.items()
    }
    note_unlisted(found, frames, request)
    return frames
