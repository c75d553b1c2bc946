"""Frames with an annotation file each, of any form -> annotation sets with one list of classes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, Objects, no_objects
from caffdet_cli.data.formats.hostile import short
from caffdet_cli.data.formats.label_policy import Agreement, merge, policy_of, together
from caffdet_cli.data.formats.layout import Frame, Frames, LabelPolicy, Request, SplitName, ids_of, without_leaks
from caffdet_cli.data.formats.records import BrokenAnnotation, RawObject, RawRecord, Reader
from caffdet_cli.data.formats.voc_xml import read_voc
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

_MANY, _LONG = 20, 40  # names of classes in a message, and characters of each


def read_frames(
    frames: Frames,
    request: Request,
    *,
    label_spectrum: Spectrum,
    classes: tuple[str, ...] | None = None,
    aliases: Mapping[str, str] | None = None,
    numbers: Mapping[str, str] | None = None,
    ids: Mapping[str, int | str] | None = None,
    read: Reader = read_voc,
) -> dict[SplitName, AnnotationSet]:
    """Annotation sets with one list of classes: the one asked for, else all names, sorted.

    Pictures are not looked at: where an annotation has no size, width and height are 0. A frame without a readable
    annotation is dropped (it would pass for empty); one without objects is kept.

    Args:
        label_spectrum: whose annotation `Frame.annotation` is.
        classes: of the format, in any capitals; `request.classes` goes before them.
        aliases: other spellings of class names in small letters, and the name that is meant.
        numbers: the digits in a frame's name that make its id; None: names that are numbers.
        ids: of frames by name; None: made from `numbers`.
        read: of the format's annotation files.

    Raises:
        DatasetError: there are objects, and none can be used.
    """
    ordered = {
        split: sorted(some, key=lambda frame: frame.name) for split, some in without_leaks(frames, request).items()
    }
    reading = _Reading(request, label_spectrum, _spellings(classes or (), request) | dict(aliases or {}), read)
    kept = {split: list(reading.records(split, some)) for split, some in ordered.items()}
    reading.report_agreement()
    records = [record for some in kept.values() for _, record in some]
    found = sorted({one.name for record in records for one in record.objects if one.name})
    labels = {name: label for label, name in enumerate(_asked(request, found) or classes or found)}
    names = [frame.name for some in kept.values() for frame, _ in some]
    keys = ids or ids_of(names, _digits(names) if numbers is None else numbers)
    categories = tuple(Category(label + request.first_category_id, name) for name, label in labels.items())
    sets = {}
    for split, some in kept.items():
        numbering = _Numbering(request, labels)
        examples = tuple(numbering.example(keys[frame.name], frame, record) for frame, record in some)
        sets[split] = AnnotationSet(examples, categories, label_spectrum, request.source)
    if any(record.objects for record in records) and not any(map(_has_objects, sets.values())):
        raise DatasetError(
            f"{request.source}: no object can be used: {request.findings.told()}; its classes: {_few(found)}"
        )
    return sets


def report_orphans(annotations: list[Path], request: Request, read: Reader = read_voc) -> None:
    """Write down annotations that belong to no picture of any split."""
    reading = _Reading(request, "ir", {}, read)
    for _ in reading.records("no split", [Frame(path.stem, None, None, path) for path in annotations]):
        pass


def _spellings(classes: tuple[str, ...], request: Request) -> dict[str, str]:
    """Classes of a format by their names in small letters, in the capitals that are asked for; none that two share."""
    often = Counter(name.casefold() for name in set(classes))
    usual = {name.casefold(): name for name in classes if often[name.casefold()] == 1}
    return usual | {name.casefold(): name for name in request.classes or () if name.casefold() in usual}


def _few(names: list[str]) -> str:
    """Names of classes in a message."""
    shown = [name if len(name) <= _LONG else f"{name[:_LONG]}..." for name in names[:_MANY]]
    return ", ".join([*shown, *(["..."] if len(names) > _MANY else [])]) or "-"


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


class _Reading:
    """Reads the annotation files of frames, and joins those of a pair that was labelled twice."""

    def __init__(self, request: Request, label_spectrum: Spectrum, aliases: Mapping[str, str], read: Reader):
        self._request = request
        self._spectrum = label_spectrum
        self._policy: LabelPolicy = policy_of(request.labels, label_spectrum)[0]
        self._aliases = aliases
        self._read = read
        self._agreement: Agreement | None = None  # None: no frame was labelled twice

    def records(self, split: str, frames: Sequence[Frame]) -> Iterator[tuple[Frame, RawRecord]]:
        """Frames that have a readable annotation and a picture.

        Where some frame has labels of both spectra, those of the other frames are looked for too: a file that is
        missing would pass for a picture without objects.
        """
        apart = any(frame.other_annotation is not None for frame in frames)
        for frame in self._request.progress.track(frames, f"reading annotations of {split}"):
            record = None if apart and self._lacks_labels(frame) else self._record(frame)
            if record is not None:
                yield frame, record

    def report_agreement(self) -> None:
        """How far the labels of the two spectra agree, in one line."""
        if self._agreement is None:
            return
        both, own, other, overlap = self._agreement
        partner = "rgb" if self._spectrum == "ir" else "ir"
        mean = f", IoU {overlap / both:.2f} on average" if both else ""
        what = f"{both} objects in both{mean}; {own} in {self._spectrum} only, {other} in {partner} only"
        self._request.findings.add("labelled twice", f"labels: {self._policy}", what, "noted")

    def _lacks_labels(self, frame: Frame) -> bool:
        """Whether labels that the policy needs are missing, which drops the frame."""
        partner: Spectrum = "rgb" if self._spectrum == "ir" else "ir"
        files = {self._spectrum: frame.annotation}
        if self._policy in ("union", "intersection"):
            files[partner] = frame.other_annotation
        lacking = [spectrum for spectrum, path in files.items() if path is None]
        if lacking and (frame.annotation or frame.other_annotation):
            self._request.findings.saw(pictures=1)
            what = f"no labels of the {' and the '.join(lacking)} picture"
            place = _place(frame, self._request) if frame.annotation else _other_place(frame, self._request)
            self._request.findings.add("no annotation", place, what, "dropped", pictures=1)
            return True
        return False

    def _record(self, frame: Frame) -> RawRecord | None:
        findings, place = self._request.findings, _place(frame, self._request)
        findings.saw(pictures=1)
        if frame.annotation is None and frame.other_annotation is None:
            what = "no annotation" if frame.rgb or frame.ir else "listed, but there is no such picture or annotation"
            findings.add("no annotation", place, what, "dropped", pictures=1)
            return None
        try:
            record = self._merged(frame)
        except (BrokenAnnotation, DatasetError) as error:
            findings.add("broken annotation", place, str(error), "dropped", pictures=1)
            return None
        boxes = len(record.objects)
        findings.saw(boxes=boxes)
        if frame.rgb is None and frame.ir is None:
            findings.add("no picture", place, "no picture of this name", "dropped", pictures=1, boxes=boxes)
            return None
        if not record.objects:
            findings.add("empty annotation", place, "no object; a picture like any other", "noted")
        if record.filename and Path(record.filename).stem not in _stems(frame):
            what = f"<filename> is {short(record.filename)}; the XML's own name counts"
            findings.add("other file name", place, what, "noted")
        return record

    def _merged(self, frame: Frame) -> RawRecord:
        """Of both spectra, where each has its own labels."""
        own = self._named(frame.annotation, frame, self._spectrum) or RawRecord("", None, ())
        other = self._named(frame.other_annotation, frame, "rgb" if self._spectrum == "ir" else "ir")
        if other is None:
            return own
        merged, agreement = merge(own, other, self._policy, self._spectrum)
        self._agreement = agreement if self._agreement is None else together(self._agreement, agreement)
        return merged

    def _named(self, path: Path | None, frame: Frame, spectrum: Spectrum) -> RawRecord | None:
        """An annotation file with the usual names of its classes."""
        if path is None:
            return None
        wanted, other = (frame.ir, frame.rgb) if spectrum == "ir" else (frame.rgb, frame.ir)
        try:
            record = self._read(path, wanted or other)
        except DatasetError:
            if wanted is None or other is None:
                raise
            record = self._read(path, other)  # a broken picture is told where pictures are looked at
        if not self._aliases:
            return record
        return record._replace(objects=tuple(one._replace(name=self._usual(one.name)) for one in record.objects))

    def _usual(self, name: str) -> str:
        return self._aliases.get(name.casefold(), name)


def _other_place(frame: Frame, request: Request) -> str:
    return request.place(frame.other_annotation) if frame.other_annotation else frame.name


def _stems(frame: Frame) -> set[str]:
    return {frame.name, *(picture.stem for picture in (frame.rgb, frame.ir) if picture)}


class _Usable(NamedTuple):
    label: int
    box: tuple[float, float, float, float]
    raw: RawObject


class _Numbering:
    """Examples of one split; objects are numbered from 1."""

    def __init__(self, request: Request, labels: dict[str, int]):
        self._request = request
        self._labels = labels
        self._next = 1

    def example(self, key: int | str, frame: Frame, record: RawRecord) -> Example:
        width, height = record.size or (0, 0)
        if record.size is None:
            self._request.findings.add(
                "no size", _place(frame, self._request), "the picture's own is taken", "repaired"
            )
        return Example(key, frame.rgb, frame.ir, width, height, self._objects(frame, record))

    def _objects(self, frame: Frame, record: RawRecord) -> Objects:
        usable = [one for number, raw in enumerate(record.objects, 1) if (one := self._usable(frame, number, raw))]
        if not usable:
            return no_objects()
        start, self._next = self._next, self._next + len(usable)
        boxes = np.array([one.box for one in usable], np.float64)
        occlusions = [one.raw.occlusion for one in usable]
        corners = [one.raw.corners for one in usable]
        return Objects(
            boxes=boxes,
            labels=np.array([one.label for one in usable], np.int64),
            areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
            crowd=np.array([one.raw.ignored for one in usable], np.bool_),
            ids=tuple(range(start, self._next)),
            occlusions=_whole(occlusions),
            corners=_flat(corners),
            labelled=tuple(one.raw.labelled for one in usable) if any(one.raw.labelled for one in usable) else None,
        )

    def _usable(self, frame: Frame, number: int, raw: RawObject) -> _Usable | None:
        """The object as numbers, or a finding."""
        label = self._labels.get(raw.name)
        if not raw.name:
            kind, what = "broken annotation", raw.problem or "no <name>"
        elif label is None:
            kind, what = "unknown class", f"{short(raw.name)} is not one of {', '.join(self._labels)}"
        elif raw.box is None:
            kind, what = "broken box", raw.problem
        elif raw.box[2] <= raw.box[0] or raw.box[3] <= raw.box[1]:
            kind, what = "box without area", f"corners {', '.join(f'{side:g}' for side in raw.box)}"
        else:
            if raw.difficult:
                what = "marked as difficult; counts like any other"
                self._request.findings.add("difficult object", self._at(frame, number), what, "noted")
            return _Usable(label, raw.box, raw)
        self._request.findings.add(kind, self._at(frame, number), what, "dropped", boxes=1)
        return None

    def _at(self, frame: Frame, number: int) -> str:
        return f"{_place(frame, self._request)}: object {number}"


def _whole(occlusions: Sequence[int | None]) -> "np.ndarray[tuple[int], np.dtype[np.int64]] | None":
    if all(one is None for one in occlusions):
        return None
    return np.array([one or 0 for one in occlusions], np.int64)


def _flat(corners: Sequence[tuple[tuple[float, float], ...] | None]) -> tuple[tuple[float, ...] | None, ...] | None:
    if all(one is None for one in corners):
        return None
    return tuple(None if one is None else tuple(side for point in one for side in point) for one in corners)
