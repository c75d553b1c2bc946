"""A data set as pictures: every pair with its boxes, and a contact sheet."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.formats.detections import DetectionArrays
from caffdet_cli.data.images import read_picture
from caffdet_cli.data.thermal import to_model_range
from caffdet_cli.errors import DatasetError
from caffdet_cli.folders import whole_folder
from caffdet_cli.progress import Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.data import PercentileRule, Thermal
from caffdet_cli.visualization.draw import Labelled
from caffdet_cli.visualization.pair import draw_pair
from caffdet_cli.visualization.sheet import contact_sheet, save_picture
from caffdet_cli.visualization.text import Picture

_ON_SHEET = 60
"""Pairs on the contact sheet at most."""

_TILE = 320  # pixels, height of a picture on the sheet


@dataclass(frozen=True)
class Drawn:
    """What `visualize_set` has written."""

    folder: Path
    pictures: tuple[Path, ...]
    sheet: Path | None
    examples: int  # in the data set


def visualize_set(
    annotations: AnnotationSet,
    output: Path,
    *,
    predictions: Mapping[int | str, DetectionArrays] | None = None,
    limit: int | None = None,
    seed: int | None = None,
    score: float = 0.3,
    thermal: Thermal = PercentileRule(),
    sheet: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Drawn:
    """Draw pairs with ground truth (dashed) and predictions (solid) into a folder: one JPEG each, and `sheet.jpg`.

    Args:
        predictions: detections by picture id; labels are positions in `annotations.categories`.
        limit: so many pairs at most; None: all.
        seed: draw pairs chosen by this number; None: the first ones.
        score: predictions below it are left out.
        thermal: how infrared pictures that have more than 8 bits are shown.

    Raises:
        DatasetError: the data set is empty, or a picture cannot be read.
        OutputError, DiskFull: `output` is not empty or cannot be written; nothing is left behind.
    """
    examples = _chosen(annotations.examples, limit, seed)
    if not examples:
        raise DatasetError(f"{annotations.source} has no pictures to draw")
    names = [f"{name}.jpg" for name in _unique_names(examples)]
    classes = [category.name for category in annotations.categories]
    tiles: list[Picture] = []
    with whole_folder(output, overwrite=overwrite) as part:
        jobs = zip(examples, names, strict=True)
        for example, name in (progress or Progress()).track(jobs, "drawing", total=len(examples)):
            found = None if predictions is None else _best(predictions.get(example.id), classes, score)
            scene = _Scene.read(example, annotations.label_spectrum, thermal, classes, found)
            save_picture(scene.draw(), part / name)
            if sheet and len(tiles) < _ON_SHEET:
                tiles.append(scene.draw(height=_TILE))
        if tiles:
            save_picture(contact_sheet(tiles, [name.removesuffix(".jpg") for name in names[: len(tiles)]]), part / "sheet.jpg")
    return Drawn(
        folder=output,
        pictures=tuple(output / name for name in names),
        sheet=output / "sheet.jpg" if tiles else None,
        examples=len(annotations.examples),
    )


@dataclass(frozen=True)
class _Scene:
    """One pair, ready to be drawn at any size."""

    rgb: Picture | None
    ir: Picture | None
    size: tuple[int, int]  # height and width of the picture the boxes refer to
    truth: Labelled
    found: Labelled | None

    @classmethod
    def read(
        cls, example: Example, label_spectrum: Spectrum, thermal: Thermal, classes: Sequence[str], found: Labelled | None
    ) -> "_Scene":
        objects = example.objects
        return cls(
            rgb=None if example.rgb is None else _shown(example.rgb, "rgb", thermal),
            ir=None if example.ir is None else _shown(example.ir, "ir", thermal),
            size=(example.height, example.width),
            truth=Labelled(objects.boxes, [classes[label] for label in objects.labels.tolist()]),
            found=found,
        )

    def draw(self, height: int | None = None) -> Picture:
        return draw_pair(self.rgb, self.ir, self.truth, self.found, size=self.size, height=height, legend=height is None)


def _chosen(examples: Sequence[Example], limit: int | None, seed: int | None) -> list[Example]:
    """The first `limit`, or `limit` drawn by a seed, in the order of the data set."""
    count = len(examples) if limit is None else min(limit, len(examples))
    if seed is None:
        return list(examples[:count])
    return [examples[index] for index in sorted(random.Random(seed).sample(range(len(examples)), count))]


def _unique_names(examples: Sequence[Example]) -> Iterator[str]:
    """A file name for each example, without ending: its picture's, and a number where that is taken."""
    taken = {"sheet"}
    for example in examples:
        stem = Path(example.name).stem if example.rgb or example.ir else "picture"
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        yield name


def _best(found: DetectionArrays | None, classes: Sequence[str], score: float) -> Labelled:
    """The predictions of one picture that are good enough."""
    if found is None:
        return Labelled(np.zeros((0, 4)), [], [])
    good = np.asarray(found.scores) >= score
    names = [classes[label] for label in found.labels[good].tolist()]
    return Labelled(found.boxes[good], names, found.scores[good].tolist())


def _shown(path: Path, spectrum: Spectrum, thermal: Thermal) -> Picture:
    """A picture file as 8-bit RGB."""
    picture = to_model_range(read_picture(path), spectrum, thermal)
    return _eight_bits(picture)


def _eight_bits(picture: NDArray[np.uint8] | NDArray[np.float32]) -> Picture:
    if picture.dtype == np.uint8:
        return np.asarray(picture, np.uint8)
    return np.round(picture * 255).astype(np.uint8)
