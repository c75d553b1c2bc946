"""The raw layouts that can be converted: which one a folder has, and reading it."""

import difflib
import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from caffdet_cli.data.annotations import AnnotationSet, Example, Objects
from caffdet_cli.data.formats import (
    coco_folder,
    cvc14,
    dronevehicle,
    flir,
    flir_adas,
    kaist,
    kaist_sources,
    llvip,
    m3fd,
    msrs,
    vedai,
    voc_folder,
    yolo,
)
from caffdet_cli.data.formats.layout import Raw, Request, entries, note_twins, warn_unverified
from caffdet_cli.errors import DatasetError


class _Layout(NamedTuple):
    looks_like: Callable[[Path], bool]
    read: Callable[[Request], Raw]
    looks: str  # what is looked for, in words
    verified: bool = True
    """Tried on real files, or on copies of exactly their layout; else it was written from a description alone."""
    variants: tuple[str, ...] = ()
    """Annotations that the format was published with, the usual ones first."""
    apart: bool = False
    """Each spectrum may have labels of its own."""


_LAYOUTS: dict[str, _Layout] = {  # narrow ones first: LLVIP and FLIR have VOC files too
    "kaist": _Layout(
        kaist.looks_like_kaist, kaist.read_kaist_folder, kaist.LOOKS, variants=kaist_sources.VARIANTS, apart=True
    ),
    "cvc14": _Layout(cvc14.looks_like_cvc14, cvc14.read_cvc14_folder, cvc14.LOOKS, verified=False, apart=True),
    "llvip": _Layout(llvip.looks_like_llvip, llvip.read_llvip, llvip.LOOKS),
    "flir": _Layout(flir.looks_like_flir, flir.read_flir, flir.LOOKS, variants=flir_adas.VARIANTS),
    "vedai": _Layout(vedai.looks_like_vedai, vedai.read_vedai, vedai.LOOKS, verified=False, variants=vedai.FOLDS),
    "dronevehicle": _Layout(
        dronevehicle.looks_like_dronevehicle,
        dronevehicle.read_dronevehicle,
        dronevehicle.LOOKS,
        verified=False,
        apart=True,
    ),
    "m3fd": _Layout(m3fd.looks_like_m3fd, m3fd.read_m3fd, m3fd.LOOKS),
    "msrs": _Layout(msrs.looks_like_msrs, msrs.read_msrs, msrs.LOOKS, variants=msrs.VARIANTS, apart=True),
    "voc": _Layout(voc_folder.looks_like_voc, voc_folder.read_voc_folder, voc_folder.LOOKS),
    "yolo": _Layout(yolo.looks_like_yolo, yolo.read_yolo, yolo.LOOKS, variants=yolo.VARIANTS, apart=True),
    "coco": _Layout(coco_folder.looks_like_coco, coco_folder.read_coco_folder, coco_folder.LOOKS),
}


def source_folder(source: Path) -> Path:
    """The whole path of a folder that is there and holds something.

    Raises:
        DatasetError: it is missing, a file, empty, or cannot be read.
    """
    source = Path(os.path.abspath(source))
    if not source.exists():
        raise DatasetError(f"there is no folder {source}")
    if not source.is_dir():
        raise DatasetError(f"{source} is a file; the folder of the data set is needed (unpack archives first)")
    if not entries(source):
        raise DatasetError(f"the folder {source} is empty")
    return source


def described() -> str:
    """Every format with its layout, one a line."""
    width = max(map(len, _LAYOUTS))
    return "\n".join(f"  {name:<{width}} {_described(layout)}" for name, layout in _LAYOUTS.items())


def _described(layout: _Layout) -> str:
    return layout.looks if layout.verified else f"{layout.looks} (unverified)"


def is_verified(format: str) -> bool:
    """Whether the layout of a format was tried on real files."""
    return _LAYOUTS[format].verified


def recognise(folder: Path) -> str | None:
    """The format whose layout a folder has."""
    return next((name for name, layout in _LAYOUTS.items() if layout.looks_like(folder)), None)


def read_raw(format: str, request: Request) -> Raw:
    """Read the annotations of `request.source`; pictures are not looked at.

    Raises:
        DatasetError: no such format or not its layout (with the one that fits), or nothing usable.
    """
    if format not in _LAYOUTS:
        near = difflib.get_close_matches(format, _LAYOUTS, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; there are:"
        raise DatasetError(f"there is no format {format!r}{hint}\n{described()}")
    layout = _LAYOUTS[format]
    if not layout.looks_like(request.source):
        raise DatasetError(
            f"{request.source} has not the layout of {format}: looked for {layout.looks}. {_hint(request)}"
        )
    if (other := recognise(request.source)) != format:
        request.progress.warn(f"{request.source} is read as {format}, and looks like {other}")
    _check_choices(format, layout, request)
    if not layout.verified:
        warn_unverified(f"of {format}", request)
    note_twins(request)
    raw = layout.read(request)
    _same_ids(raw)
    if request.classes is None:
        return raw
    return raw._replace(splits={split: _only(one, request) for split, one in raw.splits.items()})


def _check_choices(format: str, layout: _Layout, request: Request) -> None:
    """`labels` and `variant` are for formats that have some to choose from."""
    if request.variant is not None and request.variant not in layout.variants:
        have = f"it has {', '.join(layout.variants)}" if layout.variants else "it has one kind of annotations only"
        raise DatasetError(f"{format} has no annotations called {request.variant!r}; {have}")
    if request.labels is not None and not layout.apart:
        raise DatasetError(
            f"--labels {request.labels}: {format} has one set of labels for both pictures; "
            "--label-spectrum says in whose pixels they are"
        )


def _hint(request: Request) -> str:
    """What else a folder is, or where the data set may lie."""
    source = request.source
    if (source / "dataset.toml").is_file():
        return f"It is converted already: --dataset {source}"
    if other := recognise(source):
        return f"It looks like {other}: caffdet convert {other} {shlex.quote(str(source))} -o DIR"
    folders = (folder for folder in sorted(entries(source)) if folder.is_dir())
    inside = {folder: recognise(folder) for folder in folders if not (folder / "dataset.toml").is_file()}
    fitting = [f"caffdet convert {name} {shlex.quote(str(folder))} -o DIR" for folder, name in inside.items() if name]
    if fitting:
        return f"A folder inside it fits: {fitting[0]}"
    found = ", ".join(sorted(path.name for path in entries(source))[:5])
    return f"It holds {found}"


def _same_ids(raw: Raw) -> None:
    """Check that splits agree on what an id means."""
    seen: dict[int, tuple[str, str]] = {}
    for split, annotations in raw.splits.items():
        for key, name in annotations.categories:
            first, before = seen.setdefault(key, (split, name))
            if before != name:
                raise DatasetError(f"category id {key} is {before!r} in {first} and {name!r} in {split}")


def _only(annotations: AnnotationSet, request: Request) -> AnnotationSet:
    """The classes that were asked for, in that order; objects of others are dropped."""
    wanted = request.classes or ()
    known = {category.name: label for label, category in enumerate(annotations.categories)}
    if strange := [name for name in wanted if name not in known]:
        raise DatasetError(f"{annotations.source} has no class {strange[0]!r}; it has: {', '.join(known)}")
    labels = np.full(len(known), -1)
    labels[[known[name] for name in wanted]] = np.arange(len(wanted))
    examples = tuple(
        replace(example, objects=_kept(example, labels[example.objects.labels], annotations, request))
        for example in annotations.examples
    )
    return replace(
        annotations, examples=examples, categories=tuple(annotations.categories[known[name]] for name in wanted)
    )


def _kept(
    example: Example, labels: "np.ndarray[tuple[int], np.dtype[np.int64]]", annotations: AnnotationSet, request: Request
) -> Objects:
    objects, stays = example.objects, labels >= 0
    for row in np.flatnonzero(~stays).tolist():
        name = annotations.categories[int(objects.labels[row])].name
        place = f"{request.place(annotations.source)}: object {objects.ids[row]}"
        what = f"{name!r} is not one of {', '.join(request.classes or ())}"
        request.findings.add("unknown class", place, what, "dropped", boxes=1)
    return replace(objects, labels=labels).where(stays)
