"""What an evaluation was made of, so that it can be checked and repeated; and the published numbers beside it."""

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from caffdet_cli import __version__
from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.evaluation.coco import CocoReport
from caffdet_cli.paths import write_text
from caffdet_cli.released.checksums import measure
from caffdet_cli.released.registry import Entry, entry_of_file, registry
from caffdet_cli.settings.conventions import Conventions

CLOSE = 0.002  # AP 0..1: what rounding, resizing and another order of additions change
_PACKAGES = ("torch", "torchvision", "numpy", "opencv-python", "pillow", "pycocotools", "faster-coco-eval")


class Compared(NamedTuple):
    """One number, as published and as measured, 0..1."""

    number: str  # AP, AP50, AP75
    published: float
    measured: float

    @property
    def difference(self) -> float:
        return self.measured - self.published


class Published(NamedTuple):
    """A released file on the data that its numbers are of."""

    name: str
    numbers: list[Compared]
    told_by: str  # where it is not the authors
    dataset: str
    pictures: int  # that were looked at

    @property
    def reproduced(self) -> bool:
        return all(abs(each.difference) <= CLOSE for each in self.numbers)

    @property
    def sentence(self) -> str:
        """The verdict."""
        by = f" (as told by {self.told_by})" if self.told_by else ""
        figures = ", ".join(
            f"{each.number} {100 * each.measured:.1f}, published {100 * each.published:.1f} "
            f"({100 * each.difference:+.1f})"
            for each in self.numbers
        )
        if self.reproduced:
            return f"The published result of {self.name} is reproduced{by} on {self.pictures} pictures: {figures}."
        return (
            f"The published result of {self.name} is not reproduced{by} on {self.pictures} pictures: {figures}; "
            f"caffdet weights check {self.name} --dataset {self.dataset} tells whether the stream order and the class "
            "slots are read rightly."
        )


def published_beside(
    weights: str, path: Path, dataset: str, split: str, report: CocoReport, pictures: int
) -> Published | None:
    """The published numbers, where `weights` is a released file and this its own data set and split.

    Args:
        pictures: that were looked at.
    """
    entry = entry_of(weights, path)
    if entry is None or entry.dataset != dataset or (entry.split and entry.split != split):
        return None
    numbers = [
        Compared(name, value, report.numbers[name])
        for name, value in entry.published.items()
        if report.numbers.get(name, -1) >= 0
    ]
    return Published(entry.name, numbers, entry.published_by, dataset, pictures) if numbers else None


def entry_of(weights: str, path: Path) -> Entry | None:
    """The released file that is meant: by name, or by the name of the file."""
    return registry().get(weights) or entry_of_file(path)


def receipt(
    weights: str,
    path: Path,
    annotations: AnnotationSet,
    dataset: str,
    split: str,
    conventions: Conventions,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Hashes of weights and data, how they were read, and with what.

    Args:
        settings: device, precision, batch size, ...
    """
    entry = entry_of(weights, path)
    return {
        "schema": 1,
        # Names only, and no query of an address: a receipt is made to be shown.
        "weights": {"name": weights.partition("?")[0] if entry else path.name, "sha256": measure(path).sha256},
        "released_as": None if entry is None else entry.name,
        "dataset": {
            "name": dataset,
            "split": split,
            "annotations": annotations.source.name,
            "annotations_sha256": measure(annotations.source).sha256,
            "pictures": len(annotations.examples),
            "pictures_sha256": pictures_hash(annotations),
            "label_release": "" if entry is None else entry.label_release,
        },
        "conventions": conventions.model_dump(mode="json"),
        "settings": dict(settings),
        "versions": {
            "caffdet": __version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in _PACKAGES},
        },
    }


def pictures_hash(annotations: AnnotationSet) -> str:
    """Of names and sizes of all picture files, in the order of the annotations; their content is not read."""
    found = hashlib.sha256()
    for example in annotations.examples:
        for path in (example.rgb, example.ir):
            size = path.stat().st_size if path is not None and path.is_file() else -1
            found.update(f"{path.name if path else ''}:{size}\n".encode())
    return found.hexdigest()


def write_receipt(content: Mapping[str, Any], path: Path) -> None:
    """Whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
