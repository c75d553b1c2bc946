"""caff_dino/paired_loader: samples of the published data layouts through our reader, data set and transforms.

Published CAFF models take the infrared picture first; boxes are in its pixels.
"""

from typing import Any

import numpy as np
from harness import Case

from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.dataset import PairDataset, Sample
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.geometry import resize_size
from caffdet_cli.data.images import read_picture
from caffdet_cli.data.thermal import to_model_range
from caffdet_cli.data.transforms import Pair, normalised, pair_of
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.data import PerImageRule
from caffdet_cli.settings.model import Input
from runners.geometry import RESIZE, changed, limit, require
from runners.transforms import areas

KNOWN = {
    "drop_iscrowd": True,
    "clamp_boxes": True,
    "drop_empty": True,
    "size_from": "first",
    "interpolation": RESIZE,
    "divide_by": 255,
    "boxes": "cxcywh divided by (width, height, width, height)",
}


def paired_loader(case: Case) -> None:
    """Every operation of the case."""
    for operation in case.facts["operations"]:
        match operation["name"]:
            case "validation_sample":
                check_sample(case, operation)
            case "resize_size":
                check_table(case, operation)
            case _:
                check_step(case, operation)
    case.finish()


def check_sample(case: Case, operation: dict[str, Any]) -> None:
    """One item of the validation set, found by its place in the order of ids."""
    given, parameters = operation["input"], operation["parameters"]
    require(case, parameters, **KNOWN)
    first, second = case.folder / given["first"], case.folder / given["second"]
    annotations = read_coco(case.folder / given["annotations"], rgb=second.parent, ir=first.parent, label_spectrum="ir")
    index = sorted(range(len(annotations.examples)), key=lambda place: annotations.examples[place].id)[given["index"]]
    example = annotations.examples[index]
    case.check_exact("files", [str(first), str(second)], [str(example.ir), str(example.rgb)], operation["targets"])
    sample = PairDataset(annotations, published(annotations, parameters), augment=None, seed=0)[index]
    for name, picture in zip(operation["array"], sample.pictures, strict=True):
        case.check(name, normalised(picture, tuple(parameters["mean"]), tuple(parameters["std"])))
    check_targets(case, operation["targets"], targets_of(sample, example))


def published(annotations: AnnotationSet, parameters: dict[str, Any]) -> Conventions:
    """The conventions of published CAFF models: infrared first, slot of a class = its category id."""
    classes: list[str | None] = [None] * (1 + max(category.id for category in annotations.categories))
    for category in annotations.categories:
        classes[category.id] = category.name
    keys = ("short_side", "max_side", "mean", "std")
    return Conventions(
        input=Input(**{key: parameters[key] for key in keys}),
        spectra=("ir", "rgb"),
        label_spectrum="ir",
        classes=tuple(classes),
    )


def targets_of(sample: Sample, example: Example) -> dict[str, Any]:
    """What upstream's loader calls the target, from our sample and its annotations."""
    wanted = ~example.objects.crowd
    scale = (sample.size[0] / example.height) * (sample.size[1] / example.width)
    return {
        "boxes": sample.targets.boxes,
        "labels": sample.targets.labels,
        "image_id": [sample.id],
        "area": example.objects.areas[wanted] * scale,
        "iscrowd": example.objects.crowd[wanted],
        "orig_size": sample.original_size,
        "size": sample.size,
    }


def check_step(case: Case, operation: dict[str, Any]) -> None:
    """One step of the training transforms on a pair."""
    given = operation["input"]
    pictures = tuple(
        to_model_range(read_picture(case.folder / given[key]), "rgb", PerImageRule()) for key in ("first", "second")
    )
    size = pictures[0].shape[:2]
    boxes, labels = np.asarray(given["boxes"], np.float32), np.asarray(given["labels"], np.int64)
    pair = changed(case, pair_of(pictures, boxes, labels, size), operation)
    for name, picture in zip(operation["array"], pair.pictures, strict=True):
        case.check(name, np.asarray(picture).transpose(1, 2, 0))
    check_targets(case, operation["targets"], step_targets(pair, size))


def step_targets(pair: Pair, size: tuple[int, int]) -> dict[str, Any]:
    """The target after a step; the operation has no picture id, so that there is none to compare."""
    return {
        "boxes": pair.boxes,
        "labels": pair.labels,
        "area": areas(pair),
        "iscrowd": np.zeros(len(pair.labels)),
        "orig_size": size,
        "size": pair.size,
        "picture_size_wh": pair.size[::-1],
    }


def check_targets(case: Case, entry: str, ours: dict[str, Any]) -> None:
    """Every field of an entry of targets.json that we have."""
    recorded = case.file("targets.json")[entry]
    for field, value in ours.items():
        case.check_value("targets.json", recorded[field], value, f"{entry}.{field}", kind="targets")


def check_table(case: Case, operation: dict[str, Any]) -> None:
    """Every entry of the table of the resize rule."""
    recorded = case.file(operation["file"])
    ours = []
    for entry in recorded:
        width, height = entry["in_wh"]
        height, width = resize_size(height, width, entry["short"], limit(entry["max"], operation["parameters"]))
        ours.append({**entry, "out_wh": [width, height]})
    case.check_exact(operation["file"], recorded, ours)
