"""Where the pictures and labels of a YOLO data set lie: the layouts that are known, and which one a folder has."""

import os
from pathlib import Path
from typing import Literal, NamedTuple

from caffdet_cli.data.formats.layout import SPLITS, SplitName, entries
from caffdet_cli.data.formats.voc_folder import IR_FOLDERS, RGB_FOLDERS
from caffdet_cli.data.formats.yolo_names import TEXT_NAME
from caffdet_cli.settings.base import Spectrum

Owner = Literal["rgb", "ir", "both"]
"""Whose pictures or labels: `both` are single pictures, or one set of labels for all."""

SPLIT_FOLDERS: dict[SplitName, tuple[str, ...]] = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}
SPECTRUM_FOLDERS: dict[Spectrum, tuple[str, ...]] = {"rgb": RGB_FOLDERS, "ir": IR_FOLDERS}


class Layout(NamedTuple):
    """Folders with SPLIT and SPECTRUM for their names; labels lie in the first place that is there."""

    pictures: str
    labels: tuple[str, ...]


LAYOUTS = (  # pairs first: images/ with a folder for each spectrum is none of single pictures
    Layout("images/SPECTRUM/SPLIT", ("labels/SPECTRUM/SPLIT", "labels/SPLIT")),
    Layout("SPECTRUM/images/SPLIT", ("SPECTRUM/labels/SPLIT", "labels/SPLIT")),
    Layout("SPECTRUM/SPLIT/images", ("SPECTRUM/SPLIT/labels",)),
    Layout("SPECTRUM/SPLIT", ("labels/SPECTRUM/SPLIT", "labels/SPLIT", "SPECTRUM/SPLIT")),
    Layout("SPLIT/SPECTRUM", ("SPLIT/labels/SPECTRUM", "SPLIT/labels")),
    Layout("SPECTRUM", ("labels/SPECTRUM", "labels", "SPECTRUM")),
    Layout("images/SPLIT", ("labels/SPLIT", "images/SPLIT")),
    Layout("SPLIT/images", ("SPLIT/labels",)),
    Layout("images", ("labels", "images")),
)


class Folders(NamedTuple):
    """Of one split."""

    pictures: dict[Owner, Path]
    labels: dict[Owner, Path]  # empty: it has none


class Found(NamedTuple):
    """A data set of one layout."""

    splits: dict[SplitName, Folders]
    divided: bool  # it has folders for splits; else all is `train`


def find_yolo(source: Path) -> Found | None:
    """The first layout of which a folder has pictures and labels; what is in the folders is not looked at.

    One spectrum alone comes last: a folder `vis` beside `images` may hold drawings.

    Raises:
        DatasetError: a folder cannot be read.
    """
    tree, alone = _Tree(source), None
    for layout in LAYOUTS:
        divided = "SPLIT" in layout.pictures
        wanted: tuple[SplitName, ...] = SPLITS if divided else ("train",)
        splits = {split: folders for split in wanted if (folders := _folders(tree, layout, split))}
        if not any(folders.labels for folders in splits.values()):
            continue
        if any(len(folders.pictures) == 2 or "both" in folders.pictures for folders in splits.values()):
            return Found(splits, divided)
        alone = alone or Found(splits, divided)
    return alone


def _folders(tree: "_Tree", layout: Layout, split: SplitName) -> Folders | None:
    pictures = tree.each(layout.pictures, split)
    if not pictures:
        return None
    for place in layout.labels:
        labels = tree.each(place, split)
        if place == layout.pictures:
            labels = {owner: folder for owner, folder in labels.items() if _has_labels(folder)}
        if labels:
            return Folders(pictures, labels)
    return Folders(pictures, {})


def _has_labels(folder: Path) -> bool:
    return any(path.suffix.lower() == ".txt" and path.name != TEXT_NAME for path in entries(folder))


class _Tree:
    """Folders below one, found by names in large or small letters; each is listed once."""

    def __init__(self, root: Path):
        self._root = root
        self._listed: dict[Path, dict[str, Path]] = {}

    def each(self, place: str, split: SplitName) -> dict[Owner, Path]:
        """The folders of a place: one for each spectrum where it has SPECTRUM in it, else one for `both`."""
        if "SPECTRUM" not in place:
            folder = self._find(place, split, ())
            return {} if folder is None else {"both": folder}
        found = {spectrum: self._find(place, split, names) for spectrum, names in SPECTRUM_FOLDERS.items()}
        return {spectrum: folder for spectrum, folder in found.items() if folder is not None}

    def _find(self, place: str, split: SplitName, spectrum: tuple[str, ...]) -> Path | None:
        named = {"SPLIT": SPLIT_FOLDERS[split], "SPECTRUM": spectrum}
        folder: Path | None = self._root
        for part in place.split("/"):
            inside = self._inside(folder) if folder else {}
            folder = next((inside[name] for name in named.get(part, (part,)) if name in inside), None)
        return folder

    def _inside(self, folder: Path) -> dict[str, Path]:
        if folder not in self._listed:
            inside = sorted(entries(folder))
            folders = [path for path in inside if os.path.isdir(path)]
            self._listed[folder] = {path.name.lower(): path for path in folders} | {path.name: path for path in folders}
        return self._listed[folder]
