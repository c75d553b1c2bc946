"""The splits of a data set for inspection, and how messages call their pictures."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet, Example, label_picture
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.inspection.notes import Shown
from caffdet_cli.data.splits import dataset_root, load_split
from caffdet_cli.errors import DatasetError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.data import Data


@dataclass(frozen=True)
class Splits:
    """What is inspected."""

    root: Path
    sets: dict[str, AnnotationSet]  # by the name of the split

    @cached_property
    def pictures(self) -> str:
        """The folder that all pictures are in."""
        folders = {
            os.path.dirname(os.path.normpath(path))
            for annotations in self.sets.values()
            for example in annotations.examples
            for path in (example.rgb, example.ir)
            if path is not None
        }
        try:
            return os.path.commonpath(folders) if folders else ""
        except ValueError:  # on several drives
            return ""

    def __iter__(self) -> Iterator[tuple[str, int, Example]]:
        """Every example with its split and its position there."""
        for split, annotations in self.sets.items():
            for index, example in enumerate(annotations.examples):
                yield split, index, example

    def name(self, example: Example) -> str:
        """The path of the label spectrum's or the other picture below the root, with `/`."""
        path = label_picture(example, next(iter(self.sets.values())).label_spectrum)
        return str(example.id) if path is None else self.place(path)

    def file(self, example: Example, spectrum: Spectrum) -> str:
        """The path of one picture below the root; the example's name where it has none."""
        path = example.rgb if spectrum == "rgb" else example.ir
        return self.name(example) if path is None else self.place(path)

    def shown(self, split: str, example: Example) -> Shown:
        """An example with the names of its labels."""
        annotations = self.sets[split]
        return Shown(example, tuple(category.name for category in annotations.categories), annotations.rig)

    def place(self, path: Path) -> str:
        """A path below the root, else below the folder of all pictures, with `/`; folders above mean nothing."""
        whole = os.path.normpath(path)
        for folder in (os.path.normpath(self.root), self.pictures):
            if folder and whole.startswith(folder + os.sep):
                return Path(whole[len(folder) + 1 :]).as_posix()
        return Path(whole).as_posix()


def read_splits(data: Data, split: str | None, root: Path | None, findings: FindingLog, progress: Progress) -> Splits:
    """One split, or all that are there.

    Args:
        findings: takes what cannot be used of the annotation files.

    Raises:
        DatasetError: as `load_split`, if no split can be read, or that which is asked for.
    """
    root = dataset_root(data, root)
    if split is not None or not data.splits:
        name, annotations = load_split(data, split, root, findings=findings)
        return Splits(root, {name: annotations})
    there = [name for name, about in data.splits.items() if any((root / file).is_file() for file in about.annotations)]
    sets: dict[str, AnnotationSet] = {}
    for name in there or list(data.splits):  # where none is there: what `load_split` says about the first
        sets[name] = load_split(data, name, root, findings=findings)[1]
    for name in [name for name in data.splits if name not in sets]:
        progress.warn(f"split {name} is left out: there is no {' or '.join(data.splits[name].annotations)} in {root}")
    if not any(annotations.examples for annotations in sets.values()):
        raise DatasetError(f"the annotation files of {root} name no pictures; convert the data set again")
    return Splits(root, sets)
