"""From a data set's settings to the annotations of one split, and to the class slots of a new model."""

import difflib
import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.layout import SplitName, entries, first_filled, holds_something
from caffdet_cli.data.named_split import only_named
from caffdet_cli.data.raw import recognise
from caffdet_cli.data.rig import read_rig
from caffdet_cli.data.warp import onto
from caffdet_cli.errors import ConfigError, DatasetError
from caffdet_cli.paths import data_root
from caffdet_cli.progress import Progress
from caffdet_cli.settings.data import Data, Split

ClassSlots = tuple[tuple[str | None, ...], tuple[int | None, ...]]
"""Name and category id of each output of a model; None where a slot has none."""

_MOST_SLOTS = 100_000


def load_split(
    data: Data,
    split: str | None = None,
    root: Path | None = None,
    progress: Progress | None = None,
    findings: FindingLog | None = None,
) -> tuple[str, AnnotationSet]:
    """The annotations of one split, and its name.

    Args:
        split: None: val where the data set has one, else test.
        root: where the files are; None: `data.root`, else `$CAFFDET_DATA/<name>`.
        progress: told what could not be used.
        findings: takes what could not be used, item by item.

    Raises:
        DatasetError: no root is known, the split or its file does not exist, the file is broken or has no classes, or
            none of its picture folders is there, or its list of names or its rig does not fit; a raw data set where a
            converted one is expected is told with the command that converts it.
    """
    root = dataset_root(data, root)
    name, path = _choose(data, split, root)
    about = data.splits[name]
    rgb, ir = first_filled(root, about.rgb), first_filled(root, about.ir)
    findings = FindingLog() if findings is None else findings
    annotations = read_coco(path, rgb=rgb, ir=ir, label_spectrum=data.label_spectrum, findings=findings)
    if not annotations.categories:
        raise DatasetError(f"{path} has no classes; an annotation file names one at least in categories")
    if annotations.examples and _are_nowhere(annotations.examples[0], [folder for folder in (rgb, ir) if folder]):
        looked, key = " or ".join([*about.rgb, *about.ir]), "rgb" if about.rgb else "ir"
        raise DatasetError(
            f"{_called(data)}, split {name}: {path.name} names {len(annotations.examples)} pictures, and there are "
            f"none in {looked} of {root}; put them there, or name their folder: --set data.splits.{name}.{key}=FOLDER"
        )
    if data.rig:
        annotations = replace(annotations, rig=onto(read_rig(Path(data.rig)), annotations.label_spectrum))
    if about.names:
        annotations = only_named(annotations, root / about.names, root, about.sha256)
    if findings.faults and progress is not None:
        progress.warn(f"{path}: {findings.summary()}")
    return name, annotations


def dataset_root(data: Data, root: Path | None = None) -> Path:
    """The folder of a data set's files.

    Raises:
        DatasetError: none is known, or it is not there.
    """
    chosen = root or (Path(data.root) if data.root else data_root(data.name) if data.name else None)
    called = _called(data)
    if chosen is None:
        place = f"set CAFFDET_DATA to the folder that holds {data.name}/" if data.name else "write root in its TOML"
        is_here = bool(data.name) and Path(data.name, "dataset.toml").is_file()
        folder = f"; if you mean the folder that is here, write --dataset ./{data.name}" if is_here else ""
        raise DatasetError(f"nothing says where the files of {called} are; give --data-root DIR, or {place}{folder}")
    if not chosen.is_dir():
        state = "is a file" if chosen.exists() else "is not there"
        raise DatasetError(f"{called}: the folder {chosen} {state}; give its place with --data-root DIR")
    return chosen


def class_slots(
    labels: Literal["names", "category_ids"], outputs: int, annotations: AnnotationSet, classes: Sequence[str] = ()
) -> ClassSlots:
    """What each output of a new model means.

    Args:
        labels: `names`: slot i is class i. `category_ids`: slot = category id, as in published files.
        outputs: slots of the model; 0: as many as are needed.
        classes: of the data set's settings, in the order of the slots; empty: as the annotation file has them.

    Raises:
        DatasetError: the annotation file does not have one of `classes`.
        ConfigError: there are more classes, or larger ids, than outputs.
    """
    ids = {category.name: category.id for category in annotations.categories}
    names = tuple(classes) or tuple(ids)
    if strange := [name for name in names if name not in ids]:
        near = difflib.get_close_matches(strange[0], ids, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DatasetError(f"{annotations.source} has no class {strange[0]!r}{hint} It has: {', '.join(ids) or 'none'}")
    if not names:
        raise DatasetError(f"{annotations.source} has no classes; a model needs one at least")
    slots = range(len(names)) if labels == "names" else [ids[name] for name in names]
    count = outputs or max(0, *slots) + 1
    _fit(labels, slots, count, names, annotations.source)
    by_slot = dict(zip(slots, names, strict=True))
    found = tuple(by_slot.get(slot) for slot in range(count))
    return found, tuple(None if name is None else ids[name] for name in found)


def _fit(labels: str, slots: Sequence[int], count: int, names: Sequence[str], source: Path) -> None:
    """Check that every class has a slot."""
    if count > _MOST_SLOTS:
        raise ConfigError(f"{source}: class id {max(slots)} is too large to be a slot; set model.labels = 'names'")
    if min(slots) >= 0 and max(slots) < count:
        return
    if labels == "names":
        raise ConfigError(f"the data set has {len(names)} classes, model.outputs = {count}; raise it, or 0 for as many")
    wrong = next(slot for slot in slots if not 0 <= slot < count)
    name = names[list(slots).index(wrong)]
    raise ConfigError(
        f"{source}: class {name!r} has id {wrong}, model.outputs = {count} has slots 0 to {count - 1}; "
        "raise it, or set model.labels = 'names'"
    )


def _called(data: Data) -> str:
    """How messages call a data set."""
    return f"data set {data.name!r}" if data.name else "the data set"


def _are_nowhere(example: Example, folders: Sequence[Path]) -> bool:
    """Whether its pictures are looked for in `folders`, and none of these is there with something in it."""
    paths = [path for path in (example.rgb, example.ir) if path is not None]
    inside = any(path.is_relative_to(folder) for path in paths for folder in folders)
    return inside and not any(map(holds_something, folders))


def _choose(data: Data, split: str | None, root: Path) -> tuple[SplitName, Path]:
    """The split to read and its annotation file, the first that exists."""
    have = ", ".join(data.splits) or "none"
    called = _called(data)
    choices = ("val", "test") if split is None else (split,)
    wanted = [name for name in data.splits if name in choices]
    wanted.sort(key=choices.index)
    if split is not None and not wanted:
        raise DatasetError(f"{called} has no split {split!r}; it has: {have}")
    if not wanted:
        raise DatasetError(
            f"{called} has neither val nor test; name a split: {have} (caffdet convert --val 0.2 "
            "holds some training pictures out)"
        )
    for name in wanted:
        for file in data.splits[name].annotations:
            if (root / file).is_file():
                return name, root / file
    raise DatasetError(_missing(called, wanted[0], data.splits[wanted[0]], root))


def _missing(called: str, name: str, split: Split, root: Path) -> str:
    """Why there is no annotation file, and what to do."""
    if not entries(root):
        return f"{called}: the folder {root} is empty"
    looked = f"{called}, split {name}: there is no {' or '.join(split.annotations)} in {root}"
    format = recognise(root)
    if format in (None, "coco"):  # a COCO download is read as it is
        return f"{looked}; give the right folder with --data-root DIR"
    source, there = shlex.quote(str(root)), shlex.quote(f"{os.path.normpath(root)}-coco")
    return (
        f"{looked}. It is a raw {format} data set; convert it: "
        f"caffdet convert {format} {source} -o {there}, then give --data-root {there}"
    )
