"""The annotation files of a folder: COCO JSON, one per split, found by their content and told apart by their names."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from caffdet_cli.data.discovery.pictures import folders_in
from caffdet_cli.data.formats.hostile import read_json
from caffdet_cli.data.formats.layout import SPLITS, SplitName
from caffdet_cli.errors import DatasetError

WORDS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

_MOST = 20  # JSON files in one folder; where there are more, each is of one picture
_PAIRED = ("file_name_IR", "image_IR", "file_name_RGB")


class CocoFile(NamedTuple):
    """What an annotation file says, as far as `init` needs it."""

    path: Path
    split: SplitName | None  # by its name
    images: list[dict[str, Any]]
    classes: tuple[str, ...]
    info: dict[str, Any]

    @property
    def own(self) -> dict[str, Any] | None:
        """What a file of caffdet's own form says about itself."""
        said = self.info.get("caffdet")
        return said if isinstance(said, dict) else None

    @property
    def paired(self) -> bool:
        """Whether its records name two pictures."""
        return any(key in record for record in self.images[:1] for key in _PAIRED)


class Chosen(NamedTuple):
    """The file of each split, and what was decided on the way."""

    files: dict[SplitName, CocoFile]
    guesses: tuple[str, ...]


def coco_files(source: Path) -> tuple[list[CocoFile], list[str]]:
    """Every COCO annotation file in a folder, and remarks on JSON files that are none.

    Raises:
        DatasetError: a folder cannot be read.
    """
    found: list[CocoFile] = []
    remarks: list[str] = []
    for folder in folders_in(source):
        names = sorted(path for path in folder.glob("*.json") if path.is_file())
        if len(names) > _MOST:
            remarks.append(
                f"not read: {len(names)} JSON files in {_called(folder, source)}/, taken for one per picture"
            )
            continue
        for path in names:
            one = _read(path, source)
            if isinstance(one, str):
                remarks.append(f"not read: {one}")
            else:
                found.append(one)
    return found, remarks


def choose_files(found: Sequence[CocoFile], source: Path) -> Chosen:
    """One file per split: those that name pairs first, then those that lie nearest."""
    guesses: list[str] = []
    named: dict[SplitName, list[CocoFile]] = {}
    nameless = [one for one in found if one.split is None]
    for split in SPLITS:
        if some := [one for one in found if one.split == split]:
            named[split] = sorted(some, key=lambda one: (not one.paired, len(one.path.parts), str(one.path)))
    if not named and nameless:
        first, *nameless = sorted(nameless, key=lambda one: (not one.paired, len(one.path.parts), str(one.path)))
        named["train"] = [first]
        guesses.append(f"{_called(first.path, source)} is the split train, because its name says no split")
    for split, some in named.items():
        if rest := some[1:]:
            others = ", ".join(_called(one.path, source) for one in rest)
            guesses.append(f"{split} is {_called(some[0].path, source)}, not {others}")
    if nameless:
        left = ", ".join(_called(one.path, source) for one in nameless)
        guesses.append(f"left aside, because no split is in the name: {left}")
    return Chosen({split: some[0] for split, some in named.items()}, tuple(guesses))


def _read(path: Path, source: Path) -> CocoFile | str:
    """A COCO file, or why it is none."""
    try:
        document = read_json(path)
    except DatasetError as error:
        return str(error)
    lists = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in lists):
        return f"{path} is not COCO (an object with the lists images, annotations and categories)"
    images = [record for record in document["images"] if isinstance(record, dict)]
    if images and not any(key in images[0] for key in ("file_name", *_PAIRED)):
        return f"{path}: images have no file_name, so that nothing says which pictures they are"
    names = [one.get("name") for one in document["categories"] if isinstance(one, dict)]
    info: Any = document.get("info")
    return CocoFile(
        path=path,
        split=_split_of(path, source),
        images=images,
        classes=tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name)),
        info=info if isinstance(info, dict) else {},
    )


def _split_of(path: Path, source: Path) -> SplitName | None:
    """By the file's name, else by its folder's."""
    for name in (path.stem, *(() if path.parent == source else (path.parent.name,))):
        said = {WORDS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in WORDS}
        if len(said) == 1:
            return said.pop()
    return None


def _called(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix()
