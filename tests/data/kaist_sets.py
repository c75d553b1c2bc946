"""Tiny copies of KAIST on disk, for tests of its converter."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

HEAD = "% bbGt version=3"
TRAIN = ("set00/V000/I00001", "set03/V000/I00003")
TEST = ("set06/V000/I00019", "set09/V000/I00039")


def kaist_pictures(folder: Path, names: Iterable[str], form: str = "{set}/{video}/{spectrum}/{frame}.bmp") -> Path:
    """Pairs of black pictures of KAIST's size, all one file on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    one = folder / ".one"
    if not one.exists():
        done, pixels = cv2.imencode(".bmp", np.zeros((512, 640), np.uint8))
        assert done
        one.write_bytes(pixels.tobytes())
    for name in names:
        for spectrum in ("visible", "lwir"):
            path = folder / filled(form, name, spectrum)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(one, path)
    return folder


def filled(form: str, name: str, spectrum: str = "") -> str:
    collection, video, frame = name.split("/")
    return form.format(set=collection, video=video, frame=frame, spectrum=spectrum)


def kaist_text(folder: Path, name: str, lines: Sequence[str] = ("person 100 200 30 80 0 0 0 0 0 0 0",)) -> Path:
    """One annotation in KAIST's text form; `name` may have a spectrum in it."""
    path = folder / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")
    return path


def kaist_json(path: Path, names: Sequence[str], objects: Sequence[dict[str, Any]]) -> Path:
    """`KAIST_annotation.json` of some frames; each object says what differs from a plain person."""
    images = [{"id": at, "im_name": name, "height": 512, "width": 640} for at, name in enumerate(names)]
    plain = {"image_id": 0, "category_id": 1, "bbox": [100, 200, 30, 80], "height": 80, "occlusion": 0, "ignore": 0}
    classes = ("__ignore__", "person", "cyclist", "people", "person?")
    content = {
        "images": images,
        "annotations": [{"id": at, **plain, **one} for at, one in enumerate(objects)],
        "categories": [{"id": at, "name": name} for at, name in enumerate(classes)],
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def kaist(root: Path, train: Sequence[str] = TRAIN, test: Sequence[str] = TEST) -> Path:
    """The official layout: one person per frame, training annotations sanitized, those of the test improved."""
    kaist_pictures(root / "images", [*train, *test])
    for name in train:
        kaist_text(root / "annotations_sanitized", name)
    for name in test:
        kaist_text(root / "annotations_improved", name)
    lists = root / "imageSets"
    lists.mkdir()
    (lists / "train-all-02.txt").write_text("".join(f"{name}\n" for name in train))
    (lists / "test-all-20.txt").write_text("".join(f"{name}\n" for name in test))
    return root
