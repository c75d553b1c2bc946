"""Checked annotations -> paired COCO: `{train,val,test}.json`, `dataset.toml`, a rig, and `pictures/` with `copy`."""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.exporting.dataset_toml import RIG, Known, dataset_toml
from caffdet_cli.data.formats.coco_write import write_coco
from caffdet_cli.data.formats.layout import SPLITS, Request, SplitName
from caffdet_cli.data.mending import Mended
from caffdet_cli.data.rig import read_rig, write_rig

_PICTURES = "pictures"


class Paired(NamedTuple):
    """What is written, and how."""

    mended: Mapping[SplitName, Mended]
    known: Known
    root: Path  # folder that all pictures are in
    root_as: str  # how files in the output call it
    copy: bool  # the pictures too
    made_by: str
    release: str
    request: Request


def write_paired(part: Path, paired: Paired) -> None:
    """Write all of it into an empty folder."""
    for split, (annotations, other_sizes) in paired.mended.items():
        root, root_as = paired.root, None if paired.copy else paired.root_as
        if paired.copy:
            root = part / _PICTURES
            annotations = _copied(annotations, root, split, paired)
        write_coco(
            annotations,
            part / f"{split}.json",
            root=root,
            root_as=root_as,
            made_by=paired.made_by,
            release=paired.release,
            other_sizes=other_sizes,
        )
    if paired.known.rig:
        write_rig(read_rig(Path(paired.known.rig)), part / RIG)
    text = f"# {paired.made_by}\n{dataset_toml(paired.known, paired.mended)}"
    (part / "dataset.toml").write_text(text, encoding="utf-8", newline="\n")


def remove_stale_splits(output: Path, now: Collection[SplitName]) -> None:
    """Remove splits of an earlier conversion that this one does not have; files that others made stay."""
    for split in set(SPLITS) - set(now):
        path = output / f"{split}.json"
        if path.is_file():
            with path.open("rb") as file:
                ours = b'"made_by": "caffdet ' in file.read(4096)
            if ours:
                path.unlink()


def _copied(annotations: AnnotationSet, root: Path, split: SplitName, paired: Paired) -> AnnotationSet:
    """The same annotations with their pictures copied below `root`, in the folders that they have in the source."""
    examples = []
    for example in paired.request.progress.track(annotations.examples, f"copying pictures of {split}"):
        rgb, ir = (None if path is None else _copy(path, root, paired.root) for path in (example.rgb, example.ir))
        examples.append(replace(example, rgb=rgb, ir=ir))
    return replace(annotations, examples=tuple(examples))


def _copy(picture: Path, root: Path, source: Path) -> Path:
    target = root / picture.relative_to(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(picture, target)
    return target
