"""Looks at every picture of a raw data set and makes annotations and pictures fit: sizes, partners, boxes."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.annotations import AnnotationSet, Example, Objects, label_picture
from caffdet_cli.data.findings import Action
from caffdet_cli.data.formats.layout import Request
from caffdet_cli.data.images import read_picture
from caffdet_cli.data.threads import in_threads
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

SMALLEST = 1e-3
"""Width and height of a box in pixels: one that is smaller has no area, and files round it away."""


class _Probe(NamedTuple):
    """A picture's size after EXIF rotation, or what is wrong with it."""

    width: int
    height: int
    problem: str  # empty: it is whole; else goes on after its name: `cannot be read: ..`
    missing: bool = False


class Mended(NamedTuple):
    """One split whose pictures exist and whose boxes fit them."""

    annotations: AnnotationSet
    other_sizes: dict[int | str, tuple[int, int]]
    """Width and height of the partner by picture id, where it differs from the label spectrum's."""


def mend(
    annotations: AnnotationSet,
    spectra: Sequence[Spectrum],
    split: str,
    request: Request,
    *,
    whole_boxes: bool = False,
) -> Mended:
    """Decode every picture; drop or repair what does not fit, and write it down in the request's findings.

    Args:
        spectra: those that the data set has: each picture needs all of them.
        whole_boxes: those that reach out of the picture are not cut to it.
    """
    mender = _Mender(annotations, spectra, request, whole_boxes)
    kept = []
    paths = [path for example in annotations.examples for path in (example.rgb, example.ir) if path is not None]
    with closing(in_threads(_probe, paths)) as probes:
        for example in request.progress.track(annotations.examples, f"looking at pictures of {split}"):
            found = {path: next(probes) for path in (example.rgb, example.ir) if path is not None}
            if (fitting := mender.example(example, found)) is not None:
                kept.append(fitting)
    return Mended(replace(annotations, examples=tuple(kept)), mender.other_sizes)


def _probe(path: Path) -> _Probe:
    """Decode one picture."""
    try:
        height, width = read_picture(path).shape[:2]
    except DatasetError as error:
        missing = isinstance(error.__cause__, FileNotFoundError) and not path.is_symlink()
        return _Probe(0, 0, str(error).replace(f"picture {path} ", "", 1), missing)  # findings have its place
    return _Probe(width, height, "")


class _Mender:
    def __init__(self, annotations: AnnotationSet, spectra: Sequence[Spectrum], request: Request, whole_boxes: bool):
        self.other_sizes: dict[int | str, tuple[int, int]] = {}
        self._set = annotations
        self._spectra = spectra
        self._request = request
        self._findings = request.findings
        self._whole = whole_boxes

    def example(self, example: Example, found: dict[Path, _Probe]) -> Example | None:
        """The example as it fits, or None."""
        sizes: dict[Spectrum, _Probe] = {}
        problems: list[tuple[str, str, str]] = []  # kind, place, what
        for spectrum in self._spectra:
            path = example.rgb if spectrum == "rgb" else example.ir
            if path is not None and not found[path].problem:
                sizes[spectrum] = found[path]
            elif path is None or found[path].missing:
                what = f"no {spectrum} picture" if path is None else f"there is no {self._request.place(path)}"
                problems.append(("missing partner", self._place(example), what))
            else:
                problems.append(("unreadable picture", self._request.place(path), found[path].problem))
        self._report(problems, example, lost=not sizes)
        if not sizes:
            return None
        width, height = self._size(example, sizes)
        return replace(
            example,
            rgb=example.rgb if "rgb" in sizes else None,
            ir=example.ir if "ir" in sizes else None,
            width=width,
            height=height,
            objects=self._objects(example, width, height),
        )

    def _report(self, problems: list[tuple[str, str, str]], example: Example, lost: bool) -> None:
        """A pair goes on with one picture, and is dropped without any."""
        if lost:
            unreadable = any(kind == "unreadable picture" for kind, _, _ in problems)
            kind = "unreadable picture" if unreadable else "no picture"
            what = "; ".join(what if one == "missing partner" else f"{place} {what}" for one, place, what in problems)
            self._findings.add(kind, self._place(example), what, "dropped", pictures=1, boxes=len(example.objects))
        else:
            for kind, place, what in problems:
                self._findings.add(kind, place, f"{what}; the pair goes on without it", "kept")

    def _size(self, example: Example, sizes: dict[Spectrum, _Probe]) -> tuple[int, int]:
        """Of the label spectrum's picture; where that is missing the annotation's, else its partner's."""
        declared = (example.width, example.height)
        label = sizes.get(self._set.label_spectrum)
        if label is None:
            return declared if all(declared) else next((one.width, one.height) for one in sizes.values())
        size = (label.width, label.height)
        if all(declared) and declared != size:
            what = f"the annotation says {_by(declared)}, the picture has {_by(size)}, which is taken"
            self._findings.add("other size", self._place(example), what, "repaired")
        for spectrum, other in sizes.items():
            if (other.width, other.height) != size:
                self.other_sizes[example.id] = (other.width, other.height)
                what = f"{spectrum} has {_by((other.width, other.height))}, {self._set.label_spectrum} {_by(size)}"
                self._findings.add("partner of another size", self._place(example), what, "kept")
        return size

    def _objects(self, example: Example, width: int, height: int) -> Objects:
        """Boxes cut to the picture, or whole; those outside, and those without area, are left out."""
        objects = self._with_area(example)
        clipped = np.clip(objects.boxes, 0.0, np.array([width, height, width, height], np.float64))
        inside = np.all(clipped[:, 2:] - clipped[:, :2] >= SMALLEST, axis=1)
        changed = np.any(clipped != objects.boxes, axis=1)
        for row in np.flatnonzero(changed).tolist():
            where, box = self._place(example), _corners(objects.boxes[row])
            if inside[row]:
                done: Action = "noted" if self._whole else "repaired"
                then = "whole, as it is evaluated" if self._whole else "cut to it"
                what = f"corners {box} reach out of {_by((width, height))}; {then}"
                self._findings.add("box outside", f"{where}: object {objects.ids[row]}", what, done)
            else:
                what = f"corners {box} lie outside {_by((width, height))}"
                self._findings.add("box outside", f"{where}: object {objects.ids[row]}", what, "dropped", boxes=1)
        return objects.where(inside) if self._whole else _cut(objects, clipped, inside, changed)

    def _with_area(self, example: Example) -> Objects:
        objects = example.objects
        large = np.all(objects.boxes[:, 2:] - objects.boxes[:, :2] >= SMALLEST, axis=1)
        for row in np.flatnonzero(~large).tolist():
            where = f"{self._place(example)}: object {objects.ids[row]}"
            what = f"corners {_corners(objects.boxes[row])} are less than {SMALLEST:g} pixels apart"
            self._findings.add("box without area", where, what, "dropped", boxes=1)
        return objects if large.all() else objects.where(large)

    def _place(self, example: Example) -> str:
        path = label_picture(example, self._set.label_spectrum)
        return str(example.id) if path is None else self._request.place(path)


def _cut(
    objects: Objects, clipped: NDArray[np.float64], inside: NDArray[np.bool_], changed: NDArray[np.bool_]
) -> Objects:
    """Objects that are inside, with their clipped boxes; the area of a cut box shrinks as the box does."""
    if not changed.any():
        return objects
    before, after = (np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1) for boxes in (objects.boxes, clipped))
    areas = np.where(changed, objects.areas * after / before, objects.areas)
    return replace(objects, boxes=clipped, areas=areas).where(inside)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _corners(box: NDArray[np.float64]) -> str:
    return ", ".join(f"{side:g}" for side in box.tolist())
