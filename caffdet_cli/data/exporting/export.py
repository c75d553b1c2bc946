"""Checked annotations -> a folder in one of the forms that other programs read, which `caffdet convert` reads back.

    coco   annotations/instances_SPLIT.json; pictures stay where they are, or are copied to images/SPLIT/
    yolo   images/SPLIT/  labels/SPLIT/  data.yaml; of infrared pictures alone in infrared/;
           of pairs images/visible/SPLIT/  images/infrared/SPLIT/  labels/SPECTRUM/SPLIT/ of the label spectrum
    voc    JPEGImages/  Annotations/  ImageSets/Main/SPLIT.txt; visible/ and infrared/ instead of JPEGImages/

and export.json: every file and folder, and which picture is called how.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from caffdet_cli.data.annotations import AnnotationSet, Example, label_picture
from caffdet_cli.data.exporting.names import flat_names, usual_suffix
from caffdet_cli.data.exporting.sayable import Target
from caffdet_cli.data.formats.coco_write import write_plain_coco
from caffdet_cli.data.formats.hostile import inside, read_json
from caffdet_cli.data.formats.layout import Request, SplitName
from caffdet_cli.data.formats.voc_write import voc_text
from caffdet_cli.data.formats.yolo_write import data_yaml, yolo_text
from caffdet_cli.errors import DatasetError, OutputError
from caffdet_cli.settings.base import Spectrum

_BOOK = "export.json"
_FOLDERS = ("annotations", "images", "labels", "visible", "infrared", "Annotations", "ImageSets", "JPEGImages")


class Export(NamedTuple):
    """What is written, and how."""

    to: Target
    sets: Mapping[SplitName, AnnotationSet]
    spectra: tuple[Spectrum, ...]
    root: Path  # folder that all pictures are in
    root_as: str  # how files in the output call it
    copy: bool  # the pictures too, where the form does without
    made_by: str
    release: str
    request: Request


def write_back(part: Path, export: Export) -> None:
    """Write the whole form into an empty folder."""
    writer = _Writer(part, export)
    match export.to:
        case "coco":
            writer.coco()
        case "yolo":
            writer.yolo()
        case "voc":
            writer.voc()
    writer.book()


def earlier_files(output: Path) -> set[str]:
    """The files that an earlier export into a folder made, and folders that it needs, with a stroke at the end.

    Raises:
        OutputError: there are such folders, and it is not known which files of theirs are of an export.
    """
    book = output / _BOOK
    if not book.is_file():
        if mixed := [name for name in _FOLDERS if (output / name).is_dir()]:
            raise OutputError(
                f"{output / mixed[0]} is not of an earlier export and would be mixed with this one; move it"
            )
        return set()
    with suppress(DatasetError):
        files = document.get("files") if isinstance(document := read_json(book), dict) else None
        if isinstance(files, list) and all(isinstance(name, str) for name in files):
            return set(files)
    raise OutputError(f"{book} is not as caffdet wrote it, so what is old there is unknown; choose another --output")


def remove_stale(output: Path, earlier: set[str]) -> None:
    """Remove files of an earlier export that this one does not have; files that others made stay."""
    now = earlier_files(output)
    needed = {output / name for name in now if name.endswith("/")}
    for name in sorted(earlier - now):
        with suppress(DatasetError, OSError):  # names that lead out of the folder are none of ours
            path = inside(output, name, str(output / _BOOK))
            if name.endswith("/"):
                path.rmdir()
            elif path.is_file() and not path.parent.is_symlink():
                path.unlink()
                for folder in path.parents[: len(Path(name).parts) - 1]:
                    if folder not in needed:
                        folder.rmdir()  # where it is empty now


class _Writer:
    """Writes one export, and remembers its files."""

    def __init__(self, part: Path, export: Export):
        self._part = part
        self._export = export
        self._spectrum = next(iter(export.sets.values())).label_spectrum
        self._names = flat_names(export.sets, export.root, self._spectrum)
        categories = (category for one in export.sets.values() for category in one.categories)
        self._classes = list(dict.fromkeys(category.name for category in categories))
        self._files: list[str] = []
        self._pictures: list[dict[str, Any]] = []

    def coco(self) -> None:
        for split, annotations in self._export.sets.items():
            root, called = self._export.root, self._export.root_as
            called = called if Path(called).is_absolute() else f"../{called}"  # seen from annotations/
            if self._export.copy:
                root, called = self._part / "images" / split, f"../images/{split}"
                folders: dict[Spectrum, str] = {self._spectrum: f"images/{split}"}
                pairs = (self._copied(split, example, name, folders) for name, example in self._named(split))
                annotations = replace(annotations, examples=tuple(pairs))
            write_plain_coco(
                annotations,
                self._part / self._file(f"annotations/instances_{split}.json"),
                spectrum=self._spectrum,
                root=root,
                root_as=called,
                made_by=self._export.made_by,
                release=self._export.release,
            )

    def yolo(self) -> None:
        sets, above = self._export.sets, "infrared/" if self._export.spectra == ("ir",) else ""
        shown = {}
        for split, annotations in sets.items():
            classes = [self._classes.index(category.name) for category in annotations.categories]
            folders = self._folders(f"{above}images/{split}", "images/", f"/{split}")
            shown[split] = folders[self._spectrum]
            labels = shown[split].replace("images/", "labels/", 1)  # as programs find them
            self._make(folders)
            for name, example in self._named(split):
                self._copied(split, example, name, folders)
                self._text(f"{labels}/{name}.txt", yolo_text(example, classes))
        self._text("data.yaml", data_yaml(shown, self._classes, self._export.made_by))

    def voc(self) -> None:
        folders = self._folders("infrared" if self._export.spectra == ("ir",) else "JPEGImages", "", "")
        self._make(folders)
        for split, annotations in self._export.sets.items():
            for name, example in self._named(split):
                copied = self._copied(split, example, name, folders)
                path = label_picture(copied, self._spectrum) or Path(name)
                picture = path.relative_to(self._part).as_posix()
                self._text(f"Annotations/{name}.xml", voc_text(example, annotations, picture))
            self._text(f"ImageSets/Main/{split}.txt", "".join(f"{name}\n" for name in self._names[split]))

    def book(self) -> None:
        """What was written; ASCII, so that names that are no UTF-8 survive."""
        head = {"schema": 1, "made_by": self._export.made_by, "to": self._export.to, "release": self._export.release}
        lines = [f'"{key}": {json.dumps(value)}' for key, value in head.items() if value != ""]
        lines.append(f'"classes": {json.dumps(self._classes)}')
        lines += [_list("files", sorted(self._files)), _list("pictures", self._pictures)]
        (self._part / _BOOK).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii", newline="\n")

    def _named(self, split: SplitName) -> Iterator[tuple[str, Example]]:
        """The examples of a split with their names."""
        examples = self._export.sets[split].examples
        return self._export.request.progress.track(
            list(zip(self._names[split], examples, strict=True)), f"writing {split}"
        )

    def _folders(self, single: str, above: str, below: str) -> dict[Spectrum, str]:
        """Where the pictures of each spectrum go: those of pairs into one folder each, between `above` and `below`."""
        if len(self._export.spectra) == 1:
            return {self._export.spectra[0]: single}
        return {"rgb": f"{above}visible{below}", "ir": f"{above}infrared{below}"}

    def _make(self, folders: Mapping[Spectrum, str]) -> None:
        """Folders that say which spectra there are, even where a split has no picture of one."""
        for folder in folders.values():
            (self._part / self._file(f"{folder}/")).mkdir(parents=True, exist_ok=True)

    def _copied(self, split: SplitName, example: Example, name: str, folders: Mapping[Spectrum, str]) -> Example:
        """The example with its pictures copied into the folders of their spectra, under `name`."""
        record: dict[str, Any] = {"name": name, "split": split, "id": example.id}
        paths: dict[Spectrum, Path | None] = {"rgb": None, "ir": None}
        pictures: dict[Spectrum, Path | None] = {"rgb": example.rgb, "ir": example.ir}
        for spectrum, picture in pictures.items():
            if picture is not None and spectrum in folders:
                record[spectrum] = picture.relative_to(self._export.root).as_posix()
                target = self._part / self._file(f"{folders[spectrum]}/{name}{usual_suffix(picture)}")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(picture, target)
                paths[spectrum] = target
        self._pictures.append(record)
        return replace(example, rgb=paths["rgb"], ir=paths["ir"])

    def _text(self, name: str, text: str) -> None:
        path = self._part / self._file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")

    def _file(self, name: str) -> str:
        self._files.append(name)
        return name


def _list(key: str, values: Iterable[object]) -> str:
    rows = ",\n".join(map(json.dumps, values))
    return f'"{key}": [\n{rows}\n]' if rows else f'"{key}": []'
