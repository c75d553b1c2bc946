"""lite_dino/transforms: flip, crop and resize of one picture with its boxes, and the table of the resize rule."""

from typing import Any

import numpy as np
from harness import Case

from caffdet_cli.data.geometry import resize_size
from caffdet_cli.data.transforms import Pair, fractions, normalised, pair_of
from runners.geometry import changed, limit, require


def transforms(case: Case) -> None:
    """Every operation of the case."""
    for operation in case.facts["operations"]:
        if operation["name"] == "resize_size":
            check_table(case, operation)
        else:
            check_step(case, operation)
    case.finish()


def check_table(case: Case, operation: dict[str, Any]) -> None:
    """Every row: width, height, short side and limit, and the width and height that follow."""
    parameters, ours = operation["parameters"], []
    for row in case.golden[operation["array"]].tolist():
        entry = dict(zip(parameters["columns"], row, strict=True))
        most = limit(entry["max_side"], parameters)
        entry["out_height"], entry["out_width"] = resize_size(
            entry["height"], entry["width"], entry["short_side"], most
        )
        ours.append([entry[column] for column in parameters["columns"]])
    case.check(operation["array"], np.array(ours))


def check_step(case: Case, operation: dict[str, Any]) -> None:
    """One step on one picture; the ending of an array's name says which result it holds."""
    given, parameters = operation["input"], operation["parameters"]
    require(case, parameters, divide_by=255)
    picture = case.input(given["image"])
    boxes = np.asarray(_array(case, given["boxes"]), np.float32)
    labels = np.asarray(_array(case, given["labels"]), np.int64)
    pair = changed(case, pair_of((picture,), boxes, labels, picture.shape[:2]), operation)
    results = {
        "boxes_pixels": pair.boxes,
        "labels": pair.labels,
        "area": areas(pair),
        "size": np.array(pair.size),
        "tensor": normalised(pair.pictures[0], parameters["mean"], parameters["std"]),
        "boxes_norm": fractions(pair.boxes, pair.size),
    }
    for name in operation["array"]:
        ending = next((ending for ending in results if name.endswith(ending)), None)
        if ending is None:
            case.not_built(f"result {name!r} of {case.kind}")
        case.check(name, results[ending])


def areas(pair: Pair) -> np.ndarray:
    """Areas of the boxes in square pixels."""
    boxes = np.asarray(pair.boxes)
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _array(case: Case, given: str | list[Any]) -> Any:
    return case.input(given) if isinstance(given, str) else given
