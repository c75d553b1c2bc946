"""What tells one data set from another, wherever its files lie."""

import hashlib
import json

import numpy as np

from caffdet_cli.data.annotations import AnnotationSet, Example


def fingerprint(annotations: AnnotationSet) -> str:
    """sha256 over ids, file names, sizes, boxes, labels and the rig: the same data in another folder has the same."""
    digest = hashlib.sha256()
    if annotations.rig is not None:
        digest.update(annotations.rig.model_dump_json().encode())
    names = [category.name for category in annotations.categories]
    for example in annotations.examples:
        digest.update(json.dumps(_facts(example, names)).encode())
        digest.update(np.ascontiguousarray(example.objects.boxes, "<f8").tobytes())
    return digest.hexdigest()


def _facts(example: Example, names: list[str]) -> list[object]:
    files = [path and path.name for path in (example.rgb, example.ir)]
    objects = example.objects
    return [
        example.id,
        *files,
        example.width,
        example.height,
        [names[label] for label in objects.labels],
        objects.crowd.tolist(),
    ]
