"""A COCO download in small: gapped category ids, a crowd region, a picture without objects."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CATEGORIES = {1: "person", 3: "car", 90: "toothbrush"}
WIDTH, HEIGHT = 96, 32
CROWD = [8, 4, 40, 20]  # of the first picture of each split


def coco(root: Path, folder: str = "", categories: dict[int, str] | None = None) -> Path:
    """`annotations/instances_{train,val}2017.json` in `root`, and the pictures in `root/folder/{train,val}2017/`.

    Four training and two validation pictures; the second of each has no objects.
    """
    categories = CATEGORIES if categories is None else categories
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for split, first, count in (("train2017", 9, 4), ("val2017", 139, 2)):
        place = root / folder / split
        place.mkdir(parents=True)
        document = _document(list(categories.items()), range(first, first + count))
        for image in document["images"]:
            pixels = np.random.default_rng(image["id"]).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
            cv2.imwrite(str(place / image["file_name"]), pixels)
        (root / f"annotations/instances_{split}.json").write_text(json.dumps(document), encoding="utf-8")
    return root


def _document(categories: list[tuple[int, str]], pictures: range) -> dict[str, Any]:
    images = [{"id": key, "file_name": f"{key:012d}.jpg", "width": WIDTH, "height": HEIGHT} for key in pictures]
    annotations = []
    for number, key in enumerate(key for key in pictures if key != pictures[1]):
        for place, (category, _) in enumerate(categories):
            box = [60 + 2 * place, 3 + 2 * place, 20, 18.5 + number]
            annotations.append(_annotation(100 * key + place, key, category, box))
    if annotations:
        crowd = _annotation(900000 + pictures[0], pictures[0], categories[0][0], CROWD)
        annotations.append({**crowd, "iscrowd": 1, "segmentation": {"counts": [0, 9], "size": [HEIGHT, WIDTH]}})
    return {
        "info": {"description": "COCO 2017 in small"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"supercategory": "thing", "id": key, "name": name} for key, name in categories],
    }


def _annotation(key: int, picture: int, category: int, box: list[float]) -> dict[str, Any]:
    left, top, width, height = box
    outline = [left, top, left + width, top, left + width, top + height]  # a triangle: half the area of the box
    facts = {"id": key, "image_id": picture, "category_id": category, "bbox": box, "iscrowd": 0}
    return {**facts, "area": width * height / 2, "segmentation": [outline]}
