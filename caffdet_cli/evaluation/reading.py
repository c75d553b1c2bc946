"""Which reading of a checkpoint is right: the order of its streams, and what its class slots mean.

Released files do not say either. A few labelled pictures do: the right reading finds more of them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.demo_set import place_of
from caffdet_cli.data.formats.detections import Found
from caffdet_cli.data.splits import load_split
from caffdet_cli.errors import DatasetError
from caffdet_cli.evaluation.coco import evaluate_coco
from caffdet_cli.evaluation.detector import detect, to_categories
from caffdet_cli.inference.device import How, choose_device
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.settings.load import load_data
from caffdet_cli.weights.load import load_detector

_FITS = 0.5  # IoU of a detection that is meant for an object


@dataclass(frozen=True)
class Reading:
    """A checkpoint under one order of its streams."""

    streams: tuple[str, ...]
    ap: float  # 0..1, classes as the checkpoint or the data set name them
    ap50: float
    slots: Mapping[str, Mapping[int, int]]
    """Of each class of the data set: slot -> how many of its objects that slot fires on most strongly."""

    @property
    def hits(self) -> int:
        """Objects that any slot fires on: what the order of the streams decides, whatever the slots mean."""
        return sum(count for counts in self.slots.values() for count in counts.values())

    def slot_of(self, name: str) -> int | None:
        """The slot that fires on most objects of a class."""
        counts = self.slots[name]
        return max(counts, key=lambda slot: counts[slot]) if counts else None


@dataclass(frozen=True)
class Checked:
    """All readings of a checkpoint on some pictures, the checkpoint's own first."""

    readings: Sequence[Reading]
    pictures: int
    expected: Mapping[str, int | None]
    """Of each class of the data set: the slot that it is read from."""

    @property
    def best(self) -> Reading:
        """The one with the better AP; where that says nothing, because slots mean other classes, with most objects."""
        return max(self.readings, key=lambda each: (round(each.ap, 2), each.hits))

    @property
    def strangers(self) -> dict[str, int]:
        """Classes on which another slot fires than the one that is read, and that slot."""
        found = {name: self.best.slot_of(name) for name in self.expected}
        return {name: slot for name, slot in found.items() if slot is not None and slot != self.expected[name]}

    @property
    def sentences(self) -> list[str]:
        """What to make of it."""
        own, best = self.readings[0], self.best
        if not best.hits:
            return [f"Nothing is found on {self.pictures} pictures in any order: the weights are not of this data."]
        said = []
        if len(self.readings) > 1:
            order = ", ".join(best.streams)
            said.append(
                f"The streams are {order}, as they are read."
                if best is own
                else f"The streams are better read as {order}: AP {100 * best.ap:.1f} instead of {100 * own.ap:.1f}, "
                f"{best.hits} objects are found instead of {own.hits}."
            )
        said += [
            f"Slot {slot} fires on {name!r}, which is read from {self._read_from(name)}."
            for name, slot in self.strangers.items()
        ]
        silent = [name for name in self.expected if best.slot_of(name) is None]
        if silent:
            said.append(f"No slot fires on {', '.join(silent)}.")
        if not self.strangers and not silent:
            said.append("Every class is read from the slot that fires on it.")
        return said

    def _read_from(self, name: str) -> str:
        slot = self.expected[name]
        return "no slot: the detector has no class of this name" if slot is None else f"slot {slot}"

    def to_json(self) -> dict[str, Any]:
        """For programs; figures 0..1."""
        rows = [
            {
                "streams": list(each.streams),
                "AP": each.ap,
                "AP50": each.ap50,
                "slots": {k: dict(v) for k, v in each.slots.items()},
            }
            for each in self.readings
        ]
        return {
            "schema": 1,
            "pictures": self.pictures,
            "readings": rows,
            "best": list(self.best.streams),
            "expected_slots": dict(self.expected),
            "other_slots": self.strangers,
        }


def check_weights(
    weights: str,
    dataset: str,
    *,
    data_root: str | Path | None = None,
    split: str | None = None,
    pictures: int = 50,
    device: str = "auto",
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Checked:
    """Run some pairs through a checkpoint, in both orders of its streams.

    Args:
        weights: run folder, checkpoint or released name.
        dataset: shipped name or TOML file, with labels.
        pictures: how many are looked at, spread over the split; those with objects.

    Raises:
        WeightsError, DatasetError, ConfigError: what is wrong, and where.
    """
    progress = progress or Bars()
    place, main = choose_device(device), load_detector(weights)
    data = load_data(dataset, overrides)
    root = place_of(data, Path(data_root) if data_root is not None else None, progress)
    name, annotations = load_split(data, split, root, progress)
    some = spread(annotations, pictures)
    if not some.examples:
        raise DatasetError(f"{annotations.source} has no labelled pictures to check with (split {name})")
    orders = [main.conventions.spectra]
    if len(orders[0]) > 1:
        orders.append(orders[0][::-1])
    readings, expected = [], dict[str, int | None]()
    for order in orders:
        loaded = main._replace(conventions=main.conventions.model_copy(update={"spectra": order}))
        found, conventions = detect(loaded, some, data, "pair", How(place), progress)
        report = evaluate_coco(some, to_categories(found, conventions, some))
        readings.append(Reading(order, report.ap, report.ap50, firing(some, found)))
        slots = {name: slot for slot, name in enumerate(conventions.classes) if name is not None}
        expected = {category.name: slots.get(category.name) for category in some.categories}
    present = {some.categories[label].name for each in some.examples for label in each.objects.labels}
    return Checked(readings, len(some.examples), {name: slot for name, slot in expected.items() if name in present})


def spread(annotations: AnnotationSet, count: int) -> AnnotationSet:
    """As many labelled pictures, at equal distances."""
    labelled = [each for each in annotations.examples if len(each.objects)]
    chosen = np.unique(np.linspace(0, max(0, len(labelled) - 1), min(count, len(labelled))).astype(int))
    return replace(annotations, examples=tuple(labelled[index] for index in chosen))


def firing(annotations: AnnotationSet, found: Found) -> dict[str, dict[int, int]]:
    """Of each class, which slots have the highest score among the detections that lie on its objects."""
    counts = {category.name: Counter[int]() for category in annotations.categories}
    for example in annotations.examples:
        detections, objects = found.get(example.id), example.objects
        if detections is None or not len(detections.scores) or not len(objects):
            continue
        boxes = torch.from_numpy(detections.boxes).float()
        overlaps = box_iou(torch.from_numpy(objects.boxes).float(), boxes).numpy()  # (objects, detections)
        scores = np.where(overlaps >= _FITS, detections.scores[None], -1.0)
        for label, row in zip(objects.labels, scores, strict=True):
            if row.max() >= 0:
                counts[annotations.categories[label].name][int(detections.labels[row.argmax()])] += 1
    return {name: dict(each.most_common(3)) for name, each in counts.items()}
