"""YOLO data sets in the layouts that are in use; label files have the names of the pictures.

SPLIT is train, val (valid) or test. RGB pictures lie in visible, rgb, vis, vi or color; infrared ones in infrared, ir,
thermal, lwir or tir: SPECTRUM is one of these.

    pictures                   labels
    images/SPECTRUM/SPLIT/     labels/SPECTRUM/SPLIT/, or labels/SPLIT/
    SPECTRUM/images/SPLIT/     SPECTRUM/labels/SPLIT/, or labels/SPLIT/
    SPECTRUM/SPLIT/images/     SPECTRUM/SPLIT/labels/
    SPECTRUM/SPLIT/            labels/SPECTRUM/SPLIT/, or labels/SPLIT/, or beside the pictures
    SPLIT/SPECTRUM/            SPLIT/labels/SPECTRUM/, or SPLIT/labels/
    SPECTRUM/                  labels/SPECTRUM/, or labels/, or beside the pictures
    images/SPLIT/              labels/SPLIT/, or beside the pictures
    SPLIT/images/              SPLIT/labels/
    images/                    labels/, or beside the pictures

Source: docs.ultralytics.com/datasets/detect; for pairs there is no standard.
"""

import filecmp
import re
from collections.abc import Mapping
from pathlib import Path

from caffdet_cli.data.formats.frames import read_frames
from caffdet_cli.data.formats.label_policy import policy_of
from caffdet_cli.data.formats.layout import PICTURES, Frame, Frames, Raw, Request, SplitName, by_name
from caffdet_cli.data.formats.records import BrokenAnnotation
from caffdet_cli.data.formats.yolo_folders import SPLIT_FOLDERS, Folders, Owner, find_yolo
from caffdet_cli.data.formats.yolo_names import TEXT_NAME, DataYaml, read_classes_txt, read_data_yaml
from caffdet_cli.data.formats.yolo_text import Form, yolo_reader
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

LOOKS = (
    "images/{train,val,test}/ and labels/{train,val,test}/*.txt, or {train,valid,test}/{images,labels}/; pairs have "
    "visible/ and infrared/ above, below or instead of images/"
)
VARIANTS: tuple[Form, ...] = ("boxes", "corners", "polygons")

_Splits = dict[SplitName, Folders]


def looks_like_yolo(source: Path) -> bool:
    """Whether a folder has one of the layouts."""
    return find_yolo(source) is not None


def read_yolo(request: Request) -> Raw:
    """The splits that have labels.

    Raises:
        DatasetError: folders are missing or differ between splits, names are broken, or nothing is usable.
    """
    found = find_yolo(request.source)
    if found is None:
        raise DatasetError(f"{request.source} has no YOLO labels beside pictures; looked for {LOOKS}")
    if not found.divided:
        what = "no folders train, val and test: everything is train"
        request.findings.add("no splits", "folders", what, "noted")
    splits = _labelled(found.splits, request)
    spectra, owners = _spectra(splits, request), _owners(splits, request)
    label_spectrum = _label_spectrum(owners, spectra, request)
    frames = {split: _frames(folders, label_spectrum, request) for split, folders in splits.items()}
    form = next((form for form in VARIANTS if form == request.variant), VARIANTS[0])
    names = _names(splits, frames, form, divided=found.divided, request=request)
    sets = read_frames(
        _told_apart(frames),
        request,
        label_spectrum=label_spectrum,
        classes=tuple(names.values()),
        read=yolo_reader(names, form),
    )
    return Raw(sets, spectra)


def _labelled(splits: _Splits, request: Request) -> _Splits:
    """Splits that have labels of the pictures that are there; single pictures are RGB unless told otherwise."""
    kept: _Splits = {}
    for split, folders in splits.items():
        fitting = _fitting(folders, request.label_spectrum or "rgb")
        if fitting.labels:
            kept[split] = fitting
            continue
        places = ", ".join(request.place(folder) for folder in folders.pictures.values())
        request.findings.add("no labels", split, f"{places}: no folder of labels; the split is left out", "noted")
    if not kept:
        raise DatasetError(f"{request.source} has labels, but none of the pictures that are there")
    return kept


def _fitting(folders: Folders, single: Spectrum) -> Folders:
    """Folders under the spectra that they are of; labels of a spectrum without pictures do not count."""
    pictures: dict[Owner, Path] = {
        single if owner == "both" else owner: path for owner, path in folders.pictures.items()
    }
    if len(pictures) == 2:
        return Folders(pictures, folders.labels)
    own = folders.labels.get(next(iter(pictures))) or folders.labels.get("both")
    return Folders(pictures, {} if own is None else {"both": own})


def _spectra(splits: _Splits, request: Request) -> tuple[Spectrum, ...]:
    """The spectra that all splits have pictures of."""
    spectra: tuple[Spectrum, ...] = ("rgb", "ir")
    have = tuple(one for one in spectra if any(one in folders.pictures for folders in splits.values()))
    for split, folders in splits.items():
        if lacking := [one for one in have if one not in folders.pictures]:
            places = ", ".join(request.place(folder) for folder in folders.pictures.values())
            raise DatasetError(f"{request.source}: {split} has {places} and no {lacking[0]} pictures; both are needed")
    return have


def _owners(splits: _Splits, request: Request) -> frozenset[Owner]:
    """Whose labels there are, the same in all splits."""
    owners = {split: frozenset(folders.labels) for split, folders in splits.items()}
    if len(set(owners.values())) > 1:
        told = "; ".join(f"{split}: {', '.join(sorted(some))}" for split, some in owners.items())
        raise DatasetError(f"{request.source}: the splits have labels for different pictures ({told}); make them alike")
    return next(iter(owners.values()))


def _label_spectrum(owners: frozenset[Owner], spectra: tuple[Spectrum, ...], request: Request) -> Spectrum:
    """In whose pixels the boxes are: as asked for, else of the pictures that were labelled, else infrared."""
    if len(owners) == 2:
        return policy_of(request.labels, request.label_spectrum)[1]
    owner = next(iter(owners))
    if request.labels not in (None, owner):
        whose = "one set of labels for both pictures" if owner == "both" else f"labels of the {owner} pictures only"
        raise DatasetError(f"--labels {request.labels}: {request.source} has {whose}")
    spectrum = request.label_spectrum or ("ir" if "ir" in spectra else "rgb") if owner == "both" else owner
    if request.label_spectrum not in (None, spectrum):
        raise DatasetError(
            f"{request.source} has labels of the {owner} pictures only; leave out --label-spectrum "
            f"{request.label_spectrum}, or move them to a folder for both"
        )
    if spectrum not in spectra:
        raise DatasetError(
            f"{request.source} has only {spectra[0]} pictures; boxes in {spectrum} pixels need those too"
        )
    return spectrum


def _frames(folders: Folders, label_spectrum: Spectrum, request: Request) -> list[Frame]:
    pictures = {owner: by_name(folder, PICTURES, request) for owner, folder in folders.pictures.items()}
    if not any(pictures.values()):
        places = ", ".join(request.place(folder) for folder in folders.pictures.values())
        raise DatasetError(f"{request.source}: no pictures in {places}")
    rgb, ir = pictures.get("rgb", {}), pictures.get("ir", {})
    labels = {owner: _label_files(folder, {*rgb, *ir}, request) for owner, folder in folders.labels.items()}
    partner: Spectrum = "rgb" if label_spectrum == "ir" else "ir"
    own, other = labels.get(label_spectrum) or labels.get("both", {}), labels.get(partner, {})
    return [
        Frame(name, rgb.get(name), ir.get(name), own.get(name), other.get(name))
        for name in sorted({*rgb, *ir, *own, *other})
    ]


def _label_files(folder: Path, pictures: set[str], request: Request) -> dict[str, Path]:
    found = by_name(folder, [".txt"], request)
    stem = Path(TEXT_NAME).stem
    return {name: path for name, path in found.items() if name != stem or name in pictures}


def _told_apart(frames: Frames) -> Frames:
    """Splits may each count from 0: frames of one name with other pictures get the name of their split too."""
    first: dict[str, Frame] = {}
    different = {
        frame.name
        for some in frames.values()
        for frame in some
        if not _same_pictures(first.setdefault(frame.name, frame), frame)
    }
    return {
        split: [frame._replace(name=f"{split}/{frame.name}") if frame.name in different else frame for frame in some]
        for split, some in frames.items()
    }


def _same_pictures(one: Frame, other: Frame) -> bool:
    if one is other:
        return True
    a, b = (one.rgb, other.rgb) if one.rgb and other.rgb else (one.ir, other.ir)
    try:
        return a is not None and b is not None and filecmp.cmp(a, b, shallow=False)
    except OSError:  # unreadable; what is wrong with it is said where pictures are looked at
        return False


def _names(splits: _Splits, frames: Frames, form: Form, *, divided: bool, request: Request) -> Mapping[int, str]:
    """Names of the class numbers: of data.yaml, classes.txt, --classes, or the numbers themselves."""
    yaml = read_data_yaml(request.source)
    folders = (folder for one in splits.values() for folder in one.labels.values())
    text = read_classes_txt([request.source, request.source / "labels", *folders])
    if yaml is not None:
        _note_paths(yaml[1], yaml[0], splits, divided, request)
        if yaml[1].names:
            if text is not None and text[1] != yaml[1].names:
                what = f"differs from {yaml[0].name}, which counts"
                request.findings.add("class names", request.place(text[0]), what, "noted")
            return yaml[1].names
    if text is not None:
        return text[1]
    if request.classes is not None:
        names = dict(enumerate(request.classes))
        what = f"no data.yaml or classes.txt: {', '.join(f'{key} is {name}' for key, name in names.items())}"
        request.findings.add("class names", "--classes", what, "noted")
        return names
    what = "no data.yaml or classes.txt: classes are called by their numbers; --classes names them in order"
    request.findings.add("class names", "labels", what, "noted")
    return {key: str(key) for key in _numbers(frames, form)}


def _note_paths(yaml: DataYaml, path: Path, splits: _Splits, divided: bool, request: Request) -> None:
    """Say which paths of a data.yaml lead elsewhere than to the folder of their split."""
    for split, folders in SPLIT_FOLDERS.items():
        for place in yaml.splits.get(split, ()):
            found = split in splits and not {*re.split(r"[/\\]", place)}.isdisjoint(folders)
            if not found and divided:
                what = f"{split}: {place} is not followed; splits are the folders train, val (valid) and test"
                request.findings.add("path not followed", request.place(path), what, "noted")


def _numbers(frames: Frames, form: Form) -> list[int]:
    """The class numbers that labels have."""
    paths = (path for some in frames.values() for frame in some for path in (frame.annotation, frame.other_annotation))
    return sorted({number for path in paths if path is not None for number in _numbers_in(path, form)})


def _numbers_in(path: Path, form: Form) -> set[int]:
    try:
        return {int(one.name) for one in yolo_reader(None, form)(path, None).objects if one.name}
    except (BrokenAnnotation, DatasetError):  # told when it is read
        return set()
