"""A data set as pictures: every pair with its boxes, and a contact sheet."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.camera_range import fixed_rule
from caffdet_cli.data.demo_set import place_of
from caffdet_cli.data.formats.detections import DetectionArrays, read_detections
from caffdet_cli.data.images import read_picture
from caffdet_cli.data.splits import load_split
from caffdet_cli.data.thermal import to_model_range
from caffdet_cli.data.warp import warp_file
from caffdet_cli.errors import DatasetError
from caffdet_cli.folders import whole_folder
from caffdet_cli.paths import fresh_folder
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.data import FixedThermal, PercentileRule
from caffdet_cli.settings.load import load_data
from caffdet_cli.settings.rig import Rig
from caffdet_cli.visualization.draw import Labelled
from caffdet_cli.visualization.pair import draw_pair
from caffdet_cli.visualization.sheet import contact_sheet, save_picture
from caffdet_cli.visualization.text import Picture

_ON_SHEET = 60
"""Pairs on the contact sheet at most."""

_TILE = 320  # pixels, height of a picture on the sheet


_RULE = PercentileRule()


@dataclass(frozen=True)
class Drawn:
    """What `visualize_set` has written."""

    folder: Path
    pictures: tuple[Path, ...]
    sheet: Path | None
    examples: int  # in the data set


def visualize(
    dataset: str,
    output: Path,
    *,
    data_root: Path | None = None,
    split: str | None = None,
    predictions: Path | None = None,
    limit: int | None = None,
    seed: int | None = None,
    score: float = 0.3,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Drawn:
    """`visualize_set` of a data set by name, and of a file of detections.

    Args:
        dataset: a shipped name, a TOML file, or a folder with a `dataset.toml`.
        data_root: where its files are; None: what its TOML or `$CAFFDET_DATA` says.
        split: None: val where the data set has one, else test, else train.
        predictions: COCO result JSON for this split.
        overrides: `dotted.key=value`.

    Raises:
        ConfigError, DatasetError, OutputError, DiskFull.
    """
    fresh_folder(output, overwrite)
    progress = progress or Bars()
    data = load_data(dataset, overrides)
    if split is None and not {"val", "test"} & data.splits.keys():
        split = "train"
    _, annotations = load_split(data, split, place_of(data, data_root, progress), progress)
    return visualize_set(
        annotations,
        output,
        predictions=None if predictions is None else read_detections(predictions, annotations),
        limit=limit,
        seed=seed,
        score=score,
        thermal=fixed_rule(data.thermal, annotations, progress),
        overwrite=overwrite,
        progress=progress,
    )


def visualize_set(
    annotations: AnnotationSet,
    output: Path,
    *,
    predictions: Mapping[int | str, DetectionArrays] | None = None,
    limit: int | None = None,
    seed: int | None = None,
    score: float = 0.3,
    thermal: FixedThermal = _RULE,
    sheet: bool = True,
    truth: bool = True,
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
        truth: draw the objects of the data set.

    Raises:
        DatasetError: the data set is empty, or a picture cannot be read.
        OutputError, DiskFull: `output` is not empty or cannot be written; nothing is left behind.
    """
    examples = _chosen(annotations.examples, limit, seed)
    if not examples:
        raise DatasetError(f"{annotations.source} has no pictures to draw")
    names = list(_unique_names(examples))
    classes = [category.name for category in annotations.categories]
    spectra = _spectra(annotations)
    tiles: list[Picture] = []
    with whole_folder(output, overwrite=overwrite) as part:
        jobs = zip(examples, names, strict=True)
        for example, name in (progress or Progress()).track(jobs, "drawing", total=len(examples)):
            found = None if predictions is None else _best(predictions.get(example.id), classes, score)
            draw = _drawing(example, spectra, thermal, annotations.rig, classes if truth else None, found)
            save_picture(draw(), part / f"{name}.jpg")
            if sheet and len(tiles) < _ON_SHEET:
                tiles.append(draw(height=_TILE, legend=False))
        if tiles:
            save_picture(contact_sheet(tiles, names[: len(tiles)]), part / "sheet.jpg")
    return Drawn(
        folder=output,
        pictures=tuple(output / f"{name}.jpg" for name in names),
        sheet=output / "sheet.jpg" if tiles else None,
        examples=len(annotations.examples),
    )


def _drawing(
    example: Example,
    spectra: Sequence[Spectrum],
    thermal: FixedThermal,
    rig: Rig | None,
    classes: Sequence[str] | None,
    found: Labelled | None,
) -> Callable[..., Picture]:
    """`draw_pair` of one example, read once; how large is left open. Without `classes` no ground truth is drawn."""
    objects = example.objects
    named = None if classes is None else [classes[label] for label in objects.labels.tolist()]
    return partial(
        draw_pair,
        rgb=_shown(example, "rgb", thermal, rig),
        ir=_shown(example, "ir", thermal, rig),
        truth=None if named is None else Labelled(objects.boxes, named),
        detections=found,
        size=(example.height, example.width),
        spectra=spectra,
    )


def _spectra(annotations: AnnotationSet) -> list[Spectrum]:
    """The spectra of which the data set has pictures."""
    has = {"rgb": any(one.rgb for one in annotations.examples), "ir": any(one.ir for one in annotations.examples)}
    both: tuple[Spectrum, ...] = ("rgb", "ir")
    return [spectrum for spectrum in both if has[spectrum]] or list(both)


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


def _shown(example: Example, spectrum: Spectrum, thermal: FixedThermal, rig: Rig | None) -> Picture | None:
    """A picture file as 8-bit RGB, as its partner's camera sees it where there is a rig."""
    path = example.rgb if spectrum == "rgb" else example.ir
    if path is None:
        return None
    seen = to_model_range(read_picture(path), spectrum, thermal)
    picture = warp_file(seen, path, rig, spectrum, (example.height, example.width))
    return np.asarray(picture if picture.dtype == np.uint8 else np.round(picture * 255), np.uint8)
