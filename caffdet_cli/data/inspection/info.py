"""`caffdet data info`: what a data set holds: pictures, boxes per class and size, where they are, day and night."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.annotations import AnnotationSet, Example, no_objects
from caffdet_cli.data.daylight import part_of
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.inspection.heat import Grid, add_boxes, covered, empty_grid
from caffdet_cli.data.inspection.pictures import PairFacts
from caffdet_cli.data.inspection.reading import Splits, read_splits
from caffdet_cli.data.inspection.survey import survey
from caffdet_cli.progress import Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.data import Data

DARK = 0.3
"""Mean brightness of an RGB picture (0 to 1) below which it counts as dark."""

_SMALL, _LARGE = 32.0**2, 96.0**2  # pixels, area: as COCO's metrics have them
_HEIGHTS = (5, 50, 95)  # percentiles


class Form(NamedTuple):
    """What pictures of a spectrum have in common."""

    spectrum: Spectrum
    width: int  # pixels, after the EXIF rotation
    height: int
    depth: str  # uint8, uint16, ..
    channels: int


class ClassInfo(NamedTuple):
    """The boxes of one class in one split, crowd regions left out."""

    boxes: int
    pictures: int  # with one at least
    small: int  # area below 32x32 pixels
    medium: int
    large: int  # from 96x96 on
    height_5: float  # pixels: so many percent of the boxes are lower
    height_50: float
    height_95: float


@dataclass(frozen=True)
class SplitInfo:
    """One split."""

    pictures: int  # pairs, or pictures of one spectrum
    with_rgb: int
    with_ir: int
    unreadable: int  # files that are missing or cannot be read
    without_objects: int
    boxes: int
    crowd: int  # regions that evaluation ignores; not among the boxes
    most_boxes: int  # in one picture
    light: dict[str, int]  # "day", "night"; or "bright", "dark" where names do not say it
    light_from: Literal["names", "brightness", "names and brightness", "nothing"]
    forms: dict[Form, int]  # the most frequent first
    classes: dict[str, ClassInfo]


@dataclass(frozen=True, eq=False)
class Info:
    """What `describe` counted."""

    root: Path
    label_spectrum: Spectrum
    splits: dict[str, SplitInfo]
    heat: dict[str, Grid]
    """By class: how many boxes cover each field of a grid that is laid over every picture."""


def describe(
    data: Data,
    *,
    root: Path | None = None,
    split: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Info:
    """Count what a converted data set holds; arguments and errors as of `check`."""
    progress = progress or Progress()
    log = FindingLog()
    splits = read_splits(data, split, root, log, progress)
    if log.faults:
        progress.warn(f"{log.summary()}: caffdet data check tells where")
    heat: dict[str, Grid] = {}
    found = {}
    for name, annotations in splits.sets.items():
        facts = survey(annotations, f"looking at pictures of {name}", progress, workers)
        found[name] = _split_info(splits, annotations, facts)
        _add_heat(heat, annotations)
    label = next(iter(splits.sets.values())).label_spectrum
    return Info(splits.root, label, found, {name: covered(grid) for name, grid in heat.items()})


def _split_info(splits: Splits, annotations: AnnotationSet, facts: Sequence[PairFacts]) -> SplitInfo:
    examples = annotations.examples
    counts = [int((~example.objects.crowd).sum()) for example in examples]
    light, light_from = _light([splits.name(example) for example in examples], facts)
    pictures = [picture for pair in facts for picture in (pair.rgb, pair.ir) if picture is not None]
    return SplitInfo(
        pictures=len(examples),
        with_rgb=sum(example.rgb is not None for example in examples),
        with_ir=sum(example.ir is not None for example in examples),
        unreadable=sum(not picture.whole for picture in pictures),
        without_objects=sum(not len(example.objects) for example in examples),
        boxes=sum(counts),
        crowd=sum(int(example.objects.crowd.sum()) for example in examples),
        most_boxes=max(counts, default=0),
        light=light,
        light_from=light_from,
        forms=_forms(facts),
        classes=_classes(annotations),
    )


def _forms(facts: Sequence[PairFacts]) -> dict[Form, int]:
    forms: Counter[Form] = Counter()
    for pair in facts:
        if pair.rgb is not None and pair.rgb.whole:
            forms[Form("rgb", pair.rgb.width, pair.rgb.height, pair.rgb.depth, pair.rgb.channels)] += 1
        if pair.ir is not None and pair.ir.whole:
            forms[Form("ir", pair.ir.width, pair.ir.height, pair.ir.depth, pair.ir.channels)] += 1
    return dict(sorted(forms.items(), key=lambda item: (item[0].spectrum != "rgb", -item[1], item[0])))


def _light(
    names: Sequence[str], facts: Sequence[PairFacts]
) -> tuple[dict[str, int], Literal["names", "brightness", "names and brightness", "nothing"]]:
    """Day and night by name, else bright and dark by the RGB picture."""
    counts: Counter[str] = Counter()
    for name, pair in zip(names, facts, strict=True):
        if part := part_of(name):
            counts[part] += 1
        elif pair.rgb is not None and pair.rgb.whole:
            counts["dark" if pair.rgb.brightness < DARK else "bright"] += 1
    named, seen = counts["day"] + counts["night"], counts["dark"] + counts["bright"]
    order = {word: counts[word] for word in ("day", "night", "bright", "dark") if counts[word]}
    if named and seen:
        return order, "names and brightness"
    return order, "names" if named else "brightness" if seen else "nothing"


def _classes(annotations: AnnotationSet) -> dict[str, ClassInfo]:
    """By name, in the order of the file."""
    columns = _columns(annotations.examples)
    found = {}
    for label, category in enumerate(annotations.categories):
        own = columns.labels == label
        area = columns.areas[own]
        low, middle, high = np.percentile(columns.heights[own], _HEIGHTS).tolist() if own.any() else (0.0, 0.0, 0.0)
        found[category.name] = ClassInfo(
            boxes=int(own.sum()),
            pictures=len(np.unique(columns.owners[own])),
            small=int((area < _SMALL).sum()),
            medium=int(((area >= _SMALL) & (area < _LARGE)).sum()),
            large=int((area >= _LARGE).sum()),
            height_5=round(low, 1),
            height_50=round(middle, 1),
            height_95=round(high, 1),
        )
    return found


class _Columns(NamedTuple):
    """Every object of a split that is no crowd region."""

    labels: NDArray[np.int64]  # (n,)
    areas: NDArray[np.float64]  # (n,)
    heights: NDArray[np.float64]  # (n,) pixels
    owners: NDArray[np.int64]  # (n,) position of its picture


def _columns(examples: Sequence[Example]) -> _Columns:
    objects = [no_objects(), *(example.objects for example in examples)]
    keep = ~np.concatenate([one.crowd for one in objects])
    boxes = np.concatenate([one.boxes for one in objects])[keep]
    return _Columns(
        labels=np.concatenate([one.labels for one in objects])[keep],
        areas=np.concatenate([one.areas for one in objects])[keep],
        heights=boxes[:, 3] - boxes[:, 1],
        owners=np.repeat(np.arange(len(objects)), [len(one) for one in objects])[keep],
    )


def _add_heat(heat: dict[str, Grid], annotations: AnnotationSet) -> None:
    """Lay the boxes of a split on the grids of their classes."""
    for example in annotations.examples:
        size = (example.width, example.height)
        for label in np.unique(example.objects.labels).tolist():
            name = annotations.categories[label].name
            own = (example.objects.labels == label) & ~example.objects.crowd
            add_boxes(heat.setdefault(name, empty_grid()), example.objects.boxes[own], size)
