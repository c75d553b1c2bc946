"""One set of labels of a pair whose pictures were labelled apart."""

from collections import Counter
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from caffdet_cli.data.formats.layout import LabelPolicy
from caffdet_cli.data.formats.records import BrokenAnnotation, RawObject, RawRecord
from caffdet_cli.settings.base import Spectrum

SAME = 0.5
"""IoU from which boxes of one class in the two pictures are one object."""


_MOST = 2000  # objects of a class in one picture: every box is compared with every other


class Agreement(NamedTuple):
    """How far the labels of the two pictures agree."""

    both: int
    own: int  # only in the label spectrum's picture
    other: int  # only in its partner
    overlap: float  # sum of the IoU of those in both


def together(one: Agreement, two: Agreement) -> Agreement:
    """Of two pictures, or of many."""
    return Agreement(one.both + two.both, one.own + two.own, one.other + two.other, one.overlap + two.overlap)


def policy_of(labels: LabelPolicy | None, spectrum: Spectrum | None) -> tuple[LabelPolicy, Spectrum]:
    """Whose labels count, and in whose pixels they are given: `rgb` and `ir` are given in their own.

    Args:
        labels, spectrum: as asked for; None: not asked.
    """
    if labels == "rgb" or labels == "ir":
        return labels, labels
    pixels = spectrum or "ir"
    return labels or pixels, pixels


def merge(
    own: RawRecord, other: RawRecord, policy: LabelPolicy, spectrum: Spectrum = "ir"
) -> tuple[RawRecord, Agreement]:
    """The labels of both pictures as one record, in pixels of the label spectrum's picture.

    Boxes of the same class that overlap by `SAME` at least are one object; it is given as the label spectrum has it.
    Boxes that are none, or without area, are nobody's partner: they stay, to be reported with their place. Every object
    says in which pictures it was labelled.

    Args:
        own: of the label spectrum's picture.
        other: of its partner; where the sizes differ, its boxes are stretched to the label spectrum's.
        spectrum: which one the label spectrum is.

    Raises:
        BrokenAnnotation: there are too many objects to compare.
    """
    partner: Spectrum = "rgb" if spectrum == "ir" else "ir"
    scaled = _stretched(other, own.size)
    pairs = _pairs(own.objects, scaled)
    matched = {mine for mine, _, _ in pairs}
    theirs = {one for _, one, _ in pairs}
    broken = {at for at, one in enumerate(own.objects) if not _usable(one)}
    agreement = Agreement(
        both=len(pairs),
        own=len(own.objects) - len(pairs) - len(broken),
        other=sum(map(_usable, scaled)) - len(pairs),
        overlap=sum(overlap for _, _, overlap in pairs),
    )
    objects = [
        one._replace(labelled=("rgb", "ir") if at in matched else (spectrum,))
        for at, one in enumerate(own.objects)
        if policy != "intersection" or at in matched or at in broken
    ]
    if policy == "union":
        objects += [one._replace(labelled=(partner,)) for at, one in enumerate(scaled) if at not in theirs]
    return own._replace(objects=tuple(objects)), agreement


def _usable(one: RawObject) -> bool:
    return one.box is not None and one.box[2] > one.box[0] and one.box[3] > one.box[1]


def _stretched(record: RawRecord, size: tuple[int, int] | None) -> tuple[RawObject, ...]:
    if size is None or record.size is None or record.size == size:
        return record.objects
    across, down = size[0] / record.size[0], size[1] / record.size[1]
    return tuple(_scaled(one, across, down) for one in record.objects)


def _scaled(one: RawObject, across: float, down: float) -> RawObject:
    box = None if one.box is None else (one.box[0] * across, one.box[1] * down, one.box[2] * across, one.box[3] * down)
    corners = None if one.corners is None else tuple((x * across, y * down) for x, y in one.corners)
    return one._replace(box=box, corners=corners)


def _pairs(own: tuple[RawObject, ...], other: tuple[RawObject, ...]) -> list[tuple[int, int, float]]:
    """Partners (position in `own`, in `other`, IoU), one to one, with the largest sum of IoU within a class."""
    found: list[tuple[int, int, float]] = []
    for name in Counter(one.name for one in own):
        mine = [at for at, one in enumerate(own) if one.name == name and _usable(one)]
        theirs = [at for at, one in enumerate(other) if one.name == name and _usable(one)]
        if max(len(mine), len(theirs)) > _MOST:
            raise BrokenAnnotation(f"more than {_MOST:,} objects of a class; those of two pictures cannot be compared")
        overlaps = _iou([own[at] for at in mine], [other[at] for at in theirs])
        overlaps[overlaps < SAME] = 0
        for row, column in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
            if overlaps[row, column] > 0:
                found.append((mine[row], theirs[column], float(overlaps[row, column])))
    return sorted(found)


def _iou(own: list[RawObject], other: list[RawObject]) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    a, b = (np.array([one.box for one in some], np.float64).reshape(-1, 4) for some in (own, other))
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: np.ndarray[tuple[int, int], np.dtype[np.float64]] = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    whole = areas[0][:, None] + areas[1][None, :] - shared  # 0 where boxes are too small for numbers
    return np.asarray(np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0), np.float64)
