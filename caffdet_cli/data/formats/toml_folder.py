"""A folder whose `dataset.toml` says what it holds, as `caffdet convert` and `caffdet data init` write it."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.coco_head import about, release_of
from caffdet_cli.data.formats.layout import SPLITS, Raw, Request, SplitName, first_filled
from caffdet_cli.data.named_split import only_named
from caffdet_cli.errors import CaffdetError, DatasetError
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.data import Data, Split
from caffdet_cli.settings.load import load_config


class _Source(NamedTuple):
    """One split, as its settings say."""

    name: SplitName
    split: Split
    path: Path


def has_toml(source: Path) -> bool:
    """Whether a folder has a `dataset.toml` and annotations beside it."""
    if not (source / "dataset.toml").is_file():
        return False
    if _usual(source):
        return True
    try:
        return any(_sources(source, settings_of(source)))
    except CaffdetError:
        return False


def settings_of(source: Path) -> Data:
    """What the `dataset.toml` in a folder says.

    Raises:
        ConfigError: it is broken; says where.
    """
    return load_config(dataset=str(source)).config.data


def read_toml_folder(request: Request) -> Raw:
    """The splits that the TOML names. Boxes that reach out of their picture were left so, and stay.

    Raises:
        ConfigError, DatasetError: the TOML, an annotation file or a list of names is broken.
    """
    data = settings_of(request.source)
    sources = sorted(_sources(request.source, data), key=lambda each: SPLITS.index(each.name))
    if not sources:
        raise DatasetError(f"{request.source}: dataset.toml names no annotation file that is there")
    for name in sorted(data.splits.keys() - {each.name for each in sources}):
        files = " or ".join(data.splits[name].annotations)
        request.progress.warn(f"{request.source}: dataset.toml names {files} for {name}, and it is not there; left out")
    for path in sorted(set(_usual(request.source)) - {each.path for each in sources}):
        request.progress.warn(f"{path}: dataset.toml does not name it; left out")
    splits = _read(sources, data, _root(request.source, data), request)
    splits = {name: _resolved(one) for name, one in splits.items()}
    examples = [example for one in splits.values() for example in one.examples]
    spectra: list[Spectrum] = ["rgb"] if any(example.rgb for example in examples) else []
    spectra += ["ir"] if any(example.ir for example in examples) else []
    for name, _, annotated in sources:  # a split may lack all pictures of the spectrum that the boxes are drawn on
        said = next((spectrum for spectrum in spectra if spectrum == about(annotated).get("label_spectrum")), None)
        splits[name] = replace(splits[name], label_spectrum=said or splits[name].label_spectrum)
    labelled = {one.label_spectrum for one in splits.values()}
    if len(labelled) > 1 or (request.label_spectrum and request.label_spectrum not in labelled):
        raise DatasetError(
            f"{request.source}: boxes are in {' and '.join(sorted(labelled))} pixels; convert the raw data set anew "
            f"with --label-spectrum {request.label_spectrum or 'ir'}"
        )
    return Raw(splits, tuple(spectra), release=release_of(about(sources[0].path)), whole_boxes=True, rig=data.rig)


def _usual(source: Path) -> list[Path]:
    return [path for split in SPLITS if (path := source / f"{split}.json").is_file()]


def _root(source: Path, data: Data) -> Path:
    return Path(data.root) if data.root else source


def _sources(source: Path, data: Data) -> Iterator[_Source]:
    """The splits whose annotations are there; without any in the TOML by the usual names."""
    root = _root(source, data)
    usual = {name: Split(annotations=(f"{name}.json",)) for name in SPLITS}
    for name, split in (data.splits or usual).items():
        if path := next((root / file for file in split.annotations if (root / file).is_file()), None):
            yield _Source(name, split, path)


def _read(sources: list[_Source], data: Data, root: Path, request: Request) -> dict[SplitName, AnnotationSet]:
    """Each file once: several splits may be lists of its pictures. What is on none of them is written down."""
    splits: dict[SplitName, AnnotationSet] = {}
    whole: dict[Path, AnnotationSet] = {}
    for name, split, path in sources:
        if path not in whole or not split.names:
            rgb, ir = first_filled(root, split.rgb), first_filled(root, split.ir)
            whole[path] = read_coco(path, rgb=rgb, ir=ir, label_spectrum=data.label_spectrum, findings=request.findings)
        splits[name] = whole[path]
        if split.names:
            splits[name] = only_named(whole[path], root / split.names, root, split.sha256)
    for path, one in whole.items():
        _balance(path, one, [splits[each.name] for each in sources if each.path == path and each.split.names], request)
    return splits


def _balance(path: Path, whole: AnnotationSet, listed: list[AnnotationSet], request: Request) -> None:
    """Books of a file that is taken apart by lists: pictures on several of them count again."""
    if not listed:
        return
    named = [example for one in listed for example in one.examples]
    ids = {example.id for example in named}
    left = [example for example in whole.examples if example.id not in ids]
    again = len(named) - len(ids)
    if again:
        once = {example.id: len(example.objects) for example in named}
        request.findings.saw(pictures=again, boxes=sum(len(example.objects) for example in named) - sum(once.values()))
    if left:
        boxes = sum(len(example.objects) for example in left)
        what = f"{len(left)} pictures are on no list of dataset.toml"
        request.findings.add("on no list", request.place(path), what, "noted", pictures=len(left), boxes=boxes)


def _resolved(annotations: AnnotationSet) -> AnnotationSet:
    """The same with whole paths: the way from the file to its pictures may go up and through links."""
    folder = annotations.source.parent
    real = {"": Path(os.path.realpath(folder))}

    def whole(picture: Path | None) -> Path | None:
        if picture is None:
            return None
        parent = str(picture.parent)
        if parent not in real:
            real[parent] = Path(os.path.realpath(parent))
        return real[parent] / picture.name

    examples = (replace(one, rgb=whole(one.rgb), ir=whole(one.ir)) for one in annotations.examples)
    return replace(annotations, examples=tuple(examples))
