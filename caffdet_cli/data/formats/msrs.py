"""MSRS: registered pairs of the same name, with boxes for each spectrum from a second source.

    {train,test}/{vi,ir}/NNNNNX.png                           X is D by day, N by night
    labels/{visible,infrared,fusion}/{train,test}/NNNNNX.txt  YOLO labels: 0 person, 1 bicycle, 2 car

Pictures and labels are two repositories. Their folders may also lie side by side, as `git clone` or a downloaded
archive calls them:

    MSRS/{train,test}/..   MSRS-detection-label/{visible,infrared,fusion}/..

`visible` and `infrared` were labelled apart: somebody may show in one picture only. `fusion` was labelled on fused
pictures, and is one set for both.

Sources: Linfeng-Tang/MSRS (pictures, made of MFNet's); Lele-3/MSRS-detection-label@cb6ffc0 (labels).
"""

import re
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.data.formats.frames import read_frames
from caffdet_cli.data.formats.label_policy import policy_of
from caffdet_cli.data.formats.layout import PICTURES, Frame, Frames, Raw, Request, SplitName, by_name, subfolder
from caffdet_cli.data.formats.yolo_text import yolo_reader
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

LOOKS = (
    "{train,test}/{vi,ir}/*.png and labels/{visible,infrared,fusion}/{train,test}/*.txt; "
    "or MSRS/ beside MSRS-detection-label/"
)
CLASSES = ("person", "bicycle", "car")
VARIANTS = ("spectra", "fusion")

_SPLITS: tuple[SplitName, ...] = ("train", "test")
_ENDINGS = ("", "-main", "-master")  # of a branch's archive
_FOLDERS: dict[Spectrum, str] = {"rgb": "visible", "ir": "infrared"}
_NAME = re.compile(r"(\d+)[DN]", re.ASCII)


class _Roots(NamedTuple):
    pictures: Path
    labels: Path


def looks_like_msrs(source: Path) -> bool:
    """Whether a folder has this layout."""
    return _roots(source) is not None


def read_msrs(request: Request) -> Raw:
    """The splits that are there; a frame's id is the number in its name.

    Raises:
        DatasetError: a folder is missing, `labels` were asked for with the labels of fused pictures, or nothing is
            usable.
    """
    roots = _roots(request.source)
    if roots is None:
        raise DatasetError(f"{request.source} has not the folders of MSRS; looked for {LOOKS}")
    fused = request.variant == "fusion"
    if fused and request.labels is not None:
        raise DatasetError(
            f"--labels {request.labels}: the variant fusion has one set of labels for both pictures; leave one out"
        )
    label_spectrum = policy_of(request.labels, request.label_spectrum)[1]
    partner: Spectrum = "rgb" if label_spectrum == "ir" else "ir"
    folders = ("fusion",) if fused else (_FOLDERS[label_spectrum], _FOLDERS[partner])
    frames: Frames = {}
    for split in _SPLITS:
        if (folder := subfolder(roots.pictures, split)) is not None:
            labels = [by_name(_needed(roots.labels, name, split), [".txt"], request) for name in folders]
            frames[split] = _frames(folder, labels, request)
    names = {frame.name for some in frames.values() for frame in some}
    sets = read_frames(
        frames,
        request,
        label_spectrum=label_spectrum,
        classes=CLASSES,
        numbers={name: match[1] for name in names if (match := _NAME.fullmatch(name))},
        read=yolo_reader(dict(enumerate(CLASSES))),
    )
    release = "labels of fused pictures" if fused else "labels of each spectrum"
    return Raw(sets, ("rgb", "ir"), f"MSRS-detection-label, {release}")


def _roots(source: Path) -> _Roots | None:
    """Where pictures and labels lie: in one folder, or in two beside each other."""
    beside = subfolder(source, *(f"MSRS{ending}" for ending in _ENDINGS))
    pictures = next((one for one in (source, beside) if one is not None and _has_pictures(one)), None)
    if pictures is None:
        return None
    named = [f"MSRS-detection-label{ending}" for ending in _ENDINGS]
    places = [subfolder(folder, "labels", *named) for folder in (pictures, source)]
    labels = next((one for one in places if one is not None and _has_labels(one)), None)
    return None if labels is None else _Roots(pictures, labels)


def _has_pictures(folder: Path) -> bool:
    splits = filter(None, (subfolder(folder, split) for split in _SPLITS))
    return any(subfolder(split, "vi") and subfolder(split, "ir") for split in splits)


def _has_labels(folder: Path) -> bool:
    return any(subfolder(folder, name) for name in (*_FOLDERS.values(), "fusion"))


def _needed(folder: Path, *names: str) -> Path:
    for name in names:
        inside = subfolder(folder, name)
        if inside is None:
            raise DatasetError(f"{folder} has no folder {name}; looked for {LOOKS}")
        folder = inside
    return folder


def _frames(folder: Path, labels: list[dict[str, Path]], request: Request) -> list[Frame]:
    """Frames of a split.

    Args:
        labels: of the label spectrum or both, then those of its partner if it has its own.
    """
    rgb, ir = (by_name(_needed(folder, name), PICTURES, request) for name in ("vi", "ir"))
    own, other = labels[0], labels[1] if len(labels) > 1 else {}
    names = sorted({*rgb, *ir, *own, *other})
    return [Frame(name, rgb.get(name), ir.get(name), own.get(name), other.get(name)) for name in names]
