"""Frames with Pascal VOC annotations -> annotation sets with one list of classes."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, Objects, no_objects
from caffdet_cli.data.formats.hostile import BrokenXml, short
from caffdet_cli.data.formats.layout import Frame, Frames, Request, SplitName, ids_of, without_leaks
from caffdet_cli.data.formats.voc_xml import VocObject, VocRecord, read_voc
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum


def read_frames(
    frames: Frames,
    request: Request,
    *,
    label_spectrum: Spectrum,
    classes: tuple[str, ...] | None = None,
    numbers: dict[str, str] | None = None,
) -> dict[SplitName, AnnotationSet]:
    """Annotation sets with one list of classes: the one asked for, else all names, sorted.

    Pictures are not looked at: where an annotation has no size, width and height are 0. A frame without a readable
    annotation is dropped (it would pass for empty); one without objects is kept.

    Args:
        classes: of the format; `request.classes` goes before them.
        numbers: the digits in a frame's name that make its id; None: names that are numbers.

    Raises:
        DatasetError: there are objects, and none can be used.
    """
    ordered = {
        split: sorted(some, key=lambda frame: frame.name) for split, some in without_leaks(frames, request).items()
    }
    kept = {split: list(_records(split, some, request)) for split, some in ordered.items()}
    records = [record for some in kept.values() for _, record in some]
    found = sorted({one.name for record in records for one in record.objects if one.name})
    labels = {name: label for label, name in enumerate(_asked(request, found) or classes or found)}
    names = [frame.name for some in kept.values() for frame, _ in some]
    ids = ids_of(names, _digits(names) if numbers is None else numbers)
    categories = tuple(Category(label + request.first_category_id, name) for name, label in labels.items())
    sets = {}
    for split, some in kept.items():
        numbering = _Numbering(request, labels)
        examples = tuple(numbering.example(ids[frame.name], frame, record) for frame, record in some)
        sets[split] = AnnotationSet(examples, categories, label_spectrum, request.source)
    if any(record.objects for record in records) and not any(map(_has_objects, sets.values())):
        summary = request.findings.summary()
        raise DatasetError(
            f"{request.source}: no object can be used: {summary}; its classes: {', '.join(found) or '-'}"
        )
    return sets


def report_orphans(annotations: list[Path], request: Request) -> None:
    """Write down annotations that belong to no picture of any split."""
    for _ in _records("no split", [Frame(path.stem, None, None, path) for path in annotations], request):
        pass


def _asked(request: Request, found: list[str]) -> tuple[str, ...] | None:
    """The classes that the request asks for; those without an object are noted."""
    for name in sorted(set(request.classes or ()) - set(found)):
        what = f"classes that were found: {', '.join(found) or 'none'}"
        request.findings.add("class without objects", name, what, "noted")
    return request.classes


def _digits(names: list[str]) -> dict[str, str]:
    """Names that are numbers."""
    return {name: name for name in names if name.isascii() and name.isdigit()}


def _has_objects(annotations: AnnotationSet) -> bool:
    return any(len(example.objects) for example in annotations.examples)


def _place(frame: Frame, request: Request) -> str:
    return request.place(frame.annotation) if frame.annotation else frame.name


def _records(split: str, frames: list[Frame], request: Request) -> Iterator[tuple[Frame, VocRecord]]:
    """Frames that have a readable annotation and a picture."""
    for frame in request.progress.track(frames, f"reading annotations of {split}"):
        request.findings.saw(pictures=1)
        place = _place(frame, request)
        if frame.annotation is None:
            what = "no annotation" if frame.rgb or frame.ir else "listed, but there is no such picture or annotation"
            request.findings.add("no annotation", place, what, "dropped", pictures=1)
            continue
        try:
            record = read_voc(frame.annotation)
        except (BrokenXml, DatasetError) as error:
            request.findings.add("broken annotation", place, str(error), "dropped", pictures=1)
            continue
        boxes = len(record.objects)
        request.findings.saw(boxes=boxes)
        if frame.rgb is None and frame.ir is None:
            request.findings.add("no picture", place, "no picture of this name", "dropped", pictures=1, boxes=boxes)
            continue
        if not record.objects:
            request.findings.add("empty annotation", place, "no object; a picture like any other", "noted")
        if record.filename and Path(record.filename).stem not in _stems(frame):
            what = f"<filename> is {short(record.filename)}; the XML's own name counts"
            request.findings.add("other file name", place, what, "noted")
        yield frame, record


def _stems(frame: Frame) -> set[str]:
    return {frame.name, *(picture.stem for picture in (frame.rgb, frame.ir) if picture)}


class _Usable(NamedTuple):
    label: int
    box: tuple[float, float, float, float]


class _Numbering:
    """Examples of one split; objects are numbered from 1."""

    def __init__(self, request: Request, labels: dict[str, int]):
        self._request = request
        self._labels = labels
        self._next = 1

    def example(self, key: int | str, frame: Frame, record: VocRecord) -> Example:
        width, height = record.size or (0, 0)
        if record.size is None:
            self._request.findings.add(
                "no size", _place(frame, self._request), "the picture's own is taken", "repaired"
            )
        return Example(key, frame.rgb, frame.ir, width, height, self._objects(frame, record))

    def _objects(self, frame: Frame, record: VocRecord) -> Objects:
        usable = [one for number, voc in enumerate(record.objects, 1) if (one := self._usable(frame, number, voc))]
        if not usable:
            return no_objects()
        start, self._next = self._next, self._next + len(usable)
        boxes = np.array([one.box for one in usable], np.float64)
        return Objects(
            boxes=boxes,
            labels=np.array([one.label for one in usable], np.int64),
            areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
            crowd=np.zeros(len(usable), np.bool_),
            ids=tuple(range(start, self._next)),
        )

    def _usable(self, frame: Frame, number: int, voc: VocObject) -> _Usable | None:
        """The object as numbers, or a finding."""
        label = self._labels.get(voc.name)
        if not voc.name:
            kind, what = "broken annotation", "no <name>"
        elif label is None:
            kind, what = "unknown class", f"{short(voc.name)} is not one of {', '.join(self._labels)}"
        elif voc.box is None:
            kind, what = "broken box", voc.problem
        elif voc.box[2] <= voc.box[0] or voc.box[3] <= voc.box[1]:
            kind, what = "box without area", f"corners {', '.join(f'{side:g}' for side in voc.box)}"
        else:
            if voc.difficult:
                what = "marked as difficult; counts like any other"
                self._request.findings.add("difficult object", self._at(frame, number), what, "noted")
            return _Usable(label, voc.box)
        self._request.findings.add(kind, self._at(frame, number), what, "dropped", boxes=1)
        return None

    def _at(self, frame: Frame, number: int) -> str:
        return f"{_place(frame, self._request)}: object {number}"
