"""What a form that is written back cannot say: it is left out, and written down as a finding."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from caffdet_cli.data.annotations import AnnotationSet, Example, Objects, label_picture
from caffdet_cli.data.findings import Action, FindingLog
from caffdet_cli.data.formats.layout import Request, SplitName
from caffdet_cli.data.mending import Mended
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

Target = Literal["coco", "yolo", "voc"]
"""Forms that data sets are written back to."""

_MANY = 12  # classes, in a message
_CLASSES = "classes"
_ROUNDING = 1e-3  # of an area in pixels


def fitting(
    to: Target, mended: Mapping[SplitName, Mended], spectra: tuple[Spectrum, ...], request: Request
) -> dict[SplitName, Mended]:
    """The splits as `to` can say them; the rest is in the request's findings, and the books still balance.

    Raises:
        DatasetError: a class name that the form has no place for.
    """
    fit = _Fit(to, request)
    if to != "coco":
        fit.check_names({category.name for one in mended.values() for category in one.annotations.categories})
        what = "pictures, objects and classes are numbered anew; export.json has the ids of pictures"
        fit.note("ids", "all splits", what)
    elif len(spectra) == 2:
        spectrum = next(iter(mended.values())).annotations.label_spectrum
        fit.note("pairs", "all splits", f"the {spectrum} pictures alone, which the boxes are drawn on")
    if to == "voc":
        fit.note_classes([one.annotations for one in mended.values()])
    return {split: one._replace(annotations=fit.fitting(split, one.annotations)) for split, one in mended.items()}


def lacks_classes(to: Target, findings: FindingLog) -> bool:
    """Whether an export was found to lose the list of its classes, so that reading it back takes `--classes`."""
    return any(finding.kind == _kind(to, _CLASSES) for finding in findings)


def listed_classes(names: Sequence[str]) -> str:
    """The names as `--classes` has them; empty where they are too many for a line, or one has a comma."""
    return ",".join(names) if len(names) < _MANY and not any("," in name for name in names) else ""


def _kind(to: Target, lost: str) -> str:
    return f"cannot be said in {to}: {lost}"


class _Fit:
    def __init__(self, to: Target, request: Request):
        self._to = to
        self._request = request

    def note(self, lost: str, place: str, what: str, action: Action = "noted", boxes: int = 0) -> None:
        """Write down what the form cannot say."""
        self._request.findings.add(_kind(self._to, lost), place, what, action, boxes=boxes)

    def check_names(self, names: set[str]) -> None:
        """Lists of names strip blanks, and XML has no control characters."""
        for name in sorted(names):
            if name != name.strip() or not name.isprintable():
                raise DatasetError(
                    f"{self._request.source}: the class name {name!r} cannot be said in {self._to}; rename it there, "
                    "or name the classes to keep: --classes A,B"
                )

    def note_classes(self, sets: list[AnnotationSet]) -> None:
        """VOC has no list of classes: a reader finds names."""
        names = list(dict.fromkeys(category.name for one in sets for category in one.categories))
        found = {one.categories[label].name for one in sets for each in one.examples for label in each.objects.labels}
        if names != sorted(found):
            some = listed_classes(names) or "with those of export.json"
            what = f"the list of classes; reading it back takes --classes {some}"
            self.note(_CLASSES, "all splits", what)

    def fitting(self, split: SplitName, annotations: AnnotationSet) -> AnnotationSet:
        """One split as the form can say it."""
        examples = tuple(one for each in annotations.examples if (one := self._example(each, annotations)))
        if self._to == "coco":
            return replace(annotations, examples=examples)
        others = sum(int((abs(_box_areas(one.objects) - one.objects.areas) > _ROUNDING).sum()) for one in examples)
        if others:
            self.note("areas", split, f"areas of {others} objects that are not those of their boxes")
        if told := sum(sum(map(bool, one.objects.labelled or ())) for one in examples):
            self.note("spectra", split, f"in which pictures of the pair each of {told} objects was labelled")
        return replace(annotations, examples=examples)

    def _example(self, example: Example, annotations: AnnotationSet) -> Example | None:
        spectrum = annotations.label_spectrum
        picture, path = example.rgb if spectrum == "rgb" else example.ir, label_picture(example, spectrum)
        place = self._request.place(path) if path else str(example.id)
        if self._to == "coco" and picture is None:
            what, boxes = f"no {spectrum} picture, which the boxes are drawn on", len(example.objects)
            self._request.findings.add("no picture", place, what, "dropped", pictures=1, boxes=boxes)
            return None
        return replace(example, objects=self._yolo(example, place)) if self._to == "yolo" else example

    def _yolo(self, example: Example, place: str) -> Objects:
        """Nothing but classes and boxes inside the picture."""
        objects = example.objects
        for row in np.flatnonzero(objects.crowd).tolist():
            what = "a region that evaluation ignores; left out, as it is no object like the others"
            self.note("ignored regions", f"{place}: object {objects.ids[row]}", what, "dropped", boxes=1)
        objects = objects.where(~objects.crowd)
        clipped = np.clip(objects.boxes, 0.0, np.array([example.width, example.height] * 2, np.float64))
        at = [f"{place}: object {key}" for key in objects.ids]
        for row in np.flatnonzero(np.any(clipped != objects.boxes, axis=1)).tolist():
            self.note("boxes that reach out", at[row], "cut to the picture", "repaired")
        for row in [] if objects.occlusions is None else np.flatnonzero(objects.occlusions).tolist():
            self.note("occlusion", at[row], "how far the object is hidden", "dropped")
        for row in [row for row, corners in enumerate(objects.corners or ()) if corners is not None]:
            self.note("corners", at[row], "an oriented box; the upright one around it stays", "dropped")
        return replace(objects, boxes=clipped)


def _box_areas(objects: Objects) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.asarray((objects.boxes[:, 2:] - objects.boxes[:, :2]).prod(axis=1), np.float64)
