"""CVC-14: pedestrians by day and at night, grey visible and far infrared pictures, each with labels of its own.

    {Day,Night}/{Visible,FIR}/{Train,NewTest}/FramesPos/NAME.tif      with pedestrians
    {Day,Night}/{Visible,FIR}/{Train,NewTest}/FramesNeg/NAME.tif      without
    {Day,Night}/{Visible,FIR}/{Train,NewTest}/Annotations/NAME.txt    of FramesPos

Written from descriptions: no archive of CVC-14 was opened. What does not match them is refused.

The two pictures of a pair have one name. They are not aligned, and their boxes are not the same ones: which labels
count is chosen, and said. Train and NewTest are the splits of the authors.
Source: González et al., Pedestrian Detection at Day/Night Time with Visible and FIR Cameras, Sensors 16(6), 2016.
"""

from pathlib import Path
from typing import NamedTuple

from caffdet_cli.data.formats.cvc14_text import PEDESTRIAN, read_cvc14
from caffdet_cli.data.formats.frames import read_frames
from caffdet_cli.data.formats.label_policy import policy_of
from caffdet_cli.data.formats.layout import PICTURES, Frame, Frames, Raw, Request, SplitName, by_name, subfolder
from caffdet_cli.data.formats.records import BrokenAnnotation
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

LOOKS = "{Day,Night}/{Visible,FIR}/{Train,NewTest}/{FramesPos,FramesNeg,Annotations}"

_PARTS = ("Day", "Night")
_SPECTRA: dict[Spectrum, str] = {"rgb": "Visible", "ir": "FIR"}
_SPLITS: dict[SplitName, str] = {"train": "Train", "test": "NewTest"}


class _Side(NamedTuple):
    """One spectrum of one split by day or at night."""

    pictures: dict[str, Path]
    annotations: dict[str, Path]
    """By picture; of one of FramesNeg the picture itself, which says that there is nobody."""


def looks_like_cvc14(source: Path) -> bool:
    """Whether a folder has this layout."""
    sides = (
        _side_folder(source, part, spectrum, split) for part in _PARTS for spectrum in _SPECTRA for split in _SPLITS
    )
    return any(side is not None and subfolder(side, "FramesPos") is not None for side in sides)


def read_cvc14_folder(request: Request) -> Raw:
    """Both splits, by day and at night, as far as they are there.

    Raises:
        DatasetError: a folder is missing, an annotation is not as described, or pairs have not one name.
    """
    policy, label_spectrum = policy_of(request.labels, request.label_spectrum)
    frames: Frames = {}
    for split in _SPLITS:
        found = [frame for part in _PARTS for frame in _frames(part, split, label_spectrum, request)]
        if found:
            frames[split] = found
    names = [frame.name for some in frames.values() for frame in some]
    sets = read_frames(
        frames,
        request,
        label_spectrum=label_spectrum,
        classes=(PEDESTRIAN,),
        ids={name: name for name in names},
        read=read_cvc14,
    )
    release = {"rgb": "labels of the visible pictures", "ir": "labels of the infrared pictures"}
    return Raw(sets, ("rgb", "ir"), release.get(policy, f"{policy} of the labels of both pictures"))


def _frames(part: str, split: SplitName, label_spectrum: Spectrum, request: Request) -> list[Frame]:
    """Frames of a split by day or at night; none where the data set does not have it."""
    folders = {spectrum: _side_folder(request.source, part, spectrum, split) for spectrum in _SPECTRA}
    rgb, ir = (folders[spectrum] for spectrum in _SPECTRA)
    if rgb is None and ir is None:
        request.findings.add("no such part", f"{part}, {_SPLITS[split]}", "not in this copy", "noted")
        return []
    if rgb is None or ir is None:
        lacks, has = ("Visible", ir) if rgb is None else ("FIR", rgb)
        raise DatasetError(f"{has} is there, {part}/{lacks}/{_SPLITS[split]} is missing; both spectra are needed")
    sides = {"rgb": _side(rgb, request), "ir": _side(ir, request)}
    _check_pairs(part, split, sides["rgb"], sides["ir"], request)
    own, other = (sides["ir"], sides["rgb"]) if label_spectrum == "ir" else (sides["rgb"], sides["ir"])
    names = sorted({name for side in sides.values() for some in side for name in some})
    return [
        Frame(
            f"{part}/{name}",
            sides["rgb"].pictures.get(name),
            sides["ir"].pictures.get(name),
            own.annotations.get(name),
            other.annotations.get(name),
        )
        for name in names
    ]


def _side_folder(source: Path, part: str, spectrum: Spectrum, split: SplitName) -> Path | None:
    folder: Path | None = source
    for name in (part, _SPECTRA[spectrum], _SPLITS[split]):
        folder = None if folder is None else subfolder(folder, name)
    return folder


def _side(folder: Path, request: Request) -> _Side:
    positive = by_name(_needed(folder, "FramesPos"), PICTURES, request)
    without = subfolder(folder, "FramesNeg")
    negative = {} if without is None else by_name(without, PICTURES, request)
    annotations = by_name(_needed(folder, "Annotations"), [".txt"], request)
    peopled = {name for name, path in annotations.items() if _has_objects(path)}
    if both := sorted(positive.keys() & negative.keys()):
        raise DatasetError(f"{folder}: {both[0]} is in FramesPos and in FramesNeg; a picture is in one of them")
    if labelled := sorted(negative.keys() & peopled):
        raise DatasetError(f"{folder}: {labelled[0]} is in FramesNeg and has pedestrians in Annotations")
    if bare := sorted(positive.keys() - annotations.keys()):
        raise DatasetError(
            f"{folder}: {bare[0]} is in FramesPos and has no annotation; its pedestrians would pass for background. "
            f"Annotations/{bare[0]}.txt is needed, or the picture in FramesNeg where it shows nobody"
        )
    return _Side(positive | negative, negative | annotations)


def _needed(folder: Path, name: str) -> Path:
    found = subfolder(folder, name)
    if found is None:
        raise DatasetError(f"{folder} has no folder {name}; CVC-14 is described as {LOOKS}")
    return found


def _has_objects(path: Path) -> bool:
    """Whether an annotation has pedestrians; where one is not as described, the whole data set is refused."""
    try:
        return bool(read_cvc14(path).objects)
    except BrokenAnnotation as error:
        raise DatasetError(f"{path}: {error}") from error


def _check_pairs(part: str, split: SplitName, rgb: _Side, ir: _Side, request: Request) -> None:
    if rgb.pictures and ir.pictures and not rgb.pictures.keys() & ir.pictures.keys():
        examples = f"{min(rgb.pictures)} and {min(ir.pictures)}"
        raise DatasetError(
            f"{request.source}: no picture of {part}/Visible/{_SPLITS[split]} has the name of one of FIR, for example "
            f"{examples}; the two of a pair have one name"
        )
