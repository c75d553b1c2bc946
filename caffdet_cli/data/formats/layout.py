"""What raw data set folders have in common: pictures and annotations found by name, lists, splits.

A *frame* is one moment: one picture or a pair, and its annotation, under one name. Frames are matched by name, never by
position.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.hostile import LARGEST_LIST, read_bytes
from caffdet_cli.errors import DatasetError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.base import Spectrum

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Suffixes, in small letters."""


LabelPolicy = Literal["rgb", "ir", "union", "intersection"]
"""Whose labels count where each spectrum has its own: one's, all, or those that both have."""


class Frame(NamedTuple):
    """One moment of a raw data set."""

    name: str
    rgb: Path | None
    ir: Path | None
    annotation: Path | None
    """Of both pictures; where each has its own labels, that of the label spectrum's."""
    other_annotation: Path | None = None
    """That of the other picture, where each has its own labels."""


Frames = dict[SplitName, list[Frame]]


@dataclass(frozen=True)
class Request:
    """What a reader of a raw data set is told."""

    source: Path
    classes: tuple[str, ...] | None
    """The only classes to keep, in this order; None: those of the format, or all that are found."""
    label_spectrum: Spectrum | None
    """In whose pixels the boxes are; None: as the format has it."""
    first_category_id: int
    findings: FindingLog
    progress: Progress
    labels: LabelPolicy | None = None
    """Whose labels count, for formats that label each spectrum by itself; None: the label spectrum's."""
    variant: str | None = None
    """Which of the annotations that the format was published with; None: the format's usual one."""

    def place(self, path: Path) -> str:
        """How messages call a file of the source."""
        return path.relative_to(self.source).as_posix() if path.is_relative_to(self.source) else str(path)


class Raw(NamedTuple):
    """A raw data set as it is on disk, pictures not yet looked at."""

    splits: dict[SplitName, AnnotationSet]
    spectra: tuple[Spectrum, ...]  # those that the data set has
    release: str = ""
    """Which annotations these are, where several were published: `improved test annotations (2016)`."""
    dataset: str = ""
    """The shipped data set that it is, where a format has several; empty: that of the format's name."""
    whole_boxes: bool = False
    """Boxes that reach out of the picture stay as they are, as the set's own evaluation has them."""
    verified: bool = True
    """False: this one of the format's layouts was written from a description alone."""
    rig: str = ""
    """File of the camera rig by which pictures of one spectrum are warped when they are read; empty: they fit."""


def warn_unverified(layout: str, request: Request) -> None:
    """Say that a layout was never tried on real files.

    Args:
        layout: `of vedai`, `with Annotation/`.
    """
    request.progress.warn(
        f"the layout {layout} is unverified: it was written from a description, no archive of it was ever opened; what "
        "does not fit is refused, or left out and told. Look at the result: caffdet visualize"
    )


def subfolder(folder: Path, *names: str) -> Path | None:
    """The first folder in `folder` that has one of `names`, in large or small letters; rather just so."""
    folders = [entry for entry in sorted(entries(folder)) if entry.is_dir()]
    present = {entry.name.lower(): entry for entry in folders} | {entry.name: entry for entry in folders}
    found = (present.get(name) or present.get(name.lower()) for name in names)
    return next((entry for entry in found if entry is not None), None)


def note_twins(request: Request) -> None:
    """Say where folders differ in large and small letters only: a layout may know one of them."""
    for folder in (request.source, *_folders_in(request.source)):
        twins: dict[str, list[str]] = {}
        for inside in _folders_in(folder):
            twins.setdefault(inside.name.casefold(), []).append(inside.name)
        for names in twins.values():
            if len(names) > 1:
                what = f"{', '.join(names)} differ in large and small letters only; perhaps one of them is not read"
                request.findings.add("folders of one name", request.place(folder), what, "noted")


def _folders_in(folder: Path) -> list[Path]:
    """Folders that are not hidden, by name; none where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted(folder / one.name for one in found if one.is_dir() and not one.name.startswith("."))
    except OSError:
        return []


def first_filled(root: Path, folders: Sequence[str]) -> Path | None:
    """The first of `folders` in `root` that holds something, else the first of all; None where none is named."""
    places = [root / folder for folder in folders]
    return next(filter(holds_something, places), places[0] if places else None)


def holds_something(folder: Path) -> bool:
    """Whether there is such a folder, and a file in it that is not hidden."""
    try:
        with os.scandir(folder) as found:
            return any(not entry.name.startswith(".") for entry in found)
    except OSError:
        return False


def entries(folder: Path) -> list[Path]:
    """What is in a folder, hidden files left out.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        return [folder / name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError as error:
        raise DatasetError(f"cannot read the folder {folder}: {error.strerror}") from error


def by_name(folder: Path, suffixes: Iterable[str], request: Request) -> dict[str, Path]:
    """Files with one of `suffixes` under their names without it; of two with one name the first by suffix is taken."""
    suffixes = frozenset(suffixes)
    found: dict[str, Path] = {}
    for path in sorted(entries(folder)):
        if path.suffix.lower() not in suffixes:
            continue
        if path.stem in found:
            what = f"{found[path.stem].name} has the same name and is taken"
            request.findings.saw(pictures=1)
            request.findings.add("duplicate id", request.place(path), what, "dropped", pictures=1)
        else:
            found[path.stem] = path
    return found


def list_files(folder: Path, names: dict[SplitName, tuple[str, ...]]) -> dict[SplitName, Path]:
    """The list of each split that `folder` has one for."""
    choices = {split: [folder / f"{name}.txt" for name in some] for split, some in names.items()}
    return {split: next(filter(Path.is_file, some)) for split, some in choices.items() if any(map(Path.is_file, some))}


def note_unlisted(found: dict[str, Frame], frames: Frames, request: Request) -> None:
    """Say how many frames no list has; they are not read."""
    unlisted = sorted(found.keys() - {frame.name for some in frames.values() for frame in some})
    if unlisted:
        what = f"{len(unlisted)} frames are in no list and are not read, for example {unlisted[0]}"
        request.findings.add("not listed", "lists", what, "noted")


def read_list(path: Path, request: Request) -> list[str]:
    """Names in a list file, one a line; a picture's or an annotation's suffix is cut off."""
    try:
        text = read_bytes(path, LARGEST_LIST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: byte {error.start}: a list of names is text in UTF-8") from error
    names: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name = line.strip()
        stem, dot, suffix = name.rpartition(".")
        name = stem if dot and f".{suffix.lower()}" in PICTURES | {".xml"} else name
        if not name:
            continue
        if name in names:
            request.findings.saw(pictures=1)
            request.findings.add(
                "duplicate id", f"{request.place(path)}:{number}", f"{name} is listed twice", "dropped", pictures=1
            )
        names[name] = None
    if not names:
        request.findings.add("empty list", request.place(path), "it has no name; the split has no picture", "noted")
    return list(names)


def without_leaks(frames: Frames, request: Request) -> Frames:
    """Leave a frame that several splits have in the last of test, val, train only, so that no score is made on it."""
    kept: Frames = {}
    taken: dict[str, SplitName] = {}
    for split in reversed(SPLITS):
        for frame in frames.get(split, ()):
            if frame.name in taken:
                request.findings.saw(pictures=1)
                what = f"also in {taken[frame.name]}, and left there only"
                request.findings.add("in two splits", f"{split}/{frame.name}", what, "dropped", pictures=1)
            else:
                kept.setdefault(split, []).append(frame)
        taken |= {frame.name: split for frame in frames.get(split, ())}
    return {split: kept[split] for split in SPLITS if split in kept}


def ids_of(names: Sequence[str], numbers: Mapping[str, str]) -> dict[str, int | str]:
    """An id per name: its number as an integer, unless it has none or another name has the same.

    Args:
        numbers: the digits of each name that has some.
    """
    whole = {name: int(numbers[name]) for name in names if len(numbers.get(name, "")) in range(1, 16)}
    seen: dict[int, int] = {}
    for value in whole.values():
        seen[value] = seen.get(value, 0) + 1
    return {name: whole[name] if name in whole and seen[whole[name]] == 1 else name for name in names}
